"""One training loop for every model, for one set of parameters or for many at once, on any device.

A *stack* trains several copies of one model side by side, on the same batches.  Copies may differ in their
initial parameters (several starts) and in ``keep``, the weight of each action (worlds in which some actions
were never taken).
"""

import copy
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from accent_lib.arguments import flag, instance, listed, offers, refused, whole
from accent_lib.errors import AccentError
from accent_lib.models.given import differentiating
from accent_lib.training.alone import Alone
from accent_lib.training.recipes import Recipe
from accent_lib.training.stack import Objective, Recorded, Stack, decays_of, on, usable
from accent_lib.training.state import State
from accent_lib.training.steps import steps_of


@differentiating
def train(
    model: nn.Module,
    recipe: Recipe,
    states: Sequence[State],
    *,
    keep: Tensor | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Callable[[int], None] | None = None,
    tolerant: bool = False,
) -> list[State]:
    """Train one copy of a model from each state, all at once and on the same batches.

    Parameters
    ----------
    model : Recommender
        Gives the losses and the data; its own parameters are left alone.
    recipe : Recipe
    states : sequence of State, length n_copies
        Where each copy starts; optimiser moments are taken up if it has any (a *warm start*).
    keep : Tensor, shape (n_copies, n_actions), optional
        Weight of each action in the loss of each copy.  Default: all ones.
    seed : int
        Of the order of the batches, the only chance in training.
    device : str or torch.device, optional
        Where to train, such as ``"cuda"``.  Default: where the model lies.
    progress : callable, optional
        Called with the number of steps done (on a GPU: begun) after every step, or every epoch.
    tolerant : bool
        Whether to return copies that diverged where all of them did.  Default: an error.

    Returns
    -------
    list of State, length n_copies
        On the CPU.  A copy whose numbers overflow carries NaN; the others never see it.

    Raises
    ------
    AccentError
        If an argument does not fit the model, a parameter would not be trained, or all copies diverge: since
        which step, and in which parameter.

    Examples
    --------
    Two copies that start alike; in the second world the first action was never taken:

    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> state, keep = State.of(model), torch.ones(2, model.n_actions)
    >>> keep[1, 0] = 0
    >>> recipe = Recipe(steps=50, learning_rate=0.01, batch_size=256)
    >>> here, there = train(model, recipe, [state, state], keep=keep)
    >>> bool(objective(model, [here])[0] < objective(model, [state])[0])
    True
    >>> bool(torch.equal(here.parameters["user_table.weight"], there.parameters["user_table.weight"]))
    False
    """
    states, keep = _checked(model, recipe, states, keep)
    seed, model = whole(seed, "seed", 0, 2**63 - 1), on(model, usable(device))
    if progress is not None and not callable(progress):
        raise refused(progress, "progress", "a function of the number of steps done, or None")
    tolerant = flag(tolerant, "tolerant")
    trained = _train(model, recipe, states, keep, seed, progress)
    if not tolerant and all(state.not_finite() for state in trained):
        raise diverged(model, recipe, states[0], seed, None if keep is None else keep[:1])
    return trained


def _checked(model, recipe, states, keep):
    """States and weights of actions that fit a model, which can be trained."""
    instance(model, "model", nn.Module, "a Recommender, such as accent_lib.models.NCF(data)")
    needed = ("n_actions", "batches", "batch_loss", "weight_decay")
    offers(model, "model", "a Recommender, such as accent_lib.models.NCF(data)", *needed)
    instance(recipe, "recipe", Recipe, "a Recipe of accent_lib.training")
    decays_of(model)
    states = _states(model, states)
    for state in states:
        state.check_moments(recipe.optimizer)
    if keep is not None:
        shape = (len(states), model.n_actions)
        if not isinstance(keep, Tensor) or keep.shape != shape:
            raise refused(keep, "keep", f"a tensor of shape {shape}, a row for each state")
        if not keep.isfinite().all():
            raise AccentError(
                "`keep` holds a weight that is not finite; an action weighs 1, and a removed one 0."
            )
    return states, keep


def _states(model, states):
    states = listed(states, "states", "a list of State, one for each copy")
    for state in states or [states]:
        instance(state, "states", State, "a list of State, one for each copy").check_fits(model)
    return states


def diverged(model, recipe: Recipe, state: State, seed: int = 0, keep: Tensor | None = None) -> AccentError:
    """The error of a training that ends in numbers that are not finite, found by doing it again step by step.

    Parameters are those of :func:`train`, for one copy.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> print(diverged(model, Recipe(steps=9, learning_rate=1e30), State.of(model)))
    Training diverged: since step ... of 9 the parameters ... are not finite; lower the learning rate ...
    """
    found = (0, state.not_finite())

    def watch(step, now):
        nonlocal found
        found = step, now().not_finite()
        return bool(found[1])

    if not found[1]:
        _train(model, recipe, [state], keep, seed, None, watch)
    step, names = found
    if not names:
        where = f"the objective overflows within {recipe.steps:,} steps"
    elif step == 0:
        where = f"{_parameters(names)} not finite before the first step: start from others"
        return AccentError(f"Training diverged: {where}.")
    else:
        where = f"since step {step:,} of {recipe.steps:,} {_parameters(names)} not finite"
    rate = f"{recipe.learning_rate:g}"
    return AccentError(
        f"Training diverged: {where}; lower the learning rate ({rate}), or look for ratings that are far off."
    )


def _parameters(names):
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"the parameter{'s' if names[1:] else ''} {', '.join(names[:3])}{more} {'are' if names[1:] else 'is'}"
    )


