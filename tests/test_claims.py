"""Verdicts on the claims, by hand; and the file that they come from."""

import numpy as np
import pandas as pd
import pytest

from accent_book import runs
from accent_book.claims import (
    calibration,
    compare_groups,
    compare_shares,
    compared,
    compared_between,
    overall,
    overshoot,
    read_claims,
    verdicts,
)
from accent_book.runs.notebooks import project_root
from accent_lib import AccentError
from accent_lib.evaluation import judge
from accent_lib.evaluation.significance import mcnemar


def users(both, only_first, only_second, neither):
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


@pytest.mark.parametrize(
    ("claim", "counts", "verdict"),
    [
        ("superior", (200, 60, 20, 172), "holds"),
        ("superior", (200, 20, 60, 172), "does not hold"),
        ("superior", (222, 4, 4, 222), "does not hold"),  # no relevant difference
        ("superior", (150, 80, 75, 147), "not detectable here"),
        ("equal", (222, 4, 4, 222), "holds"),
        ("equal", (200, 60, 20, 172), "does not hold"),
        ("equal", (150, 80, 75, 147), "not detectable here"),
    ],
)
def test_verdicts_by_hand(claim, counts, verdict):
    row = compare_shares(*users(*counts), claim)
    assert row["difference"] == pytest.approx(100 * (counts[1] - counts[2]) / sum(counts))
    assert verdicts(pd.DataFrame([row | {"family": "alone"}])).tolist() == [verdict]


def test_what_is_tested_together_is_corrected_together():
    row = compare_shares(*users(200, 30, 14, 208))
    assert 0.02 < row["p"] < 0.05
    alone = pd.DataFrame([row | {"family": str(number)} for number in range(3)])
    assert verdicts(alone).tolist() == ["holds"] * 3
    assert "holds" not in verdicts(alone.assign(family="all")).tolist()


def test_a_relative_margin_counts_too():
    row = compare_shares(*users(400, 26, 6, 20)) | {"family": "all", "relative": 5.0}
    assert row["difference"] < 0.05 * row["first"]
    assert verdicts(pd.DataFrame([row])).tolist() != ["holds"]


def test_the_smallest_detectable_difference_is_detected_in_four_of_five_experiments():
    generator, n_users, detected = np.random.default_rng(0), 400, 0
    share = 0.2  # of users on whom the two differ
    gain = 2.8 * np.sqrt(share / n_users)
    for _ in range(200):
        sign = generator.choice([1, -1, 0], n_users, p=[(share + gain) / 2, (share - gain) / 2, 1 - share])
        detected += mcnemar(sign > 0, sign < 0)["p_two_sided"] < 0.05 and sign.sum() > 0
    detectable = compare_shares(sign > 0, sign < 0)["detectable"]
    assert detectable == pytest.approx(100 * gain, rel=0.15)
    assert 0.68 < detected / 200 < 0.9


def judged(holding):
    rows = [
        {
            "model": "ncf",
            "method": method,
            "k": 5,
            "user": user,
            "counterfactual": user < n,
            "catalogue_top": user < n,
        }
        for method, n in holding.items()
        for user in range(100)
    ]
    return pd.DataFrame(rows)


def test_a_claim_holds_where_all_of_its_comparisons_hold():
    table = compared(judged({"accent": 80, "fia": 50, "pure_fia": 80, "random": 5}))
    of = table[table["id"] == "accent-holds-most"].set_index("second_method")["verdict"]
    assert of.to_dict() == {"fia": "holds", "pure_fia": "does not hold"}
    said = overall(table).set_index("id")["verdict"]
    assert said["accent-holds-most"] == "does not hold" and said["better-than-lots"] == "holds"
    assert "attention-holds-less" not in said.index  # NCF has no attention


def test_a_table_without_the_methods_is_refused():
    with pytest.raises(AccentError, match="None of the methods"):
        compared(judged({"random": 5}))


def test_the_file_keeps_theorems_apart_from_what_is_tested():
    claims = read_claims()["claims"]
    assert len({claim["id"] for claim in claims}) == len(claims)
    for claim in claims:
        assert claim["text"].endswith(".") and claim["source"] in ("paper 4.2", "paper 4.3", "ours")
        assert ("proof" in claim) == (claim["kind"] == "construction")
        assert ("claim" in claim) == ("family" in claim) == (claim["kind"] == "comparison")


def test_groups_of_different_users():
    first, second = [True] * 60 + [False] * 30, [True] * 30 + [False] * 61
    row = compare_groups(first, second)
    assert row["difference"] == pytest.approx(100 * (60 / 90 - 30 / 91))
    assert row["low95"] < row["low90"] < row["difference"] < row["high90"] < row["high95"]
    half = 1.96 * 100 * np.sqrt(2 / 9 / 90 + 30 * 61 / 91**3)
    assert row["high95"] - row["low95"] == pytest.approx(2 * half, rel=0.1)
    assert verdicts(pd.DataFrame([row | {"family": "alone"}])).tolist() == ["holds"]


def test_runs_are_compared_by_the_margin_of_their_claim():
    row = compared_between("paper-recipe-or-annealed", "ncf", *users(200, 20, 14, 218))
    assert (row["margin"], row["claim"], row["verdict"]) == (5.0, "equal", "holds")
    assert "verdict" not in compared_between("resume", "ncf", *users(9, 9, 9, 9), family="resume")


def test_calibration_by_fifths_of_the_overshoot():
    explanations = pd.DataFrame(
        {"predicted": [(3.0, 3.5), (3.0, 2.0, 3.1), ()], "replacement_position": [1, 2, -1]}
    )
    estimated = overshoot(explanations)
    assert estimated.round(6).tolist()[:2] == [0.5, 0.1] and np.isnan(estimated[2])
    generator = np.random.default_rng(0)
    estimated = generator.random(500)
    table = calibration(estimated, generator.random(500) < estimated)
    assert table["sets"].tolist() == [100] * 5 and table["holds"].is_monotonic_increasing
    assert ((table["low"] < table["holds"]) & (table["holds"] < table["high"])).all()


def test_readme_says_the_verdicts_of_the_headline_tables():
    kept = [runs.read_results(name) for name in read_claims()["headline"].values()]
    judged = pd.concat([judge(*each[:3], partial=True) for each in kept], ignore_index=True)
    methods = judged["method"].isin(["accent", "fia", "pure_fia", "attention", "pure_attention", "random"])
    found = overall(compared(judged[methods])).set_index(["id", "model"])["verdict"]
    assert found["accent-holds-most", "ncf"] == "not detectable here"
    assert found["accent-holds-most", "rcf"] == "does not hold"
    assert found["better-than-lots", "ncf"] == found["better-than-lots", "rcf"] == "holds"
    readme = " ".join((project_root() / "README.md").read_text("utf-8").split())
    assert "is not detectable here on NCF and does not hold on RCF" in readme
    assert "against random sets it holds on both" in readme
