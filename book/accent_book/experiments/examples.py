"""Explanations in films, as in the paper's Table 2: a few of the committed ones, with titles.

Needs the tables of ``data/results`` and a run folder of the real data (``--run``), which knows the titles.
Of ACCENT's sets with at most three actions that hold in every order of the batches it takes those for the
recommendations of the paper's examples; and of the others, where they have more than one action and FIA's
set is larger, those for the most popular recommendations. Writes ``data/results/examples/examples.csv``.
"""

import itertools

import numpy as np
import pandas as pd

from accent_book import runs
from accent_book.experiments.command import parser_of, write_about, write_table
from accent_book.runs.folder import Run
from accent_lib.evaluation import judge

#: Recommendations in the paper's Table 2, as MovieLens calls them.
IN_PAPER = ("Silence of the Lambs, The (1991)", "Titanic (1997)", "Devil's Advocate, The (1997)")
METHODS = ("accent", "fia", "attention")
K, MOST, POPULAR = 5, 3, 3


def _listed(films, most=4):
    """The first films; whole histories do not belong into the project."""
    rest = len(films) - most
    return "; ".join(films[:most]) + (f"; … and {rest} more" if rest > 0 else "")


def main() -> None:
    """Choose the examples and write their table."""
    run = Run("examples", {"run": parser_of(__doc__).parse_args().run})
    data, rows = runs.interactions(run), []
    popularity = np.bincount(data.train["item"], minlength=len(data.titles))
    for name in ("ncf", "rcf"):
        model = runs.trained_model(run, name, data)[0]
        kept = runs.read_results(f"{name}-paper")
        explanations = kept.explanations.query("k == @K and method in @METHODS")
        together = judge(explanations, kept.slates, kept.outcomes)
        each = [judge(explanations, kept.slates, kept.outcomes, [s]) for s in kept.outcomes["seed"].unique()]
        together["always"] = np.all([by_seed["counterfactual"] for by_seed in each], axis=0)
        together["removed"] = explanations["removed"].tolist()
        verdicts = together.set_index(["method", "user"])
        mine = verdicts.loc["accent"].query("always and size <= @MOST").copy()
        mine["in_paper"] = [data.titles[item] in IN_PAPER for item in mine["recommendation"]]
        mine["popularity"] = popularity[mine["recommendation"]]
        larger = verdicts.loc["fia"]["size"].reindex(mine.index) > mine["size"]
        first = mine[mine["in_paper"]].sort_values("size", ascending=False, kind="stable")
        rest = mine[~mine["in_paper"] & larger & (mine["size"] > 1)]
        rest = rest.sort_values("popularity", ascending=False, kind="stable")
        chosen = pd.concat(
            [first.drop_duplicates("recommendation"), rest.drop_duplicates("recommendation").head(POPULAR)]
        )
        for user, method in itertools.product(chosen.index, METHODS):
            if (method, user) in verdicts.index:
                row, history = verdicts.loc[method, user], data.titles[model.actions(user)]
                rows.append(
                    {
                        "model": name,
                        "recommendation": data.titles[row["recommendation"]],
                        "in_paper": chosen.loc[user, "in_paper"],
                        "method": method,
                        "removed": _listed(history[list(row["removed"])]),
                        "actions": row["size"],
                        "replacement": data.titles[row["replacement"]] if row["size"] else "",
                        "holds": row["counterfactual"],
                    }
                )
    path = runs.results_folder() / "examples" / "examples.csv"
    write_table(path, pd.DataFrame(rows))
    write_about(path.with_suffix(".json"), {})
    print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    main()
