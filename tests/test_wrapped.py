"""Nets that know nothing of the library, wrapped: influence against derivatives by hand and true refits."""

import copy
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import grad

from accent_book.experiments.nets import (
    BiasedFactors,
    FactorisationMachine,
    LightGCN,
    Recurrent,
    SelfAttentive,
    TwoTowers,
)
from accent_lib import AccentError
from accent_lib.evaluation import judge
from accent_lib.evaluation.significance import mcnemar
from accent_lib.explanations import explain_users
from accent_lib.influence import fast_influence
from accent_lib.influence.refits import refit
from accent_lib.models import NCF, RCF, Recommender, Wrapped, check, history_scores, top_k
from accent_lib.models.wrapped_data import sequences
from accent_lib.provenance import fingerprint
from accent_lib.retraining.engine import observe, retrain, run_stack
from accent_lib.retraining.identity import outcomes_identity
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import World, worlds_of
from accent_lib.training import Recipe, State, objective, train

USER = 3


def seeded(net, *arguments, **options):
    """A net with initial parameters of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return net(*arguments, **options)


def wrapped(name, data):
    """One of the nets, in at most five lines each."""
    n, liked = len(data.train), int(data.train["positive"].sum())
    if name == "factors":
        net = seeded(BiasedFactors, data)
        own = ["users.weight", "user_bias.weight"]
        return Wrapped(net, data, own, "bce", weight_decay=4 / liked)
    if name == "towers":
        net = seeded(TwoTowers, data)
        return Wrapped(net, data, "users.weight", weight_decay=2 / n)
    if name == "machine":
        net = seeded(FactorisationMachine, data)
        return Wrapped(net, data, "users.weight", weight_decay=6 / n)
    if name == "graph":
        net = seeded(LightGCN, data)
        return Wrapped(net, data, "users.weight", "bpr", weight_decay=0.5 / liked)
    net = seeded({"recurrent": Recurrent, "attentive": SelfAttentive}[name], data)
    options = {"block": "output.weight", "length": 20, "weight_decay": 2 / liked}
    return Wrapped(net, data, loss="bpr", **options)


NAMES = ["factors", "towers", "machine", "graph", "recurrent", "attentive"]
QUICK = Recipe(150, 2e-2, "linear", batch_size=256)


@pytest.fixture(scope="module")
def models(sample):
    """Each net, trained a little; not to be changed."""
    made = {name: wrapped(name, sample) for name in NAMES}
    recipes = {"towers": replace(QUICK, steps=600)}  # dropout takes its time
    return {
        name: train(model, recipes.get(name, QUICK), [State.of(model)])[0].into(model).double()
        for name, model in made.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_protocol(models, sample, name):
    model = models[name]
    assert isinstance(model, Recommender)
    keep = torch.ones(model.n_actions, dtype=torch.float64)
    of_users = torch.cat([model.losses(model.block(user), user) for user in range(model.n_users)])
    # Sums of the same numbers in another order, in double precision.
    torch.testing.assert_close((keep * of_users).mean(), model.data_loss(keep), rtol=1e-9, atol=0)
    (batch,) = model.batches(model.n_actions, None)
    if name != "towers":  # trained with dropout
        torch.testing.assert_close(model.batch_loss(batch), model.data_loss(), rtol=1e-9, atol=0)
    decay = model.weight_decay()
    pulls = sum(decay[key] / 2 * value.square().sum() for key, value in model.named_parameters())
    reached = objective(model, [State.of(model)])[0]
    assert np.isclose(reached, (model.data_loss() + pulls).item(), rtol=1e-9)
    own, items = sample.train[sample.rows(USER)], model.candidates(USER)
    assert not np.isin(items, own["item"]).any() and (np.diff(items) > 0).all()
    assert np.isin(items, sample.train["item"]).all()
    liked = own[own["positive"]] if model.loss in ("bce", "bpr") else own
    assert model.actions(USER).tolist() == liked["item"].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_block_is_where_the_net_looks(models, name):
    """The scores of the net itself, with a block written into its parameters."""
    model = copy.deepcopy(models[name])
    items = torch.tensor(model.candidates(USER)[:7])
    block = model.block(USER) + torch.linspace(-0.1, 0.1, len(model.block(USER)), dtype=torch.float64)
    expected = model.scores(block, USER, items)
    parts = block.split(model._sizes)
    with torch.no_grad():
        for key, part in zip(model.names, parts, strict=True):
            value = model.net.get_parameter(key)
            (value if model.shared else value[USER]).copy_(part.view(value.shape[0 if model.shared else 1 :]))
        if model.reads == "history":
            history = torch.tensor(model.actions(USER)[-model.length :])
            padding = torch.full((model.length - len(history),), model.n_items)
            scores = model.net(torch.cat([padding, history])[None], items[None])[0]
        else:
            read = (torch.ones(model.n_actions, dtype=torch.float64),) if model.reads == "graph" else ()
            scores = model.net(torch.full_like(items, USER), items, *read)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(model.block(USER), block)


def test_what_nets_allow_is_found_out(models):
    assert [name for name in NAMES if models[name]._one_row] == ["factors", "towers", "machine"]
    assert [name for name in NAMES if models[name].one_by_one] == ["recurrent"]
    assert [name for name in NAMES if models[name]._draws] == ["towers"]
    assert [models[name].reads for name in NAMES[2:]] == ["nothing", "graph", "history", "history"]


def test_rows_that_are_not_named_are_noticed(sample):
    """Zero for every user now, but not after training."""
    model = Wrapped(seeded(BiasedFactors, sample), sample, "users.weight", "bce")
    assert not model._one_row
    with torch.no_grad():
        model.net.user_bias.weight[USER] = 5.0
    items = torch.tensor([0, 1])
    expected = model.net(torch.tensor([USER, USER]), items)
    torch.testing.assert_close(model.scores(model.block(USER), USER, items), expected)


# --- negatives and sequences


def test_negatives_are_of_nobody_and_stay(sample):
    first, again, other = (
        Wrapped(BiasedFactors(sample), sample, "users.weight", "bpr", negatives=3, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.negatives, again.negatives) and not torch.equal(first.negatives, other.negatives)
    known = set(sample.train["item"])
    for user in range(sample.n_users):
        drawn = set(first.negatives[first.action_slice(user)].flatten().tolist())
        for table in (sample.train, sample.test):
            assert not drawn & set(table[table["user"] == user]["item"])
        assert drawn <= known


def test_a_user_who_knows_everything_has_no_negatives(sample):
    extra = sample.train.iloc[: sample.n_items].assign(user=0, item=range(sample.n_items), positive=True)
    rest = sample.train[sample.train["user"] > 0]
    full = replace(sample, train=type(rest)(np.vstack([extra, rest]), columns=rest.columns).infer_objects())
    with pytest.raises(AccentError, match="User 0 has an interaction with every item"):
        Wrapped(BiasedFactors(full), full, "users.weight", "bpr")


def test_sequences_leave_out_what_is_not_kept():
    items, kept = torch.tensor([5, 6, 7, 8]), torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    assert sequences(items, kept, 3, 9).tolist() == [[5, 7, 8], [9, 9, 9], [6, 7, 8]]
    assert sequences(items, kept, 6, 9).tolist()[0] == [9, 9, 9, 5, 7, 8]


def test_an_action_is_predicted_from_those_before_it(models):
    """Losses of a user from the net itself, with two of her actions out of what it reads."""
    model = models["recurrent"]
    actions, rows = model.actions(USER), model.action_slice(USER)
    keep = torch.ones(len(actions), dtype=torch.float64)
    keep[[1, 4]] = 0
    losses = model.losses(model.block(USER), USER, keep)
    for place in (0, 1, 3, 6, len(actions) - 1):
        earlier = [item for at, item in enumerate(actions[:place]) if keep[at]][-model.length :]
        history = [model.n_items] * (model.length - len(earlier)) + earlier
        pair = torch.tensor([[actions[place], int(model.negatives[rows.start + place, 0])]])
        good, bad = model.net(torch.tensor([history]), pair)[0]
        torch.testing.assert_close(losses[place], F.softplus(bad - good))
    everywhere = model._weights(USER, keep)
    own = torch.arange(rows.start, rows.stop)
    trained_on = model.read(own, everywhere)
    assert not torch.isin(trained_on, torch.tensor(actions[[1, 4]])).any()


@pytest.mark.parametrize("name", ["graph", "recurrent"])
def test_other_histories(models, name):
    model = models[name]
    items = torch.tensor(model.candidates(USER)[:5])
    without = history_scores(model, model.block(USER), USER, items)
    keep, late = torch.ones(len(without), dtype=torch.float64), len(without) - 3  # a net reads the last ones
    keep[late] = 0
    torch.testing.assert_close(without[late], model.scores(model.block(USER), USER, items, keep))
    assert not torch.allclose(without[late], model.scores(model.block(USER), USER, items))


# --- influence


def test_influence_of_a_factorisation_by_hand(models):
    """Gradient and Hessian of the logistic loss in closed form."""
    model = models["factors"]
    items, _ = top_k(model, USER, 4)
    found = fast_influence(model, "objective", damping=0.0)(USER, items).influence
    net, rows = model.net, model.action_slice(USER)
    x = lambda of: torch.cat([net.items.weight[of], torch.ones(len(of), 1)], 1).detach()  # noqa: E731
    good, bad = x(model.items[rows]), x(model.negatives[rows, 0])
    bias = [net.item_bias.weight[of, 0].detach() for of in (model.items[rows], model.negatives[rows, 0])]
    p = [torch.sigmoid(of @ model.block(USER) + b) for of, b in zip((good, bad), bias, strict=True)]
    gradients = (p[0] - 1)[:, None] * good + p[1][:, None] * bad
    weights = [(each * (1 - each))[:, None] for each in p]
    hessian = (weights[0] * good).T @ good + (weights[1] * bad).T @ bad
    decay = model.weight_decay()["net.users.weight"] * model.n_actions
    moves = torch.linalg.solve(hessian + decay * torch.eye(len(hessian)), gradients.T)
    torch.testing.assert_close(torch.tensor(found), -(x(torch.tensor(items)) @ moves), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["factors", "towers", "machine", "graph"])
def test_influence_foretells_refits_of_the_block(models, name):
    model = copy.deepcopy(models[name])
    items, _ = top_k(model, USER, 4)
    items, n = torch.tensor(items), len(model.actions(USER))
    settled = refit(model, USER)
    with torch.no_grad():
        for key, part in zip(model.names, settled.split(model._sizes), strict=True):
            model.net.get_parameter(key)[USER] = part
    advice = model.advice
    found = fast_influence(model, advice.variant, damping=0.0)(USER, items)
    true = []
    for place in range(n):
        keep = torch.ones(n, dtype=torch.float64)
        keep[place] = 0
        moved = refit(model, USER, keep)
        true.append(model.scores(settled, USER, items) - model.scores(moved, USER, items, keep))
    true = torch.stack(true, 1).detach().numpy()
    # First order leaves the action's own term in the Hessian, so it understates, but ranks alike.
    assert np.corrcoef(found.influence.ravel(), true.ravel())[0, 1] > 0.9
    assert bool(np.abs(found.by_input).max() > 0) == (name == "graph")


def test_a_shared_block_has_the_hessian_of_all_users(models):
    """The last layer is linear: the Hessian in closed form, and its influence, from the states of the GRU."""
    model = models["recurrent"]
    rows, net = torch.arange(model.n_actions), model.net
    with torch.no_grad():
        states = net.gru(net.items(model.read(rows, model.ones)))[1][0]
        differences = net.items(model.negatives[:, 0]) - net.items(model.items)
        margins = (differences * net.output(states)).sum(-1)
    slopes = torch.einsum("zi,zj->zij", differences, states).flatten(1)  # by the matrix of the layer
    p = torch.sigmoid(margins)
    hessian = slopes.T @ ((p * (1 - p))[:, None] * slopes)
    torch.testing.assert_close(model.curvature(model.block(0), 0), hessian, rtol=1e-7, atol=1e-9)
    decay, n = model.weight_decay()["net.output.weight"], model.n_actions
    own = model.action_slice(USER)
    items, damping = torch.tensor(top_k(model, USER, 4)[0]), 1e-4
    found = fast_influence(model, "objective", damping=damping, effect="substitute")(USER, items)
    solver = hessian / n + (decay + damping) * torch.eye(len(hessian))
    moves = torch.linalg.solve(solver, (p[:, None] * slopes)[own].T).T / n
    whole = torch.ones(len(moves), dtype=torch.float64)
    before = model.scores(model.block(USER), USER, items)
    for place in (0, 2, len(moves) - 1):
        keep = whole.clone()
        keep[place] = 0
        after = model.scores(model.block(USER) + moves[place], USER, items, keep).detach()
        np.testing.assert_allclose(found.influence[:, place], before.detach() - after, rtol=1e-6, atol=1e-9)


def test_a_loss_of_ones_own(sample):
    def pinball(scores, ratings):
        return torch.maximum(0.7 * (ratings - scores), 0.3 * (scores - ratings))

    model = Wrapped(seeded(FactorisationMachine, sample), sample, "users.weight", pinball)
    rows = model.action_slice(USER)
    scores = model.net(model.users[rows], model.items[rows])
    expected = pinball(scores, model.ratings[rows])
    torch.testing.assert_close(model.losses(model.block(USER), USER), expected)
    assert model.n_actions == len(sample.train)


# --- training


@pytest.mark.parametrize("name", NAMES)
def test_a_world_differs_by_what_is_out_of_it_alone(sample, name):
    model, recipe = wrapped(name, sample), Recipe(20, 1e-2, batch_size=256)
    worlds = [World(), World(), World.parse(f"{USER}:0 2 5")]
    control, same, without = retrain(model, recipe, State.of(model), worlds, seed=1)
    for key, value in control.parameters.items():
        # Sums in another order, which Adam may magnify where a gradient is tiny.
        torch.testing.assert_close(value, same.parameters[key], rtol=1e-3, atol=1e-4)
    key = f"net.{model.names[0]}"
    assert not torch.equal(control.parameters[key], without.parameters[key])
    again = retrain(model, recipe, State.of(model), worlds, seed=1)[2]
    assert again.digest() == without.digest()
    items = {USER: top_k(model, USER, 4)[0]}
    (outcome,) = observe(without.into(model), worlds[2], [USER], items)
    assert outcome.status == "ok"


@pytest.mark.parametrize("name", ["factors", "towers"])
def test_one_by_one_is_what_together_is(sample, name):
    model, recipe = wrapped(name, sample), Recipe(20, 1e-2, batch_size=256)
    worlds = [World(), World.parse(f"{USER}:1 2")]
    together = retrain(model, recipe, State.of(model), worlds, seed=0)
    model._apart = True
    apart = retrain(model, recipe, State.of(model), worlds, seed=0)
    for first, second in zip(together, apart, strict=True):
        for key, value in first.parameters.items():
            # Sums in another order, which Adam may magnify where a gradient is tiny.
            torch.testing.assert_close(value, second.parameters[key], rtol=1e-3, atol=1e-4)
        assert first.steps() == second.steps() == 20
    on = train(model, recipe, apart[:1])[0]  # moments are taken up
    assert on.steps() == 40


def test_dropout_follows_from_the_seed_and_nothing_else(sample):
    model, recipe = wrapped("towers", sample), Recipe(4, 1e-2, batch_size=256)
    before = torch.random.get_rng_state()
    first, other = (train(model, recipe, [State.of(model)], seed=seed)[0] for seed in (0, 1))
    torch.manual_seed(5)
    (again,) = train(model, recipe, [State.of(model)], seed=0)
    torch.random.set_rng_state(before)
    assert first.digest() == again.digest() != other.digest()
    calm = Wrapped(seeded(TwoTowers, sample, dropout=0.0), sample, "users.weight", weight_decay=model._decay)
    assert train(calm, recipe, [State.of(calm)], seed=0)[0].digest() != first.digest()


def test_running_statistics_travel_with_a_state(sample):
    model = Wrapped(seeded(TwoTowers, sample, normed=True), sample, "users.weight")
    assert model.one_by_one and "net.of_users.1.running_mean" in model.statistics
    fresh = copy.deepcopy(model)
    (state,) = train(model, Recipe(20, 1e-2, batch_size=256), [State.of(model)])
    assert torch.equal(model.net.of_users[1].running_mean, torch.zeros(16))  # its own are left alone
    assert not torch.equal(state.parameters["net.of_users.1.running_mean"], torch.zeros(16))
    state.into(model)
    assert torch.equal(model.net.of_users[1].running_var, state.parameters["net.of_users.1.running_var"])
    assert np.isclose(objective(fresh, [state])[0], objective(model, [state])[0])


def test_a_removed_action_is_in_no_statistics_of_a_batch(sample):
    model = Wrapped(seeded(TwoTowers, sample, dropout=0.0, normed=True), sample, "users.weight")
    batch, keep = next(iter(model.batches(64, None))), torch.ones(model.n_actions)
    keep[batch.rows[:5]] = 0
    weighted = copy.deepcopy(model).train().batch_loss(batch, keep)
    alone = copy.deepcopy(model).train().batch_loss(batch._replace(rows=batch.rows[5:]))
    torch.testing.assert_close(64 * weighted, 59 * alone)


# --- what torch cannot run for many histories at once


def test_in_turn_is_what_at_once_is(models):
    model = copy.deepcopy(models["attentive"])
    items = top_k(model, USER, 3)[0]

    def influences():
        kinds = {"effect": "linear"}, {"others": True}
        of_kinds = [fast_influence(model, "objective", damping=1e-3, **kind) for kind in kinds]
        return [influence(USER, items).influence for influence in of_kinds]

    assert not model.one_by_one
    at_once = influences()
    model._apart = True
    np.testing.assert_allclose(influences(), at_once, rtol=1e-8, atol=1e-11)


def test_a_recurrent_net_has_every_kind_of_influence(models):
    """Its scores are linear in the block; and what the other losses lose was summed up in a loop here."""
    model = models["recurrent"]
    items, damping = top_k(model, USER, 3)[0], 1e-3
    substitute, linear, whole = (
        fast_influence(model, "objective", damping=damping, **how)(USER, items).influence
        for how in ({}, {"effect": "linear"}, {"others": True})
    )
    np.testing.assert_allclose(linear, substitute, rtol=1e-8, atol=1e-11)
    value, n = model.block(USER), len(model.actions(USER))
    block, everything = value.clone().requires_grad_(), torch.ones(n, dtype=torch.float64)
    place, keep = 2, everything.clone()
    keep[place] = 0
    before = model.losses(block, USER, everything).sum()
    after = (model.losses(block, USER, keep) * keep).sum()
    slope = grad(before - after, block)[0]
    bare = model.curvature(value, USER) / model.n_actions
    bare += torch.eye(len(bare)) * (model._decay["output.weight"] + damping)
    move = torch.linalg.solve(bare, slope) / model.n_actions
    expected = model.scores(value, USER, torch.tensor(items), everything)
    expected = expected - model.scores(value + move, USER, torch.tensor(items), keep)
    np.testing.assert_allclose(whole[:, place], expected.detach(), rtol=1e-5, atol=1e-9)


def test_a_shared_hessian_is_computed_once_for_all_explanations(models, monkeypatch):
    model, asked = copy.deepcopy(models["recurrent"]), []
    whole = model.curvature(model.block(0), 0)
    monkeypatch.setattr(Wrapped, "_losses", lambda *arguments: asked.append(1) or 1 / 0)
    assert torch.equal(copy.deepcopy(model).curvature(model.block(0), 1), whole) and not asked
    with torch.no_grad():
        model.net.items.weight[0] += 1
    with pytest.raises(ZeroDivisionError):
        model.curvature(model.block(0), 0)


# --- names and processes


def test_outcomes_are_named_by_all_that_a_net_is(sample):
    def named(net, data=sample, loss="mse", **options):
        return outcomes_identity(Wrapped(net, data, "users.weight", loss, **options), "abc", QUICK)

    first, again = (named(seeded(TwoTowers, sample)) for _ in range(2))
    fewer = replace(sample, train=sample.train.iloc[:-1])
    others = [
        named(seeded(BiasedFactors, sample)),
        named(seeded(TwoTowers, sample, dropout=0.3)),
        named(seeded(TwoTowers, sample), loss=at_random),
        named(seeded(TwoTowers, sample), weight_decay=0.1),
        named(seeded(TwoTowers, sample), loss="bpr"),
        named(seeded(TwoTowers, sample), loss="bpr", seed=1),
        named(seeded(TwoTowers, sample), data=fewer),
    ]
    assert first == again and len({first, *others}) == 8
    plain = {"model": "NCF", "revision": NCF.revision, "recipe": asdict(QUICK), "start": "trained"}
    expected = fingerprint(base="abc", **plain, arithmetic="loops", how={})
    assert outcomes_identity(NCF(sample), "abc", QUICK) == expected


def test_a_net_of_a_notebook_is_refused_before_work_starts(sample, tmp_path, monkeypatch):
    model = Wrapped(seeded(BiasedFactors, sample), sample, "users.weight", at_random)
    slates = {USER: top_k(model, USER, 3)[0]}
    arguments = QUICK, State.of(model), [World.parse(f"{USER}:0")], slates
    with Store(tmp_path / "worlds.sqlite", "abc") as store, ProcessPoolExecutor(1) as processes:
        for what in (BiasedFactors, at_random):
            with monkeypatch.context() as patch:
                patch.setattr(what, "__module__", "somebody's notebook")
                with pytest.raises(AccentError, match=f"{what.__name__} is defined where worker processes"):
                    verify("net", model, *arguments, store, executor=processes)
        assert store.outcomes().empty


# --- copies


def test_copies_share_the_data_and_nothing_else(models):
    model = models["graph"]
    copied = copy.deepcopy(model)
    assert copied.items is model.items and copied._data is model._data
    assert copied.net.users.weight is not model.net.users.weight
    assert copied.net.users.weight.requires_grad and copied.net is not model.net


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_sent_to_another_process(models, name):
    model = models[name]
    there, items = pickle.loads(pickle.dumps(model)), torch.tensor([0, 1])
    expected = model.scores(model.block(USER), USER, items)
    assert torch.equal(there.scores(there.block(USER), USER, items), expected)


# --- refusals


class Shapes(nn.Module):
    """Gives a column instead of a vector."""

    def __init__(self, data):
        super().__init__()
        self.users = nn.Embedding(data.n_users, 4)

    def forward(self, users, items):
        return self.users(users)[:, :1]


class Detached(BiasedFactors):
    """Scores that nothing can be learned from."""

    def forward(self, users, items):
        return super().forward(users, items).detach()


class Rounded(BiasedFactors):
    """Scores whose gradient is zero everywhere."""

    def forward(self, users, items):
        return super().forward(users, items).round()


class Idle(BiasedFactors):
    """A table of users that no score is made of."""

    def __init__(self, data):
        super().__init__(data)
        self.idle = nn.Embedding(data.n_users, 2)


def sparse(data):
    """A table with sparse gradients."""
    net = BiasedFactors(data)
    net.users.sparse = True
    return net


def bounded(data):
    """Rows that are cut to a length when they are looked up."""
    net = BiasedFactors(data)
    net.users.max_norm = 1.0
    return net


class Padded(BiasedFactors):
    """A row more than there are users, as where positions begin at 1."""

    def __init__(self, data):
        super().__init__(data)
        self.users = nn.Embedding(data.n_users + 1, self.users.embedding_dim)


class Collecting(BiasedFactors):
    """Remembers what it gave, in a dict."""

    def __init__(self, data):
        super().__init__(data)
        self.cache = {}

    def forward(self, users, items):
        if "scores" not in self.cache:
            self.cache["scores"] = super().forward(users, items)
        return self.cache["scores"]


class Short(BiasedFactors):
    """No row for the last item, which is not among the first pairs."""

    def __init__(self, data):
        super().__init__(data)
        self.items = nn.Embedding(int(data.train["item"].max()), self.items.embedding_dim)


class Swapped(BiasedFactors):
    """Items before users."""

    def forward(self, items, users):
        return super().forward(users, items)


class Attending(BiasedFactors):
    """Layers of torch that go another way where nothing is differentiated."""

    def __init__(self, data, whole=False):
        super().__init__(data)
        width = self.users.embedding_dim
        self.whole, self.layer = whole, nn.MultiheadAttention(width, 2, batch_first=True)
        if whole:
            self.layer = nn.TransformerEncoderLayer(width, 2, 8, dropout=0, batch_first=True)

    def forward(self, users, items):
        pair = torch.stack([self.users(users), self.items(items)], 1)
        read = self.layer(pair) if self.whole else self.layer(pair, pair, pair)[0]
        return 3 + read.prod(1).sum(1)


class Doubled(BiasedFactors):
    """One module under two names."""

    def __init__(self, data, name="items"):
        super().__init__(data)
        self.again = getattr(self, name)

    def forward(self, users, items):
        return super().forward(users, items) + self.again(items).sum(-1)


class Keeping(BiasedFactors):
    """Remembers what it gave."""

    def forward(self, users, items):
        self.last = super().forward(users, items).detach()
        return self.last + super().forward(users, items)


class Compared(BiasedFactors):
    """Scores a pair by the others beside it."""

    def forward(self, users, items):
        scores = super().forward(users, items)
        return scores - scores.mean()


class Endless(BiasedFactors):
    """The logarithm of something negative."""

    def forward(self, users, items):
        return (super().forward(users, items) - 100).log()


class Talkative(BiasedFactors):
    """Fails in two lines."""

    def forward(self, users, items):
        raise ValueError("one line\nand another")


@pytest.mark.parametrize(
    ("make", "arguments", "says"),
    [
        (BiasedFactors, {}, "Influence has nothing to move: name .* users.weight, user_bias.weight"),
        (Recurrent, {}, "or, where they have none, a shared one"),
        (BiasedFactors, {"user_parameters": "items.weight"}, "no parameter 'items.weight' of this kind"),
        (Recurrent, {"block": "last.weight"}, "no parameter 'last.weight' .* output.weight"),
        (Recurrent, {"user_parameters": "gru.weight_ih_l0"}, "no parameter|not told the user"),
        (BiasedFactors, {"user_parameters": "users.weight", "block": "item_bias.weight"}, "not both"),
        (BiasedFactors, {"user_parameters": "users.weight", "loss": "hinge"}, "`loss` is 'hinge'"),
        (BiasedFactors, {"user_parameters": "users.weight", "reads": "all"}, "`reads` is 'all'"),
        (
            BiasedFactors,
            {"user_parameters": "users.weight", "reads": "graph"},
            "which is to read graph, could",
        ),
        (BiasedFactors, {"user_parameters": "users.weight", "weight_decay": {"user": 1}}, "names 'user'"),
        (
            BiasedFactors,
            {"user_parameters": "users.weight", "loss": "bpr", "negatives": 0},
            "`negatives` is 0",
        ),
        (Shapes, {"user_parameters": "users.weight"}, r"scores of shape \(\d, 1\) .* squeeze"),
        (lambda data: nn.Linear(2, 1), {"user_parameters": "weight"}, r"takes \(input\)"),
        (lambda data: BiasedFactors, {"user_parameters": "users.weight"}, "The net is the class BiasedFact"),
        (lambda data: None, {"user_parameters": "users.weight"}, "The net is of type NoneType"),
        (BiasedFactors, {"user_parameters": 5}, "given by their names, such as 'users.weight', not by int"),
        (BiasedFactors, {"user_parameters": nn.Embedding(2, 2)}, "given by their names, .* not by Embedding"),
        (BiasedFactors, {"user_parameters": ["users.weight"] * 2}, "'users.weight' is named twice"),
        (BiasedFactors, {"user_parameters": "users.weight", "weight_decay": -1}, "`weight_decay` is -1, but"),
        (BiasedFactors, {"user_parameters": "users.weight", "weight_decay": None}, "`weight_decay` is None"),
        (
            BiasedFactors,
            {"user_parameters": "users.weight", "weight_decay": {"users.weight": np.nan}},
            "`weight_decay` is nan",
        ),
        (
            BiasedFactors,
            {"user_parameters": "users.weight", "loss": "bpr", "negatives": 10**6},
            "`negatives` is 1,000,000, but there are only",
        ),
        (
            BiasedFactors,
            {"user_parameters": "users.weight", "loss": nn.MSELoss()},
            r"`loss` gives a tensor of shape \(\) for 4 ratings; .* reduction='none'",
        ),
        (BiasedFactors, {"user_parameters": "users.weight", "loss": lambda s, r: 0}, "`loss` gives 0 for"),
        (BiasedFactors, {"user_parameters": "users.weight", "loss": lambda s: s}, "`loss` could not be call"),
        (
            BiasedFactors,
            {"user_parameters": "users.weight", "loss": lambda s, r: (s - r).detach()},
            "losses without a gradient",
        ),
        (
            lambda data: BiasedFactors(data).requires_grad_(False),
            {"user_parameters": "users.weight"},
            "The scores of the net have no gradient",
        ),
        (
            lambda data: Detached(data),
            {"user_parameters": "users.weight"},
            "The scores of the net have no gr",
        ),
        (
            lambda data: BiasedFactors(data).half(),
            {"user_parameters": "users.weight"},
            "torch.float16, which",
        ),
        (lambda data: Short(data), {"user_parameters": "users.weight"}, "how many rows its tables have"),
        (lambda data: Swapped(data), {"user_parameters": "users.weight"}, r"but takes \(items, users\)"),
        (
            lambda data: Keeping(data),
            {"user_parameters": "users.weight"},
            r"keeps a tensor in the net \(last\)",
        ),
        (lambda data: Endless(data), {"user_parameters": "users.weight"}, "not finite, such as nan, though"),
        (lambda data: Doubled(data, "users"), {"user_parameters": "users.weight"}, "under two names"),
        (lambda data: Collecting(data), {"user_parameters": "users.weight"}, r"keeps a tensor .*\(cache\)"),
        (lambda data: nn.DataParallel(BiasedFactors(data)), {}, "inside nn.DataParallel"),
        (lambda data: BiasedFactors(data).to("meta"), {}, r"\(users.weight, .*have no values yet"),
        (lambda data: bounded(data), {}, r"Tables with `max_norm` \(users\) change their rows"),
        (lambda data: Padded(data), {"user_parameters": "users.weight"}, r"\('users.weight' has \d+ rows\)"),
        (lambda data: nn.Sequential(nn.LazyLinear(1)), {}, r"\(0.weight, 0.bias\) have no values yet"),
        (lambda data: sparse(data), {"user_parameters": "users.weight"}, r"sparse gradients \(users\)"),
        (
            lambda data: torch.jit.trace(BiasedFactors(data), (torch.tensor([0, 1]), torch.tensor([0, 1]))),
            {"user_parameters": "users.weight"},
            "compiled by torch.jit",
        ),
        (lambda data: Talkative(data), {"user_parameters": "users.weight"}, "ValueError: one line and anoth"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(sample, make, arguments, says):
    with pytest.raises(AccentError, match=says) as error:
        Wrapped(make(sample), sample, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("whole", [False, True])
def test_layers_of_attention_are_trained_and_differentiated_twice(sample, whole):
    model = Wrapped(seeded(Attending, sample, whole), sample, "users.weight", weight_decay=1e-3)
    assert model.one_by_one  # in a stack they would go a way that has no gradient
    (state,) = train(model, Recipe(steps=3, learning_rate=0.01, batch_size=64), [State.of(model)])
    assert not torch.equal(state.parameters["net.users.weight"], model.net.users.weight)
    model, items = state.into(model).double(), model.candidates(USER)[:3]
    found = fast_influence(model, "objective", damping=0.1)(USER, items)
    assert np.isfinite(found.influence).all() and found.influence.any()
    assert torch.backends.cuda.flash_sdp_enabled()  # as before


def test_a_module_under_two_names_is_trained_as_one(sample):
    model = Wrapped(seeded(Doubled, sample), sample, "users.weight")
    assert model.one_by_one
    (state,) = train(model, Recipe(steps=3, learning_rate=0.01, batch_size=64), [State.of(model)])
    assert torch.equal(state.into(model).net.again.weight, state.parameters["net.items.weight"])


@pytest.mark.parametrize("named", ["users.weight", "idle.weight"])
def test_a_block_that_moves_nothing_explains_nothing(sample, named):
    model = Wrapped(Rounded(sample) if named == "users.weight" else Idle(sample), sample, named)
    items = model.candidates(USER)[:5]
    influence = fast_influence(model.double(), "objective", damping=0.1)(USER, items).influence
    assert influence.shape == (5, len(model.actions(USER))) and not influence.any()


def test_a_block_that_is_too_large_is_refused(sample):
    net = Recurrent(sample, dim=80)
    with pytest.raises(AccentError, match="The block has 6,400 parameters"):
        Wrapped(net, sample, loss="bpr", block="output.weight")


def test_a_table_that_is_too_short_is_told(sample):
    net = Recurrent(sample)
    net.items = nn.Embedding(sample.n_items, 16)  # no row for the padding
    with pytest.raises(AccentError, match="how many rows its tables have"):
        Wrapped(net, sample, loss="bpr", block="output.weight")


def test_sets_hold_more_often_than_random_ones_of_their_size(sample):
    """After retraining in another order of the batches than that of training."""
    users = sorted(np.random.default_rng(0).permutation(sample.n_users)[:20].tolist())
    held = {"accent": [], "random": []}
    for name in ("factors", "machine"):
        model = wrapped(name, sample)
        (state,) = train(model, Recipe(1500, 1e-2, "linear", batch_size=256), [State.of(model)])
        variant, damping, _ = state.into(model).advice
        options = {"variant": variant, "damping": damping}
        slates, claims, _ = explain_users(name, model, users, [5], list(held), **options)
        originals = {user: part["item"].to_numpy(copy=True) for user, part in slates.groupby("user")}
        worlds = [World(), *worlds_of(claims)]
        again = Recipe(500, 1e-2, "linear", batch_size=256)
        outcomes = pd.DataFrame(map(asdict, run_stack(model, again, state, worlds, originals, 1, users)))
        judged = judge(claims, slates, outcomes.assign(model=name, seed=1))
        for method, of_users in held.items():
            of_users += judged[judged["method"] == method]["counterfactual"].tolist()
    test = mcnemar(held["accent"], held["random"])
    assert test["p_two_sided"] < 0.05 and test["only_first"] > test["only_second"], test


# --- traps


class Twice(Wrapped):
    """`data_loss` is not the loss that single actions have."""

    def data_loss(self, keep=None):
        return 2 * super().data_loss(keep)


class Own(Wrapped):
    """Recommends what the user knows."""

    def candidates(self, user):
        return self._data.known


class Forgetful(Wrapped):
    """Names no weight decay of a parameter, so that the optimiser never sees it."""

    def weight_decay(self):
        return {"net.items.weight": 0.0}


class Shifted(nn.Module):
    """A user has a bias only, which is in all of her scores."""

    def __init__(self, data):
        super().__init__()
        self.users, self.items = nn.Embedding(data.n_users, 1), nn.Embedding(data.n_items, 1)

    def forward(self, users, items):
        return (self.users(users) + self.items(items)).squeeze(-1)


class Squashed(BiasedFactors):
    def forward(self, users, items):
        return torch.sigmoid(super().forward(users, items))


def at_random(scores, ratings):
    return (scores + torch.randn(len(scores)) - ratings) ** 2


def overflown(model):
    model.net.users.weight.data[0, 0] = float("nan")


def one_for_all(model):
    model.net.item_bias.weight.data[rarest(model)] = 100


def rarest(model):
    """The item that the fewest users know, of those that somebody knows."""
    items, counts = model.items.unique(return_counts=True)
    return int(items[counts.argmin()])


@pytest.mark.parametrize(
    ("make", "net", "options", "spoil", "says"),
    [
        (
            Wrapped,
            TwoTowers,
            {},
            lambda model: model.net.of_users[2].train(),
            "Two calls of `scores` differ, .*eval",
        ),
        (
            Wrapped,
            lambda data: TwoTowers(data, normed=True),
            {},
            lambda model: model.net.of_items[1].train(),
            r"which others are scored with it; net.of_items.1 in training mode",
        ),
        (Wrapped, Compared, {}, None, "which others are scored with it; score each pair by itself"),
        (Wrapped, BiasedFactors, {"loss": at_random}, None, "Two calls of `losses` differ"),
        (Own, BiasedFactors, {}, None, "candidates of user 0 include items that she has acted on"),
        (Wrapped, BiasedFactors, {"loss": "bpr"}, None, r"no gradient .*\(net.user_bias.weight\)"),
        (
            Wrapped,
            BiasedFactors,
            {},
            lambda model: model.net.item_bias.requires_grad_(False),
            r"take no gradient \(net.item_bias.weight\)",
        ),
        (Forgetful, BiasedFactors, {}, None, "does not name all parameters .net.users.weight, net.user_bias"),
        (Wrapped, Shifted, {}, None, "Differences of scores do not depend on the block of user 0"),
        (Wrapped, TwoTowers, {}, None, r"The gradient of the objective at users' blocks is \d+% of what"),
        (
            Wrapped,
            BiasedFactors,
            {},
            one_for_all,
            r"Item \d+ is the recommendation of .* nothing personal",
        ),
        (Twice, BiasedFactors, {"loss": "bce"}, None, "`data_loss` with the actions of user 0 or"),
        (Wrapped, Squashed, {"loss": "bce"}, None, "between 0 and 1, as after a sigmoid, which `bce` takes"),
        (Wrapped, BiasedFactors, {}, overflown, r"Parameters are not finite \(net.users.weight\)"),
    ],
)
def test_each_trap_is_told(sample, make, net, options, spoil, says):
    model = make(seeded(net, sample), sample, "users.weight", **options)
    if spoil is not None:
        spoil(model)
    told = check(model)
    of_training = says.startswith(("The gradient", "Item"))
    of_wrapping = check(model, trained=False)
    assert any(re.search(says, sentence) for sentence in of_wrapping) != of_training, of_wrapping
    assert any(re.search(says, sentence) for sentence in told), told
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in told)


def test_zeros_at_first_are_no_fault_of_a_net_that_is_not_trained(sample):
    net = seeded(TwoTowers, sample)
    for value in net.of_users[-1].parameters():
        nn.init.zeros_(value)
    model = Wrapped(net, sample, "users.weight")
    assert check(model, trained=False) == [] != check(model)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_told_of_a_good_model(models, name):
    assert check(models[name]) == []


def test_the_models_of_the_paper_pass(sample):
    model = NCF(sample)
    (state,) = train(model, Recipe(1500, 1e-2, "linear", batch_size=256), [State.of(model)])
    assert check(state.into(model)) == []
    told = check(RCF(sample))
    assert len(told) < 2 and all("gradient of the objective" in sentence for sentence in told)  # not trained
