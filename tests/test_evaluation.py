"""Evaluation: four users whose every figure can be checked by hand, and tests against independent ones."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from accent_book.figures.paper import PAPER_INFLUENCE, PAPER_TABLE1, beside_paper
from accent_lib.errors import AccentError
from accent_lib.evaluation import (
    DEFINITIONS,
    compare,
    compare_sizes,
    corrected_together,
    influence_errors,
    judge,
    noise_floor,
    summary,
    table1,
)
from accent_lib.evaluation.significance import bootstrap, holm, mcnemar, ratio
from accent_lib.retraining.cells import from_text, to_text
from accent_lib.retraining.ranking import ranked


def table(text):
    return from_text(pd.read_csv(io.StringIO(text)))


SLATES = pd.DataFrame(
    [
        ("ncf", user, position, 10 + position, score)
        for user in (1, 2, 3, 4)
        for position, score in enumerate((4.0, 3.5, 3.0))
    ],
    columns=["model", "user", "position", "item", "score"],
)
EXPLANATIONS = table(
    """model,method,k,user,recommendation,replacement,replacement_position,removed,size,predicted
ncf,accent,3,1,10,11,1,2 0,2,3.25 3.5 3.0
ncf,accent,3,2,10,12,2,5,1,2.75 2.5 3.0
ncf,accent,3,3,10,-1,-1,,0,
ncf,accent,3,4,10,11,1,1 2 3,3,3.0 3.25 3.0
ncf,fia,3,1,10,11,1,4 2 0,3,3.0 3.5 3.0
ncf,fia,3,2,10,12,2,5,1,2.75 2.5 3.0
ncf,fia,3,3,10,11,1,1,1,3.25 3.5 3.0
ncf,fia,3,4,10,-1,-1,,0,
"""
)
OUTCOMES = table(
    """model,world,user,seed,scores,top,status,reason,seconds
