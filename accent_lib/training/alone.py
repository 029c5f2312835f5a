"""Copies of a model that are trained one after the other, for what `vmap` cannot train together.

Running statistics and recurrent layers are such; a copy is a model of its own, in training mode.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from accent_lib.training.recipes import Recipe
from accent_lib.training.stack import optimizer_of
from accent_lib.training.state import State


class Alone:
    """What a :class:`~accent_lib.training.stack.Stack` offers, for a model with ``one_by_one``."""

    def __init__(self, model, recipe: Recipe, states: Sequence[State], keep: Tensor | None = None):
        device = next(model.parameters()).device
        precision = torch.float32 if device.type == "cuda" else torch.float64
        self.rate = torch.zeros((), dtype=precision, device=device)
        self.copies = []
        for number, state in enumerate(states):
            own = state.into(copy.deepcopy(model)).train()
            parameters = dict(own.named_parameters())
            optimizer = optimizer_of(own, parameters, recipe, self.rate)
            for name, moments in state.moments.items():
                here = {key: value.to(device, copy=True) for key, value in moments.items()}
                optimizer.state[parameters[name]] = here
            self.copies.append((own, optimizer, None if keep is None else keep[number].to(device)))

    def step(self, batch: Any) -> None:
        """Take all copies one step on a batch, by the learning rate `rate`."""
        for own, optimizer, keep in self.copies:
            optimizer.zero_grad()
            own.batch_loss(batch, keep).backward()
            optimizer.step()

    def states(self) -> list[State]:
        """Each copy's state, on the CPU."""
        states = []
        for own, optimizer, _ in self.copies:
            state = State.of(own)
            for name, value in own.named_parameters():
                if value in optimizer.state:
                    moments = {k: v.to("cpu", copy=True) for k, v in optimizer.state[value].items()}
                    state.moments[name] = moments
            states.append(state)
        return states
