"""What every data set looks like once it is read: ratings, items and attributes, checked."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from accent_lib.arguments import instance, number, refused, whole
from accent_lib.datasets.titles import by_title, closest, plain_title
from accent_lib.errors import AccentError, shown
from accent_lib.wording import counted

RATING_COLUMNS = ("user", "item", "rating", "timestamp")
ITEM_COLUMNS = ("title", "year", "genres")
ATTRIBUTE_COLUMNS = ("genres", "directors", "actors")


@dataclass(frozen=True, repr=False)
class Ratings:
    """Ratings, items and attributes with their original ids, as they were read.

    Parameters
    ----------
    name : str
        What the data set is called, such as ``"ml-100k"``.
    ratings : DataFrame, shape (n_ratings, 4)
        Columns ``user``, ``item`` (original ids: whole numbers or texts), ``rating`` (on the scale) and
        ``timestamp`` (seconds since 1970, or the position in the file), one row for each rating, in the order
        of the file.
    items : DataFrame, indexed by original item id
        Columns ``title`` (str), ``year`` (nullable integer) and ``genres`` (tuple of names); any other
        attribute may follow, as names.
    attributes : DataFrame, indexed by original item id
        Columns ``genres``, ``directors`` and ``actors``, each a tuple of integer ids of its own numbering;
        any other attribute may follow. Some items may have no row.
    scale : (float, float)
        Lowest and highest rating that there may be.
    positive_at : float
        From here on a rating is positive, unless :func:`~accent_lib.datasets.prepare` is told otherwise.
    pruning : (int, int) or None
        Positive and negative ratings that a user must have, unless ``prepare`` is told otherwise. None: so
        many that half of the users have them, from 1 to 10.
    notes : tuple of str
        What was understood as the ratings were read: columns, scale, rows.

    Raises
    ------
    AccentError
        If a column is missing, a rating lies outside the scale, a user rated an item twice, an id occurs
        twice, or an item is rated or has attributes but is not among ``items``.

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
    scale: tuple = (1, 5)
    positive_at: float = 3
    pruning: tuple | None = (10, 10)
    notes: tuple = ()

    def __repr__(self):
        return self.describe()

    def describe(self) -> str:
        """What was read, in three lines; of a set that the library loads by itself the last alone."""
        if self.notes:
            return "\n".join(self.notes)
        users, items = (counted(self.ratings[name].nunique(), name) for name in ("user", "item"))
        return f"{self.name}: {counted(len(self.ratings), 'rating')} by {users} of {items}."

    def with_user(self, user, ratings: Mapping) -> "Ratings":
        """The same data with a user more, such as yourself.

        Parameters
        ----------
        user : int or str
            Her id, of the kind that the others have; none of theirs.
        ratings : mapping of item to rating
            Items by id or by title, with the year or without, in the order of time: hers are the latest.

        Raises
        ------
        AccentError
            If there is such a user already, an item is not known or rated twice, or a rating is none.

        Examples
        --------
        >>> from accent_lib.datasets import load
        >>> sample = load("sample")
        >>> more = sample.with_user(0, {"Goodfellas": 5, "annie hall (1977)": 1.5})
        >>> [more.items["title"][item] for item in more.ratings["item"].tail(2)]
        ['Goodfellas (1990)', 'Annie Hall (1977)']
        """
        text = pd.api.types.is_string_dtype(self.ratings["user"])
        if not isinstance(user, str if text else int | np.integer) or isinstance(user, bool):
            kind = "a text" if text else "a whole number"
            raise refused(user, "user", f"an id of her own: {kind}, as the others are")
        if (self.ratings["user"] == user).any():
            raise AccentError(f"There is a user {shown(user)} already in '{self.name}'; give another id.")
        what = "a dict of item to rating, such as {'Alien': 4}"
        if not instance(ratings, "ratings", Mapping, what):
            raise refused(ratings, "ratings", what)
        items = self._items_of(ratings)
        for place, item in enumerate(items):
            if item in items[:place]:
                pair = " and ".join(repr(list(ratings)[at])[:60] for at in (items.index(item), place))
                raise AccentError(f"`ratings` names {self.items['title'][item]} twice, as {pair}; keep one.")
        stars = [number(rating, f"ratings[{name!r:.60}]", *self.scale) for name, rating in ratings.items()]
        latest = int(self.ratings["timestamp"].max()) + 1 if len(self.ratings) else 0
        rows = pd.DataFrame(
            {"user": user, "item": items, "rating": stars, "timestamp": range(latest, latest + len(items))}
        )
        note = f"Added: {counted(len(rows), 'rating')} by user {shown(user)}."
        notes = (*self.notes, note) if self.notes else ()
        return replace(self, ratings=pd.concat([self.ratings, rows], ignore_index=True), notes=notes)

    def _items_of(self, names):
        """Ids of items that are named by id or by title."""
        titles = self.items["title"]
        known = by_title(self.items.index, titles, self.items["year"])
        items = []
        for name in names:
            same = [name] if name in self.items.index else []
            if isinstance(name, str):
                same = same or known.get(plain_title(name), [])
            if not same:
                near = closest(name, known) if isinstance(name, str) else None
                hint = "." if near is None else f"; did you mean {titles[near]!r}?"
                raise AccentError(f"'{self.name}' has no item {shown(name)}{hint}")
            if len(same) > 1:
                several = ", ".join(f"{item}: {titles[item]}" for item in same[:5])
                raise AccentError(
                    f"{shown(name)} may be any of {len(same)} items ({several:.200}); give the id."
                )
            items += same
        return items

    def __post_init__(self):
        """Refuse tables that do not fit together."""
        instance(self.name, "name", str, "the name of the data set, a text")
        self._check_scale()
        tables = {"ratings": RATING_COLUMNS, "items": ITEM_COLUMNS, "attributes": ATTRIBUTE_COLUMNS}
        for table, wanted in tables.items():
            instance(getattr(self, table), table, pd.DataFrame, f"a DataFrame with {', '.join(wanted)}")
            missing = [column for column in wanted if column not in getattr(self, table)]
            if missing:
                raise AccentError(
                    f"The table `{table}` of '{self.name}' lacks the column(s) {', '.join(missing)}."
                )
        for column in RATING_COLUMNS:
            dtype = self.ratings[column].dtype
            missing = self.ratings[column].isna().to_numpy()
            if missing.any() and (column != "rating" or pd.api.types.is_extension_array_dtype(dtype)):
                raise AccentError(
                    f"Row {int(missing.argmax())} of the ratings of '{self.name}': the {column} is "
                    "missing; add it or remove the row."
                )
            fits = pd.api.types.is_numeric_dtype if column == "rating" else pd.api.types.is_integer_dtype
            if pd.api.types.is_bool_dtype(dtype):
                fits = lambda dtype: False  # noqa: E731
            is_text = column in ("user", "item") and pd.api.types.is_string_dtype(self.ratings[column])
            if not fits(dtype) and not is_text:
                raise AccentError(
                    f"The column `{column}` of the ratings of '{self.name}' holds {dtype}, but must hold "
                    f"{'numbers' if column == 'rating' else 'whole numbers'}; convert it."
                )
        self._plain_numbers()
        for table in ("items", "attributes"):
            index = getattr(self, table).index
            if index.has_duplicates:
                again = index[index.duplicated()][0]
                raise AccentError(f"The table `{table}` of '{self.name}' has item {again} twice; keep one.")
        problem = first_problem(self.ratings, self.items, self.scale)
        if problem is not None:
            row, sentence = problem
            raise AccentError(f"Row {row} of the ratings of '{self.name}': {sentence}")
        unknown = self.attributes.index.difference(self.items.index)
        if len(unknown):
            raise AccentError(
                f"The attribute table of '{self.name}' describes item {unknown[0]}, which the item table "
                "does not have; add the item or remove its attribute row."
            )

    def _check_scale(self):
        scale = self.scale
        if not isinstance(scale, tuple | list) or len(scale) != 2:
            raise refused(scale, "scale", "the lowest and the highest rating, such as (1, 5)")
        low, high = (number(end, "scale") for end in scale)
        if not low < high:
            raise refused(scale, "scale", "a lower and a higher number, such as (1, 5)")
        if not low <= number(self.positive_at, "positive_at") <= high:
            raise refused(self.positive_at, "positive_at", f"on the scale, from {low:g} to {high:g}")
        if self.pruning is not None:
            what = "None, or the positive and the negative ratings that a user must have"
            for least in instance(self.pruning, "pruning", tuple | list, what) or [None]:
                whole(least, "pruning", 0)
            if len(self.pruning) != 2:
                raise refused(self.pruning, "pruning", what)
        for note in instance(self.notes, "notes", tuple | list, "a tuple of sentences"):
            instance(note, "notes", str, "a tuple of sentences")

    def _plain_numbers(self):
        """Take pandas' nullable numbers as NumPy's, since none is missing."""
        nullable = {
            column: self.ratings[column].dtype.numpy_dtype
            for column in RATING_COLUMNS
            if hasattr(self.ratings[column].dtype, "numpy_dtype")
            and pd.api.types.is_numeric_dtype(self.ratings[column].dtype)
        }
        if nullable:  # a frozen dataclass has no other way
            object.__setattr__(self, "ratings", self.ratings.astype(nullable))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the content of all three tables, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        add_columns(digest, self.ratings, RATING_COLUMNS)
        add_tuples(digest, self.items, ITEM_COLUMNS)
        add_tuples(digest, self.attributes, list(self.attributes))
        return digest.hexdigest()


