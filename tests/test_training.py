"""Training: stacks equal single runs, warm starts go on, checkpoints are refused when they do not fit."""

import numpy as np
import pytest
import torch

from accent_lib import AccentError
from accent_lib.models import NCF
from accent_lib.training import (
    Recipe,
    Round,
    State,
    load_checkpoint,
    objective,
    save_checkpoint,
    search,
    train,
)

RECIPE = Recipe(steps=60, learning_rate=5e-3, schedule="linear", batch_size=256)


@pytest.fixture(scope="module")
def models(sample):
    return [NCF(sample, dim=8, seed=seed).double() for seed in range(3)]


def flat(state):
    return torch.cat([value.reshape(-1) for value in state.parameters.values()])


def test_a_stack_equals_its_members_trained_alone(models):
    states = [State.of(model) for model in models]
    keep = torch.ones(3, models[0].n_actions, dtype=torch.double)
    keep[1, 5:25] = 0
    together = train(models[0], RECIPE, states, keep=keep, seed=7)
    for copy, state in enumerate(states):
        (alone,) = train(models[0], RECIPE, [state], keep=keep[copy : copy + 1], seed=7)
        # Double precision: only the order of additions differs, and 60 steps cannot amplify that far.
        torch.testing.assert_close(flat(together[copy]), flat(alone), rtol=0, atol=1e-11)


def test_one_step_is_adam_on_the_objective(models):
    model = models[0]
    recipe = Recipe(steps=1, learning_rate=1e-2, batch_size=model.n_actions)
    (state,) = train(model, recipe, [State.of(model)], seed=1)
    values = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    total = torch.func.functional_call(model, values, (model.users, model.items))
    total = (total - model.ratings).square().mean()
    total = total + sum(d / 2 * values[n].square().sum() for n, d in model.weight_decay().items())
    total.backward()
    for name, value in values.items():
        # Adam's first step is the sign of the gradient times the rate (up to its epsilon).
        expected = value - 1e-2 * value.grad / (value.grad.abs() + 1e-8)
        torch.testing.assert_close(state.parameters[name], expected.detach(), rtol=0, atol=1e-10)


def test_objective_is_the_loss_plus_decay(models):
    model = models[1]
    by_hand = (model(model.users, model.items) - model.ratings).square().mean()
    by_hand = by_hand + sum(
        d / 2 * dict(model.named_parameters())[n].square().sum() for n, d in model.weight_decay().items()
    )
    assert objective(model, [State.of(model)])[0] == pytest.approx(by_hand.item(), abs=1e-12)


def test_a_warm_start_goes_on_where_training_stopped(models):
    model = models[0]
    whole = Recipe(steps=40, learning_rate=1e-3, batch_size=model.n_actions)
    half = Recipe(steps=20, learning_rate=1e-3, batch_size=model.n_actions)
    start = State.of(model)
    (once,) = train(model, whole, [start])
    (twice,) = train(model, half, train(model, half, [start]))
    # Full batches: the order does not matter but for rounding.
    torch.testing.assert_close(flat(once), flat(twice), rtol=0, atol=1e-9)
    (cold,) = train(model, half, [State(train(model, half, [start])[0].parameters)])
    assert (flat(cold) - flat(once)).abs().max() > 1e-6


def test_a_diverged_copy_leaves_the_others_bit_identical(models):
    states = [State.of(model) for model in models]
    with torch.no_grad():
        broken = State.of(models[1])
        broken.parameters["hidden1.weight"] *= torch.nan
    clean = train(models[0], RECIPE, states, seed=3)
    mixed = train(models[0], RECIPE, [states[0], broken, states[2]], seed=3)
    assert torch.isnan(flat(mixed[1])).any()
    for copy in (0, 2):
        assert torch.equal(flat(mixed[copy]), flat(clean[copy]))


def test_training_repeats_and_leaves_the_model_alone(models):
    before = State.of(models[0])
    first, second = (train(models[0], RECIPE, [before], seed=2)[0] for _ in range(2))
    assert torch.equal(flat(first), flat(second))
    assert torch.equal(flat(before), flat(State.of(models[0])))
    assert not torch.equal(flat(first), flat(train(models[0], RECIPE, [before], seed=4)[0]))


