"""Verify and resume (paper, section 4.3) for all users: how many sets hold after some rounds, how large.

Needs a run folder in which notebooks 01 to 04 were run on the real data (``--run``); what notebook 05 has
verified of the first sets, by the same recipe, is not trained again.  Each model is retrained as there: NCF
goes on from where it stands, one user a world; RCF begins again, and its worlds do without the sets of many
users at once.  The sets that the rounds begin and end with are retrained in further orders of the batches,
which had no part in choosing them.

Takes minutes for NCF and hours for RCF, and may be interrupted.  The table goes to ``data/results/resume/``.
"""

import argparse
import copy
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from accent_book import runs
from accent_book.experiments.command import parser_of, positive, write_about, write_table
from accent_book.experiments.headline import retraining_of
from accent_book.experiments.rounds import Start, retrained, verify_and_resume, verify_sets
from accent_book.runs.folder import Run
from accent_book.runs.progress import progress
from accent_lib import parallel
from accent_lib.explainers import accent
from accent_lib.influence import fast_influence
from accent_lib.retraining.worlds import world_of


def main() -> None:
    """Run the rounds, hold their sets against other orders of the batches, and print both."""
    begin, arguments = time.perf_counter(), _arguments()
    torch.set_num_threads(1)
    run, name = Run("resume", {"run": arguments.run}), arguments.model
    data = runs.interactions(run)
    how, size = retraining_of(run, name, data, arguments.epochs)
    model, recipe, state = how.model, how.recipe, how.state
    slates, variant = runs.slates_of(run, name), run.setting("04_explanations", f"{name}_variant")
    analysis, starts = fast_influence(copy.deepcopy(model).double(), variant), {}
    for user, items in slates.items():
        estimate = analysis(user, items[: arguments.k])
        starts[user] = Start(items, estimate.influence, accent(estimate.scores, estimate.influence))
    seeds = list(range(arguments.seeds))
    others = list(range(arguments.seeds, arguments.seeds + arguments.check_seeds))
    size = arguments.users_per_world or size
    with (
        parallel.executor(arguments.workers) as executor,
        runs.outcomes_store(run, how, slates) as store,
    ):
        before = store.status()["worlds"].sum()
        options = {"users_per_world": size, "stack_size": how.stack_size, "executor": executor}
        options["ahead"] = 2 * arguments.workers
        rounds = {"rounds": arguments.rounds, "seeds": seeds, **options}
        rounds["progress"] = _anew(run, f"retrainings of {name} in a round")
        table = verify_and_resume(name, model, recipe, state, starts, store, **rounds)
        at_ends = table["round"].isin([0, arguments.rounds])
        options["progress"] = _anew(run, f"retrainings of {name} in another order")
        for _, rows in table[at_ends & (table["size"] > 0)].groupby("round"):
            sets = {row.user: row.removed for row in rows.itertuples()}
            verify_sets(name, model, recipe, state, sets, slates, store, seeds=others, **options)
        shown, in_others = (retrained(store, name, slates, orders) for orders in (seeds, others))
        new = store.status()["worlds"].sum() - before

    def holds(row):
        key = world_of(row["user"], row["removed"]).key
        scores = in_others[row["user"], key].scores if key else None
        return scores is not None and bool(scores[row["replacement_position"]] > scores[0])

    table.loc[at_ends, "holds_in_another_order"] = table[at_ends].apply(holds, axis=1)
    worlds = {False: set(), True: set()}  # of the first sets, and of those that the rounds made
    for row in table[table["size"] > 0].itertuples():
        worlds[row.round > 0].add(shown[row.user, world_of(row.user, row.removed).key].world)
    about = {
        "fingerprint": how.fingerprint,
        "recipe": asdict(recipe),
        "seeds": seeds,
        "check_seeds": others,
        "users_per_world": size,
        "retrainings_after_round_0": len(worlds[True] - worlds[False]) * len(seeds),
        "retrainings_by_this_command": int(new),
        "seconds_of_this_command": round(time.perf_counter() - begin, 1),
    }
    path = arguments.to / f"{name}-k{arguments.k}.csv"
    write_table(path, table)
    write_about(path.with_suffix(".json"), about)
    by_round = table.groupby("round")
    print(
        pd.DataFrame(
            {
                "hold (%)": 100 * by_round["counterfactual"].mean(),
                "size": table[table["counterfactual"]].groupby("round")["size"].mean(),
                "open": by_round["status"].apply(lambda status: (status == "open").sum()),
                "unsolved": by_round["status"].apply(lambda status: (status == "unsolved").sum()),
                "in another order (%)": 100
                * table[at_ends].groupby("round")["holds_in_another_order"].mean().astype(float),
            }
        ).round(2)
    )


def _anew(run, what):
    """Progress that begins again with each round, so that rates and times left are those of the round."""
    report, left = None, 0

    def call(done, total):
        nonlocal report, left
        report = report if left else progress(run, what)
        left = total - done
        report(done, total)

    return call


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__, ["ncf", "rcf"])
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seeds", type=positive, default=1, help="orders of the batches to judge by")
    parser.add_argument("--check-seeds", type=positive, default=1, help="further orders for the check")
    parser.add_argument("--users-per-world", type=positive, help="default: 1 for ncf, 30 for rcf")
    parser.add_argument("--epochs", type=positive, default=20, help="of each retraining of rcf")
    parser.add_argument("--to", type=Path, default=runs.results_folder() / "resume", help="folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
