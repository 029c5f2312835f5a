"""What RCF reads: the entries of histories toward targets, listed once for all copies of a stack."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from torch import Tensor

_compiled = njit(cache=True, nogil=True, error_model="numpy")

#: So many values, those that most items have, are bits of one number for each item of a history.
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
    bits, bit_of : ndarray of uint64, shapes (n_actions,) and (n_values,)
        Each of the values that most items have is a bit of ``bits[z]`` if ``items[z]`` has it, at the place
        ``bit_of[value]``; the others have none, 63.
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
        return cls(*tables, relations.types, bits[items[actions]], bit_of, carried, carriers)

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
        pairs = users.cpu().numpy(), targets.cpu().numpy()
        first, *runs, place = _list(*self.tables[:2], *self.tables[3:5], *self.shortcuts, *pairs)
        numbers = self.items.view(np.uint32), self.actions.view(np.uint32)
        return Entries(first.view(np.uint64), *runs, self.types[runs[1]], place, *numbers)


@dataclass(frozen=True, eq=False)
class Entries:
    """What some pairs of a user and a target item read; the target itself is left out of the history.

    A *run* holds the entries of one pair and one value.  Numbers that are looked up for each entry are
    unsigned, so that the loops need not see whether they count from the end.

    Attributes
    ----------
    first : ndarray of uint64, shape (n_runs + 1,)
        A run holds the entries from ``first[run]`` to before ``first[run + 1]``.
    pair, value, type : ndarray of int, shape (n_runs,)
        Of each run; the runs of a pair follow one another.
    place : ndarray of uint32, shape (n_entries,)
        Where each entry's item stands in the histories.
    items, actions : ndarray of uint32, shape (n_actions,)
        As in :class:`Histories`.
    """

    first: np.ndarray
    pair: np.ndarray
    value: np.ndarray
    type: np.ndarray
    place: np.ndarray
    items: np.ndarray
    actions: np.ndarray

    @property
    def logits(self) -> tuple:
        """The arrays that say what an entry adds to a weight, in the order in which the loops take them."""
        return self.first, self.pair, self.value, self.type, self.place, self.items

    @property
    def readings(self) -> tuple:
        """The arrays that say what reads an entry, in the order in which the loops take them."""
        return self.first, self.pair, self.type, self.place, self.items, self.actions


@_compiled
def _list(starts, history, pointers, values, bits, bit_of, carried, carriers, users, targets):
    """Arrays of :class:`Entries`."""
    # As many as there can become.
    n_entries, n_runs, longest = 1, 1, 0
    for pair in range(len(users)):
        length = starts[users[pair] + 1] - starts[users[pair]]
        longest, n_entries = max(longest, length), n_entries + length
        n_runs += pointers[targets[pair] + 1] - pointers[targets[pair]] + 1
        for value in values[pointers[targets[pair]] : pointers[targets[pair] + 1]]:
            n_entries += min(length, carried[value + 1] - carried[value])
    first, entry = np.zeros(n_runs, np.int64), np.empty(n_entries, np.uint32)
    run_pair, run_value = np.empty(n_runs, np.int32), np.empty(n_runs, np.int32)
    # Where an item stands in the history at hand, and the last pair that does not read "nothing" from there.
    place, shared, n_runs, n_entries = np.full(len(pointers) - 1, -1), np.full(longest, -1), 0, 0
    for pair in range(len(users)):
        target, begin, end = targets[pair], starts[users[pair]], starts[users[pair] + 1]
        if pair == 0 or users[pair] != users[pair - 1]:
            for z in range(begin, end):
                place[history[z]] = z
        own, mask = place[target], np.uint64(0)
        if begin <= own < end:
            shared[own - begin] = pair
        for at in range(pointers[target], pointers[target + 1] + 1):
            value = values[at] if at < pointers[target + 1] else 0
            # Every entry is written ahead, and counted if it holds: a branch would often be mispredicted.
            if value == 0:  # what shares no value
                for z in range(begin, end):
                    entry[np.uint64(n_entries)] = z
                    n_entries += (bits[z] & mask == 0) & (shared[z - begin] != pair)
            elif bit_of[value] < 63:
                bit = np.uint64(1) << bit_of[value]
                mask |= bit
                for z in range(begin, end):
                    entry[np.uint64(n_entries)] = z
                    n_entries += (bits[z] & bit != 0) & (z != own)
            else:
                for carrier in carriers[carried[value] : carried[value + 1]]:
                    z = place[carrier]
                    if begin <= z < end and z != own:
                        entry[n_entries], shared[z - begin] = z, pair
                        n_entries += 1
            if n_entries > first[n_runs]:
                run_pair[n_runs], run_value[n_runs] = pair, value
                n_runs += 1
                first[n_runs] = n_entries
    return first[: n_runs + 1], run_pair[:n_runs], run_value[:n_runs], entry[:n_entries]
