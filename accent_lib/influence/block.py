"""Influence in a model that reads no history: an action acts through the parameters that it trained."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.autograd import grad
from torch.func import hessian, vmap

from accent_lib.errors import AccentError
from accent_lib.influence.base import FastInfluence, Influence
from accent_lib.influence.derivatives import Derivatives, differentiate


class BlockInfluence(FastInfluence):
    """Influence of the actions of any user of one model that reads no history, such as NCF.

    Parameters
    ----------
    model : Recommender
        In double precision.
    variant : {"paper", "objective"}
        ``paper``: the Hessian is the mean over the points *of the user and of the item* (of the user alone
        where the model offers no item block), penalty and damping are added unscaled, and the gradient of a
        removed point includes the penalty's.  ``objective``: the exact block of the training objective: mean
        over *all* training points plus penalty, and the removed point's own gradient.
    effect : {"linear", "substitute"}
        From the moved parameters to the scores: by the gradient, as the paper did, or by scoring again with
        them.  (The item's half of the block, see :meth:`__call__`, always acts by the gradient.)
    damping : float
        Added to the Hessian's diagonal.  Default: the paper's.
    smallest : float, optional
        Raise the damping, with a warning, until no eigenvalue lies below this.  Default: never.
    own_term : bool
        Whether the removed point's own Hessian stays in the Hessian, as in the first-order influence of
        Eq. 4.  ``False`` is one exact Newton step on the objective without the point.

    Examples
    --------
    First-order influence keeps the removed point's own term in the Hessian, and understates:

    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, top_k
    >>> model = NCF(prepare(load("sample"))).double()
    >>> items, _ = top_k(model, 3, 5)
    >>> first, exact = (BlockInfluence(model, "objective", own_term=own)(3, items) for own in (True, False))
    >>> bool(abs(first.influence).mean() < abs(exact.influence).mean())
    True
    """

    variants = ("paper", "objective")
    reads = "does not read the history"

    def __init__(
        self,
        model,
        variant: str = "paper",
        effect: str = "linear",
        damping: float = 1e-6,
        smallest: float | None = None,
        own_term: bool = True,
    ):
        super().__init__(model, variant, effect, damping, smallest)
        self.own_term = own_term
        # The blocks of items that were asked for, by item; users have many of them in common.
        self._halves = {} if variant == "paper" and hasattr(model, "item_block") else None

    def __call__(self, user: int, items: np.ndarray) -> Influence:
        """Influence of all the user's actions on the scores of ``items``.

        A candidate is an item that the user has no action on, so no training point touches both halves of a
        block [user; item]: the Hessian is block-diagonal, and the user's half carries all that the data says.
        With variant ``paper`` the item's half adds the same small amount for every action of the user,
        because the penalty's gradient is counted with every removed point.

        Raises
        ------
        AccentError
            If an item is no candidate (variant ``paper``), or the Hessian is singular.
        """
        model, items = self.model, torch.tensor(np.asarray(items))
        block = differentiate(
            model.block(user),
            lambda block: model.losses(block, user),
            model.penalty,
            lambda block: model.scores(block, user, items),
        )
        scores, slopes = block.scores, block.slopes  # (k,), (k, p)

        own = model.n_actions if self.variant == "objective" else block.n_points
        points = torch.full((len(items),), own, dtype=scores.dtype)
        if self._halves is not None:
            if np.isin(items, model.actions(user)).any():
                raise AccentError(
                    f"variant 'paper' needs candidates, but user {user} has an action on one of the items."
                )
            half = self._item_halves(items)
            points = points + half.n_points

        bare = block.curvature / points[:, None, None] + block.penalty_curvature  # (k, p, p)
        hessians, facts = self._damped(bare)
        gradients = block.gradients  # (n, p)
        if self.variant == "paper":
            gradients = gradients + block.penalty_gradient
        if self.own_term and self.effect == "linear":
            directions = torch.linalg.solve(hessians, slopes)  # (k, p)
            change = directions @ gradients.T / points[:, None]  # (k, n)
        else:
            moves = self._moves(block, user, hessians, gradients, points)  # (k, n, p)
            if self.effect == "linear":
                change = torch.einsum("izp,ip->iz", moves, slopes)
            else:
                change = self._rescore(block.value, user, items, moves) - scores[:, None]
        if self._halves is not None:
            change = change + self._item_change(user, half, points, facts["damping"])[:, None]
        change = change.detach().numpy()
        return Influence(scores.numpy(), -change, np.zeros_like(change), **facts)

    def _moves(
        self, block: Derivatives, user: int, hessians: Tensor, gradients: Tensor, points: Tensor
    ) -> Tensor:
        """How far the block moves for each item's Hessian and each removed action, (k, n, p) (Eq. 4)."""
        if self.own_term:
            # (k, p, n) -> (k, n, p)
            return (torch.linalg.solve(hessians, gradients.T) / points[:, None, None]).mT
        of_points = hessian(lambda b: self.model.losses(b, user))(block.value)  # (n, p, p)
        return torch.stack(
            [
                torch.linalg.solve(each - of_points / n, gradients[..., None] / n).squeeze(-1)
                for each, n in zip(hessians, points, strict=True)
            ]
        )

    def _rescore(self, value: Tensor, user: int, items: Tensor, moves: Tensor) -> Tensor:
        """Score of each item by its own moved blocks, (k, n)."""

        def score(move, item):
            return self.model.scores(value + move, user, item[None])[0]

        return vmap(vmap(score, (0, None)), (0, 0))(moves, items).detach()

    def _item_halves(self, items: Tensor) -> "_ItemHalves":
        """What the item's half of each block needs, computed once an item and then looked up."""
        for item in set(items.tolist()) - self._halves.keys():
            self._halves[item] = differentiate(
                self.model.item_block(item),
                lambda block, item=item: self.model.item_losses(block, item),
                self.model.penalty,
            )
        return _ItemHalves.of([self._halves[item] for item in items.tolist()])

    def _item_change(self, user: int, half: "_ItemHalves", points: Tensor, damping: float) -> Tensor:
        """Change of each item's score from its own half of the block, the same for every action, (k,)."""
        blocks = half.value.clone().requires_grad_()
        (slopes,) = grad(self.model.item_scores(blocks, user).sum(), blocks)
        identity = torch.eye(blocks.shape[1], dtype=blocks.dtype)
        hessians = half.curvature / points[:, None, None] + half.penalty_curvature + damping * identity
        return (torch.linalg.solve(hessians, slopes) * half.penalty_gradient).sum(1) / points


@dataclass
class _ItemHalves:
    """The derivatives of the blocks of some items, stacked."""

    n_points: Tensor  # (k,)
    value: Tensor  # (k, p)
    curvature: Tensor  # (k, p, p)
    penalty_gradient: Tensor  # (k, p)
    penalty_curvature: Tensor  # (k, p, p)

    @classmethod
    def of(cls, blocks: list[Derivatives]) -> "_ItemHalves":
        names = [field.name for field in fields(cls)]
        return cls(*(torch.stack([torch.as_tensor(getattr(b, name)) for b in blocks]) for name in names))
