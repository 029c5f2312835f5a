"""The tables of explanations say what the explainers found."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from accent_lib import AccentError
from accent_lib.explain import explain, explain_slate, explain_users
from accent_lib.explainers import accent
from accent_lib.influence import FastInfluence
from accent_lib.models import NCF, top_k
from accent_lib.training import Recipe, State, train


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
    found = 0
    for user in users:
        items, scores = top_k(double, user, 6)
        np.testing.assert_array_equal(slates.loc[slates["user"] == user, "item"], items)
        influence = FastInfluence(double)(user, items).influence
        for k in ks:
            expected = accent(scores[:k], influence[:k])
            chosen = (explanations["user"] == user) & (explanations["k"] == k)
            row = explanations[chosen & (explanations["method"] == "accent")].iloc[0]
            if expected is None:
                assert (row["removed"], row["size"], row["replacement"]) == ("", 0, -1)
                continue
            found += 1
            assert row["removed"] == " ".join(map(str, expected.removed)) and row["size"] == len(expected)
            assert row["replacement"] == items[expected.replacement] and row["recommendation"] == items[0]
            np.testing.assert_allclose(
                np.array(row["predicted"].split(), float), expected.predicted, rtol=1e-8
            )
            control = explanations[chosen & (explanations["method"] == "random")].iloc[0]
            assert control["size"] == row["size"] and control["replacement"] == row["replacement"]
    assert found > 0


def test_explain_is_one_row_of_the_table(model):
    _, table, _ = explain_users("ncf", model, range(20), [6], ["accent"])
    row = table[table["size"] > 0].iloc[0]
    one = explain(model, int(row["user"]), k=6)
    assert " ".join(map(str, one.removed)) == row["removed"]
    assert model.ratings.dtype == torch.float32, "the caller's model keeps its precision"


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
