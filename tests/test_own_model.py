"""A model that the library has never heard of, the one that chapter 10 writes, by the public protocol."""

import copy
import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from accent_book import figures
from accent_book.experiments.rounds import Start, verify_and_resume
from accent_lib import AccentError
from accent_lib.evaluation import compare, judge, summary
from accent_lib.explanations import explain, explain_users
from accent_lib.influence import fast_influence
from accent_lib.models import Recommender, top_k
from accent_lib.retraining.engine import observe, retrain
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import World, worlds_of
from accent_lib.training import Recipe, State, train
from tests.conftest import ROOT

METHODS = ["accent", "fia", "pure_fia", "random"]


@pytest.fixture(scope="module")
def cell():
    """Source of the cell in which the chapter writes the model."""
    notebook = json.loads((ROOT / "notebooks" / "11_own_model.ipynb").read_text("utf-8"))
    (found,) = (one for one in notebook["cells"] if "own-model" in one["metadata"].get("tags", []))
    return "".join(found["source"])


@pytest.fixture(scope="module")
def made(cell):
    """The class that the cell makes; like a class of a notebook, no other process can import it."""
    namespace = {"np": np, "torch": torch, "nn": nn}
    exec(cell, namespace)
    return namespace["MatrixFactorisation"]


@pytest.fixture(scope="module")
def trained(made, sample):
    """The model trained on the sample, and where training ended."""
    model = made(sample)
    (state,) = train(model, Recipe(1500, 1e-2, "linear", batch_size=256), [State.of(model)])
    return state.into(model), state


@pytest.fixture(scope="module")
def tables(trained):
    """Slates and explanations of some users."""
    return explain_users("mf", trained[0], range(8), [5], METHODS, variant="objective")[:2]


def slates_of(table):
    return {user: part["item"].to_numpy(copy=True) for user, part in table.groupby("user")}


def test_the_model_is_short(cell):
    assert sum(bool(line.strip()) for line in cell.splitlines()) < 50


def test_it_offers_the_protocol_and_no_more(made, trained):
    model, _ = trained
    assert isinstance(model, Recommender)
    offered = {name for name in vars(made) if not name.startswith("_")}
    assert offered <= {name for name in vars(Recommender) if not name.startswith("_")}


def brute_force(model, user, items):
    """Influence by derivatives of the full objective, with all parameters in play and her row cut out."""
    whole = model.user_table.weight.detach()

    def predicted(row, users, items):
        table = whole.index_put((torch.tensor([user]),), row[None])
        films = model.item_table.weight.detach()[items]
        return model.mean + (table[users, :-1] * films[:, :-1]).sum(1) + table[users, -1] + films[:, -1]

    def objective(row):
        error = predicted(row, model.users, model.items) - model.ratings
        return error.square().mean() + model.decay / 2 * row.square().sum()

    def each(row):
        return (predicted(row, model.users, model.items) - model.ratings).square()[model.users == user]

    row, jacobian = whole[user], torch.autograd.functional.jacobian
    slopes = jacobian(lambda r: predicted(r, torch.full((len(items),), user), torch.tensor(items)), row)
    hessian = torch.autograd.functional.hessian(objective, row)
    return (-slopes @ torch.linalg.solve(hessian, jacobian(each, row).T) / model.n_actions).numpy()


def test_influence_is_the_brute_force_one(trained):
    model = copy.deepcopy(trained[0]).double()
    for user in (0, 5):
        items = top_k(model, user, 5)[0]
        found = fast_influence(model, "objective", damping=0.0)(user, items)
        # Two ways through automatic differentiation, in double precision.
        np.testing.assert_allclose(found.influence, brute_force(model, user, items), rtol=1e-9, atol=1e-12)


