"""Worker processes on this machine, in the form that every executor has."""

import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor


def _one_thread():
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def local_executor(workers: int) -> Executor | None:
    """Processes of one thread each; ``None``, which means "here", for one worker.

    Parameters
    ----------
    workers : int
        At most the number of cores: two processes of two threads each on two cores are many times slower.
    """
    if workers == 1:
        return None
    # Spawned, not forked: a forked copy of a process that holds OpenMP threads can hang.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_one_thread)
