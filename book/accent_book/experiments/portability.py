"""What another processor changes: base models, slates, sets and scores as older processors compute them.

Trains NCF (a short annealed recipe) and RCF (20 epochs, as long as it is retrained) on MovieLens 100K: on
this processor with one thread and with two, and as on each older processor that it can imitate
(`PROCESSORS`).  Explains all users, and compares with this processor and one thread.  Writes
``data/results/portability/processors.csv``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from accent_book import runs
from accent_book.experiments.command import write_about, write_table
from accent_lib.datasets import load, prepare
from accent_lib.explanations import explain_users
from accent_lib.models import NCF, RCF
from accent_lib.retraining.cells import to_text
from accent_lib.training import ANNEALED, State, train
from accent_lib.training.recipes import RCF as RCF_STEP
from accent_lib.training.recipes import for_epochs

#: How torch, Numba and OpenBLAS are told to compute as another processor does.
PROCESSORS = {
    "generic": {
        "NUMBA_CPU_NAME": "generic",
        "ATEN_CPU_CAPABILITY": "default",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
    "AVX-512": {
        "NUMBA_CPU_NAME": "skylake-avx512",
        "ATEN_CPU_CAPABILITY": "avx512",
        "OPENBLAS_CORETYPE": "SkylakeX",
    },
}
#: Of RCF.
EPOCHS = 20
CAPABILITIES = {"DEFAULT": 1, "AVX2": 2, "AVX512": 3}


def observed(name: str, threads: int, to: Path) -> None:
    """Train a model and explain all users here; slates, scores and sets go into the folder."""
    torch.set_num_threads(threads)
    data = prepare(load("ml-100k"))
    model = NCF(data) if name == "ncf" else RCF(data)
    recipe = ANNEALED if name == "ncf" else for_epochs(model, RCF_STEP, EPOCHS)
    (state,) = train(model, recipe, [State.of(model)])
    state.into(model)
    methods = ["accent", "fia"]
    variant = "paper" if name == "ncf" else "shared"
    slates, explanations, _ = explain_users(name, model, range(data.n_users), [20], methods, variant=variant)
    slates.to_csv(to / "slates.csv", index=False)
    to_text(explanations).to_csv(to / "explanations.csv", index=False)
    (to / "state.txt").write_text(state.digest())


def compared(first: Path, other: Path) -> dict:
    """What differs between two folders of `observed`, as counts of users and the largest score difference."""
    slates = [pd.read_csv(folder / "slates.csv") for folder in (first, other)]
    sets = [pd.read_csv(folder / "explanations.csv", dtype={"removed": str}) for folder in (first, other)]
    items = [table.pivot(index="user", columns="position", values="item").to_numpy() for table in slates]
    scores = [table.pivot(index="user", columns="position", values="score").to_numpy() for table in slates]
    removed = [
        table.pivot(index="user", columns="method", values="removed").fillna("").to_numpy() for table in sets
    ]
    same = (items[0] == items[1]).all(1)
    return {
        "same_bytes": (first / "state.txt").read_text() == (other / "state.txt").read_text(),
        "users": len(same),
        "other_recommendation": int((items[0][:, 0] != items[1][:, 0]).sum()),
        "other_slate": int((~same).sum()),
        "other_set": int((removed[0] != removed[1]).any(1).sum()),
        "largest_score_difference": float(np.abs(scores[0] - scores[1])[same].max()),
    }


def main() -> None:
    """Run both models as on each processor and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["ncf", "rcf"], choices=["ncf", "rcf"])
    parser.add_argument("--observe", nargs=3, metavar=("MODEL", "THREADS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.observe:
        name, threads, folder = arguments.observe
        return observed(name, int(threads), Path(folder))
    here = torch.backends.cpu.get_cpu_capability()
    names = list(PROCESSORS)[: CAPABILITIES.get(here, 1)]
    ways = [("this one", 1, {}), ("this one", 2, {})]
    ways += [(name, 1, PROCESSORS[name] | {"NUMBA_CPU_FEATURES": ""}) for name in names]
    rows, target = [], runs.results_folder() / "portability" / "processors.csv"
    with tempfile.TemporaryDirectory() as scratch:
        for model in arguments.models:
            first = None
            for processor, threads, settings in ways:
                folder = Path(scratch) / f"{model}-{processor}-{threads}"
                folder.mkdir()
                command = [sys.executable, "-m", __spec__.name]
                command += ["--observe", model, str(threads), str(folder)]
                environment = os.environ | settings | {"OMP_NUM_THREADS": str(threads)}
                subprocess.run(command, env=environment, check=True)
                first = first or folder
                where = {"model": model, "processor": processor, "threads": threads}
                rows.append(where | compared(first, folder))
                print(rows[-1], flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_table(target, pd.DataFrame(rows))
    write_about(target.with_suffix(".json"), {"rcf_epochs": EPOCHS})


if __name__ == "__main__":
    main()
