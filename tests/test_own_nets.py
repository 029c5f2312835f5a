"""Nets of one's own through the front: what is told when, and the five nets of the table of results."""

import copy
import inspect
import textwrap
import warnings

import pandas as pd
import pytest
import torch

import accent_lib as al
from accent_book import runs
from accent_book.experiments import own_nets
from accent_book.experiments.nets import FactorisationMachine, TwoTowers
from accent_book.figures.tables import held_by_net
from accent_lib import AccentError, AccentWarning

TABLE = runs.results_folder() / "own-nets.csv"


def told(call):
    """What a call returns, and the sentences that it warns with."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [str(each.message) for each in caught if each.category is AccentWarning]


def wrapped(data, net=None, **options):
    net = net or own_nets.seeded(FactorisationMachine, data)
    how = {"weight_decay": 4 / len(data.train), "recipe": own_nets.annealed(200), **options}
    return al.wrap(net, data, "users.weight", **how)


@pytest.fixture(scope="module")
def machine(sample):
    """The factorisation machine of the table, fitted here."""
    return own_nets.machine(sample).fit()


def of_somebody(model):
    """An explanation with a set."""
    users = model.data.user_ids[own_nets.users_of(model.data)]
    return next(each for each in (al.explain(model, user, 5) for user in users) if each.found)


# --- what is told when


def test_a_net_that_is_not_trained_yet_is_told_nothing_of_training(sample):
    model, sentences = told(lambda: wrapped(sample))
    assert sentences == [] and "not fitted yet" in repr(model)
    assert any("The gradient of the objective" in sentence for sentence in al.check(model))
    assert not any("had learned before" in sentence for sentence in al.check(model))
    _, sentences = told(model.fit)
    assert sentences == [] and al.check(model) == [] and "different recommendations" in repr(model)


def test_training_that_is_too_short_is_told_by_fit(sample):
    model, _ = told(lambda: wrapped(sample, recipe=own_nets.annealed(1)))
    _, sentences = told(model.fit)
    assert sum("The gradient of the objective" in sentence for sentence in sentences) == 1
    user = model.data.user_ids[0]
    assert told(lambda: al.explain(model, user))[1] == []


def test_a_net_that_was_never_trained_is_told_at_the_first_explanation_once(sample):
    model, _ = told(lambda: wrapped(sample))
    users = model.data.user_ids[:2]
    _, first = told(lambda: al.explain_users(model, users))
    assert sum("The gradient of the objective" in sentence for sentence in first) == 1
    assert told(lambda: al.explain(model, users[0]))[1] == []


def test_a_fault_of_the_wrapping_is_told_at_once(sample):
    net = own_nets.seeded(FactorisationMachine, sample)
    net.genres.weight.requires_grad_(False)
    _, sentences = told(lambda: wrapped(sample, net))
    assert len(sentences) == 1 and "(net.genres.weight) and are never trained" in sentences[0]


def test_a_warm_start_is_told(sample, machine):
    """What is removed had been learned before, in a training that verification cannot do without it."""
    remembers = "had learned before its fit"
    net = copy.deepcopy(machine.network.net)
    trained, sentences = told(lambda: wrapped(sample, net))
    assert sentences == []
    assert [remembers in sentence for sentence in al.check(trained)] == [True]
    explanation, sentences = told(lambda: of_somebody(trained))
    assert sentences == []
    assert [remembers in sentence for sentence in told(lambda: explanation.verify(orders=1))[1]] == [True]
    assert told(lambda: explanation.verify(orders=1))[1] == []

    def fit(keep, seed):
        return net

    # That one does not heed what is left out.
    (same,) = told(lambda: explanation.verify(orders=2, fit=fit))[1]
    assert same.startswith("`fit` gave the same net with the set and without it, so that nothing is verified")
    assert al.check(wrapped(sample, net, fit=fit)) == []
    on, _ = told(lambda: wrapped(sample, net, recipe=own_nets.annealed(20)).fit())
    assert any(remembers in sentence for sentence in al.check(on))


def train_on(net):
    """Somebody's own optimiser, a little further."""
    with torch.no_grad():
        net.users.weight.mul_(1.1)


def test_training_on_outside_after_an_explanation_is_told(sample, machine):
    """Verification would else start from what the net had been at its first explanation."""
    further, net = "was trained further after it had been", copy.deepcopy(machine.network.net)
    model = wrapped(sample, net)
    before, _ = told(lambda: of_somebody(model))
    assert not any(further in sentence for sentence in al.check(model))
    train_on(net)
    assert sum(further in sentence for sentence in al.check(model)) == 1
    sentences = told(lambda: before.verify(orders=1))[1]
    assert sum(further in sentence for sentence in sentences) == 1
    again, sentences = told(lambda: al.explain(model, before.user, 5))
    assert sum(f"{further} fitted or explained here: explanations made before" in s for s in sentences) == 1
    assert not any(further in sentence for sentence in al.check(model))
    name = "net.users.weight"
    states = (each.model.state.parameters[name] for each in (before, again))
    assert [torch.equal(each, net.users.weight.cpu()) for each in states] == [False, True]
    assert not any(further in s for s in told(lambda: al.explain(model, before.user, 5))[1])
    train_on(net)
    assert sum(further in s for s in told(lambda: al.explain(model, before.user, 5))[1]) == 1


