"""Every job of the project by one command: `python make.py book`, `python make.py test`; `make` calls it.

It needs Python alone, and makes the environment that the jobs run in.
"""

import argparse
import http.client
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent
#: The package whose commands make the book; the folders of the packages that are installed.
BOOK = "accent_book"
PACKAGES = (".", "book")
OLDEST, NEWEST = (3, 11), (3, 14)
#: PyTorch's builds for the CPU, and a folder that is there only with the driver of an NVIDIA card.
CPU_BUILDS, NVIDIA = "https://download.pytorch.org/whl/cpu", "/proc/driver/nvidia"
#: The scripts of bench/, which `make bench` runs one after the other; the last makes a page of the others.
TIMINGS = ("influence", "libraries", "rcf", "retraining", "scaling", "page")
#: What `make release` makes of the executed notebooks, beside the book, and puts into the archive in the end.
RELEASED = ("slides", "student", "pdf", "release")
#: Defaults and help. `make` hands its variables on as environment variables: PROFILE is --profile.
OPTIONS = {
    "profile": ("sample", "one of notebooks/profiles (default: sample)"),
    "venv": (".venv", "where the environment is kept (default: .venv); empty: what is active is used"),
    "torch-index": (None, "where to take torch from; empty: where pip takes everything from"),
    "pytest-args": ("", "as one word: --pytest-args='-x tests/test_ncf.py'"),
    "port": ("8000", "where the book is served (default: 8000)"),
}


def jobs(options):
    """Return what each job does: a line of help, and the arguments of one Python after the other."""
    machinery, ruff = ["-m", BOOK], ["-m", "ruff"]
    run = [[*machinery, "run", "--profile", options.profile]]
    status = [[*machinery, "status", "--profile", options.profile]]
    # Jupyter Book cannot be started with -m.
    jupyter_book = ["-c", "from jupyter_book.cli.main import main; main()"]
    # --all: pages quote figures of others, and a warning must not vanish because its page was built before.
    build = [[*jupyter_book, "build", ".", "--all", "-W", "--keep-going", "-n"]]
    lint = [[*ruff, "check", "."], [*ruff, "format", "--check", "."], [*machinery, "seal", "--check"]]
    # Two processes; tests that share what takes long to make stay together (tests/conftest.py).
    test = ["-m", "pytest", "-n", "2", "--junitxml=_build/tests.xml", *shlex.split(options.pytest_args)]
    bench = [["-m", f"bench.{name}"] for name in TIMINGS]
    strip = ["-m", "nbstripout", "--keep-id", *sorted(map(str, Path("notebooks").glob("*.ipynb")))]
    repair = [[*machinery, "launch"], [*ruff, "check", "--fix", "."], [*ruff, "format", "."], strip]
    # A release is of the sample: the ratings of others may not be passed on.
    released = [[*machinery, "run"], build[0], *([*machinery, name] for name in RELEASED)]
    serve = ["-m", "http.server", options.port, "--bind", "127.0.0.1", "--directory", "_build/html"]
    return {
        "book": ("run the notebooks of PROFILE and build the book", run + build),
        "run": ("run the notebooks of PROFILE into book/chapters", run),
        "build": ("build the book from the notebooks that were run", build),
        "slides": ("make slides of a lecture from the notebooks that were run", [[*machinery, "slides"]]),
        "pdf": ("print the built book into one PDF; takes Chromium or Chrome", [[*machinery, "pdf"]]),
        "release": ("pack wheels, notebooks, book, slides and PDF of the sample into one archive", released),
        "status": ("tell what the run of PROFILE holds", status),
        "student": ("write the chapters for students into _build/student", [[*machinery, "student"]]),
        "test": ("check style, library, notebooks and book", [*lint, test]),
        "lint": ("check style, and the hashes of all tables", lint),
        "format": ("put style, launch cells and notebooks in order", repair),
        "bench": ("measure speed beside other ways and libraries, half an hour", bench),
        "serve": ("show the book at http://localhost:PORT", [serve]),
        "clean": ("remove the built book, student notebooks and caches; runs/ and .venv stay", []),
    }