ncf,,1,0,4.25 3.5 3.0,10,ok,,1
ncf,,1,1,3.75 3.5 3.0,10,ok,,1
ncf,,2,0,4.25 3.5 3.0,10,ok,,1
ncf,,2,1,3.75 3.5 3.0,99,ok,,1
ncf,,3,0,4.25 3.5 3.0,10,ok,,1
ncf,,3,1,3.25 3.5 3.0,11,ok,,1
ncf,,4,0,3.0 3.5 3.25,11,ok,,1
ncf,,4,1,3.0 3.5 3.25,11,ok,,1
ncf,1:0 2,1,0,3.0 3.5 3.0,11,ok,,1
ncf,1:0 2,1,1,3.25 3.5 3.75,12,ok,,1
ncf,2:5,2,0,3.0 3.5 3.25,12,ok,,1
ncf,2:5,2,1,3.5 3.0 3.0,12,ok,,1
ncf,4:1 2 3,4,0,2.0 3.0 2.5,11,ok,,1
ncf,4:1 2 3,4,1,,-1,failed,not finite,1
ncf,1:0 2 4,1,0,2.0 3.0 2.5,11,ok,,1
ncf,1:0 2 4,1,1,2.5 3.0 2.0,11,ok,,1
ncf,3:1,3,0,3.0 3.5 3.0,11,ok,,1
ncf,3:1,3,1,3.25 3.5 3.0,11,ok,,1
"""
)


@pytest.fixture
def judged():
    return judge(EXPLANATIONS, SLATES, OUTCOMES)


def test_every_definition_by_hand(judged):
    table = judged.set_index(["method", "user"])
    truth = {name: {key for key, value in table[name].items() if value} for name in DEFINITIONS}
    # User 1 of accent: means 3.125, 3.5, 3.375; the catalogue's tops are 11 and 12, and without its scores
    # nobody can say which leads on average.
    # User 2: means 3.25, 3.25, 3.125; the replacement, item 12, leads nothing on average.
    assert truth["counterfactual"] == {("accent", 1), ("fia", 1), ("fia", 3)}
    assert truth["slate_top"] == {("accent", 1), ("fia", 1), ("fia", 3)}
    assert truth["catalogue_top"] == {("fia", 1), ("fia", 3)}
    assert {key for key, value in table["catalogue_undecided"].items() if value} == {("accent", 1)}
    assert truth["majority"] == {("accent", 1), ("fia", 1), ("fia", 3)}
    assert {key for key, value in table["control_flips"].items() if value} == {("accent", 4)}
    assert table["status"].tolist() == ["ok", "ok", "none", "failed", "ok", "ok", "ok", "none"]
    assert table["failed_seeds"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert table["seeds"].tolist() == [2, 2, 0, 2, 2, 2, 2, 0]
    assert table.loc[("accent", 1), "world"] == "1:0 2"


def test_influences_by_hand(judged):
    table = judged.set_index(["method", "user"])
    names = [name for name in table if name.endswith("influence")]
    assert names == [
        "estimated_gap_influence",
        "true_gap_influence",
        "estimated_score_influence",
        "true_score_influence",
    ]
    # User 1: the gap 0.5 was to become -0.25; the control's is 0.5 on average, the retrained one 3.125 - 3.5.
    assert table.loc[("accent", 1), names].tolist() == [0.75, 0.875, 0.75, 0.875]
    # User 2: 1.0 was to become -0.25; 4.0 - 3.0 in the control became 3.25 - 3.125.
    assert table.loc[("accent", 2), names].tolist() == [1.25, 0.875, 1.25, 0.75]
    # User 3: the control's mean is 3.75, the original score 4.
    assert table.loc[("fia", 3), names].tolist() == [0.75, 0.25 + 0.375, 0.75, 3.75 - 3.125]
    assert table.loc[("fia", 3), "true_score_influence_original"] == 4 - 3.125
    assert table.loc[("fia", 3), "true_gap_influence_original"] == 0.5 + 0.375
    assert table.loc[("accent", 4), names].isna().all() and table.loc[("accent", 3), names].isna().all()


def test_one_seed_can_be_chosen():
    table = judge(EXPLANATIONS, SLATES, OUTCOMES, seeds=[0]).set_index(["method", "user"])
    assert table.loc[("accent", 2), "counterfactual"]
    assert not table.loc[("accent", 2), "slate_top"]
    assert table.loc[("accent", 4), "status"] == "ok" and table.loc[("accent", 4), "counterfactual"]
    assert table.loc[("accent", 1), "true_gap_influence"] == 0.75 + 0.5


def test_summary_by_hand(judged):
    table = summary(judged).set_index("method")
    assert table["users"].tolist() == [4, 4] and table["explained"].tolist() == [3, 3]
    assert table["failed"].tolist() == [1, 0] and table["missing"].tolist() == [0, 0]
    assert table["counterfactual"].tolist() == [1, 2]
    assert table["cf_percentage"].tolist() == [25, 50]
    assert table["set_size"].tolist() == [2, 2]  # of fia: three actions and one
    assert table["catalogue_top_percentage"].tolist() == [0, 50]
    assert table["majority_percentage"].tolist() == [25, 50]
    assert table["users_per_world"].tolist() == [1, 1]
    assert (table["cf_low"] <= table["cf_percentage"]).all() and (
        table["cf_percentage"] <= table["cf_high"]
    ).all()
    by_catalogue = summary(judged, "catalogue_top").set_index("method")
    assert math.isnan(by_catalogue.loc["accent", "set_size"])  # a mean over no sets
    assert by_catalogue.loc["fia", "set_size"] == (3 + 1) / 2
    assert "counterfactual_percentage" in by_catalogue


def test_table1_has_the_paper_s_layout(judged):
    table = table1(judged)
    assert table.index.tolist() == [("ncf", "accent"), ("ncf", "fia")]
    assert table.loc[("ncf", "fia"), (3, "cf_percentage")] == 50
    paper = table1(PAPER_TABLE1)
    assert paper.shape == (8, 6)
    assert paper.columns.tolist() == [
        (k, name) for k in (5, 10, 20) for name in ("cf_percentage", "set_size")
    ]
    assert paper.loc[("rcf", "pure_attention")].tolist() == [73.01, 9.36, 73.45, 7.94, 74.34, 7.75]
    assert paper.loc[("ncf", "accent"), (20, "set_size")] == 4.62
    assert PAPER_INFLUENCE.loc["ncf"].tolist() == [0.36, 0.34, 0.77]


def test_beside_the_paper():
    explanations = EXPLANATIONS.assign(k=5)
    table = beside_paper(judge(explanations, SLATES, OUTCOMES)).set_index("method")
    assert table.loc["accent", "cf_percentage_paper"] == 57.30
    assert table.loc["accent", "cf_percentage_difference"] == pytest.approx(25 - 57.30)
    assert table.loc["fia", "set_size_difference"] == pytest.approx(2 - 7.98)


def test_comparison_by_hand(judged):
    row = compare(judged, "accent", "fia").iloc[0]
    assert row[["model", "k", "first", "second", "users"]].tolist() == ["ncf", 3, "accent", "fia", 4]
    assert row[["both", "only_first", "only_second", "neither"]].tolist() == [1, 0, 1, 2]
    assert row["cf_difference"] == -25
    assert row["mcnemar_p_two_sided"] == 1 and row["mcnemar_p_one_sided"] == 1
    other = compare(judged, "fia", "accent", definition="slate_top").iloc[0]
    assert other[["both", "only_first", "only_second"]].tolist() == [1, 1, 0]
    assert other["cf_difference"] == 25 and other["mcnemar_p_one_sided"] == 0.5


def test_comparison_corrects_for_all_its_rows():
    rng = np.random.default_rng(0)
    judged = pd.DataFrame(
        [
            ("ncf", method, k, user, "ok", rng.random() < share, rng.integers(1, size))
            for method, share, size in (("accent", 0.7, 5), ("fia", 0.5, 9), ("random", 0.2, 20))
            for k in (5, 10)
            for user in range(100)
        ],
        columns=["model", "method", "k", "user", "status", "counterfactual", "size"],
    )
    table = compare(judged.sample(frac=1, random_state=1), "accent", "fia", "random")
    assert len(table) == 4
    for name in ("mcnemar_p_two_sided", "mcnemar_p_one_sided"):
        assert table[f"{name}_holm"].tolist() == pytest.approx(holm(table[name]).tolist())
        assert (table[f"{name}_holm"] >= table[name]).all()
    # Other pairs of methods can join the family of tests.
    joined = corrected_together(table, compare(judged, "fia", "random"))
    assert len(joined) == 6 and joined["first"].tolist() == ["accent"] * 4 + ["fia"] * 2
    corrected = holm(joined["mcnemar_p_two_sided"])
    assert joined["mcnemar_p_two_sided_holm"].tolist() == pytest.approx(corrected.tolist())
    assert joined.columns.tolist() == table.columns.tolist()


def test_sizes_are_compared_where_both_methods_find_a_set():
    sizes = {"accent": [1, 2, 3, 0, 4], "fia": [1, 5, 0, 2, 3]}
    explanations = pd.DataFrame(
        [("ncf", method, 5, user, size) for method in sizes for user, size in enumerate(sizes[method])],
        columns=["model", "method", "k", "user", "size"],
    ).sample(frac=1, random_state=0)
    row = compare_sizes(explanations, "accent", "fia", resamples=200).iloc[0]
    assert row[["users", "smaller", "same", "larger"]].tolist() == [3, 1, 1, 1]
    assert row["median"] == 0 and row["excess"] == pytest.approx(2 / 3) and row["ratio"] == 9 / 7
    assert -1 <= row["excess_low"] <= row["excess"] <= row["excess_high"] <= 3
    with pytest.raises(AccentError, match="cannot be compared"):
        compare_sizes(explanations, "accent", "attention")


def test_noise_floor_by_hand():
    row = noise_floor(SLATES, OUTCOMES, ks=(2, 3, 5)).set_index("k")
    assert row.index.tolist() == [2, 3]
    # On average only user 4's slate has another top; seed by seed user 3's too, once of twice.
    assert row["changed_percentage"].tolist() == [25, 25]
    assert row["changed_by_seed_percentage"].tolist() == [100 * 3 / 8] * 2
    # Four user-seed pairs have another top of the catalogue: user 2's item 99 is in no slate.
    assert row["catalogue_changed_percentage"].tolist() == [50, 50]
    assert (
        row["users"].tolist() == [4, 4]
        and row["seeds"].tolist() == [2, 2]
        and row["failed"].tolist() == [0, 0]
    )
    failed = OUTCOMES.assign(status=OUTCOMES["status"].where(OUTCOMES.index != 6, "failed"))
    assert noise_floor(SLATES, failed, ks=(3,))["failed"].tolist() == [1]
    with pytest.raises(AccentError, match="control"):
        noise_floor(SLATES, OUTCOMES[OUTCOMES["world"].notna()])


def test_influence_errors_by_hand(judged):
    table = influence_errors(judged).set_index("quantity")
    # Four distinct sets: accent's and fia's of user 2 are the same.
    estimated, true = np.array([0.75, 1.25, 1.0, 0.75]), np.array([0.875, 0.875, 1.25, 0.625])
    gap = table.loc["gap"]
    assert gap["sets"] == 4 and gap["users"] == 3
    assert gap["rmse"] == pytest.approx(math.sqrt(((estimated - true) ** 2).mean()))
    assert gap["bias"] == pytest.approx((estimated - true).mean())
    assert gap["sd_true"] == pytest.approx(true.std())
    assert gap["correlation"] == pytest.approx(np.corrcoef(estimated, true)[0, 1])
    assert gap["rank_correlation"] == pytest.approx(stats.spearmanr(estimated, true).statistic)
    assert gap["rank_correlation_low"] <= gap["rank_correlation"] <= gap["rank_correlation_high"]
    assert gap["rmse_low"] <= gap["rmse"] <= gap["rmse_high"]
    original = influence_errors(judged, truth="original").set_index("quantity").loc["gap"]
    true[3] = 0.875
    assert original["rmse"] == pytest.approx(math.sqrt(((estimated - true) ** 2).mean()))
    by_size = influence_errors(judged, by=["model", "sizes"])
    assert by_size[["sizes", "quantity", "sets"]].values.tolist() == [
        ["1", "gap", 2],
        ["1", "score", 2],
        ["2", "gap", 1],
        ["2", "score", 1],
        ["3", "gap", 1],
        ["3", "score", 1],
    ]
    # Two sets make a line, one makes nothing; the scores estimated for the two of size 1 are 1.25 and 0.75.
    assert by_size["correlation"].tolist() == pytest.approx([1, 1] + [math.nan] * 4, nan_ok=True)
    with pytest.raises(AccentError, match="`truth` is 'seed', but must be one of control, original"):
        influence_errors(judged, truth="seed")


def test_missing_outcomes_stop_the_judgement():
    with pytest.raises(AccentError, match="2 of 8 explanations.*05_verification"):
        judge(EXPLANATIONS, SLATES, OUTCOMES[OUTCOMES["world"] != "2:5"])
    one_seed = OUTCOMES.drop(index=OUTCOMES[(OUTCOMES["world"] == "3:1") & (OUTCOMES["seed"] == 1)].index)
    with pytest.raises(AccentError, match="1 of 8 explanations.*user 3"):
        judge(EXPLANATIONS, SLATES, one_seed)
    with pytest.raises(AccentError, match="6 of 8"):
        judge(EXPLANATIONS, SLATES, OUTCOMES.head(0))
    with pytest.raises(AccentError, match="6 of 8"):
        judge(EXPLANATIONS, SLATES, OUTCOMES[OUTCOMES["world"].notna()])


def test_partial_judgement_compares_methods_on_the_same_users():
    without = OUTCOMES[OUTCOMES["world"] != "1:0 2 4"]
    judged = judge(EXPLANATIONS, SLATES, without, partial=True)
    # Of user 1 fia's outcome is missing, so accent's does not count either.
    assert judged["status"].tolist() == ["missing", "ok", "none", "failed", "missing", "ok", "ok", "none"]
    table = summary(judged)
    assert table["users"].tolist() == [3, 3] and table["missing"].tolist() == [1, 1]
    assert table["cf_percentage"].tolist() == [0, pytest.approx(100 / 3)]
    assert math.isnan(table["set_size"][0])
    assert compare(judged, "accent", "fia")["users"].tolist() == [3]
    # A user without a set is not judged before her control is there.
    judged = judge(EXPLANATIONS, SLATES, OUTCOMES[OUTCOMES["user"] != 3], partial=True)
    assert judged[judged["user"] == 3]["status"].tolist() == ["missing"] * 2
    # One seed is enough.
    one_seed = OUTCOMES.drop(index=OUTCOMES[(OUTCOMES["world"] == "3:1") & (OUTCOMES["seed"] == 1)].index)
    judged = judge(EXPLANATIONS, SLATES, one_seed, partial=True)
    assert judged["seeds"].tolist() == [2, 2, 0, 2, 2, 2, 1, 0]


def test_grouped_worlds_are_found_and_named():
    grouped = OUTCOMES.copy()
    alone = grouped["world"].isin(["2:5", "3:1"])
    grouped.loc[alone, "world"] = "2:5;3:1"
    judged = judge(EXPLANATIONS, SLATES, grouped)
    expected = judge(EXPLANATIONS, SLATES, OUTCOMES)
    assert judged["users_in_world"].tolist() == [1, 2, 0, 1, 1, 2, 2, 0]
    pd.testing.assert_frame_equal(
        judged.drop(columns="users_in_world"), expected.drop(columns="users_in_world")
    )
    assert summary(judged)["users_per_world"].tolist() == [2, 2]
    # With both at hand, the user's own world counts.
    changed = grouped[alone].assign(scores=[(9.0, 9.0, 9.0)] * 4)
    pd.testing.assert_frame_equal(judge(EXPLANATIONS, SLATES, pd.concat([changed, OUTCOMES])), expected)
    # What another user saw in somebody's world is no control.
    bystander = OUTCOMES[OUTCOMES["world"] == "2:5"].assign(user=1, scores=[(9.0, 9.0, 9.0)] * 2)
    pd.testing.assert_frame_equal(judge(EXPLANATIONS, SLATES, pd.concat([OUTCOMES, bystander])), expected)


def test_a_world_with_all_seeds_comes_before_a_smaller_one_with_some():
    alone = OUTCOMES[(OUTCOMES["user"] == 2) & (OUTCOMES["world"] == "2:5")]
    assert len(alone) == 2
    shared = alone.assign(world="2:5;3:1")
    rest = OUTCOMES.drop(alone.index)
    judged = judge(EXPLANATIONS, SLATES, pd.concat([rest, shared, alone.iloc[:1]]))
    hers = judged[judged["user"] == 2]
    assert (hers["users_in_world"] == 2).all() and (hers["seeds"] == 2).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"explanations": EXPLANATIONS.drop(columns="removed")}, "column 'removed'"),
        ({"explanations": EXPLANATIONS.head(0)}, "no explanations"),
        ({"explanations": pd.concat([EXPLANATIONS, EXPLANATIONS.head(1)])}, "occurs twice"),
        ({"explanations": EXPLANATIONS.drop(index=2)}, "4 users, but accent at k = 3 only 3"),
        ({"explanations": EXPLANATIONS.assign(recommendation=11)}, "does not fit her slate"),
        ({"explanations": EXPLANATIONS.assign(replacement=10)}, "does not fit her slate"),
        ({"explanations": EXPLANATIONS.assign(k=2)}, "does not fit her slate"),
        ({"slates": SLATES[SLATES["user"] != 2]}, "User 2 of ncf has no slate"),
        ({"outcomes": pd.concat([OUTCOMES, OUTCOMES.tail(1)])}, "occurs twice"),
        ({"outcomes": OUTCOMES.assign(scores=[(4.0, 3.0)] * len(OUTCOMES))}, "one score for each item"),
        ({"outcomes": to_text(OUTCOMES)}, "'scores' of outcomes is text"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(change, words):
    tables = {"explanations": EXPLANATIONS, "slates": SLATES, "outcomes": OUTCOMES, **change}
    with pytest.raises(AccentError, match=words):
        judge(**tables)


def test_unknown_names_are_refused(judged):
    with pytest.raises(AccentError, match="slate_top"):
        summary(judged, "best")
    with pytest.raises(AccentError, match="the methods accent, fia"):
        compare(judged, "accent", "random")


def test_the_order_of_rows_does_not_matter(judged):
    shuffled = [table.sample(frac=1, random_state=2) for table in (EXPLANATIONS, SLATES, OUTCOMES)]
    again = judge(*shuffled).sort_values(["method", "user"], ignore_index=True)
    pd.testing.assert_frame_equal(again, judged.sort_values(["method", "user"], ignore_index=True))


scores = st.lists(st.integers(-8, 8).map(lambda number: number / 4), min_size=4, max_size=4)


@given(st.lists(scores, min_size=1, max_size=5), st.integers(1, 3), st.integers(2, 4), st.integers(-4, 4))
def test_definitions_hold_for_any_scores(retrained, replacement, k, shift):
    k = max(k, replacement + 1)
    items = np.array([7, 3, 9, 5])
    slates = pd.DataFrame(
        {"model": "m", "user": 0, "position": range(4), "item": items, "score": [4.0, 3, 2, 1]}
    )
    explanations = pd.DataFrame(
        {"model": "m", "method": "accent", "k": k, "user": 0, "recommendation": 7, "size": 1}, index=[0]
    ).assign(replacement=items[replacement], replacement_position=replacement)
    explanations = explanations.assign(removed=[(1,)], predicted=[(1.0,) * k])
    tops = [items[np.lexsort((items, -np.array(row)))[0]] for row in retrained]

    def tables(shift):
        rows = [
            (
                "m",
                world,
                0,
                seed,
                tuple(score + shift for score in row),
                top,
                "ok",
                ranked(items, np.array(row) + shift),
            )
            for world in ("", "0:1")
            for seed, (row, top) in enumerate(zip(retrained, tops, strict=True))
        ]
        columns = ["model", "world", "user", "seed", "scores", "top", "status", "catalogue"]
        return pd.DataFrame(rows, columns=columns)

    judged = judge(explanations, slates, tables(0)).iloc[0]
    mean = np.mean(retrained, axis=0)
    assert judged["counterfactual"] == (mean[replacement] > mean[0])
    order = np.lexsort((items[:k], -mean[:k]))
    assert judged["slate_top"] == (order[0] == replacement and judged["counterfactual"])
    assert judged["majority"] == (np.mean([row[replacement] > row[0] for row in retrained]) > 0.5)
    first = np.lexsort((items, -mean))[0]  # here the slate is the whole catalogue
    assert judged["catalogue_top"] == (first == replacement and judged["slate_top"])
    assert not judged["catalogue_undecided"]
    # World and control are the same here.
    assert judged["true_gap_influence"] == 0 and judged["control_flips"] == judged["counterfactual"]
    # No definition looks at the level of the scores.
    shifted = judge(explanations, slates, tables(shift)).iloc[0]
    assert shifted[[*DEFINITIONS]].tolist() == judged[[*DEFINITIONS]].tolist()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_toss_of_a_coin(pairs):
    first, second = np.array(pairs).T
    test = mcnemar(first, second)
    b, c = test["only_first"], test["only_second"]
    assert b == (first & ~second).sum() and c == (second & ~first).sum()
    assert test["both"] + b + c + test["neither"] == len(pairs)
    two, one = (
        (stats.binomtest(b, b + c, 0.5, alternative=side).pvalue for side in ("two-sided", "greater"))
        if b + c
        else (1, 1)
    )
    assert test["p_two_sided"] == pytest.approx(two)
    assert test["p_one_sided"] == pytest.approx(one)


def test_mcnemar_by_hand():
    first, second = np.repeat([1, 1, 0, 0], [3, 5, 1, 2]), np.repeat([1, 0, 1, 0], [3, 5, 1, 2])
    test = mcnemar(first, second)
    assert [test[name] for name in ("both", "only_first", "only_second", "neither")] == [3, 5, 1, 2]
    # At least five heads in six tosses: (6 + 1) / 64.
    assert test["p_one_sided"] == pytest.approx(7 / 64) and test["p_two_sided"] == pytest.approx(14 / 64)


def test_holm_by_hand():
    # Sorted: 0.01 * 3, max(0.03, 0.02 * 2), max(0.04, 0.04 * 1); the NaN is no test.
    assert holm([0.04, float("nan"), 0.01, 0.02]).tolist() == pytest.approx(
        [0.04, math.nan, 0.03, 0.04], nan_ok=True
    )
    assert np.isnan(holm([float("nan")])).all()


def test_bootstrap_agrees_with_scipy():
    rng = np.random.default_rng(0)
    success = rng.random(200) < 0.6
    ours = bootstrap(np.column_stack([success, np.ones(200)]), ratio, resamples=20000)
    scipys = stats.bootstrap(
        (success.astype(float),),
        np.mean,
        method="percentile",
        n_resamples=20000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    # A quantile of 20,000 resamples of 200 users is itself good to about 0.003.
    assert ours == pytest.approx(tuple(scipys), abs=0.006)
    assert ours == bootstrap(np.column_stack([success, np.ones(200)]), ratio, resamples=20000)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 20)), max_size=30))
def test_bootstrap_of_a_mean_over_some_stays_in_range(pairs):
    success, sizes = np.array(pairs, dtype=float).reshape(-1, 2).T
    low, high = bootstrap(np.column_stack([success * sizes, success]), ratio, resamples=200)
    if success.any():
        chosen = sizes[success == 1]
        assert chosen.min() - 1e-9 <= low <= high <= chosen.max() + 1e-9
    else:
        assert math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize("world", ["", "1:0 2"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_no_verdict(world, value):
    wrong = OUTCOMES.copy()
    place = wrong.index[(wrong["world"].fillna("") == world) & (wrong["user"] == 1)][0]
    wrong.at[place, "scores"] = (value, 3.5, 3.0)
    with pytest.raises(AccentError, match="user 1 .*not finite"):
        judge(EXPLANATIONS, SLATES, wrong)
    if not world:
        with pytest.raises(AccentError, match="user 1 .*not finite"):
            noise_floor(SLATES, wrong, [3])