def test_training_on_outside_after_fit_is_told(sample):
    model, _ = told(lambda: wrapped(sample, recipe=own_nets.annealed(20)).fit())
    user = model.data.user_ids[0]
    assert not any("trained further" in s for s in told(lambda: al.explain(model, user, 5))[1])
    train_on(model.network.net)
    (sentence,) = [s for s in told(lambda: al.explain(model, user, 5))[1] if "trained further" in s]
    assert "does again what fit() did, without that: give `fit=` to wrap()" in sentence
    theirs = wrapped(sample, fit=lambda keep, seed: model.network.net)
    told(theirs.fit)
    train_on(theirs.network.net)
    (sentence,) = [s for s in al.check(theirs) if "trained further" in s]
    assert "verification trains by `fit` alone: let `fit` do that, too" in sentence


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        (lambda data: 3, "`fit` must return a module or a state dict, not int"),
        (TwoTowers, "What `fit` returned does not fit FactorisationMachine: .*items.weight"),
        (lambda data: {"users.weight": torch.zeros(2, 2)}, "What `fit` returned does not fit Fact"),
    ],
)
def test_what_is_not_the_net_is_refused(sample, gives, says):
    with pytest.raises(AccentError, match=says):
        wrapped(sample, fit=lambda keep, seed: gives(sample)).fit()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fit": 5}, r"`fit` is 5, but must be a function fit\(keep, seed\)"),
        ({"fit": lambda keep: None}, r"must be a function fit\(keep, seed\)"),
        ({"recipe": 100}, "`recipe` is 100, but must be a Recipe"),
        ({"length": 0}, "`length` is 0, but must be a whole number of at least 1"),
        ({"negatives": "a"}, "`negatives` is 'a'"),
        ({"seed": 2**70}, "but must be a whole number from 0 to"),
        ({"seed": "a"}, "`seed` is 'a'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(sample, options, says):
    with pytest.raises(AccentError, match=says):
        wrapped(sample, **options)


def test_a_recommender_of_ones_own_is_fitted_by_ones_own_training(sample):
    network, other = (
        al.wrap(own_nets.seeded(FactorisationMachine, sample), sample, "users.weight").network for _ in "ab"
    )
    with torch.no_grad():
        other.net.users.weight.mul_(2)
    for gives in (other, other.state_dict(), other.net, other.net.state_dict()):
        model = al.wrap(network, sample, fit=lambda keep, seed, gives=gives: gives)
        told(model.fit)
        assert torch.equal(model.network.net.users.weight, other.net.users.weight)


def test_files_of_a_net(sample, machine, tmp_path):
    path = tmp_path / "net.npz"
    machine.save(path)
    back = wrapped(sample).load(path)
    assert repr(back) == repr(machine) and al.check(back) == al.check(machine)
    explanation = of_somebody(machine)
    again = al.explain(back, explanation.user, 5)
    assert repr(again) == repr(explanation)
    (_, table), (_, other) = ((each, each.verify(1).table) for each in (explanation, again))
    assert table.equals(other)
    untrained = wrapped(sample)
    before = untrained.network.net.users.weight.clone()
    for call, says in (
        (lambda: untrained.load(tmp_path / "nowhere.npz"), r"There is no file .*nowhere\.npz"),
        (lambda: al.NCF.load(path, sample), "holds OwnModel, not NCF"),
        (
            lambda: wrapped(sample, own_nets.seeded(TwoTowers, sample)).load(path),
            "another net than this TwoT",
        ),
        (lambda: wrapped(sample, weight_decay=1.0).load(path), "or one that was wrapped in another way"),
        (lambda: wrapped(al.prepare(al.load("sample"), holdout=0.5)).load(path), "fitted to other data"),
    ):
        with pytest.raises(AccentError, match=says):
            call()
    with pytest.raises(AccentError, match="wrapped in another way"):
        al.wrap(untrained.network.net, sample, "users.weight", weight_decay=1.0).load(path)
    assert torch.equal(untrained.network.net.users.weight, before)


class Popular(torch.nn.Module):
    """One item for everybody, whatever the parameters of users are."""

    def __init__(self, data):
        super().__init__()
        self.users, self.items = torch.nn.Embedding(data.n_users, 1), torch.nn.Embedding(data.n_items, 1)
        with torch.no_grad():
            self.items.weight[7] = 50.0

    def forward(self, users, items):
        return (self.users(users) + self.items(items))[:, 0]


def test_check_speaks_in_the_ids_and_titles_of_the_data():
    read = {(u, i) for u in range(30) for i in range(30) if (u < 3 if i == 15 else (u + i) % 3)}
    rows = [(f"ann-{u}", f"tt{i}", 1 + (u + i) % 5) for u, i in sorted(read)]
    ratings = pd.DataFrame(rows, columns=["user", "item", "rating"])
    items = pd.DataFrame({"item": [f"tt{i}" for i in range(30)], "title": [f"Book {i}" for i in range(30)]})
    for about, name in ((items, "'Book 15' ('tt15')"), (None, "'tt15'")):
        data = al.prepare(al.read_ratings(ratings, about), min_ratings=1)
        model, sentences = told(lambda data=data: al.wrap(Popular(data), data, "users.weight"))
        assert data.item_ids[7] == "tt15"
        (fixed,) = [s for s in sentences if "do not depend on the block of user 'ann-0':" in s]
        found = al.check(model)
        assert fixed in found
        assert any(s.startswith(f"Item {name} is the recommendation of ") for s in found), found
        # A network alone has no names.
        assert any(s.startswith("Item 7 is the recommendation of ") for s in al.check(model.network))


def test_who_knows_everything_is_looked_over_and_all_of_them_are_told():
    def model(everything):
        rows = [(u, i, 1 + (u + i) % 5) for u in range(30) for i in range(20) if everything(u) or (u + i) % 3]
        data = al.prepare(al.read_ratings(pd.DataFrame(rows, columns=["user", "item", "rating"])), holdout=0)
        return told(lambda: al.wrap(Popular(data), data, "users.weight"))

    some, sentences = model(lambda user: user in (0, 9, 19, 29))
    assert all("user 1:" in sentence for sentence in sentences) and len(sentences) == 1
    everybody, sentences = model(lambda user: True)
    assert sentences == al.check(everybody) and len(sentences) == 1
    assert sentences[0].startswith("No user has an action and two candidates")


def test_a_net_with_parametrizations_is_explained_and_verified(sample):
    """torch lets none of them be pickled, which tells how much memory a net takes."""
    net = own_nets.seeded(FactorisationMachine, sample)
    torch.nn.utils.parametrizations.weight_norm(net.users)
    how = {"weight_decay": 4 / len(sample.train), "recipe": own_nets.annealed(100)}
    model, _ = told(al.wrap(net, sample, "users.parametrizations.weight.original1", **how).fit)
    explanation = told(lambda: of_somebody(model))[0]
    assert explanation.verify(1).orders == 1


# --- the five nets


@pytest.mark.parametrize("name", own_nets.NETS)
def test_a_net_is_wrapped_in_five_lines(name):
    source = textwrap.dedent(inspect.getsource(own_nets.NETS[name])).splitlines()
    body = [line for line in source[1:] if line.strip() and '"""' not in line]
    assert 0 < len(body) <= 5 and all(len(line) <= 79 for line in body)


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(TABLE)


def test_accents_sets_hold_more_often_than_random_ones_of_their_size(table, sample):
    users = sample.user_ids[own_nets.users_of(sample)].tolist()
    for name, part in table.groupby("net"):
        sets, random = (part[part["method"] == method] for method in own_nets.METHODS)
        assert sets["user"].tolist() == random["user"].tolist() == users, name
        assert sets["size"].tolist() == random["size"].tolist()
        assert not (part["held"] & (part["size"] == 0)).any()
    rows = held_by_net(table).set_index("net")
    assert rows.index.tolist() == [*own_nets.NETS, "pooled"]
    assert rows.loc["pooled", "users"] == 100 and rows.loc["pooled", "p"] < 0.05
    assert rows.loc["pooled", "accent"] == rows["accent"].iloc[:-1].sum()
    # Chapter 10 says of these two that they are no better, and of no other.
    assert set(rows.index[rows["accent"] <= rows["random"]]) == {"towers", "attentive"}


def test_a_row_of_the_table_is_what_verification_says(table, machine):
    rows = table[(table["net"] == "machine") & (table["size"] > 0)]
    for row in rows[rows["user"].isin(rows["user"].unique()[:3])].itertuples():
        explanation = al.explain(machine, row.user, own_nets.K, row.method)
        assert len(explanation.removed) == row.size
        table_here = explanation.verify(orders=1).table.set_index("world")
        gaps = table_here["recommendation"] - table_here["replacement"]
        # Sums in another order and on other processors, which Adam magnifies where a gradient is tiny.
        assert gaps.tolist() == pytest.approx([row.gap, row.control_gap], abs=0.02)
