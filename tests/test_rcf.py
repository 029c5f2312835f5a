"""RCF against a transcription of its equations, one entry at a time, and autograd through that."""

import copy
import pickle
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from torch.func import functional_call, grad, hessian, vmap

from accent_lib import AccentError
from accent_lib.datasets import prepare, read_ratings
from accent_lib.datasets.relations import Relations, draw_relation_triples
from accent_lib.datasets.sample import generate
from accent_lib.explanations import closeup
from accent_lib.models import RCF, Recommender, history_scores, rcf, rcf_entries, top_k
from accent_lib.training import Recipe, State, recipes, train
from accent_lib.training.stack import Objective

RECIPE = Recipe(steps=20, learning_rate=0.05, optimizer="adagrad", batch_size=64)
USER = 4


@pytest.fixture(scope="module")
def data():
    return prepare(generate(seed=1, n_users=20, n_items=40), min_positive=3, min_negative=2)


def make(data, relation_triples=None):
    """A small model with parameters so large that every one of them matters."""
    model = RCF(data, relation_triples, dim=6, attention=4).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.normal_(0, 0.5, generator=generator)
    return model


@pytest.fixture(scope="module")
def model(data):
    return make(data)


def close(found, expected):
    # Both sides compute in double precision and differ in the order of additions only.
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def some_keep(model):
    """Weights of the actions: some 0, some 1, some between."""
    return torch.tensor(np.random.default_rng(0).uniform(-0.5, 1.5, model.n_actions).clip(0, 1))


@pytest.fixture(scope="module")
def shared(data):
    return shared_values(data)


def shared_values(data):
    """The values that two items share, as (type, number), from the attribute table; type 0 where none."""
    relations = Relations.of(data.attributes)
    names = zip(relations.types.tolist(), relations.ids.tolist(), strict=True)
    numbers = {name: number for number, name in enumerate(names)}
    sets = [{(t, i) for t, ids in enumerate(row, 1) for i in ids} for row in data.attributes.to_numpy()]
    return lambda i, j: [(t, numbers[t, value]) for t, value in sets[i] & sets[j]] or [(0, 0)]


def gelu(x):
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def loss(better, worse):
    return -torch.log(1 / (1 + torch.exp(worse - better)))


def transcribed(model, shared, user, target, keep):
    """Score, type attention (4,) and item attention (4, n_history) of one pair; ``keep`` is the user's."""
    w = dict(model.named_parameters())
    u, x = w["user_table.weight"][user], w["item_table.weight"]
    hidden = [w["type_hidden.weight"] @ (u * r) + w["type_hidden.bias"] for r in w["type_table.weight"]]
    types = [torch.exp(w["type_query"] @ gelu(one)) for one in hidden]
    types = [one / sum(types) for one in types]
    history = model.actions(user).tolist()
    weights = [[torch.zeros((), dtype=u.dtype) for _ in history] for _ in types]
    for z, j in enumerate(history):
        for t, number in shared(target, j) if j != target else ():
            inside = w["target_weight"][t] @ x[target] + w["history_weight"][t] @ x[j]
            if t > 0:
                inside = inside + w["value_weight"][t - 1] @ w["value_table.weight"][number]
            weights[t][z] = weights[t][z] + keep[z] * torch.exp(w["item_query"][t] @ torch.tanh(inside))
    levels = [[one / (sum(row) + 1e-9) ** 0.5 for one in row] for row in weights]
    m = u
    for t, row in enumerate(levels):
        for j, level in zip(history, row, strict=True):
            m = m + types[t] * level * x[j]
    score = w["output"] @ gelu(w["hidden.weight"] @ (m * x[target]) + w["hidden.bias"])
    return score, torch.stack(types), torch.stack([torch.stack(row) for row in levels])


