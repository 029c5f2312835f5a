"""The steps of a training: which batch, at which learning rate."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from accent_lib.training.recipes import Recipe


def steps_of(model: nn.Module, recipe: Recipe, seed: int = 0) -> Iterator[tuple[float, Any]]:
    """Learning rate and batch of each step of a training.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> [rate for rate, batch in steps_of(model, Recipe(steps=2, schedule="linear"))]
    [0.001, 0.0005]
    """
    generator, step = torch.Generator().manual_seed(seed), 0
    while step < recipe.steps:
        shuffled = recipe.shuffle_first or step > 0
        for batch in model.batches(recipe.batch_size, generator if shuffled else None):
            yield recipe.rate(step), batch
            step += 1
            if step == recipe.steps:
                break
