"""Where training stands: parameters, and what the optimiser remembers of each."""

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from accent_lib.arguments import instance
from accent_lib.errors import AccentError

#: What an optimiser keeps of each parameter: of its shape, but for the number of steps.
KEPT = {"adam": {"step", "exp_avg", "exp_avg_sq"}, "adagrad": {"step", "sum"}}


@dataclass
class State:
    """Where training stands for one set of parameters.

    Attributes
    ----------
    parameters : dict of str to Tensor
        With the buffers that training changes, such as running statistics, if a model names any
        (``statistics``).
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
        """A copy of the parameters that a model has now, on the CPU."""
        named = _changing(instance(model, "model", nn.Module, "a model that torch can train"))
        return cls({name: value.detach().to("cpu", copy=True) for name, value in named})

    def steps(self) -> int:
        """Steps that the moments have seen; 0 before the first.

        A parameter that no step reaches stays at 0: RCF's of relations if nothing is known of items.
        """
        steps = {int(memory["step"]) for memory in self.moments.values()} - {0} or {0}
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

    def into(self, model: nn.Module, where: str = "The state") -> nn.Module:
        """Copy the parameters into ``model`` and return it; an error begins with ``where`` they are from."""
        self.check_fits(model, where)
        with torch.no_grad():
            for name, value in _changing(model):
                value.copy_(self.parameters[name])
        return model

    def check_fits(self, model: nn.Module, where: str = "The state") -> None:
        """Refuse a model that has other parameters than the state, or of other shapes or kinds of numbers."""
        own = dict(_changing(instance(model, "model", nn.Module, "a model that torch can train")))
        for name in [*own, *(name for name in self.parameters if name not in own)]:
            mine, given, fault = own.get(name), self.parameters.get(name), ""
            if mine is None or given is None:
                fault = f"{'has' if mine is None else 'lacks'} the parameter {name}"
            elif mine.shape != given.shape:
                fault = f"has {name} of shape {tuple(given.shape)}, not {tuple(mine.shape)}"
            elif mine.is_floating_point() != given.is_floating_point() or given.is_complex():
                fault = f"has {name} of {given.dtype}, not {mine.dtype}"
            if fault:
                raise AccentError(
                    f"{where} {fault}, and so is of another model than this {type(model).__name__}: take the "
                    "right one, or train anew."
                )

    def check_moments(self, optimizer: str, names=()) -> None:
        """Refuse moments that an optimiser cannot take up.

        Parameters
        ----------
        optimizer : {"adam", "adagrad"}
        names : collection of str
            Parameters that must have moments, if any has.

        Raises
        ------
        AccentError
            If they are of another optimiser, shape or kind of numbers, or of no parameter; or if some lack.
        """
        fault = ""
        for name, memory in self.moments.items():
            shape = getattr(self.parameters.get(name), "shape", None)
            if shape is None:
                fault = f"moments of {name}, which is no parameter of it"
            elif set(memory) != KEPT[optimizer]:
                fault = f"{', '.join(memory)} of {name}, which is not what {optimizer} keeps"
            for key, value in memory.items():
                if not value.is_floating_point() or value.shape != (() if key == "step" else shape):
                    fault = fault or f"{key} of {name} of {value.dtype} and shape {tuple(value.shape)}"
        lacking = [name for name in names if name not in self.moments] if self.moments else []
        if fault or lacking:
            raise AccentError(
                f"The state {f'holds {fault}' if fault else f'lacks the moments of {lacking[0]}'}: take the "
                "state that training gave, or its parameters alone, State(state.parameters)."
            )

    def not_finite(self) -> list[str]:
        """Names of the parameters that hold, or whose moments hold, a number that is not finite."""
        held = {name: [value] for name, value in self.parameters.items()}
        for name, moments in self.moments.items():
            held.setdefault(name, []).extend(moments.values())
        return [name for name, values in held.items() if not all(bool(v.isfinite().all()) for v in values)]


def _changing(model):
    """What training changes: parameters, and the buffers that a model names."""
    yield from model.named_parameters()
    for name in getattr(model, "statistics", ()):
        yield name, model.get_buffer(name)