@pytest.mark.parametrize("user", [0, USER, 19])
def test_scores_and_attention_are_the_equations(model, shared, user):
    items, part = torch.arange(model.n_items), model.action_slice(user)
    users, block = torch.full_like(items, user), model.block(user)
    for keep in (some_keep(model), torch.ones(model.n_actions, dtype=torch.double)):
        found = [transcribed(model, shared, user, item, keep[part]) for item in range(model.n_items)]
        scores, types, levels = map(torch.stack, zip(*found, strict=True))
        close(model(users, items, keep), scores)
        close(model.scores(block, user, items, keep[part]), scores)
    close(model(users, items), scores)
    close(model.scores(block, user, items), scores)
    close(model.attention_levels(user, items), (types[0], levels.movedim(1, 0)))
    close(model.attention(user, items), sum(types[:, t, None] * levels[:, t] for t in range(4)))


def test_how_values_are_looked_up_and_items_are_parted_changes_no_score(data, model, shared, monkeypatch):
    """Most values here are so common that each item holds them as bits; now only two are."""
    monkeypatch.setattr(rcf_entries, "COMMON", 2)
    monkeypatch.setattr(rcf, "PART", 3 * len(model.actions(USER)))
    other, items = make(data), torch.arange(model.n_items)
    assert (other._histories.bit_of < 63).sum() == 2 < (model._histories.bit_of < 63).sum() - 10
    expected = torch.stack(
        [transcribed(model, shared, USER, item, torch.ones(99))[0] for item in items.tolist()]
    )
    for scores in (other(torch.full_like(items, USER), items), other.scores(other.block(USER), USER, items)):
        close(scores, expected)


def test_pairs_in_any_order_and_twice(model):
    users, items = torch.tensor([USER, 3, USER, 0, 3, USER]), torch.tensor([7, 2, 1, 7, 2, 1])
    one_by_one = [model(user, item) for user, item in zip(users.split(1), items.split(1), strict=True)]
    close(model(users, items), torch.cat(one_by_one))


def test_memory_does_not_grow_with_pairs_of_items(data):
    n_items = 6_000
    extra = pd.DataFrame(
        {name: [(n % 18,) for n in range(n_items - data.n_items)] for name in data.attributes}
    )
    large = replace(data, n_items=n_items, attributes=pd.concat([data.attributes, extra], ignore_index=True))
    tracemalloc.start()
    model = RCF(large, dim=6, attention=4)
    model.scores(model.block(USER), USER, torch.arange(n_items))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n_items**2  # not even a byte for each pair


def test_a_model_that_does_not_fit_into_memory_is_refused_before_any_work(data, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**10))
    monkeypatch.setattr(rcf, "training_triples", None)
    with pytest.raises(
        AccentError, match=r"RCF needs [1-9] MiB for .* 20 users, 39 items .* 0 MiB are free; take"
    ):
        RCF(data)


def test_losses_of_a_block_are_those_of_the_user_s_triples(model, shared):
    keep, moved = some_keep(model)[model.action_slice(USER)], copy.deepcopy(model)
    with torch.no_grad():
        moved.user_table.weight[USER] += 0.1
    _, *ends = model.triples[model.action_slice(USER)].T.tolist()
    scores = [[transcribed(moved, shared, USER, i, keep)[0] for i in items] for items in ends]
    expected, block = loss(*map(torch.stack, scores)), model.block(USER) + 0.1
    close(model.losses(block, USER, keep), expected)
    which = torch.tensor([5, 0, 5])
    close(model.losses(block, USER, keep, which), expected[which])
    assert model.penalty(block) == 0
    assert model.weight_decay() == {name: 0.0 for name, _ in model.named_parameters()}


def related(w, row):
    head, type_, value, tail, other = row
    x, relation = w["item_table.weight"], w["type_table.weight"][type_] + w["value_table.weight"][value]
    return loss(*((x[head] * relation * x[end]).sum() for end in (tail, other)))


