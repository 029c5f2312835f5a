"""Training of many NCFs on the same batches, as loops.

A small network on a batch keeps a processor busy with everything but arithmetic: tensor operations start,
bring operands into shape, and write to memory what the next one reads.  Here the equations of
:class:`~accent_lib.models.NCF`, the chain rule and Adam's update are written out, compiled by Numba, and go
through a batch in tiles that stay in the cache.  So do a copy's parameters and moments, since copies take
turns epoch by epoch.  ``bench/retraining.py`` times this beside tensor operations.

The parameters of a copy are one vector: user table, item table, then weight and bias of the two hidden layers
and of the output.
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
    for o in range(weight.shape[0]):
        total = zero
        for t in range(n):
            total += slope[o, t]
        d_bias[o] += total


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
def _parts(vector, n_users, n_items, dim):
    """The vector of a copy as user table, item table, and weights and biases of the three layers."""
    a = n_users * 2 * dim
    b = a + n_items * 2 * dim
    c = b + dim * 2 * dim
    d = c + dim
    e = d + dim // 2 * dim
    f = e + dim // 2
    g = f + dim // 2 + dim
    return (
        vector[:a].reshape(n_users, 2 * dim),
        vector[a:b].reshape(n_items, 2 * dim),
        vector[b:c].reshape(dim, 2 * dim),
        vector[c:d],
        vector[d:e].reshape(dim // 2, dim),
        vector[e:f],
        vector[f:g],
        vector[g:],
    )


@_jit
def add_gradient(users, items, ratings, keep, vector, gradient, shape):
    """Add the gradient of the mean squared error on a batch, and return the error.

    Parameters
    ----------
    users, items : ndarray of int, shape (n,)
    ratings, keep : ndarray, shape (n,)
        ``keep`` is the weight of each row in the loss.
    vector, gradient : ndarray, shape (n_parameters,)
    shape : tuple of int
        ``n_users``, ``n_items``, ``dim``.

    Returns
    -------
    float
    """
    n_users, n_items, dim = shape
    user_table, item_table, weight1, bias1, weight2, bias2, output, offset = _parts(
        vector, n_users, n_items, dim
    )
    d_users, d_items, d_weight1, d_bias1, d_weight2, d_bias2, d_output, d_offset = _parts(
        gradient, n_users, n_items, dim
    )
    units, size, real, zero = dim // 2, len(users), vector.dtype, vector.dtype.type(0)
    w, w_gmf, d_w, d_w_gmf = output[:units], output[units:], d_output[:units], d_output[units:]
    # Columns are rows of the batch: the MLP's half of [user, item], then the units of each layer.
    x, d_x = np.empty((2 * dim, TILE), real), np.empty((2 * dim, TILE), real)
    h1, d_h1 = np.empty((dim, TILE), real), np.empty((dim, TILE), real)
    h2, d_h2 = np.empty((units, TILE), real), np.empty((units, TILE), real)
    error, loss = np.empty(TILE, real), zero
    for start in range(0, size, TILE):
        n = min(TILE, size - start)
        for t in range(n):
            of_user, of_item = user_table[users[start + t]], item_table[items[start + t]]
            for d in range(dim):
                x[d, t] = of_user[d]
                x[dim + d, t] = of_item[d]
            total = offset[0] - ratings[start + t]
            for d in range(dim):
                total += w_gmf[d] * of_user[dim + d] * of_item[dim + d]
            error[t] = total
        _affine(weight1, bias1, x, h1, n)
        _relu(h1, n)
        _affine(weight2, bias2, h1, h2, n)
        _relu(h2, n)
        for o in range(units):
            for t in range(n):
                error[t] += w[o] * h2[o, t]

        total = zero
        for t in range(n):
            weighted = keep[start + t] * error[t]
            loss += weighted * error[t]
            error[t] = 2 * weighted / size  # from here on the slope of the loss in the prediction
            total += error[t]
        d_offset[0] += total

        for o in range(units):
            total = zero
            for t in range(n):
                total += error[t] * h2[o, t]
                d_h2[o, t] = w[o] * error[t]
            d_w[o] += total
        _relu_backward(h2, d_h2, n)
        _affine_backward(weight2, h1, d_h2, d_weight2, d_bias2, d_h1, n)
        _relu_backward(h1, d_h1, n)
        _affine_backward(weight1, x, d_h1, d_weight1, d_bias1, d_x, n)
        for t in range(n):
            user, item, slope = users[start + t], items[start + t], error[t]
            of_user, of_item = user_table[user], item_table[item]
            d_user, d_item = d_users[user], d_items[item]
            for d in range(dim):
                d_user[d] += d_x[d, t]
                d_item[d] += d_x[dim + d, t]
            # One short loop for each array, so that the compiler sees that they do not overlap.
            for d in range(dim):
                d_w_gmf[d] += slope * of_user[dim + d] * of_item[dim + d]
            for d in range(dim):
                d_user[dim + d] += slope * w_gmf[d] * of_item[dim + d]
            for d in range(dim):
                d_item[dim + d] += slope * w_gmf[d] * of_user[dim + d]
    return loss / size


@_jit
def _adam(x, first, second, gradient, decay, rate, small):
    """One update, after which the gradient is zero; ``rate`` and ``small`` hold the corrections of bias."""
    real = x.dtype.type
    decay, rate, small = real(decay), real(rate), real(small)
    keep1, take1, keep2, take2, zero = real(0.9), real(0.1), real(0.999), real(0.001), real(0)
    for i in range(len(x)):
        slope = gradient[i] + decay * x[i]
        mean = keep1 * first[i] + take1 * slope
        square = keep2 * second[i] + take2 * slope * slope
        x[i] -= rate * mean / (np.sqrt(square) + small)
        first[i] = mean
        second[i] = square
        gradient[i] = zero


@_jit
def adam_steps(users, items, ratings, keep, rates, done, vector, first, second, ends, decays, shape):
    """Take one copy through some steps of Adam, with the defaults of ``torch.optim.Adam``.

    Parameters
    ----------
    users, items, ratings, keep : ndarray, shape (n_steps, batch_size)
        The batches and the weight of each row.
    rates : ndarray, shape (n_steps,)
        Learning rate of each step.
    done : int
        Steps that the moments have seen.
    vector, first, second : ndarray, shape (n_parameters,)
        Parameters and their two moments; changed in place.
    ends, decays : ndarray, shape (n_tensors,)
        Where the parameters of each tensor end in the vector, and their weight decay.
    shape : tuple of int
        ``n_users``, ``n_items``, ``dim``.
    """
    gradient = np.zeros_like(vector)
    for step in range(len(rates)):
        add_gradient(users[step], items[step], ratings[step], keep[step], vector, gradient, shape)
        count, start = done + step + 1, 0
        root = np.sqrt(1 - 0.999**count)
        rate, small = rates[step] * root / (1 - 0.9**count), 1e-8 * root
        for tensor in range(len(ends)):
            part = slice(start, ends[tensor])
            _adam(vector[part], first[part], second[part], gradient[part], decays[tensor], rate, small)
            start = ends[tensor]
