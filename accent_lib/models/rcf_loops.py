"""RCF's attention over histories: the sums over many thousand entries that its training spends its time on.

The weight of a film j of a history toward the target i, by a type t, sums over their *entries*, the values e
of that type which both have (or a single one, "nothing"):

    w_tj = sum_e exp(v_t . tanh(a + b + c)),    a = A_t x_i,    b = B_t x_j,    c = C_t e,

and with ``s = 1 / (1 + exp(2a) exp(2b) exp(2c))`` we have ``tanh(a + b + c) = 1 - 2s``.  So all exponentials
but one are taken once an item and not once an entry, and an entry costs a multiplication and a division for
each unit.  Loops compiled by Numba keep ``s`` in registers, where plain tensor code would write it to memory
several times.  No entry depends on the user: each is listed, and computed, once for all pairs of a batch.
"""

import numpy as np
import torch
from llvmlite import ir
from numba import njit
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

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
            slope, weight_read = of_totals[pair, t], kept * weights[read[z]]
            for k in range(x.shape[1]):
                slope += of_sums[pair, t, k] * x[j, k]
                of_x[j, k] += weight_read * of_sums[pair, t, k]
            of_weights[read[z]] += kept * slope
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
def _place(weight, item_of, type_of, pairs, reads, read, action, terms, start, weights):
    """Fill in the weights of :class:`Weigh`; the history's actions begin with ``start``."""
    sums = np.zeros(len(item_of), terms.dtype)
    for entry in range(len(weight)):
        sums[weight[entry]] += terms[entry]
    for place in range(len(pairs)):
        for z in range(reads[place], reads[place + 1]):
            weights[type_of[read[z]], pairs[place], action[z] - start] = sums[read[z]]


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
        each = list(zip(inputs, in_dims, strict=True))
        copies = [
            Attend.apply(*(value if dim is None else value.select(dim, copy) for value, dim in each))
            for copy in range(info.batch_size)
        ]
        return tuple(torch.stack(parts) for parts in zip(*copies, strict=True)), (0, 0, 0)


def weigh(targets, user, a, b, c, query, histories) -> Tensor:
    """Weights of a user's history toward some targets, as ``rcf_tensors.weigh``."""
    start, stop = histories.starts[user : user + 2].tolist()
    entries, terms = _terms(targets, user, a, b, c, query, histories)
    weights = terms.new_zeros(len(query), len(targets), stop - start)
    _place(*entries.weights, *entries.readings, _array(terms), start, _array(weights))
    return weights


def read(targets, user, a, b, c, query, x, histories) -> tuple[Tensor, Tensor]:
    """Sums and totals of :class:`Attend` for a user's whole history toward targets ``(n,)``.

    Takes what :func:`weigh` takes, and the items ``x``, ``(n_items, dim)``.
    """
    entries, terms = _terms(targets, user, a, b, c, query, histories)
    sums, totals = x.new_zeros(len(targets), len(query), x.shape[1]), x.new_zeros(len(targets), len(query))
    arrays = (_array(x.new_ones(len(histories.items))), _array(x)[entries.items])
    _sum(*entries.weights, *entries.readings, *arrays, *map(_array, (terms, sums, totals)))
    return sums, totals


def _terms(targets, user, a, b, c, query, histories):
    """Entries of a user's history toward targets, and what each adds to its weight."""
    entries = histories.entries(torch.full_like(targets, user), targets)
    rows = (entries.targets, entries.items, entries.values)
    arrays = [_array(of)[row] for of, row in zip((a, b, c), rows, strict=True)]
    terms = query.new_empty(len(entries.weight))
    _logits(*entries.runs, entries.weight, entries.item, *arrays, _array(query), _array(terms))
    return entries, terms.exp_()


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


class Read(torch.autograd.Function):
    """As :class:`Weigh`, the sums and totals of a user's whole history.

    ``apply(targets, read)`` returns them, ``(*targets.shape, 4, dim)`` and ``(*targets.shape, 4)``.
    """

    @staticmethod
    def forward(targets, read):
        """Read; see the class."""
        sums, totals = read(targets.flatten())
        return sums.unflatten(0, targets.shape), totals.unflatten(0, targets.shape)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """There is no gradient."""
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def vmap(info, in_dims, targets, read):
        """Targets of any shape are targets."""
        return Read.apply(targets.movedim(in_dims[0], 0), read), (0, 0)
