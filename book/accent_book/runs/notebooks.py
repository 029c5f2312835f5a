"""The project as found on disk: its root, its notebooks, and what each notebook takes and makes."""

import functools
import json
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from accent_book.runs import parameters
from accent_book.runs.sources import BOOK
from accent_lib import gate
from accent_lib.errors import AccentError, shown
from accent_lib.files import reason
from accent_lib.provenance import PACKAGE

MAKES = re.compile(r"""\brun\.(?:path|write_csv|write_json)\(\s*f?["']([^"']+)["']""")

#: What a record of a notebook that was run holds at least.
RECORD = {"stamp": str, "settings": dict, "files": list, "date": str, "seconds": int | float}

ENSURES = re.compile(r"\brun\.ensure\(upto=(\d+)\)")


def project_root() -> Path:
    """Folder that holds ``notebooks/profiles``: upwards from the working directory, else from the package.

    Returns
    -------
    Path
        The working directory itself if there is none, as on a machine that has the package alone.

    Examples
    --------
    >>> (project_root() / "notebooks" / "profiles" / "sample.yaml").exists()
    True
    """
    package = Path(__file__).resolve().parents[3]
    try:
        here = Path.cwd()
    except OSError:  # the working directory is gone
        here = package
    for folder in (here, *here.parents, package):
        if (folder / "notebooks" / "profiles").is_dir():
            return folder
    return here


def runs_folder() -> Path:
    """Folder of all runs: ``$ACCENT_RUNS``, else ``runs`` in the project root.

    Examples
    --------
    >>> os.environ["ACCENT_RUNS"] = "/tmp/runs"
    >>> runs_folder().as_posix()
    '/tmp/runs'
    """
    return Path(absolute(os.environ.get("ACCENT_RUNS") or project_root() / "runs"))


def run_folder(name, where: str = "A run") -> Path:
    """Folder of a run.

    Parameters
    ----------
    name : str
    where : str
        Place to name in the error, such as ``"02_training"``.

    Raises
    ------
    AccentError
        If the name is not a plain one.

    Examples
    --------
    >>> run_folder("../victim", "paper.yaml")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: paper.yaml: run must be a folder's plain name, such as sample, not '../v...
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]{,99}", name):
        raise AccentError(f"{where}: run must be a folder's plain name, such as sample, not {shown(name)}.")
    return inside(runs_folder(), name)


def inside(folder, name) -> Path:
    """Where a name leads in a folder: the one way from a name to a path.

    Raises
    ------
    AccentError
        If it leads out of the folder.

    Examples
    --------
    >>> inside("runs", "sample/settings").as_posix()
    'runs/sample/settings'
    >>> inside("data/results", "../victim")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: '../victim' leads out of data/results: name a file or folder in it.
    """
    parts = re.split(r"[/\\]", name) if isinstance(name, str) else [""]
    if not all(part.strip(". ") and part.isprintable() and ":" not in part for part in parts):
        raise AccentError(f"{shown(name)} leads out of {folder}: name a file or folder in it.")
    return Path(folder, *parts)


def absolute(path) -> str:
    """Text of a path made absolute from the working directory, with ``~`` expanded.

    Raises
    ------
    AccentError
        If there is no such home, or no working directory.
    """
    try:
        return str(Path(path).expanduser().absolute())
    except (RuntimeError, OSError) as error:
        told = reason(error) if isinstance(error, OSError) else "there is no such home folder"
        raise AccentError(
            f"{shown(str(path))} leads nowhere ({told}): name a folder that is there, from the root."
        ) from error


def search_path() -> str:
    """``PYTHONPATH`` for another process, in which it finds both packages, installed or not."""
    folders = [PACKAGE.parent, BOOK.parent]
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


@dataclass(frozen=True)
class Notebook:
    """A notebook's source.

    Attributes
    ----------
    path : Path
    cells : tuple
        As (type, tags, text).
    model : str, optional
        Name of the recommender that it is about, as its metadata say; it is left out of a run without it.
    """

    path: Path
    cells: tuple
    model: str | None = None

    @property
    def name(self) -> str:
        """File name without suffix, such as ``"02_training"``."""
        return self.path.stem

    @property
    def number(self) -> int:
        """Place in the order, from the file name."""
        return int(re.match(r"\d+", self.name)[0])

    def is_about(self, models) -> bool:
        """Whether it belongs to a run of these recommenders; ``None`` is all."""
        return models is None or self.model is None or self.model in models

    @functools.cached_property
    def parameters(self) -> dict[str, parameters.Parameter]:
        """Declared parameters, a dict of name to `Parameter`; empty if no cell is tagged ``parameters``."""
        for kind, tags, text in self.cells:
            if kind == "code" and "parameters" in tags:
                return parameters.parse(text, self.name)
        return {}

    @functools.cached_property
    def makes(self) -> tuple[str, ...]:
        """Files it makes in the run folder, as patterns: ``run.path(f"{model}.npz")`` gives ``"*.npz"``."""
        names = [name for kind, _, text in self.cells if kind == "code" for name in MAKES.findall(text)]
        return tuple(dict.fromkeys(re.sub(r"\{[^}]*\}", "*", name) for name in names))

    @functools.cached_property
    def needs(self) -> int:
        """Number of the notebook whose files it takes, and those that this one takes; 0: it needs none.

        As it says in ``run.ensure(upto=4)``, which makes them where the notebook is opened alone.
        """
        return max(
            (int(n) for kind, _, text in self.cells if kind == "code" for n in ENSURES.findall(text)),
            default=0,
        )


def read(path) -> Notebook:
    """Read a notebook's source.

    Raises
    ------
    AccentError
        If the file is not a notebook.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        cells, model = content["cells"], content.get("metadata", {}).get("accent", {}).get("model")
        parts = [(c["cell_type"], tuple(c["metadata"].get("tags", ())), "".join(c["source"])) for c in cells]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AccentError(f"{path} cannot be read as a notebook: {error!r:.100}.") from None
    return Notebook(path, tuple(parts), model)