def test_the_newton_step_is_the_ridge_regression_without_the_action(trained):
    model, user = copy.deepcopy(trained[0]).double(), 3
    films = model.item_table.weight.detach().numpy()
    x = np.c_[films[model.actions(user), :-1], np.ones(len(model.actions(user)))]
    y = model.ratings[model.action_slice(user)].numpy() - model.mean.item() - films[model.actions(user), -1]
    pull = np.sqrt(model.decay * model.n_actions / 2) * np.eye(x.shape[1])

    def row(keep):
        return np.linalg.lstsq(np.r_[x[keep], pull], np.r_[y[keep], np.zeros(len(pull))])[0]

    everything = np.ones(len(y), bool)
    with torch.no_grad():
        model.user_table.weight[user] = torch.tensor(row(everything))
    items = top_k(model, user, 5)[0]
    slopes = np.c_[films[items, :-1], np.ones(len(items))]
    moves = [row(everything) - row(everything & (np.arange(len(y)) != z)) for z in range(len(y))]
    found = fast_influence(model, "objective", damping=0.0, own_term=False)(user, items)
    # A parabola's minimum, by two kinds of solver.
    np.testing.assert_allclose(found.influence, slopes @ np.array(moves).T, rtol=0, atol=1e-10)


def test_it_is_explained(trained, tables):
    model, (slates, explanations) = trained[0], tables
    assert len(slates) == 8 * 5 and len(explanations) == 8 * len(METHODS)
    sizes = explanations.groupby("method")["size"].apply(lambda size: (size > 0).sum())
    assert (sizes > 0).all()
    row = explanations[(explanations["method"] == "accent") & (explanations["size"] > 0)].iloc[0]
    one = explain(model, int(row["user"]), k=5, variant="objective")
    assert one.removed == row["removed"] and one.remaining_gap < 0


def test_a_world_in_a_stack_equals_the_world_alone(made, sample):
    recipe = Recipe(60, 1e-2, "linear", batch_size=256)
    worlds = [World(), *(World(((user, (0, 3, 5)),)) for user in (0, 4, 7))]
    torch.set_default_dtype(torch.float64)
    try:
        model = made(sample).double()
        stacked = retrain(model, recipe, State.of(model), worlds, seed=0)
        (alone,) = retrain(model, recipe, State.of(model), worlds[2:3], seed=0)
        slates, shown = {4: top_k(model, 4, 5)[0]}, []
        for one in (stacked[0], stacked[2], alone):
            (outcome,) = observe(one.into(copy.deepcopy(model)), worlds[2], [4], slates)
            shown.append(np.array(outcome.scores))
    finally:
        torch.set_default_dtype(torch.float32)
    for name, value in alone.parameters.items():
        torch.testing.assert_close(stacked[2].parameters[name], value, rtol=0, atol=1e-9)
    np.testing.assert_allclose(shown[1], shown[2], rtol=0, atol=1e-9)
    assert np.abs(shown[0] - shown[2]).max() > 1e-3  # the removal does more than the order of sums


@pytest.fixture(scope="module")
def judged(trained, tables, tmp_path_factory):
    (model, state), (slates, explanations) = trained, tables
    recipe, worlds = Recipe(60, 5e-3, "linear", batch_size=256), worlds_of(explanations)
    folder = tmp_path_factory.mktemp("stores")
    with ThreadPoolExecutor(1) as threads:
        outcomes = []
        for name, executor in (("here", None), ("thread", threads)):
            with Store(folder / f"{name}.sqlite", "f") as store:
                verify(
                    "mf", model, recipe, state, worlds, slates_of(slates), store, executor=executor,
                    stack_size=8,
                )  # fmt: skip
                outcomes.append(store.outcomes())
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in outcomes))
    return judge(explanations, slates, outcomes[0])


def test_it_is_verified_and_judged(judged):
    assert len(judged) == 8 * len(METHODS) and set(judged["status"]) <= {"ok", "none"}
    figures = summary(judged)
    assert list(figures["method"]) == METHODS and (figures["users"] == 8).all()
    assert len(compare(judged, "accent", "random")) == 1