def clean():
    """Remove what can be made again, but for runs and the environment."""
    made = "_build book/chapters book/_static/explorer.html .pytest_cache .ruff_cache .hypothesis".split()
    for package in map(Path, PACKAGES):
        made += [package / "build", *package.glob("*.egg-info")]
    for path in map(Path, made):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def python(options):
    """Return the Python that runs the jobs; the first time, make its environment."""
    if not options.venv:
        return sys.executable
    folder = Path(options.venv).absolute()
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Rewritten only when everything is installed, so an interrupted installation is taken up again.
    stamp = folder / "installed"
    sources = ["requirements.lock", *(f"{package}/pyproject.toml" for package in PACKAGES)]
    if not stamp.exists() or stamp.stat().st_mtime < max(map(os.path.getmtime, sources)):
        install(folder, interpreter, options.torch_index)
        stamp.touch()
    return interpreter


def install(folder, interpreter, asked):
    """Make an environment, and install the locked versions and the project in it."""
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        text = "This needs Python {}.{} to {}.{}, and {} is {}.{}: say for instance make PYTHON=python3.12"
        sys.exit(text.format(*OLDEST, *NEWEST, sys.executable, *version))
    print(f"Installing into {folder} (once; again only when requirements.lock or pyproject.toml change)")
    (torch,) = re.findall("^torch==.*", Path("requirements.lock").read_text("utf-8"), re.MULTILINE)
    index, reason = torch_index(asked, torch)
    place = index or "where pip takes everything from"
    print(f"PyTorch comes from {place}: {reason}. TORCH_INDEX= overrides it.")
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    call(sys.executable, "-m", "venv", folder)
    call(*pip, *(["--index-url", index] if index else []), torch)
    call(*pip, "-r", "requirements.lock")
    call(*pip, "--no-deps", *(word for package in PACKAGES for word in ("--editable", package)))


def torch_index(asked, torch, builds=CPU_BUILDS, seconds=5):
    """Return where to take torch from, empty for where pip takes everything from, and why.

    On Linux the plain wheel brings gigabytes of CUDA along, and without an NVIDIA card nothing uses them.
    """
    if asked is not None:
        return asked, "TORCH_INDEX says so"
    if sys.platform != "linux":
        return "", "on this system it comes without CUDA"
    if os.path.exists(NVIDIA) or shutil.which("nvidia-smi"):
        return "", "this machine has an NVIDIA card"
    pages = []

    def ask():
        try:
            with urllib.request.urlopen(f"{builds}/torch/", timeout=seconds) as answer:
                pages.append(answer.read().decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException):
            pass

    # The timeout of urlopen is for each wait alone, and not for looking up the name.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    if any(torch.replace("==", "-") in page for page in pages):
        return builds, "the build for the CPU, since there is no NVIDIA card"
    return "", f"within {seconds} seconds {builds} did not offer {torch}"


def call(*command):
    """Show a command and run it; where it fails, stop with its exit status."""
    command = [str(word) for word in command]
    print(">", " ".join(command), flush=True)
    status = subprocess.call(command)
    if status:
        sys.exit(status)


def main(arguments=None):
    """Do the job that the command line names."""
    os.chdir(ROOT)
    parser = argparse.ArgumentParser(
        usage="make [JOB] [PROFILE=...], or without make: python make.py [JOB] [--profile ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("job", nargs="?", default="help", metavar="JOB", help="see below")
    for name, (default, text) in OPTIONS.items():
        variable = name.replace("-", "_").upper()
        default = os.environ.get(variable, default)
        parser.add_argument(f"--{name}", default=default, metavar=variable, help=text)
    options = parser.parse_args(arguments)
    table = jobs(options)
    parser.epilog = "jobs:\n" + "\n".join(f"  {name:9}{text}" for name, (text, _) in table.items())
    if options.job == "help":
        return parser.print_help()
    if options.job not in table:
        parser.error(f"there is no job {options.job!r}, but {', '.join(table)}")
    if options.job == "clean":
        clean()
    if options.job == "serve" and not Path("_build/html/index.html").exists():
        sys.exit("There is no book yet: make book")
    if options.job == "test":
        print("Tests: tests/   What they make is in a temporary folder; your runs/ stay as they are.")
    for command in table[options.job][1]:
        call(python(options), *command)
    if options.job in ("book", "build"):
        print(f"Book (profile of the last run; made from book/ and _toc.yml): {ROOT}/_build/html/index.html")
        print(f"Executed notebooks: {ROOT}/book/chapters   Their data, models and tables: {ROOT}/runs")
        print("Read it in a browser with: make serve, or python make.py serve")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
