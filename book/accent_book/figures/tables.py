"""How tables of results are shown: names that readers know, intervals, and the layout of the paper."""

import itertools

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from accent_book.figures.legend import METHOD_NAMES
from accent_lib.evaluation import table1
from accent_lib.evaluation.significance import mcnemar


def named(table) -> pd.DataFrame:
    """The table with models and methods (also ``first`` and ``second``) by the names that readers know.

    Examples
    --------
    >>> named(pd.DataFrame({"model": ["ncf"], "method": ["pure_fia"]})).iloc[0].tolist()
    ['NCF', 'pure FIA']
    """
    table = table.assign(model=table["model"].str.upper())
    for column in table.columns.intersection(["method", "first", "second"]):
        table[column] = table[column].map(lambda name: METHOD_NAMES.get(name, name))
    return table


def figure_of(value, digits=1) -> str:
    """A number as text; a dash where there is none.

    Examples
    --------
    >>> figure_of(61.06), figure_of(float("nan"))
    ('61.1', '–')
    """
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def interval(table, value, stem, digits=1) -> list[str]:
    """Cells such as ``"61.1 (56.4 to 65.5)"``: a column, and ``<stem>_low`` and ``<stem>_high``.

    Examples
    --------
    >>> interval(pd.DataFrame({"cf": [61.1], "cf_low": [56.4], "cf_high": [65.5]}), "cf", "cf")
    ['61.1 (56.4 to 65.5)']
    """
    return [
        f"{v:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})" if np.isfinite(v) else "–"
        for v, low, high in zip(table[value], table[f"{stem}_low"], table[f"{stem}_high"], strict=True)
    ]


def sizes_by_method(explanations, n_users, model) -> Styler:
    """Sizes of the sets by k and method, and their mean over the users whom all explain (notebook 04).

    Parameters
    ----------
    explanations : DataFrame
        Of one model, with ``k``, ``method``, ``user`` and ``size``.
    n_users : int
        Of the data.
    model : str
        For the caption.

    Examples
    --------
    >>> sets = pd.DataFrame({"k": [5, 5], "user": [0, 1], "method": "accent", "size": [2, 3]})
    >>> sizes_by_method(sets, 2, "NCF").data["mean"].tolist()
    [2.5]
    """
    found = explanations[(explanations["size"] > 0) & (explanations["method"] != "random")]
    table = found.groupby(["k", "method"])["size"].agg(
        users="size", mean="mean", median="median", largest="max"
    )
    rows = itertools.product(sorted(explanations["k"].unique()), METHOD_NAMES)
    table = table.reindex([row for row in rows if row in table.index])
    common = found.pivot(index=["k", "user"], columns="method", values="size").dropna()
    table["common mean"] = common.groupby("k").mean().stack().reindex(table.index)
    table = table.reset_index().replace({"method": METHOD_NAMES})
    formats = {"mean": "{:.2f}", "median": "{:.1f}", "common mean": "{:.2f}"}
    caption = f"{model}: users explained, of {n_users}, and the number of actions in their sets"
    caption += "; common mean: over the users whom all methods explain"
    return table.style.format(formats, na_rep="–").hide(axis="index").set_caption(caption)


def in_papers_layout(beside, marks=None) -> pd.DataFrame:
    """Our figures and the paper's, two rows a method, in the layout of its Table 1.

    Parameters
    ----------
    beside : DataFrame
        From :func:`accent_book.figures.paper.beside_paper`.
    marks : dict of (model, method, k, measure) to str, optional
        What to write behind our figures.

    Returns
    -------
    DataFrame of str
        Rows (model, method, source); columns (k, measure).

    Examples
    --------
    >>> beside = pd.DataFrame([["ncf", "accent", 5, 61.1, 6.99, 57.3, 4.73]])
    >>> beside.columns = "model method k cf_percentage set_size cf_percentage_paper set_size_paper".split()
    >>> in_papers_layout(beside).iloc[:, 0].to_dict()
    {('NCF', 'ACCENT', 'here'): '61.1', ('NCF', 'ACCENT', 'paper'): '57.3'}
    """
    measures = {"cf_percentage": ("CF%", "{:.1f}"), "set_size": ("size", "{:.2f}")}
    of_paper = beside.drop(columns=list(measures)).rename(columns={f"{m}_paper": m for m in measures})
    sources = {"here": table1(beside), "paper": table1(of_paper).dropna(how="all")}
    rows = {}
    for model, method in sources["here"].index:
        for source, table in sources.items():
            if (model, method) in table.index:
                rows[model.upper(), METHOD_NAMES[method], source] = {
                    (f"k = {k}", measures[measure][0]): measures[measure][1].format(value)
                    + ((marks or {}).get((model, method, k, measure), "") if source == "here" else "")
                    for (k, measure), value in table.loc[(model, method)].items()
                }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return table


def held_by_net(table: pd.DataFrame) -> pd.DataFrame:
    """How many sets of nets of one's own held, and whether chance would explain it.

    Parameters
    ----------
    table : DataFrame
        ``data/results/own-nets.csv``.

    Returns
    -------
    DataFrame
        One row a net, and one for all, ``pooled``: users, those with a set and its mean size, and how many
        ACCENT's set, a random one, and no removal put the replacement ahead for; McNemar's exact p.

    Examples
    --------
    >>> sets = pd.DataFrame({"net": "mine", "user": 1, "method": ["accent", "random"], "size": 2})
    >>> shown = held_by_net(sets.assign(held=[True, False], control_gap=0.1))
    >>> shown[["net", "accent", "random"]].values.tolist()
    [['mine', 1, 0], ['pooled', 1, 0]]
    """
    rows = []
    for name, part in [*table.groupby("net", sort=False), ("pooled", table)]:
        held = {method: of_method["held"].to_numpy(bool) for method, of_method in part.groupby("method")}
        test = mcnemar(held["accent"], held["random"])
        of_accent = part[part["method"] == "accent"]
        found = of_accent["size"] > 0
        rows.append(
            {
                "net": name,
                "users": len(of_accent),
                "sets": int(found.sum()),
                "mean_size": of_accent.loc[found, "size"].mean(),
                **{method: int(each.sum()) for method, each in held.items()},
                "control": int((of_accent["control_gap"] < 0).sum()),
                "only_accent": test["only_first"],
                "only_random": test["only_second"],
                "p": test["p_two_sided"],
            }
        )
    return pd.DataFrame(rows)
