"""Influence through the training itself: the derivative of a retrained score by each action's weight.

Influence functions ask how the *minimiser* moves, in a small block.  Retraining is no minimisation: it is so
many steps of an optimiser from a given start.  That is a differentiable program, too, and this module goes
backwards through every step of it, through batches, Adam's moments and schedule (a *metagradient*).  What it
returns is exact, as a derivative; what is left of an error is that removing an action is not a small change.

One step of Adam, with the gradient g of the batch's loss plus weight decay (Kingma and Ba, 2015):

    m' = b1 m + (1 - b1) g        v' = b2 v + (1 - b2) g^2
    x' = x - a m' / s,            s = sqrt(v' / (1 - b2^t)) + eps,    a = rate / (1 - b1^t)

Let (X, M, V) be the derivatives of a score after training by (x', m', v').  Then by (x, m, v) they are

    M <- M - a X / s,             V <- V + a X m' / (s^2 2 sqrt(v' (1 - b2^t))),
    G = (1 - b1) M + 2 (1 - b2) g V,
    X <- X + (dg/dx)^T G,         M <- b1 M,        V <- b2 V,

and the derivative by the weights of the actions gains (dg/dkeep)^T G.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from accent_lib.arguments import array, instance, listed, refused, whole, wholes
from accent_lib.errors import AccentError
from accent_lib.models.given import checked_model
from accent_lib.training.recipes import Recipe
from accent_lib.training.stack import Objective
from accent_lib.training.state import State
from accent_lib.training.steps import steps_of

#: Adam's constants, which are torch's defaults.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of a user's scores, of which the influence is asked: a score, or a gap between two.

    Parameters
    ----------
    user : int
    items : sequence of int
    weights : sequence of float
        One for each item; ``(1, -1)`` makes the gap of the first over the second.

    Raises
    ------
    AccentError
        If an argument is no such thing, or items and weights are not equally many.

    Examples
    --------
    >>> gap = Contrast(3, (7, 4), (1.0, -1.0))
    """

    user: int
    items: Sequence[int]
    weights: Sequence[float]

    def __post_init__(self):
        items = tuple(wholes(self.items, "items", 0))
        weights = tuple(array(self.weights, "weights", 1).astype(float).tolist())
        if len(items) != len(weights) or not items:
            raise AccentError(f"{len(items)} items have {len(weights)} weights; give one for each of them.")
        object.__setattr__(self, "user", whole(self.user, "user", 0))
        object.__setattr__(self, "items", items)
        object.__setattr__(self, "weights", weights)

    def check_fits(self, model) -> None:
        """Refuse a model that does not know the user or an item."""
        whole(self.user, "user", 0, model.n_users - 1)
        wholes(self.items, "items", 0, model.n_items - 1)


