"""Cheaper ways of retraining, held against the long one: shorter recipes, and several users in one world.

For the same users and the same sets (ACCENT's, from the widest slate) each *setting* gives a verdict and a
true influence on the gap; what counts is how well it agrees with the reference, and the seconds it takes.

Needs a run folder in which notebooks 01, 02 and 04 were run on the real data (``--run``).  Every setting has
a store of its own there, so that this may be interrupted.  The table goes to ``data/results/agreement/``.
"""

import argparse
import json
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from accent_lib import parallel, recipes, workflow
from accent_lib.files import atomic
from accent_lib.judgement import judge
from accent_lib.provenance import fingerprint, provenance, source_hash
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import grouped, worlds_of
from accent_lib.training import ANNEALED, PAPER, Recipe, State
from accent_lib.workflow.folder import Run
from accent_lib.workflow.progress import progress

RESULTS = Path(__file__).resolve().parents[1] / "data" / "results" / "agreement"
#: The paper's own recipe for NCF takes 20 times as long as ours, so it gets fewer users.
USERS, USERS_OF_PAPER = 100, 30
SIZES = (1, 2, 4, 8, 16)
NCF = Recipe(4000, 1e-3, "linear")


def settings(name, model):
    """All settings of a model: study, label, recipe, start, users in a world, seed of the batches, users."""
    if name == "ncf":
        long = replace(NCF, steps=16_000)
        ways = [
            ("16,000 steps", long, "warm", 1, 0, USERS),
            ("16,000 steps, other batches", long, "warm", 1, 1, USERS),
        ]
        ways += [
            (f"{steps:,} steps", replace(NCF, steps=steps), "warm", 1, 0, USERS)
            for steps in (250, 500, 1000, 2000, 4000, 8000)
        ]
        ways += [
            (f"4,000 steps, rate {rate:g}", replace(NCF, learning_rate=rate), "warm", 1, 0, USERS)
            for rate in (1e-4, 3e-4, 3e-3)
        ]
        ways += [("4,000 steps, constant rate", replace(NCF, schedule="constant"), "warm", 1, 0, USERS)]
        ways += [("6,000 steps from scratch", ANNEALED, "scratch", 1, 0, USERS)]
        ways += [("the paper's 120,000 steps", PAPER, "warm", 1, 0, USERS_OF_PAPER)]
        sizes = [(f"{size} users", NCF, "warm", size, 0, USERS) for size in SIZES]
    else:
        of = {epochs: recipes.for_epochs(model, recipes.RCF, epochs) for epochs in (1, 3, 5, 10, 20, 50)}
        ways = [(f"{epochs} epochs", of[epochs], "scratch", 16, 0, USERS) for epochs in (50, 3, 5, 10, 20)]
        ways += [(f"{epochs} epochs, warm", of[epochs], "warm", 16, 0, USERS) for epochs in (1, 3, 10)]
        ways += [("20 epochs, other batches", of[20], "scratch", 16, 1, USERS)]
        sizes = [(f"{size} users", of[GROUPED_EPOCHS], "scratch", size, 0, USERS) for size in SIZES[::-1]]
    return [("recipe", *way) for way in ways] + [("grouping", *size) for size in sizes]


#: Of RCF, where users are grouped: the fewest that agree with 50 (see the recipes).
GROUPED_EPOCHS = 10


def main():
    """Measure one model's settings and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=["ncf", "rcf"])
    parser.add_argument("--run", default="ml-100k", help="run folder")
    parser.add_argument("--study", choices=["recipe", "grouping"], help="only this one")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    run, name = Run("agreement", {"run": arguments.run}), arguments.model
    data = workflow.interactions(run)
    model, state, facts = workflow.trained_model(run, name, data)
    fresh = State.of(workflow.untrained_model(run, name, data, facts))
    slates = run.read_csv("slates.csv").query("model == @name")
    items = workflow.slates_of(run, name)
    table = run.read_csv("explanations.csv").query("model == @name and method == 'accent'")
    table = table[(table["k"] == table["k"].max()) & (table["size"] > 0)]
    drawn = np.random.default_rng(0).permutation(sorted(table["user"]))[:USERS].tolist()

    parts, folder = [], RESULTS
    with parallel.local_executor(arguments.workers) or nullcontext() as executor:
        for study, label, recipe, start, size, seed, n_users in settings(name, model):
            if arguments.study not in (None, study):
                continue
            users = drawn[:n_users]
            asked = table[table["user"].isin(users)]
            worlds = grouped([worlds_of(asked[asked["user"] == user]) for user in users], size)
            mark = fingerprint(
                checkpoint=facts["fingerprint"],
                slates={user: items[user].tolist() for user in users},
                recipe=asdict(recipe),
                start=start,
                size=size,
                code=source_hash(*workflow.SOURCES[name], "training.py", "retraining/engine.py"),
            )
            with Store(run.path(f"agreement-{mark[:12]}.sqlite"), mark) as store:
                verify(
                    name,
                    model,
                    recipe,
                    state if start == "warm" else fresh,
                    worlds,
                    {user: items[user] for user in users},
                    store,
                    seeds=[seed],
                    stack_size=16 if name == "ncf" else 1,
                    executor=executor,
                    progress=progress(run, f"retrainings of {name} ({study}: {label})"),
                )
                outcomes = store.outcomes().query("seed == @seed")
            judged = judge(asked, slates[slates["user"].isin(users)], outcomes)
            trainings = len(worlds) + 1
            each = outcomes["seconds"].sum() / trainings
            facts_of = {
                "model": name,
                "study": study,
                "setting": label,
                "start": start,
                "steps": recipe.steps,
            }
            facts_of |= {"users_per_world": size, "seed": seed, "seconds_a_training": each}
            facts_of |= {"seconds_a_user": each * len(worlds) / len(users)}
            columns = ["user", "size", "status", "counterfactual", "control_flips"]
            columns += ["estimated_gap_influence", "true_gap_influence"]
            parts.append(judged[columns].assign(**facts_of))
            _write(folder / f"{name}.csv", pd.concat(parts))


def _write(path, table):
    """Write the table, and beside it where it comes from."""
    first = ["model", "study", "setting", "start", "steps", "users_per_world", "seed"]
    table = table[[*first, *(column for column in table if column not in first)]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        table.to_csv(file, index=False, float_format="%.6g")
    with atomic(path.with_suffix(".json")) as file:
        file.write_text(json.dumps(provenance(), indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
