"""Verify the explanations of one base model at full size, order by order.

``python -m accent_book.experiments.retrainings paper-0 annealed --orders 5`` explains all users of the base
model, takes every set out and retrains; tables go to ``data/results/ncf-0-annealed/`` as they grow, and a run
that was stopped goes on from them.  The sets are fixed before the first retraining: those of the methods, of
lots, and of three rules that are harder to beat than lots.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import torch

from accent_book import runs
from accent_book.experiments.base_models import NAMES, Base, base_model, movielens
from accent_book.experiments.command import positive, write_about
from accent_book.runs.folder import Run
from accent_book.runs.progress import progress
from accent_book.runs.sources import sources_of_notebooks
from accent_lib import parallel
from accent_lib.explanations import explain_users
from accent_lib.influence import fast_influence
from accent_lib.provenance import provenance
from accent_lib.retraining.identity import base_identity, outcomes_identity
from accent_lib.retraining.outcomes import export_outcomes
from accent_lib.retraining.store import Store
from accent_lib.retraining.worlds import worlds_of
from accent_lib.training import recipes

#: How NCF is retrained, from its trained weights and moments: as the paper does it, and in a thirtieth of
#: the steps.
RECIPES = {"paper": replace(recipes.PAPER, shuffle_first=True), "annealed": recipes.NCF_RETRAINING}
KS, METHODS = [5, 10, 20], ["accent", "fia", "pure_fia", "random"]
#: As many actions as ACCENT takes, by a rule: the last ones, the best rated, those on the most rated films.
RULES = ["recent", "best_rated", "popular"]
#: Seconds between two exports.
EXPORT_EVERY = 600


def order_by(rule: str, data, user: int) -> np.ndarray:
    """All actions of a user in the order in which a rule takes them; of equal ones the later first."""
    rows = data.train.iloc[data.rows(user)]
    latest_first = np.arange(len(rows))[::-1]
    if rule == "recent":
        return latest_first
    counts = np.bincount(data.train["item"], minlength=data.n_items)
    value = rows["rating"].to_numpy() if rule == "best_rated" else counts[rows["item"]]
    return latest_first[np.argsort(-value[latest_first], kind="stable")]


def by_rules(model, data, slates: pd.DataFrame, explanations: pd.DataFrame, k: int) -> pd.DataFrame:
    """Sets of ACCENT's sizes, with its replacements, by each of the `RULES`: more rows of explanations."""
    analysis, rows = fast_influence(model), []
    items = {user: part["item"].to_numpy(copy=True) for user, part in slates.groupby("user")}
    for row in explanations.query("method == 'accent' and k == @k").to_dict("records"):
        estimate = analysis(row["user"], items[row["user"]][:k]) if row["size"] else None
        for rule in RULES:
            chosen = {"method": rule}
            if estimate is not None:
                removed = tuple(int(z) for z in order_by(rule, data, row["user"])[: row["size"]])
                predicted = estimate.scores - estimate.influence[:, removed].sum(1)
                chosen |= {"removed": removed, "predicted": tuple(predicted.tolist())}
            rows.append(row | chosen)
    return pd.DataFrame(rows)[explanations.columns]


def sets_of(base: Base, data, threads: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Slates and explanations of all users: what is to be verified."""
    with ThreadPoolExecutor(threads) as executor:
        slates, explanations, _ = explain_users("ncf", base.model, range(data.n_users), KS, METHODS, executor)
    rules = by_rules(base.model, data, slates, explanations, KS[0])
    return slates, pd.concat([explanations, rules], ignore_index=True)


def worlds_in_order(explanations: pd.DataFrame) -> list:
    """Their worlds, those of ACCENT, FIA and lots with the shortest slate first."""
    first = explanations[explanations["k"] == KS[0]]
    parts = [first[first["method"].isin(["accent", "fia", "random"])], first, explanations]
    return list(dict.fromkeys(world for part in parts for world in worlds_of(part)))


def main() -> None:
    """Explain, retrain, and export as the table grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", choices=NAMES)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--orders", type=positive, default=1, help="of the batches; the first is 100")
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--stack-size", type=positive, default=16)
    parser.add_argument("--leaders", type=positive, default=1, help="of each ranking, in the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, run = movielens(), Run("retrainings", {"run": "bases"})
    base = base_model(arguments.base, data, run.folder)
    recipe = RECIPES[arguments.recipe]
    kind, number = arguments.base.split("-")
    name = f"ncf-{number if kind == 'paper' else arguments.base}-{arguments.recipe}"
    folder = runs.results_folder() / name
    slates, explanations = sets_of(base, data)
    for table, rows in (("slates", slates), ("explanations", explanations)):
        runs.write_table(folder / f"{table}.csv.gz", rows)
    write_about(folder / "training.json", base.facts | {"base": arguments.base})

    identity = base_identity(base.model, base.state, base.facts["fingerprint"])
    fingerprint = outcomes_identity(base.model, identity, recipe)
    how = runs.Retraining("ncf", base.model, recipe, base.state, fingerprint, arguments.stack_size, "cpu")
    items = {user: part["item"].to_numpy(copy=True) for user, part in slates.groupby("user")}
    # The base model was trained in the order of its own seed, which none of these is.
    seeds = [100 + order for order in range(arguments.orders)]
    about = {"fingerprint": fingerprint, "recipe": asdict(recipe), "base": arguments.base, "model": "ncf"}
    about |= {"table": "outcomes", **provenance(sources=sources_of_notebooks())}
    say, last = progress(run, f"retrainings of {name}"), time.monotonic()

    def export():
        with Store(runs.store_path(run, fingerprint), fingerprint) as store:
            outcomes = store.outcomes(items, leaders=arguments.leaders)
        for seed, rows in outcomes.groupby("seed"):
            export_outcomes(folder / f"outcomes-{seed}.csv.gz", rows, {**about, "seeds": [int(seed)]})

    def report(done, total):
        nonlocal last
        say(done, total)
        if time.monotonic() - last > EXPORT_EVERY:
            last = time.monotonic()
            export()

    with parallel.executor(arguments.workers) as executor:
        options = {"seeds": seeds, "executor": executor, "ahead": 2 * arguments.workers, "progress": report}
        runs.retrained_outcomes(run, how, worlds_in_order(explanations), items, **options)
    export()


if __name__ == "__main__":
    main()
