"""Fast Influence Analysis: what removing one action does to a user's scores (paper, §2.1 and §2.2).

Influence functions ask how the minimiser of the training objective moves when a point loses its weight 1/n
(Eq. 4).  Fast Influence Analysis lets only a small *block* of parameters move: the user's own (and, for a
model that offers it, the target item's).  Everything here comes from automatic differentiation of what the
model offers, so this module knows no model.
"""

import warnings
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.autograd import grad as autograd
from torch.func import hessian, vmap

from accent_lib.errors import AccentError

SCALINGS = ("paper", "objective")
EFFECTS = ("linear", "substitute")


@dataclass(frozen=True)
class Influence:
    """Influence of each action of a user on each item of a slate.

    Attributes
    ----------
    scores : ndarray, shape (n_items,)
        Scores before any removal.
    influence : ndarray, shape (n_items, n_history)
        ``influence[i, z]`` is the drop of item ``i``'s score when action ``z`` is removed (Eq. 5), score
        units.
    smallest_eigenvalue, condition : float
        Of the worst Hessian solved, damping included.
    damping : float
        That was used: the one asked for, or more where ``smallest`` asked for more.
    """

    scores: np.ndarray
    influence: np.ndarray
    smallest_eigenvalue: float
    condition: float
    damping: float


@dataclass(frozen=True)
class _Block:
    """Values and derivatives, at the trained parameters, of everything that depends on one block."""

    value: torch.Tensor  # (p,)
    n_points: int
    gradients: torch.Tensor | None  # (n, p) of each point's loss
    curvature: torch.Tensor  # (p, p) sum of the points' Hessians
    penalty_gradient: torch.Tensor  # (p,)
    penalty_curvature: torch.Tensor  # (p, p)
    scores: torch.Tensor | None  # (k,)
    slopes: torch.Tensor | None  # (k, p) of the scores


def _differentiate(value, losses, penalty, scores=None):
    """Derivatives by one block; without ``scores``, those of single points are left out, too."""
    # With w a weight for each point and g(block, w) the gradient of sum(w * losses), one batched backward
    # pass gives both derivatives of g: by the block the summed Hessian, by w the gradient of every single
    # point. (Forward mode gives the same in several times as long.)
    block = value.detach().clone().requires_grad_()
    identity = torch.eye(len(block), dtype=block.dtype, device=block.device)
    each = losses(block)
    weights = torch.ones_like(each, requires_grad=scores is not None)
    (slope,) = autograd((weights * each).sum(), block, create_graph=True)
    wanted = (block,) if scores is None else (block, weights)
    curvature, *gradients = autograd(slope, wanted, identity, is_grads_batched=True)
    (penalty_gradient,) = autograd(penalty(block), block, create_graph=True)
    (penalty_curvature,) = autograd(penalty_gradient, block, identity, is_grads_batched=True)
    here = slopes = None
    if scores is not None:
        here = scores(block)
        one_each = torch.eye(len(here), dtype=block.dtype, device=block.device)
        (slopes,) = autograd(here, block, one_each, is_grads_batched=True)
        here = here.detach()
    return _Block(
        value,
        len(each),
        gradients[0].T if gradients else None,
        curvature,
        penalty_gradient.detach(),
        penalty_curvature,
        here,
        slopes,
    )


@dataclass
class _ItemHalves:
    """The derivatives of many items' blocks, stacked."""

    known: torch.Tensor  # (n,)
    n_points: torch.Tensor  # (n,)
    value: torch.Tensor  # (n, p)
    curvature: torch.Tensor  # (n, p, p)
    penalty_gradient: torch.Tensor  # (n, p)
    penalty_curvature: torch.Tensor  # (n, p, p)

    @classmethod
    def empty(cls, n, value):
        shapes = ((n,), (n, len(value)), (n, len(value), len(value)))
        return cls(*(torch.zeros(shapes[rank], dtype=value.dtype) for rank in (0, 0, 1, 2, 1, 2)))

    def put(self, row, block):
        self.n_points[row] = block.n_points
        for name in ("value", "curvature", "penalty_gradient", "penalty_curvature"):
            getattr(self, name)[row] = getattr(block, name)
        self.known[row] = 1  # last: another thread may be looking

    def take(self, rows):
        return _ItemHalves(*(getattr(self, field.name)[rows] for field in fields(self)))


