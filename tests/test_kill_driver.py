"""Verification through `kill -9` of its driver, ten times, and of a worker, and through a full disk."""

import pickle
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest

from accent_lib import parallel
from accent_lib.errors import AccentError
from accent_lib.models import NCF, top_k
from accent_lib.retraining.cells import to_text
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import controls_of, stacks_of, verify
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State, train

WORLDS = [World(((user, (position, 8)),)) for user in range(40) for position in range(3)]
USERS = [*range(40), 50]  # the last has no world, only the control
SIZE = 3

# Says how far it has come, at the start and after every stack.
DRIVER = """
import pickle, sys
from accent_lib import parallel
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
case, path, size, workers = sys.argv[1:]
with open(case, "rb") as file:
    arguments = pickle.load(file)
options = {"stack_size": int(size), "progress": lambda done, total: print(done, flush=True)}
with parallel.executor(int(workers)) as executor, Store(path, "print") as store:
    verify("ncf", *arguments, store, executor=executor, **options)
"""


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


def lives(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_at(moment, command, stacks):
    """Run a driver and kill it `moment` seconds after it has recorded some stacks; what it said last."""
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = [driver.stdout.readline() for _ in range(1 + stacks)]
    time.sleep(moment)
    workers = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    # The driver alone: its workers are to notice.
    deadline = time.monotonic() + 20
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = [worker for worker in workers if lives(worker)]
    for worker in left:
        worker.kill()
    output, errors = driver.communicate()
    assert driver.returncode == -signal.SIGKILL, errors
    assert not left
    return int([line for line in [*said, *output.splitlines(keepends=True)] if line.endswith("\n")][-1])


def test_a_driver_killed_at_ten_random_moments_resumes_to_the_same_table(case, undisturbed, tmp_path):
    path, file, chance = tmp_path / "worlds.sqlite", tmp_path / "case", random.Random(8)
    file.write_bytes(pickle.dumps(case))
    before = set()
    for life in range(10):
        workers = 2 if life in (2, 7) else 1
        command = [sys.executable, "-c", DRIVER, *map(str, (file, path, SIZE, workers))]
        said = kill_at(chance.uniform(0, 0.06), command, stacks=chance.randrange(4))
        with Store(path, "print") as store:
            table, work = store.outcomes(), store.work()
        check_whole_stacks(table)
        rows = set(to_text(table).itertuples(index=False, name=None))
        assert before <= rows
        before = rows
        verified = int((table["world"] != "").sum())
        assert said <= verified < len(WORLDS)
        assert (work["total"] == len(WORLDS)).all() and (work["done"] <= verified).all()
    assert before
    with Store(path, "print") as store:
        verify("ncf", *case, store, stack_size=SIZE)
        assert before <= set(to_text(store.outcomes()).itertuples(index=False, name=None))
        check_equal(store.outcomes(), undisturbed)


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
