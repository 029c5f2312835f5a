"""From ratings to interactions: prune, hold out, re-index (the paper's section 3.1)."""

import hashlib
import warnings
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from numbers import Real

import numpy as np
import pandas as pd

from accent_lib.arguments import number, refused, user_of, whole
from accent_lib.datasets.ratings import RATING_COLUMNS, Ratings, add_columns, add_tuples
from accent_lib.errors import AccentError, AccentWarning
from accent_lib.wording import counted

INTERACTION_COLUMNS = (*RATING_COLUMNS, "positive")
#: Ratings that an item of a table of one's own must have: of fewer, hardly anything can be learned.
USUAL_RATINGS = 5


@dataclass(frozen=True)
class Interactions:
    """Pruned ratings, split in training and held-out ones, with users and items numbered from 0.

    Items are numbered over *all* rows of the attribute table, so an index means the same film in every model,
    even where a film has no training interaction left.

    Parameters
    ----------
    name : str
        The data set's name.
    n_users, n_items : int
        Users kept, and rows of the attribute table.
    train, test : DataFrame
        Columns ``user``, ``item`` (indices from 0), ``rating``, ``timestamp`` (seconds) and ``positive``
        (bool), sorted by user, then time; equal times stay in the order of the ratings file. The index is a
        RangeIndex.
    user_ids, item_ids : ndarray, shapes (n_users,) and (n_items,)
        Original ids by index, ascending.
    titles : ndarray of str, shape (n_items,)
        Titles by index; two items may share one.
    years : IntegerArray, shape (n_items,)
        Years by index, missing where unknown.
    genres : ndarray of tuple of str, shape (n_items,)
        Genre names by index.
    attributes : DataFrame, shape (n_items, 3 or more)
        Columns ``genres``, ``directors``, ``actors`` and any other that was read: tuples of ids, by item
        index.
    steps : DataFrame
        What each step left: columns ``step``, ``users``, ``items``, ``interactions``.
    settings : dict
        The thresholds used: ``positive_at``, ``min_positive``, ``min_negative``, ``holdout``.
    scale : (float, float)
        Lowest and highest rating that there may be.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> history = data.train[data.rows(3)]
    >>> bool((history["user"] == 3).all()), history["timestamp"].is_monotonic_increasing
    (True, True)
    """

    name: str
    n_users: int
    n_items: int
    train: pd.DataFrame
    test: pd.DataFrame
    user_ids: np.ndarray
    item_ids: np.ndarray
    titles: np.ndarray
    years: pd.api.extensions.ExtensionArray
    genres: np.ndarray
    attributes: pd.DataFrame
    steps: pd.DataFrame
    settings: dict
    scale: tuple = (1, 5)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over all that can change a number: not titles, years, genre names."""
        digest = hashlib.sha256()
        add_columns(digest, self.train, INTERACTION_COLUMNS)
        add_columns(digest, self.test, INTERACTION_COLUMNS)
        add_columns(digest, {"user_ids": pd.Series(self.user_ids)}, ["user_ids"])
        add_columns(digest, {"item_ids": pd.Series(self.item_ids)}, ["item_ids"])
        add_tuples(digest, self.attributes, list(self.attributes))
        return digest.hexdigest()

    @property
    def loses_most(self) -> bool:
        """Whether more than half of the users were left out."""
        before, after = self.steps["users"].iloc[[0, -3]]
        return bool(2 * after < before)

    def describe(self) -> str:
        """How many items and users are left and why; it says so where more than half of the users went."""
        before, after = self.steps["users"].iloc[[0, -3]]
        rated, many = self.steps["items"].iloc[[1, -4]], self.settings["min_ratings"]
        least = self.settings["min_positive"], self.settings["min_negative"]
        have = "has" if after == 1 else "have"
        sentence = (
            f"{after:,} of {counted(before, 'user')} {have} at least {least[0]} positive and "
            f"{counted(least[1], 'negative rating')}"
        )
        if many > 1:
            have = "has" if rated.iloc[1] == 1 else "have"
            items = f"{rated.iloc[1]:,} of {counted(rated.iloc[0], 'item')} {have} at least {many} ratings"
            sentence = f"{items}; with these, {sentence}"
        if not self.loses_most:
            return f"{sentence}."
        return (
            f"{sentence}, so more than half of them are left out; lower `min_positive` or `min_negative`, or "
            "change `positive_at`, to keep more."
        )

    @cached_property
    def _starts(self):
        return np.searchsorted(self.train["user"].to_numpy(), np.arange(self.n_users + 1))

    def rows(self, user) -> slice:
        """Where a user's interactions stand in ``train``, which has her history there in time order.

        Raises
        ------
        AccentError
            If there is no such user.
        """
        user = user_of(self, user)
        return slice(int(self._starts[user]), int(self._starts[user + 1]))


def prepare(
    ratings,
    positive_at=None,
    min_positive=None,
    min_negative=None,
    holdout=0.2,
    min_ratings=None,
    report=None,
    max_users=None,
) -> "Interactions":
    """Prune ratings, hold some out, and number users and items from 0.

    Drops items without attributes or with too few ratings, then users with too few positive or too few
    negative ratings. Of each user who is left, the last ``floor(holdout * n)`` positives and the last
    ``floor(holdout * n)`` negatives by time are held out; equal times are taken in the order of the file.

    Parameters
    ----------
    ratings : Ratings
        The data set as read.
    positive_at : float, optional
        A rating is positive from this value on. Default: as the ratings say; 3 for MovieLens 100K.
    min_positive, min_negative : int, optional
        Ratings of each sign that a user must have, counted before anything is held out. Default: as the
        ratings say, 10 of each for MovieLens 100K; for a table of one's own so many, up to 10 and the same of
        both, that four in five users have them. Where nothing is disliked, only the liked are counted.
    holdout : float
        Share held out of each user's positives and of her negatives, at least 0 and below 1.
    min_ratings : int, optional
        Ratings that an item must have. Default: 1 where the ratings say how to prune users, as MovieLens 100K
        does; for a table of one's own 5, if that leaves three in four ratings, else 1.
    report : callable, optional
        Is given what ``Interactions.describe()`` says, such as ``print``.
    max_users : int, optional
        Users to keep at most, where all would be too many: those who are left are put in the order of their
        number of ratings, and so many are taken at even distances. Items that none of these has rated are
        left out. Default: all.

    Returns
    -------
    Interactions

    Raises
    ------
    AccentError
        If a threshold makes no sense, or if the thresholds leave nobody.

    Warns
    -----
    AccentWarning
        If default thresholds leave out more than half of the users of a table of one's own.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> prepare(load("sample")).n_users > 0
    True
    """
    if not isinstance(ratings, Ratings):
        what = (
            "has prepared these Interactions already: take them as they are"
            if isinstance(ratings, Interactions)
            else f"takes ratings, as from read_ratings() or load(), not {type(ratings).__name__}"
        )
        raise AccentError(f"prepare() {what}.")
    positive_at = ratings.positive_at if positive_at is None else positive_at
    least = {"min_positive": min_positive, "min_negative": min_negative, "min_ratings": min_ratings}
    share = _check_settings(ratings.scale, positive_at, least, holdout)
    chosen_here = ratings.pruning is None and min_positive is None and min_negative is None
    min_positive, min_negative, min_ratings = least.values()
    if report is not None and not callable(report):
        raise refused(report, "report", "a function of a sentence, such as print")
    table = ratings.ratings.loc[:, list(RATING_COLUMNS)]
    steps = [_count("as read", table)]

    attributes = ratings.attributes.sort_index()
    table = table[table["item"].isin(attributes.index)]
    steps.append(_count("of films with attributes", table))
    counts = table["item"].value_counts()
    if min_ratings is None:
        enough = counts[counts >= USUAL_RATINGS].sum() >= 0.75 * len(table)
        min_ratings = USUAL_RATINGS if ratings.pruning is None and enough else 1
    if min_ratings > 1:
        attributes = attributes[attributes.index.isin(counts.index[counts >= min_ratings])]
        table = table[table["item"].isin(attributes.index)]
        steps.append(_count(f"of items with ≥ {min_ratings} ratings", table))

    table = table.assign(positive=table["rating"] >= positive_at)
    if table.empty:
        raise AccentError(
            f"No user of '{ratings.name}' is left, for no item has attributes and {min_ratings} ratings; "
            "lower `min_ratings`."
        )
    usual = ratings.pruning or _usual(table)
    min_positive = usual[0] if min_positive is None else min_positive
    min_negative = usual[1] if min_negative is None else min_negative
    table = table[_enough(table, min_positive, min_negative)]
    step = f"of users with ≥ {min_positive} positive and ≥ {min_negative} negative"
    steps.append(_count(step, table))
    if table.empty:
        raise AccentError(
            f"No user of '{ratings.name}' is left: none of the {steps[0][1]} has both "
            f"{counted(min_positive, 'rating')} of at least {positive_at:g} and {min_negative} below; lower "
            "`min_positive` or `min_negative`, or change `positive_at`."
        )

    few = {}
    if max_users is not None and whole(max_users, "max_users", 1) < table["user"].nunique():
        few = {"max_users": int(max_users)}
        table = table[table["user"].isin(_spread(table["user"], few["max_users"]))]
        attributes = attributes[attributes.index.isin(table["item"])]
        steps.append(_count(f"of {few['max_users']} of these users", table))

    user_ids, users = np.unique(table["user"].to_numpy(), return_inverse=True)
    table = table.assign(user=users, item=attributes.index.get_indexer(table["item"]))
    # Stable, so that equal times keep the order of the file and the same file always gives the same split.
    table = table.sort_values(["user", "timestamp"], kind="stable", ignore_index=True)
    held_out = _last(table, share)
    train = table[~held_out].reset_index(drop=True)
    test = table[held_out].reset_index(drop=True)
    steps += [_count("training", train), _count("held out", test)]

    items = ratings.items.loc[attributes.index]
    data = Interactions(
        name=ratings.name,
        n_users=len(user_ids),
        n_items=len(attributes),
        train=train,
        test=test,
        user_ids=user_ids,
        item_ids=attributes.index.to_numpy(),
        titles=items["title"].to_numpy(dtype=object),
        years=items["year"].array.astype("Int64"),
        genres=items["genres"].to_numpy(dtype=object),
        attributes=attributes.reset_index(drop=True),
        steps=pd.DataFrame(steps, columns=["step", "users", "items", "interactions"]),
        settings={
            "positive_at": positive_at,
            "min_positive": min_positive,
            "min_negative": min_negative,
            "holdout": holdout,
            "min_ratings": min_ratings,
            **few,
        },
        scale=ratings.scale,
    )
    if report is not None:
        report(data.describe())
    if chosen_here and data.loses_most:
        warnings.warn(f"Of '{data.name}' {data.describe()}", AccentWarning, stacklevel=2)
    return data


def _spread(users, n):
    """So many of the users at even distances, in the order of how often each occurs."""
    order = users.value_counts(ascending=True, sort=False).sort_index().sort_values(kind="stable").index
    return order[np.linspace(0, len(order) - 1, n).round().astype(int)]


def _usual(table):
    """Thresholds that four in five users reach, if any from 1 to 10 does."""
    positive = table.groupby("user")["positive"].agg(["sum", "size"])
    negative = positive["size"] - positive["sum"]
    if not negative.any():
        return int(np.clip(positive["sum"].quantile(0.2), 1, 10)), 0
    least = int(np.clip(np.minimum(positive["sum"], negative).quantile(0.2), 1, 10))
    return least, least


def _check_settings(scale, positive_at, least, holdout):
    """Refuse thresholds that make no sense; return the held-out share as an exact fraction."""
    low, high = scale
    if not low <= number(positive_at, "positive_at") <= high:
        what = f"a number on the scale of the ratings, from {low:g} to {high:g}"
        raise refused(positive_at, "positive_at", what)
    for name, value in least.items():
        least[name] = None if value is None else whole(value, name, 0)
    if not 0 <= number(holdout, "holdout") < 1:
        raise refused(holdout, "holdout", "a share of at least 0 and below 1")
    # The decimal that was written, not its binary neighbour: 0.29 of 100 is 29 and not 28.
    return Fraction(str(holdout if isinstance(holdout, Real) else holdout.item()))


def _count(step, table):
    """One row of the table of steps."""
    return step, table["user"].nunique(), table["item"].nunique(), len(table)


def _enough(table, min_positive, min_negative):
    """Mark the ratings of users with enough of both signs: bool, shape (n_ratings,)."""
    by_user = table.groupby("user")["positive"]
    positive = by_user.transform("sum").to_numpy()
    negative = by_user.transform("size").to_numpy() - positive
    return (positive >= min_positive) & (negative >= min_negative)


def _last(table, share):
    """Mark the last share of each user's positives and negatives in a sorted table: bool, shape (n,)."""
    groups = table.groupby(["user", "positive"])
    size = groups["item"].transform("size").to_numpy()
    from_the_end = groups.cumcount(ascending=False).to_numpy()
    # In Python's numbers, which do not overflow: a share may have a very long denominator.
    sizes, which = np.unique(size, return_inverse=True)
    of_size = [int(each) * share.numerator // share.denominator for each in sizes]
    return from_the_end < np.array(of_size, int)[which]
