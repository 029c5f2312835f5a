"""What chapters 2, 3 and 3b measure of many starts, users and sets."""

import numpy as np
import pandas as pd
import torch
from torch.func import grad, hessian, jacrev

from accent_lib.influence import Frozen, fast_influence, gap_influence, refit
from accent_lib.models import top_k


def facts_of_start(model, data) -> dict:
    """What is noted of each start of a search of NCF, beside its objective.

    Parameters
    ----------
    model : NCF
    data : Interactions

    Returns
    -------
    dict
        ``units``: those of the last hidden layer that are on for any training rating; ``gmf_norm``: norm of
        the parameters of the GMF branch; ``gmf_spread``: standard deviation of its part of a prediction;
        ``films``: how many are recommended first to the first hundred users; ``held_out_rmse``.
    """
    users, items, ratings = (torch.tensor(data.test[name].to_numpy()) for name in ("user", "item", "rating"))
    with torch.no_grad():
        pair = torch.cat([model.user_table(model.users), model.item_table(model.items)], -1)
        user_mlp, user_gmf, film_mlp, film_gmf = pair.split(model.dim, -1)
        hidden1 = model.activation(model.hidden1(torch.cat([user_mlp, film_mlp], -1)))
        units = (model.hidden2(hidden1) > 0).any(0).sum()
        weights = model.output.weight[0, -model.dim :]
        tables = [table.weight[:, model.dim :] for table in (model.user_table, model.item_table)]
        norm = sum(table.square().sum() for table in [*tables, weights]).sqrt()
        spread = ((user_gmf * film_gmf) @ weights).std()
        error = (model(users, items) - ratings).square().mean().sqrt()
    first = {int(top_k(model, user, 1)[0][0]) for user in range(min(100, model.n_users))}
    facts = {"units": int(units), "gmf_norm": float(norm), "gmf_spread": float(spread)}
    return {**facts, "films": len(first), "held_out_rmse": float(error)}


def compare_scalings(objective, paper, user_half) -> dict:
    """Compare two scalings of the influence for one user.

    Parameters
    ----------
    objective, paper : Influence
        Of the same slate, by the variants of these names.
    user_half : ndarray, shape (k, n_actions)
        Influence by ``paper`` without the item's half.

    Returns
    -------
    dict
        ``agreement``: correlation of the influences on gaps; ``ratio``: of their spread; ``constant``: the
        item's half on a gap, by the mean size of an influence; ``smallest`` eigenvalue and ``condition``
        number of the Hessians by each.
    """
    one, other = (found.influence[0] - found.influence[1:] for found in (objective, paper))
    constant = (paper.influence - user_half)[:, 0]
    facts = {
        "agreement": np.corrcoef(one.ravel(), other.ravel())[0, 1],
        "ratio": other.std() / one.std(),
        "constant": np.abs(constant[0] - constant[1:]).mean() / np.abs(other).mean(),
    }
    for name, found in (("objective", objective), ("paper", paper)):
        facts |= {f"smallest, {name}": found.smallest_eigenvalue, f"condition, {name}": found.condition}
    return facts


def agreement_of(estimated, true) -> dict:
    """Correlation, root mean squared error, standard deviation of the truth, and how many were compared."""
    error = np.sqrt(np.mean((estimated - true) ** 2))
    r = np.corrcoef(estimated, true)[0, 1]
    return {"correlation": r, "rmse": error, "sd_true": true.std(), "n": len(true)}


def resting(model, users) -> pd.DataFrame:
    """Where a refit of the block comes to rest, one row a user.

    Parameters
    ----------
    model : NCF
    users : iterable of int

    Returns
    -------
    DataFrame
        ``slope left``: length of the gradient, as a share of that in the trained block; ``at a kink``: inputs
        of first-layer units within a thousandth of zero.
    """
    rows = []
    for user in users:

        def objective(block, user=user):
            return model.losses(block, user).sum() / model.n_actions + model.penalty(block)

        rested, actions = refit(model, user), model.actions(user)
        before, after = (grad(objective)(block).norm() for block in (model.block(user), rested))
        films = model.item_table.weight[actions, : model.dim].detach()
        inputs = model.hidden1(torch.cat([rested[: model.dim].expand(len(actions), -1), films], -1))
        rows.append((float((after / before).detach()), int((inputs.abs() < 1e-3).sum())))
    return pd.DataFrame(rows, index=users, columns=["slope left", "at a kink"])


def sums_of_sets(model, user, sizes, generator) -> pd.DataFrame:
    """What sets of a user's actions do to her gap to the runner-up, as a whole and as sums.

    Parameters
    ----------
    model : NCF
        In double precision.
    user : int
    sizes : iterable of int
        Of the sets; those of more than half of her history are left out.
    generator : numpy.random.Generator
        Draws the random sets.

    Returns
    -------
    DataFrame
        One row a ``set`` ("strongest" on the gap, or "random") and ``size``. In the network with its ReLU
        pattern frozen: ``whole``, by a refit; ``sum of exact effects`` of single actions; ``sum of
        influences``.
        In the network as it is, when the block moves as the influences say: ``linear`` and ``substituted``.
    """
    items, block = top_k(model, user, 2)[0], model.block(user)
    pair, frozen = torch.as_tensor(items), Frozen(model, user)

    def gap(scored, block):
        scores = scored.scores(block, user, pair).detach()
        return float(scores[0] - scores[1])

    exact, first = (
        gap_influence(found(user, items).influence, 0, 1)
        for found in (
            fast_influence(frozen, "objective", damping=0.0, own_term=False),
            fast_influence(frozen, "objective", damping=0.0),
        )
    )
    slopes = jacrev(lambda block: model.scores(block, user, pair))(block).detach()
    gradients = jacrev(lambda block: model.losses(block, user))(block)
    curvature = hessian(lambda b: model.losses(b, user).sum() / model.n_actions + model.penalty(b))(block)
    moves = torch.linalg.solve(curvature, gradients.T).T.detach() / model.n_actions
    straight = (-moves @ (slopes[0] - slopes[1])).numpy()

    rows = []
    for kind, order in (("strongest", np.argsort(-first)), ("random", generator.permutation(len(first)))):
        for size in (size for size in sizes if size <= len(first) / 2):
            members, keep = order[:size], torch.ones(len(first), dtype=torch.double)
            keep[members] = 0
            rows.append(
                {
                    "user": user,
                    "set": kind,
                    "size": size,
                    "whole": gap(frozen, frozen.block(user)) - gap(frozen, frozen.minimiser(keep)),
                    "sum of exact effects": exact[members].sum(),
                    "sum of influences": first[members].sum(),
                    "linear": straight[members].sum(),
                    "substituted": gap(model, block) - gap(model, block + moves[members].sum(0)),
                }
            )
    return pd.DataFrame(rows)
