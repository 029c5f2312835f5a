"""RCF's scores in several histories at once against one at a time, its closed forms against autograd."""

import copy

import pytest
import torch
from torch.func import grad, hessian

from accent_lib.datasets import prepare
from accent_lib.datasets.sample import generate
from accent_lib.models import RCF, rcf
from accent_lib.models.recommender import history_scores

USER = 4


@pytest.fixture(scope="module")
def model():
    model = RCF(prepare(generate(seed=1, n_users=20, n_items=40), min_positive=3, min_negative=2), dim=6)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.double().parameters():
            value.normal_(0, 0.5, generator=generator)
    return model


class Plain:
    """The model without its faster way."""

    def __init__(self, model):
        self.scores, self.actions, self.candidates = model.scores, model.actions, model.candidates
        self.n_users, self.n_items, self.block = model.n_users, model.n_items, model.block


@pytest.mark.parametrize("by_tensors", [False, True])
@pytest.mark.parametrize("part", [2**20, 1])
def test_several_histories_at_once_are_one_at_a_time(model, by_tensors, part, monkeypatch):
    monkeypatch.setattr(rcf, "PART", part)
    model = copy.deepcopy(model)
    model.by_tensors = by_tensors
    n, items = len(model.actions(USER)), torch.arange(model.n_items)  # some in the history, some not
    generator = torch.Generator().manual_seed(1)
    keep = torch.cat([1 - torch.eye(n), torch.zeros(1, n), torch.rand(3, n, generator=generator)]).double()
    block = model.block(USER)
    blocks = block + torch.randn(len(keep), len(block), generator=generator, dtype=torch.double)
    for each in (block, blocks):
        together = history_scores(model, each, USER, items, keep)
        expected = torch.stack(
            [model.scores(b, USER, items, k) for b, k in zip(each.expand_as(blocks), keep, strict=True)]
        )
        torch.testing.assert_close(together, expected.detach(), rtol=1e-10, atol=1e-10)
        plain = history_scores(Plain(model), each, USER, items, keep)
        torch.testing.assert_close(plain, expected.detach(), rtol=1e-10, atol=1e-10)
        for one in (model, Plain(model)):
            left_out = history_scores(one, each if each.dim() == 1 else each[:n], USER, items)
            torch.testing.assert_close(left_out, expected[:n].detach(), rtol=1e-10, atol=1e-10)
    assert (expected[0] - expected[-1]).abs().max() > 0.1


@pytest.mark.parametrize("by_tensors", [False, True])
def test_curvature_in_closed_form_is_that_of_autograd(model, by_tensors):
    model = copy.deepcopy(model)
    model.by_tensors = by_tensors
    n = len(model.actions(USER))
    half = torch.rand(n, generator=torch.Generator().manual_seed(1)).double()
    for keep in (None, torch.ones(n).double(), half, 0 * half):
        block = model.block(USER) + 0.3
        expected = hessian(lambda b, keep=keep: model.losses(b, USER, keep).sum())(block)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(model.curvature(block, USER, keep), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("by_tensors", [False, True])
def test_gradients_in_closed_form_are_those_of_autograd(model, by_tensors):
    model = copy.deepcopy(model)
    model.by_tensors = by_tensors
    n, block = len(model.actions(USER)), model.block(USER) + 0.3
    keep = torch.rand(n, n, generator=torch.Generator().manual_seed(1)).double().fill_diagonal_(0)
    expected = [grad(lambda b, z=z: model.losses(b, USER, keep[z])[z])(block) for z in range(n)]
    torch.testing.assert_close(
        model.gradients(block, USER, keep), torch.stack(expected), rtol=1e-9, atol=1e-9
    )