def all_notebooks(root=None) -> list[Notebook]:
    """Every notebook of the project in order, a list of `Notebook`; empty if it has none."""
    folder = (root or project_root()) / "notebooks"
    return [read(path) for path in sorted(folder.glob("[0-9]*_*.ipynb"))]


def before(notebook, sources, models=None) -> list[Notebook]:
    """Notebooks whose files one takes: of the number that it needs, and about its recommenders.

    Who makes no file is none of them, such as a chapter with a letter that only looks at the results.

    Parameters
    ----------
    notebook : Notebook
    sources : iterable of Notebook
    models : list of str, optional
        Recommenders of the run; all by default.
    """
    wanted = [notebook.model] if notebook.model else models
    these = [source for source in sources if source.number == notebook.needs and source.is_about(wanted)]
    return [source for source in these if source.makes and source != notebook]


def maker(name, root=None) -> Notebook | None:
    """First notebook that makes a file of the run folder, or ``None``."""
    for notebook in all_notebooks(root):
        if any(fnmatch(name, pattern) for pattern in notebook.makes):
            return notebook
    return None


def short(path, root) -> Path:
    """Shorten a path for a message: relative to the project if it lies there."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def read_json(path, needs=None) -> Any:
    """Read a JSON file of the run folder; ``None`` if it is not there.

    Parameters
    ----------
    path : Path
    needs : mapping of str to type, optional
        As for :func:`accent_lib.gate.read_json`.
    """
    if not os.path.lexists(path):
        return None
    return gate.read_json(path, needs, "delete it, and the notebooks run again")


def read_records(folder) -> dict[str, dict]:
    """What ``provenance.json`` of a run folder says of each notebook that was run; nothing if there is none.

    Raises
    ------
    AccentError
        If it is not what the runner wrote.
    """
    path = folder / "provenance.json"
    records = read_json(path, {}) or {}
    for name, record in records.items():
        if not isinstance(record, dict) or not all(
            isinstance(record.get(what), kind) for what, kind in RECORD.items()
        ):
            raise AccentError(f"{path} is damaged at {shown(name)}; delete it, and the notebooks run again.")
    return records
