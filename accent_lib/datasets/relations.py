"""What RCF learns from beside ratings: relations between films, training triples and relation triples.

Two items are *related* by every attribute value that both have, such as a genre or a director.  Each shared
value is an *entry* of its own; items that share nothing have one entry, the value 0 of type 0.
"""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import sparse

from accent_lib.arguments import instance, offers, whole
from accent_lib.datasets.columns import ATTRIBUTES
from accent_lib.datasets.fetch import fetch
from accent_lib.errors import AccentError, shown

#: Columns of a table of relation triples: what relates ``head`` to ``tail`` and not to ``other``.
COLUMNS = ["head", "type", "value", "tail", "other"]


@dataclass(frozen=True)
class Relations:
    """Which item has which attribute values: two items are related by every value that both have.

    Only what occurs is held, so that memory grows with the attributes of items and not with pairs of items.
    Values of all types are numbered through: 0 stands for "nothing shared", then come those of one column of
    attributes after the other. A value that only one item has relates nothing and gets no number.

    Attributes
    ----------
    has : csr_matrix of bool, shape (n_items, n_values)
        Which item has which value, values ascending within an item.
    types : ndarray of int16, shape (n_values,)
        Type of each value, ascending.
    ids : ndarray of int, shape (n_values,)
        What the attribute table calls each value, ascending within a type.
    names : tuple of str
        Of the types, by number: "none", then one for each column that holds anything, in the order of the
        columns; "genre" for ``genres``, and likewise where the library knows the column.

    Examples
    --------
    Two films share a genre, and the first shares an actor with the third:

    >>> attributes = pd.DataFrame({
    ...     "genres": [(1,), (1,), ()], "directors": [(), (), ()], "actors": [(7,), (), (7,)],
    ... })
    >>> relations = Relations.of(attributes)
    >>> relations.names, relations.types.tolist()
    (('none', 'genre', 'actor'), [0, 1, 2])
    >>> relations.entries(0, 1).tolist(), relations.entries(0, 2).tolist(), relations.entries(1, 2).tolist()
    ([1], [2], [0])
    """

    has: sparse.csr_matrix
    types: np.ndarray
    ids: np.ndarray
    names: tuple

    @classmethod
    def of(cls, attributes: pd.DataFrame) -> "Relations":
        """Number the values of an attribute table, that of :class:`~accent_lib.datasets.Interactions`.

        Raises
        ------
        AccentError
            If a cell is no tuple of whole numbers.
        """
        instance(attributes, "attributes", pd.DataFrame, "a table of tuples of numbers")
        for column in attributes:
            for row, values in enumerate(attributes[column]):
                if not isinstance(values, tuple | list) or not all(map(_is_id, values)):
                    raise AccentError(
                        f"The attribute table has {shown(values)} in row {row}, column {shown(column)}, "
                        "but must have tuples of whole numbers there, one for each value; number them."
                    )
        ids, tables = [np.zeros(1, int)], [sparse.csr_matrix((len(attributes), 1), dtype=bool)]
        columns = [column for column in attributes if attributes[column].map(len).any()]
        for column in columns:
            lists = attributes[column].map(set).map(sorted).tolist()
            rows = np.repeat(np.arange(len(lists)), [len(values) for values in lists])
            names, numbers, sizes = np.unique(
                np.array([value for values in lists for value in values], int),
                return_inverse=True,
                return_counts=True,
            )
            shape = (len(lists), len(names))
            table = sparse.csc_matrix((np.ones(len(numbers), bool), (rows, numbers)), shape)
            ids.append(names[sizes > 1])
            tables.append(table[:, np.flatnonzero(sizes > 1)])
        has = sparse.hstack(tables, format="csr")
        has.sort_indices()
        types = np.repeat(np.arange(len(ids), dtype=np.int16), [len(values) for values in ids])
        names = (column[:-1] if column in ATTRIBUTES else column for column in columns)
        return cls(has, types, np.concatenate(ids), ("none", *names))

    @property
    def n_items(self) -> int:
        """Number of items, whether or not they have attributes."""
        return self.has.shape[0]

    def entries(self, target: int, item: int) -> np.ndarray:
        """Numbers of the values that two items share; ``[0]`` where they share none, none with itself."""
        target, item = (
            whole(each, name, 0, self.n_items - 1) for each, name in ((target, "target"), (item, "item"))
        )
        ours, theirs = self.has[target].indices, self.has[item].indices
        shared = np.intersect1d(ours, theirs, assume_unique=True)
        return shared[:0] if target == item else shared if len(shared) else np.zeros(1, shared.dtype)


