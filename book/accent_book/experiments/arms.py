"""Verify and resume for ACCENT, FIA and random sets, with as many retrainings each: what does it gain?

``python -m accent_book.experiments.arms paper-0`` retrains the sets of a base model in three orders of the
batches, goes on where a set does not hold by their mean, and holds the last sets against five other orders,
which had no part in choosing them.  Whoever may try again passes his own test more often, even with random
sets; so a third arm draws a new set at random in each round, of the size that ACCENT's has there.

NCF: all users, the annealed recipe.  RCF (``rcf-0``): 150 users, drawn once, 20 epochs from scratch.  Tables
go to ``data/results/arms/`` after each arm, and a run that was stopped goes on.
"""

import argparse
import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch

from accent_book import runs
from accent_book.experiments.base_models import NAMES, RCF_NAMES, base_model, movielens
from accent_book.experiments.command import positive, write_about, write_table
from accent_book.experiments.retrainings import RECIPES, USERS_PER_WORLD, USERS_SEED, VARIANTS
from accent_book.experiments.rounds import Start, retrained, verify_and_resume, verify_sets
from accent_book.runs.folder import Run
from accent_book.runs.origin import provenance
from accent_book.runs.progress import progress
from accent_book.runs.sources import sources_of_notebooks
from accent_lib import parallel
from accent_lib.explainers import Explanation, accent, checked, fia, random_set, resume, walk
from accent_lib.influence import fast_influence
from accent_lib.models import slates
from accent_lib.retraining.identity import base_identity, outcomes_identity
from accent_lib.retraining.store import Store
from accent_lib.retraining.worlds import world_of
from accent_lib.training import recipes

K, ROUNDS, RCF_USERS, RCF_EPOCHS = 5, 5, 150, 20
#: Orders of the batches that sets are chosen by, and those that they are held against.
CHOOSING, CHECKING = [200, 201, 202], [100, 101, 102, 103, 104]


def resume_fia(removed, measured: np.ndarray, influence: np.ndarray) -> Explanation | None:
    """FIA on measured scores, with the actions that are left: :func:`~accent_lib.explainers.resume` for FIA.

    Examples
    --------
    >>> resume_fia((1,), np.array([4.0, 3.75]), np.array([[0.125, 1.0, 0.5], [0.0, 0.0, 0.0]])).removed
    (1, 2)
    """
    measured, influence = checked(measured, influence)
    left = np.setdiff1d(np.arange(influence.shape[1]), removed)
    order = np.argsort(-influence[0, left], kind="stable")

    def rescore(gone, tried):  # influences add up
        return measured - np.cumsum(influence[:, left[[*gone, *tried]]].T, 0)[len(gone) :]

    # Not fia(), whose scores descend: what was measured need not.
    longer = walk(measured, order, rescore, selective=True)
    if longer is None:
        return None
    added = left[list(longer.removed)].tolist()
    return Explanation((*removed, *added), longer.replacement, longer.predicted)


def at_random(starts: Mapping[int, Start], table: pd.DataFrame) -> Callable[[int, int], Explanation | None]:
    """Random sets, of the size and with the replacement that ACCENT's have in the same round."""
    sets = {(row.user, row.round): row for row in table.itertuples()}

    def draw(user, number):
        row, start = sets[user, min(number, ROUNDS)], starts[user]
        if not row.size:
            return None
        zeros = np.zeros(len(start.influence))
        like = Explanation(row.removed, row.replacement_position, zeros)
        return random_set(zeros, start.influence, like, seed=1000 * user + number)

    return draw