def test_figures_know_no_unit_and_say_so(judged):
    sets = judged[judged["status"] == "ok"]
    assert "mf" not in figures.UNITS
    figure = figures.estimated_against_true(sets, {"mf": 0.1})
    assert "score units" in figure.axes[0].get_xlabel()
    figures.figures_by_method(summary(judged))


def test_it_is_resumed(trained, tables, tmp_path):
    (model, state), (slates, _) = trained, tables
    precise, items, user = copy.deepcopy(model).double(), slates_of(slates), 0
    influence = fast_influence(precise, "objective")(user, items[user]).influence
    start = Start(items[user], influence, explain(model, user, k=5, variant="objective"))
    recipe = Recipe(5, 1e-3, batch_size=256)
    with Store(tmp_path / "a.sqlite", "f") as store:
        rounds = verify_and_resume("mf", model, recipe, state, {user: start}, store, rounds=1)
    assert len(rounds) == 2


def test_processes_that_cannot_import_it_are_not_asked(trained, tables, tmp_path):
    (model, state), (slates, explanations) = trained, tables
    arguments = ("mf", model, Recipe(5), state, worlds_of(explanations), slates_of(slates))
    with Store(tmp_path / "a.sqlite", "f") as store, ProcessPoolExecutor(1) as processes:
        with pytest.raises(AccentError, match="move it into a module"):
            verify(*arguments, store, executor=processes)
        assert store.outcomes().empty


def test_a_penalty_may_be_zero_and_a_loss_linear(trained):
    model = copy.deepcopy(trained[0]).double()
    items = top_k(model, 0, 5)[0]
    found = {}
    for label, penalty in (
        ("constant", lambda block: torch.zeros((), dtype=block.dtype)),
        ("product", lambda block: 0 * block.square().sum()),
    ):
        model.penalty = penalty
        found[label] = fast_influence(model, "objective", damping=1e-3)(0, items).influence
    np.testing.assert_array_equal(found["constant"], found["product"])

    def absolute(block, user, keep=None):
        rows = model.action_slice(user)
        return (model.scores(block, user, model.items[rows]) - model.ratings[rows]).abs()

    model.losses = absolute
    slopes, signs = (
        torch.func.jacrev(one)(model.block(0))
        for one in (lambda b: model.scores(b, 0, torch.tensor(items)), lambda b: absolute(b, 0))
    )
    # Without any curvature, damping is the whole Hessian.
    expected = -(slopes @ signs.T / 1e-3 / model.n_actions).detach().numpy()
    linear = fast_influence(model, "objective", damping=1e-3)(0, items).influence
    np.testing.assert_allclose(linear, expected, rtol=1e-10, atol=1e-12)


def test_the_example_by_hand(made):
    train_ = {"user": [0] * 4 + [1] * 4, "item": [0, 1, 2, 3, 1, 2, 4, 5], "rating": [5, 5, 4, 2, 2, 2, 1, 3]}
    rows = lambda user: slice(4 * user, 4 * user + 4)  # noqa: E731
    small = made(
        SimpleNamespace(n_users=2, n_items=6, train=pd.DataFrame(train_), rows=rows), 1, 2.0
    ).double()
    films = torch.tensor([[2, -2], [0, 0], [-1, 0], [-1, 0], [2, 0], [0, 1]])
    values = {"user_table.weight": torch.ones(2, 2), "item_table.weight": films}
    small.load_state_dict({**small.state_dict(), **values})
    assert small.candidates(0).tolist() == [4, 5]
    found = fast_influence(small, "objective", damping=0.0, own_term=False)(0, [4, 5])
    # A tight bound for solves with two unknowns in double precision.
    np.testing.assert_allclose(found.scores, [6, 5], rtol=1e-14)
    np.testing.assert_allclose(found.influence[:, 0], [2, 0.5], rtol=1e-14)