@pytest.mark.parametrize("weigh", [some_keep, lambda model: None])
def test_batch_loss_and_its_gradients_are_those_of_the_equations(model, shared, weigh):
    keep, w, total = weigh(model), dict(model.named_parameters()), 0
    *_, batch = model.batches(60, torch.Generator().manual_seed(5))
    weights = torch.ones(model.n_actions, dtype=torch.double) if keep is None else keep
    for row in batch.rows.tolist():
        user, *items = model.triples[row].tolist()
        ours = weights[model.action_slice(user)]
        total += weights[row] * loss(*(transcribed(model, shared, user, item, ours)[0] for item in items))
    of_relations = sum(related(w, row) for row in model.relation_triples[batch.relations].tolist())
    expected = total / weights.sum() + 0.01 * of_relations / len(model.relation_triples)
    found = model.batch_loss(batch, keep)
    close(found, expected)
    gradients = (torch.autograd.grad(one, list(w.values())) for one in (found, expected))
    for name, ours, theirs in zip(w, *gradients, strict=True):
        assert theirs.abs().max() > 1e-6, name  # else it would be no test of this parameter
        close(ours, theirs)


@pytest.mark.parametrize("weigh", [some_keep, lambda model: None])
def test_an_epoch_adds_up_to_the_objective(model, weigh):
    keep, w = weigh(model), dict(model.named_parameters())
    weights = torch.ones(model.n_actions, dtype=torch.double) if keep is None else keep
    users, liked, disliked = model.triples.T
    losses = loss(model(users, liked, keep), model(users, disliked, keep))
    of_relations = [related(w, row) for row in model.relation_triples.tolist()]
    expected = (weights * losses).sum() / weights.sum() + 0.01 * torch.stack(of_relations).mean()
    close(model.data_loss(keep), expected)
    batches = model.batches(50, torch.Generator().manual_seed(2))
    close(sum(model.batch_loss(batch, keep) for batch in batches), expected)


def test_zeros_in_keep_are_data_without_the_actions(model, data):
    keep = torch.ones(model.n_actions, dtype=torch.double)
    keep[::7] = 0
    keep[model.action_slice(2)] = 0  # nothing left of this user
    removed = np.flatnonzero(data.train["positive"])[keep.numpy() == 0]
    smaller = replace(data, train=data.train.drop(index=removed).reset_index(drop=True))
    smaller = make(smaller, draw_relation_triples(data, Relations.of(data.attributes)))
    # What a removed action used is free for later ones when triples are chosen anew; here they stay.
    stay = model.triples[keep == 1]
    assert torch.equal(smaller.triples[:, :2], stay[:, :2]) and not torch.equal(smaller.triples, stay)
    smaller.triples.copy_(stay)
    close(model.data_loss(keep), smaller.data_loss())
    items = torch.arange(model.n_items)
    for user in range(model.n_users):
        ours, block = keep[model.action_slice(user)], model.block(user)
        close(model.scores(block, user, items, ours), smaller.scores(block, user, items))
        close(model(torch.full_like(items, user), items, keep), smaller.scores(block, user, items))
        close(model.losses(block, user, ours)[ours == 1], smaller.losses(block, user))


def test_the_target_is_not_in_its_own_history(model):
    own, keep = torch.tensor(model.actions(USER)), torch.ones(model.n_actions, dtype=torch.double)
    assert not model.attention_levels(USER, own)[1].diagonal(dim1=1, dim2=2).any()
    keep[model.action_slice(USER).start + 3] = 0
    scores, without = (model(torch.full_like(own, USER), own, one) for one in (None, keep))
    assert torch.nonzero(scores == without).flatten().tolist() == [3]


def test_candidates_are_known_items_that_the_user_did_not_like_in_training(data):
    # Two users and few relation triples, so that some items are known from one source only, some from none.
    train, test = (table[table["user"] < 2] for table in (data.train, data.test))
    few = replace(data, n_users=2, train=train, test=test)
    model = make(few, draw_relation_triples(few, Relations.of(data.attributes))[:9])
    sources = [
        model.triples[:, 1:],
        model.relation_triples[:, [0, 3, 4]],
        torch.tensor(test["item"].to_numpy()),
    ]
    sources = [set(source.flatten().tolist()) for source in sources]
    assert all(own.difference(*(other for other in sources if other is not own)) for own in sources)
    assert len(set.union(*sources)) < data.n_items
    for user in range(2):
        rows = train[train["user"] == user]
        liked, disliked = (rows.loc[rows["positive"] == sign, "item"] for sign in (True, False))
        assert model.actions(user).tolist() == liked.tolist()
        assert model.candidates(user).tolist() == sorted(set.union(*sources) - set(liked))
        assert np.isin([*disliked, *test.loc[test["user"] == user, "item"]], model.candidates(user)).all()


