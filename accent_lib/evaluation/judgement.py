"""What retraining says about each explanation: is it counterfactual, and was its effect estimated well?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from accent_lib.arguments import flag, wholes, with_columns
from accent_lib.errors import AccentError
from accent_lib.evaluation.significance import bootstrap, ratio
from accent_lib.retraining.cells import CELLS
from accent_lib.retraining.outcomes import by_set
from accent_lib.retraining.ranking import leads
from accent_lib.retraining.worlds import world_of

# From the paper's definition to stricter and other ones.
DEFINITIONS = ("counterfactual", "slate_top", "catalogue_top", "majority")
_INFLUENCES = [
    name.format(what)
    for what in ("gap", "score")
    for name in ("estimated_{}_influence", "true_{}_influence", "true_{}_influence_original")
]
_KEYS = ["model", "method", "k", "user"]
_NEEDED = {
    "explanations": _KEYS + ["recommendation", "replacement", "replacement_position", "removed", "predicted"],
    "slates": ["model", "user", "position", "item", "score"],
    "outcomes": ["model", "world", "user", "seed", "scores", "top", "status"],
}


def judge(explanations, slates, outcomes, seeds=None, partial=False) -> pd.DataFrame:
    """Compare each explanation with what retraining without its set showed.

    Parameters
    ----------
    explanations, slates, outcomes : DataFrame
        The tables of a run. Which world counts for a set says
        :func:`~accent_lib.retraining.outcomes.by_set`.
    seeds : collection of int, optional
        Of the retrainings that count; by default all that the model has outcomes of.
    partial : bool
        Judge what is there, each set on the seeds at hand. A user of whom one method's outcome is missing is
        "missing" for all methods of that model and k, so that methods are compared on the same users.

    Returns
    -------
    DataFrame
        One row for each explanation, in their order:

        - ``model, method, k, user, recommendation, replacement, size``; ``world`` (its key);
          ``users_in_world``; ``seeds`` (how many counted); ``failed_seeds``;
        - ``status``: "ok", "none" (no set was found), "failed" (a retraining failed) or "missing";
        - ``counterfactual``: averaged over seeds, the replacement scores above the recommendation (paper);
        - ``slate_top``: and it is the best of the k of the slate;
        - ``catalogue_top``: and, averaged over seeds, it is the best of the whole catalogue;
          ``catalogue_undecided``: the rankings are cut off too early to say so, and it counts as not;
        - ``majority``: its score exceeds the recommendation's in more than half of the seeds;
        - ``control_flips``: it does so on average in the control, with nothing removed;
        - ``estimated_gap_influence``: by how much the gap between the two was predicted to shrink;
          ``true_gap_influence``: by how much it is smaller than in the control with the same seeds;
          ``true_gap_influence_original``: than before retraining;
        - ``estimated_score_influence`` and so on: the same for the recommendation's score. NaN unless "ok";
          against the control, also NaN when that failed.

        A set that is not "ok" is not counterfactual; in a majority, a failed seed is a vote against.

    Raises
    ------
    AccentError
        If tables lack columns or do not belong together, an explanation or outcome occurs twice, methods have
        not the same users, or (unless `partial`) an outcome is missing.

    Examples
    --------
    One user, whose recommendation leads by 0.25. Without her action 3 it was expected to fall behind by 0.25;
    after retraining it does so by 0.5, while with nothing removed it still leads by 0.25.

    >>> explanations = pd.DataFrame([["ncf", "accent", 2, 0, 7, 4, 1, (3,), 1, (2.5, 2.75)]])
    >>> explanations.columns = [
    ...     *["model", "method", "k", "user", "recommendation", "replacement", "replacement_position"],
    ...     *["removed", "size", "predicted"],
    ... ]
    >>> slates = pd.DataFrame([["ncf", 0, 0, 7, 3.0], ["ncf", 0, 1, 4, 2.75]])
    >>> slates.columns = "model user position item score".split()
    >>> control = ["ncf", "", 0, 0, (3.0, 2.75), 7, "ok"]
    >>> outcomes = pd.DataFrame([control, ["ncf", "0:3", 0, 0, (2.0, 2.5), 4, "ok"]])
    >>> outcomes.columns = "model world user seed scores top status".split()
    >>> verdict = judge(explanations, slates, outcomes).iloc[0]
    >>> bool(verdict["counterfactual"]), bool(verdict["control_flips"])
    (True, False)
    >>> float(verdict["estimated_gap_influence"]), float(verdict["true_gap_influence"])
    (0.5, 0.75)
    """
    _check(explanations=explanations, slates=slates, outcomes=outcomes)
    _check_users(explanations)
    seeds, partial = None if seeds is None else wholes(seeds, "seeds", 0), flag(partial, "partial")
    slate_of, retrained = _slates(slates), by_set(outcomes, seeds)
    counting = outcomes if seeds is None else outcomes[outcomes["seed"].isin(seeds)]
    expected = {model: set(of_model) for model, of_model in counting.groupby("model")["seed"]}
    judged = pd.DataFrame(
        [
            _judge_row(row, slate_of, retrained, expected.get(row.model, set()), partial)
            for row in explanations.itertuples()
        ]
    )
    missing = judged["status"] == "missing"
    if missing.any() and not partial:
        first = judged[missing].iloc[0]
        raise AccentError(
            f"{missing.sum()} of {len(judged)} explanations lack a retrained outcome or its control (first: "
            f"{first.model}, {first.method}, k = {first.k}, user {first.user}); run notebook 05_verification "
            "to the end, or pass partial=True."
        )
    missing = missing.groupby([judged["model"], judged["k"], judged["user"]]).transform("any")
    judged.loc[missing, "status"] = "missing"
    judged.loc[missing, [*DEFINITIONS, "control_flips"]] = False
    return judged


def noise_floor(slates, outcomes, ks=(5, 10, 20), seeds=None) -> pd.DataFrame:
    """Share of users whose slate gets another top when a model is retrained with nothing removed.

    Parameters
    ----------
    slates, outcomes : DataFrame
    ks : sequence of int
        Sizes of the slate; sizes beyond the slates' own are left out.
    seeds : collection of int, optional

    Returns
    -------
    DataFrame
        One row for each model and k: ``users``, ``seeds``, ``failed`` (user-seed pairs left out);
        ``changed_percentage`` of users, by scores averaged over the seeds, with its 95% interval over users
        (``changed_low``, ``changed_high``); ``changed_by_seed_percentage`` of user-seed pairs;
        ``catalogue_changed_percentage`` of user-seed pairs, where the whole catalogue has another top.

    Raises
    ------
    AccentError
        If there is no control.

    Examples
    --------
    Two users are retrained with nothing removed, and one of them gets another recommendation:

    >>> slates = pd.DataFrame([["ncf", user, p, p, 3.0 - p] for user in (0, 1) for p in (0, 1)])
    >>> slates.columns = "model user position item score".split()
    >>> rows = [["ncf", "", 0, 0, (3.0, 2.0), 0, "ok"], ["ncf", "", 1, 0, (2.0, 3.0), 1, "ok"]]
    >>> outcomes = pd.DataFrame(rows)
    >>> outcomes.columns = "model world user seed scores top status".split()
    >>> float(noise_floor(slates, outcomes, ks=[2])["changed_percentage"].iloc[0])
    50.0
    """
    _check(slates=slates, outcomes=outcomes)
    ks, seeds = wholes(ks, "ks", 2), None if seeds is None else wholes(seeds, "seeds", 0)
    slate_of = _slates(slates)
    controls = {
        (model, user): by_seed
        for (model, user, own), (_, by_seed) in by_set(outcomes, seeds).items()
        if own == "" and (model, user) in slate_of
    }
    if not controls:
        raise AccentError("There is no outcome of the control; run notebook 05_verification.")
    rows = []
    for model in sorted({model for model, _ in controls}):
        of_model = {user: by_seed for (name, user), by_seed in controls.items() if name == model}
        widest = max(len(slate_of[model, user][0]) for user in of_model)
        for k in (k for k in ks if k <= widest):
            rows.append({"model": model, "k": k, **_noise(model, k, of_model, slate_of)})
    return pd.DataFrame(rows)


def _noise(model, k, controls, slate_of):
    changed, changed_by_seed, catalogue, failed = [], [], [], 0
    for user, by_seed in controls.items():
        items, _ = slate_of[model, user]
        good = [control for control in by_seed.values() if control.status == "ok"]
        failed += len(by_seed) - len(good)
        for control in good:
            _check_finite(control.scores, user, model)
        if good:
            scores = np.array([control.scores for control in good])  # (n_seeds, k_max)
            changed.append(_best(scores.mean(axis=0)[:k], items[:k]) != 0)
            changed_by_seed += [_best(of_seed[:k], items[:k]) != 0 for of_seed in scores]
            catalogue += [control.top != items[0] for control in good]
    low, high = bootstrap(np.column_stack([changed, np.ones(len(changed))]), ratio)
    percentage = lambda flags: 100 * float(np.mean(flags)) if flags else float("nan")  # noqa: E731
    return {
        "users": len(changed),
        "seeds": max(map(len, controls.values())),
        "failed": failed,
        "changed_percentage": percentage(changed),
        "changed_low": 100 * low,
        "changed_high": 100 * high,
        "changed_by_seed_percentage": percentage(changed_by_seed),
        "catalogue_changed_percentage": percentage(catalogue),
    }


def _judge_row(row, slate_of, retrained, expected, partial):
    # Who has no candidate has no slate, and of course no set.
    if (row.model, row.user) not in slate_of and row.recommendation >= 0:
        raise AccentError(f"User {row.user} of {row.model} has no slate; run notebook 04_explanations again.")
    items, original = slate_of.get((row.model, row.user), ((), ()))
    removed, size = world_of(row.user, row.removed).key, len(row.removed)
    judged = {name: getattr(row, name) for name in [*_KEYS, "recommendation", "replacement"]}
    judged |= {"size": size, "world": removed, "users_in_world": 0, "seeds": 0, "failed_seeds": 0}
    flags = [*DEFINITIONS, "catalogue_undecided", "control_flips"]
    judged |= {"status": "none"} | dict.fromkeys(flags, False) | dict.fromkeys(_INFLUENCES, float("nan"))
    _, control = retrained.get((row.model, row.user, ""), ("", {}))
    if size == 0:
        if partial and not control:
            judged["status"] = "missing"
        return judged

    replacement = int(row.replacement_position)
    predicted = np.array(row.predicted)
    k = min(row.k, len(items))
    same = 0 < replacement < k and (items[0], items[replacement]) == (row.recommendation, row.replacement)
    if not same or len(predicted) != k:
        raise AccentError(
            f"The explanation of user {row.user} ({row.model}, {row.method}, k = {row.k}) does not fit her "
            "slate; the two tables are of different runs: run notebook 04_explanations again."
        )
    world, without = retrained.get((row.model, row.user, removed), ("", {}))
    seeds = sorted(set(without) & set(control))
    if not seeds or (not partial and set(seeds) != expected):
        return judged | {"status": "missing"}
    scores, baseline = (_matrix(row, which, seeds, len(items)) for which in (without, control))
    failed = sum(without[seed].status != "ok" for seed in seeds)
    # A failed seed is NaN: it makes the mean NaN, and no comparison with NaN holds.
    mean, still = scores.mean(axis=0), baseline.mean(axis=0)
    slate_top = bool(mean[replacement] > mean[0] and _best(mean[:k], items[:k]) == replacement)
    lead = slate_top and _leads([without[seed] for seed in seeds], row.replacement, scores[:, replacement])
    judged |= {
        "users_in_world": world.count(";") + 1,
        "seeds": len(seeds),
        "failed_seeds": failed,
        "status": "failed" if failed else "ok",
        "counterfactual": bool(mean[replacement] > mean[0]),
        "slate_top": slate_top,
        "catalogue_top": bool(lead),
        "catalogue_undecided": lead is None,
        "majority": bool(2 * (scores[:, replacement] > scores[:, 0]).sum() > len(seeds)),
        "control_flips": bool(still[replacement] > still[0]),
    }
    if not failed:
        for what, value in (("gap", lambda of: of[0] - of[replacement]), ("score", lambda of: of[0])):
            judged[f"estimated_{what}_influence"] = float(value(original) - value(predicted))
            judged[f"true_{what}_influence"] = float(value(still) - value(mean))
            judged[f"true_{what}_influence_original"] = float(value(original) - value(mean))
    return judged


def _leads(outcomes, replacement, scores):
    """Whether the replacement leads the catalogue on average, or None where that cannot be told."""
    rankings = [getattr(outcome, "catalogue", ()) for outcome in outcomes]
    if all(map(len, rankings)):
        return leads(rankings, replacement, scores)
    # Older tables have the best of the catalogue alone, which decides for a single order.
    tops = {outcome.top for outcome in outcomes}
    return tops == {replacement} if len(tops) == 1 else None


def _matrix(row, by_seed, seeds, n_items):
    """Scores of shape ``(n_seeds, n_items)``; a failed seed is a row of NaN."""
    failed = (float("nan"),) * n_items
    rows = [by_seed[seed].scores if by_seed[seed].status == "ok" else failed for seed in seeds]
    if any(len(scores) != n_items for scores in rows):
        raise AccentError(
            f"An outcome of user {row.user} ({row.model}) has not one score for each item of her slate; the "
            "two tables are of different runs: run notebook 05_verification again."
        )
    for seed, scores in zip(seeds, rows, strict=True):
        if by_seed[seed].status == "ok":
            _check_finite(scores, row.user, row.model)
    return np.array(rows)


def _check_finite(scores, user, model):
    if not np.isfinite(scores).all():
        raise AccentError(
            f"An outcome of user {user} ({model}) has a score that is not finite, and yet its status is ok: "
            "run notebook 05_verification again."
        )


def _best(scores, items):
    """Position of the best score; of equal ones, the lower item index."""
    best = np.flatnonzero(scores == scores.max())
    return int(best[np.argmin(items[best])]) if len(best) else -1


def _slates(slates):
    """Items and scores by model and user, in slate order."""
    ordered = slates.sort_values(["model", "user", "position"])
    return {
        key: (group["item"].to_numpy(), group["score"].to_numpy(dtype=float))
        for key, group in ordered.groupby(["model", "user"])
    }


def _check(**tables):
    for name, table in tables.items():
        with_columns(table, name)
        lacking = [column for column in _NEEDED[name] if column not in table]
        if lacking:
            raise AccentError(f"The {name} lack the column {lacking[0]!r}; run the notebook that makes them.")
        for column in set(CELLS) & set(_NEEDED[name]):
            if any(isinstance(cell, str) for cell in table[column]):
                raise AccentError(f"{column!r} of {name} is text; read it with retraining.cells.from_text.")


def _check_users(explanations):
    if explanations.empty:
        raise AccentError("There are no explanations to judge; run notebook 04_explanations.")
    twice = explanations.duplicated(_KEYS)
    if twice.any():
        row = explanations[twice].iloc[0]
        raise AccentError(
            f"The explanation of user {row.user} ({row.model}, {row.method}, k = {row.k}) occurs twice."
        )
    for model, rows in explanations.groupby("model"):
        # A share of all users is wrong as soon as a method's table lacks those it could not explain.
        everyone = set(rows["user"])
        for (method, k), group in rows.groupby(["method", "k"]):
            if len(group) < len(everyone):
                raise AccentError(
                    f"{model} has {len(everyone)} users, but {method} at k = {k} only {len(group)} rows; "
                    "users without an explanation need a row with an empty set."
                )
