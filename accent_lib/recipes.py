"""Recipes of training for RCF, and of retraining; the others stand in :mod:`accent_lib.training`."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from accent_lib.training import Recipe, State, train

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
