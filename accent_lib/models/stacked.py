"""Loss and gradient of a whole stack of NCFs on one batch, as loops.

Many small networks on one batch are many small matrix products; tensor operations spend most of their time
on copying operands into shape (``bench/retraining.py`` times both).  Here one pass goes through the batch
copy by copy, in tiles that stay in the cache, and leaves the gradient of every parameter: the equations of
:mod:`accent_lib.models.ncf` and the chain rule, written out.
"""

import numpy as np
from numba import njit

#: Rows of a batch that are taken through the network together.
TILE = 128
#: Units are taken four at a time, so the narrowest layer (half the embedding) must be a multiple of four.
WIDTH = 8

# Sums may be taken in any order, which SIMD needs; but NaN must stay NaN, so that a copy shows it diverged.
_jit = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy", cache=True)


@_jit
def _affine(weight, bias, x, out, n):
    """``out[o] = bias[o] + sum_d weight[o, d] x[d]`` for ``n`` columns."""
    for o in range(weight.shape[0]):
        row = out[o]
        for t in range(n):
            row[t] = bias[o]
        for d in range(0, weight.shape[1], 4):
            w0, w1, w2, w3 = weight[o, d], weight[o, d + 1], weight[o, d + 2], weight[o, d + 3]
            x0, x1, x2, x3 = x[d], x[d + 1], x[d + 2], x[d + 3]
            for t in range(n):
                row[t] += w0 * x0[t] + w1 * x1[t] + w2 * x2[t] + w3 * x3[t]


@_jit
def _affine_backward(weight, x, slope, d_weight, d_bias, d_x, n):
    """Add the gradient of weight and bias, and write that of ``x``, given ``slope``, that of the output."""
    zero = weight.dtype.type(0)
    for d in range(weight.shape[1]):
        for t in range(n):
            d_x[d, t] = zero
    for o in range(0, weight.shape[0], 4):
        s0, s1, s2, s3 = slope[o], slope[o + 1], slope[o + 2], slope[o + 3]
        for d in range(weight.shape[1]):
            w0, w1, w2, w3 = weight[o, d], weight[o + 1, d], weight[o + 2, d], weight[o + 3, d]
            x_d, d_x_d = x[d], d_x[d]
            a0, a1, a2, a3 = zero, zero, zero, zero
            for t in range(n):
                d_x_d[t] += w0 * s0[t] + w1 * s1[t] + w2 * s2[t] + w3 * s3[t]
                a0 += s0[t] * x_d[t]
                a1 += s1[t] * x_d[t]
                a2 += s2[t] * x_d[t]
                a3 += s3[t] * x_d[t]
            d_weight[o, d] += a0
            d_weight[o + 1, d] += a1
            d_weight[o + 2, d] += a2
            d_weight[o + 3, d] += a3
        a0, a1, a2, a3 = zero, zero, zero, zero
        for t in range(n):
            a0 += s0[t]
            a1 += s1[t]
            a2 += s2[t]
            a3 += s3[t]
        d_bias[o] += a0
        d_bias[o + 1] += a1
        d_bias[o + 2] += a2
        d_bias[o + 3] += a3


@_jit
def _relu(x, n):
    for o in range(x.shape[0]):
        for t in range(n):
            x[o, t] = x.dtype.type(0) if x[o, t] <= 0 else x[o, t]  # max() would turn NaN into zero


@_jit
def _relu_backward(output, slope, n):
    for o in range(slope.shape[0]):
        for t in range(n):
            slope[o, t] = slope.dtype.type(0) if output[o, t] <= 0 else slope[o, t]


@_jit
def _columns(table, rows, x, width, mlp, gmf, n):
    """Read the embeddings of ``n`` rows: the halves [MLP | GMF] go to ``x[mlp:]`` and ``x[gmf:]``."""
    for t in range(n):
        source = table[rows[t]]
        for d in range(width):
            x[mlp + d, t] = source[d]
            x[gmf + d, t] = source[width + d]