def test_equal_scores_the_lower_index_first(model):
    flat = copy.deepcopy(model)
    torch.nn.init.zeros_(flat.output)
    items, scores = top_k(flat, USER, 7)
    assert items.tolist() == flat.candidates(USER)[:7].tolist() and not scores.any()


def test_batches_hold_every_triple_and_relation_triple_once(model):
    seeds = (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1), None)
    first, again, in_order = (list(model.batches(50, one)) for one in seeds)
    *_, other = model.batches(50, torch.Generator().manual_seed(2))
    assert [len(batch.rows) for batch in first] == [50] * (model.n_actions // 50) + [model.n_actions % 50]
    for name, number in (("rows", model.n_actions), ("relations", len(model.relation_triples))):
        shuffled, ordered = (torch.cat([getattr(one, name) for one in epoch]) for epoch in (first, in_order))
        assert torch.equal(ordered, torch.arange(number)) and torch.equal(shuffled.sort().values, ordered)
        assert not torch.equal(getattr(first[-1], name), getattr(other, name))
    for batch, same in zip(first, again, strict=True):
        assert all(map(torch.equal, batch[:-1], same[:-1]))
        assert abs(len(batch.relations) - len(other.relations)) <= 1
        assert len(set(zip(batch.users.tolist(), batch.items.tolist(), strict=True))) == len(batch.users)
        for column, place in ((1, batch.liked), (2, batch.disliked)):
            pairs = torch.stack([batch.users[place], batch.items[place]], 1)
            assert torch.equal(pairs, model.triples[batch.rows][:, [0, column]])


def flatten(state):
    return torch.cat([value.reshape(-1) for value in state.parameters.values()])


def test_a_stack_equals_its_members_trained_alone(model):
    states, keeps = [State.of(model)] * 2, torch.stack([model.ones, some_keep(model)])
    together = map(flatten, train(model, RECIPE, states, keep=keeps, seed=7))
    alone = [flatten(train(model, RECIPE, states[:1], keep=keep[None], seed=7)[0]) for keep in keeps]
    for one, other in zip(together, alone, strict=True):
        # Adagrad divides gradients by 1e-4 or more (its accumulator starts at 1e-8): four digits less.
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    assert (alone[0] - alone[1]).abs().max() > 1e-2


def test_plain_tensor_code_gives_the_same_gradients_in_a_stack(model):
    """What a GPU computes, computed here; with some actions half in the history and one out of it."""
    plain = copy.deepcopy(model)
    plain.by_tensors = True
    keep = torch.rand(2, model.n_actions, dtype=torch.float64).clamp(min=0.2)
    keep[1, 3] = 0
    batch = next(model.batches(64, torch.Generator().manual_seed(0)))
    gradients = []
    for one in (model, plain):
        stacked = {name: torch.stack([p, 0.9 * p]).detach() for name, p in one.named_parameters()}

        def losses(parameters, one=one):
            def of_one(parameters, keep):
                call = {f"model.{name}": value for name, value in parameters.items()}
                return functional_call(Objective(one, "batch_loss"), call, (batch, keep))

            return torch.vmap(of_one)(parameters, keep).sum()

        values = {name: value.requires_grad_() for name, value in stacked.items()}
        gradients.append(torch.autograd.grad(losses(values), list(values.values())))
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)


def test_a_diverged_copy_leaves_the_others_bit_identical(model):
    states = [State.of(model) for _ in range(3)]
    clean = [flatten(state) for state in train(model, RECIPE, states, seed=3)]
    states[1].parameters["item_query"] *= torch.nan
    mixed = [flatten(state) for state in train(model, RECIPE, states, seed=3)]
    assert torch.equal(mixed[0], clean[0]) and torch.equal(mixed[2], clean[2]) and mixed[1].isnan().any()


