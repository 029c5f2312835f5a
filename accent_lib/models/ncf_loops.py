"""Training of many NCFs on the same batches, as loops that give the same bytes on every processor.

A small network on a batch keeps a processor busy with everything but arithmetic: tensor operations start,
bring operands into shape, and write to memory what the next one reads.  Here the equations of
:class:`~accent_lib.models.NCF`, the chain rule and Adam's update are written out, compiled by Numba, and go
through a batch in tiles that stay in the cache.  So do a copy's parameters and moments, since copies take
turns epoch by epoch.  ``bench/retraining.py`` times this beside tensor operations.

Training of a ReLU network is chaotic: one rounding that differs ends in another optimum.  So every
rounding is laid down here.

- Initial values and the order of the batches are drawn as whole numbers.
- ``+ - * /`` and the square root are the same in every IEEE arithmetic; nothing else is used.  The
  tanh of GELU is a quotient of polynomials.
- The compiler may neither reorder a sum nor fuse a product into it.  A sum over a batch runs side by side for
  all units of a layer, so that wide and narrow registers take the same additions.
- Tiny numbers become zero by comparison (`TINY`), not by a flag of the processor.

The parameters of a copy are one vector: user table, item table, then weight and bias of the two hidden layers
and of the output.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

#: Rows of a batch that are taken through the network together; a multiple of eight.
TILE = 128
#: The width of the embeddings must be a multiple of this: units are taken four at a time in the narrowest
#: layer, which has half as many.
WIDTH = 8
#: Every `SWEEP` steps, what is smaller becomes zero: parameters below the first, their first moments below
#: the second, their second moments below its square.  Weight decay drives what is unused toward the smallest
#: numbers there are, whose arithmetic is slow; so large, products of three parameters stay clear of them.
#: Beside Adam's ``1e-8``, such moments move a parameter by less than ``1e-8`` of the learning rate.
TINY, SWEEP = (1e-12, 1e-17), 32
#: ``tanh(y) = y * P(y^2) / Q(y^2)`` for ``|y| <= TANH_LIMIT``, where it stays; off by less than 4e-8.
#: Fitted so that the largest error is the smallest; coefficients from the constant term on.
TANH_P = (
    0.9999999794953419,
    0.13381039033125178,
    0.0034956032494034904,
    2.0609300387945412e-05,
    1.3354907640132413e-08,
)
TANH_Q = (1.0, 0.4671435465575807, 0.025877041760933864, 0.00032856582084607574, 7.776670801287783e-07)
TANH_LIMIT = 9.0
_ROOT_2_PI, _CUBE = 0.7978845608028654, 0.044715  # of GELU: sqrt(2 / pi), and the factor of the cube
_BELOW = 0.02275013194817921  # the share of a normal distribution that lies below -2 standard deviations
# Of P. J. Acklam's rational approximation to the quantiles of the normal distribution, central part.
_QUANTILE_P = (
    -3.969683028665376e01,
    2.209460984245205e02,
    -2.759285104469687e02,
    1.383577518672690e02,
    -3.066479806614716e01,
    2.506628277459239e00,
)
_QUANTILE_Q = (
    -5.447609879822406e01,
    1.615858368580409e02,
    -1.556989798598866e02,
    6.680131188771972e01,
    -1.328068155288572e01,
    1.0,
)

# No fastmath: see above. Division by zero gives infinity, as in NumPy, so that a copy shows that it diverged.
_jit = njit(error_model="numpy", cache=True)


@_jit
def _affine(weight, bias, x, out):
    """``out[o] = bias[o] + sum_d weight[o, d] x[d]`` for the columns of a tile."""
    for o in range(weight.shape[0]):
        row = out[o]
        for t in range(TILE):
            row[t] = bias[o]
        for d in range(0, weight.shape[1], 4):
            w0, w1, w2, w3 = weight[o, d], weight[o, d + 1], weight[o, d + 2], weight[o, d + 3]
            x0, x1, x2, x3 = x[d], x[d + 1], x[d + 2], x[d + 3]
            for t in range(TILE):
                row[t] += (w0 * x0[t] + w1 * x1[t]) + (w2 * x2[t] + w3 * x3[t])


@_jit
def _affine_backward(weight, slope, d_x):
    """The gradient ``d_x[d] = sum_o weight[o, d] slope[o]`` of the input, given that of the output."""
    zero = weight.dtype.type(0)
    for d in range(weight.shape[1]):
        row = d_x[d]
        for t in range(TILE):
            row[t] = zero
        for o in range(0, weight.shape[0], 4):
            w0, w1, w2, w3 = weight[o, d], weight[o + 1, d], weight[o + 2, d], weight[o + 3, d]
            s0, s1, s2, s3 = slope[o], slope[o + 1], slope[o + 2], slope[o + 3]
            for t in range(TILE):
                row[t] += (w0 * s0[t] + w1 * s1[t]) + (w2 * s2[t] + w3 * s3[t])


@_jit
def _add_products(slope, x, gradient):
    """Add ``sum_t slope[o, t] x[t, d]`` to ``gradient[o, d]``, eight rows ``t`` of the batch at a time."""
    for o in range(slope.shape[0]):
        s, row = slope[o], gradient[o]
        for t in range(0, TILE, 8):
            s0, s1, s2, s3, s4, s5, s6, s7 = (
                s[t],
                s[t + 1],
                s[t + 2],
                s[t + 3],
                s[t + 4],
                s[t + 5],
                s[t + 6],
                s[t + 7],
            )
            x0, x1, x2, x3, x4, x5, x6, x7 = (
                x[t],
                x[t + 1],
                x[t + 2],
                x[t + 3],
                x[t + 4],
                x[t + 5],
                x[t + 6],
                x[t + 7],
            )
            for d in range(x.shape[1]):
                first = (s0 * x0[d] + s1 * x1[d]) + (s2 * x2[d] + s3 * x3[d])
                row[d] += first + ((s4 * x4[d] + s5 * x5[d]) + (s6 * x6[d] + s7 * x7[d]))


@_jit
def _add_slopes(slope, gradient):
    """Add ``sum_t slope[o, t]`` to ``gradient[o]``, as four sums side by side."""
    zero = slope.dtype.type(0)
    for o in range(slope.shape[0]):
        s, a0, a1, a2, a3 = slope[o], zero, zero, zero, zero
        for t in range(0, TILE, 4):
            a0 += s[t]
            a1 += s[t + 1]
            a2 += s[t + 2]
            a3 += s[t + 3]
        gradient[o] += (a0 + a1) + (a2 + a3)


@_jit
def _transpose(x, rows):
    for d in range(x.shape[0]):
        for t in range(TILE):
            rows[t, d] = x[d, t]


@_jit
def _relu(x, derivative):
    real = x.dtype.type
    for o in range(x.shape[0]):
        for t in range(TILE):
            off = x[o, t] <= 0  # NaN is on, and stays NaN
            derivative[o, t] = real(0) if off else real(1)
            x[o, t] = real(0) if off else x[o, t]


@_jit
def _gelu(x, derivative):
    real = x.dtype.type
    half, unit, root, cube, slope = real(0.5), real(1), real(_ROOT_2_PI), real(_CUBE), real(3 * _CUBE)
    limit = real(TANH_LIMIT)
    p0, p1, p2, p3, p4 = real(TANH_P[0]), real(TANH_P[1]), real(TANH_P[2]), real(TANH_P[3]), real(TANH_P[4])
    q0, q1, q2, q3, q4 = real(TANH_Q[0]), real(TANH_Q[1]), real(TANH_Q[2]), real(TANH_Q[3]), real(TANH_Q[4])
    for o in range(x.shape[0]):
        for t in range(TILE):
            v = x[o, t]
            square = v * v
            y = root * v * (unit + cube * square)
            flat = abs(y) > limit
            y = (limit if y > 0 else -limit) if flat else y
            z = y * y
            p = p0 + z * (p1 + z * (p2 + z * (p3 + z * p4)))
            q = q0 + z * (q1 + z * (q2 + z * (q3 + z * q4)))
            tanh = y * p / q
            steep = real(0) if flat else (unit - tanh * tanh) * root * (unit + slope * square)
            derivative[o, t] = half * (unit + tanh) + half * v * steep
            x[o, t] = half * v * (unit + tanh)


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
        vector[f:g].reshape(1, dim // 2 + dim),
        vector[g:],
    )


@_jit
def _tile(dim, real):
    """Room for a tile: inputs, first hidden layer, and features of the output, which the second is part of.

    The first six arrays hold them and the slopes of the loss in them with a column for each row of the batch,
    then come the two derivatives of the activations, the errors and the ratings.
    """
    units = dim // 2
    sizes = (2 * dim, dim, units + dim, 2 * dim, dim, units, dim, units, 1, 1)
    return [np.zeros((size, TILE), real) for size in sizes]


@_jit
def _forward(users, items, ratings, start, vector, shape, smooth, tile):
    """Predict rows from ``start`` on and write their errors; return how many rows there are."""
    n_users, n_items, dim = shape
    user_table, item_table, weight1, bias1, weight2, bias2, output, offset = _parts(
        vector, n_users, n_items, dim
    )
    x, h1, features, _, _, _, on1, on2, errors, labels = tile
    units, n = dim // 2, min(TILE, len(users) - start)
    h2 = features[:units]
    for t in range(n):
        of_user, of_item = user_table[users[start + t]], item_table[items[start + t]]
        labels[0, t] = ratings[start + t]
        for d in range(dim):
            x[d, t] = of_user[d]
            x[dim + d, t] = of_item[d]
            features[units + d, t] = of_user[dim + d] * of_item[dim + d]
    _affine(weight1, bias1, x, h1)
    _activate(h1, on1, smooth)
    _affine(weight2, bias2, h1, h2)
    _activate(h2, on2, smooth)
    _affine(output, offset, features, errors)
    for t in range(TILE):
        errors[0, t] -= labels[0, t]
    return n


@_jit
def _activate(x, derivative, smooth):
    if smooth:
        _gelu(x, derivative)
    else:
        _relu(x, derivative)


@_jit
def objective(users, items, ratings, keep, vector, ends, decays, shape, smooth) -> float:
    """The training objective of one copy: mean squared error of all rows plus the penalty on the weights.

    Parameters
    ----------
    users, items : ndarray of int, shape (n,)
    ratings, keep : ndarray, shape (n,)
        ``keep`` is the weight of each row in the loss.
    vector, ends, decays, shape, smooth
        As for :func:`adam_steps`.

    Returns
    -------
    float
        Summed in double precision, in the order of the rows and of the parameters.
    """
    tile, loss, penalty, begin = _tile(shape[2], vector.dtype), 0.0, 0.0, 0
    _, _, _, _, _, _, _, _, errors, _ = tile
    for start in range(0, len(users), TILE):
        for t in range(_forward(users, items, ratings, start, vector, shape, smooth, tile)):
            error = np.float64(errors[0, t])
            loss += np.float64(keep[start + t]) * error * error
    for tensor in range(len(ends)):
        square = 0.0
        for i in range(begin, ends[tensor]):
            square += np.float64(vector[i]) * np.float64(vector[i])
        penalty += decays[tensor] / 2 * square
        begin = ends[tensor]
    return loss / len(users) + penalty


@_jit
def add_gradient(users, items, ratings, keep, vector, gradient, shape, smooth) -> None:
    """Add the gradient of the mean squared error on a batch.

    Parameters
    ----------
    users, items : ndarray of int, shape (n,)
    ratings, keep : ndarray, shape (n,)
        ``keep`` is the weight of each row in the loss.
    vector, gradient : ndarray, shape (n_parameters,)
    shape : tuple of int
        ``n_users``, ``n_items``, ``dim``.
    smooth : bool
        GELU instead of ReLU.
    """
    n_users, n_items, dim = shape
    user_table, item_table, weight1, _, weight2, _, output, _ = _parts(vector, n_users, n_items, dim)
    d_users, d_items, d_weight1, d_bias1, d_weight2, d_bias2, d_output, d_offset = _parts(
        gradient, n_users, n_items, dim
    )
    real, units, size = vector.dtype, dim // 2, len(users)
    w_gmf, tile = output[0, units:], _tile(dim, real)
    x, h1, features, d_x, d_h1, d_h2, on1, on2, slopes, _ = tile
    x_rows, h1_rows = np.empty((TILE, 2 * dim), real), np.empty((TILE, dim), real)
    feature_rows = np.empty((TILE, units + dim), real)
    for start in range(0, size, TILE):
        n = _forward(users, items, ratings, start, vector, shape, smooth, tile)
        for t in range(n):
            slopes[0, t] = (
                2 * keep[start + t] * slopes[0, t] / size
            )  # from the error to the slope of the loss
        for t in range(n, TILE):
            slopes[0, t] = 0  # columns without a row
        _transpose(features, feature_rows)
        _add_products(slopes, feature_rows, d_output)
        _add_slopes(slopes, d_offset)
        for o in range(units):
            for t in range(TILE):
                d_h2[o, t] = output[0, o] * slopes[0, t] * on2[o, t]
        _transpose(h1, h1_rows)
        _add_products(d_h2, h1_rows, d_weight2)
        _add_slopes(d_h2, d_bias2)
        _affine_backward(weight2, d_h2, d_h1)
        for o in range(dim):
            for t in range(TILE):
                d_h1[o, t] *= on1[o, t]
        _transpose(x, x_rows)
        _add_products(d_h1, x_rows, d_weight1)
        _add_slopes(d_h1, d_bias1)
        _affine_backward(weight1, d_h1, d_x)
        for t in range(n):
            user, item, slope = users[start + t], items[start + t], slopes[0, t]
            of_user, of_item = user_table[user], item_table[item]
            d_user, d_item = d_users[user], d_items[item]
            for d in range(dim):
                d_user[d] += d_x[d, t]
                d_item[d] += d_x[dim + d, t]
            # One short loop for each array, so that the compiler sees that they do not overlap.
            for d in range(dim):
                d_user[dim + d] += slope * w_gmf[d] * of_item[dim + d]
            for d in range(dim):
                d_item[dim + d] += slope * w_gmf[d] * of_user[dim + d]


@_jit
def _sweep(x, limit):
    """Set to zero what is smaller than the limit."""
    zero, limit = x.dtype.type(0), x.dtype.type(limit)
    for i in range(len(x)):
        x[i] = zero if abs(x[i]) < limit else x[i]


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
def _power(power, factor):
    """The next power of a factor, zero where it is too small to be taken from one."""
    power *= factor
    return power if power > 1e-20 else 0.0


@_jit
def adam_steps(
    users, items, ratings, keep, rates, done, vector, first, second, ends, decays, shape, smooth
) -> None:
    """Take one copy through some steps of Adam, with the constants of ``torch.optim.Adam``.

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
    smooth : bool
        GELU (in its tanh form) instead of ReLU.
    """
    gradient = np.zeros_like(vector)
    power1, power2 = 1.0, 1.0  # of Adam's 0.9 and 0.999; pow() is not the same everywhere
    for _ in range(min(done, 100_000)):  # by then both are zero
        power1, power2 = _power(power1, 0.9), _power(power2, 0.999)
    for step in range(len(rates)):
        add_gradient(users[step], items[step], ratings[step], keep[step], vector, gradient, shape, smooth)
        power1, power2, begin = _power(power1, 0.9), _power(power2, 0.999), 0
        root = np.sqrt(1 - power2)
        rate, small = rates[step] * root / (1 - power1), 1e-8 * root
        for tensor in range(len(ends)):
            part = slice(begin, ends[tensor])
            _adam(vector[part], first[part], second[part], gradient[part], decays[tensor], rate, small)
            begin = ends[tensor]
        if (done + step + 1) % SWEEP == 0:
            _sweep(vector, TINY[0])
            _sweep(first, TINY[1])
            _sweep(second, TINY[1] * TINY[1])


def cut_normal(share: np.ndarray) -> np.ndarray:
    """Quantiles of the standard normal distribution, cut at two standard deviations on both sides.

    Parameters
    ----------
    share : ndarray
        The share of the cut distribution that lies below, between 0 and 1.

    Returns
    -------
    ndarray, of the same shape
        Off by less than 4e-8, and the same in every IEEE arithmetic: only ``+ - * /`` are used.

    Examples
    --------
    >>> cut_normal(np.array([0.0, 0.5, 1.0])).round(6).tolist()
    [-2.0, 0.0, 2.0]
    """
    q = (share - 0.5) * (1 - 2 * _BELOW)
    return q * np.polyval(_QUANTILE_P, q * q) / np.polyval(_QUANTILE_Q, q * q)


@dataclass(frozen=True)
class Loops:
    """The loops for one NCF and its data.

    Parameters
    ----------
    users, items, ratings : ndarray, shape (n_actions,)
    ends, decays : ndarray, shape (n_tensors,)
        Where the parameters of each tensor end in the vector, and their weight decay.
    shape : tuple of int
        ``n_users``, ``n_items``, ``dim``.
    smooth : bool
        GELU (in its tanh form) instead of ReLU.
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    ends: np.ndarray
    decays: np.ndarray
    shape: tuple[int, int, int]
    smooth: bool

    def adam_steps(
        self, copy: Sequence[np.ndarray], keep, rows: np.ndarray, rates: np.ndarray, done: int
    ) -> None:
        """Take a copy through some steps of Adam.

        Parameters
        ----------
        copy : three ndarrays, shape (n_parameters,)
            Parameters and their two moments, which have seen ``done`` steps; changed in place.
        keep : ndarray, shape (n_actions,), optional
            Weight of each action in the loss.
        rows : ndarray of int, shape (n_steps, batch_size)
            The batches.
        rates : ndarray, shape (n_steps,)
            Learning rate of each step.
        done : int
        """
        data = self.users[rows], self.items[rows], self.ratings[rows], self._weights(keep)[rows]
        adam_steps(*data, rates, done, *copy, self.ends, self.decays, self.shape, self.smooth)

    def objective(self, vector: np.ndarray, keep=None) -> float:
        """The training objective of a copy: mean squared error of all rows plus the penalty."""
        data = self.users, self.items, self.ratings, self._weights(keep)
        return objective(*data, vector, self.ends, self.decays, self.shape, self.smooth)

    def _weights(self, keep):
        return np.ones_like(self.ratings) if keep is None else keep.astype(self.ratings.dtype)
