"""Recipes of training: everything that changes the result, but the seed; and those of the two models."""

import math
from dataclasses import dataclass, replace

from accent_lib.errors import AccentError


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
        object.__setattr__(self, "learning_rate", float(self.learning_rate))  # 1 and 1.0 are one recipe
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
#: RCF as the paper trained it, for one step; see :func:`for_epochs`.
RCF = Recipe(steps=1, learning_rate=0.05, optimizer="adagrad", batch_size=512)
#: Epochs that the paper's RCF was trained for.
RCF_EPOCHS = 50
#: How NCF is retrained at full size, from its trained weights; chapter 7 tells why.
NCF_RETRAINING = Recipe(steps=4000, learning_rate=1e-3, schedule="linear")


def for_epochs(model, recipe: Recipe, epochs: int) -> Recipe:
    """The recipe, for as many steps as take a model through its actions ``epochs`` times.

    Holds for models that keep the incomplete last batch of an epoch, as RCF does.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> for_epochs(SimpleNamespace(n_actions=1000), RCF, 20).steps  # two batches an epoch
    40
    """
    return replace(recipe, steps=epochs * math.ceil(model.n_actions / recipe.batch_size))
