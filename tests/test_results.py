"""The figures of the README follow from the committed outcome tables."""

from types import SimpleNamespace

import pandas as pd
import pytest

from accent_book import runs
from accent_book.claims import RULES, read_claims
from accent_book.figures import METHOD_NAMES, UNITS
from accent_book.figures.agreement import agreement
from accent_book.figures.paper import PAPER_DATA, PAPER_TABLE1
from accent_lib.evaluation import influence_errors, judge, noise_floor, summary
from accent_lib.retraining.cells import from_text
from accent_lib.retraining.outcomes import import_outcomes
from tests.conftest import ROOT

RESULTS = ROOT / "data" / "results"
MODELS = ("ncf", "rcf")
HEADLINE = read_claims()["headline"]


@pytest.fixture(scope="module", params=MODELS)
def results(request):
    """Judged explanations, slates and outcomes, read without the data set and without a run folder."""
    model = request.param
    kept = runs.read_results(HEADLINE[model])
    judged = judge(kept.explanations, kept.slates, kept.outcomes)
    judged = judged[~judged["method"].isin(RULES)]
    return SimpleNamespace(model=model, judged=judged, **kept._asdict())


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
        yield (
            f"| estimated against true influence on {name}: correlation, of ranks"
            f" | {one['correlation']:.2f}, {one['rank_correlation']:.2f} |"
        )
        yield (
            f"| RMSE of the estimate on {name}, beside the sd of the truth ({UNITS[results.model]})"
            f" | {one['rmse']:.3f}, {one['sd_true']:.3f} |"
        )


def about_training(results):
    """What is said of the base model."""
    training = results.training
    if results.model == "ncf":
        base = pd.read_csv(RESULTS / "ncf-bases" / "bases.csv").set_index("base").loc[training["base"]]
        means = runs.read_results("ncf-paper").training["baseline_rmse"]  # of the same ratings
        yield f"| training objective | {base['objective']:.3f} |"
        yield f"| held-out RMSE, NCF and mean baseline (stars) | {base['held_out_rmse']:.3f}, {means:.3f} |"
        return
    yield f"| training objective | {training['objective']:.4f} |"
    yield (
        f"| held-out pairs in order, RCF and mean baseline"
        f" | {training['pairwise_accuracy']:.1%}, {training['baseline_pairwise_accuracy']:.1%} |"
    )
    for table, said in (("warm", "from a warm start"), ("long", "from 50 epochs, 60 users")):
        other = runs.read_results("rcf-paper", table)
        mine = other.explanations[other.explanations["user"].isin(other.outcomes["user"])]
        ours, theirs = (judge(mine, other.slates, of, [0]) for of in (results.outcomes, other.outcomes))
        same = (ours["counterfactual"] == theirs["counterfactual"])[ours["size"] > 0]
        yield f"| sets with the same verdict {said} (first order) | {same.mean():.1%} |"
    together = agreement(pd.read_csv(RESULTS / "agreement" / "rcf.csv"), "grouping from scratch", "1 users")
    row = together.set_index("setting").loc["30 users"]
    yield (
        f"| sets with the same verdict from a world for each user, {row['pairs']:.0f} users (first order)"
        f" | {row['same_percentage']:.1f}% |"
    )


def about_rounds():
    """What is said of verify and resume, one line a model."""
    for model in MODELS:
        table = pd.read_csv(RESULTS / "resume" / f"{model}-k5.csv", dtype={"removed": str})
        held = 100 * table.groupby("round")["counterfactual"].mean()
        sizes = table[table["counterfactual"]].groupby("round")["size"].mean()
        last = table["round"].max()
        other = 100 * table.groupby("round")["holds_in_another_order"].apply(lambda c: c.astype(float).mean())
        yield (
            f"| {model.upper()} | {held[0]:.1f}% | {held[1]:.1f}% | {held[last]:.1f}% | {other[0]:.1f}%, "
            f"{other[last]:.1f}% | {sizes[0]:.2f}, {sizes[last]:.2f} |"
        )


def about_bases():
    """What is said of two base models of NCF, one line each: five orders, slate of five."""
    known = pd.read_csv(RESULTS / "ncf-bases" / "bases.csv").set_index("base")["objective"]
    said = {HEADLINE["ncf"]: "the paper's recipe, one start", "ncf-paper": "the best of 256 starts"}
    methods = ["accent", "fia", "random"]
    for name, text in said.items():
        kept = runs.read_results(name)
        assert kept.outcomes["seed"].nunique() == 5
        explanations = kept.explanations.query("k == 5 and method in @methods")
        figures = summary(judge(explanations, kept.slates, kept.outcomes)).set_index("method")
        cells = [
            f"{figures.loc[method, 'cf_percentage']:.1f} | {figures.loc[method, 'set_size']:.2f}"
            for method in methods
        ]
        objective = kept.training.get("objective") or known[kept.training["base"]]
        yield f"| {text} | {objective:.3f} | {' | '.join(cells)} |"


