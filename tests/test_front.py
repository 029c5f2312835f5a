"""The front: from a table of ratings to a verified explanation, in ids and titles."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import accent_lib as al
from accent_book.runs.notebooks import all_notebooks
from accent_lib import explanations
from accent_lib.datasets import load, prepare
from accent_lib.errors import AccentError, AccentWarning
from accent_lib.front import Setting
from accent_lib.training import Recipe, Round
from tests.conftest import ROOT

SHORT = Recipe(steps=400, learning_rate=0.01, batch_size=256)
QUICK = Setting({}, (Round(2, SHORT),), replace(SHORT, steps=60), influence={"variant": "objective"})


def renamed(ratings, scale=lambda stars: stars):
    """The sample as somebody's own table: ids are texts, users in another order than their numbers."""
    frame = ratings.ratings
    return pd.DataFrame(
        {
            "user": "u" + (1000 - frame["user"]).astype(str),
            "item": "film " + frame["item"].astype(str),
            "rating": scale(frame["rating"]),
            "time": frame["timestamp"],
        }
    )


@pytest.fixture(scope="module")
def model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccentWarning)
        return al.NCF(load("sample"), QUICK, dim=8).fit()


@pytest.fixture(scope="module")
def explained(model):
    """An explanation with a set of at least two."""
    for user in model.data.user_ids:
        explanation = al.explain(model, user, k=5)
        if explanation.found and len(explanation.removed) > 1:
            return explanation
    raise AssertionError("no user has a set of two")


def first(model):
    return model.data.user_ids[0]


def test_importing_the_package_does_not_wait_for_torch():
    code = "import sys, accent_lib as al; assert 'torch' not in sys.modules; print(al.NCF.__name__, dir(al))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("NCF") and "read_ratings" in done.stdout
    with pytest.raises(AttributeError, match="no attribute 'NFC'"):
        _ = al.NFC


def test_an_explanation_speaks_in_ids_and_titles(model, explained):
    data, user = model.data, model.user_position(explained.user)
    inside = explanations.closeup(model.network, user, 5, variant="objective")
    assert explained.recommendation == data.item_ids[inside.items[0]]
    assert explained.removed == [data.item_ids[inside.history[z]] for z in inside.explanation.removed]
    assert explained.replacement == explained.slate["item"][inside.rival]
    assert explained.history["item"].tolist() == data.item_ids[inside.history].tolist()
    assert explained.history["removed"].sum() == len(explained.removed)
    by_influence = explained.history.loc[explained.history["removed"], "influence"].sum()
    assert explained.gap - explained.remaining_gap == pytest.approx(by_influence, abs=1e-9)
    assert explained.gap > 0 > explained.remaining_gap
    sentence = explained.sentence(verb="seen")
    assert sentence.startswith("Had you not seen ") and explained.slate["title"][0] in sentence
    assert str(explained) == explained.sentence() and "rated" in str(explained)


def test_a_table_of_many_says_what_each_says_alone(model):
    users = model.data.user_ids[[5, 3, 8]]
    table = al.explain_users(model, users, k=5, methods=["accent", "fia"])
    assert table["user"].tolist() == np.repeat(users, 2).tolist()
    for row in table.to_dict("records"):
        alone = al.explain(model, row["user"], 5, row["method"]).row()
        assert isinstance(row["removed"], list)
        for key, value in alone.items():
            assert row[key] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), key
    frame = al.explain(model, users[0], 5).to_frame()
    assert len(frame) == 1 and frame.columns.tolist() == table.columns.tolist()
    assert len(al.explain_users(model, k=5)) == model.data.n_users


def test_a_margin_is_in_the_unit_of_scores(model, explained):
    wider = al.explain(model, explained.user, 5, margin=0.2)
    assert not wider.reached or wider.remaining_gap < -0.2
    assert wider.gap > 0 and len(wider.removed) >= len(explained.removed) and explained.reached
    furthest = al.explain(model, explained.user, 5, margin=100.0)
    assert not furthest.reached and furthest.remaining_gap < 0
    table = al.explain_users(model, [explained.user], 5, margin=0.2)
    assert table["removed"].tolist() == [wider.removed]
    with pytest.raises(AccentError, match="`margin` is .* but must be a finite number"):
        al.explain(model, explained.user, 5, margin=-1)


def test_recommendations_are_the_slate_and_none_was_rated(model, explained):
    recommended = model.recommend(explained.user, k=5)
    pd.testing.assert_frame_equal(recommended, explained.slate[["item", "title", "score"]], rtol=1e-4)
    assert not set(recommended["item"]) & set(explained.history["item"])


