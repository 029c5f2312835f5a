"""Numbers that are not finite, tied, missing or out of reach: found where they arise, and named."""

import copy
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import accent_lib as al
from accent_lib.datasets import Ratings
from accent_lib.datasets.relations import Relations
from accent_lib.errors import AccentError, AccentWarning
from accent_lib.explainers import accent, attention, fia, fill_gap, one_versus_all, pure_fia, resume, sentence
from accent_lib.explanations import explain, explain_users
from accent_lib.influence import fast_influence, refit
from accent_lib.models import NCF, RCF, Wrapped, check, slates, top_k
from accent_lib.retraining.engine import retrain, run_stack
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, Round, State, search, train
from tests.test_arguments import Net
from tests.test_front_misuse import FRAME, fitted

RECIPE = Recipe(steps=60, learning_rate=0.01, batch_size=64)
WILD = {
    "ncf": replace(RECIPE, learning_rate=1e30),
    "rcf": replace(RECIPE, learning_rate=1e30, optimizer="adagrad"),
    "wrapped": replace(RECIPE, learning_rate=1e30),
}


@pytest.fixture(scope="module")
def data():
    return al.prepare(al.read_ratings(FRAME))


def made(name, data):
    if name == "ncf":
        return NCF(data, dim=8)
    if name == "rcf":
        return RCF(data, dim=8, attention=4)
    torch.manual_seed(0)
    return Wrapped(Net(data.n_users, data.n_items), data, "users.weight", weight_decay=1e-3)


@pytest.fixture(scope="module")
def models(data):
    """One of each kind, trained for a moment."""
    trained = {}
    for name in WILD:
        model = made(name, data)
        (state,) = train(model, RECIPE, [State.of(model)])
        trained[name] = state.into(model)
    return trained


