"""What chapters compute and show by functions of `accent_book.figures`, against the same by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import accent_lib as al
from accent_book import figures
from accent_book.figures.agreement import repeats
from accent_book.figures.style import in_two_lines
from accent_book.runs.folder import Run
from accent_lib.datasets.relations import Relations
from accent_lib.influence import fast_influence, refit
from accent_lib.models import NCF, top_k


@pytest.fixture(scope="module")
def model():
    """NCF after some steps on the sample, with the data."""
    data = al.prepare(al.load("sample"))
    start = NCF(data, seed=0)
    recipe = al.training.Recipe(300, 0.005, "linear", batch_size=256)
    (state,) = al.training.train(start, recipe, [al.training.State.of(start)], seed=0)
    return state.into(start).double(), data


def test_entries_and_shared_types_are_those_of_each_pair(model):
    relations = Relations.of(model[1].attributes)
    films = np.arange(0, 40, 3)
    counts = figures.count_entries(relations, films, films)
    for row, first in enumerate(films):
        for column, second in enumerate(films):
            types = relations.types[relations.entries(first, second)]
            expected = np.bincount(types, minlength=len(relations.names))
            assert counts[:, row, column].tolist() == expected.tolist()
            (shared,) = figures.shared_types(relations, [first], [second])
            assert first == second or shared == len(set(types) - {0})


def test_facts_of_a_start_are_those_of_its_network(model):
    ncf, data = model
    facts = figures.facts_of_start(ncf.float(), data)
    predicted = al.evaluation.accuracy.predict(ncf, data.test)
    assert np.isclose(facts["held_out_rmse"], al.evaluation.accuracy.rmse(data.test["rating"], predicted))
    assert facts["films"] == len({int(top_k(ncf, user, 1)[0][0]) for user in range(min(100, data.n_users))})
    with torch.no_grad():
        ncf.output.weight[0, -ncf.dim :] = 0  # without weights the branch says nothing
    assert figures.facts_of_start(ncf, data)["gmf_spread"] == 0
    assert 0 < figures.facts_of_start(ncf, data)["gmf_norm"] < facts["gmf_norm"]


def test_equal_scalings_agree_and_a_multiple_has_its_ratio():
    influence = np.random.default_rng(0).normal(size=(4, 9))
    one = SimpleNamespace(influence=influence, smallest_eigenvalue=0.5, condition=3.0)
    twice = SimpleNamespace(
        influence=2 * influence + np.arange(4)[:, None], smallest_eigenvalue=0.25, condition=7.0
    )
    facts = figures.compare_scalings(one, twice, 2 * influence)
    gaps = np.abs(twice.influence[0] - twice.influence[1:]).mean()
    assert np.isclose(facts["constant"], 2 / gaps)  # of the gaps 1, 2 and 3 the mean
    assert (facts["smallest, paper"], facts["condition, objective"]) == (0.25, 3.0)
    facts = figures.compare_scalings(
        one, SimpleNamespace(influence=3 * influence, smallest_eigenvalue=1, condition=1), 3 * influence
    )
    assert np.isclose(facts["agreement"], 1) and np.isclose(facts["ratio"], 3) and facts["constant"] == 0


def test_agreement_of_an_estimate_that_is_off_by_one():
    true = np.array([1.0, 2.0, 4.0])
    found = figures.agreement_of(true + 1, true)
    assert np.isclose(found["correlation"], 1) and found["rmse"] == 1 and found["n"] == 3
    assert np.isclose(found["sd_true"], true.std())


def test_a_refit_lowers_the_slope(model):
    ncf = model[0].double()
    found = figures.resting(ncf, [3, 8])
    assert found.index.tolist() == [3, 8] and (found["slope left"] < 1).all()
    inputs = [len(ncf.actions(user)) * ncf.hidden1.out_features for user in (3, 8)]
    assert (0 <= found["at a kink"]).all() and (found["at a kink"] <= inputs).all()


def test_sums_over_one_action_are_exact_and_the_strongest_is_the_strongest(model):
    ncf, user = model[0].double(), 3
    table = figures.sums_of_sets(ncf, user, [1, 2, 1000], np.random.default_rng(0))
    assert sorted(set(table["size"])) == [1, 2]  # more than half of her history is left out
    alone = table[table["size"] == 1]
    np.testing.assert_allclose(alone["sum of exact effects"], alone["whole"], rtol=0, atol=1e-8)
    items = top_k(ncf, user, 2)[0]
    found = fast_influence(al.influence.Frozen(ncf, user), "objective", damping=0.0)(user, items).influence
    strongest = alone.loc[alone["set"] == "strongest", "sum of influences"]
    assert np.isclose(strongest.item(), (found[0] - found[1]).max())
    assert np.isfinite(table.drop(columns="set")).all(axis=None)
    assert refit(ncf, user).shape == ncf.block(user).shape


def test_repeats_of_the_same_effects_agree(tmp_path):
    rows = [
        (kind, user, seed, move, user - 1.5, user + seed)
        for kind in ("set", "single")
        for user in range(4)
        for seed in (0, 1)
        for move in (0, 1)
    ]
    columns = ["kind", "user", "seed", "move", "gap", "control_gap"]
    table = pd.DataFrame(rows, columns=columns)
    table["control_gap"] += table["user"] ** 2
    table[table["kind"].eq("set") | table["seed"].eq(0)].to_csv(tmp_path / "base.csv", index=False)
    (found,) = repeats(tmp_path / "base.csv")  # of single actions an order is missing
    assert found["left out"] == "ACCENT's set" and found["users"] == 4
    assert np.isclose(found["order: r"], 1) and found["rounding: same verdict (%)"] == 100


def test_rows_are_kept_until_what_they_depend_on_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path))
    run, made = Run("02_training", {"run": "kept"}), []

    def make():
        made.append(1)
        yield {"value": len(made)}

    assert [run.kept("recipes.json", key, make) for key in "aab"] == [[{"value": 1}]] * 2 + [[{"value": 2}]]


def test_a_long_label_has_two_lines_and_then_an_ellipsis():
    assert in_two_lines("Heat (1995)") == "Heat (1995)"
    lines = in_two_lines("word " * 40, 30).split("\n")
    assert len(lines) == 2 and lines[1].endswith("…") and max(map(len, lines)) <= 30


def test_the_failure_that_is_found_failed():
    small = al.NCF(al.prepare(al.load("sample"), holdout=0), seed=0).fit()
    found = figures.one_that_fails(small, 5, 1)
    assert found is not None
    explanation, trial = found
    assert 1 < len(explanation.removed) < 4 and trial.held == trial.held_in_control == 0
