"""Influence through training against finite differences of the training itself, in double precision."""

import numpy as np
import pytest
import torch

from accent_lib.errors import AccentError
from accent_lib.influence.metagradient import Contrast, _Program, through_training
from accent_lib.models import NCF, gelu
from accent_lib.training import State, train
from accent_lib.training.recipes import Recipe
from accent_lib.training.steps import steps_of

RECIPE = Recipe(steps=37, learning_rate=0.01, batch_size=256, schedule="linear")


def retrained(model, state, keep, contrast):
    """The contrast after training with some weights of actions, and the parameters."""
    program = _Program(model, RECIPE, state)
    program.everything, now = keep, program.start
    for number, (rate, batch) in enumerate(steps_of(model, RECIPE, 4)):
        now = program.step(now, number, rate, batch).after
    return float(program.scores(now[0], [contrast])[0][0]), program.named(now[0])


@pytest.mark.parametrize("activation", [torch.relu, gelu, torch.tanh])
@pytest.mark.parametrize("warm", [False, True])
def test_it_is_the_derivative_of_training(sample, activation, warm):
    model = NCF(sample, activation=activation)
    state = State.of(model)
    if warm:  # with moments
        (state,) = train(model, Recipe(steps=150, learning_rate=0.01, batch_size=256), [state])
    items = model.candidates(3)[:2]
    contrasts = [Contrast(3, items, (1.0, -1.0)), Contrast(5, model.candidates(5)[[3]], (1.0,))]
    values, influence = through_training(model, RECIPE, state, contrasts, seed=4)
    for contrast, value, slopes in zip(contrasts, values, influence, strict=True):
        ones = torch.ones(model.n_actions, dtype=torch.float64)
        assert retrained(model, state, ones, contrast)[0] == value
        rows, step, true = model.action_slice(contrast.user), 1e-5, []
        for action in range(3):
            ends = []
            for sign in (1, -1):
                keep = ones.clone()
                keep[rows.start + action] += sign * step
                ends.append(retrained(model, state, keep, contrast)[0])
            true.append((ends[0] - ends[1]) / (2 * step))
        assert slopes[:3] == pytest.approx(np.array(true), rel=1e-5, abs=1e-5 * np.abs(true).max())


def test_its_training_is_the_librarys(sample):
    model = NCF(sample, activation=gelu)
    (state,) = train(model, Recipe(steps=50, learning_rate=0.01, batch_size=256), [State.of(model)])
    (trained,) = train(model, RECIPE, [state], seed=4)
    ones = torch.ones(model.n_actions, dtype=torch.float64)
    ours = retrained(model, state, ones, Contrast(3, [0], (1.0,)))[1]
    for name, value in trained.parameters.items():
        assert ours[name].numpy() == pytest.approx(value.numpy(), abs=1e-5)


def test_another_optimiser_is_refused(sample):
    model = NCF(sample)
    with pytest.raises(AccentError, match="Adam"):
        through_training(model, Recipe(steps=1, optimizer="adagrad"), State.of(model), [])
