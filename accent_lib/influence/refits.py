"""The truth that influence estimates, for one user's block: minimise her part of the objective again.

Influence lets only the user's block move.  These refits do the same, with a weight for each action
(``keep``): one of a quadratic objective, which can be solved exactly, and one for any model.
"""

import torch
from torch import Tensor
from torch.func import grad, hessian, jacrev

from accent_lib.arguments import instance, refused, user_of, whole
from accent_lib.errors import AccentError
from accent_lib.models.given import checked_model, differentiable, differentiating, not_finite


class Frozen:
    """A model as one user's block sees it from where it stands: scores replaced by their tangents.

    The scores of a ReLU network are piecewise linear in the user's block, so their tangents are the network
    with its ReLU pattern frozen.  Squared error makes the objective of the block quadratic: it has one
    minimum, which can be computed, and removing an action has a true effect that no optimiser blurs.

    Parameters
    ----------
    model : Recommender
        With squared error on ``ratings``, such as :class:`~accent_lib.models.NCF`, in double precision.
    user : int
        The only one it can be asked about.

    Notes
    -----
    Offers what :func:`~accent_lib.influence.fast_influence` asks of a model.  Its block is the minimiser, not
    the model's own.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> frozen = Frozen(NCF(prepare(load("sample"))).double(), 3)
    >>> everything = torch.ones(len(frozen.actions(3)), dtype=torch.float64)
    >>> torch.equal(frozen.minimiser(everything), frozen.block(3))
    True
    """

    @differentiating
    def __init__(self, model, user: int):
        model = differentiable(checked_model(model, "penalty", "ratings", "n_actions"))
        self.model, self.user, self.penalty = model, user_of(model, user), model.penalty
        self.n_users, self.n_items, self.n_actions = model.n_users, model.n_items, model.n_actions
        self.actions, self.action_slice, self.candidates = model.actions, model.action_slice, model.candidates
        self._centre = model.block(user).clone()
        self._ratings = model.ratings[model.action_slice(user)]
        self._history = self._tangent(torch.as_tensor(model.actions(user)))
        self._block = self.minimiser(torch.ones_like(self._ratings))

    def _tangent(self, items):
        """Value at block zero and slope of the scores' tangents, shapes ``(n,)`` and ``(n, p)``."""
        score = lambda block: self.model.scores(block, self.user, items)  # noqa: E731
        slope = jacrev(score)(self._centre)
        return score(self._centre).detach() - slope.detach() @ self._centre, slope.detach()

    @differentiating
    def minimiser(self, keep: Tensor) -> Tensor:
        """The block that minimises the objective with actions weighted by ``keep``, exactly.

        From ``keep``, shape ``(n_history,)``, to shape ``(n_parameters,)``.
        """
        offset, slope = self._history
        zero = torch.zeros_like(self._centre)
        weighted = 2 / self.n_actions * keep[:, None] * slope
        curvature = weighted.T @ slope + hessian(self.penalty)(zero)  # (p, n) @ (n, p) -> (p, p)
        return torch.linalg.solve(curvature, weighted.T @ (self._ratings - offset) - grad(self.penalty)(zero))

    def block(self, user: int) -> Tensor:
        """The minimiser with all actions kept, shape ``(n_parameters,)``."""
        self._check(user)
        return self._block

    def scores(self, block: Tensor, user: int, items: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tangents of the model's scores, shape ``(n_items,)``."""
        self._check(user)
        offset, slope = self._tangent(items)
        return offset + slope @ block

    def losses(self, block: Tensor, user: int, keep: Tensor | None = None) -> Tensor:
        """Squared error of each of the user's ratings, shape ``(n_history,)``."""
        self._check(user)
        offset, slope = self._history
        return (offset + slope @ block - self._ratings) ** 2

    def _check(self, user):
        if user != self.user:
            raise AccentError(f"This model is frozen for user {self.user}, not {user}: make another Frozen.")


@differentiating
def refit(
    model, user: int, keep: Tensor | None = None, start: Tensor | None = None, steps: int = 500
) -> Tensor:
    """Minimise the training objective over one user's block, everything else fixed.

    Parameters
    ----------
    model : Recommender
        In double precision; its parameters are left alone.
    user : int
    keep : Tensor, shape (n_history,), optional
        Weight of each of the user's actions.  Default: all ones.
    start : Tensor, shape (n_parameters,), optional
        Where to begin.  Default: the block as it is.
    steps : int
        Of L-BFGS, at most.

    Returns
    -------
    Tensor, shape (n_parameters,)
        A minimum of a smooth model.  With ReLUs the objective has kinks, and it depends on the start in which
        corner of it L-BFGS comes to rest.

    Examples
    --------
    A quadratic objective, whose minimum is known:

    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> frozen = Frozen(NCF(prepare(load("sample"))).double(), 3)
    >>> block = refit(frozen, 3, start=torch.zeros_like(frozen.block(3)))
    >>> torch.allclose(block, frozen.block(3), atol=1e-4)
    True
    """
    user, steps = (
        user_of(checked_model(model, "losses", "penalty", "n_actions"), user),
        whole(steps, "steps", 0),
    )
    model = differentiable(model)
    block, n = model.block(user), len(model.actions(user))
    if not n:
        raise AccentError(f"User {user} has no action, so that there is nothing to fit her block to.")
    for name, given, shape in (("start", start, block.shape), ("keep", keep, (n,))):
        if given is not None:
            instance(given, name, Tensor, f"a tensor of shape {tuple(shape)}")
            if given.shape != shape or not given.isfinite().all():
                raise refused(given, name, f"finite, and of shape {tuple(shape)}")
    block = (block if start is None else start).detach().clone().requires_grad_()
    keep = torch.ones(n, dtype=block.dtype) if keep is None else keep
    # On the scale of the user's own ratings: her share of the mean over all actions is tiny, and so would be
    # the gradients that L-BFGS has to judge.
    scale = model.n_actions / len(keep)
    optimizer = torch.optim.LBFGS(
        [block],
        max_iter=steps,
        history_size=20,
        tolerance_grad=1e-11,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure():
        data = (keep * model.losses(block, user, keep)).sum() / model.n_actions
        value = scale * (data + model.penalty(block))
        # Not `backward`, which would work out the gradients of the whole model, too.
        (block.grad,) = torch.autograd.grad(value, block)
        return value

    optimizer.step(closure)
    if not block.isfinite().all():
        raise not_finite(model, f"The block of user {user} that was fitted again")
    return block.detach()
