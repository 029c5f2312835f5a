"""Worker processes, on this machine or on a cluster, in the form that every executor has."""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext

from accent_lib.errors import AccentError

#: How long a scheduler may take to answer.
CONNECT_SECONDS = 10


def _end_with_parent():
    # A driver that is killed cannot stop its workers, which would wait for work for ever.
    multiprocessing.parent_process().join()
    os._exit(1)


def _one_thread():
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    threading.Thread(target=_end_with_parent, daemon=True).start()


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
def executor(workers: int, scheduler: str = "") -> Iterator[Executor | None]:
    """Start workers, or reach those of a cluster, for as long as the ``with`` block lasts.

    Parameters
    ----------
    workers : int
        Processes of one thread each; a cluster that runs already has its own number.
    scheduler : str
        Empty: processes on this machine, and ``None``, which means "here", for one.  ``dask``: a Dask cluster
        on this machine, which replaces a worker that dies.  Anything else: the address of a Dask scheduler,
        such as ``tcp://10.0.0.1:8786``.

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
        with _dask(workers, scheduler) as client:
            # Impure: Dask neither hashes the arguments nor merges equal calls.  A task whose worker is lost
            # runs again elsewhere in any case; one that raises does not, since it would raise again.
            yield client.get_executor(pure=False, retries=0)
    else:
        with local_executor(workers) or nullcontext() as processes:
            yield processes


@contextmanager
def _dask(workers, scheduler):
    try:
        import dask
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise AccentError(
            f"The scheduler {scheduler!r} needs Dask, which is not installed: run "
            "'pip install \"accent-recommender[cluster]\"'."
        ) from error
    with ExitStack() as stack:
        # Each task carries its model: data that was sent ahead would be lost with the worker that has it.
        stack.enter_context(dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"}))
        if scheduler == "dask":
            # No limit: `verify` checks the memory beforehand, and a worker at its limit would pause for ever.
            options = {"threads_per_worker": 1, "memory_limit": None}
            # No dashboard; the server that remains listens here only, at any free port.
            options |= {"scheduler_kwargs": {"dashboard": False}, "dashboard_address": "127.0.0.1:0"}
            cluster = stack.enter_context(LocalCluster(n_workers=workers, **options))
        else:
            _check_scheduler(scheduler)
            cluster = scheduler
        client = stack.enter_context(Client(cluster, timeout=CONNECT_SECONDS, set_as_default=False))
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


def _check_scheduler(address):
    from distributed import Security
    from distributed.comm import connect

    async def check():
        secrets = Security().get_connection_args("client")
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