def about_other_ways():
    """What is said of RCF by its other Hessian and its other search: first order, slate of five."""
    kept = runs.read_results("rcf-paper")
    other = from_text(pd.read_csv(RESULTS / "rcf-variants" / "explanations.csv.gz"))
    outcomes = pd.concat([kept.outcomes, import_outcomes(RESULTS / "rcf-variants" / "outcomes-0.csv.gz")[0]])
    outcomes = outcomes.drop_duplicates(["world", "user", "seed"])
    explanations = pd.concat([kept.explanations, other]).query("k == 5")
    figures = summary(judge(explanations, kept.slates, outcomes, [0])).set_index("method")
    for method, said in (
        ("accent", "one Hessian for all actions (`shared`)"),
        ("accent_paper", "one for each action (`paper`)"),
        ("one_versus_all", "`shared`, one-versus-all"),
    ):
        row = figures.loc[method]
        yield f"| {said} | {row['cf_percentage']:.1f} | {row['set_size']:.2f} |"


def test_readme_says_what_other_base_models_and_other_ways_showed():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [line for line in (*about_bases(), *about_other_ways()) if line not in readme]
    assert not missing, "README.md lacks these lines:\n" + "\n".join(missing)


def test_readme_says_what_verify_and_resume_showed():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [line for line in about_rounds() if line not in readme]


def test_readme_says_what_the_tables_say(results):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    expected = [*by_method(results), *about_estimates(results), *about_training(results)]
    missing = [line for line in expected if line not in readme]
    assert not missing, "README.md lacks these lines:\n" + "\n".join(missing)


def test_the_tables_are_of_the_recipe_that_the_readme_names(results):
    judged, outcomes, about = results.judged, results.outcomes, results.about
    assert about["recipe"]["steps"] == {"ncf": 4000, "rcf": 1900}[results.model]  # RCF: 20 epochs of 95 steps
    assert (outcomes["status"] == "ok").all()
    # All methods and random sets, on three slates, for every user.
    assert judged["user"].nunique() == PAPER_DATA["users"]
    assert (judged.groupby("user").size() == {"ncf": 12, "rcf": 18}[results.model]).all()
    assert {"commit", "versions", "date", "fingerprint"} <= set(about)


def test_every_committed_table_of_outcomes_is_whole():
    tables = sorted(RESULTS.glob("*/*-[0-9].csv.gz"))
    assert len(tables) >= 3
    for path in tables:
        outcomes, about = import_outcomes(path)  # checks the hash
        assert len(outcomes) == about["rows"] and list(outcomes["seed"].unique()) == about["seeds"]


def test_no_table_names_a_rating():
    # Sets are positions in a history and slates hold films that the user has no action on.
    tables = sorted(RESULTS.glob("*/*.csv*"))
    assert tables
    for path in tables:
        columns = set(pd.read_csv(path, nrows=1).columns)
        assert not columns & {"rating", "timestamp", "user_id", "item_id"}


def test_the_readme_says_what_other_seeds_reach():
    fits = pd.read_csv(RESULTS / "fits.csv")
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    fits["above"] = 100 * (fits["held_out_rmse"] / fits["rmse_of_means"] - 1)
    small, large = "ml-latest-small", "ml-100k"
    for setting, name, split, sentence in (
        (
            "generalising",
            small,
            "latest",
            "the error is {0}, {1} above that of means, and {2} films",
        ),
        ("generalising", large, "latest", "by three seeds, {0} ({1} above) and {2} films"),
        ("accurate", small, "latest", "errs less than means do: {0} ({1} below), on"),
        ("accurate", large, "latest", "on MovieLens 100K {0} ({1} below)."),
        ("accurate", small, "latest", "only {2} films are somebody's best"),
        ("accurate", large, "latest", "on MovieLens 100K {2}."),
        ("accurate", small, "earlier", "it is {1} above means on `ml-latest-small`,"),
        ("accurate", large, "earlier", "and {1} below on MovieLens 100K."),
    ):
        rows = fits[(fits["setting"] == setting) & (fits["dataset"] == name) & (fits["split"] == split)]
        assert rows["seed"].tolist() == list(range(5 if name == small else 3))
        above = rows["above"]
        assert (
            (above > 0).all() if "above" in sentence else (above < 0).all() if "below" in sentence else True
        )
        ranges = (
            f"{rows['held_out_rmse'].min():.3f} to {rows['held_out_rmse'].max():.3f}",
            f"{above.abs().min():.1f}% to {above.abs().max():.1f}%",
            f"{rows['different_recommendations'].min()} to {rows['different_recommendations'].max()}",
        )
        assert sentence.format(*ranges) in text, sentence.format(*ranges)
    # The run that the README shows is that of the first seed.
    first = fits.iloc[0]
    shown = f"{first['users']} users, {first['different_recommendations']} different recommendations, "
    assert f"{shown}held-out error {first['held_out_rmse']:.3f} (means: {first['rmse_of_means']:.3f})" in text
