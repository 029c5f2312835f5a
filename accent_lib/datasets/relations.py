"""What RCF learns from beside ratings: relations between films, training triples and relation triples.

Two films are *related* by every attribute value that both have: a genre, a director or an actor.  Each shared
value is an *entry* of its own; films that share nothing have one entry, the value 0 of type 0.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse

from accent_lib.datasets.fetch import fetch
from accent_lib.datasets.ratings import ATTRIBUTE_COLUMNS
from accent_lib.errors import AccentError

#: Names of the types of relation; their positions are their numbers.
TYPES = ("none", "genre", "director", "actor")
#: Columns of a table of relation triples: what relates ``head`` to ``tail`` and not to ``other``.
COLUMNS = ["head", "type", "value", "tail", "other"]


@dataclass(frozen=True)
class Relations:
    """The values that any two items share, as one sparse table over pairs of items.

    Values of all types are numbered through: 0 stands for "nothing shared", then come the genres, the
    directors and the actors. A value that only one item has relates nothing and gets no number.

    Attributes
    ----------
    has : csr_matrix of bool, shape (n_items, n_values)
        Which item has which value.
    types : ndarray of int8, shape (n_values,)
        Type of each value, 0 to 3, ascending.
    ids : ndarray of int, shape (n_values,)
        What the attribute table calls each value, ascending within a type.
    pointers : ndarray of int32, shape (n_items * n_items + 1,)
        The entries of the pair (i, j) are ``values[pointers[p]:pointers[p + 1]]`` with
        ``p = i * n_items + j``.  An item has none with itself.
    values : ndarray of int16, shape (n_entries,)
        Numbers of the shared values, ascending within a pair, so that equal types stand together.

    Examples
    --------
    Two films share a genre, and the first shares an actor with the third:

    >>> attributes = pd.DataFrame({
    ...     "genres": [(1,), (1,), ()], "directors": [(), (), ()], "actors": [(7,), (), (7,)],
    ... })
    >>> relations = Relations.of(attributes)
    >>> [TYPES[type_] for type_ in relations.types]
    ['none', 'genre', 'actor']
    >>> relations.entries(0, 1).tolist(), relations.entries(0, 2).tolist(), relations.entries(1, 2).tolist()
    ([1], [2], [0])
    """

    has: sparse.csr_matrix
    types: np.ndarray
    ids: np.ndarray
    pointers: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, attributes: pd.DataFrame) -> "Relations":
        """Find all relations between the items of an attribute table.

        Parameters
        ----------
        attributes : DataFrame, shape (n_items, 3)
            As in :class:`~accent_lib.datasets.Interactions`.

        Raises
        ------
        AccentError
            If there are more values than the compact table can number.
        """
        ids, tables = [np.zeros(1, int)], [sparse.csr_matrix((len(attributes), 1), dtype=bool)]
        for column in ATTRIBUTE_COLUMNS:
            lists = attributes[column].map(set).map(sorted).tolist()
            rows = np.repeat(np.arange(len(lists)), [len(values) for values in lists])
            numbers = np.array([value for values in lists for value in values], int)
            shape = (len(lists), int(numbers.max(initial=-1)) + 1)
            table = sparse.csc_matrix((np.ones(len(numbers), bool), (rows, numbers)), shape)
            ids.append(np.flatnonzero(np.diff(table.indptr) > 1))
            tables.append(table[:, ids[-1]])
        has = sparse.hstack(tables, format="csr")
        has.sort_indices()
        if has.shape[1] > np.iinfo(np.int16).max:
            raise AccentError(f"There are {has.shape[1]:,} attribute values, but at most 32,767 can be used.")
        types = np.repeat(np.arange(len(TYPES), dtype=np.int8), [len(values) for values in ids])
        return cls(has, types, np.concatenate(ids), *_shared(has))

    @property
    def n_items(self) -> int:
        """Number of items, whether or not they have attributes."""
        return self.has.shape[0]

    @cached_property
    def counts(self) -> np.ndarray:
        """Entries of each pair by type, shape (4, n_items, n_items); the diagonals are zero."""
        size = self.n_items**2
        pairs = np.repeat(np.arange(size), np.diff(self.pointers))
        flat = np.bincount(self.types[self.values].astype(int) * size + pairs, minlength=len(TYPES) * size)
        return flat.reshape(len(TYPES), self.n_items, self.n_items).astype(np.int16)

    def entries(self, target: int, item: int) -> np.ndarray:
        """Numbers of the values that two items share; ``[0]`` where they share none."""
        pair = target * self.n_items + item
        return self.values[self.pointers[pair] : self.pointers[pair + 1]]


def _shared(has):
    """Pointers and values of :class:`Relations`."""
    n = has.shape[0]
    by_value = has.tocsc()
    sizes = np.diff(by_value.indptr)[has.indices]  # how many items have the value of each (item, value)
    first = np.repeat(np.repeat(np.arange(n), np.diff(has.indptr)), sizes)
    value = np.repeat(has.indices, sizes)
    within = np.arange(len(value)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    second = by_value.indices[by_value.indptr[value] + within]
    pairs = first.astype(np.int64) * n + second
    size = np.bincount(pairs, minlength=n * n)
    nothing = np.flatnonzero(size == 0)
    pairs = np.concatenate([pairs, nothing])
    value = np.concatenate([value, np.zeros(len(nothing), value.dtype)])
    other = pairs // n != pairs % n
    pairs, value = pairs[other], value[other]
    order = np.argsort(pairs, kind="stable")  # stable: the values of a pair stay in ascending order
    pointers = np.concatenate([[0], np.cumsum(np.bincount(pairs, minlength=n * n))])
    return pointers.astype(np.int32), value[order].astype(np.int16)


def training_triples(data, relations: Relations) -> np.ndarray:
    """One triple (user, liked item, disliked item) for each training positive.

    The disliked item is the one of the same user's training negatives that shares the most *types* of
    relation with the liked one, then the most values, then the one used least so far, then the oldest: the
    hardest to tell apart.  Positives are visited in the order of time.

    Parameters
    ----------
    data : Interactions
    relations : Relations

    Returns
    -------
    ndarray of int, shape (n_positives, 3)
        Sorted by user, then time.

    Raises
    ------
    AccentError
        If a user has no training negative.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> triples = training_triples(data, Relations.of(data.attributes))
    >>> triples.shape == (int(data.train["positive"].sum()), 3)
    True
    """
    shared = relations.counts[1:]
    types, values = (shared > 0).sum(0), shared.sum(0)
    items, positive = data.train["item"].to_numpy(), data.train["positive"].to_numpy()
    triples = []
    for user in range(data.n_users):
        rows = data.rows(user)
        liked, disliked = items[rows][positive[rows]], items[rows][~positive[rows]]
        if not len(disliked):
            raise AccentError(
                f"User {user} has no disliked training item, which RCF needs: raise min_negative in notebook "
                "01_data."
            )
        used = np.zeros(len(disliked), int)
        oldest = np.arange(len(disliked))
        for item in liked:
            best = np.lexsort((oldest, used, -values[item, disliked], -types[item, disliked]))[0]
            used[best] += 1
            triples.append((user, item, disliked[best]))
    return np.array(triples)


def held_out_pairs(data) -> pd.DataFrame:
    """Every held-out liked item of a user with every held-out disliked one: ``user, liked, disliked``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> test = pd.DataFrame({"user": 0, "item": [4, 7, 9], "positive": [True, True, False]})
    >>> held_out_pairs(SimpleNamespace(test=test)).values.tolist()
    [[0, 4, 9], [0, 7, 9]]
    """
    liked, disliked = (
        data.test.loc[data.test["positive"] == sign, ["user", "item"]] for sign in (True, False)
    )
    return liked.merge(disliked, on="user", suffixes=("_liked", "_disliked")).set_axis(
        ["user", "liked", "disliked"], axis=1
    )


def draw_relation_triples(data, relations: Relations, seed: int = 0) -> pd.DataFrame:
    """Draw the triples of the relation loss.

    For each training positive of a user (the *head*) and each type, if another of her training positives
    shares a value of that type with it: one such value and item (the *tail*), and one item of the whole table
    that does not have this value (the *other*).  Values that all items have are left out.

    Parameters
    ----------
    data : Interactions
    relations : Relations
    seed : int

    Returns
    -------
    DataFrame
        Columns ``head, type, value, tail, other``; values are numbered as in :class:`Relations`.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> relations = Relations.of(data.attributes)
    >>> row = draw_relation_triples(data, relations).iloc[0]
    >>> bool(relations.has[row["head"], row["value"]] and relations.has[row["tail"], row["value"]])
    True
    >>> bool(relations.has[row["other"], row["value"]])
    False
    """
    generator = np.random.default_rng(seed)
    telling = np.asarray(relations.has.sum(0)).ravel() < relations.n_items
    items, positive = data.train["item"].to_numpy(), data.train["positive"].to_numpy()
    drawn = []
    for user in range(data.n_users):
        rows = data.rows(user)
        liked = items[rows][positive[rows]]
        # All (head, value) pairs of her positives, and for each the number of her other items with the value.
        table = relations.has[liked].tocoo()
        heads, values = table.coords
        others = (np.bincount(values, minlength=table.shape[1])[values] - 1) * telling[values]
        for type_ in range(1, len(TYPES)):
            drawn += _draw_tails(generator, liked, heads, values, others * (relations.types[values] == type_))
    heads, values, tails = np.array(drawn, int).reshape(-1, 3).T
    triples = {"head": heads, "type": relations.types[values].astype(int), "value": values, "tail": tails}
    return pd.DataFrame(triples | {"other": _without(generator, relations, values)})


def _draw_tails(generator, liked, heads, values, others):
    """Draw one (value, tail) for each head that has any, all (value, tail) being equally likely."""
    order = np.lexsort((values, heads))
    heads, values, others = heads[order], values[order], others[order]
    reach = np.cumsum(others)
    ends = np.append(0, reach)[np.searchsorted(heads, np.arange(len(liked)), side="right")]
    totals = np.diff(ends, prepend=0)
    shared = np.flatnonzero(totals)
    picked = np.searchsorted(reach, ends[shared] - 1 - generator.integers(totals[shared]), side="right")
    drawn = []
    for head, value in zip(shared, values[picked], strict=True):
        tails = heads[(values == value) & (heads != head)]
        drawn.append((liked[head], value, liked[tails[generator.integers(len(tails))]]))
    return drawn


def _without(generator, relations, values):
    """Draw for each value an item that does not have it."""
    items = generator.integers(relations.n_items, size=len(values))
    open_ = np.arange(len(values))
    while len(open_):
        open_ = open_[np.asarray(relations.has[items[open_], values[open_]]).ravel()]
        items[open_] = generator.integers(relations.n_items, size=len(open_))
    return items


def read_relation_triples(data, relations: Relations, data_home=None) -> pd.DataFrame:
    """Read the relation triples of the paper's experiments, for MovieLens 100K.

    Parameters
    ----------
    data : Interactions
    relations : Relations
    data_home : path, optional
        As for :func:`accent_lib.datasets.load`.

    Returns
    -------
    DataFrame, shape (97209, 5)
        As :func:`draw_relation_triples` returns it.

    Raises
    ------
    AccentError
        If the file cannot be had, or names an item that the data does not have.
    """
    table = pd.read_csv(fetch("rcf/relational_data.csv", data_home))
    table.columns = COLUMNS
    known = np.isin(table[["head", "tail", "other"]], data.item_ids).all(1)
    if not known.all():
        raise AccentError(
            f"rcf/relational_data.csv, line {known.argmin() + 2}: an item is not in the attribute table; the "
            "file belongs to MovieLens 100K."
        )
    for column in ("head", "tail", "other"):
        table[column] = np.searchsorted(data.item_ids, table[column])
    for type_ in range(1, len(TYPES)):
        rows, first = table["type"] == type_, np.searchsorted(relations.types, type_)
        known = relations.ids[relations.types == type_]
        table.loc[rows, "value"] = first + np.searchsorted(known, table.loc[rows, "value"])
    return table