def first_problem(ratings, items=None, scale=(1, 5)) -> tuple[int, str] | None:
    """Row of the first rating that cannot be right, from 0, and a sentence about it; None when all is well.

    Without ``items``, indexed by the ids of the items that exist, any item may be rated; ``scale`` is the
    lowest and the highest rating.
    """
    user, item, rating = (ratings[name].to_numpy() for name in ("user", "item", "rating"))
    known = np.ones(len(item), bool) if items is None else ratings["item"].isin(items.index).to_numpy()
    low, high = scale
    twice, fits = ratings.duplicated(["user", "item"]).to_numpy(), (rating >= low) & (rating <= high)
    outside = f"the rating is {{2}}, but ratings go from {low:g} to {high:g}; correct or remove it."
    for wrong, sentence in (
        (~fits, outside),
        (~known, "item {1} is rated, but the item table lacks it; add it or remove the rating."),
        (twice, "user {0} has already rated item {1} further up; keep one of the two ratings."),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            return row, sentence.format(user[row], item[row], rating[row])
    return None


def add_columns(digest, frame, columns) -> None:
    """Feed columns of numbers or texts to a hash, the same bytes on every machine."""
    for column in columns:
        values = frame[column].to_numpy()
        if values.dtype == object:
            digest.update(json.dumps([column, *values]).encode() + b"\n")
            continue
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
