"""Cheaper ways of retraining, held against the long one: shorter recipes, and several users in one world.

For the same users and the same sets (ACCENT's, from the widest slate) each *setting* gives a verdict and a
true influence on the gap; what counts is how well it agrees with the reference, and the seconds it takes.

Needs a run folder in which notebooks 01, 02 and 04 were run on the real data (``--run``).  Every setting has
a store of its own there, so that this may be interrupted.  The table goes to ``data/results/agreement/``.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from accent_book import runs
from accent_book.experiments.command import parser_of, write_about, write_table
from accent_book.runs.folder import Run
from accent_book.runs.notebooks import read_json
from accent_book.runs.progress import progress
from accent_lib import parallel
from accent_lib.evaluation.judgement import judge
from accent_lib.retraining.worlds import grouped, worlds_of
from accent_lib.training import ANNEALED, PAPER, Recipe, recipes

USERS = 100
#: What takes many times as long as our own way gets fewer users.
FEWER = {"ncf": 30, "rcf": 60}
SIZES = (1, 2, 4, 8, 16)
NCF = recipes.NCF_RETRAINING


class Setting(NamedTuple):
    """A way of retraining: everything but the model and the sets."""

    study: str
    label: str
    recipe: Recipe
    start: str = "warm"
    users_per_world: int = 1
    seed: int = 0
    users: int = USERS


def of_ncf() -> Iterator[Setting]:
    """Warm starts of many lengths, rates and schedules, one from scratch, and groups of users."""
    long, others = replace(NCF, steps=16_000), (250, 500, 1000, 2000, 4000, 8000)
    yield Setting("recipe", "16,000 steps", long)
    yield Setting("recipe", "16,000 steps, other batches", long, seed=1)
    for steps in others:
        yield Setting("recipe", f"{steps:,} steps", replace(NCF, steps=steps))
    for rate in (1e-4, 3e-4, 3e-3):
        yield Setting("recipe", f"4,000 steps, rate {rate:g}", replace(NCF, learning_rate=rate))
    yield Setting("recipe", "4,000 steps, constant rate", replace(NCF, schedule="constant"))
    yield Setting("recipe", "6,000 steps from scratch", ANNEALED, "scratch")
    yield Setting("recipe", "the paper's 120,000 steps", PAPER, users=FEWER["ncf"])
    for size in SIZES:
        yield Setting("grouping", f"{size} users", NCF, users_per_world=size)
    yield Setting("grouping", "1 users, other batches", NCF, seed=1)


def of_rcf(model) -> Iterator[Setting]:
    """Trainings from scratch and warm starts of many lengths, and groups of users.

    The recipes are compared in worlds of 16 users.  Groups are compared by warm starts of three epochs; from
    scratch, which takes 20 times as long, for fewer users.
    """
    epochs = {n: recipes.for_epochs(model, recipes.RCF, n) for n in (1, 3, 5, 10, 20, 50)}
    for n in (50, 3, 5, 10, 20):
        yield Setting("recipe", f"{n} epochs", epochs[n], "scratch", 16)
    for n in (1, 3, 10):
        yield Setting("recipe", f"{n} epochs, warm", epochs[n], "warm", 16)
    yield Setting("recipe", "20 epochs, other batches", epochs[20], "scratch", 16, seed=1)
    for size in SIZES:
        yield Setting("grouping", f"{size} users", epochs[3], "warm", size)
    yield Setting("grouping from scratch", "16 users", epochs[20], "scratch", 16)
    yield Setting("grouping from scratch", "30 users", epochs[20], "scratch", 30)
    yield Setting("grouping from scratch", "1 users", epochs[20], "scratch", 1, users=FEWER["rcf"])


def main() -> None:
    """Measure one model's settings and write the table."""
    parser = parser_of(__doc__, ["ncf", "rcf"])
    parser.add_argument("--study", help="only this one: recipe, grouping or 'grouping from scratch'")
    arguments = parser.parse_args()

    run, name = Run("agreement", {"run": arguments.run}), arguments.model
    data = runs.interactions(run)
    model, _, facts = runs.trained_model(run, name, data)
    slates = run.read_csv("slates.csv").query("model == @name")
    items = runs.slates_of(run, name)
    table = run.read_csv("explanations.csv").query("model == @name and method == 'accent'")
    table = table[(table["k"] == table["k"].max()) & (table["size"] > 0)]
    drawn = np.random.default_rng(0).permutation(sorted(table["user"]))[:USERS].tolist()

    parts = []
    with parallel.local_executor(arguments.workers) or nullcontext() as executor:
        for setting in of_ncf() if name == "ncf" else of_rcf(model):
            if arguments.study not in (None, setting.study):
                continue
            users = drawn[: setting.users]
            explanations = table[table["user"].isin(users)]
            own = [worlds_of(explanations[explanations["user"] == user]) for user in users]
            worlds = grouped(own, setting.users_per_world)
            stack_size = 16 if name == "ncf" else 1
            start = {"warm": "trained", "scratch": "initial"}[setting.start]
            retraining = runs.retraining(run, name, data, setting.recipe, start, stack_size)
            options = {"seeds": [setting.seed], "executor": executor, "ahead": 2 * arguments.workers}
            options["progress"] = progress(run, f"retrainings of {name} ({setting.study}: {setting.label})")
            hers = {user: items[user] for user in users}
            outcomes = runs.retrained_outcomes(run, retraining, worlds, hers, **options)
            judged = judge(explanations, slates[slates["user"].isin(users)], outcomes)
            # The control is observed for everybody; a training of a stack takes as long as any other in it.
            each = outcomes.groupby("world")["seconds"].sum()[[world.key for world in worlds]].mean()
            columns = ["user", "size", "status", "counterfactual", "control_flips"]
            columns += ["estimated_gap_influence", "true_gap_influence"]
            parts.append(
                judged[columns].assign(
                    model=name,
                    study=setting.study,
                    setting=setting.label,
                    start=setting.start,
                    steps=setting.recipe.steps,
                    users_per_world=setting.users_per_world,
                    seed=setting.seed,
                    seconds_a_user=each * len(worlds) / len(users),
                )
            )
            _write(
                runs.results_folder() / "agreement" / f"{name}.csv", pd.concat(parts), facts["fingerprint"]
            )


def _write(path, table, checkpoint):
    """Write the table, and beside it where it comes from; other settings of the same base model stay."""
    beside, labels = path.with_suffix(".json"), ["study", "setting"]
    first = ["model", *labels, "start", "steps", "users_per_world", "seed"]
    table = table[[*first, *(column for column in table if column not in first)]]
    if (read_json(beside, {}) or {}).get("checkpoint") == checkpoint:
        old = pd.read_csv(path)
        mine = pd.MultiIndex.from_frame(table[labels])
        table = pd.concat([old[~pd.MultiIndex.from_frame(old[labels]).isin(mine)], table])
    write_table(path, table)
    write_about(beside, {"checkpoint": checkpoint})


if __name__ == "__main__":
    main()
