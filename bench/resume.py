"""Verify and resume (paper, section 4.3) for all users: how many sets hold after some rounds, how large.

Needs a run folder in which notebooks 01 to 04 were run on the real data (``--run``); where notebook 05 has
verified the first sets, with one user a world, they are not trained again.  The rounds see one order of the
batches, so the sets that they end with are retrained in another, which had no part in choosing them.

Takes minutes for NCF; RCF would take days, one user a world from scratch.  The table goes to
``data/results/resume/``.
"""

import argparse
import copy
import json
from dataclasses import asdict

import pandas as pd
import torch

from accent_lib import parallel, workflow
from accent_lib.explainers import accent
from accent_lib.files import atomic
from accent_lib.influence import FastInfluence
from accent_lib.provenance import fingerprint, provenance, source_hash
from accent_lib.retraining.outcomes import scores_of
from accent_lib.retraining.resume import Start, verify_and_resume
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import world_of
from accent_lib.training import Recipe
from accent_lib.workflow.folder import Run
from accent_lib.workflow.progress import progress

RECIPE = Recipe(4000, 1e-3, "linear")


def main():
    """Run the rounds, hold their sets against another order of the batches, and print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="ml-100k", help="run folder")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    run, name = Run("resume", {"run": arguments.run}), "ncf"
    data = workflow.interactions(run)
    model, state, facts = workflow.trained_model(run, name, data)
    slates = workflow.slates_of(run, name)
    analysis, starts = FastInfluence(copy.deepcopy(model).double(), "paper"), {}
    for user, items in slates.items():
        found = analysis(user, items[: arguments.k])
        starts[user] = Start(items, found.influence, accent(found.scores, found.influence))
    mark = fingerprint(  # as in notebook 05, whose outcomes are taken over
        checkpoint=facts["fingerprint"],
        slates={user: items.tolist() for user, items in slates.items()},
        recipe=asdict(RECIPE),
        code=source_hash(*workflow.SOURCES[name], "training.py", "retraining/engine.py"),
    )
    with (
        parallel.executor(arguments.workers) as executor,
        Store(workflow.store_path(run, mark), mark) as store,
    ):
        workflow.import_results(run, store)
        shown = {"executor": executor, "progress": progress(run, "retrainings of a round")}
        rounds = {"rounds": arguments.rounds, **shown}
        table = verify_and_resume(name, model, RECIPE, state, starts, store, **rounds)
        ends = table[(table["round"] == 0) | (table["round"] == arguments.rounds)]
        ends = ends[ends["size"] > 0]
        worlds = list(dict.fromkeys(world_of(row.user, row.removed) for row in ends.itertuples()))
        shown["progress"] = progress(run, "retrainings in another order")
        verify(name, model, RECIPE, state, worlds, slates, store, seeds=[1], **shown)
        outcomes = store.outcomes().query("seed == 1").set_index(["world", "user"])["scores"]

    def holds(row):
        if row["size"] == 0:
            return False
        scores = scores_of(outcomes[world_of(row["user"], row["removed"]).key, row["user"]])
        return scores[row["replacement_position"]] > scores[0]

    at_ends = table["round"].isin([0, arguments.rounds])
    table.loc[at_ends, "holds_in_another_order"] = table[at_ends].apply(holds, axis=1)
    path = workflow.results_folder() / "resume" / f"{name}-k{arguments.k}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        table.to_csv(file, index=False, float_format="%.6g")
    with atomic(path.with_suffix(".json")) as file:
        about = {"fingerprint": mark, "recipe": asdict(RECIPE), **provenance()}
        file.write_text(json.dumps(about, indent=2) + "\n")
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


if __name__ == "__main__":
    main()
