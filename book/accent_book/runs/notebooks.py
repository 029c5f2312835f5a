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
from accent_lib.errors import AccentError
from accent_lib.provenance import PACKAGE

MAKES = re.compile(r"""\brun\.(?:path|write_csv|write_json)\(\s*f?["']([^"']+)["']""")

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
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[3]):
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
    return Path(os.environ.get("ACCENT_RUNS") or project_root() / "runs").absolute()


def absolute(path) -> str:
    """Text of a path made absolute from the working directory, with ``~`` expanded."""
    return str(Path(path).expanduser().absolute())


def search_path() -> str:
    """``PYTHONPATH`` for another process, in which it finds both packages, installed or not."""
    folders = [PACKAGE.parent, BOOK.parent]
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


@dataclass(frozen=True)
class Notebook:
    """A notebook's source: its file, and its cells as (type, tags, text)."""

    path: Path
    cells: tuple

    @property
    def name(self) -> str:
        """File name without suffix, such as ``"02_training"``."""
        return self.path.stem

    @property
    def number(self) -> int:
        """Place in the order, from the file name."""
        return int(re.match(r"\d+", self.name)[0])

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
        cells = json.loads(path.read_text("utf-8"))["cells"]
        parts = [(c["cell_type"], tuple(c["metadata"].get("tags", ())), "".join(c["source"])) for c in cells]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AccentError(f"{path} cannot be read as a notebook: {error!r:.100}.") from None
    return Notebook(path, tuple(parts))


def all_notebooks(root=None) -> list[Notebook]:
    """Every notebook of the project in order, a list of `Notebook`; empty if it has none."""
    folder = (root or project_root()) / "notebooks"
    return [read(path) for path in sorted(folder.glob("[0-9]*_*.ipynb"))]


def maker(name, root=None) -> Notebook | None:
    """First notebook that makes a file of the run folder, or ``None``."""
    for notebook in all_notebooks(root):
        if any(fnmatch(name, pattern) for pattern in notebook.makes):
            return notebook
    return None


def short(path, root) -> Path:
    """Shorten a path for a message: relative to the project if it lies there."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def read_json(path) -> Any:
    """Read a JSON file of the run folder; ``None`` if it is not there."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise AccentError(f"{path} is damaged; delete it, and the notebooks run again.") from None