class FastInfluence:
    """Influence of the actions of any user of one model.

    Parameters
    ----------
    model : Recommender
        In double precision (``model.double()``): the solves lose half the digits.
    scaling : {"paper", "objective"}
        ``paper``: the Hessian is the mean over the points *of the user and of the item* (of the user alone
        where the model offers no item block), penalty and damping are added unscaled, and the gradient of a
        removed point includes the penalty's, as the paper ran it.  ``objective``: the exact block of the
        training objective: mean over *all* training points plus penalty, and the removed point's own
        gradient.
    effect : {"linear", "substitute"}
        From the moved parameters to the scores: by the gradient, or by scoring again with them.  (The
        item's half of the block, see :meth:`__call__`, always acts by the gradient.)
    damping : float
        Added to the Hessian's diagonal.
    smallest : float, optional
        Raise the damping, with a warning, until no eigenvalue lies below this.  Default: never.
    own_term : bool
        Whether the removed point's own Hessian stays in the Hessian, as in the first-order influence of
        Eq. 4.  ``False`` is one exact Newton step on the objective without the point.
    """

    def __init__(
        self,
        model,
        scaling: str = "paper",
        effect: str = "linear",
        damping: float = 1e-6,
        smallest: float | None = None,
        own_term: bool = True,
    ):
        if scaling not in SCALINGS:
            raise AccentError(f"scaling must be one of {', '.join(SCALINGS)}, not {scaling!r}.")
        if effect not in EFFECTS:
            raise AccentError(f"effect must be one of {', '.join(EFFECTS)}, not {effect!r}.")
        if damping < 0:
            raise AccentError(f"damping must not be negative, but is {damping}.")
        self.model, self.scaling, self.effect = model, scaling, effect
        self.damping, self.smallest, self.own_term = damping, smallest, own_term
        self._halves = None
        if scaling == "paper" and hasattr(model, "item_block"):
            self._halves = _ItemHalves.empty(model.n_items, model.item_block(0))

    def __call__(self, user: int, items: np.ndarray) -> Influence:
        """Influence of all the user's actions on the scores of ``items``.

        A candidate is an item that the user has no action on, so no training point touches both halves of a
        block [user; item]: the Hessian is block-diagonal, and the user's half carries all that the data says.
        With scaling ``paper`` the item's half adds the same small amount for every action of the user,
        because the penalty's gradient is counted with every removed point.

        Parameters
        ----------
        user : int
        items : array-like of int, shape (n_items,)
            Candidates of the user.

        Returns
        -------
        Influence

        Raises
        ------
        AccentError
            If an item is no candidate (scaling ``paper``), or the Hessian is singular.
        """
        model, items = self.model, torch.tensor(np.asarray(items))
        block = _differentiate(
            model.block(user),
            lambda block: model.losses(block, user),
            model.penalty,
            lambda block: model.scores(block, user, items),
        )
        scores, slopes = block.scores, block.slopes

        own = model.n_actions if self.scaling == "objective" else block.n_points
        points = torch.full((len(items),), own, dtype=scores.dtype)
        if self._halves is not None:
            if np.isin(items, model.actions(user)).any():
                raise AccentError(
                    f"scaling 'paper' needs candidates, but user {user} has an action on one of the items."
                )
            half = self._item_halves(items)
            points = points + half.n_points

        hessians, damping, eigenvalues = self._hessians(block, points)
        gradients = block.gradients
        if self.scaling == "paper":
            gradients = gradients + block.penalty_gradient
        if self.own_term and self.effect == "linear":
            directions = torch.linalg.solve(hessians, slopes)
            change = directions @ gradients.T / points[:, None]
        else:
            moves = self._moves(block, user, hessians, gradients, points)
            if self.effect == "linear":
                change = torch.einsum("izp,ip->iz", moves, slopes)
            else:
                change = self._rescore(block.value, user, items, moves) - scores[:, None]
        if self._halves is not None:
            change = change + self._item_change(user, half, points, damping)[:, None]
        return Influence(
            scores.numpy(),
            -change.detach().numpy(),
            float(eigenvalues.min()),
            float((eigenvalues[:, -1] / eigenvalues[:, 0].abs()).max()),
            damping,
        )

    def _hessians(self, block, points):
        """Damped Hessians, one an item, (k, p, p); the damping used; their eigenvalues, ascending, (k, p)."""
        identity = torch.eye(len(block.value), dtype=points.dtype)
        bare = block.curvature / points[:, None, None] + block.penalty_curvature
        hessians, damping = bare + self.damping * identity, self.damping
        eigenvalues = torch.linalg.eigvalsh(hessians)
        if self.smallest is not None and eigenvalues.min() < self.smallest:
            damping += float(self.smallest - eigenvalues.min())
            warnings.warn(
                f"damping raised from {self.damping:g} to {damping:g}: the smallest eigenvalue of the Hessian"
                f" was {float(eigenvalues.min()):g}.",
                stacklevel=3,
            )
            hessians, eigenvalues = bare + damping * identity, eigenvalues + damping - self.damping
        if (eigenvalues == 0).any():
            raise AccentError("The Hessian is singular: use a damping above 0.")
        return hessians, damping, eigenvalues

    def _moves(self, block, user, hessians, gradients, points):
        """How far the block moves for each item's Hessian and each removed action, (k, n, p) (Eq. 4)."""
        if self.own_term:
            return (torch.linalg.solve(hessians, gradients.T) / points[:, None, None]).mT
        of_points = hessian(lambda b: self.model.losses(b, user))(block.value)
        return torch.stack(
            [
                torch.linalg.solve(each - of_points / n, gradients[..., None] / n).squeeze(-1)
                for each, n in zip(hessians, points, strict=True)
            ]
        )

    def _rescore(self, value, user, items, moves):
        one = lambda move, item: self.model.scores(value + move, user, item[None])[0]  # noqa: E731
        return vmap(vmap(one, (0, None)), (0, 0))(moves, items).detach()

    def _item_halves(self, items):
        """What the item's half of each block needs, computed once an item and then looked up."""
        for item in items[self._halves.known[items] == 0].tolist():
            half = _differentiate(
                self.model.item_block(item),
                lambda block, item=item: self.model.item_losses(block, item),
                self.model.penalty,
            )
            self._halves.put(item, half)
        return self._halves.take(items)

    def _item_change(self, user, half, points, damping):
        """Change of each item's score from its own half of the block, the same for every action, (k,)."""
        blocks = half.value.clone().requires_grad_()
        (slopes,) = autograd(self.model.item_scores(blocks, user).sum(), blocks)
        identity = torch.eye(blocks.shape[1], dtype=blocks.dtype)
        hessians = half.curvature / points[:, None, None] + half.penalty_curvature + damping * identity
        return (torch.linalg.solve(hessians, slopes) * half.penalty_gradient).sum(1) / points


def gap_influence(influence: np.ndarray, recommendation: int, replacement: int) -> np.ndarray:
    """Influence of each action on the gap between two items (paper, Eq. 6).

    Parameters
    ----------
    influence : ndarray, shape (n_items, n_history)
        ``influence[i, z]`` is the drop of item ``i``'s score when action ``z`` is removed, in score units.
    recommendation, replacement : int
        Rows of ``influence``.

    Returns
    -------
    ndarray, shape (n_history,)
        Positive where removing the action closes the gap.

    Raises
    ------
    IndexError
        If a row does not exist.
    """
    return influence[recommendation] - influence[replacement]
