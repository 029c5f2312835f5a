"""Values and derivatives, at the trained parameters, of everything that depends on one block."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import grad

#: torch has one forward mode for all threads of a process: who uses it, as its ``hessian`` does, holds this.
FORWARD_MODE = threading.Lock()


@dataclass(frozen=True)
class Derivatives:
    """By one block of ``p`` parameters, with ``n`` points and ``k`` scores that depend on it."""

    value: Tensor  # (p,) of the block itself
    n_points: int
    gradients: Tensor | None  # (n, p) of each point's loss
    curvature: Tensor  # (p, p) sum of the points' Hessians
    penalty_gradient: Tensor  # (p,)
    penalty_curvature: Tensor  # (p, p)
    scores: Tensor | None = None  # (k,)
    slopes: Tensor | None = None  # (k, p) of the scores
    item_slopes: Tensor | None = None  # (k, p) of the scores by the blocks of the items


def slope_and_curvature(function: Callable[[Tensor], Tensor], value: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient ``(p,)`` and Hessian ``(p, p)`` of a scalar function of a block, at a value ``(p,)``."""
    block = value.detach().clone().requires_grad_()
    # Added to what is differentiated twice, so that it may be linear in the block or not depend on it at all.
    (slope,) = grad(function(block) + 0 * block.square().sum(), block, create_graph=True)
    identity = torch.eye(len(block), dtype=block.dtype, device=block.device)
    (curvature,) = grad(slope, block, identity, is_grads_batched=True)
    return slope.detach(), curvature


def differentiate(
    value: Tensor,
    losses: Callable[[Tensor], Tensor],
    penalty: Callable[[Tensor], Tensor],
    scores: Callable[[Tensor], Tensor] | None = None,
) -> Derivatives:
    """Derivatives by one block, ``(p,)``; without ``scores``, those of single points are left out, too.

    The losses, ``(n,)``, the penalty and the scores, ``(k,)``, are functions of the block.
    """
    # With w a weight for each point and g(block, w) the gradient of sum(w * losses), one batched backward
    # pass gives both derivatives of g: by the block the summed Hessian, by w the gradient of every single
    # point. (Forward mode gives the same in several times as long.)
    block = value.detach().clone().requires_grad_()
    identity = torch.eye(len(block), dtype=block.dtype, device=block.device)
    # Added to what is differentiated twice, so that it may be linear in the block or not depend on it at all.
    zero = 0 * block.square().sum()
    each = losses(block)
    weights = torch.ones_like(each, requires_grad=scores is not None)
    (slope,) = grad((weights * each).sum() + zero * weights.sum(), block, create_graph=True)
    wanted = (block,) if scores is None else (block, weights)
    # Some directions at a time, so that what they compute stays in the processor's cache.
    parts = [grad(slope, wanted, some, True, is_grads_batched=True) for some in identity.split(16)]
    curvature, *by_weight = map(torch.cat, zip(*parts, strict=True))
    gradients = by_weight[0].T if by_weight else None  # (p, n) -> (n, p)
    of_penalty = slope_and_curvature(penalty, value)
    here = slopes = None
    if scores is not None:
        here = scores(block) + zero
        each_score = torch.eye(len(here), dtype=block.dtype, device=block.device)
        (slopes,) = grad(here, block, each_score, is_grads_batched=True)
        here = here.detach()
    return Derivatives(value, len(each), gradients, curvature, *of_penalty, here, slopes)
