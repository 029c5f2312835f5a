"""Verify the explanations of one base model at full size, order by order.

``python -m accent_book.experiments.retrainings paper-0 annealed --orders 5`` explains all users of the base
model, takes every set out and retrains; tables go to ``data/results/ncf-0-annealed/`` as they grow, and a run
that was stopped goes on from them.  The sets are fixed before the first retraining: those of the methods,
random ones, and those of three rules that are harder to beat.

NCF goes on from its trained weights and moments, with one user's set taken out of a world.  RCF (``rcf-0
paper``) is trained from scratch, and a world does without the sets of one method of up to 16 users.  With
``--users 200`` there are so many users, drawn once, the first methods without the rules, and the shortest
slate.  With ``--first`` there are all users and sets, and the first methods with the shortest slate alone are
verified; the others may follow without it.  With ``--margins 0 0.05 0.1`` methods go on until the replacement
leads by each of these, with the shortest slate; they are called ``accent@0.05`` and so on.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import torch

from accent_book import runs
from accent_book.claims import RULES
from accent_book.experiments.base_models import GENERALISING_NAMES, NAMES, RCF_NAMES, base_model, movielens
from accent_book.experiments.command import positive, write_about
from accent_book.runs.folder import Run
from accent_book.runs.manifest import kept
from accent_book.runs.origin import provenance
from accent_book.runs.progress import progress
from accent_book.runs.sources import sources_of_notebooks
from accent_lib import parallel
from accent_lib.explanations import explain_users, methods_for
from accent_lib.influence import fast_influence
from accent_lib.retraining.identity import base_identity, outcomes_identity
from accent_lib.retraining.outcomes import export_outcomes
from accent_lib.retraining.store import Store
from accent_lib.retraining.worlds import World, grouped, worlds_of
from accent_lib.training import recipes

#: How NCF is retrained: as the paper does it, and in a thirtieth of the steps.
RECIPES = {"paper": replace(recipes.PAPER, shuffle_first=True), "annealed": recipes.NCF_RETRAINING}
KS, METHODS = [5, 10, 20], ["accent", "fia", "attention", "random", "pure_fia", "pure_attention"]
#: Verified first, with the shortest slate.
FIRST = METHODS[:4]
#: Those that are compared at several margins.
WITH_MARGIN = {"ncf": ["accent", "fia", "random", "pure_fia"], "rcf": ["accent", "fia"]}
#: Draws the users, where not all are asked for.
USERS_SEED = 15
USERS_PER_WORLD = {"ncf": 1, "rcf": 16}
VARIANTS = {"ncf": "paper", "rcf": "shared"}
#: Seconds between two exports.
EXPORT_EVERY = 600


def order_by(rule: str, model, data, user: int) -> np.ndarray:
    """All actions of a user in the order in which a rule takes them; of equal ones the later first."""
    rows = data.train.iloc[data.rows(user)]
    if len(rows) > len(model.actions(user)):  # RCF's are the liked ones
        rows = rows[rows["positive"]]
    latest_first = np.arange(len(rows))[::-1]
    if rule == "recent":
        return latest_first
    counts = np.bincount(data.train["item"], minlength=data.n_items)
    value = rows["rating"].to_numpy() if rule == "best_rated" else counts[rows["item"]]
    return latest_first[np.argsort(-value[latest_first], kind="stable")]


def by_rules(model, data, variant: str, slates: pd.DataFrame, accent: pd.DataFrame) -> pd.DataFrame:
    """Sets of ACCENT's sizes, with its replacements, by each of the `RULES`: more rows of explanations."""
    analysis, rows = fast_influence(model, variant=variant), []
    items = {user: part["item"].to_numpy(copy=True) for user, part in slates.groupby("user")}
    for row in accent.to_dict("records"):
        user = row["user"]
        estimate = analysis(user, items[user][: row["k"]]) if row["size"] else None
        for rule in RULES:
            chosen = {"method": rule}
            if estimate is not None:
                removed = tuple(int(z) for z in order_by(rule, model, data, user)[: row["size"]])
                predicted = estimate.scores - estimate.influence[:, removed].sum(1)
                chosen |= {"removed": removed, "predicted": tuple(predicted.tolist())}
            rows.append(row | chosen)
    return pd.DataFrame(rows)[accent.columns]