def test_verification_has_a_control_beside_each_order(explained):
    verification = explained.verify(orders=2)
    table = verification.table
    assert table["world"].tolist() == ["without", "control"] * 2 and verification.orders == 2
    assert (table["passed"] == (table["replacement"] > table["recommendation"])).all()
    assert (table["led"] == (table["top"] == explained.replacement)).all()
    assert verification.held == table.loc[table["world"] == "without", "passed"].sum()
    assert repr(verification).startswith(f"held in {verification.held} of 2 orders")
    again, other = explained.verify(orders=2).table, explained.verify(orders=2, seed=1).table
    pd.testing.assert_frame_equal(table, again)
    assert (table["replacement"] != other["replacement"]).all()


def test_a_training_of_ones_own_verifies(model, explained):
    asked = []

    def fit(keep, seed):
        asked.append((keep, seed))
        state = {name: value.clone() for name, value in model.network.state_dict().items()}
        if (keep == 0).any():  # as if training without the set had put the replacement far ahead
            state["item_table.weight"] = state["item_table.weight"] * 0
        return state

    verification = explained.verify(orders=2, fit=fit)
    history = explained.history["removed"].to_numpy()
    rows = model.network.action_slice(model.user_position(explained.user))
    assert len(asked) == 4 and len({seed for _, seed in asked}) == 2
    assert (asked[0][0][rows] == ~history).all() and asked[0][0].sum() == len(asked[0][0]) - history.sum()
    assert asked[1][0].all() and verification.held_in_control == 0


def test_a_scale_changes_the_unit_and_nothing_else():
    sample = load("sample")
    stars = al.NCF(al.read_ratings(renamed(sample)), QUICK, dim=8)
    percent = al.NCF(al.read_ratings(renamed(sample, lambda r: 25 * (r - 1)), scale=(0, 100)), QUICK, dim=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccentWarning)
        stars.fit(), percent.fit()
    assert stars.state.digest() == percent.state.digest()
    user = stars.data.user_ids[4]
    one, other = al.explain(stars, user, 5), al.explain(percent, user, 5)
    assert one.removed == other.removed and one.sentence() == other.sentence()
    assert 25 * one.gap == pytest.approx(other.gap)
    assert 25 * one.remaining_gap == pytest.approx(other.remaining_gap)
    np.testing.assert_allclose(25 * (one.slate["score"] - 1), other.slate["score"])
    np.testing.assert_allclose(25 * (one.slate["without"] - 1), other.slate["without"])
    np.testing.assert_allclose(25 * one.history["influence"], other.history["influence"], atol=1e-12)
    for fact in ("held_out_rmse", "rmse_of_means"):
        assert 25 * stars.facts[fact] == pytest.approx(percent.facts[fact])
    assert one.user == user == stars.data.user_ids[stars.user_position(user)]


def test_a_file_brings_the_same_model_back(model, explained, tmp_path):
    model.save(tmp_path / "model.npz")
    back = al.NCF.load(tmp_path / "model.npz", load("sample"))
    assert back.state.digest() == model.state.digest() and back.facts == model.facts
    assert al.explain(back, explained.user, 5).row() == explained.row()
    assert repr(explained.verify(orders=1)) == repr(al.explain(back, explained.user, 5).verify(orders=1))
    with pytest.raises(AccentError, match=r"model\.npz holds NCF, not RCF"):
        al.RCF.load(tmp_path / "model.npz", load("sample"))
    other = al.read_ratings(renamed(load("sample")))
    with pytest.raises(AccentError, match=r"fitted to other data than .ratings.; fit the model again"):
        al.NCF.load(tmp_path / "model.npz", other)


