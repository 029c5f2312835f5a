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

#: So many triples at a time.
PART = 16


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
        types, type_slopes, of_types = _attention(model, block)
        joint, by_types = 0, 0
        # Some triples at a time, so that what they compute stays in the processor's cache.
        for items in model.triples[model.action_slice(user), 1:].split(PART):
            part, slope = _by_block_and_types(model, block, types, user, items.T, keep)
            joint, by_types = joint + part, by_types + slope
        chain = torch.cat([torch.eye(len(block), dtype=block.dtype, device=block.device), type_slopes])
        return chain.T @ joint @ chain + of_types(by_types)


def _by_block_and_types(model, block, types, user, items, keep):
    """Hessian of the sum of losses by ``z``, (p + 4, p + 4), and its gradient by ``a``, (4,)."""
    targets, weight = model.item_table.weight[items].unsqueeze(-2), model.hidden.weight  # (2, n, 1, dim)
    sums, totals = model.sums(user, items, keep)
    by_type = sums / (totals.unsqueeze(-1) + 1e-9) ** model.smoothing  # C', (2, n, 4, dim)
    hidden = model.hidden((block + types @ by_type).unsqueeze(-2) * targets).squeeze(-2)  # (2, n, dim)
    values, slopes, bends = (model.output * each for each in _derivatives(hidden))
    better, worse = values.sum(-1)
    slope = -torch.sigmoid(worse - better)  # of the loss by the difference
    by_score = torch.stack([slope, -slope])  # (2, n)
    inner = torch.cat([weight * targets, weight @ (by_type * targets).mT], -1)  # R, (2, n, dim, p + 4)
    by_z = (slopes.unsqueeze(-2) @ inner).squeeze(-2)  # (2, n, p + 4) of the scores
    apart = by_z[0] - by_z[1]
    rows = inner.flatten(0, 2)
    curved = (rows * (by_score.unsqueeze(-1) * bends).reshape(-1, 1)).T @ rows
    curved += (apart.T * (-slope * (1 + slope))) @ apart
    return curved, (by_score.unsqueeze(-1) * by_z[..., len(block) :]).sum((0, 1))


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
