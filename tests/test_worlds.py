"""Worlds: identity, keys, weights and stacks."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accent_lib.errors import AccentError
from accent_lib.retraining.verification import stacks_of
from accent_lib.retraining.worlds import World, grouped, world_of, worlds_of

# Three users with 4, 1 and 3 actions, numbered user after user.
STARTS = [0, 4, 5, 8]
MODEL = SimpleNamespace(
    n_users=3, n_actions=8, action_slice=lambda user: slice(STARTS[user], STARTS[user + 1])
)

worlds = st.dictionaries(
    st.integers(0, 10**6), st.sets(st.integers(0, 10**6), min_size=1, max_size=8), max_size=4
).map(lambda removed: World(tuple((user, tuple(positions)) for user, positions in removed.items())))


def test_key_says_who_and_what():
    assert World().key == ""
    assert World(((12, (42, 3, 17)),)).key == "12:3 17 42"
    assert World(((15, (0,)), (12, (17, 3)))).key == "12:3 17;15:0"


@given(worlds)
def test_key_and_parse_are_inverse(world):
    assert World.parse(world.key) == world
    assert hash(World.parse(world.key)) == hash(world)


def test_order_does_not_matter():
    first = World(((2, (1, 0)), (0, (3,))))
    second = World(((0, (3,)), (2, (0, 1))))
    assert first == second and first.key == second.key
    assert first.users == (0, 2)
    assert first.only(2) == World(((2, (0, 1)),)) and first.only(1) == World()


def test_numpy_numbers_are_welcome():
    assert World(((np.int64(3), tuple(np.array([2, 1]))),)).key == "3:1 2"


@pytest.mark.parametrize(
    "removed",
    [((1, ()),), ((1, (2, 2)),), ((1, (2,)), (1, (3,))), ((-1, (2,)),), ((1, (-2,)),), ((1, (1.5,)),)],
)
def test_impossible_worlds_are_refused(removed):
    with pytest.raises(AccentError):
        World(removed)


@pytest.mark.parametrize("key", ["12", "12:", ":3", "12:3,4", "12:3;", "12:3 3", "12:-3", " ", 12])
def test_bad_keys_are_refused(key):
    with pytest.raises(AccentError):
        World.parse(key)


@pytest.mark.parametrize("empty", [None, float("nan"), pd.NA, ""])
def test_an_empty_cell_is_the_control(empty):
    assert World.parse(empty) == World() == world_of(4, ())


def test_keep_is_zero_at_the_removed_actions_only():
    assert World().keep(MODEL).tolist() == [1] * 8
    assert World(((0, (1, 3)), (2, (2,)))).keep(MODEL).tolist() == [1, 0, 1, 0, 1, 1, 1, 0]
    assert World(((1, (0,)),)).keep(MODEL).tolist() == [1, 1, 1, 1, 0, 1, 1, 1]


@pytest.mark.parametrize(("removed", "words"), [(((1, (1,)),), "1 action;"), (((3, (0,)),), "3 users")])
def test_keep_refuses_what_the_model_does_not_have(removed, words):
    with pytest.raises(AccentError, match=words):
        World(removed).keep(MODEL)


def test_each_world_once_whoever_asks():
    explanations = pd.DataFrame(
        [
            ("ncf", "accent", 5, 7, (3, 1)),
            ("ncf", "fia", 20, 7, (1, 3)),
            ("ncf", "fia", 5, 7, (1,)),
            ("ncf", "fia", 5, 10, (1,)),
            ("ncf", "accent", 5, 2, ()),
        ],
        columns=["model", "method", "k", "user", "removed"],
    )
    assert [world.key for world in worlds_of(explanations)] == ["7:1", "7:1 3", "10:1"]
    assert worlds_of(explanations.sample(frac=1, random_state=0)) == worlds_of(explanations)
    assert worlds_of(explanations.head(0)) == []


def test_worlds_are_of_one_model():
    with pytest.raises(AccentError, match="ncf, rcf"):
        worlds_of(pd.DataFrame({"model": ["rcf", "ncf"], "user": [1, 1], "removed": [(1,), (1,)]}))


@given(st.lists(worlds, max_size=20), st.integers(1, 6))
def test_stacks_keep_order_and_lose_nothing(listed, size):
    stacks, known = stacks_of(listed, size), list(dict.fromkeys(world for world in listed if world.removed))
    assert [world for stack in stacks for world in stack if world.removed] == known
    assert all(len(stack) == size for stack in stacks[:-1])
    assert all(0 < len(stack) <= size and (size == 1 or not stack[0].removed) for stack in stacks)


@pytest.mark.parametrize("size", [0, -1, 1.5, "4"])
def test_groups_of_an_impossible_size_are_refused(size):
    with pytest.raises(AccentError):
        grouped([[World()]], size)


def test_stacks_of_an_impossible_size_are_refused():
    with pytest.raises(AccentError):
        stacks_of([World()], 0)


@given(st.lists(st.lists(st.integers(0, 5), unique=True, max_size=4), max_size=9), st.integers(1, 4))
def test_grouped_worlds_hold_every_set_once_and_few_users_each(positions, size):
    own = [[World(((user, (one,)),)) for one in sets] for user, sets in enumerate(positions)]
    joined = grouped(own, size)
    assert sorted(world.only(user) for world in joined for user in world.users) == sorted(sum(own, []))
    assert all(0 < len(world.users) <= size for world in joined)
    assert grouped(own, 1) == sum(own, [])
