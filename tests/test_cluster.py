"""A Dask cluster gives the numbers of this process, whichever worker dies, and says plainly what is wrong."""

import os
import signal
import sys
import time

import pandas as pd
import pytest

from accent_lib import parallel
from accent_lib.errors import AccentError
from accent_lib.models import NCF, top_k
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State, train

distributed = pytest.importorskip("distributed")

WORLDS = [World(((user, (position,)),)) for user in range(8) for position in range(4)]


@pytest.fixture(scope="module")
def case(sample):
    model = NCF(sample, dim=4)
    (state,) = train(model, Recipe(100, 1e-2, batch_size=256), [State.of(model)])
    slates = {user: top_k(state.into(model), user, 4)[0] for user in range(9)}
    return model, Recipe(100, 1e-3, batch_size=256), state, WORLDS, slates


@pytest.fixture(scope="module")
def executor():
    with parallel.executor(2, "dask") as executor:
        yield executor


@pytest.fixture(scope="module")
def client(executor):
    return executor._client


def verified(case, path, executor, progress=None):
    with Store(path, "print") as store:
        verify("ncf", *case, store, stack_size=3, executor=executor, ahead=6, progress=progress)
        return store.outcomes().drop(columns="seconds")


@pytest.fixture(scope="module")
def here(case, tmp_path_factory):
    return verified(case, tmp_path_factory.mktemp("here") / "worlds.sqlite", None)


def test_a_cluster_gives_the_table_of_this_process(case, executor, here, tmp_path):
    assert len(here) == len(WORLDS) + 9 and (here["status"] == "ok").all()
    table = verified(case, tmp_path / "worlds.sqlite", executor)
    pd.testing.assert_frame_equal(table, here, check_exact=True)


def test_a_worker_that_dies_at_work_costs_only_its_stacks(case, client, here, tmp_path):
    """Through the address of a cluster that runs already, which outlives its users."""
    killed, said = [], []

    def kill(done, total):
        said.append(done)
        if len(said) == 4:
            address = next(worker for worker, tasks in client.processing().items() if tasks)
            pid = client.run(os.getpid, workers=[address])[address]
            assert client.processing()[address]
            os.kill(pid, signal.SIGKILL)
            killed.append(address)

    with parallel.executor(2, client.scheduler.address) as executor:
        table = verified(case, tmp_path / "worlds.sqlite", executor, kill)
    pd.testing.assert_frame_equal(table, here, check_exact=True)
    assert said == list(range(0, len(WORLDS) + 1, 2))  # each stack counted once
    client.wait_for_workers(2, timeout=30)
    assert killed[0] not in client.scheduler_info()["workers"]


def test_equal_calls_are_two_calls(executor):
    first, second = executor.submit(time.time_ns), executor.submit(time.time_ns)
    assert first.result() != second.result()


def raises(path):
    with open(path, "a") as file:
        file.write("called\n")
    raise AccentError("A sentence from a worker.")


def test_an_exception_comes_back_and_is_not_tried_again(executor, tmp_path):
    with pytest.raises(AccentError, match="A sentence from a worker"):
        executor.submit(raises, tmp_path / "calls").result()
    assert executor.submit((tmp_path / "calls").read_text).result() == "called\n"


def test_a_task_that_kills_every_worker_ends_with_a_sentence():
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        pytest.raises(AccentError, match="A task lost one worker after the other"),
        parallel.executor(1, "dask") as executor,
    ):
        executor.submit(os._exit, 1).result()


def test_a_scheduler_that_stops_ends_with_a_sentence():
    # A scheduler alone: without workers, tasks wait.
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster:
        address = cluster.scheduler_address
        with (
            pytest.raises(AccentError, match="The connection to the Dask scheduler 'tcp://.*' broke"),
            parallel.executor(2, address) as executor,
        ):
            waiting = executor.submit(time.time_ns)
            cluster.close()
            waiting.result(timeout=30)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tls://127.0.0.1:9", "abacus", "abacus://a:9"])
def test_an_address_where_nothing_listens_is_one_sentence(address, monkeypatch):
    monkeypatch.setattr(parallel, "CONNECT_SECONDS", 0.5)
    with pytest.raises(AccentError, match=f"No Dask scheduler answers at '{address}'; start one there"):
        with parallel.executor(2, address):
            pass


def test_without_dask_one_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(AccentError, match=r"pip install \"accent-recommender\[cluster\]\""):
        with parallel.executor(2, "dask"):
            pass
