"""Influence in a model that reads the history: an action that leaves acts through the input, too."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from accent_lib.arguments import flag
from accent_lib.influence.base import FastInfluence, Influence
from accent_lib.influence.derivatives import FORWARD_MODE, differentiate, slope_and_curvature
from accent_lib.models.recommender import history_scores


class HistoryInfluence(FastInfluence):
    """Influence of the actions of any user of one model that reads the history, such as RCF.

    Parameters
    ----------
    model : Recommender
        In double precision; with ``reads_history``.
    variant : {"shared", "paper", "objective"}
        ``paper``: Hessian (the mean over the points of the user, penalty and damping added unscaled),
        gradient and new score are taken with the action out of the history, so that each action has a Hessian
        of its own.  ``shared``: as ``paper``, but with the history left whole in the Hessian, so that one is
        enough; chapter 3 compares them.  ``objective``: as ``shared``, but the mean is over *all* training
        points, as in the training objective, so that the penalty weighs what it weighs there.
    effect : {"substitute", "linear"}
        From the moved parameters to the scores: by scoring again with them, as the paper did, or by the
        gradient.
    damping, smallest
        As for :class:`BlockInfluence`.
    others : bool
        Whether to take the whole first-order effect on the parameters instead of the paper's.  It adds the
        change of the *other* points' gradients as the action leaves the history that they read, and takes the
        removed point's own with the history whole.

    Examples
    --------
    A part of the influence comes from the action leaving the history, with the parameters as they are:

    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import RCF, top_k
    >>> model = RCF(prepare(load("sample"))).double()
    >>> items, _ = top_k(model, 3, 5)
    >>> estimate = HistoryInfluence(model)(3, items)
    >>> bool(abs(estimate.by_input).max() > 0)
    True
    """

    variants = ("shared", "paper", "objective")
    reads = "reads the history"

    def __init__(
        self,
        model,
        variant: str = "shared",
        effect: str = "substitute",
        damping: float = 0.01,
        smallest: float | None = None,
        others: bool = False,
    ):
        super().__init__(model, variant, effect, damping, smallest)
        self.others = flag(others, "others")

    def _of_users(self, users: Sequence[int], slates: Sequence[np.ndarray]) -> list[Influence]:
        """Influence for several users, each with items of her own, one after the other."""
        return [self._influence(*each) for each in zip(users, slates, strict=True)]

    def _influence(self, user: int, items: np.ndarray) -> Influence:
        model, value = self.model, self.model.block(user)
        items = torch.tensor(np.asarray(items), device=value.device)
        n = len(model.actions(user))
        everything = value.new_ones(n)
        without = 1 - everything.diag()  # row z is the history without action z

        def scores(block, keep):
            return model.scores(block, user, items, keep)

        gradients = self._gradients(user, value, everything, without)  # (n, p)
        histories = without if self.variant == "paper" else everything[None]
        points = model.n_actions if self.variant == "objective" else n
        # (n, p, p), or (1, p, p) where all actions share one
        bare = torch.stack([self._curvature(user, value, keep, points) for keep in histories])
        values, vectors = self._eigh(bare, f"user {user}")
        values, facts = self._damped(values)
        along = (gradients[:, None] @ vectors).squeeze(1) / values  # (n, p), by eigenvectors
        moves = (along[:, None] @ vectors.mT).squeeze(1) / points

        with torch.no_grad():
            before = scores(value, everything)  # (k,)
            by_input = history_scores(model, value, user, items)  # (n, k)
            if self.effect == "substitute":
                after = history_scores(model, value + moves, user, items)  # (n, k)
            else:
                change = self._each(lambda keep, move: jvp(lambda b: scores(b, keep), (value,), (move,))[1])
                with FORWARD_MODE:
                    after = by_input + change(without, moves)
        drop, drop_by_input = ((before - changed).T.cpu().numpy() for changed in (after, by_input))  # (k, n)
        return Influence(before.cpu().numpy(), drop, drop_by_input, **facts)

    def _curvature(self, user: int, value: Tensor, keep: Tensor, points: int) -> Tensor:
        """Hessian of the losses, of so many points, and the penalty, (p, p)."""
        model = self.model
        if hasattr(model, "curvature"):
            _, penalty = slope_and_curvature(model.penalty, value)
            return model.curvature(value, user, keep) / points + penalty
        block = differentiate(value, lambda block: model.losses(block, user, keep), model.penalty)
        return block.curvature / points + block.penalty_curvature

    def _gradients(self, user: int, value: Tensor, everything: Tensor, without: Tensor) -> Tensor:
        """What each removed action takes from the gradient of the user's losses, (n, p)."""

        def total(block, keep, which=None):
            return self.model.losses(block, user, keep, which).sum()

        one_by_one = torch.arange(len(without), device=value.device)[:, None]
        if hasattr(self.model, "gradients"):
            gradients = self.model.gradients(value, user, without)
        else:
            gradients = vmap(grad(total), (None, 0, 0))(value, without, one_by_one)
        if not self.others:
            return gradients
        # In chunks, because each row of `without` needs a table of the user's triples by her history.
        changed = self._each(lambda keep: grad(total)(value, keep), 16)(without) - gradients
        own = self._each(lambda which: grad(total)(value, everything, which))(one_by_one)
        return own - (changed - (grad(total)(value, everything) - own))

    def _each(self, function, at_a_time=None):
        """A function of single rows, of all of them: at once, or in turn where a net cannot be run so."""
        if getattr(self.model, "one_by_one", False):
            return lambda *rows: torch.stack([function(*row) for row in zip(*rows, strict=True)])
        return vmap(function, chunk_size=at_a_time)
