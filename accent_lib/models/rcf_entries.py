"""What RCF reads: the entries of histories toward targets, listed once for all pairs of a batch."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from torch import Tensor

from accent_lib.datasets.relations import TYPES

_compiled = njit(cache=True, nogil=True, error_model="numpy")

#: So many values, those that most items have, are bits of one number for each item.
COMMON = 63


@dataclass(frozen=True, eq=False)
class Histories:
    """Which items each user's history holds, and which values each item has: what attention reads.

    Attributes
    ----------
    starts : ndarray of int32, shape (n_users + 1,)
        The history of a user is ``items[starts[user]:starts[user + 1]]``.
    items : ndarray of int32, shape (n_actions,)
        Ascending within a user, so that the loops go through all tables in one direction.
    actions : ndarray of int32, shape (n_actions,)
        Which action each of them is.
    pointers, values : ndarray of int32, shapes (n_items + 1,) and (n_pairs,)
        An item has the values ``values[pointers[item]:pointers[item + 1]]``, ascending.
    types : ndarray of int8, shape (n_values,)
        As in :class:`~accent_lib.datasets.relations.Relations`.
    bits, bit_of : ndarray of uint64, shapes (n_items,) and (n_values,)
        Each of the values that most items have is a bit of ``bits[item]``, at the place ``bit_of[value]``;
        the others have none, 63.
    carried, carriers : ndarray of int32, shapes (n_values + 1,) and (n_pairs,)
        The items ``carriers[carried[value]:carried[value + 1]]`` have the value.
    """

    starts: np.ndarray
    items: np.ndarray
    actions: np.ndarray
    pointers: np.ndarray
    values: np.ndarray
    types: np.ndarray
    bits: np.ndarray
    bit_of: np.ndarray
    carried: np.ndarray
    carriers: np.ndarray

    @classmethod
    def of(cls, starts: np.ndarray, items: np.ndarray, relations) -> "Histories":
        """Sort the items of actions that are sorted by user and time."""
        users = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        actions, has = np.lexsort((items, users)), relations.has
        by_value = has.tocsc()
        common = np.argsort(-np.diff(by_value.indptr), kind="stable")[:COMMON]
        bit_of = np.full(has.shape[1], 63, np.uint64)
        bit_of[common] = np.arange(len(common))
        bits = has[:, common] @ (np.uint64(1) << bit_of[common])
        tables = (starts, items[actions], actions, has.indptr, has.indices, by_value.indptr, by_value.indices)
        *tables, carried, carriers = (np.ascontiguousarray(table, np.int32) for table in tables)
        return cls(*tables, relations.types, bits, bit_of, carried, carriers)

    @property
    def tables(self) -> tuple:
        """The arrays, in the order in which the loops take them."""
        return self.starts, self.items, self.actions, self.pointers, self.values, self.types

    @property
    def shortcuts(self) -> tuple:
        """The arrays that say once more which item has which value, to list entries faster."""
        return self.bits, self.bit_of, self.carried, self.carriers

    def entries(self, users: Tensor, targets: Tensor) -> "Entries":
        """List what pairs of a user and a target item read, twice ``(n_pairs,)``."""
        users, targets = users.cpu().numpy(), targets.cpu().numpy()
        order = np.argsort(targets, kind="stable")
        runs, weights, readings, items = _list(*self.tables, *self.shortcuts, users[order], targets[order])
        values, run_value = np.unique(runs[3], return_inverse=True)
        types = self.types[runs[3]]
        by_type = np.argsort(types, kind="stable")  # so that the tables of one type stay in cache
        runs = [array[by_type] for array in (*runs[:3], run_value, types)]
        of_type = np.bincount(self.types[values], minlength=len(TYPES)).tolist()
        return Entries(np.unique(targets), items, values, of_type, *runs, *weights, order, *readings)


@dataclass(frozen=True, eq=False)
class Entries:
    """What some pairs of a user and a target item read, with everything that depends on no user listed once.

    A *run* holds the entries of one target and one value; an entry adds to the *weight* of a target, a type
    and an item of some history; a pair reads many weights, each by an action of its user.  The target itself
    is left out of the history.

    Attributes
    ----------
    targets, items, values : ndarray of int, shapes (n_targets,), (n_items,) and (n_values,)
        The targets, items of histories and values that occur, ascending.  All else speaks of rows of these.
    values_of_type : list of int, length 4
        How many of the values are of each type.
    run_first, run_last, run_target, run_value, run_type : ndarray, shape (n_runs,)
        A run holds the entries from ``run_first`` to before ``run_last``.
    weight : ndarray of uint32, shape (n_entries,)
        To which weight each entry adds.  (Unsigned, so that the loops need not see whether a number counts
        from the end.)
    item, type : ndarray of uint32 and uint8, shape (n_weights,)
        Of each weight.
    pairs : ndarray of int, shape (n_pairs,)
        The pairs in the order of their targets.
    reads : ndarray of int, shape (n_pairs + 1,)
        The pair ``pairs[n]`` reads from ``read[reads[n]]`` to before ``read[reads[n + 1]]``.
    read, action : ndarray of uint32, shape (n_readings,)
        Which weight is read, by which action.
    """

    targets: np.ndarray
    items: np.ndarray
    values: np.ndarray
    values_of_type: list[int]
    run_first: np.ndarray
    run_last: np.ndarray
    run_target: np.ndarray
    run_value: np.ndarray
    run_type: np.ndarray
    weight: np.ndarray
    item: np.ndarray
    type: np.ndarray
    pairs: np.ndarray
    reads: np.ndarray
    read: np.ndarray
    action: np.ndarray

    @property
    def runs(self) -> tuple:
        """The arrays of runs, in the order in which the loops take them."""
        return self.run_first, self.run_last, self.run_target, self.run_value, self.run_type

    @property
    def weights(self) -> tuple:
        """The arrays of entries and weights, in the order in which the loops take them."""
        return self.weight, self.item, self.type

    @property
    def readings(self) -> tuple:
        """The arrays of pairs and readings, in the order in which the loops take them."""
        return self.pairs, self.reads, self.read, self.action


@_compiled
def _list(starts, history, actions, pointers, values, types, bits, bit_of, carried, carriers, users, targets):
    """Arrays of :class:`Entries`, from pairs sorted by target; runs by target, with numbers of values."""
    n_items, n_entries, n_readings, most = len(pointers) - 1, 1, 4, 1
    occurs = np.zeros(n_items, np.bool_)
    for pair in range(len(users)):
        own = pointers[targets[pair] + 1] - pointers[targets[pair]] + 1  # most entries with one item
        length = starts[users[pair] + 1] - starts[users[pair]]
        most, n_entries, n_readings = (
            max(most, own),
            n_entries + length * own,
            n_readings + length * min(own, 3),
        )
        for z in range(starts[users[pair]], starts[users[pair] + 1]):
            occurs[history[z]] = True
    items = np.flatnonzero(occurs)
    row = np.full(n_items, len(items))  # one beyond for items that do not occur
    row[items] = np.arange(len(items))
    bits = bits[items]
    # As long as they can become; what is not used is never touched.
    weight, item = np.empty(n_entries, np.uint32), np.empty(n_readings, np.uint32)
    type_, read, action = np.empty(n_readings, np.uint8), np.empty_like(item), np.empty_like(item)
    runs, reads = np.empty((4, len(users) * most), np.int64), np.zeros(len(users) + 1, np.int64)
    # Of the target at hand: the rows of items that its pairs read, where each row stands among them (-1:
    # nowhere), and which weight an item has there by type (-1: none).
    met, place = np.empty(len(items), np.uint32), np.full(len(items) + 1, -1)
    weights = np.empty((len(items), 4), np.int32)
    pair = n_targets = n_runs = n_entries = n_weights = n_readings = 0
    while pair < len(users):
        target, first, n_met = targets[pair], pair, 0
        while pair < len(users) and targets[pair] == target:
            for z in range(starts[users[pair]], starts[users[pair] + 1]):
                r = row[history[z]]
                if place[r] < 0 and history[z] != target:
                    place[r], met[n_met] = n_met, r
                    n_met += 1
            pair += 1
        weights[:n_met] = -1
        for at in range(pointers[target], pointers[target + 1] + 1):
            value, begin = values[at] if at < pointers[target + 1] else 0, n_entries
            t, bit = types[value], bit_of[value]
            if value == 0:  # what shares no value
                for m in range(n_met):
                    nothing = (weights[m, 1] & weights[m, 2] & weights[m, 3]) < 0
                    n_entries, n_weights = _add(
                        nothing, m, t, met, weights, weight, item, type_, n_entries, n_weights
                    )
            elif bit < 63:
                for m in range(n_met):
                    shared = (bits[met[m]] >> bit) & np.uint64(1) > 0
                    n_entries, n_weights = _add(
                        shared, m, t, met, weights, weight, item, type_, n_entries, n_weights
                    )
            else:
                for carrier in carriers[carried[value] : carried[value + 1]]:
                    m = place[row[carrier]]
                    if m >= 0:
                        n_entries, n_weights = _add(
                            True, m, t, met, weights, weight, item, type_, n_entries, n_weights
                        )
            if n_entries > begin:
                runs[0, n_runs], runs[1, n_runs], runs[2, n_runs], runs[3, n_runs] = (
                    begin, n_entries, n_targets, value,
                )  # fmt: skip
                n_runs += 1
        for one in range(first, pair):
            for z in range(starts[users[one]], starts[users[one] + 1]):
                m = place[row[history[z]]]
                if m >= 0:
                    for t in range(4):
                        read[n_readings], action[n_readings] = weights[m, t], actions[z]
                        n_readings += weights[m, t] >= 0
            reads[one + 1] = n_readings
        for m in range(n_met):
            place[met[m]] = -1
        n_targets += 1
    listed = weight[:n_entries], item[:n_weights], type_[:n_weights]
    return runs[:, :n_runs], listed, (reads, read[:n_readings], action[:n_readings]), items


@_compiled
def _add(shared, m, t, met, weights, weight, item, type_, n_entries, n_weights):
    """Add an entry of the type with the item at a place, if they share it; return what is listed then.

    Everything is written ahead, and counted if it holds: a branch would often be mispredicted.
    """
    of = weights[np.uint64(m), t]
    new = shared & (of < 0)
    of = n_weights if new else of
    weights[np.uint64(m), t], weight[np.uint64(n_entries)] = of, of
    item[np.uint64(n_weights)], type_[np.uint64(n_weights)] = met[np.uint64(m)], t
    return n_entries + shared, n_weights + new
