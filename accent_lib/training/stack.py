"""A stack: copies of one model in one set of tensors, and a step of training for all of them.

Each parameter gains a dimension and `torch.vmap` runs the model over it, so that a layer is a batched matrix
product and a look-up fetches a row for all copies.  The step is one function, the same on every device.  Its
hundred tensor operations take less time on a GPU than they take to be started; there they are recorded as a
CUDA graph, which is started at once.  Nothing in a step waits for the host: batches, learning rates and
counts of steps are tensors of the device.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_unflatten

from accent_lib.arguments import number, refused
from accent_lib.errors import AccentError
from accent_lib.models.given import differentiable
from accent_lib.training.recipes import Recipe
from accent_lib.training.state import State

#: Steps of each shape of batch before its graph is recorded: libraries set themselves up in the first ones.
WARM_UP = 3


def usable(device: Any) -> str | torch.device | None:
    """A device where something can be trained (None: where the model lies), or an error that names it."""
    try:
        kind = torch.device("cpu" if device is None else device).type
        if kind in ("cpu", "cuda") and not isinstance(device, bool | int):
            torch.empty(0, device=device)
            return device
    except Exception:  # torch has an error of its own for each way in which there is none
        pass
    raise refused(device, "device", "where something can be trained: 'cpu', or 'cuda' where there is a GPU")


def on(model: nn.Module, device: str | torch.device | None) -> nn.Module:
    """The model itself if it lies on the device or none is given, else a copy of it there."""
    here, there = next(model.parameters()).device, torch.device("cpu" if device is None else device)
    if device is None or (here.type == there.type and there.index in (None, here.index)):
        return differentiable(model)
    return copy.deepcopy(model).to(there)


class Objective(nn.Module):
    """Gives ``functional_call`` a ``forward`` that is one of the model's losses."""

    def __init__(self, model, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *arguments):
        """The loss."""
        return getattr(self.model, self.loss)(*arguments)


class Stack:
    """Copies of a model that are trained together, on its device; arguments are as for `train`.

    Attributes
    ----------
    rate : Tensor, shape ()
        Learning rate of the next step; to be filled in.
    """

    def __init__(self, model, recipe: Recipe, states: Sequence[State], keep: Tensor | None = None):
        if len({state.steps() for state in states}) > 1:
            raise AccentError("Copies of one stack must have seen equally many steps; train these apart.")
        # Tables are stacked as [row, copy, width]: looking up a row then fetches it for all copies at once.
        tables = {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, nn.Embedding)}
        self.dims = {name: int(name in tables) for name, _ in model.named_parameters()}
        device = next(model.parameters()).device
        # On a GPU the fused optimiser reads a number of single precision.
        precision = torch.float32 if device.type == "cuda" else torch.float64
        self.rate = torch.zeros((), dtype=precision, device=device)
        self.keep = None if keep is None else keep.to(device)

        def stacked(values, dim, key=""):
            # All copies have the count of their steps in common.
            return (values[0].clone() if key == "step" else torch.stack(values, dim)).to(device)

        self.parameters = {
            name: stacked([state.parameters[name] for state in states], dim).requires_grad_()
            for name, dim in self.dims.items()
        }
        self.optimizer = optimizer_of(model, self.parameters, recipe, self.rate)
        for name, parameter in self.parameters.items():
            moments = [state.moments.get(name) for state in states]
            if all(moments):
                self.optimizer.state[parameter] = {
                    key: stacked([m[key] for m in moments], self.dims[name], key) for key in moments[0]
                }
        objective = Objective(model, "batch_loss")

        def loss(parameters, keep, batch):
            named = {f"model.{name}": value for name, value in parameters.items()}
            return functional_call(objective, named, (batch, keep))

        dims = (self.dims, None if keep is None else 0, None)
        self._losses = torch.vmap(loss, dims, randomness="same")  # dropout, if any, is that of all copies
        self.n_copies = len(states)

    def step(self, batch: Any) -> None:
        """Take all copies one step on a batch, by the learning rate `rate`."""
        values = list(self.parameters.values())
        loss = self._losses(self.parameters, self.keep, batch).sum()
        for value, gradient in zip(values, torch.autograd.grad(loss, values, allow_unused=True), strict=True):
            # The fused optimiser goes through memory as it lies.
            value.grad = None if gradient is None else gradient.contiguous()
        self.optimizer.step()

    def states(self) -> list[State]:
        """Each copy's state, on the CPU."""
        states = [State({}) for _ in range(self.n_copies)]
        for name, parameter in self.parameters.items():

            def cut(value, dim=self.dims[name]):  # a part of the whole would be sent with the whole
                parts = value.detach().cpu().unbind(dim) if value.dim() else [value.cpu()] * self.n_copies
                return [part.clone() for part in parts]

            moments = {key: cut(value) for key, value in self.optimizer.state.get(parameter, {}).items()}
            for place, (state, value) in enumerate(zip(states, cut(parameter), strict=True)):
                state.parameters[name] = value
                if moments:
                    state.moments[name] = {key: values[place] for key, values in moments.items()}
        return states


