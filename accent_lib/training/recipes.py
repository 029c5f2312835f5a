"""Recipes of training: everything that changes the result, but the seed; and those of the two models."""

import math
from dataclasses import dataclass, replace

from accent_lib.arguments import flag, instance, number, offers, one_of, refused, whole


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
        checked = {
            "steps": whole(self.steps, "steps", 0),
            "learning_rate": number(self.learning_rate, "learning_rate", 0),  # 1 and 1.0 are one recipe
            "batch_size": whole(self.batch_size, "batch_size", 1),
            "schedule": one_of(self.schedule, "schedule", ("constant", "linear")),
            "optimizer": one_of(self.optimizer, "optimizer", ("adam", "adagrad")),
            "shuffle_first": flag(self.shuffle_first, "shuffle_first"),
        }
        if not checked["learning_rate"]:
            raise refused(self.learning_rate, "learning_rate", "above 0")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

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
    offers(model, "model", "a Recommender, whose actions are counted", "n_actions")
    instance(recipe, "recipe", Recipe, "a Recipe")
    epochs = whole(epochs, "epochs", 0)
    return replace(recipe, steps=epochs * math.ceil(model.n_actions / recipe.batch_size))
