"""Influence against full-model autograd, brute force over the paper's block, and true refits."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from accent_lib import AccentError
from accent_lib.influence import Frozen, fast_influence, gap_influence, refit
from accent_lib.influence.derivatives import differentiate
from accent_lib.models import NCF
from accent_lib.training import Recipe, State, train

N_USERS, N_ITEMS = 8, 12


@pytest.fixture(scope="module")
def interactions():
    generator = np.random.default_rng(0)
    pairs = [(u, i) for u in range(N_USERS) for i in sorted(generator.permutation(N_ITEMS)[:7])]
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    frame["rating"] = generator.integers(1, 6, len(frame)).astype(float)
    return SimpleNamespace(n_users=N_USERS, n_items=N_ITEMS, train=frame)


def trained(interactions, activation=torch.relu, steps=800):
    model = NCF(interactions, dim=4, weight_decay=1e-2, activation=activation, seed=4)
    (state,) = train(model, Recipe(steps, 1e-2, "linear", batch_size=56), [State.of(model)])
    return state.into(model).double()


@pytest.fixture(scope="module")
def model(interactions):
    return trained(interactions)


def full_objective(model, rows, n):
    """Mean loss over ``rows`` (divided by ``n``) plus weight decay, of all parameters as one vector."""
    names = [name for name, _ in model.named_parameters()]
    shapes = [value.shape for _, value in model.named_parameters()]
    sizes = [shape.numel() for shape in shapes]

    def objective(flat):
        values = dict(zip(names, flat.split(sizes), strict=True))
        values = {name: values[name].view(shape) for name, shape in zip(names, shapes, strict=True)}
        predicted = functional_call(model, values, (model.users[rows], model.items[rows]))
        loss = (predicted - model.ratings[rows]).square().sum() / n
        return loss + sum(d / 2 * values[name].square().sum() for name, d in model.weight_decay().items())

    flat = torch.cat([value.detach().reshape(-1) for value in model.parameters()])
    return objective, flat


def positions(model, user=None, item=None):
    """Where the block's numbers lie in the vector of all parameters."""
    width = 2 * model.dim
    at = [] if user is None else list(range(user * width, (user + 1) * width))
    first = model.user_table.weight.numel()
    return at + ([] if item is None else list(range(first + item * width, first + (item + 1) * width)))


def test_block_derivatives_are_those_of_the_full_model(model):
    user, n = 2, model.n_actions
    objective, flat = full_objective(model, torch.arange(n), n)
    at = positions(model, user)
    items = torch.tensor(model.candidates(user))
    losses, scores = (lambda b: model.losses(b, user)), (lambda b: model.scores(b, user, items))
    block = differentiate(model.block(user), losses, model.penalty, scores)
    full_hessian = torch.autograd.functional.hessian(objective, flat, vectorize=True)[at][:, at]
    torch.testing.assert_close(block.curvature / n + block.penalty_curvature, full_hessian, rtol=0, atol=1e-8)
    full_gradient = torch.autograd.functional.jacobian(objective, flat)[at]
    torch.testing.assert_close(
        block.gradients.sum(0) / n + block.penalty_gradient, full_gradient, rtol=0, atol=1e-8
    )
    for z, row in enumerate(range(*model.action_slice(user).indices(n))):
        alone, _ = full_objective(model, torch.tensor([row]), 1)
        gradient = torch.autograd.functional.jacobian(alone, flat)[at] - block.penalty_gradient
        torch.testing.assert_close(block.gradients[z], gradient, rtol=0, atol=1e-8)


def brute_force(model, user, item, scaling, damping):
    """One score's influence the naive way: full-model derivatives, the block [user; item], a dense solve."""
    history = range(*model.action_slice(user).indices(model.n_actions))
    if scaling == "paper":
        rows = torch.tensor(sorted({*history, *torch.nonzero(model.items == item).flatten().tolist()}))
        n, at = len(rows), positions(model, user, item)
    else:
        rows, n, at = torch.arange(model.n_actions), model.n_actions, positions(model, user)
    objective, flat = full_objective(model, rows, n)
    hessian = torch.autograd.functional.hessian(objective, flat, vectorize=True)[at][
        :, at
    ] + damping * torch.eye(len(at))
    score = lambda flat: functional_call(  # noqa: E731
        model, dict(_unflatten(model, flat)), (torch.tensor([user]), torch.tensor([item]))
    )[0]
    slope = torch.autograd.functional.jacobian(score, flat)[at]
    influence = []
    for row in history:
        alone, _ = full_objective(model, torch.tensor([row]), 1)
        gradient = torch.autograd.functional.jacobian(alone, flat)[at]
        if scaling == "objective":
            gradient = gradient - model.decay * flat[at]
        influence.append(float(-slope @ torch.linalg.solve(hessian, gradient / n)))
    return influence


