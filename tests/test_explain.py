"""The tables of explanations say what the explainers found."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from accent_lib import AccentError
from accent_lib.explainers import accent
from accent_lib.explanations import Attention, explain, explain_slate, explain_users, methods_for
from accent_lib.explanations.many_users import TOGETHER
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, RCF, top_k
from accent_lib.training import Recipe, State, train
from accent_lib.training.recipes import RCF as RECIPE_OF_RCF
from accent_lib.training.recipes import for_epochs


@pytest.fixture(scope="module")
def model(sample):
    model = NCF(sample, dim=8)
    (state,) = train(model, Recipe(800, 1e-2, "linear", batch_size=256), [State.of(model)])
    return state.into(model)


def test_tables_hold_what_the_parts_compute(model):
    users, ks, methods = [0, 4, 9], [3, 6], ["accent", "fia", "pure_fia", "random"]
    slates, explanations, hessians = explain_users("ncf", model, users, ks, methods)
    assert len(slates) == 3 * 6 and len(explanations) == 3 * 2 * 4 and len(hessians) == 3
    double = copy.deepcopy(model).double()
    n_sets = 0
    for user in users:
        items, scores = top_k(double, user, 6)
        np.testing.assert_array_equal(slates.loc[slates["user"] == user, "item"], items)
        influence = fast_influence(double)(user, items).influence
        for k in ks:
            expected = accent(scores[:k], influence[:k])
            chosen = (explanations["user"] == user) & (explanations["k"] == k)
            row = explanations[chosen & (explanations["method"] == "accent")].iloc[0]
            if expected is None:
                assert (row["removed"], row["size"], row["replacement"]) == ((), 0, -1)
                continue
            n_sets += 1
            assert row["removed"] == expected.removed and row["size"] == len(expected)
            assert row["replacement"] == items[expected.replacement] and row["recommendation"] == items[0]
            assert row["predicted"] == tuple(expected.predicted)
            control = explanations[chosen & (explanations["method"] == "random")].iloc[0]
            assert control["size"] == row["size"] and control["replacement"] == row["replacement"]
    assert n_sets > 0


def test_explain_is_one_row_of_the_table(model):
    _, table, _ = explain_users("ncf", model, range(20), [6], ["accent"])
    row = table[table["size"] > 0].iloc[0]
    explanation = explain(model, int(row["user"]), k=6)
    assert explanation.removed == row["removed"]
    assert model.ratings.dtype == torch.float32, "the caller's model keeps its precision"


def test_users_together_are_users_alone(model):
    users = range(TOGETHER + 3)  # two groups
    together = explain_users("ncf", model, users, [3, 6], ["accent", "fia", "pure_fia", "random"])
    alone = [explain_users("ncf", model, [u], [3, 6], ["accent", "fia", "pure_fia", "random"]) for u in users]
    for table, parts in zip(together, zip(*alone, strict=True), strict=True):
        pd.testing.assert_frame_equal(table, pd.concat(parts, ignore_index=True), rtol=1e-9, atol=1e-9)
    assert [len(table) for table in explain_users("ncf", model, [], [3], ["accent"])] == [0, 0, 0]


def test_no_explanation_is_a_row_too():
    scores, influence = np.array([1.0, 0.0]), np.zeros((2, 3))
    assert explain_slate(scores, influence, ["accent", "random"]) == {"accent": None, "random": None}


def test_an_unknown_method_is_refused(model):
    with pytest.raises(AccentError, match="no method 'acent'"):
        explain_users("ncf", model, [0], [5], ["acent"])


def test_threads_change_nothing(model):
    here = explain_users("ncf", model, range(20), [4], ["accent", "random"])
    with ThreadPoolExecutor(4) as executor:
        spread = explain_users("ncf", model, range(20), [4], ["accent", "random"], executor=executor)
    for first, second in zip(here, spread, strict=True):
        pd.testing.assert_frame_equal(first, second)


@pytest.fixture(scope="module")
def rcf(sample):
    model = RCF(sample)
    (state,) = train(model, for_epochs(model, RECIPE_OF_RCF, 5), [State.of(model)])
    return state.into(model).double()


def transcribed(model, user, items, selective):
    """The attention baselines word for word, with scores of a model that never saw the removed actions."""
    block, items = model.block(user), torch.as_tensor(items)
    weights = model.attention(user, items[:1])[0]
    removed, current = [], model.scores(block, user, items)
    for action in sorted(range(len(weights)), key=lambda z: (-weights[z], z)):
        keep = torch.ones(len(weights), dtype=torch.double)
        keep[[*removed, action]] = 0
        after = model.scores(block, user, items, keep)
        if selective and not after[0] - after[1:].max() < current[0] - current[1:].max():
            continue
        removed, current = [*removed, action], after
        if current[0] < current[1:].max():
            return tuple(removed), 1 + int(current[1:].argmax())
    return None


def test_attention_baselines_are_their_definition(rcf):
    n_sets = 0
    for user in range(12):
        items, scores = top_k(rcf, user, 8)
        influence = fast_influence(rcf, "shared")(user, items).influence
        for k in (3, 8):
            explained = explain_slate(
                scores[:k], influence[:k], ["attention", "pure_attention"], user, Attention(rcf, user, items)
            )
            for method, explanation in explained.items():
                expected = transcribed(rcf, user, items[:k], method == "attention")
                assert (
                    None if explanation is None else (explanation.removed, explanation.replacement)
                ) == expected
                n_sets += explanation is not None
    assert n_sets > 12


def test_all_methods_of_rcf_stand_in_the_tables(rcf, sample):
    methods = ["accent", "fia", "pure_fia", "attention", "pure_attention", "random"]
    with ThreadPoolExecutor(2) as executor:
        tables = explain_users("rcf", rcf, range(4), [3, 5], methods, executor=executor, variant="shared")
    assert len(tables[1]) == 4 * 2 * 6
    for table, alone in zip(
        tables, explain_users("rcf", rcf, range(4), [3, 5], methods, variant="shared"), strict=True
    ):
        pd.testing.assert_frame_equal(table, alone)
    explanation = explain(rcf, 0, 5, "attention", variant="shared")
    row = tables[1].query("user == 0 and k == 5 and method == 'attention'").iloc[0]
    assert row["removed"] == (() if explanation is None else explanation.removed)


def test_attention_needs_a_model_that_has_some(model):
    assert methods_for(model, ["accent", "attention"]) == ["accent"]
    for call in (
        lambda: explain(model, 0, method="attention"),
        lambda: explain_users("ncf", model, [0], [3], ["pure_attention"]),
        lambda: explain_slate(np.array([2.0, 1.0]), np.ones((2, 3)), ["attention"]),
    ):
        with pytest.raises(AccentError, match="attention"):
            call()


def test_a_wrong_user_or_slate_is_told_in_a_sentence(model):
    for user in (-1, model.n_users):
        with pytest.raises(AccentError, match=f"no user {user}: users go from 0"):
            explain(model, user)
    with pytest.raises(AccentError, match="`k` is 1, but must be a whole number of at least 2"):
        explain(model, 0, k=1)
