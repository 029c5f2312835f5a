"""What every data set looks like once it is read: ratings, items and attributes, checked."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from accent_lib.errors import AccentError

RATING_COLUMNS = ("user", "item", "rating", "timestamp")
ITEM_COLUMNS = ("title", "year", "genres")
ATTRIBUTE_COLUMNS = ("genres", "directors", "actors")


@dataclass(frozen=True)
class Ratings:
    """Ratings, items and attributes with their original ids, as they were read.

    Parameters
    ----------
    name : str
        What the data set is called, such as ``"ml-100k"``.
    ratings : DataFrame, shape (n_ratings, 4)
        Columns ``user``, ``item`` (original ids), ``rating`` (1 to 5) and ``timestamp`` (seconds since 1970),
        one row for each rating, in the order of the file.
    items : DataFrame, indexed by original item id
        Columns ``title`` (str), ``year`` (nullable integer) and ``genres`` (tuple of names).
    attributes : DataFrame, indexed by original item id
        Columns ``genres``, ``directors`` and ``actors``, each a tuple of integer ids of its own numbering.
        Some items may have no row.

    Raises
    ------
    AccentError
        If a column is missing, a rating lies outside 1 to 5, a user rated an item twice, an id occurs twice,
        or an item is rated or has attributes but is not among ``items``.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> ratings = load("sample")
    >>> ratings.name, list(ratings.items)
    ('sample', ['title', 'year', 'genres'])
    """

    name: str
    ratings: pd.DataFrame
    items: pd.DataFrame
    attributes: pd.DataFrame

    def __post_init__(self):
        """Refuse tables that do not fit together."""
        tables = {"ratings": RATING_COLUMNS, "items": ITEM_COLUMNS, "attributes": ATTRIBUTE_COLUMNS}
        for table, wanted in tables.items():
            missing = [column for column in wanted if column not in getattr(self, table)]
            if missing:
                raise AccentError(
                    f"The table `{table}` of '{self.name}' lacks the column(s) {', '.join(missing)}."
                )
        for column in RATING_COLUMNS:
            dtype = self.ratings[column].dtype
            fits = pd.api.types.is_numeric_dtype if column == "rating" else pd.api.types.is_integer_dtype
            if not fits(dtype):
                raise AccentError(
                    f"The column `{column}` of the ratings of '{self.name}' holds {dtype}, but must hold "
                    f"{'numbers' if column == 'rating' else 'whole numbers'}; convert it."
                )
        for table in ("items", "attributes"):
            index = getattr(self, table).index
            if index.has_duplicates:
                again = index[index.duplicated()][0]
                raise AccentError(f"The table `{table}` of '{self.name}' has item {again} twice; keep one.")
        problem = first_problem(self.ratings, self.items)
        if problem is not None:
            row, sentence = problem
            raise AccentError(f"Row {row} of the ratings of '{self.name}': {sentence}")
        unknown = self.attributes.index.difference(self.items.index)
        if len(unknown):
            raise AccentError(
                f"The attribute table of '{self.name}' describes item {unknown[0]}, which the item table "
                "does not have; add the item or remove its attribute row."
            )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the content of all three tables, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        add_columns(digest, self.ratings, RATING_COLUMNS)
        add_tuples(digest, self.items, ITEM_COLUMNS)
        add_tuples(digest, self.attributes, ATTRIBUTE_COLUMNS)
        return digest.hexdigest()


def first_problem(ratings, items=None) -> tuple[int, str] | None:
    """Row of the first rating that cannot be right, from 0, and a sentence about it; None when all is well.

    Without ``items``, indexed by the ids of the items that exist, any item may be rated.
    """
    user, item, rating = (ratings[name].to_numpy() for name in ("user", "item", "rating"))
    known = np.ones(len(item), bool) if items is None else ratings["item"].isin(items.index).to_numpy()
    twice, fits = ratings.duplicated(["user", "item"]).to_numpy(), (rating >= 1) & (rating <= 5)
    for wrong, sentence in (
        (~fits, "the rating is {2}, but ratings go from 1 to 5; correct or remove it."),
        (~known, "item {1} is rated, but the item table lacks it; add it or remove the rating."),
        (twice, "user {0} has already rated item {1} further up; keep one of the two ratings."),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            return row, sentence.format(user[row], item[row], rating[row])
    return None


def add_columns(digest, frame, columns) -> None:
    """Feed numeric columns to a hash, the same bytes on every machine."""
    for column in columns:
        values = frame[column].to_numpy()
        kind = "<f8" if np.issubdtype(values.dtype, np.floating) else "<i8"
        digest.update(f"{column} {kind} {len(values)}\n".encode())
        digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())


def add_tuples(digest, frame, columns) -> None:
    """Feed columns of texts, years or tuples to a hash, row by row and with the index."""
    for index, *values in frame[list(columns)].itertuples(name=None):
        plain = [None if value is pd.NA else value for value in values]
        digest.update(json.dumps([index, *plain], default=int).encode() + b"\n")


def object_array(rows) -> np.ndarray:
    """Put tuples in an object array, shape (n,), which NumPy would otherwise make two-dimensional."""
    rows = list(rows)
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array