def _unflatten(model, flat):
    at = 0
    for name, value in model.named_parameters():
        yield name, flat[at : at + value.numel()].view(value.shape)
        at += value.numel()


@pytest.mark.parametrize("scaling", ["paper", "objective"])
def test_influence_is_the_brute_force_one(model, scaling):
    for user in (0, 5):
        items = model.candidates(user)[:3]
        estimated = fast_influence(model, scaling, damping=1e-6)(user, items)
        for row, item in enumerate(items):
            expected = brute_force(model, user, int(item), scaling, 1e-6)
            np.testing.assert_allclose(estimated.influence[row], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("scaling", ["paper", "objective"])
def test_users_together_are_users_alone_by_automatic_differentiation(interactions, scaling):
    # Without its slopes in closed form the model is differentiated like any other, one user at a time.
    model = trained(interactions)
    users = [5, 0, 3]
    slates = [model.candidates(user)[: 2 + n] for n, user in enumerate(users)]
    together = fast_influence(model, scaling).of_users(users, slates)
    plain = fast_influence(model, scaling)
    plain._slopes = None
    for user, items, estimate in zip(users, slates, together, strict=True):
        alone = plain(user, items)
        assert np.abs(alone.influence).max() > 1e-3
        for name in ("scores", "influence", "smallest_eigenvalue", "condition"):
            np.testing.assert_allclose(getattr(estimate, name), getattr(alone, name), rtol=1e-9, atol=1e-12)


def test_slopes_in_closed_form_are_those_of_autograd(model):
    users, items = torch.tensor([0, 0, 5, 7]), torch.tensor([1, 4, 4, 0])
    blocks = [
        table(at).detach().requires_grad_()
        for table, at in ((model.user_table, users), (model.item_table, items))
    ]
    scores = model.rating(*blocks)
    expected = torch.autograd.grad(scores.sum(), blocks)
    for ours, theirs in zip(model.slopes(users, items), (scores, *expected), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-12)


def test_item_blocks_need_a_penalty_of_one_curvature(interactions):
    model = trained(interactions, steps=1)
    model.penalty = lambda block: model.decay * block[:3].square().sum()
    with pytest.raises(AccentError, match="multiple"):
        fast_influence(model, "paper")


def ridge(model, user, keep):
    """Minimiser of the user's objective with her scores linearised: textbook ridge regression, as least
    squares with weight decay as extra rows, on slopes from the full model."""
    block, history = model.block(user), torch.tensor(model.actions(user))
    score = lambda row: functional_call(  # noqa: E731
        model,
        {"user_table.weight": model.user_table.weight.detach().index_put((torch.tensor([user]),), row[None])},
        (torch.full_like(history, user), history),
    )
    design = torch.autograd.functional.jacobian(score, block).numpy()
    targets = (
        model.ratings[model.action_slice(user)] - score(block).detach()
    ).numpy() + design @ block.numpy()
    weight = np.sqrt(2 / model.n_actions * np.asarray(keep))
    rows = np.vstack([weight[:, None] * design, np.sqrt(model.decay) * np.eye(design.shape[1])])
    return np.linalg.lstsq(rows, np.append(weight * targets, np.zeros(design.shape[1])))[0]


def without(z, n):
    keep = torch.ones(n, dtype=torch.double)
    keep[z] = 0
    return keep


def test_frozen_model_stands_at_the_ridge_estimate(model):
    user = 1
    frozen, n = Frozen(model, user), len(model.actions(user))
    np.testing.assert_allclose(frozen.block(user), ridge(model, user, np.ones(n)), rtol=0, atol=1e-10)
    for z in range(n):
        keep = without(z, n)
        np.testing.assert_allclose(frozen.minimiser(keep), ridge(model, user, keep), rtol=0, atol=1e-10)
    # Where it was frozen, it is the model.
    items, here = torch.tensor(model.candidates(user)), model.block(user)
    torch.testing.assert_close(frozen.scores(here, user, items), model.scores(here, user, items).detach())
    torch.testing.assert_close(frozen.losses(here, user), model.losses(here, user).detach())


def test_frozen_model_is_for_one_user(model):
    with pytest.raises(AccentError, match="frozen for user 1, not 2"):
        Frozen(model, 1).block(2)


def test_refit_finds_the_exact_minimum_and_leaves_the_model_alone(model):
    user, before = 1, State.of(model)
    frozen, n = Frozen(model, user), len(model.actions(user))
    for keep, start in ((without(2, n), None), (without(0, n), torch.zeros_like(frozen.block(user)))):
        # The optimiser stops where the objective no longer changes in double precision: half the digits.
        minimum = refit(frozen, user, keep, start)
        torch.testing.assert_close(minimum, frozen.minimiser(keep), rtol=0, atol=1e-6)
    refit(model, user)
    for name, value in model.named_parameters():
        assert torch.equal(value, before.parameters[name]) and value.grad is None


def test_with_frozen_relus_leave_one_out_is_exact(model):
    user = 1
    frozen, items = Frozen(model, user), model.candidates(1)
    estimated = fast_influence(frozen, "objective", damping=0.0, own_term=False)(user, items).influence
    before = frozen.scores(frozen.block(user), user, torch.tensor(items))
    truth = np.empty_like(estimated)
    for z in range(estimated.shape[1]):
        refitted = torch.tensor(ridge(model, user, without(z, estimated.shape[1])))
        truth[:, z] = (before - frozen.scores(refitted, user, torch.tensor(items))).numpy()
    np.testing.assert_allclose(estimated, truth, rtol=0, atol=1e-8)
    # First order keeps z's own term: it understates, but points the same way.
    first = fast_influence(frozen, "objective", damping=0.0)(user, items).influence
    assert np.corrcoef(first.ravel(), truth.ravel())[0, 1] > 0.9
    assert np.abs(first).mean() < np.abs(truth).mean()


@pytest.fixture(scope="module")
def smooth(interactions):
    """A GELU model whose users stand at the exact minimum of their blocks."""
    model = trained(interactions, activation=F.gelu)
    for user in range(N_USERS):
        block = refit(model, user)
        with torch.no_grad():
            model.user_table.weight[user] = block
    return model


def test_influence_agrees_with_true_refits(smooth):
    # A smooth model has no kinks, so one Newton step should come close to the true refit; r > 0.9 is the
    # standard that influence libraries test themselves by.
    estimated, truth = [], []
    for user in range(N_USERS):
        items = torch.tensor(smooth.candidates(user))
        influence = fast_influence(smooth, "objective", effect="substitute", damping=0.0, own_term=False)
        estimated.append(influence(user, items.numpy()).influence)
        before = smooth.scores(smooth.block(user), user, items).detach()
        true = np.empty_like(estimated[-1])
        for z in range(true.shape[1]):
            refitted = refit(smooth, user, without(z, true.shape[1]))
            true[:, z] = (before - smooth.scores(refitted, user, items).detach()).numpy()
        truth.append(true)
    estimated, truth = (np.concatenate([part.ravel() for part in parts]) for parts in (estimated, truth))
    assert np.corrcoef(estimated, truth)[0, 1] > 0.9


def test_substituting_and_linearising_agree_for_small_moves(model):
    # With damping that dwarfs the Hessian the block hardly moves; over so short a way the score is linear.
    linear, substitute = (
        fast_influence(model, "objective", effect=effect, damping=1e4)(3, model.candidates(3)).influence
        for effect in ("linear", "substitute")
    )
    np.testing.assert_allclose(linear, substitute, rtol=1e-4, atol=1e-12)


def test_own_term_changes_nothing_but_the_hessian(model):
    # With damping that dwarfs the Hessian it cannot matter whether one point's term is in it.
    kept, taken = (
        fast_influence(model, "paper", damping=1e6, own_term=own)(3, model.candidates(3)).influence
        for own in (True, False)
    )
    np.testing.assert_allclose(kept, taken, rtol=1e-4)


def test_report_of_the_hessian(model):
    estimated = fast_influence(model, "objective", damping=1e-6)(0, model.candidates(0))
    # Gauss-Newton plus weight decay: no eigenvalue can lie below decay + damping.
    assert estimated.smallest_eigenvalue >= model.decay + 1e-6 - 1e-12
    assert estimated.condition >= 1 and estimated.damping == 1e-6


def test_damping_is_raised_only_when_asked_and_says_so(model):
    with pytest.warns(UserWarning, match="damping raised"):
        estimated = fast_influence(model, "objective", smallest=0.5)(0, model.candidates(0))
    assert estimated.smallest_eigenvalue == pytest.approx(0.5) and estimated.damping > 0.4


def test_gap_influence_is_the_difference():
    influence = np.array([[1.0, 2.0], [0.5, 3.0]])
    np.testing.assert_array_equal(gap_influence(influence, 0, 1), [0.5, -1.0])
    with pytest.raises(AccentError, match="`replacement` is 2, but must be a whole number from 0 to 1"):
        gap_influence(influence, 0, 2)


@pytest.mark.parametrize("options", [{"variant": "other"}, {"effect": "other"}, {"damping": -1.0}])
def test_impossible_options_are_refused(model, options):
    with pytest.raises(AccentError, match=next(iter(options))):
        fast_influence(model, **options)


def test_an_item_of_the_user_s_own_is_refused(model):
    with pytest.raises(AccentError, match="needs candidates"):
        fast_influence(model, "paper")(0, model.actions(0)[:1])