def test_schedule():
    assert [Recipe(4, 1.0, "linear").rate(s) for s in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert Recipe(4, 0.5).rate(3) == 0.5


@pytest.mark.parametrize(
    "wrong", [{"schedule": "cosine"}, {"optimizer": "sgd"}, {"steps": -1}, {"learning_rate": 0.0}]
)
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(AccentError, match=next(iter(wrong))):
        Recipe(**{"steps": 1, **wrong})


def test_search_goes_on_with_the_best(sample):
    lines = []
    rounds = (Round(6, RECIPE), Round(2, RECIPE))
    states, record = search(lambda s: NCF(sample, dim=4, seed=s), rounds, stack_size=4, log=lines.append)
    first = {r["start"]: r["objective"] for r in record if r["round"] == 1}
    second = {r["start"]: r["objective"] for r in record if r["round"] == 2}
    assert len(first) == 6 and set(second) == set(sorted(first, key=first.get)[:2])
    assert len(states) == 2 and len(lines) == 2
    model = NCF(sample, dim=4)
    np.testing.assert_allclose(objective(model, states), sorted(second.values()), rtol=1e-6)


def test_checkpoint_comes_back_whole(models, tmp_path):
    (state,) = train(models[0], RECIPE, [State.of(models[0])])
    path = tmp_path / "model.npz"
    save_checkpoint(path, state, "abc", objective=0.5)
    read, metadata = load_checkpoint(path, "abc")
    assert metadata == {"fingerprint": "abc", "objective": 0.5}
    assert torch.equal(flat(read), flat(state)) and list(read.parameters) == list(state.parameters)
    for name, moments in state.moments.items():
        assert all(torch.equal(read.moments[name][key], value) for key, value in moments.items())
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]


def test_checkpoints_that_do_not_fit_are_refused(models, tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(AccentError, match="02_training"):
        load_checkpoint(path)
    save_checkpoint(path, State.of(models[0]), "abc")
    with pytest.raises(AccentError, match="fingerprint abc, not xyz"):
        load_checkpoint(path, "xyz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(AccentError, match="cannot be read"):
        load_checkpoint(path, "abc")


def test_each_copy_goes_on_from_its_own_moments_and_steps(sample):
    """To the bit, for copies that have seen different numbers of steps, none at all among them."""
    model = NCF(sample, dim=8)
    fresh = State.of(model)
    states = [fresh, *(train(model, Recipe(steps, batch_size=256), [fresh])[0] for steps in (7, 20))]
    for state, together in zip(states, train(model, RECIPE, states, seed=7), strict=True):
        (alone,) = train(model, RECIPE, [state], seed=7)
        assert together.digest() == alone.digest()
    step = train(model, RECIPE, states, seed=7)[2].moments["output.bias"]["step"]
    assert int(step) == 20 + RECIPE.steps


def test_searches_of_different_seeds_share_no_start(sample):
    short, starts = Recipe(1, batch_size=256), {}
    for seed in (0, 1, 2):
        record = search(lambda start: NCF(sample, dim=8, seed=start), [Round(3, short)], seed=seed)[1]
        starts[seed] = {row["start"] for row in record}
        assert len(starts[seed]) == 3
    assert not starts[0] & starts[1] and not starts[1] & starts[2] and not starts[0] & starts[2]


def test_a_state_whose_parameters_disagree_on_the_steps_is_refused(sample):
    model = NCF(sample, dim=8)
    (state,) = train(model, Recipe(2, batch_size=256), [State.of(model)])
    state.moments["output.bias"]["step"] += 1
    with pytest.raises(AccentError, match="have seen different numbers of steps"):
        train(model, RECIPE, [state])


def test_copies_of_different_ages_do_not_share_tensors(sample):
    """By loops each goes on from its own moments; in one set of tensors they could not."""
    model = NCF(sample, dim=8, activation=torch.nn.ReLU())  # the same function, but not known to be
    assert model.loops is None
    (warm,) = train(model, Recipe(2, batch_size=256), [State.of(model)])
    with pytest.raises(AccentError, match="must have seen equally many steps"):
        train(model, RECIPE, [State.of(model), warm])