def spoiled(model, value, where):
    """A copy of a model with a number that is not finite: in one block, or everywhere."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if where == "everywhere":
                parameter.fill_(value)
            elif name.endswith(("user_table.weight", "users.weight")):
                parameter[3] = value
    return model


# --- numbers of a model


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["in one block", "everywhere"])
@pytest.mark.parametrize("name", WILD)
def test_weights_that_are_not_finite_are_named_and_no_set_is_made_of_them(models, name, where, value):
    model = spoiled(models[name], value, where)
    says = (
        r"A score of user 3 is not finite, because parameters are not \(.*\): training diverged; train again"
    )
    for call in (
        lambda: top_k(model, 3, 4),
        lambda: explain(model, 3, 4),
        lambda: explain_users("it", model, [3], [4], ["accent"]),
    ):
        with pytest.raises(AccentError, match=says):
            call()
    with pytest.raises(AccentError, match=r"of (user 3|user 0) is not finite, because parameters are not \("):
        fast_influence(copy.deepcopy(model).double())(3, model.candidates(3)[:4])
    if where == "in one block":  # the others are as they were
        assert top_k(model, 5, 4)[0].tolist() == top_k(models[name], 5, 4)[0].tolist()


def test_a_hessian_that_is_not_finite_is_named_with_its_user(data, models):
    class Wrong(NCF):
        slopes = None

        def losses(self, block, user, keep=None):
            return super().losses(block, user) * (np.inf if user == 3 else 1.0)

    model = Wrong(data, dim=8)
    State.of(models["ncf"]).into(model)
    explain(model, 5, 4)
    with pytest.raises(
        AccentError, match="The Hessian of user 3 is not finite, though all parameters are: look"
    ):
        explain(model, 3, 4)
    with pytest.raises(AccentError, match="The block of user 3 that was fitted again is not finite"):
        refit(copy.deepcopy(model).double(), 3)


def test_the_front_says_it_too():
    model = fitted(al.read_ratings(FRAME))
    model.network = spoiled(model.network, np.nan, "in one block")
    with pytest.raises(AccentError, match="A score of user 3 is not finite"):
        al.explain(model, model.data.user_ids[3])
    with pytest.raises(AccentError, match="A score of user 3 is not finite"):
        al.explain_users(model)
    with pytest.raises(AccentError, match="A score of user 3 is not finite"):
        model.recommend(model.data.user_ids[3])


# --- training


@pytest.mark.parametrize("name", WILD)
def test_training_that_diverges_says_since_which_step_and_in_which_parameter(data, name):
    model = made(name, data)
    start, wild = State.of(model), WILD[name]
    says = r"^Training diverged: since step \d+ of 60 the parameters? .*not finite; lower the learning rate"
    with pytest.raises(AccentError, match=says):
        train(model, wild, [start])
    with pytest.raises(AccentError, match=says):
        train(model, wild, [start, start], keep=torch.ones(2, model.n_actions))
    with pytest.raises(AccentError, match=says):
        search(lambda seed: made(name, data), [Round(2, wild)])
    with pytest.raises(AccentError, match=says):
        retrain(model, wild, start, [World(), World.parse("3:0")], 0)
    # A world that diverges is an outcome: it failed.
    outcomes = run_stack(model, wild, start, [World(), World.parse("3:0")], {3: np.array([0, 1])}, 0, [3])
    assert [one.status for one in outcomes] == ["failed", "failed"]
    assert train(model, wild, [start], tolerant=True)[0].not_finite()


def test_the_step_and_the_parameter_are_those_where_it_begins(data):
    class Late(NCF):
        """In the third batch something becomes infinite."""

        loops = None

        def batches(self, batch_size, generator):
            self.seen = 0
            yield from super().batches(batch_size, generator)

        def batch_loss(self, batch, keep=None):
            self.seen += 1
            return super().batch_loss(batch, keep) + (
                np.inf * self.output.bias.sum() if self.seen == 3 else 0
            )

    model = Late(data, dim=8)
    one_epoch = replace(RECIPE, steps=model.n_actions // 16, batch_size=16)
    with pytest.raises(
        AccentError, match=f"since step 3 of {one_epoch.steps} the parameter output.bias is not"
    ):
        train(model, one_epoch, [State.of(model)])


def test_a_start_that_is_not_finite_is_told_as_such(models):
    model = models["ncf"]
    broken = State.of(spoiled(model, np.nan, "in one block"))
    with pytest.raises(
        AccentError, match="the parameter user_table.weight is not finite before the first step"
    ):
        train(model, RECIPE, [broken])
    good, bad = train(model, RECIPE, [State.of(model), broken])
    assert not good.not_finite() and bad.not_finite()


def test_starts_that_diverge_come_last_and_are_not_described(data):
    def make(seed):
        model = NCF(data, dim=8, seed=seed)
        return spoiled(model, np.nan, "everywhere") if seed == 1 else model

    described = []
    states, record = search(
        make, [Round(3, RECIPE), Round(2, RECIPE)], describe=lambda model: described.append(model) or {}
    )
    assert [row["start"] for row in record if row["round"] == 1][-1] == 1
    assert len(described) == 4 and not any(state.not_finite() for state in states)


def test_a_parameter_that_weight_decay_does_not_name_is_an_error(data):
    class Forgetful(NCF):
        loops = None

        def weight_decay(self):
            return {name: decay for name, decay in super().weight_decay().items() if name != "output.bias"}

    class Wishful(Forgetful):
        def weight_decay(self):
            return NCF.weight_decay(self) | {"nothing": 0.0}

    model = Forgetful(data, dim=8)
    for call in (
        lambda: train(model, RECIPE, [State.of(model)]),
        lambda: search(lambda seed: model, [Round(1, RECIPE)]),
        lambda: retrain(model, RECIPE, State.of(model), [World()], 0),
    ):
        with pytest.raises(
            AccentError, match="does not name the parameter output.bias, which would never be"
        ):
            call()
    assert "`weight_decay` does not name all parameters (output.bias)" in check(model, trained=False)[0]
    wishful = Wishful(data, dim=8)
    with pytest.raises(AccentError, match="names 'nothing', which is no parameter"):
        train(wishful, RECIPE, [State.of(wishful)])


def test_a_state_of_another_model_is_refused(data, models):
    state = State.of(models["ncf"])
    narrow = State({**state.parameters, "user_table.weight": state.parameters["user_table.weight"][:1]})
    with pytest.raises(AccentError, match=r"has user_table.weight of shape \(1, 16\), not \(14, 16\)"):
        narrow.into(copy.deepcopy(models["ncf"]))
    for other in (narrow, State.of(models["rcf"]), State({})):
        with pytest.raises(AccentError, match="and so is of another model than this NCF"):
            train(models["ncf"], RECIPE, [other])


# --- explainers


SCORES, INFLUENCE = [3.0, 2.75, 2.5], [[1.0, 0.5], [1.0, 0.0], [0.0, 0.0]]
BY_INFLUENCE = (accent, one_versus_all, fia, pure_fia)


@pytest.mark.parametrize("explainer", BY_INFLUENCE)
def test_explainers_take_lists_and_refuse_what_is_no_slate(explainer):
    listed, arrays = explainer(SCORES, INFLUENCE), explainer(np.array(SCORES), np.array(INFLUENCE))
    assert listed.removed == arrays.removed and len(listed)
    for scores, influence, says in (
        ([3.0, np.nan, 2.5], INFLUENCE, r"`scores` holds nan at \[1\], but must hold finite numbers"),
        (SCORES, [[1.0, 0.5], [np.inf, 0.0], [0.0, 0.0]], r"`influence` holds inf at \[1, 0\], but must"),
        ([2.5, 2.75, 3.0], INFLUENCE, "`scores` rise at position 1, from 2.5 to 2.75, but a slate begins"),
        ([3.0, 2.5, 2.75], INFLUENCE, "`scores` rise at position 2, from 2.5 to 2.75"),
        (["a", "b", "c"], INFLUENCE, "`scores` is .*, but must be finite numbers of 1 dimension"),
        (SCORES[:2], INFLUENCE, r"scores \(2,\) and influence \(3, 2\) must have shapes"),
        (SCORES[:1], INFLUENCE[:1], "with k >= 2"),
        ([3e8, 2e8, 1e8], INFLUENCE, "are as large as 3e.08, where nothing is left of the nine decimals"),
    ):
        with pytest.raises(AccentError, match=says):
            explainer(scores, influence)


@pytest.mark.parametrize("explainer", BY_INFLUENCE)
def test_an_empty_history_has_no_set(explainer):
    assert explainer(SCORES, np.zeros((3, 0))) is None
    assert fill_gap(1.0, []) is None and resume((), SCORES, np.zeros((3, 0))) is None


def test_a_rescore_that_gives_nonsense_is_told():
    for wrong in (lambda keep: np.full((len(keep), 3), np.nan), lambda keep: np.ones((len(keep), 2))):
        with pytest.raises(AccentError, match="`rescore` must give 2 x 3 finite scores"):
            attention(SCORES, [0.25, 0.75], wrong)


def test_a_sentence_needs_a_set():
    with pytest.raises(AccentError, match="A set without any action explains nothing"):
        sentence([], "A", "B")
    with pytest.raises(AccentError, match="`removed` is 'Fargo', but must be a list of titles"):
        sentence("Fargo", "A", "B")
    with pytest.raises(AccentError, match="`gap` is nan"):
        sentence(["Fargo"], "A", "B", float("nan"))


# --- ties


def constant(model):
    """A model that scores all items alike, whatever the user."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("output.bias"):
                parameter.zero_()
    return model