def _is_id(value):
    return isinstance(value, Integral) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _checked(data, relations, seed):
    """Data and relations as triples are made of them, and a seed."""
    offers(
        data, "data", "Interactions, as prepare() makes them", "train", "test", "rows", "n_users", "n_items"
    )
    if (
        instance(relations, "relations", Relations, "Relations, as Relations.of() makes them").n_items
        != data.n_items
    ):
        raise AccentError(f"The relations are of {relations.n_items} items, and the data has {data.n_items}.")
    return whole(seed, "seed", 0)


def training_triples(data, relations: Relations, seed: int = 0) -> np.ndarray:
    """One triple (user, liked item, disliked item) for each training positive.

    The disliked item is the one of the same user's training negatives that shares the most *types* of
    relation with the liked one, then the most values, then the one used least so far, then the oldest: the
    hardest to tell apart.  Positives are visited in the order of time.

    Where nobody dislikes anything, a disliked item is *sampled* for each liked one: any item of the table
    that the user has no interaction with, neither in training nor held out, each equally likely.

    Parameters
    ----------
    data : Interactions
    relations : Relations
    seed : int
        Of what is sampled.

    Returns
    -------
    ndarray of int, shape (n_positives, 3)
        Sorted by user, then time.

    Raises
    ------
    AccentError
        If a user has no training negative though others have, or no item is left to be sampled.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> triples = training_triples(data, Relations.of(data.attributes))
    >>> triples.shape == (int(data.train["positive"].sum()), 3)
    True
    """
    seed = _checked(data, relations, seed)
    users, items, positive = (data.train[name].to_numpy() for name in ("user", "item", "positive"))
    if nothing_disliked(data):
        return np.stack([users, items, _sampled(data, users, seed)], 1)
    has = relations.has.astype(int)
    # A digit for each type, in a base that no number of shared values reaches; a few types share a number.
    base = int(np.diff(has.indptr).max(initial=0)) + 1
    n_digits, n_types = int(62 / np.log2(base + 1)), len(relations.names) - 1
    number, place = np.divmod(relations.types.astype(int) - 1, n_digits)
    digits = [has.multiply((number == n) * base**place).tocsr() for n in range(-(-n_types // n_digits))]
    chosen = []
    for user in range(data.n_users):
        rows = data.rows(user)
        liked, disliked = items[rows][positive[rows]], items[rows][~positive[rows]]
        if not len(disliked):
            raise AccentError(
                f"User {user} has no disliked training item, which RCF needs: raise min_negative in notebook "
                "01_data."
            )
        theirs = has[disliked].T.tocsr()
        used = np.zeros(len(disliked), int)
        # So many rows at a time, so that a user with many thousand films takes little memory.
        for part in np.array_split(liked, len(liked) * len(disliked) // 2**20 + 1):
            shared = [(one[part] @ theirs).toarray() for one in digits]
            counts = [shared[t // n_digits] // base ** (t % n_digits) % base for t in range(n_types)]
            nothing = np.zeros((len(part), len(disliked)), int)
            types, values = sum((count > 0 for count in counts), nothing), sum(counts, nothing)
            # One number that compares like the rule; the first of the greatest is the oldest.
            merit = (types * (values.max(initial=0) + 1) + values) * (len(liked) + 1)
            for of_item in merit:
                best = np.argmax(of_item - used)
                used[best] += 1
                chosen.append(disliked[best])
    return np.stack([users[positive], items[positive], chosen], 1)


def nothing_disliked(data) -> bool:
    """Whether nobody has a training negative, so that disliked items are sampled.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> nothing_disliked(prepare(load("sample")))
    False
    """
    offers(data, "data", "Interactions, as prepare() makes them", "train")
    return bool(data.train["positive"].all())


def _sampled(data, users, seed):
    """An item for each of some users, ascending, that she has no interaction with."""
    own = pd.concat([data.train, data.test])
    own = np.unique(own["user"].to_numpy() * data.n_items + own["item"].to_numpy())
    all_of_them = np.flatnonzero(np.bincount(own // data.n_items) == data.n_items)
    if len(all_of_them):
        raise AccentError(
            f"User {all_of_them[0]} has an interaction with each of the {data.n_items} items, so none is "
            "left to be sampled as disliked; leave the user out, or add items."
        )
    wrong = lambda items, places: np.isin(users[places] * data.n_items + items, own)  # noqa: E731
    return _drawn(np.random.default_rng(seed), data.n_items, len(users), wrong)


def held_out_pairs(data) -> pd.DataFrame:
    """Every held-out liked item of a user with every held-out disliked one: ``user, liked, disliked``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> test = pd.DataFrame({"user": 0, "item": [4, 7, 9], "positive": [True, True, False]})
    >>> held_out_pairs(SimpleNamespace(test=test)).values.tolist()
    [[0, 4, 9], [0, 7, 9]]
    """
    offers(data, "data", "Interactions, as prepare() makes them", "test")
    liked, disliked = (data.test[data.test["positive"] == sign] for sign in (True, False))
    pairs = liked[["user", "item"]].merge(disliked[["user", "item"]], on="user")
    return pairs.set_axis(["user", "liked", "disliked"], axis=1)


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
    generator = np.random.default_rng(_checked(data, relations, seed))
    telling = np.asarray(relations.has.sum(0)).ravel() < relations.n_items
    items, positive = data.train["item"].to_numpy(), data.train["positive"].to_numpy()
    drawn = [np.zeros((0, 3), int)]
    for user in range(data.n_users):
        rows = data.rows(user)
        drawn += _draw_tails(generator, relations, telling, items[rows][positive[rows]])
    heads, values, tails = np.concatenate(drawn).T
    triples = {"head": heads, "type": relations.types[values].astype(int), "value": values, "tail": tails}
    wrong = lambda items, places: np.asarray(relations.has[items, values[places]]).ravel()  # noqa: E731
    return pd.DataFrame(triples | {"other": _drawn(generator, relations.n_items, len(values), wrong)})


def _draw_tails(generator, relations, telling, liked):
    """Draw one (value, tail) of each type for each head that has any, all (value, tail) being equally likely.

    Yields (head, value, tail), ``(n, 3)``, by type.
    """
    # All (head, value) pairs of her positives, by head and value; and the same by value and head.
    heads, values = relations.has[liked].tocoo().coords
    by_value = np.argsort(values, kind="stable")
    places, sorted_values = np.argsort(by_value), values[by_value]
    firsts, ends = (np.searchsorted(sorted_values, values, side) for side in ("left", "right"))
    others = (ends - firsts - 1) * telling[values]  # her other positives with the value
    for type_ in range(1, len(relations.names)):
        reach = np.cumsum(others * (relations.types[values] == type_))
        ends = np.append(0, reach)[np.searchsorted(heads, np.arange(len(liked)), side="right")]
        totals = np.diff(ends, prepend=0)
        shared = np.flatnonzero(totals)
        picked = np.searchsorted(reach, ends[shared] - 1 - generator.integers(totals[shared]), side="right")
        tails = firsts[picked] + generator.integers(others[picked])
        tails += tails >= places[picked]  # the head is not its own tail
        yield np.stack([liked[shared], values[picked], liked[heads[by_value[tails]]]], 1)


def _drawn(generator, n_items, size, wrong):
    """Draw an item for each of some places, anew where ``wrong(items, places)`` says so, a bool for each."""
    items, open_ = generator.integers(n_items, size=size), np.arange(size)
    while len(open_):
        open_ = open_[wrong(items[open_], open_)]
        items[open_] = generator.integers(n_items, size=len(open_))
    return items


def read_relation_triples(data, relations: Relations, data_home=None) -> pd.DataFrame:
    """Read the relation triples of the paper's experiments, for MovieLens 100K.

    Parameters
    ----------
    data, relations
        As for :func:`draw_relation_triples`.
    data_home : path, optional
        As for :func:`accent_lib.datasets.load`.

    Returns
    -------
    DataFrame, shape (97209, 5)
        As of :func:`draw_relation_triples`.

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
    for type_ in range(1, len(relations.names)):
        rows, first = table["type"] == type_, np.searchsorted(relations.types, type_)
        known = relations.ids[relations.types == type_]
        table.loc[rows, "value"] = first + np.searchsorted(known, table.loc[rows, "value"])
    return table
