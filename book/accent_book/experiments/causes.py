"""What an analysis of the errors needs besides the tables of outcomes: users, units, kinks, and a smooth NCF.

``tables`` takes a minute. It writes, to ``data/results/causes/``,

- ``users.csv``: by model and user, how long the history is, how popular the films are in it and the film that
  is recommended, how far the recommendation leads, and whether any set could flip it by the estimate;
- ``items.csv``: the popularity of every film of a slate, in training interactions;
- ``units.csv``: how many of NCF's units are on, and what its two branches add to the scores;
- ``kinks.csv``: for ACCENT's sets on NCF, how many units switch as the user's block takes the step that the
  influence predicts, and what the network says there, where the influence goes on in a straight line.

``gelu`` takes half an hour. It trains NCF with GELU, which has no kinks, by the same search as the base
model, explains everybody, and retrains without ACCENT's sets, in one order of the batches: ``gelu.csv``.

Both need a run folder in which notebooks 01, 02 and 04 were run on the real data (``--run``).
"""

import argparse
import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.func import grad, hessian, jacrev

from accent_book import runs
from accent_book.experiments.command import add_run, positive, write_about, write_table
from accent_book.runs.folder import Run
from accent_book.runs.progress import progress
from accent_lib import models, parallel, training
from accent_lib.evaluation import accuracy
from accent_lib.evaluation.judgement import judge
from accent_lib.explanations import explain_users
from accent_lib.influence import fast_influence, gap_influence
from accent_lib.models import NCF
from accent_lib.retraining.identity import base_identity, outcomes_identity, training_identity
from accent_lib.retraining.worlds import worlds_of
from accent_lib.training import Recipe, Round, recipes

#: The paper's, which notebook 04 takes, too.
DAMPING = 1e-6


# --- one row a user


def popularity(data) -> np.ndarray:
    """Training interactions of each item, shape ``(n_items,)``."""
    return np.bincount(data.train["item"], minlength=data.n_items)


def reach(scores: np.ndarray, influence: np.ndarray) -> float:
    """How much of the easiest gap all helpful actions together close; above 1 a set exists, by the estimate.

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Of the slate, descending.
    influence : ndarray, shape (k, n_history)

    Returns
    -------
    float
        The greatest, over all candidates, of the sum of positive influences on the gap by the gap; infinite
        where an action parts two equal scores, and zero where none does anything for any candidate.
    """
    gaps = np.maximum(scores[0] - scores[1:], 0)
    closing = np.clip(influence[0] - influence[1:], 0, None).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(closing > 0, closing / gaps, 0).max())


def user_rows(name, model, slates, variant, popular, sizes) -> Iterator[dict]:
    """Rows of ``users.csv``; ``sizes`` of ACCENT's sets in the run's table hold the reach against them."""
    analysis = fast_influence(model, variant)
    for user, items in slates.items():
        estimate = analysis(user, items)
        row = {
            "model": name,
            "user": user,
            "history": len(model.actions(user)),
            "popularity_history": popular[model.actions(user)].mean(),
            "popularity_recommendation": popular[items[0]],
            "reach": reach(estimate.scores, estimate.influence),
            "lead": estimate.scores[0] - estimate.scores[1],
        }
        if abs(row["reach"] - 1) > 1e-6 and (row["reach"] > 1) != (sizes[user] > 0):
            raise SystemExit(f"User {user} of {name} has a reach of {row['reach']}, but the table disagrees.")
        yield row


# --- units and branches of NCF


def hidden(model, block, items) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of both hidden layers for one user's block with items, ``(n, dim)`` and ``(n, dim // 2)``."""
    of_items = model.item_table(items)[:, : model.dim]
    inputs = torch.cat([block[: model.dim].expand(len(items), -1), of_items], -1)
    first = model.activation(model.hidden1(inputs))
    return first, model.activation(model.hidden2(first))


def pattern(model, block, items) -> np.ndarray:
    """Which ReLU units are on, both layers side by side, bool of shape ``(n_items, dim + dim // 2)``."""
    with torch.no_grad():
        return (torch.cat(hidden(model, block, items), -1) > 0).numpy()


