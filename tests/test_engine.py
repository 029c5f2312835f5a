"""Retraining: worlds equal training without the rows, a killed run resumes to the same table."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from accent_lib.models import NCF, top_k
from accent_lib.retraining.engine import observe, retrain, run_stack
from accent_lib.retraining.ranking import LEADERS
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import controls_of, stacks_of, verify
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State, train

RECIPE = Recipe(steps=30, learning_rate=1e-3, schedule="linear", batch_size=256)
WORLDS = [World(((user, positions),)) for user in range(5) for positions in ((0,), (1, 4), (2, 3, 7))]


@pytest.fixture(scope="module")
def base(sample):
    model = NCF(sample, dim=4)
    (state,) = train(model, Recipe(200, 1e-2, "linear", batch_size=256), [State.of(model)])
    slates = {user: top_k(state.into(model), user, 4)[0] for user in range(5)}
    return model, state, slates


def outcomes_of(base, path, **options):
    model, state, slates = base
    with Store(path, "f") as store:
        verify("ncf", model, RECIPE, state, WORLDS, slates, store, stack_size=4, seeds=(0, 1), **options)
        return store.outcomes().drop(columns="seconds")


def test_the_ratings_of_removed_actions_do_not_matter(base, sample):
    """The independent truth of a removal: whatever rating stood there, the retrained model is the same."""
    model, state, _ = base
    world = World(((3, (0, 2)),))
    (first,) = retrain(model, RECIPE, state, [world], seed=0)
    other = NCF(sample, dim=4)
    rows = torch.arange(model.n_actions)[model.action_slice(3)][[0, 2]]
    other.ratings[rows] = 6 - other.ratings[rows] + 0.5
    (second,) = retrain(other, RECIPE, state, [world], seed=0)
    for name in first.parameters:
        assert torch.equal(first.parameters[name], second.parameters[name])
    (unlike,) = retrain(other, RECIPE, state, [World()], seed=0)
    (control,) = retrain(model, RECIPE, state, [World()], seed=0)
    assert not torch.equal(unlike.parameters["user_table.weight"], control.parameters["user_table.weight"])


def test_outcomes_are_those_of_a_model_trained_in_the_world(base, tmp_path):
    model, state, slates = base
    table = outcomes_of(base, tmp_path / "a.sqlite")
    assert len(table) == 2 * (len(WORLDS) + len(slates)) and (table["status"] == "ok").all()
    row = table[(table["world"] == "2:1 4") & (table["seed"] == 1)].iloc[0]
    trained = retrain(model, RECIPE, state, [World(((2, (1, 4)),))], seed=1)[0].into(
        NCF(model_data(model), dim=4)
    )
    items, scores = top_k(trained, 2, 4)
    retrained = trained.scores(trained.block(2), 2, torch.tensor(slates[2])).detach().numpy()
    np.testing.assert_allclose(row["scores"], retrained, atol=1e-4)
    assert row["top"] == items[0]
    assert row["catalogue"]["item"][:4].tolist() == items.tolist()
    np.testing.assert_allclose(row["catalogue"]["score"][:4], scores, atol=1e-4)
    assert len(row["catalogue"]) == min(LEADERS, len(model.candidates(2)))


def model_data(model):
    frame = pd.DataFrame({"user": model.users, "item": model.items, "rating": model.ratings})
    return type("Data", (), {"n_users": model.n_users, "n_items": model.n_items, "train": frame})


def test_verify_leaves_the_model_as_it_was(base, tmp_path):
    model, state, _ = base
    state.into(model)
    outcomes_of(base, tmp_path / "a.sqlite")
    for name, value in model.named_parameters():
        assert torch.equal(value, state.parameters[name])


def test_a_stack_never_writes_into_the_model_that_it_was_given(base):
    """Processes share the memory of the tensors sent to them, so a write would change all others' models."""
    model, state, slates = base
    before = [(one.data_ptr(), one._version) for one in model.parameters()]
    run_stack(model, RECIPE, state, WORLDS[:2], slates, 0)
    assert [(one.data_ptr(), one._version) for one in model.parameters()] == before


