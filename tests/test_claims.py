"""Verdicts on the claims, by hand; and the file that they come from."""

import numpy as np
import pandas as pd
import pytest

from accent_book.claims import compare_shares, compared, overall, read_claims, verdicts
from accent_lib import AccentError


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
        row = compare_shares(sign > 0, sign < 0)
        detected += verdicts(pd.DataFrame([row | {"family": "alone"}]))[0] == "holds"
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