def test_rcf_comes_through_the_same_door():
    short = replace(SHORT, steps=12, optimizer="adagrad", learning_rate=0.05)
    small = {"dim": 8, "attention": 4}
    setting = Setting(small, (Round(1, short),), short, from_scratch=True, influence={"variant": "shared"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccentWarning)
        model = al.RCF(load("sample"), setting).fit()
    table = al.explain_users(model, model.data.user_ids[:6], k=5, methods=["accent", "attention"])
    assert len(table) == 12 and "held_out_rmse" not in model.facts
    liked = [(user, item) for user in range(9) for item in range(9) if (user + item) % 3]
    said, bare = [], pd.DataFrame(liked, columns=["user", "item"])
    al.RCF(al.read_ratings(bare), dim=8, attention=4).fit(progress=said.append)
    assert said[1].startswith("Nothing is known of the items, so that RCF has the type of relation 'none' al")
    assert said[2] == "Nobody dislikes anything, so that RCF samples the disliked items."
    user = table.loc[table["size"] > 0, "user"].iloc[0]
    explanation = al.explain(model, user, k=5)
    assert explanation.variant == "shared" and "held in" in repr(explanation.verify(orders=1))


def test_fit_says_what_it_does_and_warns_of_what_is_poor():
    said = []
    nothing = Setting({}, (Round(1, Recipe(steps=1, learning_rate=1e-6, batch_size=256)),))
    with pytest.warns(AccentWarning) as warned:
        al.NCF(load("sample"), nothing).fit(progress=said.append)
    assert said[0] == prepare(load("sample")).describe()
    assert said[1].startswith("NCF: 1 start, 1 step in all, about a second if nothing else runs")
    assert any("on held-out ratings, where means of users and items err by" in str(w.message) for w in warned)
    constant = Setting({"weight_decay": 50.0}, (Round(1, replace(SHORT, steps=2000)),))
    with pytest.warns(AccentWarning, match=r"recommends the same item, '.*', to \d+% of the users"):
        al.NCF(load("sample"), constant).fit()
    wild = Setting({}, (Round(1, replace(SHORT, learning_rate=1e30)),))
    with pytest.raises(
        AccentError,
        match=r"Training diverged: since step 2 of 400 .* lower the learning rate \(1e\+30\)",
    ):
        al.NCF(load("sample"), wild).fit()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: al.explain(m, 10**9), r"There is no user 1000000000 among the \d+ of 'sample'; an id is"),
        (lambda m: al.explain(m, "Ann"), r"There is no user 'Ann'"),
        (lambda m: al.explain(m, True), r"There is no user True"),
        (lambda m: al.explain(m, [1]), r"A user is one id of 'sample', such as \d+, not \[1\]"),
        (lambda m: al.explain(m, None), r"A user is one id of 'sample', such as \d+, not None"),
        (lambda m: al.explain(m, first(m), k=1), r"`k` is 1, but must be a whole number of at least 2"),
        (lambda m: al.explain(m, first(m), k="5"), r"`k` is '5'"),
        (lambda m: al.explain(m, first(m), k=2.5), r"`k` is 2\.5"),
        (lambda m: al.explain(m, first(m), method="acent"), r"There is no method 'acent'; choose from"),
        (
            lambda m: al.explain(m.network, 3),
            r"A model is NCF\(data\), .* fitted, not NCF",
        ),
        (lambda m: al.explain_users(m, 3), r"`users` is a list of ids, not 3"),
        (lambda m: m.recommend(first(m), k=0), r"`k` is 0"),
        (lambda m: al.explain(m, first(m), 5).verify(orders=0), r"`orders` is 0"),
        (
            lambda m: al.NCF("ratings.csv"),
            r"A model needs ratings, as from read_ratings",
        ),
        (lambda m: al.NCF(load("sample"), "best"), r"NCF has no setting 'best'; choose from generalising, "),
        (lambda m: al.NCF(load("sample"), 3), r"A setting is one of generalising, accurate, paper, not 3"),
        (lambda m: al.explain(al.NCF(load("sample")), 1), r"This NCF is not fitted yet: call its fit\(\)"),
        (lambda m: al.NCF(load("sample")).save("x"), r"This NCF is not fitted yet"),
    ],
)
def test_a_mistake_is_a_sentence(model, call, sentence):
    with pytest.raises(AccentError, match=sentence):
        call(model)


def test_no_set_is_nothing_to_verify(model):
    table = al.explain_users(model, k=2, methods=["accent"])
    without = table.loc[table["size"] == 0, "user"]
    if without.empty:  # every user of the sample has a set: take the history away that would make one
        pytest.fail("the fixture needs a user without a set")
    explanation = al.explain(model, without.iloc[0], k=2)
    assert not explanation.found and explanation.removed == [] and explanation.replacement is None
    assert "No set of actions was found" in explanation.sentence()
    with pytest.raises(AccentError, match="There is no set to leave out"):
        explanation.verify()


def test_the_explanation_that_the_tour_shows_is_short_and_comes_true():
    settings = all_notebooks(ROOT)[0].parameters
    model = al.NCF(al.prepare(load("sample"), holdout=0), seed=settings["seed"].default).fit()
    explanation = al.explain(model, settings["user"].default, settings["k"].default)
    verification = explanation.verify(orders=settings["orders"].default)
    assert 1 < len(explanation.removed) < 4
    assert verification.held == settings["orders"].default > verification.held_in_control == 0