@pytest.mark.parametrize("name", WILD)
def test_a_tied_slate_is_said_and_no_set_is_made_of_rounding(models, name):
    model = constant(models[name])
    for method in ("accent", "one_versus_all", "fia", "pure_fia", "random"):
        with pytest.warns(AccentWarning, match="The recommendation ties with 3 other items of the slate"):
            assert explain(model, 3, 4, method) is None
    with pytest.warns(AccentWarning, match="The recommendation of 2 of 2 users ties with another item"):
        _, explanations, _ = explain_users("it", model, [3, 5], [2, 4], ["accent", "fia", "random"])
    assert (explanations["size"] == 0).all()


def test_two_items_that_are_one_are_a_tie_for_the_front_too(data):
    model = fitted(al.read_ratings(FRAME))
    user = model.data.user_ids[3]
    first, second = top_k(model.network, 3, 2)[0]
    with torch.no_grad():
        model.network.item_table.weight[second] = model.network.item_table.weight[first]
    with pytest.warns(AccentWarning, match="The recommendation ties with 1 other item of the slate, to nine"):
        explanation = al.explain(model, user, 4)
    assert not explanation.sentence().startswith("Random set")
    with pytest.warns(AccentWarning, match="The recommendation of 1 of 1 users ties"):
        table = al.explain_users(model, [user], 4)
    assert table["removed"].iloc[0] == explanation.removed


def test_no_tie_no_warning(models):
    with warnings.catch_warnings():
        warnings.simplefilter("error", AccentWarning)
        explain(models["ncf"], 3, 4)
        explain_users("ncf", models["ncf"], range(14), [4], ["accent"])


# --- users, slates and numbers as they are given


