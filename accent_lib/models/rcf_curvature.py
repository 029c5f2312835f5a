"""Gradients and Hessian of RCF's losses by a user's block, in closed form.

The block ``u`` enters a score twice: as itself and through the attention ``a(u)`` to the types.  As a
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
    """Hessian ``(p, p)`` by the block of the sum of a user's losses, as autograd finds it in much more time.

    ``keep``, ``(n_history,)``, weighs the history that the scores read.
    """
    with torch.no_grad():
        _, type_slopes, of_types = attention = _attention(model, block)
        slope, apart, scores = _by_difference(model, block, user, keep, attention)
        targets, by_type, by_types, bends = scores
        weight, by_score = model.hidden.weight, torch.stack([slope, -slope]).unsqueeze(-1)  # (2, n, 1)
        bends = by_score * bends
        # The columns of R that belong to the types, and R' diag(bends) R, block by block.
        inner = (by_type * targets.unsqueeze(-2)) @ weight.T  # (2, n, n_types, dim)
        bent = bends.unsqueeze(-2) * inner
        mixed = (bent @ weight * targets.unsqueeze(-2)).sum((0, 1)).T @ type_slopes  # (p, p)
        both = torch.einsum("bnth,bnsh->ts", bent, inner)
        return (
            _by_targets(targets.flatten(0, 1), bends.flatten(0, 1), weight)
            + (mixed + mixed.T)
            + type_slopes.T @ both @ type_slopes
            + (apart.T * (-slope * (1 + slope))) @ apart
            + of_types((by_score * by_types).sum((0, 1)))
        )


def gradients(model, block: Tensor, user: int, keep: Tensor) -> Tensor:
    """Gradient by the block of each of a user's losses, ``(n_history, p)``.

    ``keep``, ``(n_history, n_history)``, weighs the history that the scores read, for each loss another.
    """
    with torch.no_grad():
        slope, apart, _ = _by_difference(model, block, user, keep, _attention(model, block))
        return slope.unsqueeze(-1) * apart


def _by_difference(model, block, user, keep, attention):
    """Slopes of the losses by the differences of scores, (n,), and of these by the block, (n, p).

    And of the scores: items ``x_i`` (2, n, p) and ``C'`` (2, n, n_types, p), slopes by the types
    (2, n, n_types), and ``p gelu''(h)``, (2, n, dim).
    """
    types, type_slopes, _ = attention
    items = model.triples[model.action_slice(user), 1:].T  # (2, n), better and worse
    targets = model.item_table.weight[items]
    sums, totals = model.sums(user, items, keep)
    by_type = sums / (totals.unsqueeze(-1) + 1e-9) ** model.smoothing
    hidden = model.hidden((block + types @ by_type) * targets)
    values, slopes, bends = (model.output * each for each in _derivatives(hidden))
    better, worse = values.sum(-1)
    by_moved = slopes @ model.hidden.weight * targets  # (2, n, p)
    by_types = (by_type @ by_moved.unsqueeze(-1)).squeeze(-1)
    apart = torch.sub(*(by_moved + by_types @ type_slopes))
    return -torch.sigmoid(worse - better), apart, (targets, by_type, by_types, bends)


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
    """``a``, its slopes by the block, (n_types, p), and a function: the Hessian of ``w . a`` from ``w``."""
    weight = model.type_hidden.weight * model.type_table.weight.unsqueeze(1)  # (n_types, width, p)
    _, slopes, bends = _derivatives(weight @ block + model.type_hidden.bias)
    slopes = ((model.type_query * slopes).unsqueeze(1) @ weight).squeeze(1)  # of the logits, (n_types, p)
    types = model.type_attention(block)

    def hessian(by_types):
        share = types * (by_types - types @ by_types)  # by the logits, (n_types,)
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
