"""The least time of a step of NCF's loops: what its arithmetic and its bytes take on the machine at hand.

Three parts follow one another, and each is measured as the best of many short loops that do nothing else.

- *Network*: a multiplication and an addition for each weight and action, forward, and twice backward.  They
  may not be fused, since equal bytes forbid it, and come as eight numbers at a time, as in the loops.
- *Gathers*: each action reads the rows of user and item, and reads and writes those of the gradient.
- *Adam*: each parameter takes a square root and a division, and four numbers are read and written: parameter,
  both moments and the gradient.  The slower of arithmetic and memory counts.

Memory is as fast as a pass over arrays that are as large as those of a copy.
"""

import time

import numpy as np
from numba import njit

from accent_lib.models.lanes import LANES, load, store

_jit = njit(error_model="numpy")
#: How often each loop runs; all take some half a millisecond, so that what else runs disturbs them alike.
TRIES = 300


@_jit
def _multiply_add(x, steps):
    factor, summand = load(x, 0), load(x, 8)
    a, b, c, d, e, f = load(x, 16), load(x, 24), load(x, 32), load(x, 40), load(x, 48), load(x, 56)
    g, h, i, j, k, m = load(x, 64), load(x, 72), load(x, 80), load(x, 88), load(x, 96), load(x, 104)
    for _ in range(steps):
        a, b, c, d = a * factor + summand, b * factor + summand, c * factor + summand, d * factor + summand
        e, f, g, h = e * factor + summand, f * factor + summand, g * factor + summand, h * factor + summand
        i, j, k, m = i * factor + summand, j * factor + summand, k * factor + summand, m * factor + summand
    for place, chain in enumerate((a, b, c, d, e, f, g, h, i, j, k, m)):
        store(x, 16 + LANES * place, chain)


@_jit
def _divide(x, y, steps):
    for _ in range(steps):
        for i in range(len(x)):
            y[i] = x[i] / (np.sqrt(y[i]) + x[i])


@_jit
def _stream(array, factor, steps):
    for _ in range(steps):
        for i in range(len(array)):
            array[i] *= factor


def _best(function, *arguments):
    times = []
    for _ in range(TRIES):
        begin = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - begin)
    return min(times[1:])  # the first one compiles


def least_time(model, size, steps=4):
    """Compare the loops of NCF, on batches of ``size`` actions, with the least time of a step and copy.

    Returns
    -------
    dict
        Milliseconds of ``network``, ``gathers`` and ``adam``, of the three together (``least_ms``) and of the
        loops (``ms``, the best of many short runs, as the others are); ``ratio`` of the last two; what the
        machine does in a second.
    """
    vector = np.concatenate([parameter.detach().numpy().ravel() for parameter in model.parameters()])
    width, n_parameters, number = model.dim, len(vector), vector.dtype.type
    steps = min(steps, model.n_actions // size)
    rows = np.random.default_rng(0).permutation(model.n_actions)[: steps * size].reshape(steps, size)
    copy, rates = [vector, np.zeros_like(vector), np.zeros_like(vector)], np.full(len(rows), 1e-6)
    taken = _best(model.loops.adam_steps, copy, None, rows, rates, 0) / len(rows)

    chains = np.linspace(0.5, 0.9, 16 + 12 * LANES).astype(number)
    multiply_add = _best(_multiply_add, chains, 200_000) / (12 * LANES * 200_000)
    few = np.full(1024, 2, number)
    divide = _best(_divide, few, few.copy(), 1_000) / (1_000 * len(few))
    state = np.ones(4 * n_parameters, number)
    byte = _best(_stream, state, number(1), 20) / (20 * 2 * state.nbytes)

    weights = 2 * width * width + width * width // 2 + width // 2 + width
    row = 2 * 2 * width * state.itemsize  # of user and item
    parts = {
        "network": 3 * weights * size * multiply_add,
        "gathers": 3 * row * size * byte,
        "adam": max(n_parameters * divide, 2 * state.nbytes * byte),
    }
    least = sum(parts.values())
    milliseconds = {part: 1e3 * seconds for part, seconds in parts.items()}
    return milliseconds | {
        "least_ms": 1e3 * least,
        "ms": 1e3 * taken,
        "ratio": taken / least,
        "multiply_adds_per_second": 1 / multiply_add,
        "root_divisions_per_second": 1 / divide,
        "bytes_per_second": 1 / byte,
    }
