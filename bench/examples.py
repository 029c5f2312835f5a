"""Explanations in films, as in the paper's Table 2: a few of the committed ones, with titles.

Needs the tables of ``data/results`` and a run folder of the real data (``--run``), which knows the titles.
First come users whose recommendation is one of the paper's examples, then the most popular recommendations;
of ACCENT's sets with two or three actions, verified in every order of the batches, one for each film. Writes
``data/results/examples/examples.csv``.
"""

import argparse
import json

import numpy as np
import pandas as pd

from accent_lib import workflow
from accent_lib.evaluation import judge
from accent_lib.files import atomic
from accent_lib.provenance import provenance
from accent_lib.retraining.worlds import positions_of
from accent_lib.workflow.folder import Run

#: Recommendations in the paper's Table 2, as MovieLens calls them.
IN_PAPER = ("Silence of the Lambs, The (1991)", "Titanic (1997)", "Devil's Advocate, The (1997)")
K, POPULAR = 5, 3


def main():
    """Choose the examples and write their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="paper", help="run folder")
    arguments = parser.parse_args()
    run = Run("examples", {"run": arguments.run})
    data, rows = workflow.interactions(run), []
    seen = np.bincount(data.train["item"], minlength=len(data.titles))
    for name in ("ncf", "rcf"):
        model = workflow.trained_model(run, name, data)[0]
        kept = workflow.read_results(f"{name}-paper")
        judged = judge(*kept[:3], partial=True).query("k == @K")
        each = [
            judge(kept.explanations.query("k == @K"), kept.slates, kept.outcomes, [seed], partial=True)
            for seed in sorted(kept.outcomes["seed"].unique())
        ]
        always = np.all([one["counterfactual"].to_numpy() for one in each], axis=0)
        mine = judged[always & (judged["method"] == "accent").to_numpy() & judged["size"].between(1, 3)]
        mine = mine.assign(
            in_paper=[data.titles[item] in IN_PAPER for item in mine["recommendation"]],
            seen=seen[mine["recommendation"]],
            several=mine["size"] > 1,
        )
        mine = mine.sort_values(
            ["in_paper", "several", "seen", "user"], ascending=[False, False, False, True]
        )
        mine = mine.drop_duplicates("recommendation")
        chosen = pd.concat([mine[mine["in_paper"]], mine[~mine["in_paper"]].head(POPULAR)])
        removed = kept.explanations.query("k == @K").set_index(["method", "user"])["removed"]
        for row in chosen.itertuples():
            history = data.titles[model.actions(row.user)]
            others = {m: len(positions_of(removed[m, row.user])) for m in removed.index.levels[0]}
            rows.append(
                {
                    "model": name,
                    "in_paper": "yes" if row.in_paper else "",
                    "recommendation": data.titles[row.recommendation],
                    "accent": "; ".join(history[list(positions_of(removed["accent", row.user]))]),
                    "replacement": data.titles[row.replacement],
                    "fia": others["fia"],
                    "pure FIA": others["pure_fia"],
                    "attention": others.get("attention", ""),
                    "pure attention": others.get("pure_attention", ""),
                }
            )
    path = workflow.results_folder() / "examples" / "examples.csv"
    with atomic(path) as file:
        pd.DataFrame(rows).to_csv(file, index=False)
    with atomic(path.with_suffix(".json")) as file:
        file.write_text(json.dumps(provenance(), indent=2) + "\n")
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    main()
