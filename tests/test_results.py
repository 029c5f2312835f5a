"""The figures of the README follow from the committed outcome tables."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from accent_lib.evaluation import PAPER_TABLE1, influence_errors, judge, noise_floor, summary
from accent_lib.plotting import METHOD_NAMES, UNITS
from accent_lib.retraining.outcomes import import_outcomes
from tests.conftest import ROOT

RESULTS = ROOT / "data" / "results"
MODELS = ("ncf", "rcf")
TEXT = {"removed": str, "predicted": str}


@pytest.fixture(scope="module", params=MODELS)
def results(request):
    """Judged explanations, slates and outcomes, read without the data set and without a run folder."""
    model = request.param
    folder = RESULTS / f"{model}-ml-100k"
    outcomes, about = import_outcomes(folder / "outcomes.csv")
    slates = pd.read_csv(folder / "slates.csv")
    explanations = pd.read_csv(folder / "explanations.csv", dtype=TEXT, keep_default_na=False)
    explanations = explanations[explanations["user"].isin(outcomes["user"])]
    slates = slates[slates["user"].isin(outcomes["user"])]
    judged = judge(explanations, slates, outcomes)
    return SimpleNamespace(
        model=model, folder=folder, judged=judged, slates=slates, outcomes=outcomes, about=about
    )


def by_method(results):
    """One line a method, ours and the paper's."""
    figures = summary(results.judged)
    for method in figures["method"].unique():
        cells = [
            f"{row.cf_percentage:.1f} ({row.cf_low:.1f} to {row.cf_high:.1f}) | {row.set_size:.2f}"
            for row in figures[figures["method"] == method].sort_values("k").itertuples()
        ]
        yield f"| {METHOD_NAMES[method]} | {' | '.join(cells)} |"
        paper = PAPER_TABLE1[(PAPER_TABLE1["model"] == results.model) & (PAPER_TABLE1["method"] == method)]
        cells = [
            f"{row.cf_percentage:.1f} | {row.set_size:.2f}" for row in paper.sort_values("k").itertuples()
        ]
        if cells:
            yield f"| {METHOD_NAMES[method]}, the paper | {' | '.join(cells)} |"


def about_estimates(results):
    """What is said of retraining and of influence."""
    (floor,) = noise_floor(results.slates, results.outcomes, [20])["changed_percentage"]
    errors = influence_errors(results.judged[results.judged["method"] == "accent"]).set_index("quantity")
    yield f"| users verified | {results.outcomes['user'].nunique()} |"
    yield f"| noise floor, k = 20 | {floor:.1f}% |"
    for name, one in (("gaps", errors.loc["gap"]), ("scores", errors.loc["score"])):
        yield f"| estimated against true influence on {name}: correlation | {one['correlation']:.2f} |"
        yield (
            f"| RMSE of the estimate on {name}, beside the sd of the truth ({UNITS[results.model]})"
            f" | {one['rmse']:.3f}, {one['sd_true']:.3f} |"
        )


def about_training(results):
    """What is said of the base model."""
    training = json.loads((results.folder / "training.json").read_text())
    if results.model == "ncf":
        yield f"| training objective of the kept start | {training['objective']:.3f} |"
        yield (
            f"| held-out RMSE, NCF and mean baseline (stars)"
            f" | {training['rmse']:.3f}, {training['baseline_rmse']:.3f} |"
        )
        return
    yield f"| training objective | {training['objective']:.4f} |"
    yield (
        f"| held-out pairs in order, RCF and mean baseline"
        f" | {training['pairwise_accuracy']:.1%}, {training['baseline_pairwise_accuracy']:.1%} |"
    )
    warm, _ = import_outcomes(results.folder / "warm.csv")
    explanations = pd.read_csv(results.folder / "explanations.csv", dtype=TEXT, keep_default_na=False)
    with_set = results.judged["size"] > 0
    same = judge(explanations, results.slates, warm)["counterfactual"] == results.judged["counterfactual"]
    yield f"| sets with the same verdict from a warm start | {same[with_set].mean():.1%} |"


def test_readme_says_what_the_tables_say(results):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    expected = [*by_method(results), *about_estimates(results), *about_training(results)]
    missing = [line for line in expected if line not in readme]
    assert not missing, "README.md lacks these lines:\n" + "\n".join(missing)


def test_the_tables_are_of_the_recipe_that_the_readme_names(results):
    judged, outcomes, about = results.judged, results.outcomes, results.about
    recipe = about["recipe"]
    # 50 epochs of 95 steps for RCF
    assert recipe["steps"] == {"ncf": 4000, "rcf": 4750}[results.model] and set(outcomes["seed"]) == {0}
    assert (outcomes["status"] == "ok").all()
    # All methods and the control, on three slates, for every user.
    assert (judged.groupby("user").size() == {"ncf": 12, "rcf": 18}[results.model]).all()
    assert {"commit", "versions", "date", "fingerprint"} <= set(about)


def test_no_table_names_a_rating():
    # Sets are positions in a history and slates hold films that the user has no action on.
    tables = [path for model in MODELS for path in (RESULTS / f"{model}-ml-100k").glob("*.csv")]
    assert tables
    for path in tables:
        columns = set(pd.read_csv(path, nrows=1).columns)
        assert not columns & {"rating", "timestamp", "title", "user_id", "item_id"}
