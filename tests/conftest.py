"""What tests share: the sample, MovieLens 100K where it can be had, and one run of all notebooks."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from accent_book.runs.wording import speak, words
from accent_lib.datasets import load, prepare
from accent_lib.errors import AccentError
from tests.trial import take_out_trials, with_trials

ROOT = Path(__file__).parents[1]
# Where another process finds both packages, from whatever folder it is started.
SEARCH_PATH = os.pathsep.join([str(ROOT), str(ROOT / "book")])
# Enough to show everything, too little to learn much.
TINY = {
    "00_tour": {"orders": 1},
    "01_data": {},
    "02_training": {
        "round_starts": [4, 2],
        "round_steps": [100, 300],
        "comparison_steps": 16,
    },
    "02b_rcf": {"rcf_epochs": 3},
    "03_influence": {},
    "03b_trust": {
        "refit_users": 2,
        "refit_actions": 2,
        "gelu_steps": 100,
        "check_steps": 40,
    },
    "03c_rcf_influence": {"rcf_users": 2, "rcf_actions": 1},
    "04_explanations": {"ks": [3, 6]},
    "04b_attention": {},
    "05_verification": {
        "n_users": 6,
        "retraining_steps": 40,
        "rcf_retraining_epochs": 3,
        "rcf_warm_epochs": 1,
    },
    "06_analysis": {"resamples": 200},
    "07_scale": {"steps": 10, "copies": 3},
    "08_reproduction": {"resamples": 100},
    "09_failures": {"resamples": 100},
    "10_your_data": {"club_users": 2, "orders": 1},
    "11_own_model": {"steps": 300, "mf_users": 6, "mf_retraining_steps": 30},
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """In several processes, keep a file together, and all files that use the run of all notebooks."""
    from xdist.scheduler import LoadFileScheduling

    uses = re.compile(r"def \w+\([^)]*\b(tiny_run|book)\b")
    sharing = {
        path.name for path in Path(__file__).parent.glob("test_*.py") if uses.search(path.read_text("utf-8"))
    }

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "the book" if Path(file).name in sharing else file

    return Together(config, log)


@pytest.fixture(autouse=True)
def same_words():
    """What a data set of one test calls its items and units is not passed on to the next."""
    before = words()
    yield
    speak(before)


@pytest.fixture(scope="session")
def sample():
    """Prepare the embedded sample."""
    return prepare(load("sample"))


def do_without(reason, in_ci):
    """Skip a test that lacks something; but fail where `CI` is set."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(in_ci)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_ratings():
    """Load MovieLens 100K; without it, fail in CI and skip elsewhere."""
    try:
        return load("ml-100k")
    except AccentError as error:
        do_without(
            f"This test needs MovieLens 100K. {error}",
            f"CI must run the tests on real data, so set ACCENT_DATA_HOME there. {error}",
        )


@pytest.fixture(scope="session")
def latest_small():
    """Load the small set of MovieLens; without it, fail in CI and skip elsewhere."""
    try:
        return load("ml-latest-small")
    except AccentError as error:
        do_without(
            f"This test needs ml-latest-small. {error}",
            f"CI must run the tests on real data, so set ACCENT_DATA_HOME there. {error}",
        )


@pytest.fixture(scope="session")
def real(real_ratings):
    """Prepare MovieLens 100K as the paper did."""
    return prepare(real_ratings)


def papermill(name, folder, *arguments, source=None):
    """Run one notebook from the project's folder, as a reader would, and return the finished process."""
    source = source or f"notebooks/{name}.ipynb"
    command = [sys.executable, "-m", "papermill", str(source), str(folder / f"{name}.ipynb")]
    environment = {**os.environ, "ACCENT_RUNS": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "--no-progress-bar", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Run all notebooks in order on a tiny profile; the folder, and what papermill said by name.

    The folder holds the executed notebooks and, in ``tiny/``, what they made. The exercises are tried on the
    way (``tests/trial.py``); ``trials/`` holds what came of it.
    """
    folder, finished = tmp_path_factory.mktemp("runs"), {}
    for name, settings in TINY.items():
        overrides = [
            argument
            for key, value in {"run": "tiny", **settings}.items()
            for argument in ("-y", f"{key}: {json.dumps(value)}")
        ]
        trials = folder / "trials" / f"{name}.ipynb"
        trials.parent.mkdir(exist_ok=True)
        with_trials(ROOT / "notebooks" / trials.name, trials)
        finished[name] = papermill(name, folder, *overrides, source=trials)
        noted = take_out_trials(folder / trials.name)
        trials.with_suffix(".json").write_text(json.dumps(noted), encoding="utf-8")
        if finished[name].returncode:
            break
    return folder, finished


def build(source):
    """Build the book in a folder as `make book` does.

    Parameters
    ----------
    source : Path
        Folder with ``_config.yml``, ``_toc.yml`` and the pages.

    Returns
    -------
    CompletedProcess
        With the output of Jupyter Book as text.
    """
    command = [
        Path(sys.executable).with_name("jupyter-book"),
        "build",
        source,
        "--all",
        "-W",
        "--keep-going",
        "-n",
    ]
    environment = os.environ | {"PYTHONPATH": SEARCH_PATH}
    return subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True)


def chapters():
    """Return the chapters of the table of contents that are executed notebooks, as paths without suffix."""
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    files = [chapter["file"] for part in parts for chapter in part["chapters"]]
    return [file for file in files if file.startswith("book/chapters/")]


def copy_sources(target):
    """Copy what the book is made of, but for what is generated."""
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, target / name)
    ignored = shutil.ignore_patterns("chapters", "__pycache__", "explorer.html")
    shutil.copytree(ROOT / "book", target / "book", ignore=ignored)


@pytest.fixture(scope="session")
def book(tiny_run, tmp_path_factory):
    """Build the whole book, with the chapters and the explorer of the tiny run."""
    folder, finished = tiny_run
    failed = [name for name, process in finished.items() if process.returncode]
    assert not failed, f"these notebooks did not run: {failed}"
    source = tmp_path_factory.mktemp("book")
    copy_sources(source)
    for chapter in chapters():
        page = source / f"{chapter}.ipynb"
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / page.name, page)
    explorer = [sys.executable, "-m", "accent_book", "explorer", "--run", "tiny"]
    made = subprocess.run(
        [*explorer, "--to", source / "book" / "_static" / "explorer.html"],
        cwd=ROOT,
        env={**os.environ, "ACCENT_RUNS": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    result = build(source)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    return source / "_build" / "html"
