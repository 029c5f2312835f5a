"""One training loop for every model, for one set of parameters or for many at once.

A *stack* trains several copies of one model side by side: each parameter gains a dimension, `torch.vmap` runs
the model over it, and all copies see the same batches.  Copies may differ in their initial parameters
(several starts) and in ``keep``, the weight of each action (worlds in which some actions were never taken).
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from accent_lib.errors import AccentError
from accent_lib.files import atomic


@dataclass(frozen=True)
class Recipe:
    """How to train: everything that changes the result, but the seed.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    learning_rate : float
        At the first step.
    schedule : {"constant", "linear"}
        ``linear`` falls to zero over the steps.
    optimizer : {"adam", "adagrad"}
    batch_size : int
        Training examples a step.
    shuffle_first : bool
        Whether the first epoch is shuffled, too (the paper's NCF goes through the data in order once).

    Examples
    --------
    >>> recipe = Recipe(steps=10, learning_rate=0.5, schedule="linear")
    >>> recipe.rate(0), recipe.rate(5)
    (0.5, 0.25)
    """

    steps: int
    learning_rate: float = 1e-3
    schedule: str = "constant"
    optimizer: str = "adam"
    batch_size: int = 1246
    shuffle_first: bool = True

    def __post_init__(self):
        if self.schedule not in ("constant", "linear"):
            raise AccentError(f"Recipe: schedule must be 'constant' or 'linear', not {self.schedule!r}.")
        if self.optimizer not in ("adam", "adagrad"):
            raise AccentError(f"Recipe: optimizer must be 'adam' or 'adagrad', not {self.optimizer!r}.")
        if self.steps < 0 or self.batch_size < 1 or not self.learning_rate > 0:
            raise AccentError("Recipe: steps must be >= 0, batch_size >= 1 and learning_rate > 0.")

    def rate(self, step: int) -> float:
        """Learning rate at ``step``, counted from 0."""
        return self.learning_rate * (1 - step / self.steps if self.schedule == "linear" else 1.0)


#: NCF as the paper trained it.
PAPER = Recipe(steps=120_000, shuffle_first=False)
#: A higher rate that falls to zero reaches a far lower objective in a twentieth of the steps (notebook 02).
ANNEALED = Recipe(steps=6_000, learning_rate=1e-2, schedule="linear")


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
        steps = {int(memory["step"]) for memory in state.moments.values()} or {0}
        if len(steps) > 1:
            raise AccentError(f"The parameters of a state have seen different numbers of steps: {steps}.")
        copies.append((vectors, steps.pop()))
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
                parts[name] = part.reshape(shape)
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


@dataclass(frozen=True)
class Round:
    """One round of a search over starts: train ``starts`` copies by ``recipe``.

    Examples
    --------
    >>> Round(starts=16, recipe=Recipe(steps=300)).starts
    16
    """

    starts: int
    recipe: Recipe


#: Many short starts, of which the best go on; the last round anneals.
SEARCH = (
    Round(64, replace(ANNEALED, steps=1_500, learning_rate=5e-3, schedule="constant")),
    Round(16, replace(ANNEALED, steps=2_500, learning_rate=5e-3, schedule="constant")),
    Round(4, replace(ANNEALED, steps=16_000, learning_rate=5e-3)),
)


#: More starts than any search has.
POOL = 1_000_000


def _train_stack(model, recipe, states, seed):
    torch.set_num_threads(1)
    return train(model, recipe, states, seed=seed)


def search(
    make: Callable[[int], nn.Module],
    rounds: Sequence[Round],
    *,
    seed: int = 0,
    stack_size: int = 16,
    executor=None,
    describe: Callable[[nn.Module], dict] | None = None,
    log: Callable[[str], None] | None = None,
) -> tuple[list[State], list[dict]]:
    """Train many initialisations and go on with the best (successive halving).

    Parameters
    ----------
    make : callable
        ``make(seed)`` is a freshly initialised model.
    rounds : sequence of Round
        From many starts to few; a round takes the best of the one before by training objective.
    seed : int
        The starts are ``POOL * seed, POOL * seed + 1, …``, so that searches of other seeds have no start in
        common; the order of the batches in round ``r`` follows from ``seed`` and ``r``.
    stack_size : int
        Copies trained in one set of tensors.
    executor : concurrent.futures.Executor, optional
        Spreads the stacks.  Default: one after the other, here.
    describe : callable, optional
        Facts about a model with the parameters of one start, added to its record.
    log : callable, optional
        Gets one line a round.

    Returns
    -------
    states : list of State
        Those of the last round, lowest objective first.
    record : list of dict
        ``start``, ``round``, ``objective`` and ``seconds`` (of the whole round) for every start in every
        round.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> data = prepare(load("sample"))
    >>> short = Recipe(steps=20, learning_rate=0.01, batch_size=256)
    >>> states, record = search(lambda seed: NCF(data, seed=seed), [Round(3, short), Round(1, short)])
    >>> len(states), [row["round"] for row in record]
    (1, [1, 1, 1, 2])
    """
    first = POOL * seed
    model = make(first)
    pool = {start: State.of(make(start)) for start in range(first, first + rounds[0].starts)}
    record = []
    for number, this in enumerate(rounds, 1):
        if number > 1 and this.starts > len(pool):
            raise AccentError(f"Round {number} wants {this.starts} starts, but only {len(pool)} are left.")
        starts = list(pool)[: this.starts]
        begin = time.perf_counter()
        stacks = [starts[at : at + stack_size] for at in range(0, len(starts), stack_size)]
        run = map if executor is None else executor.map
        tasks = [(model, this.recipe, [pool[s] for s in stack], first + 1000 * number) for stack in stacks]
        trained = [state for part in run(_train_stack, *zip(*tasks, strict=True)) for state in part]
        seconds = time.perf_counter() - begin
        reached = objective(model, trained)
        order = np.argsort(np.where(np.isnan(reached), np.inf, reached), kind="stable")
        pool = {starts[i]: trained[i] for i in order}
        for i in order:
            facts = describe(trained[i].into(model)) if describe is not None else {}
            reached_by = {"start": starts[i], "round": number, "objective": float(reached[i])}
            record.append({**reached_by, **facts, "seconds": seconds})
        if log is not None:
            log(
                f"round {number}: {len(starts)} starts x {this.recipe.steps} steps in {seconds:.0f} s,"
                f" objective {reached[order[0]]:.3f} to {reached[order[-1]]:.3f}"
            )
    return list(pool.values()), record


def save_checkpoint(path, state: State, fingerprint: str, **metadata) -> None:
    """Write a state atomically, as plain arrays (NumPy's ``.npz``, nothing pickled).

    Parameters
    ----------
    path : path-like
    state : State
    fingerprint : str
        Of everything that made it; :func:`load_checkpoint` refuses any other.
    **metadata
        JSON-able facts to keep beside it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "model.npz"
    >>> save_checkpoint(path, State({"weight": torch.ones(2)}), "abc", start=7)
    >>> load_checkpoint(path)[1]
    {'fingerprint': 'abc', 'start': 7}
    """
    arrays = {f"parameters/{name}": value.numpy() for name, value in state.parameters.items()}
    for name, moments in state.moments.items():
        arrays |= {f"moments/{name}/{key}": value.numpy() for key, value in moments.items()}
    header = json.dumps({"fingerprint": fingerprint, **metadata})
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, header=np.array(header), **arrays)


def load_checkpoint(path, fingerprint: str | None = None) -> tuple[State, dict]:
    """Read what :func:`save_checkpoint` wrote.

    Returns
    -------
    state : State
    metadata : dict
        With the ``fingerprint``.

    Raises
    ------
    AccentError
        If the file is missing, unreadable, or made by something other than ``fingerprint``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "model.npz"
    >>> save_checkpoint(path, State({"weight": torch.ones(2)}), "abc")
    >>> load_checkpoint(path, "abc")[0].parameters["weight"].tolist()
    [1.0, 1.0]
    >>> load_checkpoint(path, "abd")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: Checkpoint ... was made from other data, code or settings ...
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            metadata = json.loads(str(file["header"]))
            arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != "header"}
    except FileNotFoundError:
        raise AccentError(f"There is no checkpoint {path}: run notebook 02_training first.") from None
    except Exception as error:
        raise AccentError(
            f"Checkpoint {path} cannot be read ({error}): delete it and train again."
        ) from error
    if fingerprint is not None and metadata["fingerprint"] != fingerprint:
        raise AccentError(
            f"Checkpoint {path} was made from other data, code or settings (fingerprint"
            f" {metadata['fingerprint']}, not {fingerprint}): delete it and train again."
        )
    state = State({}, {})
    for name, value in arrays.items():
        kind, parameter, *key = name.split("/")
        if kind == "parameters":
            state.parameters[parameter] = value
        else:
            state.moments.setdefault(parameter, {})[key[0]] = value
    return state, metadata
