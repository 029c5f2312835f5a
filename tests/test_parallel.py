"""Worker processes on this machine."""

import psutil
import torch

from accent_lib import parallel


def test_one_worker_is_this_process():
    with parallel.executor(1) as executor:
        assert executor is None


def test_workers_have_one_thread_each_and_end_with_the_block():
    with parallel.executor(2) as executor:
        threads = [executor.submit(torch.get_num_threads) for _ in range(4)]
        assert [one.result() for one in threads] == [1] * 4
        workers = [psutil.Process(pid) for pid in executor._processes]
    assert 1 <= len(workers) <= 2
    assert not any(worker.is_running() for worker in workers)
