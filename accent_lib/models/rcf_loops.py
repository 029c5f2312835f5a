"""RCF's attention over a history, the sums over many thousand entries that its training spends its time on.

The weight of an entry (item j of the history, shared value e of type t) toward the target i is

    exp(v_t . tanh(a + b + c)),    a = A_t x_i,    b = B_t x_j,    c = C_t e,

and with ``s = 1 / (1 + exp(2a) exp(2b) exp(2c))`` we have ``tanh(a + b + c) = 1 - 2s``.  So all exponentials
but one are taken once an item and not once an entry, and an entry costs a few multiplications and divisions.
Plain tensor code would write ``s`` for every entry to memory, several times; these loops, compiled by Numba,
keep it in registers.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit

# With NumPy's error model a division by zero is infinity and no exception, which lets loops use SIMD.
_compiled = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


@dataclass(frozen=True, eq=False)
class Histories:
    """Which items each user's history holds, and how items are related: what attention reads.

    Attributes
    ----------
    starts : ndarray of int32, shape (n_users + 1,)
        The history of a user is ``items[starts[user]:starts[user + 1]]``.
    items : ndarray of int32, shape (n_actions,)
        Ascending within a user, so that the loops go through all tables in one direction; that halves their
        time.
    actions : ndarray of int32, shape (n_actions,)
        Which action each of them is.
    pointers, values, types : ndarray
        As in :class:`~accent_lib.datasets.relations.Relations`.
    """

    starts: np.ndarray
    items: np.ndarray
    actions: np.ndarray
    pointers: np.ndarray
    values: np.ndarray
    types: np.ndarray

    @classmethod
    def of(cls, starts: np.ndarray, items: np.ndarray, relations) -> "Histories":
        """Sort the items of actions that are sorted by user and time."""
        users = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        actions = np.lexsort((items, users))
        ours = [np.ascontiguousarray(array, np.int32) for array in (starts, items[actions], actions)]
        return cls(*ours, relations.pointers, relations.values, relations.types)

    @property
    def tables(self) -> tuple:
        """The arrays, in the order in which the loops take them."""
        return self.starts, self.items, self.actions, self.pointers, self.values, self.types


@_compiled
def _entry(a, b, c, query, t, i, j, value, sigmoid):
    """Fill in ``s`` of one entry and return ``v . s``; ``a``, ``b``, ``c`` are the exponentials."""
    one, dot = a.dtype.type(1), a.dtype.type(0)
    for k in range(a.shape[2]):
        sigmoid[k] = one / (one + a[t, i, k] * b[t, j, k] * c[value, k])
    for k in range(a.shape[2]):
        dot += query[t, k] * sigmoid[k]
    return dot


@_compiled
def _dot(a, b, c, query, t, i, j, value):
    """``v . s`` of one entry; ``a``, ``b``, ``c`` are the exponentials."""
    one, dot = a.dtype.type(1), a.dtype.type(0)
    for k in range(a.shape[2]):
        dot += query[t, k] / (one + a[t, i, k] * b[t, j, k] * c[value, k])
    return dot


@_compiled
def _sum(
    starts, history, actions, pointers, values, types, users, targets, keep, a, b, c, query, x, sums, totals
):
    """Fill in ``sums`` and ``totals`` of :class:`Attend`."""
    two, zero, (n, dim) = a.dtype.type(2), a.dtype.type(0), x.shape
    constant = query.sum(1)
    for pair in range(len(users)):
        i = targets[pair]
        for z in range(starts[users[pair]], starts[users[pair] + 1]):
            j, kept = history[z], keep[actions[z]]
            if j == i or kept == 0:
                continue
            at, last = pointers[i * n + j], pointers[i * n + j + 1]
            while at < last:
                t, weight = types[values[at]], zero
                while at < last and types[values[at]] == t:
                    dot = _dot(a, b, c, query, t, i, j, values[at])
                    weight += kept * np.exp(constant[t] - two * dot)
                    at += 1
                totals[pair, t] += weight
                for k in range(dim):
                    sums[pair, t, k] += weight * x[j, k]


@_compiled
def _sum_backward(
    starts, history, actions, pointers, values, types, users, targets, keep, a, b, c, query, x,
    of_sums, of_totals, of_a, of_b, of_c, of_query, of_x,
):  # fmt: skip
    """Add the gradients by the projections (not by their exponentials), the queries and the items."""
    two, four, zero, (n, dim), width = a.dtype.type(2), a.dtype.type(4), a.dtype.type(0), x.shape, a.shape[2]
    constant, of_constant = query.sum(1), np.zeros(len(a), a.dtype)
    sigmoid, slope = np.empty(width, a.dtype), np.empty(width, a.dtype)
    own, of_sigmoid = np.empty((len(a), width), a.dtype), np.zeros((len(a), width), a.dtype)
    for pair in range(len(users)):
        i = targets[pair]
        own[:] = 0
        for z in range(starts[users[pair]], starts[users[pair] + 1]):
            j, kept = history[z], keep[actions[z]]
            if j == i or kept == 0:
                continue
            at, last = pointers[i * n + j], pointers[i * n + j + 1]
            while at < last:
                t, weight = types[values[at]], zero
                of_weight = of_totals[pair, t]
                for k in range(dim):
                    of_weight += of_sums[pair, t, k] * x[j, k]
                while at < last and types[values[at]] == t:
                    value = values[at]
                    dot = _entry(a, b, c, query, t, i, j, value, sigmoid)
                    entry = kept * np.exp(constant[t] - two * dot)
                    weight += entry
                    of_logit = of_weight * entry
                    factor = four * of_logit
                    of_constant[t] += of_logit
                    # One short loop for each array, so that the compiler sees that they do not overlap.
                    for k in range(width):
                        of_sigmoid[t, k] += of_logit * sigmoid[k]
                    for k in range(width):
                        slope[k] = factor * query[t, k] * (sigmoid[k] - sigmoid[k] * sigmoid[k])
                    for k in range(width):
                        own[t, k] += slope[k]
                    for k in range(width):
                        of_b[t, j, k] += slope[k]
                    for k in range(width):
                        of_c[value, k] += slope[k]
                    at += 1
                for k in range(dim):
                    of_x[j, k] += weight * of_sums[pair, t, k]
        of_a[:, i] += own
    of_query += np.expand_dims(of_constant, 1) - two * of_sigmoid


@_compiled
def _weigh(starts, history, actions, pointers, values, types, user, targets, a, b, c, query, weights):
    """Fill in the weights of :func:`weigh`."""
    two, n = a.dtype.type(2), a.shape[1]
    constant = query.sum(1)
    for row in range(len(targets)):
        i = targets[row]
        for z in range(starts[user], starts[user + 1]):
            j = history[z]
            for at in range(pointers[i * n + j], pointers[i * n + j + 1]):
                value = values[at]
                t = types[value]
                dot = _dot(a, b, c, query, t, i, j, value)
                weights[t, row, actions[z] - starts[user]] += np.exp(constant[t] - two * dot)


def _exponentials(*projections):
    return [torch.exp(2 * values.detach()).contiguous().numpy() for values in projections]


def _array(tensor):
    return tensor.detach().contiguous().numpy()


class Attend(torch.autograd.Function):
    """Sums over the histories of users, by type, for pairs of a user and a target item.

    ``apply(a, b, c, query, x, keep, users, targets, histories)`` takes the projections ``a`` and ``b`` of
    shape ``(4, n_items, width)``, ``c`` of ``(n_values, width)``, ``query`` of ``(4, width)``, the items
    ``x`` of ``(n_items, dim)``, ``keep`` of ``(n_actions,)`` and the pairs, twice ``(n_pairs,)``.  It returns
    the weighted sums of the items, ``(n_pairs, 4, dim)``, and the sums of the weights, ``(n_pairs, 4)``; the
    target itself is left out of the history.
    """

    @staticmethod
    def forward(a, b, c, query, x, keep, users, targets, histories):
        """Sum; see the class."""
        sums, totals = x.new_zeros(len(users), len(a), x.shape[1]), x.new_zeros(len(users), len(a))
        _sum(
            *histories.tables,
            *map(_array, (users, targets, keep)),
            *_exponentials(a, b, c),
            *map(_array, (query, x, sums, totals)),
        )
        return sums, totals

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep the inputs."""
        *tensors, ctx.histories = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_sums, of_totals):
        """Gradients by the projections, the queries and the items."""
        a, b, c, query, x, keep, users, targets = ctx.saved_tensors
        gradients = [torch.zeros(value.shape, dtype=value.dtype) for value in (a, b, c, query, x)]
        _sum_backward(
            *ctx.histories.tables,
            *map(_array, (users, targets, keep)),
            *_exponentials(a, b, c),
            *map(_array, (query, x, of_sums, of_totals)),
            *map(_array, gradients),
        )
        return *gradients, None, None, None, None

    @staticmethod
    def vmap(info, in_dims, *inputs):
        """One copy of a stack after the other: each keeps a core busy."""
        copies = [
            Attend.apply(
                *(
                    value if dim is None else value.select(dim, copy)
                    for value, dim in zip(inputs, in_dims, strict=True)
                )
            )
            for copy in range(info.batch_size)
        ]
        return tuple(torch.stack(parts) for parts in zip(*copies, strict=True)), (0, 0)


