"""Worker processes, on this machine or on a cluster, in the form that every executor has."""

import asyncio
import multiprocessing
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from accent_lib.errors import AccentError

#: How long a scheduler may take to answer.
CONNECT_SECONDS = 10


def end_with_parent() -> None:
    """In a worker process: end when the process that started it does.

    A driver that is killed cannot stop its workers, which would wait for work for ever.
    """

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _one_thread():
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    end_with_parent()


def local_executor(workers: int) -> Executor | None:
    """Processes of one thread each; ``None``, which means "here", for one worker.

    Parameters
    ----------
    workers : int
        At most the number of cores: two processes of two threads each on two cores are many times slower.

    Examples
    --------
    >>> local_executor(1) is None
    True
    """
    if workers == 1:
        return None
    # Spawned, not forked: a forked copy of a process that holds OpenMP threads can hang.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_one_thread)


@contextmanager
def executor(workers: int, scheduler: str = "", certificates: str = "") -> Iterator[Executor | None]:
    """Start workers, or reach those of a cluster, for as long as the ``with`` block lasts.

    Parameters
    ----------
    workers : int
        Processes of one thread each; a cluster that runs already has its own number.
    scheduler : str
        Empty: processes on this machine, and ``None``, which means "here", for one.  ``dask``: a Dask cluster
        on this machine, which replaces a worker that dies and lets nobody else in.  Anything else: the
        address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``.  Whoever reaches a scheduler by
        ``tcp://`` can run any code on its workers, and it on this machine: only where all of the network is
        trusted.
    certificates : str
        For an address that begins with ``tls://``: a folder with ``ca.pem``, ``cert.pem`` and ``key.pem``,
        those of the scheduler's own authority, so that nobody else gets in.  Empty: as Dask is configured.

    Raises
    ------
    AccentError
        If Dask is not installed, if no scheduler answers, if the connection breaks, or if a task loses one
        worker after the other.

    Examples
    --------
    >>> with executor(workers=1) as processes:
    ...     processes is None
    True
    """
    if scheduler:
        with _dask(workers, scheduler, certificates) as client:
            # Impure: Dask neither hashes the arguments nor merges equal calls.  A task whose worker is lost
            # runs again elsewhere in any case; one that raises does not, since it would raise again.
            executor = client.get_executor(pure=False, retries=0)
            executor.shared = partial(_on_each_worker, client)
            yield executor
    else:
        with local_executor(workers) or nullcontext() as processes:
            yield processes


@contextmanager
def shared(executor: Executor | None, value: Any) -> Iterator[Callable[[], Any]]:
    """What many tasks need, for as long as the ``with`` block lasts: give them the handle, not the value.

    A cluster sends the value to each worker once, also to those that join or start anew later; local
    processes get it with each task.

    Parameters
    ----------
    executor : concurrent.futures.Executor or None
        From :func:`executor`, or any other.
    value : object

    Yields
    ------
    callable
        To be called in a task; it returns the value.

    Examples
    --------
    >>> with shared(None, [1, 2, 3]) as handle:
    ...     sum(handle())
    6
    """
    with getattr(executor, "shared", _WithEachTask)(value) as handle:
        yield handle


@dataclass(frozen=True)
class _WithEachTask(nullcontext):
    value: Any

    def __enter__(self):
        return self

    def __call__(self):
        return self.value


#: What a cluster has sent to this worker, by name.
_SENT = {}


@dataclass(frozen=True)
class _SentAhead:
    name: str

    def __call__(self):
        return _SENT[self.name]


def _receive(name, value):
    _SENT[name] = value


def _forget(name):
    _SENT.pop(name, None)


@contextmanager
def _on_each_worker(client, value):
    from distributed import WorkerPlugin

    class Sender(WorkerPlugin):
        # Data that is scattered is lost with the worker that has it; the scheduler gives a plugin to each
        # worker that comes, before its first task.
        def setup(self, worker):
            _receive(name, value)

        def teardown(self, worker):
            _forget(name)

    name = f"accent-{uuid.uuid4().hex}"
    client.register_plugin(Sender(), name=name)
    try:
        yield _SentAhead(name)
    finally:
        if client.status == "running":
            client.unregister_worker_plugin(name)


@contextmanager
def _dask(workers, scheduler, certificates):
    try:
        import cryptography  # noqa: F401  Dask asks for it when a cluster makes its own certificates
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise AccentError(
            f"The scheduler {scheduler!r} needs Dask, which is not installed: run "
            "'pip install \"accent-recommender[cluster]\"'."
        ) from error
    with ExitStack() as stack:
        if scheduler == "dask":
            # No limit: `verify` checks the memory beforehand, and a worker at its limit would pause for ever.
            options = {"threads_per_worker": 1, "memory_limit": None}
            # Certificates of its own: other users of this machine cannot give it code to run.
            options |= {"security": True}
            # No dashboard; the server that remains listens here only, at any free port.
            options |= {"scheduler_kwargs": {"dashboard": False}, "dashboard_address": "127.0.0.1:0"}
            cluster = stack.enter_context(LocalCluster(n_workers=workers, host="127.0.0.1", **options))
            security = None
        else:
            security = _security(scheduler, certificates)
            _check_scheduler(scheduler, security)
            cluster = scheduler
        how = {"timeout": CONNECT_SECONDS, "set_as_default": False, "security": security}
        client = stack.enter_context(Client(cluster, **how))
        try:
            yield client
        except KilledWorker as error:
            raise AccentError(
                "A task lost one worker after the other, perhaps for want of memory; make stacks smaller or "
                "give workers more memory, and run again: what was recorded stays."
            ) from error
        except CancelledError as error:
            raise AccentError(
                f"The connection to the Dask scheduler {scheduler!r} broke; see whether it still runs, then "
                "run again: what was recorded stays."
            ) from error


def _security(address, certificates):
    """By what a client knows a scheduler, and is known by it."""
    from distributed import Security

    if not certificates:
        return Security()
    files = {
        name: os.path.join(os.path.expanduser(certificates), f"{name}.pem") for name in ("ca", "cert", "key")
    }
    lacking = next((file for file in files.values() if not os.path.isfile(file)), None)
    if lacking or not address.startswith("tls://"):
        fault = f"there is no {lacking}" if lacking else f"{address!r} does not begin with tls://"
        raise AccentError(
            "Certificates are a folder with ca.pem, cert.pem and key.pem, for a scheduler at tls://, but "
            f"{fault}."
        )
    client = {"tls_client_cert": files["cert"], "tls_client_key": files["key"]}
    return Security(tls_ca_file=files["ca"], require_encryption=True, **client)


def _check_scheduler(address, security):
    from distributed.comm import connect

    async def check():
        secrets = security.get_connection_args("client")
        comm = await connect(address, timeout=CONNECT_SECONDS, **secrets)
        await comm.close()

    # A client that cannot connect is never cleaned up, and holds up the end of its process.
    with ThreadPoolExecutor(1) as thread:  # a notebook's own thread runs a loop already
        try:
            thread.submit(asyncio.run, check()).result()
        except (OSError, ValueError, TypeError) as error:  # the last: a protocol that is not set up
            raise AccentError(
                f"No Dask scheduler answers at {address!r}; start one there, or check the address, which "
                "looks like 'tcp://10.0.0.1:8786'."
            ) from error
