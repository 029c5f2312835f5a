"""The release archive: all that a reader or a class needs, without a clone and without a public address."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from accent_book.publish.place import ours
from accent_book.publish.plain import read_notebook
from accent_book.runs import notebooks
from accent_book.runs.manifest import MANIFEST
from accent_book.runs.notebooks import short
from accent_book.runs.origin import provenance
from accent_book.runs.ratings import PUBLIC
from accent_lib.errors import AccentError
from accent_lib.files import atomic

#: What the notebooks read of the project, as git's patterns: the rest is in the wheels.
TRACKED = (
    "LICENSE",
    "CITATION.cff",
    "_config.yml",
    "requirements.lock",
    "notebooks",
    "data",
    "book/*.yml",
    "book/*.bib",
)
#: What was made before, by its place in ``_build``: its place in the archive, and the job that makes it.
MADE = {
    "html": ("book/html", "book"),
    "slides": ("slides", "slides"),
    "student": ("student", "student"),
    "book.pdf": ("book.pdf", "pdf"),
}
#: The page of the book that tells how to use the archive; in the archive it is the README.
PAGE = "book/release.md"


def release(to=None) -> Path:
    """Pack wheels, notebooks, built book, slides, student notebooks and checksums into one archive.

    Parameters
    ----------
    to : path, optional
        The archive to make or replace; ``_build/accent-<version>.zip`` by default. Its hash is put beside it,
        in a file of its name with ``.sha256`` added.

    Returns
    -------
    Path
        The archive.

    Raises
    ------
    AccentError
        If something has not been made yet, was made of data that may not be passed on, or git is not there.
    """
    root = notebooks.project_root()
    name = f"accent-{metadata.version('accent-recommender')}"
    to = ours(to or root / "_build" / f"{name}.zip", b"PK")
    beside = to.with_name(f"{to.name}.sha256")
    if beside.exists() and not (beside.is_file() and beside.read_bytes().endswith(f"  {to.name}\n".encode())):
        raise AccentError(f"{beside} is there, and not of this command's making: name another archive.")
    missing = [
        f"{part} (make {job})" for part, (_, job) in MADE.items() if not (root / "_build" / part).exists()
    ]
    if missing:
        raise AccentError(f"The release lacks {', '.join(missing)}: `make release` makes all of it.")
    _check_data(root)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / name
        _copy_tracked(root, folder)
        for part, (target, _) in MADE.items():
            source = root / "_build" / part
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / target)
        _build_wheels(root, folder / "wheels")
        shutil.copy2(root / PAGE, folder / "README.md")
        (folder / "release.json").write_text(json.dumps(provenance(), indent=2) + "\n", "utf-8")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
        (folder / MANIFEST).write_text("".join(lines), "utf-8")
        with atomic(to) as file:
            shutil.make_archive(str(Path(place) / "archive"), "zip", place, name)
            shutil.copy(Path(place) / "archive.zip", file)
    with atomic(beside) as file:
        file.write_text(f"{_sha256(to)}  {to.name}\n", "utf-8")
    size = to.stat().st_size / 1e6
    print(f"Release of {len(files)} files, {size:.0f} MB, and its hash: {short(to.absolute(), root)}")
    return to


def _check_data(root):
    """Refuse chapters of data that may not be passed on."""
    for path in sorted((root / "book" / "chapters").glob("*.ipynb")):
        given = read_notebook(path).metadata.get("papermill", {}).get("parameters", {})
        if given.get("dataset", "sample") not in PUBLIC:
            raise AccentError(
                f"{short(path, root)} was run on {given['dataset']}, which may not be passed on: "
                "make the release of the profile sample."
            )


def _copy_tracked(root, folder):
    """Copy files that git keeps, so that nobody's own profile, data or run gets into the archive."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--", *TRACKED]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.SubprocessError) as error:
        raise AccentError(f"A release holds what git keeps, and git cannot tell for {root}.") from error
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / name)


def _build_wheels(root, folder):
    """Build the wheels of both packages from copies, as building leaves traces in the sources."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "chapters")
    with tempfile.TemporaryDirectory() as place:
        library, book = Path(place) / "library", Path(place) / "book"
        shutil.copytree(root / "accent_lib", library / "accent_lib", ignore=ignored)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(root / name, library)
        shutil.copytree(root / "book", book, ignore=ignored)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
        pip += ["--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(library), str(book)]
        made = subprocess.run(pip, capture_output=True, text=True)
        if made.returncode:
            last = (made.stderr.strip() or "pip said nothing").splitlines()[-1]
            raise AccentError(
                f"The wheels could not be built ({last}): install what is in requirements.lock."
            )


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