def test_a_user_is_one_that_there_is_however_her_number_is_written(models):
    model = models["ncf"]
    expected = explain(model, 3, 4)
    for same in (3.0, np.int8(3), np.float32(3), torch.tensor(3), np.array(3)):
        again = explain(model, same, np.float64(4))
        assert (again is None) == (expected is None)
        assert again is None or again.removed == expected.removed
    for wrong, says in (
        (-1, "There is no user -1: users go from 0 to 13"),
        (14, "There is no user 14: users go from 0 to 13"),
        ("3", "`user` is '3', but must be a whole number"),
        (3.5, "`user` is 3.5, but must be a whole number"),
        ([3], r"`user` is \[3\], but must be a whole number"),
        (True, "`user` is True, but must be a whole number"),
        (None, "`user` is None, but must be a whole number"),
    ):
        for call in (
            lambda user: explain(model, user, 4),
            lambda user: explain_users("ncf", model, [user], [4], ["accent"]),
            lambda user: slates(model, [user], 4),
        ):
            with pytest.raises(AccentError, match=says):
                call(wrong)
    for options, says in (
        ({"k": 2.5}, "`k` is 2.5, but must be a whole number of at least 2"),
        ({"k": True}, "`k` is True"),
        ({"damping": np.nan}, "`damping` is nan, but must be a finite number of at least 0"),
        ({"damping": np.inf}, "`damping` is inf"),
        ({"smallest": "0"}, "`smallest` is '0'"),
        ({"margin": -1}, "`margin` is -1"),
        ({"method": ["accent"]}, r"There is no method \['accent'\]"),
    ):
        with pytest.raises(AccentError, match=says):
            explain(model, 3, **{"k": 4, **options})


def knowing():
    """Data in which the last two users know every item but one, and every item."""
    extra = [(user, item, 1 + 4 * (item % 2)) for user in (98, 99) for item in range(user - 83)]
    frame = pd.concat([FRAME, pd.DataFrame(extra, columns=FRAME.columns)], ignore_index=True)
    return al.prepare(al.read_ratings(frame), holdout=0)


