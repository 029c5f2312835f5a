"""What the analysis of errors is fed with, on networks and numbers that can be checked by hand."""

import copy

import numpy as np
import pytest
import torch

from accent_book.experiments import causes
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, top_k


@pytest.fixture(scope="module")
def model(sample):
    return NCF(sample, dim=4, seed=3).double()


@pytest.fixture
def by_hand(sample):
    """Two units, then one; the second unit of the first layer is on where ``u1 > i0 + i1``."""
    model = NCF(sample, dim=2).double()
    values = {
        "hidden1.weight": [[1, 1, 0, 1], [0, 1, -1, -1]],
        "hidden2.weight": [[0.5, 1]],
        "output.weight": [[1, 0.5, 0]],
        "output.bias": [0.5],
    }
    with torch.no_grad():
        for name, value in values.items():
            model.get_parameter(name).copy_(torch.tensor(value))
        model.user_table.weight[0] = torch.tensor([1.0, 1, 1, 2])  # perceptron, then GMF
        model.item_table.weight[0] = torch.tensor([0.0, 2, 3, 1])
        model.item_table.weight[1] = torch.tensor([0.0, 0, 1, 1])
    return model


def test_branches_and_pattern_by_hand(by_hand):
    block, items = by_hand.block(0), torch.tensor([0, 1])
    # Hidden 1: (4, -1) and (2, 1), so hidden 2: 2 and 2; GMF: (3, 2) and (1, 2), of which half the first.
    assert causes.pattern(by_hand, block, items).tolist() == [[True, False, True], [True, True, True]]
    parts = causes.branches(by_hand, block, items)
    assert parts["mlp"].tolist() == [2, 2] and parts["gmf"].tolist() == [1.5, 0.5]
    assert by_hand.scores(block, 0, items).tolist() == [4, 3]


def test_branches_add_up_to_the_score(model):
    for user in (0, 7):
        items, block = torch.tensor(model.candidates(user)), model.block(user)
        parts = causes.branches(model, block, items)
        scores = model.scores(block, user, items).detach().numpy()
        np.testing.assert_allclose(parts["mlp"] + parts["gmf"] + model.output.bias.item(), scores, atol=1e-12)
        shares = causes.variance_shares(parts)
        assert sum(shares.values()) == pytest.approx(1)


def test_variance_shares_are_covariances_with_the_sum():
    one, other = np.array([1.0, -1, 1, -1]), np.array([3.0, 3, -3, -3])  # uncorrelated
    assert causes.variance_shares({"one": one, "other": other}) == pytest.approx({"one": 0.1, "other": 0.9})
    # A part that works against the sum has a negative share.
    assert causes.variance_shares({"one": one, "other": -2 * one}) == pytest.approx({"one": -1, "other": 2})


def test_units_are_counted_by_when_they_are_on():
    on = np.zeros((200, 4), bool)
    on[:, 1], on[:199, 2], on[:100, 3] = True, True, True
    expected = {"units": 4, "dead": 0.25, "always": 0.25, "nearly_always": 0.5, "active": 499 / 800}
    assert causes.count_units(on) == pytest.approx(expected)


def test_rows_of_units_find_a_dead_unit_and_a_dead_branch(model, sample):
    slates = {user: top_k(model, user, 5)[0] for user in range(4)}
    own = copy.deepcopy(model)
    with torch.no_grad():
        own.hidden1.bias[2] = -100
        own.user_table.weight[:, model.dim :] = 0
    *layers, mlp, gmf = causes.unit_rows(own, slates, causes.popularity(sample))
    assert [row["dead"] for row in layers[:3]] == [0.25] * 3
    n_pairs = sum(len(model.actions(user)) for user in slates)
    assert [row["pairs"] for row in layers[:3]] == [n_pairs + 20, n_pairs, 20]
    assert (mlp["variance_share"], gmf["variance_share"], gmf["sd"], gmf["rms_users"]) == (1, 0, 0, 0)
    assert mlp["rms_items"] == pytest.approx(gmf["rms_items"], rel=0.2)


def test_popularity_counts_training_interactions(sample):
    counts = causes.popularity(sample)
    assert counts.sum() == len(sample.train) and len(counts) == sample.n_items
    assert counts[5] == (sample.train["item"] == 5).sum()


def test_reach_by_hand():
    scores = np.array([4.0, 3, 2])
    # Of the gap of 1 half is closed, of the gap of 2 three quarters: the harmful action does not count.
    influence = np.array([[0.5, 1, 0], [0, 1, 1], [0, 0, 0]])
    assert causes.reach(scores, influence) == 0.75
    assert causes.reach(scores, 2 * influence) == 1.5
    assert causes.reach(np.array([4.0, 4, 2]), influence) == np.inf
    assert causes.reach(np.array([4.0, 4, 2]), np.zeros((3, 3))) == 0


def test_a_step_switches_units_and_bends_the_gap(by_hand):
    block, items = by_hand.block(0), torch.tensor([0, 1])
    move = torch.tensor([0.0, 2, 0, 0], dtype=torch.double)
    assert causes.switched(by_hand, block, block + move, items) == 1 / 6
    assert causes.switched(by_hand, block, block, items) == 0
    # Without the switch the scores rise by 1 and 3; the unit that comes on adds 1 to the first.
    assert causes.gap_changes(by_hand, 0, [0, 1], torch.stack([move, move])) == pytest.approx((2, 1))
    assert causes.gap_changes(by_hand, 0, [0, 1], torch.stack([move / 4, move / 4])) == pytest.approx(
        (0.5,) * 2
    )
    # Each score sees its own move.
    assert causes.gap_changes(by_hand, 0, [0, 1], torch.stack([0 * move, move])) == pytest.approx((3, 3))


@pytest.mark.parametrize("variant", ["objective", "paper"])
def test_moves_are_those_of_the_influence(model, variant):
    user, removed = 3, [4, 0, 7]
    pair = top_k(model, user, 4)[0][[0, 2]]
    influence = fast_influence(model, variant)(user, pair).influence
    rests = []
    for actions in ([4], removed):
        moves = causes.moves_of(model, user, actions, pair, variant).detach()
        assert moves.shape == (2, 2 * model.dim)
        linear, _ = causes.gap_changes(model, user, pair, moves)
        rests.append(((influence[0] - influence[1])[actions].sum() - linear) / len(actions))
    # The item's half of the block adds the same for every action; only the variant "paper" moves it.
    assert rests[0] == pytest.approx(rests[1], abs=1e-12)
    assert variant == "paper" or rests == pytest.approx([0, 0], abs=1e-12)
