"""The figures of the README follow from the committed outcome tables."""

import json
from pathlib import Path

import pandas as pd
import pytest

from accent_lib.evaluation import PAPER_TABLE1, influence_errors, judge, noise_floor, summary
from accent_lib.plotting import METHOD_NAMES
from accent_lib.retraining.outcomes import import_outcomes
from tests.conftest import ROOT

RESULTS = ROOT / "data" / "results" / "ncf-ml-100k"
TEXT = {"removed": str, "predicted": str}


@pytest.fixture(scope="module")
def results():
    """Judged explanations, slates and outcomes, read without the data set and without a run folder."""
    outcomes, about = import_outcomes(RESULTS / "outcomes.csv")
    slates = pd.read_csv(RESULTS / "slates.csv")
    explanations = pd.read_csv(RESULTS / "explanations.csv", dtype=TEXT, keep_default_na=False)
    explanations = explanations[explanations["user"].isin(outcomes["user"])]
    return judge(explanations, slates, outcomes), slates, outcomes, about


def expected_lines(judged, slates, outcomes):
    """The lines of the README that say numbers of the outcome tables."""
    figures = summary(judged)
    lines = []
    for method in figures["method"].unique():
        cells = [
            f"{row.cf_percentage:.1f} ({row.cf_low:.1f} to {row.cf_high:.1f}) | {row.set_size:.2f}"
            for row in figures[figures["method"] == method].sort_values("k").itertuples()
        ]
        lines.append(f"| {METHOD_NAMES[method]} | {' | '.join(cells)} |")
        paper = PAPER_TABLE1[(PAPER_TABLE1["model"] == "ncf") & (PAPER_TABLE1["method"] == method)]
        cells = [
            f"{row.cf_percentage:.1f} | {row.set_size:.2f}" for row in paper.sort_values("k").itertuples()
        ]
        if cells:
            lines.append(f"| {METHOD_NAMES[method]}, the paper | {' | '.join(cells)} |")
    (floor,) = noise_floor(slates, outcomes, [20])["changed_percentage"]
    errors = influence_errors(judged[judged["method"] == "accent"]).set_index("quantity")
    gap, score = errors.loc["gap"], errors.loc["score"]
    lines += [
        f"| users verified | {outcomes['user'].nunique()} |",
        f"| noise floor, k = 20 | {floor:.1f}% |",
    ]
    lines += [
        f"| estimated against true influence on {name}: correlation | {one['correlation']:.2f} |"
        for name, one in (("gaps", gap), ("scores", score))
    ]
    lines += [
        f"| RMSE of the estimate on {name}, beside the sd of the truth (stars)"
        f" | {one['rmse']:.3f}, {one['sd_true']:.3f} |"
        for name, one in (("gaps", gap), ("scores", score))
    ]
    training = json.loads((RESULTS / "training.json").read_text())
    return lines + [
        f"| training objective of the kept start | {training['objective']:.3f} |",
        f"| held-out RMSE, NCF and mean baseline (stars)"
        f" | {training['rmse']:.3f}, {training['baseline_rmse']:.3f} |",
    ]


def test_readme_says_what_the_tables_say(results):
    judged, slates, outcomes, _ = results
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    expected = expected_lines(judged, slates, outcomes)
    missing = [line for line in expected if line not in readme]
    assert not missing, "README.md lacks these lines:\n" + "\n".join(missing)


def test_the_tables_are_of_the_recipe_that_the_readme_names(results):
    judged, _, outcomes, about = results
    assert about["recipe"]["ncf"]["steps"] == 4000 and set(outcomes["seed"]) == {0}
    assert (outcomes["status"] == "ok").all()
    # Three methods and the control, on three slates, for every user.
    assert (judged.groupby("user").size() == 12).all() and judged["user"].nunique() == about["users"]
    assert {"commit", "versions", "date", "fingerprint"} <= set(about)


def test_no_table_names_a_rating():
    # Sets are positions in a history and slates hold films that the user has not rated.
    for path in Path(RESULTS).glob("*.csv"):
        columns = set(pd.read_csv(path, nrows=1).columns)
        assert not columns & {"rating", "timestamp", "title", "user_id", "item_id"}
