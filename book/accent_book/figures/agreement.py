"""How well a cheap way of retraining agrees with an expensive one, on the same sets of the same users.

The tables are those of ``experiments/agreement.py``: one row for each user and *setting*, with the
verdict, the true influence of the set on the gap, and what the setting costs.
"""

import numpy as np
import pandas as pd

from accent_lib.errors import AccentError
from accent_lib.evaluation.significance import bootstrap, ratio

NEEDED = ["study", "setting", "user", "counterfactual", "true_gap_influence", "seconds_a_user"]


def agreement(table, study: str, reference: str) -> pd.DataFrame:
    """Hold every setting of a study against one of them.

    Parameters
    ----------
    table : DataFrame
        One model's, with the columns `NEEDED`.
    study : str
        ``recipe`` or ``grouping``.
    reference : str
        The setting that counts as the truth.

    Returns
    -------
    DataFrame
        One row a setting, in the order of the table: ``setting``; ``pairs`` (users whose set both settings
        retrained); ``same_percentage`` of them with the same verdict, and its 95% interval over users
        (``same_low``, ``same_high``); ``cf_percentage`` and ``reference_cf_percentage`` on the same users;
        ``correlation`` of the true influences, ``slope`` of the line through zero that gives this setting's
        from the reference's, and ``rmse`` between the two; ``seconds`` of one core for each user.

    Raises
    ------
    AccentError
        If a column is missing, or the reference is not in the study.

    Examples
    --------
    Of two users, the short way of retraining finds the verdict of one, and half of the true influence:

    >>> table = pd.DataFrame({
    ...     "study": "recipe", "setting": ["short", "short", "long", "long"], "user": [0, 1, 0, 1],
    ...     "counterfactual": [True, False, True, True], "true_gap_influence": [0.5, 1.0, 1.0, 2.0],
    ...     "seconds_a_user": [1.0, 1.0, 9.0, 9.0],
    ... })
    >>> short = agreement(table, "recipe", "long").iloc[0]
    >>> float(short["same_percentage"]), float(short["slope"])
    (50.0, 0.5)
    """
    lacking = [name for name in NEEDED if name not in table]
    if lacking:
        raise AccentError(
            f"The table of agreement lacks the column {lacking[0]!r}; "
            "run `python -m accent_book.experiments.agreement` again."
        )
    table = table[table["study"] == study]
    settings = list(dict.fromkeys(table["setting"]))
    if reference not in settings:
        raise AccentError(
            f"There is no setting {reference!r}; the study {study!r} has: {', '.join(settings)}."
        )
    by_user = {setting: rows.set_index("user") for setting, rows in table.groupby("setting", sort=False)}
    truth = by_user[reference]
    rows = []
    for setting in settings:
        both = by_user[setting].join(truth.add_suffix("_reference"), how="inner")
        same = (both["counterfactual"] == both["counterfactual_reference"]).to_numpy(float)
        low, high = bootstrap(np.column_stack([same, np.ones(len(same))]), ratio)
        # A retraining that failed has a verdict, which is no, but no influence.
        x, y = both[["true_gap_influence_reference", "true_gap_influence"]].dropna().to_numpy().T
        rows.append(
            {
                "setting": setting,
                "pairs": len(both),
                "same_percentage": 100 * same.mean(),
                "same_low": 100 * low,
                "same_high": 100 * high,
                "cf_percentage": 100 * both["counterfactual"].mean(),
                "reference_cf_percentage": 100 * both["counterfactual_reference"].mean(),
                "correlation": np.corrcoef(x, y)[0, 1],
                "slope": (x * y).sum() / (x * x).sum(),
                "rmse": float(np.sqrt(((x - y) ** 2).mean())),
                "seconds": by_user[setting]["seconds_a_user"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def repeats(path):
    """Agreement of retrainings that differ in rounding alone, or in the order of the batches.

    Parameters
    ----------
    path : Path
        Table of retrainings of one base model: ``kind`` of what was left out ("set" or "single"), ``user``,
        ``seed`` of the order, ``move`` of the start by a last digit, ``gap`` and ``control_gap``.

    Yields
    ------
    dict
        For each kind that is complete: correlation of the effects on the gap, share of equal verdicts in per
        cent, by what differs; and the number of users.
    """
    again = pd.read_csv(path)
    again["effect"] = again["control_gap"] - again["gap"]
    for kind, rows in again.groupby("kind"):
        effect, gap = (
            rows.pivot(values=name, index="user", columns=["seed", "move"]) for name in ("effect", "gap")
        )
        orders, moves = (effect.columns.unique(level) for level in ("seed", "move"))
        if len(effect.columns) < 4 or effect.isna().any(axis=None):  # under way
            continue
        between = {
            "rounding": [[(order, move) for move in moves] for order in orders],
            "order": [[(order, move) for order in orders] for move in moves],
        }
        row = {"base model": path.stem, "left out": {"set": "ACCENT's set", "single": "one action"}[kind]}
        for what, pairs in between.items():
            row[f"{what}: r"] = np.mean([effect[one].corr(effect[other]) for one, other in pairs])
            same = [((gap[one] < 0) == (gap[other] < 0)).mean() for one, other in pairs]
            row[f"{what}: same verdict (%)"] = 100 * np.mean(same)
        yield row | {"users": len(effect)}
