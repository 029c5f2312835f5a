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
def _logits(first, pair, value, type_, place, items, a, b, c, query, logits):
    """Fill in the logarithm of what each entry adds to its weight, by `exponentials`."""
    one, two, zero, width = a.dtype.type(1), a.dtype.type(2), a.dtype.type(0), a.shape[2]
    constant, product = query.sum(1), np.empty(width, a.dtype)
    for run in range(len(pair)):
        t = type_[run]
        for k in range(width):
            product[k] = a[pair[run], t, k] * c[value[run], k]
        for entry in range(first[run], first[run + 1]):
            j, dot = items[place[entry]], zero
            for k in range(width):
                dot += query[t, k] / (one + product[k] * b[t, j, k])
            logits[entry] = constant[t] - two * dot


@_compiled
def _sum(first, pair, type_, place, items, actions, keep, x, terms, sums, totals):
    """Fill in ``sums`` and ``totals`` of :func:`attend`."""
    sums, x = _apart(sums), _apart(x)
    for run in range(len(pair)):
        p, t = pair[run], type_[run]
        for entry in range(first[run], first[run + 1]):
            j, kept = items[place[entry]], keep[actions[place[entry]]]
            if kept == 0:
                continue
            kept *= terms[entry]
            totals[p, t] += kept
            for k in range(x.shape[1]):
                sums[p, t, k] += kept * x[j, k]


@_compiled
def _sum_backward(
    first, pair, value, type_, place, items, actions,
    keep, a, b, c, query, x, terms, of_sums, of_totals, of_a, of_b, of_c, of_query, of_x,
):  # fmt: skip
    """Add the gradients by the projections (not by their exponentials), the queries and the items."""
    one, two, four, width = a.dtype.type(1), a.dtype.type(2), a.dtype.type(4), a.shape[2]
    b, x, of_x, slopes = _apart(b), _apart(x), _apart(of_x), _apart(np.zeros_like(b))
    of_logits = np.empty_like(terms)
    product, of_product = _apart(np.empty(width, a.dtype)), _apart(np.empty(width, a.dtype))
    of_constant, of_sigmoid = np.zeros(len(query), a.dtype), _apart(np.zeros_like(query))
    for run in range(len(pair)):
        p, t = pair[run], type_[run]
        for entry in range(first[run], first[run + 1]):
            j, kept = items[place[entry]], keep[actions[place[entry]]]
            of_logits[entry] = 0
            if kept == 0:
                continue
            kept *= terms[entry]
            slope = of_totals[p, t]
            for k in range(x.shape[1]):
                slope += of_sums[p, t, k] * x[j, k]
                of_x[j, k] += kept * of_sums[p, t, k]
            of_logits[entry] = kept * slope
    for run in range(len(pair)):  # apart from the loop above: so the tables of one stay in cache
        p, t = pair[run], type_[run]
        for k in range(width):
            product[k] = a[p, t, k] * c[value[run], k]
        of_product[:] = 0
        for entry in range(first[run], first[run + 1]):
            j, of_logit = items[place[entry]], of_logits[entry]
            of_constant[t] += of_logit
            for k in range(width):
                sigmoid = one / (one + product[k] * b[t, j, k])
                slope = of_logit * sigmoid
                of_sigmoid[t, k] += slope
                slope -= slope * sigmoid
                of_product[k] += slope
                slopes[t, j, k] += slope
        for k in range(width):
            slope = four * query[t, k] * of_product[k]
            of_a[p, t, k] += slope
            of_c[value[run], k] += slope
    for j in range(len(of_b)):
        for t in range(len(query)):
            for k in range(width):
                of_b[j, t, k] = four * query[t, k] * slopes[t, j, k]
    of_query += np.expand_dims(of_constant, 1) - two * of_sigmoid


@_compiled
def _place(first, pair, type_, place, items, actions, terms, start, weights):
    """Fill in the weights of :class:`Weigh`; the history's actions begin with ``start``."""
    for run in range(len(pair)):
        for entry in range(first[run], first[run + 1]):
            weights[type_[run], pair[run], actions[place[entry]] - start] += terms[entry]


