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
from torch.func import grad, hessian, jvp, vmap

from accent_lib.errors import AccentError

VARIANTS = ("paper", "objective", "shared")
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
    by_input : ndarray, shape (n_items, n_history)
        The part of it that comes from ``z`` leaving the history that the model reads, with the parameters as
        they are; zero where a model reads none.
    smallest_eigenvalue, condition : float
        Of the worst Hessian solved, damping included.
    damping : float
        That was used: the one asked for, or more where ``smallest`` asked for more.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, top_k
    >>> model = NCF(prepare(load("sample"))).double()
    >>> items, scores = top_k(model, 3, 5)
    >>> found = FastInfluence(model)(3, items)
    >>> bool(np.allclose(found.scores, scores)), found.influence.shape == (5, len(model.actions(3)))
    (True, True)
    >>> bool((found.by_input == 0).all())  # NCF reads no history
    True
    """

    scores: np.ndarray
    influence: np.ndarray
    by_input: np.ndarray
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
    # Added to what is differentiated twice, so that it may be linear in the block or not depend on it at all.
    zero = 0 * block.square().sum()
    each = losses(block)
    weights = torch.ones_like(each, requires_grad=scores is not None)
    (slope,) = autograd((weights * each).sum() + zero, block, create_graph=True)
    wanted = (block,) if scores is None else (block, weights)
    curvature, *gradients = autograd(slope, wanted, identity, is_grads_batched=True)
    (penalty_gradient,) = autograd(penalty(block) + zero, block, create_graph=True)
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
    """The derivatives of the blocks of some items, stacked."""

    n_points: torch.Tensor  # (n,)
    value: torch.Tensor  # (n, p)
    curvature: torch.Tensor  # (n, p, p)
    penalty_gradient: torch.Tensor  # (n, p)
    penalty_curvature: torch.Tensor  # (n, p, p)

    @classmethod
    def of(cls, blocks):
        names = [field.name for field in fields(cls)]
        return cls(*(torch.stack([torch.as_tensor(getattr(b, name)) for b in blocks]) for name in names))


class FastInfluence:
    """Influence of the actions of any user of one model.

    Parameters
    ----------
    model : Recommender
        In double precision (``model.double()``): the solves lose half the digits.
    variant : {"paper", "objective", "shared"}
        ``paper``: as the paper ran it.  The Hessian is the mean over the points *of the user and of the item*
        (of the user alone where the model offers no item block), penalty and damping are added unscaled, and
        the gradient of a removed point includes the penalty's.  Where the model reads the history, Hessian,
        gradient and new score are taken with the action out of it, so that each action has a Hessian of its
        own.  ``objective`` (not where the model reads the history): the exact block of the training
        objective: mean over *all* training points plus penalty, and the removed point's own gradient.
        ``shared`` (only where it does): as ``paper``, but with the history left whole in the Hessian.
    effect : {"linear", "substitute"}, optional
        From the moved parameters to the scores: by the gradient, or by scoring again with them.  (The
        item's half of the block, see :meth:`__call__`, always acts by the gradient.)  Default: as the paper
        did, ``substitute`` where the model reads the history, else ``linear``.
    damping : float, optional
        Added to the Hessian's diagonal.  Default: the paper's, 0.01 where the model reads the history, else
        1e-6.
    smallest : float, optional
        Raise the damping, with a warning, until no eigenvalue lies below this.  Default: never.
    own_term : bool
        Whether the removed point's own Hessian stays in the Hessian, as in the first-order influence of
        Eq. 4.  ``False`` (not where the model reads the history) is one exact Newton step on the objective
        without the point.
    others : bool
        Only where the model reads the history: whether to take the whole first-order effect on the
        parameters instead of the paper's.  It adds the change of the *other* points' gradients as the action
        leaves the history that they read, and takes the removed point's own with the history whole.

    Examples
    --------
    Another variant than the paper's. The more damping, the smaller the influences:

    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, top_k
    >>> model = NCF(prepare(load("sample"))).double()
    >>> items, _ = top_k(model, 3, 5)
    >>> weak, strong = (FastInfluence(model, "objective", damping=by)(3, items) for by in (0.01, 1.0))
    >>> weak.damping < strong.damping, bool(abs(weak.influence).sum() > abs(strong.influence).sum())
    (True, True)
    """

    def __init__(
        self,
        model,
        variant: str = "paper",
        effect: str | None = None,
        damping: float | None = None,
        smallest: float | None = None,
        own_term: bool = True,
        others: bool = False,
    ):
        self.reads_history = getattr(model, "reads_history", False)
        effect = effect or ("substitute" if self.reads_history else "linear")
        damping = damping if damping is not None else (0.01 if self.reads_history else 1e-6)
        if variant not in VARIANTS:
            raise AccentError(f"variant must be one of {', '.join(VARIANTS)}, not {variant!r}.")
        if variant == ("objective" if self.reads_history else "shared"):
            reads = "reads the history" if self.reads_history else "does not read the history"
            raise AccentError(f"variant {variant!r} makes no sense for a model that {reads}; use 'paper'.")
        if others and not self.reads_history or not own_term and self.reads_history:
            raise AccentError(
                "others is for models that read the history, own_term=False for those that do not."
            )
        if effect not in EFFECTS:
            raise AccentError(f"effect must be one of {', '.join(EFFECTS)}, not {effect!r}.")
        if damping < 0:
            raise AccentError(f"damping must not be negative, but is {damping}.")
        self.model, self.variant, self.effect = model, variant, effect
        self.damping, self.smallest, self.own_term, self.others = damping, smallest, own_term, others
        # The blocks of items that were asked for, by item; users have many of them in common.
        self._halves = {} if variant == "paper" and hasattr(model, "item_block") else None

    def __call__(self, user: int, items: np.ndarray) -> Influence:
        """Influence of all the user's actions on the scores of ``items``.

        A candidate is an item that the user has no action on, so no training point touches both halves of a
        block [user; item]: the Hessian is block-diagonal, and the user's half carries all that the data says.
        With variant ``paper`` the item's half adds the same small amount for every action of the user,
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
            If an item is no candidate (variant ``paper``), or the Hessian is singular.
        """
        model, items = self.model, torch.tensor(np.asarray(items))
        if self.reads_history:
            return self._with_history(user, items)
        block = _differentiate(
            model.block(user),
            lambda block: model.losses(block, user),
            model.penalty,
            lambda block: model.scores(block, user, items),
        )
        scores, slopes = block.scores, block.slopes

        own = model.n_actions if self.variant == "objective" else block.n_points
        points = torch.full((len(items),), own, dtype=scores.dtype)
        if self._halves is not None:
            if np.isin(items, model.actions(user)).any():
                raise AccentError(
                    f"variant 'paper' needs candidates, but user {user} has an action on one of the items."
                )
            half = self._item_halves(items)
            points = points + half.n_points

        bare = block.curvature / points[:, None, None] + block.penalty_curvature
        hessians, facts = self._damped(bare)
        gradients = block.gradients
        if self.variant == "paper":
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
            change = change + self._item_change(user, half, points, facts["damping"])[:, None]
        change = change.detach().numpy()
        return Influence(scores.numpy(), -change, np.zeros_like(change), **facts)

    def _with_history(self, user, items):
        """As :meth:`__call__`, for a model that reads the history."""
        model, value = self.model, self.model.block(user)
        n = len(model.actions(user))
        everything = torch.ones(n, dtype=value.dtype)
        without = 1 - torch.eye(n, dtype=value.dtype)  # row z is the history without action z

        def scores(block, keep):
            return model.scores(block, user, items, keep)

        def total(block, keep, which=None):
            return model.losses(block, user, keep, which).sum()

        one_by_one = torch.arange(n)[:, None]
        gradients = vmap(grad(total), (None, 0, 0))(value, without, one_by_one)
        if self.others:
            # In chunks, because each row of `without` needs a table of the user's triples by her history.
            changed = vmap(grad(total), (None, 0), chunk_size=16)(value, without) - gradients
            own = vmap(grad(total), (None, None, 0))(value, everything, one_by_one)
            gradients = own - (changed - (grad(total)(value, everything) - own))

        histories = everything[None] if self.variant == "shared" else without
        blocks = (
            _differentiate(value, lambda block, keep=keep: model.losses(block, user, keep), model.penalty)
            for keep in histories
        )
        bare = torch.stack([block.curvature / n + block.penalty_curvature for block in blocks])
        hessians, facts = self._damped(bare)
        moves = torch.linalg.solve(hessians, gradients[..., None]).squeeze(-1) / n

        with torch.no_grad():
            before = scores(value, everything)
            by_input = vmap(scores, (None, 0))(value, without)
            if self.effect == "substitute":
                after = vmap(scores)(value + moves, without)
            else:
                change = vmap(lambda keep, move: jvp(lambda b: scores(b, keep), (value,), (move,))[1])
                after = by_input + change(without, moves)
        return Influence(before.numpy(), (before - after).T.numpy(), (before - by_input).T.numpy(), **facts)

    def _damped(self, bare):
        """Damped Hessians, (m, p, p), and the facts about them that :class:`Influence` reports."""
        identity = torch.eye(bare.shape[-1], dtype=bare.dtype)
        hessians, damping = bare + self.damping * identity, self.damping
        eigenvalues = torch.linalg.eigvalsh(hessians)
        if self.smallest is not None and eigenvalues.min() < self.smallest:
            damping += float(self.smallest - eigenvalues.min())
            warnings.warn(
                f"damping raised from {self.damping:g} to {damping:g}: the smallest eigenvalue of the Hessian"
                f" was {float(eigenvalues.min()):g}.",
                stacklevel=4,
            )
            hessians, eigenvalues = bare + damping * identity, eigenvalues + damping - self.damping
        if (eigenvalues == 0).any():
            raise AccentError("The Hessian is singular: use a damping above 0.")
        condition = float((eigenvalues[:, -1] / eigenvalues[:, 0].abs()).max())
        smallest = float(eigenvalues.min())
        return hessians, {"smallest_eigenvalue": smallest, "condition": condition, "damping": damping}

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
        for item in set(items.tolist()) - self._halves.keys():
            self._halves[item] = _differentiate(
                self.model.item_block(item),
                lambda block, item=item: self.model.item_losses(block, item),
                self.model.penalty,
            )
        return _ItemHalves.of([self._halves[item] for item in items.tolist()])

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

    Examples
    --------
    The first action lowers both scores, the recommendation's more:

    >>> gap_influence(np.array([[0.75, 0.25], [0.5, 0.5]]), 0, 1).tolist()
    [0.25, -0.25]
    """
    return influence[recommendation] - influence[replacement]
