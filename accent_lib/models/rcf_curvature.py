"""The Hessian of RCF's losses by a user's block, in closed form.

The block ``u`` enters a score twice: as itself and through the attention ``a(u)`` to the four types.  As a
function of both, ``z = (u, a)``, the vector that meets the film is linear, and so is what the last layer
activates:

    h = R z + const,    R = W_0 diag(x_i) [I, C],    y = p . gelu(h),

where the columns of ``C`` are what the history sums up to by type.  So the Hessian of a score by ``z`` is
``R' diag(p gelu''(h)) R``.  The attention's own Hessian comes on top of that, by the chain rule.
"""

import torch
from torch import Tensor

from accent_lib.models.activation import gelu

#: So many rows at a time, so that what they compute stays in the processor's cache.
ROWS = 8


def curvature(model, block: Tensor, user: int, keep: Tensor | None = None) -> Tensor:
    """Hessian by the block of the sum of a user's losses, as autograd finds it in much more time.

    Parameters
    ----------
    model : RCF
    block : Tensor, shape (p,)
    user : int
    keep : Tensor, shape (n_history,), optional
        Weighs the history that the scores read.

    Returns
    -------
    Tensor, shape (p, p)

    Examples
    --------
    >>> from torch.func import hessian
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import RCF
    >>> model = RCF(prepare(load("sample"))).double()
    >>> expected = hessian(lambda block: model.losses(block, 3).sum())(model.block(3))
    >>> torch.allclose(curvature(model, model.block(3), 3), expected, atol=1e-12)
    True
    """
    with torch.no_grad():
        items = model.triples[model.action_slice(user), 1:].T  # (2, n), better and worse
        targets, weight = model.item_table.weight[items], model.hidden.weight
        sums, totals = model.sums(user, items, keep)
        by_type = sums / (totals.unsqueeze(-1) + 1e-9) ** model.smoothing  # C', (2, n, 4, p)
        types, type_slopes, of_types = _attention(model, block)
        hidden = model.hidden((block + types @ by_type) * targets)
        values, slopes, bends = (model.output * each for each in _derivatives(hidden))  # (2, n, dim)
        better, worse = values.sum(-1)
        slope = -torch.sigmoid(worse - better)  # of the loss by the difference
        by_score = torch.stack([slope, -slope]).unsqueeze(-1)  # (2, n, 1)
        bends = by_score * bends
        by_block = slopes @ weight * targets  # (2, n, p) of the scores
        by_types = (by_type @ by_block.unsqueeze(-1)).squeeze(-1)  # (2, n, 4)
        # The columns of R that belong to the types, and R' diag(bends) R, block by block.
        inner = (by_type * targets.unsqueeze(-2)) @ weight.T  # (2, n, 4, dim)
        bent = bends.unsqueeze(-2) * inner
        mixed = (bent @ weight * targets.unsqueeze(-2)).sum((0, 1)).T @ type_slopes  # (p, p)
        both = torch.einsum("bnth,bnsh->ts", bent, inner)
        apart = torch.sub(*(by_block + by_types @ type_slopes))  # (n, p)
        return (
            _by_targets(targets.flatten(0, 1), bends.flatten(0, 1), weight)
            + (mixed + mixed.T)
            + type_slopes.T @ both @ type_slopes
            + (apart.T * (-slope * (1 + slope))) @ apart
            + of_types((by_score * by_types).sum((0, 1)))
        )


def _by_targets(targets, bends, weight):
    """Sum of ``diag(x) W' diag(bend) W diag(x)`` over targets, (p, p); half of it, for it is symmetric."""
    x, w = targets.T.contiguous(), weight.T.contiguous()  # (p, n), (p, dim)
    whole = x.new_empty(len(x), len(x))
    for first in range(0, len(x), ROWS):
        rows = slice(first, first + ROWS)
        products = (x[rows, None] * x[first:]).flatten(0, 1) @ bends
        products = products.view(-1, len(x) - first, len(bends.T)) * w[rows, None] * w[first:]
        part = products.sum(-1)
        whole[rows, first:], whole[first:, rows] = part, part.T
    return whole


def _attention(model, block):
    """``a``, its slopes by the block, (4, p), and a function: the Hessian of ``w . a`` from ``w``."""
    weight = model.type_hidden.weight * model.type_table.weight.unsqueeze(1)  # (4, width, p)
    _, slopes, bends = _derivatives(weight @ block + model.type_hidden.bias)
    slopes = ((model.type_query * slopes).unsqueeze(1) @ weight).squeeze(1)  # of the logits, (4, p)
    types = model.type_attention(block)

    def hessian(by_types):
        share = types * (by_types - types @ by_types)  # by the logits, (4,)
        mixed = share.diag() - torch.outer(share, types) - torch.outer(types, share)
        bent = share.unsqueeze(1) * model.type_query * bends
        return slopes.T @ mixed @ slopes + (weight.mT @ (bent.unsqueeze(-1) * weight)).sum(0)

    return types, (types.diag() - torch.outer(types, types)) @ slopes, hessian


def _derivatives(x):
    """GELU and its first and second derivatives."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = gelu(x)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), x)
    return value.detach(), slope.detach(), bend
