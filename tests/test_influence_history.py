"""Influence where the model reads the history: brute force, one action at a time, and true refits."""

import numpy as np
import pytest
import torch
from torch.func import grad, hessian

from accent_lib import AccentError
from accent_lib.datasets import prepare
from accent_lib.datasets.sample import generate
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, RCF
from accent_lib.training import Recipe, State, train

N_ITEMS = 6


@pytest.fixture(scope="module")
def data():
    return prepare(generate(seed=1, n_users=20, n_items=40), min_positive=3, min_negative=2)


@pytest.fixture(scope="module")
def model(data):
    model = RCF(data, dim=6, attention=4).double()
    recipe = Recipe(steps=100, learning_rate=0.05, optimizer="adagrad", batch_size=64)
    (state,) = train(model, recipe, [State.of(model)])
    return state.into(model)


def without(model, user):
    """The user's history without each of its actions in turn, and whole."""
    whole = torch.ones(len(model.actions(user)), dtype=torch.double)
    return (1 - torch.eye(len(whole), dtype=torch.double)).unbind(), whole


def brute_force(model, user, items, variant="paper", effect="substitute", others=False, damping=0.01):
    """Influences, the part by the input, and all eigenvalues: derivatives, a dense solve and a new score."""
    block, items = model.block(user), torch.tensor(items)
    histories, whole = without(model, user)
    identity, before = torch.eye(len(block), dtype=torch.double), model.scores(block, user, items).detach()
    influence, by_input, eigenvalues = [], [], []
    for z, keep in enumerate(histories):
        read = {"paper": keep, "shared": whole}[variant]
        curvature = (
            hessian(lambda b, read=read: model.losses(b, user, read).mean())(block) + damping * identity
        )
        eigenvalues.append(torch.linalg.eigvalsh(curvature))

        def slope(y, keep):
            return grad(lambda b: model.losses(b, user, keep)[y])(block)

        gradient = slope(z, whole if others else keep)
        for y in range(len(whole)) if others else ():
            gradient = gradient - (slope(y, keep) - slope(y, whole) if y != z else 0)
        move = torch.linalg.solve(curvature, gradient / len(whole)).detach()
        after = model.scores(block, user, items, keep).detach()
        by_input.append(before - after)
        if effect == "substitute":
            after = model.scores(block + move, user, items, keep).detach()
        else:
            score = lambda b, keep=keep: model.scores(b, user, items, keep)  # noqa: E731
            after = after + torch.autograd.functional.jacobian(score, block).detach() @ move
        influence.append(before - after)
    return torch.stack(influence, 1).numpy(), torch.stack(by_input, 1).numpy(), torch.stack(eigenvalues)


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("effect", ["substitute", "linear"])
@pytest.mark.parametrize("variant", ["paper", "shared"])
def test_influence_is_the_brute_force_one(model, variant, effect, others):
    for user in (5, 14):  # whose blocks move
        items = model.candidates(user)[:N_ITEMS]
        influence, by_input, eigenvalues = brute_force(model, user, items, variant, effect, others)
        estimated = fast_influence(model, variant, effect=effect, others=others)(user, items)
        # Solving loses what the condition number says, here up to four of sixteen digits.
        assert estimated.condition < 1e4
        np.testing.assert_allclose(estimated.influence, influence, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(estimated.by_input, by_input, rtol=1e-10, atol=1e-10)
        assert estimated.smallest_eigenvalue == pytest.approx(eigenvalues.min().item(), abs=1e-10)
        assert estimated.damping == 0.01


def test_the_defaults_are_the_papers_but_for_the_hessian(model):
    items = model.candidates(3)
    expected = fast_influence(model, "shared", effect="substitute", damping=0.01, others=False)(3, items)
    estimated = fast_influence(model)(3, items)
    np.testing.assert_array_equal(estimated.influence, expected.influence)


def test_variants_differ(model):
    # Else the tests above could not tell them from each other.
    items = model.candidates(6)
    options = ({}, {"variant": "paper"}, {"effect": "linear"}, {"others": True}, {"damping": 0.02})
    influences = [fast_influence(model, **changed)(6, items).influence for changed in options]
    for at, influence in enumerate(influences):
        assert all(np.abs(influence - other).max() > 1e-3 for other in influences[:at])


def test_scores_and_input_part_are_those_of_whole_forward_passes(model):
    user, items = 5, model.candidates(5)
    estimated = fast_influence(model)(user, items)
    users, targets = torch.full((len(items),), user), torch.tensor(items)
    before = model(users, targets).detach().numpy()
    np.testing.assert_allclose(estimated.scores, before, rtol=0, atol=1e-10)  # another order of additions
    for z in range(estimated.influence.shape[1]):
        keep = torch.ones(model.n_actions, dtype=torch.double)
        keep[model.action_slice(user).start + z] = 0
        drop = before - model(users, targets, keep).detach().numpy()
        np.testing.assert_allclose(estimated.by_input[:, z], drop, rtol=0, atol=1e-10)


def test_when_the_block_hardly_moves_only_the_input_counts(model):
    # A damping of 1e9 leaves moves of a billionth.
    estimated = fast_influence(model, damping=1e9)(3, model.candidates(3))
    np.testing.assert_allclose(estimated.influence, estimated.by_input, rtol=0, atol=1e-6)
    assert np.abs(estimated.by_input).max() > 0.1


def test_damping_is_raised_for_all_actions_where_one_needs_it(model):
    items = model.candidates(0)[:N_ITEMS]
    with pytest.warns(UserWarning, match="damping raised"):
        estimated = fast_influence(model, "paper", smallest=0.5)(0, items)
    assert estimated.smallest_eigenvalue == pytest.approx(0.5) and estimated.damping > 0.01
    expected, _, eigenvalues = brute_force(model, 0, items, damping=estimated.damping)
    np.testing.assert_allclose(estimated.influence, expected, rtol=1e-8, atol=1e-8)
    assert eigenvalues.min().item() == pytest.approx(0.5)


def refit(model, user, keep, centre, pull):
    """Minimise the user's kept mean loss, with a pull to a block."""
    block = centre.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [block], max_iter=300, tolerance_grad=1e-13, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure():
        value = (keep * model.losses(block, user, keep)).mean() + pull / 2 * (block - centre).square().sum()
        (block.grad,) = torch.autograd.grad(value, block)
        return value

    optimizer.step(closure)
    return block.detach()


def test_with_the_other_points_influence_agrees_with_true_refits(data, model):
    # The losses are not convex in a block; a pull of 100 makes them so and keeps the moves small, so that one
    # Newton step is nearly a refit. What is compared is only what the moved block does.
    pull, estimated, truth = 100.0, [], []
    model = State.of(model).into(RCF(data, dim=6, attention=4).double())
    for user in range(4):
        centre, items = model.block(user).clone(), torch.tensor(model.candidates(user))
        histories, whole = without(model, user)
        with torch.no_grad():
            model.user_table.weight[user] = refit(model, user, whole, centre, pull)
        influence = fast_influence(model, "paper", damping=pull, others=True)(user, items.numpy())
        estimated.append((influence.influence - influence.by_input).ravel())
        true = []
        for keep in histories:
            refitted = refit(model, user, keep, centre, pull)
            there = model.scores(refitted, user, items, keep)
            true.append((model.scores(model.block(user), user, items, keep) - there).detach())
        truth.append(torch.stack(true, 1).flatten().numpy())
    # First order is all that a strong pull leaves; 0.98 would be an own gradient without the action, too.
    assert np.corrcoef(np.concatenate(estimated), np.concatenate(truth))[0, 1] > 0.999


def test_options_that_make_no_sense_are_refused_with_a_sentence(model, sample):
    ncf = NCF(sample, dim=4).double()
    for of, options, says in (
        (
            model,
            {"variant": "exact"},
            "`variant` is 'exact', but must be shared or paper or objective for a model that reads",
        ),
        (ncf, {"variant": "shared"}, "paper or objective for a model that does not read the history"),
        (model, {"own_term": False}, "'own_term' is no option of influence for a model that reads"),
        (ncf, {"others": True}, "'others' is no option of influence for a model that does not read"),
        (ncf, {"dampng": 0.1}, "'dampng' is no option .* choose from variant, effect, damping, smallest"),
    ):
        with pytest.raises(AccentError, match=says):
            fast_influence(of, **options)
