"""Data sets: MovieLens 100K, and an embedded sample that needs no download."""

from accent_lib.datasets.interactions import Interactions, prepare
from accent_lib.datasets.movielens import load_movielens
from accent_lib.datasets.ratings import Ratings
from accent_lib.datasets.sample import generate
from accent_lib.errors import AccentError

__all__ = ["Interactions", "Ratings", "load", "prepare"]


def load(name, data_home=None) -> Ratings:
    """Load a data set as it was published.

    ``"ml-100k"`` is looked for in ``data_home``, else in the folder that the variable ``ACCENT_DATA_HOME``
    names, else in the per-user cache; only when none of the three is there is it downloaded into the cache.
    Whatever the place, each file is checked against its SHA-256 hash. ``"sample"`` is generated and needs no
    file.

    Parameters
    ----------
    name : {"ml-100k", "sample"}
        Which data set.
    data_home : path, optional
        Folder that holds ``ml-100k/`` and ``rcf/``. Given, no other place is looked at.

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
    if name == "sample":
        return generate()
    if name == "ml-100k":
        return load_movielens(data_home)
    raise AccentError(f"There is no data set {name!r}; choose 'ml-100k' or 'sample'.")
