"""The same work with the library of an earlier commit, ``python -m bench.since [COMMIT]``.

Each turn times one commit after the other in a process of its own, so that the ratios hold whatever the
machine does meanwhile.  By default the earlier commit is the last one whose tables could not be remade on
another processor.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
METHODS = {
    "ncf": ["accent", "fia", "pure_fia"],
    "rcf": ["accent", "fia", "attention", "random", "pure_fia", "pure_attention"],
}


def works(dataset: str) -> dict:
    """Work by name, and what a second of it is divided by; imports are those of either commit."""
    from accent_lib.datasets import load, prepare
    from accent_lib.models import NCF, RCF
    from accent_lib.training import Recipe, State, train

    try:
        from accent_lib.explanations import explain_users
    except ImportError:
        from accent_lib.explain import explain_users

    data = prepare(load(dataset))
    models = {"ncf": NCF(data), "rcf": RCF(data)}
    epoch = -(-models["rcf"].n_actions // 512)
    recipes = {"ncf": Recipe(100), "rcf": Recipe(epoch, 0.05, optimizer="adagrad", batch_size=512)}
    (state,) = train(models["ncf"], Recipe(1500, 5e-3), [State.of(models["ncf"])])
    state.into(models["ncf"])

    def explained(name, threads):
        options = {"variant": "shared"} if name == "rcf" else {}
        with ThreadPoolExecutor(threads) as executor:
            explain_users(name, models[name], range(data.n_users), [20], METHODS[name], executor, **options)

    def trained(name, copies):
        train(models[name], recipes[name], [State.of(models[name])] * copies)

    return {
        "NCF: all explanations, 1 thread (s)": (lambda: explained("ncf", 1), 1),
        "NCF: all explanations, 2 threads (s)": (lambda: explained("ncf", 2), 1),
        "RCF: all explanations, 6 methods, 2 threads (s)": (lambda: explained("rcf", 2), 1),
        "NCF: a step and copy of 16 (ms)": (lambda: trained("ncf", 16), 1.6),
        "RCF: an epoch (s)": (lambda: trained("rcf", 1), 1),
    }


def measure(dataset: str) -> None:
    """Print how long each work takes once everything is compiled."""
    torch.set_num_threads(1)
    seconds = {}
    for name, (work, unit) in works(dataset).items():
        work()
        begin = time.perf_counter()
        work()
        seconds[name] = (time.perf_counter() - begin) / unit
    print(json.dumps(seconds))


def main():
    """Time both commits in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", nargs="?", default="9c379b7")
    parser.add_argument("--dataset", default="ml-100k", help="sample or ml-100k")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", action="store_true", help="time what is installed, and print it")
    arguments = parser.parse_args()
    if arguments.only:
        measure(arguments.dataset)
        return
    from bench import Machine, ratio, write  # a process of the earlier commit would find that commit's

    machine, turns = Machine(), {"then": [], "now": []}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        subprocess.run(["git", "-C", folder, "checkout", "--quiet", arguments.commit], check=True)
        for _ in range(arguments.repeats):
            for name, tree in (("then", folder), ("now", str(ROOT))):
                command = [sys.executable, __file__, "--only", "--dataset", arguments.dataset]
                path = os.pathsep.join([tree, os.path.join(tree, "book")])
                output = subprocess.run(
                    command, check=True, cwd=tree, stdout=subprocess.PIPE, text=True,
                    env={**os.environ, "PYTHONPATH": path},
                ).stdout  # fmt: skip
                turns[name].append(json.loads(output.splitlines()[-1]))
    rows = []
    for work in turns["now"][0]:
        then, now = ([turn[work] for turn in turns[name]] for name in ("then", "now"))
        rows.append({"work": work, "then": sorted(then), "now": sorted(now), **ratio(then, now)})
        middle = len(now) // 2
        low, high = rows[-1]["spread"]
        print(
            f"{work:48} {sorted(then)[middle]:7.3f} {sorted(now)[middle]:7.3f}   "
            f"{rows[-1]['ratio']:.2f} times as fast ({low:.2f} to {high:.2f})"
        )
    write("since", {"commit": arguments.commit, "dataset": arguments.dataset, "records": rows}, machine)


if __name__ == "__main__":
    main()
