"""Eight numbers side by side, and NCF's loops that are made of them, against NumPy and autograd."""

import numpy as np
import pytest
import torch
from numba import njit

from accent_lib.models import NCF, gelu, ncf_loops
from accent_lib.models.lanes import fours, load, spread, store


@njit
def compute(x, y):
    """Write to ``y`` what each of the operations gives."""
    store(y, 0, load(x, 1) + spread(x, 0) * load(x, 9))
    y[8], y[9] = fours(load(x, 1) * load(x, 9))


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_eight_numbers_are_rounded_one_by_one(number):
    x, y = np.random.default_rng(0).standard_normal(17).astype(number), np.zeros(10, number)
    compute(x, y)
    assert y[:8].tolist() == (x[1:9] + x[0] * x[9:]).tolist()  # two roundings: not fused
    p = x[1:9] * x[9:]
    assert y[8:].tolist() == [(p[0] + p[1]) + (p[2] + p[3]), (p[4] + p[5]) + (p[6] + p[7])]


@pytest.mark.parametrize("activation", [torch.relu, gelu])
@pytest.mark.parametrize("dim", [8, 24, 32])
@pytest.mark.parametrize("size", [1, 130])
def test_the_gradient_of_layers_that_fill_their_panels_or_not(sample, dim, size, activation):
    """A batch of one row, and one that ends two rows into its second tile; the loops' tanh is off by 1e-7."""
    model = NCF(sample, dim=dim, activation=activation).double()
    keep = torch.from_numpy(np.random.default_rng(1).random(model.n_actions))
    batch = torch.randperm(model.n_actions, generator=torch.Generator().manual_seed(0))[:size]
    parts = torch.autograd.grad(model.batch_loss(batch, keep), list(model.parameters()))
    vector = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy()
    gradient, rows, loops = np.zeros_like(vector), batch.numpy(), model.loops
    data = (column[rows] for column in (loops.users, loops.items, loops.ratings, keep.numpy()))
    ncf_loops.add_gradient(*data, vector, gradient, loops.shape, loops.smooth)
    expected = torch.cat([part.flatten() for part in parts]).numpy()
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12 if activation is torch.relu else 1e-7)