def exponentials(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``exp(2 a)``, ``exp(2 b)``, ``exp(2 c)`` as the loops take them: ``b`` by type.

    One type at a time would touch but a part of each row, and so but a part of the processor's cache.
    """
    parts = a, b.transpose(-3, -2), c
    return tuple(torch.mul(part, 2, out=part.new_empty(part.shape)).exp_() for part in parts)


def _array(tensor):
    return tensor.detach().contiguous().numpy()


def attend(a, b, c, query, x, keep, entries) -> tuple[Tensor, Tensor]:
    """Sum up the histories of users, by type, for pairs of a user and a target item.

    Takes the projections ``a`` of the pairs' targets, ``(n_pairs, n_types, width)``, ``b`` of all items,
    ``(n_items, n_types, width)``, and ``c`` of all values, ``(n_values, width)``; ``query``, ``(n_types,
    width)``, the items ``x``, ``(n_items, dim)``, ``keep``, ``(n_actions,)``, and :class:`Entries` of the
    pairs.  Returns the weighted sums of the items, ``(n_pairs, n_types, dim)``, and the sums of the weights,
    ``(n_pairs, n_types)``.  Differentiable by the first five, and fit for ``vmap`` over the first six.
    """
    tensors = (value.unsqueeze(0) for value in (a, b, c, query, x, keep))
    sums, totals, *_ = Attend.apply(*tensors, entries)
    return sums.squeeze(0), totals.squeeze(0)


class Attend(torch.autograd.Function):
    """:func:`attend` for a stack of copies, which are the first dimension of every tensor.

    Returns for the way back, too, what each entry adds to its weight, ``(n_copies, n_entries)``, and the
    `exponentials`.
    """

    @staticmethod
    def forward(a, b, c, query, x, keep, entries):
        """Sum; see the class."""
        sums, totals = x.new_zeros(*a.shape[:3], x.shape[-1]), x.new_zeros(a.shape[:3])
        terms, kept = x.new_empty(len(a), len(entries.place)), exponentials(a, b, c)
        for arrays in zip(*map(_array, (*kept, query, terms)), strict=True):
            _logits(*entries.logits, *arrays)
        terms.exp_()
        for arrays in zip(*map(_array, (keep, x, terms, sums, totals)), strict=True):
            _sum(*entries.readings, *arrays)
        return sums, totals, terms, *kept

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the way back takes."""
        _, _, _, query, x, keep, ctx.entries = inputs
        _, _, *kept = output
        ctx.save_for_backward(query, x, keep, *kept)
        ctx.mark_non_differentiable(*kept)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_sums, of_totals, *_):
        """Gradients by the projections, the queries and the items."""
        query, x, keep, terms, *kept = ctx.saved_tensors
        a, b, c = kept
        shapes = a.shape, b.transpose(1, 2).shape, c.shape, query.shape, x.shape
        gradients = [torch.zeros(shape, dtype=x.dtype) for shape in shapes]
        tensors = keep, *kept, query, x, terms, of_sums, of_totals, *gradients
        for arrays in zip(*map(_array, tensors), strict=True):
            _sum_backward(*ctx.entries.logits, ctx.entries.actions, *arrays)
        return *gradients, None, None

    @staticmethod
    def vmap(info, in_dims, *inputs):
        """One copy of a stack after the other: each keeps a core busy."""
        *tensors, entries = inputs
        tensors = [
            value.expand(info.batch_size, *value.shape[1:]) if dim is None else value.movedim(dim, 0)[:, 0]
            for value, dim in zip(tensors, in_dims, strict=False)
        ]
        outputs = Attend.apply(*tensors, entries)
        return tuple(value.unsqueeze(1) for value in outputs), (0,) * len(outputs)


def weigh(targets, user, a, b, c, query, histories) -> Tensor:
    """Weights of a user's history toward some targets, as ``rcf_tensors.weigh``."""
    start, stop = histories.starts[user : user + 2].tolist()
    entries, terms = _terms(targets, user, a, b, c, query, histories)
    weights = terms.new_zeros(len(query), len(targets), stop - start)
    _place(*entries.readings, _array(terms), start, _array(weights))
    return weights


def read(targets, user, a, b, c, query, x, histories) -> tuple[Tensor, Tensor]:
    """Sums and totals of :func:`attend` for a user's whole history toward targets ``(n,)``.

    Takes what :func:`weigh` takes, and the items ``x``, ``(n_items, dim)``.
    """
    entries, terms = _terms(targets, user, a, b, c, query, histories)
    sums, totals = x.new_zeros(len(targets), len(query), x.shape[1]), x.new_zeros(len(targets), len(query))
    keep = x.new_ones(len(histories.items))
    _sum(*entries.readings, *map(_array, (keep, x, terms, sums, totals)))
    return sums, totals


def _terms(targets, user, a, b, c, query, histories):
    """Entries of a user's history toward targets, and what each adds to its weight."""
    entries = histories.entries(torch.full_like(targets, user), targets)
    terms = query.new_empty(len(entries.place))
    _logits(*entries.logits, *map(_array, (a[targets], b, c, query, terms)))
    return entries, terms.exp_()


class Weigh(torch.autograd.Function):
    """Weights of a user's history toward some targets, without gradients.

    ``apply(targets, weigh)`` takes the targets, of any shape, and a function that returns the weights toward
    targets in a row; the result has the shape ``(n_types, *targets.shape, n_history)``.  (A function of
    autograd because :mod:`torch.func` lets only these see plain tensors.)
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

    ``apply(targets, read)`` returns them, of shape ``targets.shape`` and then ``(n_types, dim)`` and
    ``(n_types,)``.
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
