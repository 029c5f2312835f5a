"""RCF's attention over histories: what is read, and the sums that its training spends its time on.

The weight of a film j of a history toward the target i, by a type t, sums over their *entries*, the values e of
that type which both have (or a single one, "nothing"):

    w_tj = sum_e exp(v_t . tanh(a + b + c)),    a = A_t x_i,    b = B_t x_j,    c = C_t e,

and with ``s = 1 / (1 + exp(2a) exp(2b) exp(2c))`` we have ``tanh(a + b + c) = 1 - 2s``.  So all exponentials
but one are taken once an item and not once an entry, and an entry costs a multiplication and a division for
each unit.  Loops compiled by Numba keep ``s`` in registers, where plain tensor code would write it to memory
several times.  No entry depends on the user: :class:`Entries` lists each once for all pairs of a batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
from llvmlite import ir
from numba import njit
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from accent_lib.datasets.relations import TYPES

# Sums may be taken in any order and products fused, so that loops use SIMD.  The rest of `fastmath` is left
# out: with it, a division becomes the processor's estimate of a reciprocal, and processors' estimates differ.
# With NumPy's error model a division by zero is infinity and no exception, which lets loops use SIMD.
_compiled = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")


@intrinsic
def _apart(context, array):
    """The array, with the promise that no other overlaps it (C's ``restrict``).

    Without it, a loop that writes to several arrays first compares their addresses, for each entry anew.
    """

    def generate(context, builder, signature, arguments):
        struct = context.make_array(array)(context, builder, arguments[0])
        pointer = ir.IntType(8).as_pointer()
        name = "accent_lib.apart"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(pointer, [pointer]), name)
        if function.is_declaration:
            function.linkage = "internal"
            function.attributes.add("noinline")
            function.attributes.add("optnone")  # else the compiler would see that nothing happens
            function.return_value.add_attribute("noalias")
            ir.IRBuilder(function.append_basic_block()).ret(function.args[0])
        data = builder.call(function, [builder.bitcast(struct.data, pointer)])
        struct.data = builder.bitcast(data, struct.data.type)
        context.nrt.incref(builder, array, struct._getvalue())
        return struct._getvalue()

    return array(array), generate


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
        actions, has = np.lexsort((items, users)), relations.has
        arrays = (starts, items[actions], actions, has.indptr, has.indices)
        return cls(*(np.ascontiguousarray(array, np.int32) for array in arrays), relations.types)

    @property
    def tables(self) -> tuple:
        """The arrays, in the order in which the loops take them."""
        return self.starts, self.items, self.actions, self.pointers, self.values, self.types

    def entries(self, users: Tensor, targets: Tensor) -> "Entries":
        """List what pairs of a user and a target item read, twice ``(n_pairs,)``."""
        users, targets = users.cpu().numpy(), targets.cpu().numpy()
        order = np.argsort(targets, kind="stable")
        runs, weights, readings, items = _list(*self.tables, users[order], targets[order])
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
    weight : ndarray of int32, shape (n_entries,)
        To which weight each entry adds.
    item, type : ndarray, shape (n_weights,)
        Of each weight.
    pairs : ndarray of int, shape (n_pairs,)
        The pairs in the order of their targets.
    reads : ndarray of int, shape (n_pairs + 1,)
        The pair ``pairs[n]`` reads from ``read[reads[n]]`` to before ``read[reads[n + 1]]``.
    read, action : ndarray of int32, shape (n_readings,)
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
def _list(starts, history, actions, pointers, values, types, users, targets):
    """Arrays of :class:`Entries`, from pairs sorted by target; runs by target, with numbers of values."""
    n_items, n_entries, n_readings, most = len(pointers) - 1, 0, 0, 1
    occurs = np.zeros(n_items, np.bool_)
    for pair in range(len(users)):
        own = pointers[targets[pair] + 1] - pointers[targets[pair]] + 1  # most entries with one item
        length = starts[users[pair] + 1] - starts[users[pair]]
        most, n_entries, n_readings = max(most, own), n_entries + length * own, n_readings + length * min(own, 3)
        for z in range(starts[users[pair]], starts[users[pair] + 1]):
            occurs[history[z]] = True
    items = np.flatnonzero(occurs)
    row = np.empty(n_items, np.int32)
    row[items] = np.arange(len(items))
    # As long as they can become; what is not used is never touched.
    weight, item = np.empty(n_entries + 1, np.int32), np.empty(n_readings + 1, np.int32)
    type_, read, action = np.empty(len(item), np.int8), np.empty_like(item), np.empty_like(item)
    runs, reads = np.empty((4, len(users) * most), np.int64), np.zeros(len(users) + 1, np.int64)
    # Of the target at hand: places of values among its own, from 1 (0 is "nothing"); which weights an item
    # has that was met; and its entries as they come, with their numbers by place.
    place_of, met = np.zeros(len(types), np.int32), np.full(len(items), -1)
    begin, end = np.empty_like(items), np.empty_like(items)
    place, found, ends = np.empty_like(weight), np.empty_like(weight), np.empty(most + 1, np.int64)
    pair = n_targets = n_runs = n_entries = n_weights = n_readings = 0
    while pair < len(users):
        target, start = targets[pair], n_entries
        own = values[pointers[target] : pointers[target + 1]]
        for k in range(len(own)):
            place_of[own[k]] = k + 1
        while pair < len(users) and targets[pair] == target:
            for z in range(starts[users[pair]], starts[users[pair] + 1]):
                j = np.uint32(history[z])  # unsigned: the compiler need not look whether it counts from the end
                if j == target:
                    continue
                r = np.uint32(row[j])
                if met[r] != n_targets:
                    met[r], begin[r], before, kind = n_targets, n_weights, n_entries, 0
                    # Written ahead and counted if it holds: a branch would be mispredicted half of the time.
                    for at in range(pointers[j], pointers[j + 1]):
                        value = np.uint32(values[np.uint64(at)])
                        t, own_place = types[value], place_of[value]
                        shared, of_weight, of_entry = own_place > 0, np.uint64(n_weights), np.uint64(n_entries)
                        item[of_weight], type_[of_weight] = r, t
                        n_weights += shared & (t != kind)
                        place[of_entry], found[of_entry] = own_place, n_weights - 1
                        n_entries += shared
                        kind = t if shared else kind
                    nothing = n_entries == before
                    item[n_weights], type_[n_weights] = r, 0
                    place[n_entries], found[n_entries] = 0, n_weights
                    n_weights, n_entries = n_weights + nothing, n_entries + nothing
                    end[r] = n_weights
                for one in range(begin[r], end[r]):
                    read[n_readings], action[n_readings] = one, actions[z]
                    n_readings += 1
            pair += 1
            reads[pair] = n_readings
        # A run for each place that occurs; each entry goes where its place begins.
        ends[:] = 0
        for entry in range(start, n_entries):
            ends[place[entry]] += 1
        stop = start
        for k in range(len(own) + 1):
            if ends[k] > 0:
                runs[0, n_runs], runs[1, n_runs] = stop, stop + ends[k]
                runs[2, n_runs], runs[3, n_runs] = n_targets, own[k - 1] if k > 0 else 0
                n_runs += 1
            ends[k], stop = stop, stop + ends[k]
        for entry in range(start, n_entries):
            weight[ends[place[entry]]] = found[entry]
            ends[place[entry]] += 1
        for value in own:
            place_of[value] = 0
        n_targets += 1
    weights = weight[:n_entries], item[:n_weights], type_[:n_weights]
    return runs[:, :n_runs], weights, (reads, read[:n_readings], action[:n_readings]), items


@_compiled
def _logits(first, last, target, value, type_, weight, item_of, a, b, c, query, logits):
    """Fill in the logarithm of what each entry adds to its weight; ``a``, ``b``, ``c`` are exponentials."""
    one, two, zero, width = a.dtype.type(1), a.dtype.type(2), a.dtype.type(0), a.shape[2]
    constant, product = query.sum(1), np.empty(width, a.dtype)
    for run in range(len(first)):
        t = type_[run]
        for k in range(width):
            product[k] = a[target[run], t, k] * c[value[run], k]
        for entry in range(first[run], last[run]):
            j, dot = item_of[weight[entry]], zero
            for k in range(width):
                dot += query[t, k] / (one + product[k] * b[j, t, k])
            logits[entry] = constant[t] - two * dot


@_compiled
def _sum(weight, item_of, type_of, pairs, reads, read, action, keep, x, terms, sums, totals):
    """Fill in ``sums`` and ``totals`` of :class:`Attend`."""
    sums, x = _apart(sums), _apart(x)
    weights = np.zeros(len(item_of), x.dtype)
    for entry in range(len(weight)):
        weights[weight[entry]] += terms[entry]
    for place in range(len(pairs)):
        pair = pairs[place]
        for z in range(reads[place], reads[place + 1]):
            kept, t, j = keep[action[z]], type_of[read[z]], item_of[read[z]]
            if kept == 0:
                continue
            kept *= weights[read[z]]
            totals[pair, t] += kept
            for k in range(x.shape[1]):
                sums[pair, t, k] += kept * x[j, k]


@_compiled
def _sum_backward(
    first, last, target, value, type_, weight, item_of, type_of, pairs, reads, read, action,
    keep, a, b, c, query, x, terms, of_sums, of_totals, of_a, of_b, of_c, of_query, of_x,
):  # fmt: skip
    """Add the gradients by the projections (not by their exponentials), the queries and the items."""
    one, two, four, width = a.dtype.type(1), a.dtype.type(2), a.dtype.type(4), a.shape[2]
    b, x, of_b, of_x = _apart(b), _apart(x), _apart(of_b), _apart(of_x)
    weights, of_weights = np.zeros(len(item_of), a.dtype), np.zeros(len(item_of), a.dtype)
    for entry in range(len(weight)):
        weights[weight[entry]] += terms[entry]
    for place in range(len(pairs)):
        pair = pairs[place]
        for z in range(reads[place], reads[place + 1]):
            kept, t, j = keep[action[z]], type_of[read[z]], item_of[read[z]]
            if kept == 0:
                continue
            slope = of_totals[pair, t]
            for k in range(x.shape[1]):
                slope += of_sums[pair, t, k] * x[j, k]
            of_weights[read[z]] += kept * slope
            kept *= weights[read[z]]
            for k in range(x.shape[1]):
                of_x[j, k] += kept * of_sums[pair, t, k]
    product, of_product = _apart(np.empty(width, a.dtype)), _apart(np.empty(width, a.dtype))
    of_constant, of_sigmoid = np.zeros(len(query), a.dtype), _apart(np.zeros_like(query))
    for run in range(len(first)):
        t = type_[run]
        for k in range(width):
            product[k] = a[target[run], t, k] * c[value[run], k]
        of_product[:] = 0
        for entry in range(first[run], last[run]):
            j, of_logit = item_of[weight[entry]], of_weights[weight[entry]] * terms[entry]
            of_constant[t] += of_logit
            for k in range(width):
                sigmoid = one / (one + product[k] * b[j, t, k])
                slope = of_logit * sigmoid
                of_sigmoid[t, k] += slope
                slope -= slope * sigmoid
                of_product[k] += slope
                of_b[j, t, k] += slope
        for k in range(width):
            slope = four * query[t, k] * of_product[k]
            of_a[target[run], t, k] += slope
            of_c[value[run], k] += slope
    of_b *= four * query
    of_query += np.expand_dims(of_constant, 1) - two * of_sigmoid


@_compiled
def _weigh(starts, history, actions, pointers, values, types, user, targets, a, b, c, query, weights):
    """Fill in the weights of :class:`Weigh`; ``a``, ``b``, ``c`` are exponentials."""
    constant, own = query.sum(1), np.zeros(len(types), np.bool_)
    for row in range(len(targets)):
        i = targets[row]
        own[values[pointers[i] : pointers[i + 1]]] = True
        for z in range(starts[user], starts[user + 1]):
            j, related, of_action = history[z], False, actions[z] - starts[user]
            if j == i:
                continue
            for at in range(pointers[j], pointers[j + 1]):
                if own[values[at]]:
                    t, related = types[values[at]], True
                    weights[t, row, of_action] += _term(a, b, c, query, constant, t, i, j, values[at])
            if not related:
                weights[0, row, of_action] = _term(a, b, c, query, constant, 0, i, j, 0)
        own[values[pointers[i] : pointers[i + 1]]] = False


@_compiled
def _term(a, b, c, query, constant, t, i, j, value):
    """What one entry adds to its weight."""
    one, two, dot = a.dtype.type(1), a.dtype.type(2), a.dtype.type(0)
    for k in range(a.shape[2]):
        dot += query[t, k] / (one + a[i, t, k] * b[j, t, k] * c[value, k])
    return np.exp(constant[t] - two * dot)


def _exponentials(*projections):
    return [torch.exp(2 * values.detach()).contiguous().numpy() for values in projections]


def _array(tensor):
    return tensor.detach().contiguous().numpy()


class Attend(torch.autograd.Function):
    """Sums over the histories of users, by type, for pairs of a user and a target item.

    ``apply(a, b, c, query, x, keep, entries)`` takes the projections ``a`` of the entries' targets, in the
    shape ``(n_targets, 4, width)``, ``b`` of their items, ``(n_items, 4, width)``, and ``c`` of their values,
    ``(n_values, width)``; ``query`` of ``(4, width)``, the items ``x`` of ``(n_items, dim)``, ``keep`` of
    ``(n_actions,)``, and :class:`Entries` of some pairs.  It returns the weighted sums of the items,
    ``(n_pairs, 4, dim)``, the sums of the weights, ``(n_pairs, 4)``, and, for the way back, what each entry
    adds to its weight, ``(n_entries,)``.
    """

    @staticmethod
    def forward(a, b, c, query, x, keep, entries):
        """Sum; see the class."""
        n_pairs, n_types = len(entries.pairs), len(query)
        sums, totals = x.new_zeros(n_pairs, n_types, x.shape[1]), x.new_zeros(n_pairs, n_types)
        terms = x.new_empty(len(entries.weight))
        exponentials, arrays = _exponentials(a, b, c), (_array(query), _array(terms))
        _logits(*entries.runs, entries.weight, entries.item, *exponentials, *arrays)
        terms.exp_()
        arrays = map(_array, (keep, x, terms, sums, totals))
        _sum(*entries.weights, *entries.readings, *arrays)
        return sums, totals, terms

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep the inputs and the terms."""
        *tensors, ctx.entries = inputs
        ctx.save_for_backward(*tensors, output[2])
        ctx.mark_non_differentiable(output[2])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_sums, of_totals, _):
        """Gradients by the projections, the queries and the items."""
        a, b, c, query, x, keep, terms = ctx.saved_tensors
        gradients = [torch.zeros(value.shape, dtype=value.dtype) for value in (a, b, c, query, x)]
        arrays = map(_array, (query, x, terms, of_sums, of_totals, *gradients))
        _sum_backward(
            *ctx.entries.runs,
            *ctx.entries.weights,
            *ctx.entries.readings,
            _array(keep),
            *_exponentials(a, b, c),
            *arrays,
        )
        return *gradients, None, None

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
        return tuple(torch.stack(parts) for parts in zip(*copies, strict=True)), (0, 0, 0)


def weigh(targets, user, a, b, c, query, histories) -> Tensor:
    """Weights of a user's history toward some targets, as :func:`accent_lib.models.rcf_tensors.weigh`."""
    weights = query.new_zeros(len(query), len(targets), histories.starts[user + 1] - histories.starts[user])
    _weigh(*histories.tables, user, *map(_array, (targets, a, b, c, query, weights)))
    return weights


class Weigh(torch.autograd.Function):
    """Weights of a user's history toward some targets, without gradients.

    ``apply(targets, weigh)`` takes the targets, of any shape, and a function that returns the weights toward
    targets in a row; the result has the shape ``(4, *targets.shape, n_history)``.  (A function of autograd
    because :mod:`torch.func` lets only these see plain tensors.)
    """

    @staticmethod
    def forward(targets, weigh):
        """Weigh; see the class."""
        return weigh(targets.flatten()).unflatten(1, targets.shape)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """There is no gradient."""
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info, in_dims, targets, weigh):
        """Targets of any shape are targets."""
        return Weigh.apply(targets.movedim(in_dims[0], 0), weigh), 1
