"""The tables of the analysis: CF percentage, set size, estimated and true influence, tests between methods.

They start from what `judge` returns. Users whose outcome is missing are left out, and counted; users without
an explanation, or with a failed retraining, count as not counterfactual.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from accent_lib.arguments import instance, listed, one_of, with_columns
from accent_lib.errors import AccentError, shown
from accent_lib.evaluation.judgement import DEFINITIONS
from accent_lib.evaluation.significance import bootstrap, holm, mcnemar, ratio

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
        sets, so that an RMSE above ``sd_true`` is worse than to guess the mean); ``correlation`` (Pearson's)
        and ``rank_correlation`` (Spearman's); and intervals over users of the RMSE and of both correlations,
        ``..._low`` and ``..._high``.

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
    # Ranks are those among all sets, in the resamples, too.
    users, ranks = np.asarray(users), (stats.rankdata(values) for values in (estimated, true))
    result = {"sets": len(true), "users": len(np.unique(users)), "bias": float(np.mean(estimated - true))}
    result |= {"sd_true": float(true.std()), "sd_estimated": float(estimated.std())}
    squares = np.column_stack([(estimated - true) ** 2, np.ones(len(true))])
    for name, sums, statistic in (
        ("rmse", squares, lambda sums: np.sqrt(ratio(sums))),
        ("correlation", _moments(estimated, true), _correlation),
        ("rank_correlation", _moments(*ranks), _correlation),
    ):
        by_user = pd.DataFrame(sums).groupby(users).sum().to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            result[name] = float(statistic(sums.sum(axis=0)))
        result[f"{name}_low"], result[f"{name}_high"] = bootstrap(by_user, statistic, **bootstrap_options)
    return result


def _moments(estimated, true):
    # Centred first, as sums of squares lose their digits far from zero.
    x, y = (values - values.mean() if np.ptp(values) else 0 * values for values in (estimated, true))
    return np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])


def _correlation(sums):
    n, x, y, xx, yy, xy = sums
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    # What is left of a resample without spread is rounding.
    defined = (spread_x > 1e-12 * xx) & (spread_y > 1e-12 * yy)
    correlation = (xy - x * y / n) / np.sqrt(spread_x * spread_y)
    return np.where(defined, np.clip(correlation, -1, 1), np.nan)


def compare(judged, first, *others, definition="counterfactual", **bootstrap_options) -> pd.DataFrame:
    """Test whether one method's sets hold for more users than others': McNemar's exact test.

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
        ``mcnemar_p_one_sided`` (first succeeds more often), exact. Each column of p-values has another one,
        ``..._holm``, corrected for all rows of this table. The paper's p-values are two-sided ones halved.

    Raises
    ------
    AccentError
        If there is nothing to compare.

    Examples
    --------
    Four users; on three of them only the first method's set holds:

    >>> judged = pd.DataFrame({
    ...     "model": "ncf", "method": ["accent"] * 4 + ["fia"] * 4, "k": 5, "user": [0, 1, 2, 3] * 2,
    ...     "status": "ok", "counterfactual": [True] * 4 + [False] * 3 + [True],
    ... })
    >>> row = compare(judged, "accent", "fia").iloc[0]
    >>> int(row["only_first"]), float(row["cf_difference"])
    (3, 75.0)
    """
    _check_definition(definition)
    with_columns(judged, "judged", "status", definition)
    table = []
    for about, pair in _pairs(judged[judged["status"] != "missing"], first, others):
        success = [rows[definition].to_numpy(dtype=bool) for rows in pair]
        table.append(about | {"users": len(pair[0])} | _compare_pair(success, bootstrap_options))
    return corrected_together(pd.DataFrame(table))


def compare_sizes(explanations, first, *others, **bootstrap_options) -> pd.DataFrame:
    """By how much one method's sets are smaller than others', over the users for whom both find a set.

    Sizes are measured, not tested: by the same estimates no set that closes the gap is smaller than ACCENT's,
    which is a theorem, and a test of it could come out in one way only.

    Parameters
    ----------
    explanations : DataFrame
        With ``model, method, k, user, size``, of which 0 is no set; what `judge` returns will do.
    first, *others : str
        Methods. Models and k at which the two are not both there have no row.
    **bootstrap_options
        As in `summary`.

    Returns
    -------
    DataFrame
        One row for each model, k and other method (``first``, ``second``): ``users`` with both sets; for how
        many of them the first method's is ``smaller``, of the ``same`` size and ``larger``; of the second's
        size minus the first's ``median`` and mean, ``excess``, with its interval (``excess_low``,
        ``excess_high``), in actions; and how many times as large the second's are in the mean, ``ratio``.

    Raises
    ------
    AccentError
        If there is nothing to compare.

    Examples
    --------
    >>> explanations = pd.DataFrame({
    ...     "model": "ncf", "method": ["accent"] * 3 + ["fia"] * 3, "k": 5, "user": [0, 1, 2] * 2,
    ...     "size": [1, 2, 1, 1, 6, 0],
    ... })
    >>> row = compare_sizes(explanations, "accent", "fia").iloc[0]
    >>> int(row["users"]), int(row["smaller"]), float(row["excess"]), round(float(row["ratio"]), 2)
    (2, 1, 2.0, 2.33)
    """
    with_columns(explanations, "explanations", "size")
    table = []
    for about, pair in _pairs(explanations[explanations["size"] > 0], first, others):
        of_first, of_second = (rows["size"].to_numpy(dtype=float) for rows in pair)
        more = of_second - of_first
        low, high = bootstrap(np.column_stack([more, np.ones(len(more))]), ratio, **bootstrap_options)
        row = {"users": len(more), "smaller": int((more > 0).sum()), "same": int((more == 0).sum())}
        row |= {"larger": int((more < 0).sum()), "median": np.median(more) if len(more) else float("nan")}
        row |= {"excess": _divide(more.sum(), len(more)), "excess_low": low, "excess_high": high}
        table.append(about | row | {"ratio": _divide(of_second.sum(), of_first.sum())})
    return pd.DataFrame(table)


def _pairs(table, first, others):
    """The rows of two methods on the users of both, for each model, k and other method."""
    with_columns(table, "table", "model", "method", "k", "user")
    for name in (first, *others):
        instance(name, "method", str, "the name of a method in the table")
    there = False
    for (model, k), group in table.groupby(["model", "k"], sort=False):
        by_method = {method: rows.set_index("user") for method, rows in group.groupby("method")}
        for second in others:
            if first in by_method and second in by_method:
                users = by_method[first].index.intersection(by_method[second].index).sort_values()
                about = {"model": model, "k": k, "first": first, "second": second}
                yield about, [by_method[method].loc[users] for method in (first, second)]
                there = True
    if not there:
        methods = ", ".join(table["method"].unique())
        raise AccentError(
            f"{shown(first)} cannot be compared with {shown(others)}; the table has the methods {methods}."
        )


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


def _compare_pair(success, bootstrap_options):
    test = mcnemar(*success)
    result = {name: test[name] for name in ("both", "only_first", "only_second", "neither")}
    differs = success[0].astype(float) - success[1]
    low, high = bootstrap(np.column_stack([differs, np.ones(len(differs))]), ratio, **bootstrap_options)
    result |= {"cf_difference": 100 * _divide(differs.sum(), len(differs))}
    result |= {"cf_difference_low": 100 * low, "cf_difference_high": 100 * high}
    return result | {f"mcnemar_{name}": test[name] for name in ("p_two_sided", "p_one_sided")}


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