def sets_of(
    name: str, model, data, n_users: int | None, margins: list[float], threads: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Slates and explanations: what is to be verified."""
    users, ks, methods = range(data.n_users), KS, METHODS
    if n_users is not None:
        drawn = np.random.default_rng(USERS_SEED).choice(data.n_users, n_users, replace=False)
        users, ks, methods = np.sort(drawn).tolist(), KS[:1], FIRST
    methods, options = methods_for(model, methods), {"variant": VARIANTS[name]}
    with ThreadPoolExecutor(threads) as executor:
        if margins:
            methods, parts = [method for method in methods if method in WITH_MARGIN[name]], []
            for margin in margins:
                options["margin"] = margin
                # With the longest slate, so that outcomes without a margin are taken over from its table.
                slates, sets, _ = explain_users(name, model, users, ks, methods, executor, **options)
                sets = sets[sets["k"] == KS[0]]
                parts.append(sets.assign(method=sets["method"] + f"@{margin:g}"))
            return slates, pd.concat(parts, ignore_index=True)
        slates, sets, _ = explain_users(name, model, users, ks, methods, executor, **options)
    if n_users is not None:
        return slates, sets
    accent = sets[(sets["method"] == "accent") & (sets["k"] == KS[0])]
    return slates, pd.concat([sets, by_rules(model, data, VARIANTS[name], slates, accent)], ignore_index=True)


def worlds_in_order(explanations: pd.DataFrame, size: int) -> list[World]:
    """Their worlds, each with sets of one method and k, those of `FIRST` with the shortest slate first."""
    known, there = [*METHODS, *RULES], explanations[["k", "method"]].drop_duplicates()
    order = sorted(
        there.itertuples(index=False, name=None),
        key=lambda part: (part[0] != KS[0], part[1] in known and part[1] not in FIRST, part[0]),
    )
    worlds = []
    for k, method in order:
        of_method = explanations[(explanations["k"] == k) & (explanations["method"] == method)]
        worlds += grouped([[world] for world in worlds_of(of_method)], size)
    return list(dict.fromkeys(worlds))


def main() -> None:
    """Explain, retrain, and export as the table grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", choices=[*NAMES, *GENERALISING_NAMES, *RCF_NAMES])
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--orders", type=positive, default=1, help="of the batches; the first is 100")
    parser.add_argument(
        "--users", type=positive, help="so many, by the first methods and k; default: all of all"
    )
    parser.add_argument("--margins", type=float, nargs="+", default=[], help="in score units")
    parser.add_argument(
        "--first", action="store_true", help="the first methods with the shortest slate alone"
    )
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--stack-size", type=positive, default=16)
    parser.add_argument("--leaders", type=positive, default=1, help="of each ranking, in the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, run = movielens(), Run("retrainings", {"run": "bases"})
    base = base_model(arguments.base, data, run.folder)
    kind, number = arguments.base.split("-")
    name = "rcf" if kind == "rcf" else "ncf"
    if kind == "rcf":
        recipe = recipes.for_epochs(base.model, recipes.RCF, recipes.RCF_EPOCHS)
        start, state, stack_size = "initial", base.initial, 1
    else:
        recipe, start, state = RECIPES[arguments.recipe], "trained", base.state
        stack_size = arguments.stack_size
    table = f"{name}-{number if kind in ('paper', 'rcf') else arguments.base}-{arguments.recipe}"
    table += "-margins" if arguments.margins else ""
    folder = runs.results_folder() / table
    users_and_margins = arguments.users, arguments.margins, arguments.workers
    slates, explanations = sets_of(name, base.model, data, *users_and_margins)
    for file, rows in (("slates", slates), ("explanations", explanations)):
        runs.write_table(folder / f"{file}.csv.gz", rows)
    write_about(folder / "training.json", base.facts | {"base": arguments.base})

    identity = base_identity(base.model, base.state, base.facts["fingerprint"])
    fingerprint = outcomes_identity(base.model, identity, recipe, start=start, **base.settings)
    how = runs.Retraining(name, base.model, recipe, state, fingerprint, stack_size, "cpu")
    items = {user: part["item"].to_numpy(copy=True) for user, part in slates.groupby("user")}
    # The base model was trained in the order of its own seed, which none of these is.
    seeds = [100 + order for order in range(arguments.orders)]
    about = {"fingerprint": fingerprint, "recipe": asdict(recipe), "base": arguments.base, "model": name}
    about |= {"table": "outcomes", **provenance(sources=sources_of_notebooks())}
    say, last = progress(run, f"retrainings of {table}"), time.monotonic()

    def export():
        with Store(runs.store_path(run, fingerprint), fingerprint) as store:
            outcomes = runs.outcomes_of_sets(store.outcomes(items, leaders=arguments.leaders), explanations)
        for seed, rows in outcomes[outcomes["seed"].isin(seeds)].groupby("seed"):
            with kept(folder / f"outcomes-{seed}.csv.gz") as file:
                export_outcomes(file, rows, {**about, "seeds": [int(seed)]})

    def report(done, total):
        nonlocal last
        say(done, total)
        if time.monotonic() - last > EXPORT_EVERY:
            last = time.monotonic()
            export()

    asked = explanations
    if arguments.first:
        asked = asked[(asked["k"] == KS[0]) & asked["method"].str.split("@").str[0].isin(FIRST)]
    worlds = worlds_in_order(asked, USERS_PER_WORLD[name])
    with parallel.executor(arguments.workers) as executor:
        options = {"seeds": seeds, "executor": executor, "ahead": 2 * arguments.workers, "progress": report}
        try:
            runs.retrained_outcomes(run, how, worlds, items, **options)
        finally:  # whoever stops it has the table as it stands
            export()


if __name__ == "__main__":
    main()
