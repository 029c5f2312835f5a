"""Data sets: any table of ratings, those of MovieLens by name, and a sample that needs no download."""

import os

from accent_lib.arguments import refused
from accent_lib.datasets.interactions import Interactions, prepare
from accent_lib.datasets.movielens import TABLES, load_movielens, load_table
from accent_lib.datasets.ratings import Ratings
from accent_lib.datasets.reader import read_ratings
from accent_lib.datasets.sample import generate
from accent_lib.errors import AccentError, shown

__all__ = ["Interactions", "Ratings", "load", "prepare", "read_ratings"]


def load(name, data_home=None) -> Ratings:
    """Load a data set as it was published.

    A set of MovieLens is looked for in ``data_home``, else in the folder that the variable
    ``ACCENT_DATA_HOME`` names, else in the per-user cache; only when none of the three is there is it
    downloaded into the cache. Whatever the place, each file of ``ml-100k`` and ``ml-latest-small`` is checked
    against its SHA-256 hash. Of the others GroupLens publishes the MD5 hash of the archive: a download is
    checked against it, but a file that you put into a data home is taken as it is. ``"sample"`` is generated
    and needs no file.

    Parameters
    ----------
    name : {"sample", "ml-100k", "ml-latest-small", "ml-1m", "ml-10m", "ml-25m", "ml-32m"}
        Which data set; a file of one's own is for :func:`read_ratings`.
    data_home : path, optional
        Folder that holds a folder of the set's name, and for ``ml-100k`` also ``rcf/``. Given, no other place
        is looked at.

    Returns
    -------
    Ratings
        Ratings, items and attributes with their original ids.

    Raises
    ------
    AccentError
        If the name is unknown, or a file cannot be had or is not the pinned one.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> list(load("sample").ratings)
    ['user', 'item', 'rating', 'timestamp']
    """
    if data_home is not None and not isinstance(data_home, str | os.PathLike):
        raise refused(data_home, "data_home", "the path of a folder, or None")
    name = name if isinstance(name, str) else shown(name)
    if name == "sample":
        return generate()
    if name == "ml-100k":
        return load_movielens(data_home)
    if name in TABLES:
        return load_table(name, data_home)
    names = ", ".join(map(repr, ("ml-100k", *TABLES)))
    raise AccentError(
        f"There is no data set {shown(name)}; choose 'sample' or one of {names}, or read a file of your "
        "own by read_ratings(path)."
    )