@_jit
def _add_columns(x, rows, d_table, width, mlp, gmf, n):
    """The way back of `_columns`: add to the rows of a gradient."""
    for t in range(n):
        target = d_table[rows[t]]
        for d in range(width):
            target[d] += x[mlp + d, t]
            target[width + d] += x[gmf + d, t]


@_jit
def add_gradient(users, items, ratings, keep, parameters, gradients):
    """Add the gradient of every copy's mean squared error on a batch, and return the errors.

    Parameters
    ----------
    users, items : ndarray of int, shape (n,)
    ratings : ndarray, shape (n,)
    keep : ndarray, shape (n_copies, n)
        Weight of each row in the loss of each copy.
    parameters : tuple of ndarray
        User and item table, weight and bias of the two hidden layers and of the output, each with the copies
        in front.
    gradients : tuple of ndarray
        Of the same shapes; added to.

    Returns
    -------
    ndarray, shape (n_copies,)
    """
    user_table, item_table, weight1, bias1, weight2, bias2, output, offset = parameters
    d_user_table, d_item_table, d_weight1, d_bias1, d_weight2, d_bias2, d_output, d_offset = gradients
    copies, units1, inputs = weight1.shape
    units2, width = weight2.shape[1], inputs // 2
    size, real, zero = len(users), weight1.dtype, weight1.dtype.type(0)
    losses = np.zeros(copies, real)
    # Columns are rows of the batch: [user MLP, item MLP, user GMF, item GMF], then the units of each layer.
    x, d_x = np.empty((2 * inputs, TILE), real), np.empty((inputs, TILE), real)
    h1, d_h1 = np.empty((units1, TILE), real), np.empty((units1, TILE), real)
    h2, d_h2 = np.empty((units2, TILE), real), np.empty((units2, TILE), real)
    error = np.empty(TILE, real)
    for copy in range(copies):
        w = output[copy, 0]
        d_w = d_output[copy, 0]
        for start in range(0, size, TILE):
            n = min(TILE, size - start)
            user, item = users[start : start + n], items[start : start + n]
            _columns(user_table[copy], user, x, width, 0, inputs, n)
            _columns(item_table[copy], item, x, width, width, inputs + width, n)
            _affine(weight1[copy], bias1[copy], x, h1, n)
            _relu(h1, n)
            _affine(weight2[copy], bias2[copy], h1, h2, n)
            _relu(h2, n)
            for t in range(n):
                error[t] = offset[copy, 0] - ratings[start + t]
            for o in range(units2):
                for t in range(n):
                    error[t] += w[o] * h2[o, t]
            for d in range(width):
                for t in range(n):
                    error[t] += w[units2 + d] * x[inputs + d, t] * x[inputs + width + d, t]

            loss, total = zero, zero
            for t in range(n):
                weighted = keep[copy, start + t] * error[t]
                loss += weighted * error[t]
                error[t] = 2 * weighted / size  # from here on the slope of the loss in the prediction
                total += error[t]
            losses[copy] += loss / size
            d_offset[copy, 0] += total

            for o in range(units2):
                total = zero
                for t in range(n):
                    total += error[t] * h2[o, t]
                    d_h2[o, t] = w[o] * error[t]
                d_w[o] += total
            _relu_backward(h2, d_h2, n)
            _affine_backward(weight2[copy], h1, d_h2, d_weight2[copy], d_bias2[copy], d_h1, n)
            _relu_backward(h1, d_h1, n)
            _affine_backward(weight1[copy], x, d_h1, d_weight1[copy], d_bias1[copy], d_x, n)
            for d in range(width):
                total = zero
                for t in range(n):
                    of_user, of_item = x[inputs + d, t], x[inputs + width + d, t]
                    total += error[t] * of_user * of_item
                    x[inputs + d, t] = w[units2 + d] * error[t] * of_item
                    x[inputs + width + d, t] = w[units2 + d] * error[t] * of_user
                d_w[units2 + d] += total
            for d in range(inputs):
                for t in range(n):
                    x[d, t] = d_x[d, t]
            _add_columns(x, user, d_user_table[copy], width, 0, inputs, n)
            _add_columns(x, item, d_item_table[copy], width, width, inputs + width, n)
    return losses
