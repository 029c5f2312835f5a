"""Verification through `kill -9` of a worker, and through a disk that is full for SQLite."""

import pandas as pd
import psutil
import pytest

from accent_lib import parallel
from accent_lib.errors import AccentError
from accent_lib.models import NCF, top_k
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import controls_of, stacks_of, verify
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State, train

WORLDS = [World(((user, (position, 8)),)) for user in range(40) for position in range(3)]
USERS = [*range(40), 50]  # the last has no world, only the control
SIZE = 3


@pytest.fixture(scope="module")
def case(sample):
    """Everything that `verify` needs besides the name and the store."""
    model = NCF(sample, dim=4)
    (state,) = train(model, Recipe(100, 1e-2, batch_size=256), [State.of(model)])
    slates = {user: top_k(state.into(model), user, 4)[0] for user in USERS}
    return model, Recipe(10, 1e-3, batch_size=256), state, WORLDS, slates


@pytest.fixture(scope="module")
def undisturbed(case, tmp_path_factory):
    with Store(tmp_path_factory.mktemp("whole") / "worlds.sqlite", "print") as store:
        verify("ncf", *case, store, stack_size=SIZE)
        table = store.outcomes()
    assert (table["status"] == "ok").all() and len(table) == len(WORLDS) + len(USERS)
    return table


def check_whole_stacks(table):
    """Check that of each stack, controls included, everything is recorded or nothing."""
    found = set(zip(table["world"], table["user"], strict=True))
    stacks = stacks_of(WORLDS, SIZE)
    for stack, controls in zip(stacks, controls_of(stacks, USERS), strict=True):
        expected = {(world.key, user) for world in stack for user in world.users}
        expected |= {("", user) for user in controls}
        assert expected <= found or not expected & found


def check_equal(table, undisturbed):
    pd.testing.assert_frame_equal(
        table.drop(columns="seconds"), undisturbed.drop(columns="seconds"), check_exact=True
    )


def test_a_worker_that_is_killed_ends_the_run_with_a_sentence_and_costs_nothing_recorded(
    case, undisturbed, tmp_path
):
    said = []
    with Store(tmp_path / "worlds.sqlite", "print") as store:
        with pytest.raises(AccentError, match="A worker process died"), parallel.executor(2) as executor:

            def kill(done, total):
                said.append(done)
                if done == 10:
                    psutil.Process(next(iter(executor._processes))).kill()

            verify("ncf", *case, store, stack_size=SIZE, executor=executor, progress=kill)
        kept = store.outcomes()
        check_whole_stacks(kept)
        assert said[-1] == (kept["world"] != "").sum() and 10 <= said[-1] < len(WORLDS)
        verify("ncf", *case, store, stack_size=SIZE)
        check_equal(store.outcomes(), undisturbed)


def test_a_disk_that_is_full_in_the_middle_costs_one_stack(case, undisturbed, tmp_path):
    said = []
    with Store(tmp_path / "worlds.sqlite", "print") as store:

        def fill(done, total):
            said.append(done)
            if done == 10:
                (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
                store.connection.execute(f"PRAGMA max_page_count = {pages + 1}")

        with pytest.raises(AccentError, match="worlds.sqlite cannot grow, the disk is full; make room"):
            verify("ncf", *case, store, stack_size=SIZE, progress=fill)
    with Store(tmp_path / "worlds.sqlite", "print") as store:
        kept = store.outcomes()
        check_whole_stacks(kept)
        assert said[-1] == (kept["world"] != "").sum() and 10 <= said[-1] < len(WORLDS)
        resumed = []
        verify("ncf", *case, store, stack_size=SIZE, progress=lambda done, _: resumed.append(done))
        assert resumed[0] == said[-1]
        check_equal(store.outcomes(), undisturbed)