def test_users_with_no_or_one_candidate_have_no_set_and_a_slate_as_long_as_it_can_be():
    data = knowing()
    model = NCF(data, dim=8)
    one, none = data.n_users - 2, data.n_users - 1
    for user, many in ((one, 1), (none, 0)):
        with pytest.raises(
            AccentError, match=f"User {user} knows all items but {many}, so that nothing could"
        ):
            explain(model, user, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table, explanations, hessians = explain_users(
            "ncf", model, [none, 3, one], [2, 500], ["accent", "fia"]
        )
    assert table["user"].value_counts().to_dict() == {3: len(model.candidates(3)), one: 1}
    assert explanations["user"].tolist() == [none] * 4 + [3] * 4 + [one] * 4
    of_none, of_one = (explanations[explanations["user"] == user] for user in (none, one))
    assert (of_none["recommendation"] == -1).all() and (of_one["recommendation"] >= 0).all()
    assert (pd.concat([of_none, of_one])["size"] == 0).all()
    assert hessians["condition"].isna().tolist() == [True, False, True]


def test_a_user_whom_the_model_learned_nothing_of_has_no_set(data):
    nobody = data.train["user"] == 3
    silent = replace(data, train=data.train.assign(positive=data.train["positive"] & ~nobody))
    model = Wrapped(Net(data.n_users, data.n_items), silent, "users.weight", "bpr", weight_decay=1e-3)
    with pytest.raises(AccentError, match="User 3 has no action that the model learned from"):
        explain(model, 3, 4)
    _, explanations, _ = explain_users("net", model, [3, 5], [4], ["accent"])
    assert explanations["size"].tolist()[0] == 0


# --- the caller's own mode


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", WILD)
def test_what_takes_gradients_takes_them_whatever_mode_the_caller_is_in(data, models, name, mode):
    model = models[name]
    expected = explain(model, 3, 4)
    (trained,) = train(model, RECIPE, [State.of(model)])
    with mode():
        again, (inside,) = explain(model, 3, 4), train(model, RECIPE, [State.of(model)])
        tables = explain_users(name, model, [3], [4], ["accent"])
        new = made(name, data) if name != "wrapped" else model
        check(new, trained=False)
        refit(copy.deepcopy(model).double(), 3, steps=2)
    assert (again is None) == (expected is None) and len(tables[0]) == 4
    if expected is not None:
        np.testing.assert_allclose(again.predicted, expected.predicted)
    for key, value in trained.parameters.items():
        torch.testing.assert_close(inside.parameters[key], value)
    train(new, RECIPE, [State.of(new)])  # one that was made inside is like any other
    explain(new, 3, 4)


def test_a_net_that_was_made_in_inference_mode_is_refused(data):
    with torch.inference_mode():
        net = Net(data.n_users, data.n_items)
    with pytest.raises(AccentError, match="were made inside torch.inference_mode"):
        Wrapped(net, data, "users.weight")


def test_fitting_inside_no_grad_is_fitting():
    outside = fitted(al.read_ratings(FRAME))
    with torch.inference_mode():
        inside = fitted(al.read_ratings(FRAME))
        row = al.explain(inside, inside.data.user_ids[3], 4).row()
    assert row == al.explain(outside, outside.data.user_ids[3], 4).row()


# --- ratings


def tables(**columns):
    """A small data set as `Ratings` takes it, with other columns of ratings."""
    rows = {
        "user": [1, 1, 2, 2],
        "item": [10, 20, 10, 20],
        "rating": [5, 1, 4, 2],
        "timestamp": [1, 2, 3, 4],
    }
    ratings = pd.DataFrame({**rows, **columns})
    items = pd.DataFrame({"title": ["A", "B"], "year": pd.array([1990, None], "Int64")}, index=[10, 20])
    items["genres"] = [("x",), ()]
    attributes = pd.DataFrame(
        {name: [(1,), ()] for name in ("genres", "directors", "actors")}, index=[10, 20]
    )
    return {"name": "small", "ratings": ratings, "items": items, "attributes": attributes, "pruning": (1, 1)}


@pytest.mark.parametrize("column", ["user", "item", "rating", "timestamp"])
def test_missing_values_of_nullable_columns_are_named(column):
    missing = pd.array([1, None, 2, 3], "Int64")
    with pytest.raises(AccentError, match=f"Row 1 of the ratings of 'small': the {column} is missing"):
        Ratings(**tables(**{column: missing}))


def test_nullable_numbers_without_a_gap_are_numbers():
    plain = Ratings(**tables())
    nullable = tables()
    nullable["ratings"] = nullable["ratings"].convert_dtypes()
    assert Ratings(**nullable).fingerprint == plain.fingerprint
    pd.testing.assert_frame_equal(al.prepare(Ratings(**nullable)).train, al.prepare(plain).train)


@pytest.mark.parametrize(
    "columns, says",
    [
        ({"user": [1.0, 1.0, 2.0, 2.0]}, "column `user` .* holds float64, but must hold whole numbers"),
        ({"user": [1.0, np.nan, 2.0, 2.0]}, "Row 1 .* the user is missing"),
        ({"user": ["a", None, "b", "b"]}, "Row 1 .* the user is missing"),
        ({"timestamp": [1.0, 2.0, np.nan, 3.0]}, "Row 2 .* the timestamp is missing"),
        ({"timestamp": pd.to_datetime(["2020"] * 4)}, "column `timestamp` .* but must hold whole numbers"),
        ({"rating": [5, np.nan, 4, 2]}, "Row 1 .* the rating is nan, but ratings go from 1 to 5"),
        ({"rating": [5, np.inf, 4, 2]}, "Row 1 .* the rating is inf"),
        ({"rating": [True, False, True, False]}, "column `rating` .* holds bool, but must hold numbers"),
        ({"item": [10, 10, 10, 20]}, "Row 1 .* user 1 has already rated item 10"),
        ({"user": [True, True, False, False]}, "column `user` .* holds bool"),
    ],
)
def test_columns_that_cannot_be_right_are_refused(columns, says):
    with pytest.raises(AccentError, match=says):
        Ratings(**tables(**columns))


@pytest.mark.parametrize(
    "changed, says",
    [
        ({"scale": (5, 1)}, r"`scale` is \(5, 1\), but must be a lower and a higher number"),
        ({"scale": (1, np.nan)}, "`scale` is nan, but must be a finite number"),
        ({"scale": 5}, "`scale` is 5, but must be the lowest and the highest rating"),
        ({"positive_at": 9}, "`positive_at` is 9, but must be on the scale, from 1 to 5"),
        ({"pruning": (1,)}, r"`pruning` is \(1,\)"),
        ({"ratings": None}, "`ratings` is None, but must be a DataFrame"),
        ({"name": 3}, "`name` is 3"),
    ],
)
def test_what_is_said_of_ratings_must_make_sense(changed, says):
    with pytest.raises(AccentError, match=says):
        Ratings(**{**tables(), **changed})


@pytest.mark.parametrize("holdout", [1e-300, 1e-12, np.float32(1e-30), 5e-324])
def test_a_tiny_share_holds_nothing_out(holdout):
    data = al.prepare(al.read_ratings(FRAME), holdout=holdout)
    assert data.test.empty and len(data.train) == len(al.prepare(al.read_ratings(FRAME), holdout=0).train)


def test_shares_are_of_the_decimal_that_was_written():
    for same in (0.25, np.float64(0.25), np.float32(0.25), np.array(0.25), torch.tensor(0.25)):
        held_out = al.prepare(al.read_ratings(FRAME), holdout=same).test
        assert len(held_out) == len(al.prepare(al.read_ratings(FRAME), holdout=0.25).test)
    ten = pd.DataFrame({"user": 1, "item": range(200), "rating": [1, 5] * 100})
    held_out = [al.prepare(al.read_ratings(ten), holdout=share).test for share in (0.29, np.float32(0.29))]
    assert [len(each) for each in held_out] == [58, 58]  # of 100 of each sign 29, and not 28
    for wrong in (1, 1.5, -0.1, np.nan, "0.2", True, None):
        with pytest.raises(AccentError, match="`holdout` is "):
            al.prepare(al.read_ratings(FRAME), holdout=wrong)


def attributes(*values):
    return pd.DataFrame(
        {"genres": list(values), "directors": [()] * len(values), "actors": [()] * len(values)}
    )


def test_ids_of_attributes_may_be_any_whole_numbers():
    small = Relations.of(attributes((1, 2), (1,), (2,), ()))
    for one, two in ((-5, 3), (10**9, 2 * 10**9), (0, 10**18)):
        other = Relations.of(attributes((one, two), (one,), (two,), ()))
        assert (other.has != small.has).nnz == 0 and other.ids.tolist() == [0, one, two]


@pytest.mark.parametrize(
    "values, says",
    [
        (
            (("Drama",), ("Crime",)),
            r"has \('Drama',\) in row 0, column 'genres', but must have tuples of whole",
        ),
        (((1,), (1.5,)), r"has \(1.5,\) in row 1"),
        (((1,), (None,)), r"has \(None,\) in row 1"),
        (((1,), (True,)), r"has \(True,\) in row 1"),
        (((1,), (10**30,)), r"in row 1"),
        (((1,), "12"), "has '12' in row 1"),
        (((1,), 7), "has 7 in row 1"),
        (((1,), None), "has None in row 1"),
    ],
)
def test_ids_of_attributes_that_are_no_whole_numbers_are_refused(values, says):
    with pytest.raises(AccentError, match=says):
        Relations.of(attributes(*values))


@pytest.mark.parametrize(
    "change",
    [lambda v: v[:0], lambda v: v.sum(), lambda v: v.T, lambda v: torch.cat([v, v]), torch.Tensor.int],
)
@pytest.mark.parametrize("name", WILD)
def test_moments_of_another_shape_are_refused(models, name, change):
    model = models[name]
    (state,) = train(model, RECIPE, [State.of(model)])
    first = next(each for each in state.moments if state.parameters[each].ndim == 2)
    kept = next(key for key, value in state.moments[first].items() if value.ndim == 2)
    state.moments[first][kept] = change(state.moments[first][kept]).contiguous()
    with pytest.raises(AccentError, match=f"holds {kept} of {first} of "):
        train(model, RECIPE, [state])


def test_moments_of_another_optimiser_or_of_some_parameters_alone_are_refused(models):
    model = models["ncf"]
    (state,) = train(model, RECIPE, [State.of(model)])
    (other,) = train(model, replace(RECIPE, optimizer="adagrad"), [State.of(model)])
    with pytest.raises(AccentError, match="which is not what adam keeps: take the state that training gave"):
        train(model, RECIPE, [other])
    gone = state.moments.pop("output.bias")
    with pytest.raises(AccentError, match=r"lacks the moments of output\.bias"):
        train(model, RECIPE, [state])
    state.moments |= {"output.bias": gone, "tilt": gone}
    with pytest.raises(AccentError, match="holds moments of tilt, which is no parameter of it"):
        train(model, RECIPE, [state])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_verifying_inside_no_grad_is_verifying(mode):
    model = fitted(al.read_ratings(FRAME))
    found = next(e for e in (al.explain(model, user, 4) for user in model.data.user_ids) if e.found)
    outside = repr(found.verify(1))
    with mode():
        assert repr(found.verify(1)) == outside