def checked_scores(model):
    """Scores by the projections that a model keeps, once they are compared with a whole forward pass."""
    items = torch.arange(model.n_items)
    scores = model.scores(model.block(USER), USER, items).detach()
    # The default tolerances, because some of these models are in single precision.
    torch.testing.assert_close(scores, model(torch.full_like(items, USER), items).detach())
    return scores


def test_kept_projections_notice_changed_parameters(model):
    model = copy.deepcopy(model)
    seen = [checked_scores(model)]
    for name, value in model.named_parameters():
        with torch.no_grad():
            value.copy_(value * 1.1)
        seen.append(checked_scores(model))
        assert not torch.equal(*seen[-2:]), name
    (state,) = train(model, RECIPE, [State.of(model)])
    seen.append(checked_scores(state.into(model)))
    assert not torch.equal(*seen[-2:])
    twin = copy.deepcopy(model)
    torch.nn.init.zeros_(twin.item_query)
    assert not torch.equal(checked_scores(twin), seen[-1]) and torch.equal(checked_scores(model), seen[-1])
    for cast in (model.float, model.double):
        checked_scores(cast())


def test_pickling_keeps_the_scores(model, data):
    expected = checked_scores(model)
    for one in (make(data), model):  # before it has scored anything, and after
        restored = pickle.loads(pickle.dumps(one))
        assert torch.equal(checked_scores(restored), expected)
        assert torch.equal(restored.data_loss(), model.data_loss())


def test_functions_of_a_block_can_be_transformed_before_anything_is_kept(model, data):
    block, items, n = model.block(USER), torch.arange(9), len(model.actions(USER))
    keeps = torch.stack([torch.ones(n), torch.arange(n) / n]).double()
    one_by_one = {
        "scores": torch.stack([model.scores(block, USER, items, keep) for keep in keeps]),
        "items": model.scores(block, USER, items),
        "losses": model.losses(block, USER, keeps[1]),
        "grad": torch.autograd.functional.jacobian(lambda b: model.losses(b, USER).sum(), block),
        "hessian": torch.autograd.functional.hessian(lambda b: model.losses(b, USER).sum(), block),
    }
    transformed = {
        "scores": lambda cold: vmap(cold.scores, (None, None, None, 0))(block, USER, items, keeps),
        "items": lambda cold: vmap(lambda item: cold.scores(block, USER, item[None])[0])(items),
        "losses": lambda cold: vmap(lambda z: cold.losses(block, USER, keeps[1], z))(torch.arange(n)),
        "grad": lambda cold: grad(lambda b: cold.losses(b, USER).sum())(block),
        "hessian": lambda cold: hessian(lambda b: cold.losses(b, USER).sum())(block),
    }
    for name, expected in one_by_one.items():
        cold = make(data)
        close(transformed[name](cold), expected)
        checked_scores(cold)


def test_initial_parameters_are_the_papers(data):
    w, same, other = (dict(RCF(data, seed=seed).named_parameters()) for seed in (1, 1, 2))
    normal = {f"{table}_table.weight": 0.05 for table in ("user", "item", "type", "value")}
    normal |= {"hidden.weight": 1 / 8, "hidden.bias": 1 / 8, "output": (2 / 65) ** 0.5}
    uniform = {"type_hidden.weight": 96, "target_weight": 96, "history_weight": 96, "value_weight": 96}
    for name, deviation in normal.items():
        # The deviation of n draws is itself uncertain by 1 / sqrt(2 n); four times that.
        assert w[name].std().item() == pytest.approx(deviation, rel=4 / (2 * w[name].numel()) ** 0.5), name
    for name, fans in (uniform | {"type_query": 33, "item_query": 33}).items():
        # The largest of n uniform draws lies within 7 / n of the bound, but once in a thousand times.
        largest = w[name].abs().max().item() / (6 / fans) ** 0.5
        assert 1 - 7 / w[name].numel() <= largest <= 1, name
    assert not w["type_hidden.bias"].any()
    assert all(torch.equal(w[name], same[name]) for name in w)
    assert not torch.equal(w["output"], other["output"])