def attend_plainly(a, b, c, query, x, keep, users, targets, histories) -> tuple[torch.Tensor, torch.Tensor]:
    """:class:`Attend` in plain tensor code, several times slower on a CPU, but on any device.

    Differentiable and fit for ``vmap`` over all arguments but the last three.
    """
    pair, j, value, action, type_ = _entries(users, targets, histories, x.shape[0])
    hidden = torch.tanh(a[type_, targets[pair]] + b[type_, j] + c[value])
    weights = keep[action] * torch.exp((hidden * query[type_]).sum(-1))
    n_pairs, n_types = len(users), len(query)
    slot = pair * n_types + type_
    totals = weights.new_zeros(n_pairs * n_types).index_add(0, slot, weights)
    sums = x.new_zeros(n_pairs * n_types, x.shape[1]).index_add(0, slot, weights[:, None] * x[j])
    return sums.unflatten(0, (-1, n_types)), totals.unflatten(0, (-1, n_types))


def _entries(users, targets, histories, n_items):
    """Pair, history item, value, action and type of each entry, listed without a loop."""
    h, device = histories, users.device
    users, targets = users.cpu().numpy(), targets.cpu().numpy()
    lengths = np.diff(h.starts)[users]
    pair = np.repeat(np.arange(len(users)), lengths)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    place += h.starts[users[pair]]
    at = targets[pair].astype(np.int64) * n_items + h.items[place]
    counts = h.pointers[at + 1] - h.pointers[at]
    counts[h.items[place] == targets[pair]] = 0  # the target is left out of its own history
    inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    value = h.values[np.repeat(h.pointers[at], counts) + inside]
    pair, place = np.repeat(pair, counts), np.repeat(place, counts)
    arrays = (pair, h.items[place], value, h.actions[place], h.types[value])
    return [torch.from_numpy(array.astype(np.int64)).to(device) for array in arrays]


class Weigh(torch.autograd.Function):
    """Weights of a user's history toward some targets, without gradients.

    ``apply(targets, user, projections, histories)`` takes the targets, of any shape, and a function that
    returns ``exp(2 a)``, ``exp(2 b)``, ``exp(2 c)`` and ``query`` in the shapes of :class:`Attend`.  It
    returns ``(4, *targets.shape, n_history)``: sums over the entries of each type, zero where an item is its
    own target.  (A function of autograd because :mod:`torch.func` lets only these see plain tensors.)
    """

    @staticmethod
    def forward(targets, user, projections, histories):
        """Weigh; see the class."""
        length = int(histories.starts[user + 1] - histories.starts[user])
        *exponentials, query = projections()
        weights = query.new_zeros(len(query), targets.numel(), length)
        arrays = [_array(value) for value in (*exponentials, query, weights)]
        _weigh(*histories.tables, user, _array(targets.flatten()), *arrays)
        return weights.unflatten(1, targets.shape)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """There is no gradient."""
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info, in_dims, targets, *rest):
        """Targets of any shape are targets."""
        return Weigh.apply(targets.movedim(in_dims[0], 0), *rest), 1