def main() -> None:
    """Run the three arms, and write their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", choices=[*NAMES, *RCF_NAMES])
    parser.add_argument("--workers", type=positive, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, run = movielens(), Run("retrainings", {"run": "bases"})
    base = base_model(arguments.base, data, run.folder)
    name = "rcf" if arguments.base in RCF_NAMES else "ncf"
    users, recipe = range(data.n_users), RECIPES["annealed"]
    start, state, stack_size = "trained", base.state, 16
    if name == "rcf":
        drawn = np.random.default_rng(USERS_SEED).choice(data.n_users, RCF_USERS, replace=False)
        users, recipe = np.sort(drawn).tolist(), recipes.for_epochs(base.model, recipes.RCF, RCF_EPOCHS)
        start, state, stack_size = "initial", base.initial, 1
    ranked = slates(base.model, users, 20)
    items = {user: part for user, (part, _) in zip(users, ranked, strict=True)}
    identity = base_identity(base.model, base.state, base.facts["fingerprint"])
    fingerprint = outcomes_identity(base.model, identity, recipe, start=start, **base.settings)
    options = {"users_per_world": USERS_PER_WORLD[name], "stack_size": stack_size}
    options["ahead"] = 2 * arguments.workers
    about = {"fingerprint": fingerprint, "recipe": asdict(recipe), "base": arguments.base, "k": K}
    about |= {"choosing": CHOOSING, "checking": CHECKING, **provenance(sources=sources_of_notebooks())}

    influence = fast_influence(copy.deepcopy(base.model).double(), VARIANTS[name])
    estimates = {user: influence(user, items[user][:K]) for user in users}
    parts, of_accent = [], None
    with (
        parallel.executor(arguments.workers) as executor,
        Store(runs.store_path(run, fingerprint), fingerprint) as store,
    ):
        options["executor"] = executor
        for arm in ("accent", "fia", "random"):
            begin, before = time.perf_counter(), store.status()["worlds"].sum()
            following = {"accent": resume, "fia": resume_fia}.get(arm)
            starts = {}
            for user, estimate in estimates.items():
                first = {"accent": accent, "fia": fia}.get(arm, accent)(estimate.scores, estimate.influence)
                starts[user] = Start(items[user], estimate.influence, first)
            if arm == "random":
                draw = at_random(starts, of_accent)
                starts = {user: Start(s.items, s.influence, draw(user, 0)) for user, s in starts.items()}
                following = lambda user, number, *_: draw(user, number)  # noqa: E731, B023
            rounds = {"rounds": ROUNDS, "seeds": CHOOSING, "following": _by_user(following, arm), **options}
            rounds["progress"] = progress(run, f"{arm}: retrainings in a round")
            table = verify_and_resume(name, base.model, recipe, state, starts, store, **rounds)
            of_accent = table if arm == "accent" else of_accent
            checking = {
                "seeds": CHECKING,
                **options,
                "progress": progress(run, "other orders"),
            }
            retrain = (name, base.model, recipe, state)
            table["in_other_orders"] = _checked(retrain, table, items, store, checking)
            parts.append(table.assign(method=arm))
            after = store.status()["worlds"].sum()
            about[arm] = {"worlds": int(after - before), "seconds": round(time.perf_counter() - begin, 1)}
            path = runs.results_folder() / "arms" / f"{arguments.base}.csv"
            write_table(path, pd.concat(parts, ignore_index=True))
            write_about(path.with_suffix(".json"), about)
            last = table[table["round"] == ROUNDS]
            print(arm, f"{100 * last['counterfactual'].mean():.1f}% by the orders that chose,", end=" ")
            print(f"{100 * last['in_other_orders'].mean():.1f}% by others, size {last['size'].mean():.2f}")


def _by_user(following, arm):
    """In the form that `verify_and_resume` asks for."""
    if arm == "random":
        return following
    return lambda user, number, removed, measured, influence: following(removed, measured, influence)


def _checked(retrain, table, items, store, options) -> pd.Series:
    """Whether the sets of the first and the last round hold by the mean of the orders that chose nothing."""
    at_ends = table["round"].isin([0, ROUNDS])
    for _, rows in table[at_ends & (table["size"] > 0)].groupby("round"):
        sets = {row.user: row.removed for row in rows.itertuples()}
        slate = {user: items[user] for user in sets}
        verify_sets(*retrain, sets, slate, store, **options)
    shown = retrained(store, retrain[0], items, options["seeds"])

    def holds(row):
        if not row["size"]:
            return False
        scores = shown[row["user"], world_of(row["user"], row["removed"]).key].scores
        return scores is not None and bool(scores[row["replacement_position"]] > scores[0])

    return table[at_ends].apply(holds, axis=1).reindex(table.index)


if __name__ == "__main__":
    main()
