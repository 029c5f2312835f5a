"""One training loop for every model, for one set of parameters or for many at once.

A *stack* trains several copies of one model side by side: each parameter gains a dimension, `torch.vmap` runs
the model over it, and all copies see the same batches.  Copies may differ in their initial parameters
(several starts) and in ``keep``, the weight of each action (worlds in which some actions were never taken).
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from accent_lib.errors import AccentError
from accent_lib.training.recipes import Recipe


@dataclass
class State:
    """Where training stands for one set of parameters.

    Attributes
    ----------
    parameters : dict of str to Tensor
    moments : dict of str to dict of str to Tensor
        The optimiser's memory of each parameter (``exp_avg``, ``exp_avg_sq``, ``step`` for Adam); empty
        before the first step.

    Examples
    --------
    >>> model = nn.Linear(1, 1)
    >>> state = State.of(model)
    >>> _ = nn.init.zeros_(model.weight)
    >>> bool(state.into(model).weight == 0)
    False
    """

    parameters: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module) -> "State":
        """A copy of the parameters that a model has now."""
        return cls({name: value.detach().clone() for name, value in model.named_parameters()})

    def steps(self) -> int:
        """Steps that the moments have seen; 0 before the first."""
        steps = {int(memory["step"]) for memory in self.moments.values()} or {0}
        if len(steps) > 1:
            raise AccentError(f"The parameters of a state have seen different numbers of steps: {steps}.")
        return steps.pop()

    def digest(self) -> str:
        """Name the state by its content: 16 hexadecimal digits of the SHA-256 of parameters and moments."""
        digest = hashlib.sha256()
        for kind, tensors in (("parameters", {"": self.parameters}), ("moments", self.moments)):
            for group, members in sorted(tensors.items()):
                for name, value in sorted(members.items()):
                    array = value.detach().cpu().contiguous().numpy()
                    digest.update(f"{kind}/{group}/{name} {array.dtype} {array.shape}\n".encode())
                    digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()[:16]

    def into(self, model: nn.Module) -> nn.Module:
        """Copy the parameters into ``model`` and return it."""
        with torch.no_grad():
            for name, value in model.named_parameters():
                value.copy_(self.parameters[name])
        return model


class _Objective(nn.Module):
    """Gives ``functional_call`` a ``forward`` that is one of the model's losses."""

    def __init__(self, model, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *arguments):
        return getattr(self.model, self.loss)(*arguments)


def _stack_dims(model):
    # Tables are stacked as [row, copy, width]: looking up a row then fetches it for all copies at once.
    tables = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    return {name: int(name in tables) for name, _ in model.named_parameters()}


def _losses(model, dims, loss, n_arguments, with_keep):
    """``loss`` of every copy in the stack, as a function of the stacked parameters."""
    objective = _Objective(model, loss)

    def of_one(parameters, keep, *arguments):
        named = {f"model.{name}": value for name, value in parameters.items()}
        return functional_call(objective, named, (*arguments, keep))

    return torch.vmap(of_one, (dims, 0 if with_keep else None, *(None,) * n_arguments))


def _optimizer(model, parameters, recipe):
    groups = {}
    for name, decay in model.weight_decay().items():
        groups.setdefault(decay, []).append(parameters[name])
    groups = [{"params": values, "weight_decay": decay} for decay, values in groups.items()]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.learning_rate, fused=True)
    return torch.optim.Adagrad(groups, lr=recipe.learning_rate, initial_accumulator_value=1e-8)


