"""Training of many NCFs on the same batches, as loops that give the same bytes on every processor.

A small network on a batch keeps a processor busy with everything but arithmetic: tensor operations start,
bring operands into shape, and write to memory what the next one reads.  Here the equations of
:class:`~accent_lib.models.NCF`, the chain rule and Adam's update are written out, compiled by Numba, and go
through a batch in tiles that stay in the cache.  So do a copy's parameters and moments, since copies take
turns epoch by epoch.  ``bench/retraining.py`` times this beside tensor operations, and computes the least
time that the arithmetic and the bytes take.

Training of a ReLU network is chaotic: one rounding that differs ends in another optimum.  So every
rounding is laid down here.

- Initial values and the order of the batches are drawn as whole numbers.
- ``+ - * /`` and the square root are the same in every IEEE arithmetic; nothing else is used.  The
  tanh of GELU is a quotient of polynomials.
- The compiler may neither reorder a sum nor fuse a product into it.  Sums run side by side for eight units of
  a layer (``lanes``), so that wide and narrow registers take the same additions.
- Tiny numbers become zero by comparison (`TINY`), not by a flag of the processor.

The parameters of a copy are one vector: user table, item table, then weight and bias of the two hidden layers
and of the output.  Within a tile, a matrix lies in *panels* of eight columns, one after the other: eight
numbers of a row are neighbours, and zeros fill the last panel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from accent_lib.models.lanes import LANES, fours, load, spread, store

#: Rows of a batch that are taken through the network together, a multiple of eight; numbers of a panel.
TILE = 128
PANEL = TILE * LANES
#: The width of the embeddings must be a multiple of this.
WIDTH = LANES
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
def _padded(number):
    """The next multiple of eight."""
    return -(-number // LANES) * LANES


@_jit
def _panels(matrix):
    """A matrix in panels, with rows of zeros to a multiple of eight."""
    rows = _padded(matrix.shape[0])
    panels = np.zeros(rows * _padded(matrix.shape[1]), matrix.dtype)
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            panels[(column // LANES * rows + row) * LANES + column % LANES] = matrix[row, column]
    return panels


@_jit
def _add_panels(panels, matrix):
    """Add what lies in panels to a matrix."""
    rows = _padded(matrix.shape[0])
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            matrix[row, column] += panels[(column // LANES * rows + row) * LANES + column % LANES]


@_jit
def _four(x, i, step, y0, y1, y2, y3):
    """The sum of four products of a number in ``x`` and eight."""
    first = spread(x, i) * y0 + spread(x, i + step) * y1
    return first + (spread(x, i + 2 * step) * y2 + spread(x, i + 3 * step) * y3)


@_jit
def _combine(x, weight, bias, out, rows):
    """Set ``out[t]`` to ``bias + sum_k x[t, k] weight[k]``, four ``k`` at a time.

    Two panels of ``out`` share what they read of ``x``; an odd one is its own partner.
    """
    panels = len(out) // PANEL
    size = len(weight) // panels
    for p in range(0, panels, 2):
        q = min(p + 1, panels - 1)
        sums, start_p, start_q, step = bias, LANES * p, LANES * q, 0
        for k in range(0, size // LANES, 4):
            v, w = p * size + LANES * k, q * size + LANES * k
            v0, v1, v2, v3 = load(weight, v), load(weight, v + 8), load(weight, v + 16), load(weight, v + 24)
            w0, w1, w2, w3 = load(weight, w), load(weight, w + 8), load(weight, w + 16), load(weight, w + 24)
            for t in range(0, LANES * rows, LANES):
                i = k // LANES * PANEL + k % LANES + t
                first = load(sums, start_p + step * t) + _four(x, i, 1, v0, v1, v2, v3)
                second = load(sums, start_q + step * t) + _four(x, i, 1, w0, w1, w2, w3)
                store(out, p * PANEL + t, first)
                store(out, q * PANEL + t, second)
            sums, start_p, start_q, step = out, p * PANEL, q * PANEL, 1


@_jit
def _add_products(slope, x, gradient, rows):
    """Add ``sum_t slope[t, o] x[t]`` to ``gradient[o]``, eight rows ``t`` of the batch at a time."""
    panels = len(x) // PANEL
    units = len(gradient) // panels // LANES
    for p in range(len(slope) // PANEL):
        for q in range(panels):
            for t in range(0, LANES * rows, 8 * LANES):
                i = q * PANEL + t
                x0, x1, x2, x3 = load(x, i), load(x, i + 8), load(x, i + 16), load(x, i + 24)
                i += 32
                x4, x5, x6, x7 = load(x, i), load(x, i + 8), load(x, i + 16), load(x, i + 24)
                for o in range(min(LANES, units - LANES * p)):
                    s, g = p * PANEL + t + o, (q * units + LANES * p + o) * LANES
                    first = _four(slope, s, LANES, x0, x1, x2, x3)
                    second = _four(slope, s + 32, LANES, x4, x5, x6, x7)
                    store(gradient, g, load(gradient, g) + (first + second))


@_jit
def _add_slopes(slope, gradient, rows):
    """Add ``sum_t slope[t]`` to the gradient, as four sums side by side."""
    for p in range(len(slope) // PANEL):
        i = p * PANEL
        a0, a1, a2, a3 = load(slope, i), load(slope, i + 8), load(slope, i + 16), load(slope, i + 24)
        for t in range(i + 32, i + LANES * rows, 32):
            a0 = a0 + load(slope, t)
            a1 = a1 + load(slope, t + 8)
            a2 = a2 + load(slope, t + 16)
            a3 = a3 + load(slope, t + 24)
        store(gradient, LANES * p, load(gradient, LANES * p) + ((a0 + a1) + (a2 + a3)))


@_jit
def _relu(x, derivative):
    zero, unit = x.dtype.type(0), x.dtype.type(1)
    for i in range(len(x)):
        v = x[i]
        off = v <= zero  # NaN is on, and stays NaN
        derivative[i] = zero if off else unit
        x[i] = zero if off else v


@_jit
def _gelu(x, derivative):
    real = x.dtype.type
    half, unit, root, cube, slope = real(0.5), real(1), real(_ROOT_2_PI), real(_CUBE), real(3 * _CUBE)
    limit = real(TANH_LIMIT)
    p0, p1, p2, p3, p4 = real(TANH_P[0]), real(TANH_P[1]), real(TANH_P[2]), real(TANH_P[3]), real(TANH_P[4])
    q0, q1, q2, q3, q4 = real(TANH_Q[0]), real(TANH_Q[1]), real(TANH_Q[2]), real(TANH_Q[3]), real(TANH_Q[4])
    for i in range(len(x)):
        v = x[i]
        square = v * v
        y = root * v * (unit + cube * square)
        flat = abs(y) > limit
        y = (limit if y > 0 else -limit) if flat else y
        z = y * y
        p = p0 + z * (p1 + z * (p2 + z * (p3 + z * p4)))
        q = q0 + z * (q1 + z * (q2 + z * (q3 + z * q4)))
        tanh = y * p / q
        steep = real(0) if flat else (unit - tanh * tanh) * root * (unit + slope * square)
        derivative[i] = half * (unit + tanh) + half * v * steep
        x[i] = half * v * (unit + tanh)


@_jit
def _activate(x, derivative, rows, smooth):
    for panel in range(0, len(x), PANEL):
        part = slice(panel, panel + LANES * rows)
        if smooth:
            _gelu(x[part], derivative[part])
        else:
            _relu(x[part], derivative[part])


@_jit
def _parts(vector, n_users, n_items, dim):
    """Weight and bias of each layer, in the vector of a copy."""
    a, units = (n_users + n_items) * 2 * dim, dim // 2
    b = a + dim * 2 * dim
    c = b + dim
    d = c + units * dim
    e = d + units
    f = e + units + dim
    return (
        vector[a:b].reshape(dim, 2 * dim),
        vector[b:c],
        vector[c:d].reshape(units, dim),
        vector[d:e],
        vector[e:f],
        vector[f:],
    )


@_jit
def _layers(vector, shape):
    """Weight and bias of each layer as `_forward` takes them: transposed in panels, and padded."""
    weight1, bias1, weight2, bias2, output, offset = _parts(vector, *shape)
    units = len(bias2)
    gap = np.zeros(_padded(units) - units, vector.dtype)
    output = np.concatenate((output[:units], gap, output[units:]))
    return _panels(weight1.T), bias1, _panels(weight2.T), np.concatenate((bias2, gap)), output, offset


@_jit
def _tile(dim, real):
    """Room for a tile: inputs, first hidden layer, features of the output, errors, and two derivatives.

    The features are the second hidden layer and the products of the embeddings; errors are one column.
    """
    units = _padded(dim // 2)
    sizes = (2 * dim, dim, units + dim, LANES, dim, units)
    x, h1, features, errors, on1, on2 = [np.empty(size * TILE, real) for size in sizes]
    return x, h1, features, errors, on1, on2


@_jit
def _forward(users, items, ratings, start, n, vector, shape, smooth, layers, tile):
    """Predict ``n`` rows from ``start`` on and write their errors; the last row fills a group of eight."""
    n_users, _, dim = shape
    weight1, bias1, weight2, bias2, output, offset = layers
    x, h1, features, errors, on1, on2 = tile
    h2, products, rows = features[: len(on2)], features[len(on2) :], _padded(n)
    for t in range(rows):
        row = start + min(t, n - 1)
        user, item = users[row] * 2 * dim, (n_users + items[row]) * 2 * dim
        for d in range(0, dim, LANES):
            place = d * TILE + LANES * t
            store(x, place, load(vector, user + d))
            store(x, dim * TILE + place, load(vector, item + d))
            store(products, place, load(vector, user + dim + d) * load(vector, item + dim + d))
    _combine(x, weight1, bias1, h1, rows)
    _activate(h1, on1, rows, smooth)
    _combine(h1, weight2, bias2, h2, rows)
    _activate(h2, on2, rows, smooth)
    for t in range(n):
        score = offset[0]
        for d in range(0, len(output), LANES):
            first, second = fours(load(features, d * TILE + LANES * t) * load(output, d))
            score = (score + first) + second
        errors[LANES * t] = score - ratings[start + t]


@_jit
def objective(users, items, ratings, keep, vector, ends, decays, shape, smooth) -> float:
    """The training objective of one copy: mean squared error of all rows plus the penalty on the weights.

    ``keep`` is the weight of each row in the loss, ``(n,)`` as ``users``, ``items`` and ``ratings``; the rest
    is as for :func:`adam_steps`.  Summed in double precision, in the order of the rows and of the parameters.
    """
    layers, tile, loss, penalty, begin = _layers(vector, shape), _tile(shape[2], vector.dtype), 0.0, 0.0, 0
    _, _, _, errors, _, _ = tile
    for start in range(0, len(users), TILE):
        n = min(TILE, len(users) - start)
        _forward(users, items, ratings, start, n, vector, shape, smooth, layers, tile)
        for t in range(n):
            error = np.float64(errors[LANES * t])
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
    """Add the gradient of the mean squared error on a batch to ``gradient``, ``(n_parameters,)``.

    ``users``, ``items``, ``ratings`` and ``keep`` are ``(n,)``; the rest is as for :func:`adam_steps`.
    """
    n_users, _, dim = shape
    size, units, layers, tile = len(users), dim // 2, _layers(vector, shape), _tile(dim, vector.dtype)
    _, bias1, _, bias2, output, _ = layers
    weight1, _, weight2, _, _, _ = _parts(vector, *shape)
    weight1, weight2, zero = _panels(weight1), _panels(weight2), np.zeros(2 * dim, vector.dtype)
    x, h1, features, slopes, on1, on2 = tile
    d_x, d_h1, d_h2 = np.empty_like(x), np.empty_like(h1), np.empty_like(on2)
    d_weight1, d_bias1 = np.zeros_like(weight1), np.zeros_like(bias1)
    d_weight2, d_bias2 = np.zeros_like(weight2), np.zeros_like(bias2)
    d_output, d_offset = np.zeros_like(output), np.zeros(LANES, vector.dtype)
    for start in range(0, size, TILE):
        n = min(TILE, size - start)
        rows = _padded(n)
        _forward(users, items, ratings, start, n, vector, shape, smooth, layers, tile)
        for t in range(rows):  # from the errors to the slopes of the loss, zero in rows that only fill
            i = LANES * t
            slopes[i] = 2 * keep[start + t] * slopes[i] / size if t < n else 0
        _add_products(slopes, features, d_output, rows)
        _add_slopes(slopes, d_offset, rows)
        for i in range(0, len(d_h2), LANES):
            weight = load(output, i // PANEL * LANES)
            store(d_h2, i, weight * spread(slopes, i % PANEL) * load(on2, i))
        _add_products(d_h2, h1, d_weight2, rows)
        _add_slopes(d_h2, d_bias2, rows)
        _combine(d_h2, weight2, zero, d_h1, rows)
        for i in range(0, len(d_h1), LANES):
            store(d_h1, i, load(d_h1, i) * load(on1, i))
        _add_products(d_h1, x, d_weight1, rows)
        _add_slopes(d_h1, d_bias1, rows)
        _combine(d_h1, weight1, zero, d_x, rows)
        for t in range(n):
            user, item = users[start + t] * 2 * dim, (n_users + items[start + t]) * 2 * dim
            for d in range(0, dim, LANES):
                place, u, i = d * TILE + LANES * t, user + d, item + d
                store(gradient, u, load(gradient, u) + load(d_x, place))
                store(gradient, i, load(gradient, i) + load(d_x, dim * TILE + place))
                u, i = user + dim + d, item + dim + d
                slope = spread(slopes, LANES * t) * load(output, len(bias2) + d)
                store(gradient, u, load(gradient, u) + slope * load(vector, i))
                store(gradient, i, load(gradient, i) + slope * load(vector, u))
    g_weight1, g_bias1, g_weight2, g_bias2, g_output, g_offset = _parts(gradient, *shape)
    _add_panels(d_weight1, g_weight1)
    _add_panels(d_weight2, g_weight2)
    g_bias1 += d_bias1
    g_bias2 += d_bias2[:units]
    g_output[:units] += d_output[:units]
    g_output[units:] += d_output[len(bias2) :]
    g_offset += d_offset[:1]


@_jit
def _sweep(x, limit):
    """Set to zero what is smaller than the limit."""
    zero, limit = x.dtype.type(0), x.dtype.type(limit)
    for i in range(len(x)):
        v = x[i]
        x[i] = zero if abs(v) < limit else v


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

    From the share of the cut distribution that lies below, between 0 and 1, in any shape.  Off by less than
    4e-8, and the same in every IEEE arithmetic: only ``+ - * /`` are used.

    Examples
    --------
    >>> cut_normal(np.array([0.0, 0.5, 1.0])).round(6).tolist()
    [-2.0, 0.0, 2.0]
    """
    q = (share - 0.5) * (1 - 2 * _BELOW)
    return q * np.polyval(_QUANTILE_P, q * q) / np.polyval(_QUANTILE_Q, q * q)


