"""A million ratings and more: prepare, train, explain everybody, verify 100 users, with seconds and memory.

The ratings are generated in the shape of MovieLens 1M or 25M, or of a table with many films: as many users,
films and ratings, with tails as heavy (median and mean of ratings a user and a film are those of the real
set).  Each model runs in a process of its own, so that its peak of memory is its own.  Where a whole training
would take hours, so many optimiser steps are timed, and the plan says what all of it takes.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from accent_book.runs import runs_folder
from accent_book.runs.origin import provenance
from accent_lib.datasets import Ratings, prepare
from accent_lib.explanations import explain_users
from accent_lib.files import atomic
from accent_lib.models import NCF, RCF
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import grouped, worlds_of
from accent_lib.training import State, recipes, train

#: Users, films, ratings; median of ratings a user and a film (GroupLens' own files).
SHAPES = {
    "ml-1m": (6_040, 3_706, 1_000_209, 96, 123),
    "many films": (5_000, 60_000, 1_000_000, 140, 6),
    "ml-25m": (162_541, 59_047, 25_000_095, 71, 6),
}
#: Steps that are timed at a million ratings (fewer with more), and users whose sets share a world.
STEPS, WORLD = {"ncf": 2_000, "rcf": 20}, {"ncf": 1, "rcf": 16}
#: The paper's, but for a rate at which NCF learns something in so few steps.
RECIPES = {"ncf": replace(recipes.ANNEALED, learning_rate=5e-3), "rcf": recipes.RCF}
#: A copy in training holds its parameters, and Adam's two moments or Adagrad's one sum.
COPIES = {"ncf": 3, "rcf": 2}
#: What a whole training takes: the paper's steps, or its epochs.
PAPER = {"ncf": recipes.PAPER.steps, "rcf": recipes.RCF_EPOCHS}


def heavy_tailed(generator, n, mean, median, least):
    """Log-normal numbers above ``least`` with this mean and median."""
    sigma = math.sqrt(2 * math.log((mean - least) / (median - least)))
    return least + (median - least) * generator.lognormal(0, sigma, n)


def generate(shape: str, seed: int = 0) -> Ratings:
    """Ratings, films and attributes in the shape of a real set."""
    n_users, n_items, n_ratings, per_user, per_item = SHAPES[shape]
    generator = np.random.default_rng(seed)
    lengths = heavy_tailed(generator, n_users, n_ratings / n_users, per_user, 20)
    popularity = np.cumsum(heavy_tailed(generator, n_items, n_ratings / n_items, per_item, 1))
    lengths *= 1.25 * n_ratings / lengths.sum()  # some are drawn twice, and count once
    pairs = []
    for part in np.array_split(np.arange(n_users), 100):  # in parts, to keep the peak of memory low
        users = np.repeat(part, lengths[part].astype(int) + 1)
        items = np.searchsorted(popularity, popularity[-1] * generator.random(len(users)))
        pairs.append(np.unique(users * n_items + items))
    pairs = np.concatenate(pairs)
    if len(pairs) > n_ratings:
        pairs = np.sort(generator.choice(pairs, n_ratings, replace=False))
    users, items = np.divmod(pairs, n_items)
    # Tastes of three dimensions, so that there is something to learn and to explain.
    tastes, films = (generator.normal(size=(n, 3)).astype("f4") for n in (n_users, n_items))
    stars = (
        3.5
        + sum(tastes[users, d] * films[items, d] for d in range(3)) / 2
        + generator.normal(size=len(users))
    )
    table = {"user": users, "item": items, "rating": np.clip(np.rint(stars), 1, 5).astype(int)}
    ratings = pd.DataFrame(table | {"timestamp": generator.integers(0, 10**8, len(users))})
    films = pd.DataFrame({"title": "A film", "year": 2000}, index=pd.RangeIndex(n_items))
    films["genres"] = [("Drama",)] * n_items
    return Ratings(f"like {shape}", ratings, films, attributes(generator, n_items))


def attributes(generator, n_items) -> pd.DataFrame:
    """One to three of 18 genres, one of many directors, four of many actors, some of them in many films."""
    drawn = {
        "genres": (18, generator.integers(1, 4, n_items)),
        "directors": (n_items // 2, np.ones(n_items, int)),
        "actors": (2 * n_items, np.full(n_items, 4)),
    }
    columns = {}
    for name, (n_values, sizes) in drawn.items():
        values = (n_values * generator.random(sizes.sum()) ** 1.5).astype(int)
        parts = np.split(values, np.cumsum(sizes)[:-1])
        columns[name] = [tuple(sorted(set(part.tolist()))) for part in parts]
    return pd.DataFrame(columns)


def peak() -> float:
    """Most memory that the process has held so far, in MiB."""
    unit = 2**10 if sys.platform == "linux" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class Clock:
    """Seconds of each part of the work, and the peak of memory at its end."""

    def __init__(self):
        self.record, self.begin = {}, time.perf_counter()

    def lap(self, name):
        """End a part."""
        now = time.perf_counter()
        self.record |= {f"seconds_{name}": round(now - self.begin, 3), f"peak_mib_{name}": round(peak())}
        self.begin = now


def measure(shape: str, name: str, users: int, threads: int) -> dict:
    """One record: what each part of the work takes for a model."""
    torch.set_num_threads(1)
    clock = Clock()
    ratings = generate(shape)
    clock.lap("generate")
    data = prepare(ratings)
    del ratings
    clock.lap("prepare")
    model = NCF(data) if name == "ncf" else RCF(data)
    clock.lap("construct")
    kept = replace(RECIPES[name], steps=max(20, STEPS[name] * 10**6 // len(data.train)))
    train(model, replace(kept, steps=2), [State.of(model)])  # compiles the loops
    clock.lap("compile")
    (state,) = train(model, kept, [State.of(model)])
    clock.lap("train")
    state.into(model)
    everybody = range(data.n_users) if users == 0 else range(0, data.n_users, max(1, data.n_users // users))
    with ThreadPoolExecutor(threads) as executor:
        slates, explanations, _ = explain_users(name, model, everybody, [5, 20], ["accent", "fia"], executor)
    clock.lap("explain")
    first = slates["user"].unique()[:100]
    sets = explanations.query("method == 'accent' and k == 5 and user in @first")
    items = {
        u: part["item"].to_numpy(copy=True) for u, part in slates[slates["user"].isin(first)].groupby("user")
    }
    worlds = grouped([[world] for world in worlds_of(sets)], WORLD[name])
    with Store(Path(tempfile.mkdtemp()) / "worlds.sqlite", "bench") as store:
        verify(name, model, kept, state, worlds, items, store, stack_size=4)
    clock.lap("verify")
    facts = {"shape": shape, "model": name, "users": data.n_users, "items": data.n_items}
    facts |= {"train_ratings": len(data.train), "actions": model.n_actions, "steps": kept.steps}
    facts |= {"users_explained": len(everybody), "worlds": len(worlds), "threads": threads}
    facts["mib_copy"] = sum(p.nbytes for p in model.parameters()) * COPIES[name] / 2**20
    steps = PAPER[name] if name == "ncf" else PAPER[name] * math.ceil(model.n_actions / kept.batch_size)
    return facts | clock.record | plan(facts, clock.record, steps)


def plan(facts: dict, seconds: dict, steps: int) -> dict:
    """What the paper's whole experiment would take at this size, in core hours: one order, ACCENT, k = 5.

    ``hours_gpu_at_least`` is a bound for NCF and no measurement: each step reads and writes the parameters
    and moments of each copy, and reads its gradients, at the 3.35 TB/s that an H100's memory is sold with.
    """
    a_step = seconds["seconds_train"] / facts["steps"]
    # The control of each stack is trained beside its worlds.
    trained = facts["worlds"] + math.ceil(facts["worlds"] / 3)
    a_world_step = seconds["seconds_verify"] / trained / facts["steps"]
    worlds = facts["users"] / WORLD[facts["model"]]
    bound = {}
    if facts["model"] == "ncf":
        bytes_a_step = 7 / 3 * facts["mib_copy"] * 2**20
        bound["hours_gpu_at_least"] = worlds * steps * bytes_a_step / 3.35e12 / 3600
    return bound | {
        "paper_steps": steps,
        "hours_train": a_step * steps / 3600,
        "hours_explain_all": seconds["seconds_explain"] * facts["users"] / facts["users_explained"] / 3600,
        "hours_verify_all": a_world_step * steps * worlds / 3600,
    }


def main():
    """Measure the shapes and models that are asked for, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["ml-1m"])
    parser.add_argument("--models", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--users", type=int, default=0, help="that are explained; 0: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", action="store_true", help="measure here, and print the record")
    arguments = parser.parse_args()
    if arguments.only:
        shape, name = arguments.shapes[0], arguments.models[0]
        print(json.dumps(measure(shape, name, arguments.users, arguments.threads)))
        return
    path = runs_folder() / "bench" / "million.json"
    for shape in arguments.shapes:
        for name in arguments.models:
            command = [sys.executable, "-m", "bench.million", "--only", "--shapes", shape, "--models", name]
            command += ["--users", str(arguments.users), "--threads", str(arguments.threads)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            record = json.loads(output.splitlines()[-1])
            for fact, value in record.items():
                print(f"{fact:20} {value:,.6g}" if isinstance(value, int | float) else f"{fact:20} {value}")
            keep(path, record)


def keep(path: Path, record: dict) -> None:
    """Write a record into the table, in the place of an older one of the same shape and model."""
    records = json.loads(path.read_text("utf-8"))["records"] if path.exists() else []
    same = [all(old[key] == record[key] for key in ("shape", "model")) for old in records]
    records = [old for old, goes in zip(records, same, strict=True) if not goes]
    records.append(record | {"provenance": provenance()})
    order = [(shape, model) for shape in SHAPES for model in STEPS]
    records.sort(key=lambda kept: order.index((kept["shape"], kept["model"])))
    with atomic(path) as file:
        file.write_text(json.dumps({"records": records}, indent=1, default=str) + "\n", "utf-8")


if __name__ == "__main__":
    main()