def train(
    model: nn.Module,
    recipe: Recipe,
    states: Sequence[State],
    *,
    keep: Tensor | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[State]:
    """Train one copy of a model from each state, all at once and on the same batches.

    Parameters
    ----------
    model : Recommender
        Gives the losses and the data; its own parameters are left alone.  Training runs on its device.
    recipe : Recipe
    states : sequence of State, length n_copies
        Where each copy starts; optimiser moments are taken up if it has any (a *warm start*).
    keep : Tensor, shape (n_copies, n_actions), optional
        Weight of each action in the loss of each copy.  Default: all ones.
    seed : int
        Of the order of the batches, the only chance in training.
    progress : callable, optional
        Called with the number of steps done after every step, or every epoch.

    Returns
    -------
    list of State, length n_copies
        A copy whose numbers overflow carries NaN; the others never see it.

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
    if recipe.optimizer == "adam" and getattr(model, "loops", None) is not None:
        return _train_by_loops(model, recipe, states, keep, seed, progress)
    # Weight decay drives parameters into denormal numbers, which are many times slower.
    torch.set_flush_denormal(True)
    dims = _stack_dims(model)
    device = next(model.parameters()).device
    keep = None if keep is None else keep.to(device)

    def stack(values, dim):
        # A moment without dimensions counts steps, which all copies have in common.
        return (torch.stack(values, dim) if values[0].dim() else values[0].clone()).to(device)

    parameters = {
        name: stack([state.parameters[name] for state in states], dim).requires_grad_()
        for name, dim in dims.items()
    }
    if len({state.steps() for state in states}) > 1:
        raise AccentError(
            "Copies trained in one set of tensors must have seen equally many steps; train these apart."
        )
    optimizer = _optimizer(model, parameters, recipe)
    for name, parameter in parameters.items():
        moments = [state.moments.get(name) for state in states]
        if all(moments):
            optimizer.state[parameter] = {
                key: stack([m[key] for m in moments], dims[name]) for key in moments[0]
            }
    losses = _losses(model, dims, "batch_loss", 1, keep is not None)
    generator = torch.Generator().manual_seed(seed)
    step = 0
    while step < recipe.steps:
        shuffled = recipe.shuffle_first or step > 0
        for batch in model.batches(recipe.batch_size, generator if shuffled else None):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            optimizer.zero_grad()
            losses(parameters, keep, batch).sum().backward()
            optimizer.step()
            step += 1
            if progress is not None:
                progress(step)
            if step == recipe.steps:
                break

    def member(copy):
        def cut(name, value):
            return (value.detach().select(dims[name], copy) if value.dim() else value).to("cpu", copy=True)

        memory = {name: optimizer.state.get(parameter, {}) for name, parameter in parameters.items()}
        moments = {name: {key: cut(name, kept[key]) for key in kept} for name, kept in memory.items()}
        return State({name: cut(name, value) for name, value in parameters.items()}, moments)

    return [member(copy) for copy in range(len(states))]


def _train_by_loops(model, recipe, states, keep, seed, progress):
    """Train by the model's own loops, an epoch of all copies at a time."""
    # Loops decide by themselves what is too small; a processor that does may differ from the next.
    torch.set_flush_denormal(False)
    loops, names, copies = model.loops, [name for name, _ in model.named_parameters()], []
    for state in states:
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
        rates = np.array([recipe.rate(step + number) for number in range(len(rows))])
        for (vectors, done), weight in zip(copies, weights, strict=True):
            loops.adam_steps([vector.numpy() for vector in vectors], weight, rows, rates, done + step)
        step += len(rows)
        if progress is not None:
            progress(step)

    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    trained = []
    for vectors, done in copies:
        parameters, mean, square = ({} for _ in vectors)
        for vector, parts in zip(vectors, (parameters, mean, square), strict=True):
            sizes = [shape.numel() for shape in shapes.values()]
            for (name, shape), part in zip(shapes.items(), vector.split(sizes), strict=True):
                parts[name] = part.reshape(shape).clone()  # a view would be sent with the whole vector
        moments = {
            name: {
                "step": torch.tensor(float(done + step)),
                "exp_avg": mean[name],
                "exp_avg_sq": square[name],
            }
            for name in (names if done + step else ())
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
    loops, names = getattr(model, "loops", None), [name for name, _ in model.named_parameters()]
    if loops is not None:
        return np.array([loops.objective(_flat(state.parameters, names).numpy()) for state in states])
    decay, values = model.weight_decay(), []
    with torch.no_grad():
        for state in states:
            data = functional_call(
                _Objective(model, "data_loss"), {f"model.{n}": v for n, v in state.parameters.items()}, ()
            )
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