def test_an_interrupted_run_resumes_to_the_same_table(base, tmp_path):
    undisturbed = outcomes_of(base, tmp_path / "whole.sqlite")
    path, seen = tmp_path / "killed.sqlite", []

    def stop(done, total):
        seen.append((done, total))
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes_of(base, path, progress=stop)
    with Store(path, "f") as store:
        kept = len(store.outcomes())
    assert 0 < kept < len(undisturbed)
    resumed = []
    pd.testing.assert_frame_equal(
        outcomes_of(base, path, progress=lambda *counts: resumed.append(counts)), undisturbed
    )
    assert resumed[0] == seen[-1] and resumed[-1] == (2 * len(WORLDS),) * 2


def test_an_executor_changes_nothing(base, tmp_path):
    with ThreadPoolExecutor(1) as executor:
        spread = outcomes_of(base, tmp_path / "spread.sqlite", executor=executor)
    pd.testing.assert_frame_equal(spread, outcomes_of(base, tmp_path / "here.sqlite"))


def test_a_diverged_world_is_recorded_as_failed(base):
    model, state, slates = base
    broken = State({name: value * torch.nan for name, value in state.parameters.items()})
    outcomes = run_stack(model, RECIPE, broken, [World()], slates, 0, slates)
    assert {one.status for one in outcomes} == {"failed"} and "not finite" in outcomes[0].reason
    state.into(model)
    assert {one.status for one in observe(model, World(), slates, slates)} == {"ok"}


def test_users_who_join_later_get_their_control(base, tmp_path):
    model, state, slates = base
    with Store(tmp_path / "grow.sqlite", "f") as store:
        for users in (range(2), range(5)):
            some = {user: slates[user] for user in users}
            verify("ncf", model, RECIPE, state, [w for w in WORLDS if w.users[0] in some], some, store)
        assert store.done("ncf", 0, slates)[""] == set(slates)


def test_a_longer_list_of_worlds_goes_on_from_what_is_there(base, tmp_path):
    model, state, slates = base
    calls = []
    options = {"stack_size": 4, "progress": lambda *counts: calls.append(counts)}
    with Store(tmp_path / "grow.sqlite", "f") as store:
        for worlds in (WORLDS[::-1][:6], WORLDS[::-1]):  # two stacks of a control and three worlds, then more
            verify("ncf", model, RECIPE, state, worlds, slates, store, **options)
    assert calls == [(0, 6), (3, 6), (6, 6), (6, 15), (9, 15), (12, 15), (15, 15)]


def test_every_stack_has_a_control_and_each_user_s_is_observed_beside_her_worlds():
    stacks = stacks_of([*WORLDS, WORLDS[0], World()], 5)
    assert [world for stack in stacks for world in stack if world.removed] == WORLDS
    assert all(stack[0] == World() and len(stack) <= 5 for stack in stacks)
    controls = controls_of(stacks, range(7))
    assert sorted(user for users in controls for user in users) == list(range(7))
    for stack, users in zip(stacks[1:], controls[1:], strict=True):
        assert users <= {user for world in stack for user in world.users}
    assert {5, 6} <= controls[0]  # who loses nothing is observed in the first
    alone = stacks_of(WORLDS[:3], 1)
    assert alone == [[World()], *([world] for world in WORLDS[:3])]
    assert controls_of(alone, [0, 9]) == [{0, 9}, set(), set(), set()]
    assert stacks_of([], 4) == [[World()]]


def test_controls_of_all_stacks_are_alike(base):
    """Stacks of one size: the same parameters bit for bit, so it does not matter whose control counts."""
    model, state, _ = base
    (first, *_), (second, *_) = (
        retrain(model, RECIPE, state, [World(), *part], 0) for part in (WORLDS[:3], WORLDS[3:6])
    )
    for name, value in first.parameters.items():
        assert torch.equal(value, second.parameters[name])