def through_training(
    model: nn.Module,
    recipe: Recipe,
    state: State,
    contrasts: Sequence[Contrast],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Value of each contrast after training, and its derivative by the weight of each of the user's actions.

    Parameters
    ----------
    model : Recommender
        Trained by Adam, with ``batch_loss(batch, keep)`` that is differentiable twice.
    recipe : Recipe
    state : State
        Where training starts: initial or trained parameters, with moments or none.
    contrasts : sequence of Contrast
        All of them share one training; each costs a Hessian-vector product a step.
    seed : int
        Of the order of the batches, as for :func:`~accent_lib.training.train`.
    progress : callable, optional
        Called with the steps gone backwards, and all.

    Returns
    -------
    values : ndarray, shape (n_contrasts,)
        After training with all actions, in double precision and in the unit of the model's scores.
    influence : list of ndarray, shape (n_history,) each
        By how much the contrast would shrink without the action, to first order: the derivative by its
        weight at weight one.  The sign is that of :class:`~accent_lib.influence.Influence`.

    Raises
    ------
    AccentError
        If the recipe is not Adam's, or an argument does not fit the model.

    Notes
    -----
    Memory holds two square roots' worth of steps: the states at the ends of about ``sqrt(steps)`` stretches,
    and all steps of one stretch, which are made again from its beginning.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> recipe = Recipe(steps=4, learning_rate=0.01, batch_size=256)
    >>> contrast = Contrast(3, model.candidates(3)[:2], (1.0, -1.0))
    >>> values, (influence,) = through_training(model, recipe, State.of(model), [contrast])
    >>> values.shape, len(influence) == len(model.actions(3))
    ((1,), True)
    """
    checked_model(model, "batch_loss", "batches", "action_slice", "weight_decay", "forward")
    instance(recipe, "recipe", Recipe, "a Recipe of accent_lib.training")
    instance(state, "state", State, "a State of accent_lib.training").check_fits(model)
    state.check_moments("adam", [name for name, _ in model.named_parameters()])
    contrasts = listed(contrasts, "contrasts", "a list of Contrast")
    for contrast in contrasts:
        instance(contrast, "contrasts", Contrast, "a list of Contrast").check_fits(model)
    seed = whole(seed, "seed", 0, 2**63 - 1)
    if progress is not None and not callable(progress):
        raise refused(progress, "progress", "a function of steps gone back and of all, or None")
    if recipe.optimizer != "adam":
        raise AccentError(f"Influence through training goes through Adam's steps, not {recipe.optimizer}'s.")
    if not contrasts:
        return np.empty(0), []
    program = _Program(model, recipe, state)
    steps = list(steps_of(model, recipe, seed))
    stretch = isqrt(max(len(steps) - 1, 0)) + 1
    starts, now = [], program.start
    for number, (rate, batch) in enumerate(steps):
        if number % stretch == 0:
            starts.append(now)
        now = program.step(now, number, rate, batch).after
    values, x = program.scores(now[0], contrasts)
    m, v = torch.zeros_like(x), torch.zeros_like(x)
    influence = torch.zeros(len(contrasts), model.n_actions, dtype=x.dtype)
    for begin in range((len(starts) - 1) * stretch, -1, -stretch):
        now, passed = starts.pop(), []
        for number, (rate, batch) in enumerate(steps[begin : begin + stretch], begin):
            passed.append(program.step(now, number, rate, batch))
            now = passed[-1].after
        while passed:
            x, m, v = program.back(passed.pop(), x, m, v, influence)
            if progress is not None:
                progress(len(steps) - begin - len(passed), len(steps))
    own = (influence[row, model.action_slice(c.user)].numpy() for row, c in enumerate(contrasts))
    return values.numpy(), list(own)


@dataclass
class _Step:
    """What going back through one step needs: where it began, its gradient, and where it ended."""

    x: Tensor
    batch: Tensor
    gradient: Tensor
    after: tuple[Tensor, Tensor, Tensor]  #: parameters and both moments
    rate: float  #: a, see above
    correction: float  #: 1 - b2^t


class _Program:
    """Training as a function of flat vectors in double precision."""

    def __init__(self, model, recipe, state):
        # The model lends its function; parameters and weights of actions come as arguments.
        self.model = Objective(model, "batch_loss")
        self.scorer = model
        self.shapes = {name: value.shape for name, value in model.named_parameters()}
        self.done, decay = state.steps(), model.weight_decay()
        decays = [torch.full((shape.numel(),), decay[name]) for name, shape in self.shapes.items()]
        self.decay = torch.cat(decays).double()
        parts = [state.parameters]
        for key in ("exp_avg", "exp_avg_sq"):
            zero = {name: torch.zeros(shape) for name, shape in self.shapes.items()}
            parts.append({name: state.moments[name][key] for name in zero} if state.moments else zero)
        self.start = tuple(self.flat(part) for part in parts)
        self.everything = torch.ones(model.n_actions, dtype=torch.float64)

    def flat(self, tensors):
        return torch.cat([tensors[name].flatten() for name in self.shapes]).double()

    def named(self, x):
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = x.split(sizes, -1)
        return {n: part.reshape(shape) for (n, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def slope(self, x, keep, batch):
        """Gradient of the batch's loss, without weight decay."""

        def loss(x):
            named = {f"model.{name}": value for name, value in self.named(x).items()}
            return functional_call(self.model, named, (batch, keep))

        return grad(loss)(x)

    def step(self, now, number, rate, batch) -> _Step:
        """One step of Adam."""
        x, m, v = now
        g = self.slope(x, self.everything, batch) + self.decay * x
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
        t = self.done + number + 1
        rate, correction = rate / (1 - BETA1**t), 1 - BETA2**t
        after = x - rate * m / ((v / correction).sqrt() + EPSILON)
        return _Step(x, batch, g, (after, m, v), rate, correction)

    def back(self, step: _Step, x, m, v, influence):
        """Derivatives by what a step began with, from those by what it ended with, ``(n_contrasts, n)``."""
        _, mean, square = step.after
        root = (square / step.correction).sqrt()
        divisor = root + EPSILON
        by_step = x * (step.rate / divisor)
        m = m - by_step
        # Where the second moment is zero so is the first, and there is no slope to follow.
        bend = torch.where(root > 0, mean / (divisor * 2 * step.correction * root), 0.0)
        v = v + by_step * bend
        g = (1 - BETA1) * m + 2 * (1 - BETA2) * step.gradient * v
        pull = vjp(lambda x, keep: self.slope(x, keep, step.batch), step.x, self.everything)[1]
        by_x, by_keep = vmap(pull)(g)
        influence += by_keep
        return x + by_x + self.decay * g, BETA1 * m, BETA2 * v

    def scores(self, x, contrasts):
        """Value and gradient of each contrast."""
        values, slopes = [], []
        for contrast in contrasts:
            items = torch.as_tensor(contrast.items)
            weights = torch.as_tensor(contrast.weights, dtype=torch.float64)

            def value(x, user=contrast.user, items=items, weights=weights):
                named = self.named(x)
                users = torch.full_like(items, user)
                return functional_call(self.scorer, named, (users, items)) @ weights

            values.append(value(x))
            slopes.append(grad(value)(x))
        return torch.stack(values), torch.stack(slopes)
