"""Two hundred worlds of NCF on MovieLens 100K: three local Dask workers beside one process.

Both must show the same outcomes, or the run fails.  The base model is trained for one short round only: what
a retraining takes does not depend on what was learned.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from accent_book.runs import runs_folder
from accent_book.runs.origin import provenance
from accent_lib import parallel
from accent_lib.datasets import load, prepare
from accent_lib.explanations import explain_users
from accent_lib.files import atomic
from accent_lib.models import NCF
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import worlds_of
from accent_lib.training import Recipe, State, train


def outcomes(scheduler: str, workers: int, how: tuple, stack_size: int) -> tuple[pd.DataFrame, float]:
    """What all worlds show, and the seconds that it took once the workers were there."""
    path = Path(tempfile.mkdtemp()) / "worlds.sqlite"
    with parallel.executor(workers, scheduler) as executor, Store(path, "bench") as store:
        if executor is not None:  # every worker imports the library before the clock starts
            list(executor.map(abs, range(10 * workers)))
        begin = time.perf_counter()
        verify("ncf", *how, store, stack_size=stack_size, executor=executor, ahead=2 * workers)
        return store.outcomes().drop(columns="seconds"), time.perf_counter() - begin


def main():
    """Compare, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-100k", help="sample or ml-100k")
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="of each retraining")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = prepare(load(arguments.dataset))
    model = NCF(data)
    (state,) = train(model, Recipe(1_500, 5e-3), [State.of(model)])
    state.into(model)
    slates, sets, _ = explain_users("ncf", model, range(data.n_users), [5, 20], ["accent", "fia", "random"])
    worlds = worlds_of(sets)[: arguments.worlds]
    users = {user for world in worlds for user in world.users}
    items = {u: part["item"].to_numpy(copy=True) for u, part in slates.groupby("user") if u in users}
    recipe = Recipe(arguments.steps, 1e-3, "linear")
    stack_size = 1 + len(worlds) // (4 * arguments.workers)
    how = model, recipe, state, worlds, items
    here, alone = outcomes("", 1, how, stack_size)
    there, together = outcomes("dask", arguments.workers, how, stack_size)
    pd.testing.assert_frame_equal(here, there, check_exact=True)
    result = {"worlds": len(worlds), "steps": arguments.steps, "stack_size": stack_size}
    result |= {"workers": arguments.workers, "cores": os.cpu_count(), "seconds_one_process": alone}
    result |= {"seconds_cluster": together, "ratio": alone / together, "provenance": provenance()}
    with atomic(runs_folder() / "bench" / "cluster.json") as path:
        path.write_text(json.dumps(result, indent=1, default=str) + "\n", "utf-8")
    print(
        f"{len(worlds)} worlds: one process {alone:.1f} s, {arguments.workers} Dask workers {together:.1f} s"
    )
    print(f"The same outcomes, {alone / together:.2f} times as fast on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