@pytest.mark.parametrize("columns", [[], ["moods"], ["actors", "genres", "moods", "tags", "series"]])
def test_types_follow_the_attributes(data, columns):
    """All that a model computes, with no, one and five kinds of attributes."""
    lists = {
        column: [((n + place) % (3 + place),) for n in range(data.n_items)]
        for place, column in enumerate(columns)
    }
    data = replace(data, attributes=pd.DataFrame(lists, index=range(data.n_items)))
    model, shared = make(data), shared_values(data)
    assert model.types == ("none", *(name if name in ("moods", "series") else name[:-1] for name in columns))
    assert len(model.relation_triples) == 0 if not columns else len(model.relation_triples) > 0
    items, keep, tensors = torch.arange(model.n_items), some_keep(model), copy.deepcopy(model)
    tensors.by_tensors = True
    part, block, users = model.action_slice(USER), model.block(USER), torch.full_like(items, USER)
    found = [transcribed(model, shared, USER, item, keep[part]) for item in range(model.n_items)]
    scores, types, levels = map(torch.stack, zip(*found, strict=True))
    for one in (model, tensors):
        close(one(users, items, keep), scores)
        close(one.scores(block, USER, items, keep[part]), scores)
        close(history_scores(one, block[None], USER, items, keep[part][None])[0], scores)
        close(one.data_loss(keep), model.data_loss(keep))
    whole = [transcribed(model, shared, USER, item, torch.ones_like(keep[part]))[1:] for item in (3, 5)]
    close(
        model.attention_levels(USER, items[[3, 5]]), (types[0], torch.stack([level for _, level in whole], 1))
    )
    expected = torch.autograd.functional.hessian(lambda b: model.losses(b, USER).sum(), block)
    close(model.curvature(block, USER), expected)
    states = [State.of(model)] * 2
    trained, alone = train(model, RECIPE, states, seed=7), train(model, RECIPE, states[:1], seed=7)
    assert flatten(trained[0]).isfinite().all()
    torch.testing.assert_close(flatten(trained[1]), flatten(alone[0]), rtol=0, atol=1e-9)


def test_what_was_only_liked_is_learned_and_explained():
    generator = np.random.default_rng(5)
    rows = [(user, item) for user in range(12) for item in generator.permutation(30)[:12].tolist()]
    data = prepare(read_ratings(pd.DataFrame(rows, columns=["listener", "song"]), rating=False))
    model = RCF(data, dim=8)
    assert model.samples_disliked and model.types == ("none",) and not make(data).relation_triples.numel()
    (state,) = train(model, replace(RECIPE, steps=100), [State.of(model)])
    before = model.data_loss().item()
    assert state.into(model).data_loss() < 0.5 * before
    hers = closeup(model, 3, k=5)
    assert data.titles[hers.items[0]] in hers.sentence(data.titles)


def test_with_disliked_items_none_is_sampled(model):
    assert not model.samples_disliked


def test_a_type_that_relates_no_items(data):
    alone = [(number,) for number in range(data.n_items)]
    assert make(replace(data, attributes=data.attributes.assign(actors=alone))).data_loss().isfinite()


def test_without_relation_triples_there_is_no_relation_loss(data):
    drawn = draw_relation_triples(data, Relations.of(data.attributes))
    assert make(data, drawn[:0]).data_loss().isfinite()


def test_offers_the_protocol(model):
    assert isinstance(model, Recommender)


def test_epochs_of_a_recipe_are_epochs_of_batches(data):
    model = make(data)
    recipe = replace(recipes.RCF, batch_size=7)
    steps = sum(1 for _ in model.batches(7, None))
    assert recipes.for_epochs(model, recipe, 3).steps == 3 * steps
