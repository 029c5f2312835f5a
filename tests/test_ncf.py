"""NCF against a loop-by-loop transcription of its equations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from accent_lib import AccentError
from accent_lib.models import NCF, Recommender, ncf_loops, top_k


@pytest.fixture(scope="module")
def model(sample):
    return NCF(sample, dim=4, seed=3).double()


def transcribed(model, user, item):
    """One rating, number by number."""
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    d = model.dim
    u, i = w["user_table.weight"][user], w["item_table.weight"][item]
    inputs = [*u[:d], *i[:d]]
    for layer in ("hidden1", "hidden2"):
        weight, bias = w[f"{layer}.weight"], w[f"{layer}.bias"]
        inputs = [
            max(0.0, bias[r] + sum(weight[r][c] * x for c, x in enumerate(inputs))) for r in range(len(bias))
        ]
    joined = inputs + [u[d + c] * i[d + c] for c in range(d)]
    return w["output.bias"][0] + sum(a * b for a, b in zip(w["output.weight"][0], joined, strict=True))


def test_forward_is_the_equations(model):
    users, items = torch.arange(6), torch.arange(10, 16)
    expected = [transcribed(model, int(u), int(i)) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(model(users, items).detach(), expected, atol=1e-12)
    assert model.rating(model.block(0), model.item_block(10)).shape == ()  # of two blocks, one number


def test_scores_and_losses_of_a_block_are_those_of_the_network(model, sample):
    user = 5
    rows = sample.train[sample.train["user"] == user]
    np.testing.assert_array_equal(model.actions(user), rows["item"])
    predicted = model(torch.full((len(rows),), user), torch.tensor(rows["item"].to_numpy()))
    predicted, block = predicted.detach(), model.block(user)
    scores = model.scores(block, user, torch.tensor(model.actions(user))).detach()
    torch.testing.assert_close(scores, predicted, rtol=0, atol=1e-12)
    losses = (predicted - torch.tensor(rows["rating"].to_numpy())) ** 2
    torch.testing.assert_close(model.losses(block, user).detach(), losses, rtol=0, atol=1e-12)


def test_item_losses_are_those_of_the_item_s_ratings(model, sample):
    item = int(sample.train["item"].iloc[0])
    rows = sample.train[sample.train["item"] == item]
    predicted = model(torch.tensor(rows["user"].to_numpy()), torch.full((len(rows),), item)).detach()
    losses = (predicted - torch.tensor(rows["rating"].to_numpy())) ** 2
    torch.testing.assert_close(model.item_losses(model.item_block(item), item).detach(), losses)
    (score,) = model.item_scores(model.item_block(item)[None], 2).detach()
    assert score.item() == pytest.approx(transcribed(model, 2, item), abs=1e-12)


def test_initial_parameters_are_cut_at_two_deviations(sample):
    model = NCF(sample, seed=0)
    assert model.user_table.weight.abs().max() <= 2 / 16**0.5
    # A normal variable cut at two deviations has 0.88 of its deviation.
    assert model.item_table.weight.std().item() == pytest.approx(0.88 / 16**0.5, rel=0.05)
    assert model.hidden1.weight.abs().max() <= 2 / 32**0.5 and not model.hidden1.bias.any()


def test_same_seed_same_parameters(sample):
    first, second, other = NCF(sample, seed=1), NCF(sample, seed=1), NCF(sample, seed=2)
    assert torch.equal(first.user_table.weight, second.user_table.weight)
    assert not torch.equal(first.user_table.weight, other.user_table.weight)


def test_candidates_leave_out_own_and_unknown_items(model, sample):
    rated = set(sample.train["item"])
    for user in (0, 7):
        own = set(sample.train.loc[sample.train["user"] == user, "item"])
        assert set(model.candidates(user)) == rated - own


def test_scores_of_all_items_are_those_of_the_candidates(model):
    users = [3, 0]
    for user, scores in zip(users, model.all_scores(users), strict=True):
        items = torch.tensor(model.candidates(user))
        torch.testing.assert_close(scores[items], model.scores(model.block(user), user, items).detach())


def test_top_k_is_the_best_of_the_candidates(model):
    items, scores = top_k(model, 3, 5)
    everything = model.scores(model.block(3), 3, torch.tensor(model.candidates(3))).detach().numpy()
    np.testing.assert_array_equal(scores, np.sort(everything)[::-1][:5])
    assert np.all(np.isin(items, model.candidates(3)))


def test_batches_cover_an_epoch_without_the_incomplete_one(model):
    batches = list(model.batches(100, torch.Generator().manual_seed(0)))
    rows = torch.cat(batches)
    assert len(batches) == model.n_actions // 100 and len(set(rows.tolist())) == len(rows)
    in_order = torch.cat(list(model.batches(100, None)))
    assert torch.equal(in_order, torch.arange(len(in_order)))


def test_removed_rows_weigh_nothing(model):
    batch = torch.arange(50)
    keep = torch.ones(model.n_actions, dtype=torch.double)
    keep[10:20] = 0
    rows = torch.cat([batch[:10], batch[20:]])
    expected = model.batch_loss(rows) * len(rows) / len(batch)
    assert model.batch_loss(batch, keep).item() == pytest.approx(expected.item(), abs=1e-12)


def test_offers_the_protocol(model):
    assert isinstance(model, Recommender)


def test_initial_values_are_quantiles_of_the_cut_normal_distribution():
    share = np.linspace(0, 1, 100_001)
    low = 0.0227501319481792  # of a normal distribution, below two standard deviations
    assert np.abs(ncf_loops.cut_normal(share) - ndtri(low + share * (1 - 2 * low))).max() < 4e-8


def test_the_quotient_of_gelu_is_the_hyperbolic_tangent():
    y = np.linspace(0, ncf_loops.TANH_LIMIT, 100_001)
    p, q = (np.polynomial.polynomial.polyval(y**2, c) for c in (ncf_loops.TANH_P, ncf_loops.TANH_Q))
    assert np.abs(y * p / q - np.tanh(y)).max() < 4e-8
    assert 1 - np.tanh(ncf_loops.TANH_LIMIT) < 4e-8


def test_data_of_one_rating_are_refused(sample):
    same = replace(sample, train=sample.train.assign(rating=1))
    with pytest.raises(
        AccentError, match=r'take RCF, or a net of your own .* by wrap\(net, data, loss="bce"\)\.$'
    ):
        NCF(same)
