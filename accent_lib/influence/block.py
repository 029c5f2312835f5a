"""Influence in a model that reads no history: an action acts through the parameters that it trained."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import grad
from torch.func import hessian, vmap

from accent_lib.arguments import flag
from accent_lib.errors import AccentError
from accent_lib.influence.base import FastInfluence, Influence
from accent_lib.influence.derivatives import FORWARD_MODE, Derivatives, differentiate, slope_and_curvature
from accent_lib.models.given import differentiating, not_finite


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
        them.  (The item's half of the block, see :meth:`of_users`, always acts by the gradient.)
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

    @differentiating
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
        model = self.model
        self.own_term = flag(own_term, "own_term")
        # What the blocks of items that were asked for add, by item; users have many of them in common.
        self._halves = {} if variant == "paper" and hasattr(model, "item_block") else None
        # Slopes of scores in closed form where the model offers it, else by automatic differentiation.
        self._slopes = getattr(model, "slopes", None)
        if self._halves is not None or self._slopes is not None:
            _, self._penalty = slope_and_curvature(model.penalty, model.block(0))
            self._decay = self._penalty[0, 0]
            if not self._decay.isfinite():
                raise not_finite(model, "The penalty of user 0")
            if not torch.equal(self._penalty, self._decay * torch.ones_like(self._penalty[0]).diag()):
                raise AccentError("Where items have blocks, the penalty must be a multiple of their squares.")

    def _of_users(self, users: Sequence[int], slates: Sequence[np.ndarray]) -> list[Influence]:
        """Influence for several users, each with items of her own.

        A candidate is an item that the user has no action on, so no training point touches both halves of a
        block [user; item]: the Hessian is block-diagonal, and the user's half carries all that the data says.
        With variant ``paper`` the item's half adds the same small amount for every action of the user,
        because the penalty's gradient is counted with every removed point.

        Raises
        ------
        AccentError
            If an item is no candidate (variant ``paper``), or the Hessian is singular.
        """
        device = self.model.block(users[0]).device
        slates = [torch.tensor(np.asarray(items), device=device) for items in slates]
        blocks = self._derivatives(users, slates)
        return [self._influence(*each) for each in zip(users, slates, blocks, strict=True)]

    def _influence(self, user: int, items: Tensor, block: Derivatives) -> Influence:
        own = self.model.n_actions if self.variant == "objective" else block.n_points
        # One eigendecomposition a block gives solves, damping and condition.
        whole = block.curvature / own + block.penalty_curvature
        values, vectors = self._eigh(whole, f"user {user}")
        values, points = values[None], values.new_tensor([own])
        if self._halves is not None:
            if np.isin(items.cpu(), self.model.actions(user)).any():
                raise AccentError(f"variant 'paper' needs candidates; user {user} has an action on an item.")
            half = self._item_halves(items)
            points = own + half.n_points  # (k,)
            values = self._rescaled(values, own / points)  # (k, p)
        values, facts = self._damped(values)
        gradients = block.gradients  # (n, p)
        if self.variant == "paper":
            gradients = gradients + block.penalty_gradient
        if self.own_term and self.effect == "linear":
            directions = (block.slopes @ vectors / values) @ vectors.T  # (k, p)
            change = directions @ gradients.T / points[:, None]  # (k, n)
        else:
            moves = self._moves(block, user, values, vectors, gradients, points).expand(len(items), -1, -1)
            if self.effect == "linear":
                change = torch.einsum("izp,ip->iz", moves, block.slopes)
            else:
                change = self._rescore(block.value, user, items, moves) - block.scores[:, None]
        if self._halves is not None:
            # The change from the item's own half of the block, the same for every action.
            values = self._rescaled(half.values, half.n_points / points) + facts["damping"]
            of_scores = (block.item_slopes[:, None] @ half.vectors).squeeze(1)
            change = change + ((of_scores * half.gradient / values).sum(1) / points)[:, None]
        change = change.detach().cpu().numpy()
        return Influence(block.scores.cpu().numpy(), -change, np.zeros_like(change), **facts)

    def _rescaled(self, values: Tensor, factor: Tensor) -> Tensor:
        """Eigenvalues, (1 or k, p), as the mean over the points is multiplied by ``factor``, (k,)."""
        return self._decay + (values - self._decay) * factor[:, None]

    def _derivatives(self, users: Sequence[int], slates: list[Tensor]) -> list[Derivatives]:
        """Derivatives by each user's block."""
        model = self.model
        if self._slopes is None:
            return [self._by_autograd(*each) for each in zip(users, slates, strict=True)]
        device, slices = slates[0].device, map(model.action_slice, users)
        rows = [torch.arange(rows.start, rows.stop, device=device) for rows in slices]
        n_items, n_rows = list(map(len, slates)), list(map(len, rows))
        n, rows = sum(n_items), torch.cat(rows)
        pairs, lengths = torch.tensor([[*users, *users], n_items + n_rows], device=device)
        pairs = pairs.repeat_interleave(lengths)
        scores, slopes, item_slopes = self._slopes(pairs, torch.cat([*slates, model.items[rows]]))
        gradients = 2 * (scores[n:] - model.ratings[rows])[:, None] * slopes[n:]
        of_points = (part.split(n_rows) for part in (slopes[n:], gradients))
        of_scores = (part[:n].split(n_items) for part in (scores, slopes, item_slopes))
        return [
            Derivatives(value, len(j), g, 2 * j.T @ j, self._decay * value, self._penalty, *scored)
            for value, j, g, *scored in zip(map(model.block, users), *of_points, *of_scores, strict=True)
        ]

    def _by_autograd(self, user: int, items: Tensor) -> Derivatives:
        model = self.model
        losses, scores = (lambda b: model.losses(b, user)), (lambda b: model.scores(b, user, items))
        block = differentiate(model.block(user), losses, model.penalty, scores)
        if self._halves is None:
            return block
        of_items = torch.stack([model.item_block(item) for item in items.tolist()]).requires_grad_()
        (slopes,) = grad(model.item_scores(of_items, user).sum(), of_items)
        return replace(block, item_slopes=slopes)

    def _item_halves(self, items: Tensor) -> "_ItemHalves":
        """What the item's half of each block needs, computed once an item and then looked up."""
        model = self.model
        for item in set(items.tolist()) - self._halves.keys():
            value = model.item_block(item)
            if self._slopes is None:
                block = differentiate(value, lambda b, item=item: model.item_losses(b, item), model.penalty)
                n, curvature = block.n_points, block.curvature
            else:
                users = model.raters(item)
                _, _, slopes = self._slopes(users, torch.tensor(item, device=users.device))
                n, curvature = len(users), 2 * slopes.T @ slopes
            values, vectors = self._eigh(curvature / n + self._penalty, f"item {item}")
            n = values.new_tensor(n)
            self._halves[item] = _ItemHalves(n, values, vectors, self._decay * value @ vectors)
        return _ItemHalves(*map(torch.stack, zip(*map(self._halves.get, items.tolist()), strict=True)))

    def _moves(self, block: Derivatives, user: int, values, vectors, gradients, points) -> Tensor:
        """How far the block moves for each Hessian and each removed action, (1 or k, n, p) (Eq. 4)."""
        if self.own_term:
            return (gradients @ vectors / values[:, None]) @ vectors.T / points[:, None, None]
        with FORWARD_MODE:
            of_points = hessian(lambda b: self.model.losses(b, user))(block.value)  # (n, p, p)
        hessians = vectors * values[:, None] @ vectors.T
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


class _ItemHalves(NamedTuple):
    """The Hessians of the blocks of some items over their own points, diagonal."""

    n_points: Tensor  # (k,)
    values: Tensor  # (k, p)
    vectors: Tensor  # (k, p, p)
    gradient: Tensor  # (k, p) of the penalty, along the eigenvectors