@dataclass(frozen=True)
class Loops:
    """The loops for one NCF and its data; attributes are arguments of :func:`adam_steps`, of all actions."""

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    ends: np.ndarray
    decays: np.ndarray
    shape: tuple[int, int, int]
    smooth: bool

    def adam_steps(self, copy: Sequence[np.ndarray], keep, rows, rates, done: int) -> None:
        """Take a copy through some steps of Adam, as :func:`adam_steps` does.

        ``copy`` holds its parameters and their two moments, changed in place; ``keep`` is the weight of each
        action in the loss, ``(n_actions,)``, or ``None``; ``rows`` are the batches, ``(n_steps,
        batch_size)``.
        """
        data = self.users[rows], self.items[rows], self.ratings[rows], self._weights(keep)[rows]
        adam_steps(*data, rates, done, *copy, self.ends, self.decays, self.shape, self.smooth)

    def objective(self, vector: np.ndarray, keep=None) -> float:
        """The training objective of a copy: mean squared error of all rows plus the penalty."""
        data = self.users, self.items, self.ratings, self._weights(keep)
        return objective(*data, vector, self.ends, self.decays, self.shape, self.smooth)

    def _weights(self, keep):
        return np.ones_like(self.ratings) if keep is None else keep.astype(self.ratings.dtype)
