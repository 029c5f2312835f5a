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


def test_of_three_workers_one_dies_and_a_fourth_joins_late(case, here, tmp_path):
    """All through the address of a cluster that runs already; a newcomer is sent model and data, too."""
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0"
    ) as cluster:
        client, said, newcomer = distributed.Client(cluster), [], None

        def disturb(done, total):
            nonlocal newcomer
            said.append(done)
            if len(said) == 3:
                address = next(worker for worker, tasks in client.processing().items() if tasks)
                os.kill(client.run(os.getpid, workers=[address])[address], signal.SIGKILL)
            if len(said) == 5:
                before = set(client.scheduler_info()["workers"])
                cluster.scale(4)
                client.wait_for_workers(4, timeout=120)
                newcomer = min(set(client.scheduler_info()["workers"]) - before)
                # It alone goes on working: what it does it can do with what it was sent.
                client.retire_workers(sorted(before))

        with client, parallel.executor(3, cluster.scheduler_address) as executor:
            table = verified(case, tmp_path / "worlds.sqlite", executor, disturb)
    pd.testing.assert_frame_equal(table, here, check_exact=True)
    assert newcomer is not None and said == list(range(0, len(WORLDS) + 1, 2))


class Weighed:
    """Counts how often it is sent."""

    def __init__(self, path):
        self.path = path

    def __getstate__(self):
        with open(self.path, "a") as file:
            file.write("sent\n")
        return self.__dict__


def path_of(handle):
    return handle().path


def test_what_is_shared_is_sent_once_and_not_with_each_task(executor, tmp_path):
    log = tmp_path / "log"
    with parallel.shared(executor, Weighed(log)) as handle:
        ahead = len(log.read_text().splitlines())
        assert {executor.submit(path_of, handle).result() for _ in range(8)} == {log}
        assert len(log.read_text().splitlines()) == ahead <= 2  # to the scheduler, which passes it on
    with pytest.raises(KeyError):
        executor.submit(path_of, handle).result()


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


# Who may reach it


@pytest.fixture(scope="module")
def security():
    """What a scheduler, its workers and its clients know each other by, made for the occasion."""
    return distributed.Security.temporary()


@pytest.fixture(scope="module")
def certificates(security, tmp_path_factory):
    """The same as files."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, content in zip(
        ("ca", "cert", "key"),
        (security.tls_ca_file, security.tls_client_cert, security.tls_client_key),
        strict=True,
    ):
        (folder / f"{name}.pem").write_text(content)
    return folder


def test_a_cluster_that_asks_for_certificates_is_reached_with_them_only(security, certificates):
    options = {
        "n_workers": 1,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
        "memory_limit": None,
    }
    with distributed.LocalCluster(security=security, **options) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        with parallel.executor(1, address, str(certificates)) as executor:
            assert executor.submit(sum, [1, 2]).result() == 3
        with pytest.raises(AccentError, match="No Dask scheduler answers at 'tls://"):
            with parallel.executor(1, address):
                pass


def test_certificates_that_do_not_fit_are_a_sentence(certificates, tmp_path):
    for address, folder, sentence in (
        ("tcp://127.0.0.1:8786", certificates, "'tcp://127.0.0.1:8786' does not begin with tls://"),
        ("tls://127.0.0.1:8786", tmp_path, r"there is no .*ca\.pem"),
        ("tls://127.0.0.1:8786", "/nowhere", r"there is no /nowhere/ca\.pem"),
    ):
        with pytest.raises(AccentError, match=f"Certificates are a folder with ca.pem, .*, but {sentence}"):
            with parallel.executor(1, address, str(folder)):
                pass


def test_a_cluster_on_this_machine_listens_to_it_alone_and_lets_nobody_else_in(client):
    address = client.scheduler_info()["address"]
    for listens in (address, *client.scheduler_info()["workers"]):
        assert listens.startswith("tls://127.0.0.1:")
        with pytest.raises(AccentError, match="No Dask scheduler answers at 'tls://"):
            with parallel.executor(1, listens):
                pass