class Adagrad(torch.optim.Adagrad):
    """torch's Adagrad, to the bit, with the learning rate and the counts of steps on the device."""

    @torch.no_grad()
    def step(self):
        """Update all parameters by their gradients."""
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is not None:
                    state, slope = self.state[value], value.grad
                    if group["weight_decay"]:
                        slope = slope.add(value, alpha=group["weight_decay"])
                    state["step"] += 1
                    root = state["sum"].addcmul_(slope, slope).sqrt().add_(group["eps"])
                    value.addcdiv_(slope * -group["lr"], root)


def decays_of(model) -> dict[str, float]:
    """The weight decay of each parameter of a model, which it must name all: others would not be trained."""
    named, decays = [name for name, _ in model.named_parameters()], dict(model.weight_decay())
    for name in [*named, *decays]:
        if name not in decays:
            raise AccentError(
                f"`weight_decay` of {type(model).__name__} does not name the parameter {name}, which would "
                "never be trained: name each, with 0 where none is wanted."
            )
        if name not in named:
            raise AccentError(
                f"`weight_decay` of {type(model).__name__} names {name!r}, which is no parameter."
            )
    return {name: number(decay, f"weight_decay of {name}", 0) for name, decay in decays.items()}


def optimizer_of(model, parameters, recipe: Recipe, rate: Tensor) -> torch.optim.Optimizer:
    """The recipe's optimiser of some parameters, by the names of a model's."""
    groups = {}
    for name, decay in decays_of(model).items():
        groups.setdefault(decay, []).append(parameters[name])
    # In each group, since the optimiser would copy a default.
    groups = [{"params": values, "weight_decay": decay, "lr": rate} for decay, values in groups.items()]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, fused=True, capturable=rate.is_cuda)
    optimizer = Adagrad(groups, initial_accumulator_value=1e-8)
    for state in optimizer.state.values():
        state["step"] = state["step"].to(rate.device)
    return optimizer


class Recorded:
    """A function of a batch of tensors, recorded as a CUDA graph for each shape of batch and then replayed.

    It returns nothing, and must not wait for the host.
    """

    def __init__(self, function: Callable[[Any], None], device: torch.device):
        self.function, self.device, self._graphs, self._calls = function, device, {}, {}
        with torch.cuda.device(device):
            self._side, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def __call__(self, batch: Any) -> None:
        """Call the function, or replay what it did with an earlier batch of this shape."""
        leaves, structure = tree_flatten(batch)
        shapes = tuple(leaf.shape for leaf in leaves)
        self._calls[shapes] = self._calls.get(shapes, 0) + 1
        with torch.cuda.device(self.device):
            if self._calls[shapes] <= WARM_UP:
                self._side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self._side):
                    self.function(batch)
                torch.cuda.current_stream().wait_stream(self._side)
                return
            if shapes not in self._graphs:
                self._graphs[shapes] = self._record(leaves, structure)
            graph, inputs = self._graphs[shapes]
            for ours, value in zip(inputs, leaves, strict=True):
                ours.copy_(value)
            graph.replay()

    def _record(self, leaves, structure):
        graph, inputs = torch.cuda.CUDAGraph(), [leaf.clone() for leaf in leaves]
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                self.function(tree_unflatten(inputs, structure))
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise AccentError(
                f"A step cannot be recorded on the GPU, perhaps because `batch_loss` waits for the host"
                f" ({error}): let it use tensors of the device alone, or train with device='cpu'."
            ) from error
        return graph, inputs