def branches(model, block, items) -> dict[str, np.ndarray]:
    """What ``mlp`` and ``gmf`` add to each score besides the output's bias, shape ``(n_items,)`` each."""
    with torch.no_grad():
        (weights,), (_, last) = model.output.weight, hidden(model, block, items)
        product = block[model.dim :] * model.item_table(items)[:, model.dim :]
        of_mlp, of_gmf = weights.split([model.dim // 2, model.dim])
        return {"mlp": (last @ of_mlp).numpy(), "gmf": (product @ of_gmf).numpy()}


def count_units(on: np.ndarray) -> dict[str, float]:
    """Count units by when they are on.

    Parameters
    ----------
    on : ndarray of bool, shape (n_pairs, n_units)

    Returns
    -------
    dict
        ``units``; the shares of them that are ``dead`` (never on), ``always`` on, and on for at least 99% of
        the pairs (``nearly_always``); and ``active``, the share that is on for an average pair.
    """
    rate = on.mean(0)
    shares = {"dead": rate == 0, "always": rate == 1, "nearly_always": rate >= 0.99, "active": rate}
    return {"units": on.shape[1], **{name: float(share.mean()) for name, share in shares.items()}}


def variance_shares(parts: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of each part in the variance of their sum: its covariance with the sum. They add up to 1."""
    total = sum(parts.values())
    return {name: float(np.mean((part - part.mean()) * total) / total.var()) for name, part in parts.items()}


def unit_rows(model, slates, popular) -> list[dict]:
    """Rows of ``units.csv``: the hidden layers over several kinds of pairs, then the branches over all."""
    on, parts = {"history": [], "slate": []}, {"mlp": [], "gmf": []}
    for user, slate in slates.items():
        block = model.block(user)
        for over, items in (("history", model.actions(user)), ("slate", slate)):
            items = torch.tensor(items)
            on[over].append(pattern(model, block, items))
            added, scores = branches(model, block, items), model.scores(block, user, items).detach().numpy()
            expected = scores - model.output.bias.item()
            np.testing.assert_allclose(sum(added.values()), expected, rtol=0, atol=1e-9)
            for name, values in added.items():
                parts[name].append(values)
    on = {over: np.concatenate(patterns) for over, patterns in on.items()}
    on = {"history and slate": np.concatenate([*on.values()]), **on}
    layers = {"hidden1": slice(model.dim), "hidden2": slice(model.dim, None)}
    rows = [
        {"part": name, "over": over, "pairs": len(patterns), **count_units(patterns[:, layer])}
        for name, layer in layers.items()
        for over, patterns in on.items()
    ]
    parts = {name: np.concatenate(values) for name, values in parts.items()}
    shares = variance_shares(parts)
    # An item without ratings only decays.
    tables = {"users": model.user_table.weight, "items": model.item_table.weight[popular > 0]}
    for name, columns in (("mlp", slice(model.dim)), ("gmf", slice(model.dim, None))):
        row = {"part": name, "over": "history and slate", "pairs": len(parts[name])}
        row |= {"variance_share": shares[name], "sd": parts[name].std()}
        for side, table in tables.items():
            row[f"rms_{side}"] = table[:, columns].square().mean().sqrt().item()
        rows.append(row)
    return rows


# --- kinks


def moves_of(model, user: int, removed, items, variant: str, damping: float = DAMPING) -> torch.Tensor:
    """Where influence moves the user's block as some actions leave: the sum of their single moves (Eq. 4).

    Parameters
    ----------
    model : NCF
        In double precision.
    user : int
    removed : sequence of int
        Positions in the history.
    items : sequence of int
        Items whose scores are in question.  With the variant ``paper`` the Hessian is a mean over the user's
        and the item's points, so each has a move of its own; with ``objective`` all have the same.
    variant : {"paper", "objective"}
    damping : float

    Returns
    -------
    Tensor, shape (n_items, p)
    """
    block, removed, of_paper = model.block(user), list(removed), variant == "paper"
    gradient = grad(lambda b: model.losses(b, user)[removed].sum())(block)
    if of_paper:  # it counts the penalty with every point
        gradient = gradient + len(removed) * grad(model.penalty)(block)
    curvature = hessian(lambda b: model.losses(b, user).sum())(block)
    rest = hessian(model.penalty)(block) + damping * torch.eye(len(block), dtype=block.dtype)
    own = len(model.actions(user))
    counts = [own + int((model.items == int(i)).sum()) if of_paper else model.n_actions for i in items]
    return torch.stack([torch.linalg.solve(curvature / n + rest, gradient) / n for n in counts])


def switched(model, before, after, items) -> float:
    """Share of all ReLU units that are on with one of two blocks and off with the other, over items."""
    return float((pattern(model, before, items) != pattern(model, after, items)).mean())


def gap_changes(model, user: int, pair, moves) -> tuple[float, float]:
    """By how much the gap between two items closes as the block moves.

    Parameters
    ----------
    model : NCF
    user : int
    pair : sequence of int
        Recommendation and replacement.
    moves : Tensor, shape (2, p)
        Of the block, as each of the two scores sees it.

    Returns
    -------
    linear, evaluated : float
        By the scores' slopes, and by the network at the moved block.
    """
    block, items = model.block(user), torch.as_tensor(pair)
    slopes = jacrev(lambda b: model.scores(b, user, items))(block)
    linear = (slopes * moves).sum(1).detach()
    with torch.no_grad():
        evaluated = model.rating(block + moves, model.item_table(items)) - model.scores(block, user, items)
    return tuple(float(change[1] - change[0]) for change in (linear, evaluated))


def kink_rows(model, slates, explanations, variants) -> Iterator[dict]:
    """Rows of ``kinks.csv``, one for each user with a set and each variant of the influence."""
    analyses = {variant: fast_influence(model, variant) for variant in variants}
    for row in explanations.itertuples():
        user, removed = row.user, list(row.removed)
        block, history = model.block(user), torch.tensor(model.actions(user))
        places = [0, row.replacement_position]
        pair = slates[user][places]
        for variant, analysis in analyses.items():
            moves = moves_of(model, user, removed, pair, variant).detach()
            linear, evaluated = gap_changes(model, user, pair, moves)
            # The variant "paper" moves the item's half of the block, too: a little, by the slope, for every
            # action alike.  It belongs to the estimate, and has no part in the kinks.
            estimate = gap_influence(analysis(user, pair).influence, 0, 1)[removed].sum()
            over = [(history, moves[0]), *zip(torch.tensor(pair)[:, None], moves, strict=True)]
            switches = [switched(model, block, block + move, items) for items, move in over]
            yield {
                "variant": variant,
                "user": user,
                "size": len(removed),
                "switched": np.average(switches, weights=[len(history), 1, 1]),
                "switched_pair": np.mean(switches[1:]),
                "move": float(moves[0].norm() / block.norm()),
                "linear": estimate,
                "evaluated": estimate + evaluated - linear,
                "item_half": estimate - linear,
            }


# --- programs


def tables(arguments) -> None:
    """Write the tables that need no training."""
    run = Run("causes", {"run": arguments.run})
    data = runs.interactions(run)
    popular, all_slates = popularity(data), run.read_csv("slates.csv")
    explanations = run.read_csv("explanations.csv").query("method == 'accent'")
    k = explanations["k"].max()
    explanations = explanations[explanations["k"] == k]
    users, written, about = [], {}, {"run": arguments.run, "k": int(k), "checkpoints": {}, "variants": {}}
    for name in all_slates["model"].unique():
        model, _, facts = runs.trained_model(run, name, data)
        model, slates = copy.deepcopy(model).double(), runs.slates_of(run, name)
        variant = run.setting("04_explanations", f"{name}_variant")
        about["checkpoints"][name], about["variants"][name] = facts["fingerprint"], variant
        own = explanations[explanations["model"] == name]
        sizes = own.set_index("user")["size"]
        users += user_rows(name, model, slates, variant, popular, sizes)
        run.log(f"{name}: {len(slates)} users")
        if name == "ncf":
            written["units"] = pd.DataFrame(unit_rows(model, slates, popular))
            variants = dict.fromkeys([variant, "paper", "objective"])  # the run's own in front
            rows = kink_rows(model, slates, own[own["size"] > 0], variants)
            written["kinks"] = pd.DataFrame(rows)
            check_kinks(written["kinks"], variant, own, all_slates[all_slates["model"] == name])
            run.log(f"{name}: units and kinks")
    items = np.unique(all_slates["item"])
    written["users"] = pd.DataFrame(users)
    written["items"] = pd.DataFrame({"item": items, "popularity": popular[items]})
    for name, table in written.items():
        write_table(arguments.to / f"{name}.csv", table)
    write_about(arguments.to / "tables.json", about)
    report(written)


def check_kinks(kinks, variant, explanations, slates) -> None:
    """Stop if estimates are not those of the run's table, or differ from the network where no unit switches.

    A network whose units do not switch is linear in the block.
    """
    estimates = kinks[kinks["variant"] == variant].set_index("user")["linear"]
    scores = slates.set_index(["user", "position"])["score"]
    for row in explanations[explanations["size"] > 0].itertuples():
        predicted, place = row.predicted, row.replacement_position
        expected = scores[row.user, 0] - scores[row.user, place] - (predicted[0] - predicted[place])
        np.testing.assert_allclose(estimates[row.user], expected, rtol=0, atol=1e-6)
    still = kinks[kinks["switched_pair"] == 0]
    np.testing.assert_allclose(still["evaluated"], still["linear"], rtol=0, atol=1e-9)


def gelu(arguments) -> None:
    """Train NCF with GELU, explain everybody, and retrain without the sets of some or all users."""
    run = Run("causes", {"run": arguments.run})
    data = runs.interactions(run)
    going_on = Recipe(1, arguments.learning_rate, batch_size=arguments.batch_size)
    rounds = [
        Round(starts, replace(going_on, steps=steps))
        for starts, steps in zip(arguments.round_starts, arguments.round_steps, strict=True)
    ]
    rounds[-1] = replace(rounds[-1], recipe=replace(rounds[-1].recipe, schedule="linear"))
    recipe = replace(recipes.NCF_RETRAINING, steps=arguments.retraining_steps)
    trained_by = {"activation": "gelu", "seed": arguments.seed, "rounds": [asdict(part) for part in rounds]}
    made = training_identity(NCF, data.fingerprint, **trained_by)
    with parallel.executor(arguments.workers) as executor:
        model, state, facts = smooth_model(run, data, made, rounds, arguments.seed, executor)
        users = range(data.n_users)
        with ThreadPoolExecutor(arguments.workers) as threads:
            options = {"executor": threads, "variant": arguments.variant}
            explained = explain_users("ncf", model, users, [arguments.k], ["accent"], **options)
        slates, explanations, hessians = explained
        run.log(f"GELU: {(explanations['size'] > 0).sum()} of {data.n_users} users have a set")
        # Drawn as in notebook 05: with more users, the list of worlds grows at its end.
        drawn = np.random.default_rng(0).permutation(data.n_users)[: arguments.users].tolist()
        explanations = explanations[explanations["user"].isin(drawn)]
        worlds = [world for u in drawn for world in worlds_of(explanations[explanations["user"] == u])]
        items = {user: part["item"].to_numpy(copy=True) for user, part in slates.groupby("user")}
        fingerprint = outcomes_identity(model, base_identity(model, state, made), recipe)
        how = runs.Retraining("ncf", model, recipe, state, fingerprint, stack_size=16, device="cpu")
        hers = {user: items[user] for user in sorted(drawn)}
        options = {"executor": executor, "ahead": 2 * arguments.workers}
        options["progress"] = progress(run, "retrainings of NCF with GELU")
        outcomes = runs.retrained_outcomes(run, how, worlds, hers, **options)
    judged = judge(explanations, slates, outcomes)
    columns = ["user", "size", "status", "counterfactual", "control_flips"]
    columns += ["estimated_gap_influence", "true_gap_influence"]
    table = judged[columns].merge(hessians[["user", "smallest_eigenvalue"]], on="user")
    table = table.assign(objective=facts["objective"])
    write_table(arguments.to / "gelu.csv", table)
    tops = slates[slates["position"] == 0]["item"].nunique()
    about = {name: facts[name] for name in ("start", "objective", "seconds", "held_out_rmse")}
    about |= {name: getattr(arguments, name) for name in ("run", "k", "variant")}
    about |= {
        "fingerprint": fingerprint,
        "recommended_first": tops,
        "recipe": asdict(recipe),
        "rounds": trained_by["rounds"],
    }
    write_about(arguments.to / "gelu.json", about)
    true, estimated = table["true_gap_influence"], table["estimated_gap_influence"]
    print(
        f"base: objective {facts['objective']:.4f}, held-out RMSE {facts['held_out_rmse']:.3f}, {tops} films "
        f"recommended first; {table['counterfactual'].mean():.1%} hold of {len(table)} users; correlation "
        f"{estimated.corr(true):.3f}, RMSE {np.sqrt(((estimated - true) ** 2).mean()):.3f}, sd of the true "
        f"influence {true.std():.3f}"
    )


def new_smooth(data, seed) -> NCF:
    """NCF with GELU, as it is before training."""
    return NCF(data, activation=models.gelu, seed=seed)


def smooth_model(run, data, made, rounds, seed, executor) -> tuple[NCF, training.State, dict]:
    """The best of the search by notebook 02, from its checkpoint where it was trained before."""
    path, make = run.path(f"gelu-{made[:8]}.npz"), partial(new_smooth, data)
    if path.exists():
        state, facts = training.load_checkpoint(path, made)
        run.log("GELU: trained before, with the same data and settings")
    else:
        states, record = training.search(make, rounds, seed=seed, executor=executor, log=run.log)
        state, record = states[0], pd.DataFrame(record)
        best = record[record["round"] == len(rounds)].iloc[0]
        facts = {"start": int(best["start"]), "objective": float(best["objective"])}
        facts["seconds"] = float(record.groupby("round")["seconds"].first().sum())
        trained = state.into(make(seed))
        facts["held_out_rmse"] = accuracy.rmse(data.test["rating"], accuracy.predict(trained, data.test))
        training.save_checkpoint(path, state, made, **facts)
    return state.into(make(seed)), state, facts


def report(written) -> None:
    """Print what the tables say on average."""
    of_users = written["users"].drop(columns="user").groupby("model", sort=False)
    unreached = of_users["reach"].agg(unreached=lambda values: (values <= 1).sum())
    print(of_users.median().join(unreached).T.round(3), end="\n\n")
    if "kinks" in written:
        print(written["units"].round(4).to_string(index=False, na_rep=""), end="\n\n")
        kinks = written["kinks"].drop(columns="user").eval("bend = abs(evaluated - linear)")
        print(kinks.groupby("variant", sort=False).agg(["mean", "median"]).T.unstack().round(4))


def main() -> None:
    """Read the command line and run what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    programs = parser.add_subparsers(required=True)
    for program in (tables, gelu):
        command = programs.add_parser(program.__name__, help=program.__doc__)
        command.set_defaults(program=program)
        add_run(command)
        command.add_argument("--to", type=Path, default=runs.results_folder() / "causes", help="folder")
    # As the profile "paper".
    command.add_argument("--round-starts", type=int, nargs="+", default=[256, 64, 8])
    command.add_argument("--round-steps", type=int, nargs="+", default=[1500, 2500, 16_000])
    command.add_argument("--learning-rate", type=float, default=0.005)
    command.add_argument("--batch-size", type=int, default=1246)
    command.add_argument("--seed", type=int, default=0, help="of the first start and the order of batches")
    command.add_argument("--k", type=int, default=20)
    command.add_argument("--variant", default="paper", choices=["paper", "objective"])
    command.add_argument("--users", type=int, default=452, help="how many are retrained for, drawn at random")
    command.add_argument("--retraining-steps", type=int, default=recipes.NCF_RETRAINING.steps)
    command.add_argument("--workers", type=positive, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.program(arguments)


if __name__ == "__main__":
    main()
