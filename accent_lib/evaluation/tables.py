"""The tables of the analysis: CF percentage, set size, estimated and true influence, tests between methods.

They start from what `judge` returns. Users whose outcome is missing are left out, and counted; users without
an explanation, or with a failed retraining, count as not counterfactual.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from accent_lib.arguments import instance, listed, one_of, shown, with_columns
from accent_lib.errors import AccentError
from accent_lib.evaluation.judgement import DEFINITIONS
from accent_lib.evaluation.significance import bootstrap, holm, mcnemar, paired_t, ratio

_SIZE_EDGES = [0, 1, 2, 3, 5, 10, np.inf]
_SIZE_NAMES = ["1", "2", "3", "4 to 5", "6 to 10", "more than 10"]


def summary(judged, definition="counterfactual", **bootstrap_options) -> pd.DataFrame:
    """CF percentage and set size of each model, method and k.

    Parameters
    ----------
    judged : DataFrame
        From `judge`.
    definition : str
        Which of `DEFINITIONS` makes an explanation counterfactual; the first is the paper's.
    **bootstrap_options
        ``level``, ``resamples`` and ``seed`` of `significance.bootstrap`.

    Returns
    -------
    DataFrame
        One row for each model, method and k: ``users``; of these, how many are ``explained`` (have a set),
        ``failed`` (have a failed retraining) and ``counterfactual``; ``missing`` users left out;
        ``users_per_world`` (the most); ``cf_percentage`` of all users and ``set_size`` in actions, the mean
        over the counterfactual ones, with their intervals over users (``cf_low``, ``cf_high``,
        ``set_size_low``, ``set_size_high``); the percentages by the other definitions, ``..._percentage``.

    Examples
    --------
    Two sets, of which the one with a single action holds, and a user without a set:

    >>> judged = pd.DataFrame({
    ...     "model": "ncf", "method": "accent", "k": 5, "user": [0, 1, 2], "status": ["ok", "ok", "none"],
    ...     "size": [1, 4, 0], "counterfactual": [True, False, False], "users_in_world": 1,
    ...     "slate_top": False, "catalogue_top": False, "majority": False,
    ... })
    >>> row = summary(judged).iloc[0]
    >>> int(row["users"]), int(row["explained"]), float(row["set_size"])
    (3, 2, 1.0)
    >>> round(float(row["cf_percentage"]), 1)
    33.3
    """
    _check_definition(definition)
    with_columns(judged, "judged", "model", "method", "k", "status", "size", "users_in_world", *DEFINITIONS)
    rows = []
    for (model, method, k), everyone in judged.groupby(["model", "method", "k"], sort=False):
        group = everyone[everyone["status"] != "missing"]
        success = group[definition].to_numpy(dtype=float)
        sizes = success * group["size"].to_numpy(dtype=float)
        share = bootstrap(np.column_stack([success, np.ones(len(group))]), ratio, **bootstrap_options)
        size = bootstrap(np.column_stack([sizes, success]), ratio, **bootstrap_options)
        row = {
            "model": model,
            "method": method,
            "k": k,
            "users": len(group),
            "explained": int((group["size"] > 0).sum()),
            "failed": int((group["status"] == "failed").sum()),
            "counterfactual": int(success.sum()),
            "missing": len(everyone) - len(group),
            "users_per_world": int(group["users_in_world"].max()) if len(group) else 0,
            "cf_percentage": 100 * _divide(success.sum(), len(group)),
            "cf_low": 100 * share[0],
            "cf_high": 100 * share[1],
            "set_size": _divide(sizes.sum(), success.sum()),
            "set_size_low": size[0],
            "set_size_high": size[1],
        }
        others = [name for name in DEFINITIONS if name != definition]
        row |= {f"{name}_percentage": 100 * _divide(group[name].sum(), len(group)) for name in others}
        rows.append(row)
    return pd.DataFrame(rows)


def table1(figures, measures=("cf_percentage", "set_size")) -> pd.DataFrame:
    """Lay figures out as the paper's Table 1: a row for each model and method, columns for each k.

    Parameters
    ----------
    figures : DataFrame
        From `judge`, from `summary`, or others with its columns.
    measures : sequence of str
        Columns of `summary`, such as ``"cf_low"`` too.

    Returns
    -------
    DataFrame
        Rows (model, method) in the order of `figures`; columns (k, measure).

    Examples
    --------
    >>> figures = pd.DataFrame({"model": "ncf", "method": "accent", "k": [5, 10], "set_size": [4.75, 4.5]})
    >>> table1(figures, ["set_size"]).loc[("ncf", "accent")].tolist()
    [4.75, 4.5]
    """
    with_columns(figures, "figures", "model", "method", "k")
    if "status" in figures:
        figures = summary(figures)
    measures = _names(measures, "measures")
    with_columns(figures, "figures", *measures)
    order = list(dict.fromkeys(zip(figures["model"], figures["method"], strict=True)))
    wide = figures.pivot(index=["model", "method"], columns="k", values=list(measures))
    columns = [(k, measure) for k in sorted(figures["k"].unique()) for measure in measures]
    names = ["k", "measure"]
    return wide.swaplevel(axis=1).loc[order].reindex(columns=pd.MultiIndex.from_tuples(columns, names=names))


def influence_errors(judged, by=("model",), truth="control", **bootstrap_options) -> pd.DataFrame:
    """Estimated against true influence of the sets, on gaps and on scores of the recommendation.

    A user's set with the same replacement counts once in a group, whichever methods and k found it.

    Parameters
    ----------
    judged : DataFrame
        From `judge`; select its rows first to look at one method.
    by : sequence of str
        Columns that make groups; besides those of `judged`, ``"sizes"`` groups by set size.
    truth : {"control", "original"}
        What the retrained scores are compared with: the control's with the same seeds, or the original ones.
    **bootstrap_options
        As in `summary`.

    Returns
    -------
    DataFrame
        For each group and ``quantity`` ("gap", "score"): ``sets``, ``users``; in score units ``rmse``,
        ``bias`` (mean of estimated minus true), ``sd_true`` and ``sd_estimated`` (divided by the number of
        sets, so that an RMSE above ``sd_true`` is worse than to guess the mean); Pearson's ``correlation``;
        ``rmse_low``, ``rmse_high``, ``correlation_low``, ``correlation_high`` over users.

    Examples
    --------
    Two sets: the true influence on the gap is 0.5 less than estimated for one, and 0.5 more for the other.

    >>> judged = pd.DataFrame({
    ...     "model": "ncf", "user": [0, 1], "status": "ok", "size": [1, 2], "world": ["0:3", "1:2 5"],
    ...     "replacement": [4, 4], "estimated_gap_influence": [1.0, 2.0], "true_gap_influence": [0.5, 2.5],
    ...     "estimated_score_influence": [1.0, 2.0], "true_score_influence": [1.0, 2.0],
    ... })
    >>> errors = influence_errors(judged).set_index("quantity")
    >>> float(errors.loc["gap", "rmse"]), float(errors.loc["gap", "bias"]), float(errors.loc["score", "rmse"])
    (0.5, 0.0, 0.0)
    """
    one_of(truth, "truth", ("control", "original"))
    by = _names(by, "by")
    with_columns(judged, "judged", "model", "user", "world", "replacement", "status", "size")
    with_columns(
        judged.assign(sizes=0), "judged", *(instance(each, "by", str, "a list of columns") for each in by)
    )
    suffix = "" if truth == "control" else "_original"
    sets = judged[judged["status"] == "ok"]
    sets = sets.assign(sizes=pd.cut(sets["size"], _SIZE_EDGES, labels=_SIZE_NAMES))
    sets = sets.drop_duplicates(list(dict.fromkeys([*by, "model", "user", "world", "replacement"])))
    rows = []
    for names, group in sets.groupby(by, observed=True):
        for quantity in ("gap", "score"):
            columns = [f"estimated_{quantity}_influence", f"true_{quantity}_influence{suffix}"]
            pairs = group.dropna(subset=columns)
            estimated, true = pairs[columns].to_numpy(dtype=float).T  # (n_sets, 2) -> (2, n_sets)
            errors = _errors(estimated, true, pairs["user"], bootstrap_options)
            rows.append({**dict(zip(by, names, strict=True)), "quantity": quantity, **errors})
    return pd.DataFrame(rows)


def _errors(estimated, true, users, bootstrap_options):
    if len(true) == 0:
        return {"sets": 0, "users": 0}
    # Centred first, as sums of squares lose their digits far from zero.
    x, y = (values - values.mean() if np.ptp(values) else 0 * values for values in (estimated, true))
    sums = np.column_stack([np.ones(len(x)), (estimated - true) ** 2, x, y, x * x, y * y, x * y])
    by_user = pd.DataFrame(sums).groupby(np.asarray(users)).sum().to_numpy()
    total = sums.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rmse, correlation = float(_rmse(total)), float(_correlation(total))
    result = {"sets": len(x), "users": len(by_user), "rmse": rmse, "bias": float(np.mean(estimated - true))}
    result |= {"sd_true": float(true.std()), "sd_estimated": float(estimated.std())}
    result["correlation"] = correlation
    for name, statistic in (("rmse", _rmse), ("correlation", _correlation)):
        result[f"{name}_low"], result[f"{name}_high"] = bootstrap(by_user, statistic, **bootstrap_options)
    return result


def _rmse(sums):
    return np.sqrt(sums[1] / sums[0])


def _correlation(sums):
    n, _, x, y, xx, yy, xy = sums
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    # What is left of a resample without spread is rounding.
    defined = (spread_x > 1e-12 * xx) & (spread_y > 1e-12 * yy)
    correlation = (xy - x * y / n) / np.sqrt(spread_x * spread_y)
    return np.where(defined, np.clip(correlation, -1, 1), np.nan)


def compare(judged, first, *others, definition="counterfactual", **bootstrap_options) -> pd.DataFrame:
    """Test one method against others: McNemar on CF percentages, paired t on set sizes.

    Parameters
    ----------
    judged : DataFrame
        From `judge`.
    first, *others : str
        Methods. Models and k at which the two are not both there have no row.
    definition, **bootstrap_options
        As in `summary`.

    Returns
    -------
    DataFrame
        One row for each model, k and other method (``first``, ``second``): ``users``; ``both``,
        ``only_first``, ``only_second``, ``neither`` (how many are counterfactual); ``cf_difference`` in
        percentage points, first minus second, with ``..._low`` and ``..._high``; ``mcnemar_p_two_sided`` and
        ``mcnemar_p_one_sided`` (first succeeds more often), exact. On the ``both`` users: ``set_size_first``,
        ``set_size_second``, ``set_size_difference`` with its interval, ``t``, ``t_p_two_sided`` and
        ``t_p_one_sided`` (first is smaller). Each column of p-values has another one, ``..._holm``, corrected
        for all the rows of this table. The paper's p-values are two-sided ones halved.

    Raises
    ------
    AccentError
        If there is nothing to compare.

    Examples
    --------
    Four users; on three of them only the first method's set holds:

    >>> judged = pd.DataFrame({
    ...     "model": "ncf", "method": ["accent"] * 4 + ["fia"] * 4, "k": 5, "user": [0, 1, 2, 3] * 2,
    ...     "status": "ok", "size": [1] * 4 + [3] * 4, "counterfactual": [True] * 4 + [False] * 3 + [True],
    ... })
    >>> row = compare(judged, "accent", "fia").iloc[0]
    >>> int(row["only_first"]), float(row["cf_difference"]), float(row["set_size_difference"])
    (3, 75.0, -2.0)
    """
    _check_definition(definition)
    with_columns(judged, "judged", "model", "method", "k", "user", "status", "size", definition)
    for name in (first, *others):
        instance(name, "method", str, "the name of a method in the table")
    table = []
    for (model, k), group in judged[judged["status"] != "missing"].groupby(["model", "k"], sort=False):
        by_method = {method: rows.set_index("user") for method, rows in group.groupby("method")}
        for second in others:
            if first in by_method and second in by_method:
                users = by_method[first].index.intersection(by_method[second].index).sort_values()
                pair = [by_method[method].loc[users] for method in (first, second)]
                success = [rows[definition].to_numpy(dtype=bool) for rows in pair]
                sizes = [rows["size"].to_numpy(dtype=float) for rows in pair]
                row = {"model": model, "k": k, "first": first, "second": second, "users": len(users)}
                table.append(row | _compare_pair(success, sizes, bootstrap_options))
    if not table:
        methods = ", ".join(judged["method"].unique())
        raise AccentError(
            f"{shown(first)} cannot be compared with {shown(others)}; the table has the methods {methods}."
        )
    return corrected_together(pd.DataFrame(table))


def corrected_together(*tables) -> pd.DataFrame:
    """Join tables of `compare`, and correct their p-values (``..._holm``) for all their rows together.

    Examples
    --------
    >>> first, second = pd.DataFrame({"p_two_sided": [0.01]}), pd.DataFrame({"p_two_sided": [0.04]})
    >>> corrected_together(first, second)["p_two_sided_holm"].tolist()
    [0.02, 0.04]
    """
    table = pd.concat(tables, ignore_index=True)
    for column in [name for name in table if name.endswith("_sided")]:
        table[f"{column}_holm"] = holm(table[column])
    return table


def _compare_pair(success, sizes, bootstrap_options):
    test = mcnemar(*success)
    result = {name: test[name] for name in ("both", "only_first", "only_second", "neither")}
    differs = success[0].astype(float) - success[1]
    low, high = bootstrap(np.column_stack([differs, np.ones(len(differs))]), ratio, **bootstrap_options)
    result |= {"cf_difference": 100 * _divide(differs.sum(), len(differs))}
    result |= {"cf_difference_low": 100 * low, "cf_difference_high": 100 * high}
    result |= {f"mcnemar_{name}": test[name] for name in ("p_two_sided", "p_one_sided")}
    both = success[0] & success[1]
    first, second = sizes[0][both], sizes[1][both]
    low, high = bootstrap(np.column_stack([both * (sizes[0] - sizes[1]), both]), ratio, **bootstrap_options)
    result |= {"set_size_first": _divide(first.sum(), len(first))}
    result |= {"set_size_second": _divide(second.sum(), len(second))}
    result |= {"set_size_difference": result["set_size_first"] - result["set_size_second"]}
    result |= {"set_size_difference_low": low, "set_size_difference_high": high}
    test = paired_t(first, second)
    return result | {"t": test["t"]} | {f"t_{name}": test[name] for name in ("p_two_sided", "p_one_sided")}


def _names(values, name):
    """A list of names of columns, one at least."""
    values = listed(values, name, "a list of columns")
    for each in values or [None]:
        instance(each, name, str, "a list of columns, one at least")
    return values


def _divide(part, whole):
    return float(part) / float(whole) if whole else float("nan")


def _check_definition(definition):
    one_of(definition, "definition", DEFINITIONS)
