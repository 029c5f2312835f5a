"""A notebook opened alone: its first cell, and the addresses that open it on Colab and on Binder.

All of it follows from the two settings ``repository: url`` and ``repository: branch`` of ``_config.yml``.
"""

import json
import re
from typing import NamedTuple

from accent_book.runs import notebooks
from accent_lib.errors import AccentError
from accent_lib.files import atomic

#: Tag of the cell in the notebooks.
TAG = "launch"
#: It is written into every notebook; on a machine that has the packages it does nothing.
CELL = """\
# Where the project is not installed, as on Colab: take it from the release
# archive beside this notebook, or fetch it; install what is missing, and go
# into its folder. `make format` writes address and branch.
import glob
import importlib.util
import os
import shutil
import subprocess
import sys

REPOSITORY = {url}
BRANCH = {branch}
if importlib.util.find_spec("accent_book") is None:
    for archive in glob.glob("accent-*.zip"):
        shutil.unpack_archive(archive)
    places = "wheels", os.path.join("..", "wheels"), "accent-*/wheels"
    wheels = [place for pattern in places for place in glob.glob(pattern)]
    if wheels:
        folder = os.path.dirname(os.path.abspath(wheels[-1]))
        packages = glob.glob(os.path.join(folder, "wheels", "*.whl"))
        book = next(path for path in packages if "accent_book" in path)
        packages.append(f"{{book}}[notebooks]")
    elif REPOSITORY:
        name = os.path.basename(REPOSITORY).removesuffix(".git")
        folder = os.path.abspath(name)
        if not os.path.isdir(folder):
            clone = ["git", "clone", "--depth=1", "--branch", BRANCH]
            subprocess.run([*clone, REPOSITORY, folder], check=True)
        book = os.path.join(folder, "book")
        packages = ["-e", folder, "-e", f"{{book}}[notebooks]"]
        sys.path[:0] = [folder, book]
    else:
        sys.exit(
            "accent_book is not installed. Put the release archive,"
            " accent-*.zip, beside this notebook and run this cell again (on"
            " Colab: the folder symbol on the left, then Upload), or set up"
            " the project as its README.md says."
        )
    # Without --upgrade pip leaves the torch that is there.
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, *packages], check=True)
    importlib.invalidate_caches()
    os.chdir(folder)"""


class Repository(NamedTuple):
    """Where the project is published; `url` is empty as long as it is not."""

    url: str
    branch: str


def repository(root=None) -> Repository:
    """Read the setting.

    Parameters
    ----------
    root : Path, optional
        Folder with ``_config.yml``; the project's by default.

    Returns
    -------
    Repository
        Without a slash at the end of its address.
    """
    import yaml

    path = (root or notebooks.project_root()) / "_config.yml"
    setting = yaml.safe_load(path.read_text("utf-8")).get("repository") or {}
    return Repository((setting.get("url") or "").rstrip("/"), setting.get("branch") or "main")


def links(where, notebook) -> dict[str, str]:
    """Addresses that open a notebook for a reader who has nothing installed.

    Parameters
    ----------
    where : Repository
    notebook : str
        Its name, such as ``"04_explanations"``.

    Returns
    -------
    dict of str to str
        ``Colab`` and ``Binder``; empty without an address.

    Raises
    ------
    AccentError
        If the address is not GitHub's.

    Examples
    --------
    >>> links(Repository("https://github.com/ann/accent", "main"), "01_data")["Colab"]
    'https://colab.research.google.com/github/ann/accent/blob/main/notebooks/01_data.ipynb'
    """
    if not where.url:
        return {}
    address = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?", where.url)
    if address is None:
        raise AccentError(
            f"repository: url in _config.yml must be https://github.com/<owner>/<name>, not {where.url!r}."
        )
    path = f"notebooks/{notebook}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github/{address[1]}/blob/{where.branch}/{path}",
        "Binder": f"https://mybinder.org/v2/gh/{address[1]}/{where.branch}?urlpath=lab/tree/{path}",
    }


def cell(where) -> str:
    """Source of the cell.

    Parameters
    ----------
    where : Repository

    Returns
    -------
    str
    """
    return CELL.format(url=json.dumps(where.url), branch=json.dumps(where.branch))


def launch() -> None:
    """Write the cell into every notebook, with the address of ``_config.yml``.

    It stands before the parameters. A notebook that has it already is left alone.
    """
    source = cell(repository())
    for notebook in notebooks.all_notebooks():
        content = json.loads(notebook.path.read_text("utf-8"))
        if put(content["cells"], source):
            with atomic(notebook.path) as file:
                file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(f"{notebook.path.name}: launch cell written")


def put(cells, source) -> bool:
    """Put the launch cell before the first code cell.

    Parameters
    ----------
    cells : list of dict
        A notebook's cells, changed in place.
    source : str

    Returns
    -------
    bool
        Whether anything changed.
    """
    lines = source.splitlines(keepends=True)
    for present in cells:
        if TAG in present["metadata"].get("tags", []):
            changed = present["source"] != lines
            present["source"] = lines
            return changed
    first = next(place for place, present in enumerate(cells) if present["cell_type"] == "code")
    metadata = {"tags": ["remove-cell", TAG]}
    new = {"cell_type": "code", "execution_count": None, "id": TAG, "metadata": metadata, "outputs": []}
    cells.insert(first, {**new, "source": lines})
    return True