def _train(model, recipe, states, keep, seed, progress=None, watch=None):
    """:func:`train`, with arguments that are checked, where the model lies.

    ``watch(step, state)`` is told of each step, with a function that gives the first copy's state, and ends
    training by saying True.
    """
    if recipe.optimizer == "adam" and getattr(model, "loops", None) is not None:
        return _train_by_loops(model, recipe, states, keep, seed, progress, watch)
    # Weight decay drives parameters into denormal numbers, which are many times slower.
    torch.set_flush_denormal(True)
    apart = getattr(model, "one_by_one", False)
    stack = (Alone if apart else Stack)(model, recipe, states, keep)
    take = Recorded(stack.step, stack.rate.device) if stack.rate.is_cuda and not apart else stack.step
    rates = torch.tensor([recipe.rate(step) for step in range(recipe.steps)], dtype=torch.float64)
    rates = rates.to(stack.rate)
    for step, (_, batch) in enumerate(steps_of(model, recipe, seed)):
        stack.rate.copy_(rates[step])
        take(batch)
        if progress is not None:
            progress(step + 1)
        if watch is not None and watch(step + 1, lambda: stack.states()[0]):
            break
    return stack.states()


def _train_by_loops(model, recipe, states, keep, seed, progress, watch):
    """Train by the model's own loops, an epoch of all copies at a time."""
    # Loops decide by themselves what is too small; a processor that does may differ from the next.
    torch.set_flush_denormal(False)
    loops, names, copies = model.loops, [name for name, _ in model.named_parameters()], []
    for state in states:
        state.check_moments("adam", names)
        vectors = [_flat(state.parameters, names)]
        for key in ("exp_avg", "exp_avg_sq"):
            moments = {name: memory[key] for name, memory in state.moments.items()}
            vectors.append(_flat(moments, names) if moments else torch.zeros_like(vectors[0]))
        copies.append((vectors, state.steps()))
    weights = [None] * len(copies) if keep is None else keep.numpy()
    generator, step = torch.Generator().manual_seed(seed), 0
    while step < recipe.steps:
        shuffled = recipe.shuffle_first or step > 0
        batches = list(model.batches(recipe.batch_size, generator if shuffled else None))
        rows = torch.stack(batches[: recipe.steps - step]).numpy()
        for some in [rows] if watch is None else np.split(rows, len(rows)):
            rates = np.array([recipe.rate(step + number) for number in range(len(some))])
            for (vectors, done), weight in zip(copies, weights, strict=True):
                loops.adam_steps([vector.numpy() for vector in vectors], weight, some, rates, done + step)
            step += len(some)
            if watch is not None and watch(step, lambda: _states_of(model, names, copies[:1], step)[0]):  # noqa: B023
                return _states_of(model, names, copies, step)
        if progress is not None:
            progress(step)
    return _states_of(model, names, copies, step)


def _states_of(model, names, copies, step):
    """States of copies that are vectors, after so many steps."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    trained = []
    for vectors, done in copies:
        seen, parameters, mean, square = float(done + step), {}, {}, {}
        for vector, parts in zip(vectors, (parameters, mean, square), strict=True):
            sizes = [shape.numel() for shape in shapes.values()]
            for (name, shape), part in zip(shapes.items(), vector.split(sizes), strict=True):
                parts[name] = part.reshape(shape).clone()  # a view would be sent with the whole vector
        moments = {
            name: {"step": torch.tensor(seen), "exp_avg": mean[name], "exp_avg_sq": square[name]}
            for name in (names if seen else ())
        }
        trained.append(State(parameters, moments))
    return trained


def _flat(tensors, names):
    return torch.cat([tensors[name].flatten() for name in names])


def objective(model: nn.Module, states: Sequence[State]) -> np.ndarray:
    """The full training objective of each state, data loss plus weight decay, shape ``(n_copies,)``.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> state = State.of(model)
    >>> values = objective(model, [state, state])
    >>> values.shape, bool(values[0] == values[1])
    ((2,), True)
    """
    instance(model, "model", nn.Module, "a Recommender, such as accent_lib.models.NCF(data)")
    offers(model, "model", "a Recommender, such as accent_lib.models.NCF(data)", "data_loss", "weight_decay")
    states, decay = _states(model, states), decays_of(model)
    loops, names = getattr(model, "loops", None), [name for name, _ in model.named_parameters()]
    if loops is not None:
        return np.array([loops.objective(_flat(state.parameters, names).numpy()) for state in states])
    values, device = [], next(model.parameters()).device
    apart = copy.deepcopy(model) if getattr(model, "one_by_one", False) else None
    with torch.no_grad():
        for state in states:
            parameters = {f"model.{name}": value.to(device) for name, value in state.parameters.items()}
            if apart is None:
                data = functional_call(Objective(model, "data_loss"), parameters, ())
            else:  # a layer may not take parameters that are put in
                data = state.into(apart).data_loss()
            norm = sum(decay[name] / 2 * state.parameters[name].square().sum() for name in names)
            values.append(float(data + norm))
    return np.array(values)


def train_timed(model, recipe: Recipe, states: Sequence[State], seed: int = 0) -> tuple[list[State], float]:
    """Train with one thread, as a worker process should, and say how many seconds it took.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> states, seconds = train_timed(model, Recipe(steps=2, batch_size=256), [State.of(model)])
    >>> len(states), seconds > 0
    (1, True)
    """
    torch.set_num_threads(1)
    begin = time.perf_counter()
    return train(model, recipe, states, seed=seed), time.perf_counter() - begin
