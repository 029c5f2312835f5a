"""The sources of both packages: which of them make a notebook's output outdated."""

import ast
from pathlib import Path

from accent_lib.errors import AccentError
from accent_lib.provenance import PACKAGE, fingerprint

BOOK = Path(__file__).resolve().parents[1]
#: Parts of this package that a notebook may import, beside the whole of the library.
FOR_NOTEBOOKS = ("runs", "figures", "claims.py")


def sources_of_notebooks() -> str:
    """Fingerprint of all sources that a notebook may import; no other change makes its output outdated."""
    return fingerprint(library=source_hash(PACKAGE), book=source_hash(BOOK, *FOR_NOTEBOOKS))


def source_hash(package, *paths: str) -> str:
    """Hash of Python sources that leaves out what changes no number: comments, docstrings and layout.

    Parameters
    ----------
    package : Path
        The folder to which the paths are relative.
    *paths : str
        Files or folders, such as ``"models"`` and ``"files.py"``; none: all.

    Returns
    -------
    str
        16 hexadecimal digits, which do not depend on the order of the paths or on the Python version.

    Raises
    ------
    AccentError
        If a path does not exist.

    Examples
    --------
    >>> source_hash(PACKAGE, "files.py") == source_hash(PACKAGE, "files.py", "files.py")
    True
    """
    files = set()
    for path in paths or (".",):
        place = Path(package) / path
        if not place.exists():
            raise AccentError(f"There is no {path} in {Path(package).name}, whose sources were to be hashed.")
        files.update(place.rglob("*.py") if place.is_dir() else [place])
    texts = {file.relative_to(package).as_posix(): file.read_text("utf-8") for file in files}
    return fingerprint(sources={name: normalised(text) for name, text in texts.items()})


def normalised(source: str) -> list:
    """Reduce Python source to nested lists of its syntax tree, without comments, docstrings and positions.

    Parameters
    ----------
    source : str
        The text of a module.

    Returns
    -------
    list
        Equal for two sources that run alike. (``ast.dump`` would do, were its form the same in every Python.)

    Examples
    --------
    >>> normalised("x = 1  # a comment") == normalised("x=1")
    True
    """
    return _lists(ast.parse(source))


def _lists(node):
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                fields["body"] = node.body[1:]
        # Empty fields come and go between Python versions.
        kept = [[name, _lists(value)] for name, value in fields.items() if value is not None and value != []]
        return [type(node).__name__, kept]
    if isinstance(node, list):
        return [_lists(part) for part in node]
    return [type(node).__name__, repr(node)]
