"""Independent base models: what a result owes to the one that happened to be trained.

Of NCF, ``paper-0`` to ``paper-15`` follow the paper's recipe (120,000 steps at a constant rate), each from
its own start and in its own order of the batches; ``paper-0`` is the headline.  ``search-1`` to ``search-8``
are the best of 256 starts each, by the book's search.  ``generalising-1`` to ``-8`` lead away from
memorising: other weight decays and activations, one start each, and an early stop.  No two have a start in
common.  ``python -m accent_book.experiments.base_models`` trains those that are not there yet, explains all
users of each, and writes ``data/results/ncf-bases/``, or with ``--generalising`` those of the generalising
ones, ``data/results/ncf-generalising/``.  ``rcf-0`` is RCF by the paper's recipe.
"""

import argparse
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from accent_book import runs
from accent_book.experiments.command import positive, write_about, write_table
from accent_lib import parallel, training
from accent_lib.datasets import load, prepare
from accent_lib.datasets.relations import Relations, read_relation_triples
from accent_lib.evaluation import accuracy
from accent_lib.explanations import explain_users
from accent_lib.models import NCF, RCF, gelu, top_k
from accent_lib.retraining.identity import training_identity
from accent_lib.training import Recipe, Round, State, recipes

#: The book's search (profile ``paper``): many short starts, of which the best go on.
SEARCH = (
    Round(256, Recipe(steps=1_500, learning_rate=5e-3)),
    Round(64, Recipe(steps=2_500, learning_rate=5e-3)),
    Round(8, Recipe(steps=16_000, learning_rate=5e-3, schedule="linear")),
)
#: Activation, weight decay and recipe of each; the third is an early stop.
GENERALISING = [
    (torch.relu, 3e-4, recipes.ANNEALED),
    (gelu, 3e-4, recipes.ANNEALED),
    (torch.relu, 3e-4, Recipe(steps=1_500, learning_rate=5e-3, schedule="linear")),
    (torch.relu, 5e-4, recipes.ANNEALED),
    (gelu, 5e-4, recipes.ANNEALED),
    (torch.relu, 7e-4, recipes.ANNEALED),
    (gelu, 7e-4, recipes.ANNEALED),
    (gelu, 1e-3, recipes.ANNEALED),
]
NAMES = [*(f"paper-{seed}" for seed in range(16)), *(f"search-{seed}" for seed in range(1, 9))]
GENERALISING_NAMES = [f"generalising-{1 + place}" for place in range(len(GENERALISING))]
RCF_NAMES = ["rcf-0"]
#: Their starts and orders come behind those of the paper's recipe.
GENERALISING_SEEDS = 100
KS, METHODS = [5, 10, 20], ["accent", "fia", "pure_fia"]


class Base(NamedTuple):
    """A trained base model and what there is to say of it."""

    model: NCF | RCF
    state: State
    facts: dict
    initial: State  #: before training
    settings: dict  #: of the model, where they are not the defaults


def movielens():
    """MovieLens 100K, prepared as the paper does it."""
    return prepare(load("ml-100k"))


def base_model(name: str, data, folder: Path) -> Base:
    """Train a base model, or read it where it was trained before with the same data and recipe.

    Parameters
    ----------
    name : str
        Of `NAMES`, `GENERALISING_NAMES` or `RCF_NAMES`.
    data : Interactions
    folder : Path
        Where checkpoints lie.
    """
    torch.set_num_threads(1)
    kind, seed = name.split("-")
    seed, make = int(seed), partial(NCF, data)
    rounds = [Round(1, recipes.PAPER)] if kind == "paper" else SEARCH
    if kind == "rcf":
        make = partial(RCF, data, read_relation_triples(data, Relations.of(data.attributes)))
        rounds = [Round(1, recipes.for_epochs(make(), recipes.RCF, recipes.RCF_EPOCHS))]
    settings = {}
    if kind == "generalising":
        activation, decay, recipe = GENERALISING[seed - 1]
        rounds, seed = [Round(1, recipe)], GENERALISING_SEEDS + seed
        make = partial(make, activation=activation, weight_decay=decay)
        settings = {"activation": activation.__name__, "weight_decay": decay}
    how = {"seed": seed, "rounds": [asdict(one) for one in rounds]} | settings
    identity = training_identity(make.func, data.fingerprint, **how)
    path = folder / f"{name}.npz"
    if not path.exists():
        begin, start = time.thread_time(), seed
        if kind == "search":
            states, record = training.search(lambda start: make(seed=start), rounds, seed=seed)
            start, state = next(row["start"] for row in record if row["round"] == len(rounds)), states[0]
        else:
            model = make(seed=start)
            (state,) = training.train(model, rounds[0].recipe, [State.of(model)], seed=seed)
        facts = {"start": start, "seconds": round(time.thread_time() - begin, 1), "digest": state.digest()}
        training.save_checkpoint(path, state, identity, **facts)
    state, facts = training.load_checkpoint(path, identity)
    model = make(seed=facts["start"])
    initial = State.of(model)
    return Base(state.into(model), state, facts, initial, settings)


def describe(name: str, data, folder: Path) -> tuple[dict, pd.DataFrame]:
    """One row of the table of bases, and the sizes of all users' sets (0: no set)."""
    base = base_model(name, data, folder)
    held_out = accuracy.predict(base.model, data.test)
    tops = {int(top_k(base.model, user, 1)[0][0]) for user in range(data.n_users)}
    explanations = explain_users("ncf", base.model, range(data.n_users), KS, METHODS)[1]
    row = {"base": name, **base.settings, "start": base.facts["start"], "digest": base.facts["digest"]}
    row["objective"] = float(training.objective(base.model, [base.state])[0])
    row["held_out_rmse"] = accuracy.rmse(data.test["rating"], held_out)
    row["pairs_in_order"] = accuracy.pairwise_accuracy(data.test, held_out)
    row |= {"different_recommendations": len(tops), "seconds": base.facts["seconds"]}
    sizes = explanations[["method", "k", "user", "size"]]
    return row, sizes.assign(base=name)[["base", "method", "k", "user", "size"]]


def main() -> None:
    """Train what is lacking, and write the tables as they grow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--generalising", action="store_true", help="these instead of the others")
    parser.add_argument("--bases", nargs="+", metavar="BASE", help="only these")
    arguments = parser.parse_args()
    data, folder = movielens(), runs.runs_folder() / "bases"
    names = GENERALISING_NAMES if arguments.generalising else NAMES
    results = runs.results_folder() / ("ncf-generalising" if arguments.generalising else "ncf-bases")
    about = {"recipe": asdict(recipes.PAPER), "search": [asdict(one) for one in SEARCH]}
    if arguments.generalising:
        about = {
            "recipes": {name: asdict(recipe) for name, (*_, recipe) in zip(names, GENERALISING, strict=True)}
        }
    baseline = accuracy.mean_baseline(data.train, data.test)
    about |= {"data": data.fingerprint, "baseline_rmse": accuracy.rmse(data.test["rating"], baseline)}
    rows, sizes = [], []
    with parallel.executor(arguments.workers) as executor:
        described = partial(describe, data=data, folder=folder)
        for row, of_base in (map if executor is None else executor.map)(described, arguments.bases or names):
            rows.append(row)
            sizes.append(of_base)
            print(row, flush=True)
            write_table(results / "bases.csv", pd.DataFrame(rows))
            runs.write_table(results / "sizes.csv.gz", pd.concat(sizes))
            write_about(results / "bases.json", about)


if __name__ == "__main__":
    main()
