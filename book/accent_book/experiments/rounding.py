"""How much of a verdict on NCF is rounding: one retraining, four times over.

``python -m accent_book.experiments.rounding paper-0`` takes 200 users, and of each ACCENT's set (k = 5) and
one random action.  Each is retrained in two orders of the batches, and in each order twice: from the
trained weights, and from weights that are moved by a relative 1e-7, about one unit in their last place.
Nothing that an explanation is made from differs between the two.  The table goes to
``data/results/ncf-rounding/``; what it holds is not trained again.
"""

import argparse
from functools import partial

import numpy as np
import pandas as pd
import torch

from accent_book import runs
from accent_book.experiments.base_models import GENERALISING_NAMES, NAMES, base_model, movielens
from accent_book.experiments.command import positive, write_about, write_table
from accent_book.experiments.retrainings import KS, USERS_SEED
from accent_book.runs.notebooks import read_json
from accent_lib import parallel
from accent_lib.errors import AccentError
from accent_lib.explanations import explain_users
from accent_lib.retraining.engine import run_stack
from accent_lib.retraining.worlds import World, world_of
from accent_lib.training import State, recipes

#: Orders of the batches; and draws of the move, of which 0 is none.
SEEDS, MOVES = [100, 101], [0, 1]
#: By how much each weight is moved, relative to itself, upward or downward.
RELATIVE = 1e-7
STACK = 16


def moved(state: State, draw: int) -> State:
    """The state with every parameter moved by `RELATIVE`; by nothing in draw 0."""
    if draw == 0:
        return state
    generator = torch.Generator().manual_seed(draw)
    parameters = {
        name: value * (1 + RELATIVE * (2.0 * torch.randint(2, value.shape, generator=generator) - 1))
        for name, value in state.parameters.items()
    }
    return State(parameters, state.moments)


def questions(model, n_users: int, drawn_users: int) -> tuple[pd.DataFrame, dict]:
    """What is left out, one row a user and kind (``set`` or ``single``), and the slates."""
    generator = np.random.default_rng(USERS_SEED)
    users = np.sort(generator.choice(n_users, drawn_users, replace=False)).tolist()
    slates, sets, _ = explain_users("ncf", model, users, KS[:1], ["accent"])
    items = {user: part["item"].to_numpy(copy=True) for user, part in slates.groupby("user")}
    rows = []
    for row in sets[sets["size"] > 0].itertuples():
        single = (int(generator.integers(len(model.actions(row.user)))),)
        for kind, removed in (("set", row.removed), ("single", single)):
            rows.append(
                {"user": row.user, "kind": kind, "removed": removed, "place": row.replacement_position}
            )
    return pd.DataFrame(rows), items


def main() -> None:
    """Retrain what the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", choices=[*NAMES, *GENERALISING_NAMES])
    parser.add_argument("--users", type=positive, default=200)
    parser.add_argument("--workers", type=positive, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = movielens()
    base = base_model(arguments.base, data, runs.runs_folder() / "bases")
    asked, items = questions(base.model, data.n_users, arguments.users)
    path = runs.results_folder() / "ncf-rounding" / f"{arguments.base}.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame({"seed": [], "move": [], "user": []})
    about = {"base": arguments.base, "digest": base.facts["digest"], "relative": RELATIVE}
    before = read_json(path.with_suffix(".json")) or about
    if any(before[name] != value for name, value in about.items()):
        raise AccentError(f"{path} is of another base model or move; move it away to make it anew.")
    with parallel.executor(arguments.workers) as executor:
        apply = map if executor is None else executor.map
        for seed in SEEDS:
            for move in MOVES:
                known = done[(done["seed"] == seed) & (done["move"] == move)]
                rows = asked[~asked["user"].isin(known["user"])]
                worlds = [world_of(row.user, row.removed) for row in rows.itertuples()]
                stacks = [
                    [World(), *worlds[start : start + STACK - 1]]
                    for start in range(0, len(worlds), STACK - 1)
                ]
                controlled = [items if place == 0 else () for place in range(len(stacks))]
                how = (base.model, recipes.NCF_RETRAINING, moved(base.state, move))
                train = partial(_stack, *how, items, seed)
                outcomes = {
                    (outcome.user, outcome.world): outcome
                    for stack in apply(train, stacks, controlled)
                    for outcome in stack
                }
                new = [_row(row, outcomes, seed, move) for row in rows.itertuples()]
                done = pd.concat([done, pd.DataFrame(new)], ignore_index=True)
                write_table(path, done.astype({"seed": int, "move": int, "user": int}))
                write_about(path.with_suffix(".json"), about)
                print(f"order {seed}, move {move}: {len(new)} retrainings", flush=True)


def _stack(model, recipe, state, items, seed, worlds, controlled):
    return run_stack(model, recipe, state, worlds, items, seed, controlled)


def _row(row, outcomes, seed, move):
    """Gaps between recommendation and replacement, with the action or set left out and with nothing."""
    without, control = (
        outcomes[row.user, world.key].scores for world in (world_of(row.user, row.removed), World())
    )
    gap, control_gap = (scores[0] - scores[row.place] for scores in (without, control))
    facts = {"seed": seed, "move": move, "user": row.user, "kind": row.kind, "size": len(row.removed)}
    return facts | {"gap": gap, "control_gap": control_gap}


if __name__ == "__main__":
    main()
