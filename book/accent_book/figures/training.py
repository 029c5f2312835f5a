"""Figures of training (chapter 2)."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from accent_book.figures.legend import BLACK, BLUE, GREY, VERMILION, words
from accent_book.figures.style import new_axes


def starts(record) -> Axes:
    """Objective of every start after each round of a search (notebook 02).

    Parameters
    ----------
    record : DataFrame
        Of ``training.search``: ``round``, ``start``, ``objective``; lines follow a start through the rounds.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(6.2, 3.6))
    order = record["start"].rank(method="dense")
    place = record["round"] + 0.3 * (
        order / order.max() - 0.5
    )  # side by side, so that starts do not hide each other
    for start in record["start"].unique():
        rows = record["start"] == start
        axes.plot(place[rows], record["objective"][rows], color=GREY, linewidth=0.8, alpha=0.5, zorder=1)
    best = record.groupby("round")["objective"].idxmin()
    axes.scatter(place, record["objective"], s=20, color=BLUE, alpha=0.6, label="a start")
    axes.scatter(
        place[best], record["objective"][best], s=48, color=VERMILION, marker="D", label="best of the round"
    )
    axes.set(
        xlabel="round",
        ylabel=f"training objective (squared {words().unit})",
        xticks=sorted(record["round"].unique()),
    )
    axes.grid(axis="x", visible=False)
    axes.legend()
    return axes


def scatter_starts(record, columns) -> np.ndarray:
    """Objective of the starts against facts about them, one panel a fact (notebook 02).

    Parameters
    ----------
    record : DataFrame
        One row a start, with ``objective``.
    columns : dict of str to str
        Column of ``record``, and the label of its axis.

    Returns
    -------
    ndarray of Axes, shape (n_columns,)
    """
    _, panels = new_axes(1, len(columns), figsize=(3.7 * len(columns), 3.3), sharey=True, squeeze=False)
    for axes, (column, label) in zip(panels[0], columns.items(), strict=True):
        axes.scatter(record[column], record["objective"], color=BLUE, alpha=0.6, s=28)
        axes.set_xlabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0, 0].set_ylabel(f"training objective (squared {words().unit})")
    return panels[0]


def recipe_curves(table) -> Axes:
    """Objective reached with a budget of steps: mean of the starts and their range, by recipe (notebook 02).

    Parameters
    ----------
    table : DataFrame
        With ``recipe``, ``steps``, ``start`` and ``objective``.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(6.5, 3.8))
    for (name, rows), marker in zip(table.groupby("recipe", sort=False), "osD^v", strict=False):
        summary = rows.groupby("steps")["objective"].agg(["mean", "min", "max"])
        (line,) = axes.plot(summary.index, summary["mean"], marker=marker, label=name)
        axes.fill_between(summary.index, summary["min"], summary["max"], color=line.get_color(), alpha=0.15)
    ticks = sorted(table["steps"].unique())
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.minorticks_off()
    axes.set(xlabel="steps in all", ylabel=f"training objective (squared {words().unit})")
    axes.legend()
    return axes


def user_errors(errors, baseline, lengths) -> Axes:
    """Held-out error of each user against the baseline's, coloured by her history (notebook 02).

    Parameters
    ----------
    errors, baseline : array-like of float
        Root mean squared error of each user, in stars.
    lengths : array-like of int
        Training ratings of each user.

    Returns
    -------
    Axes
    """
    figure, axes = new_axes(figsize=(5.4, 4.2))
    points = axes.scatter(baseline, errors, c=lengths, cmap="cividis", s=26)
    ends = [0, 1.05 * max(*errors, *baseline)]
    axes.plot(ends, ends, color=BLACK, linewidth=1)
    axes.set(
        xlabel=f"error of the mean baseline (RMSE, {words().unit})",
        ylabel=f"error of the model (RMSE, {words().unit})",
    )
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    figure.colorbar(points, ax=axes, label="training ratings of the user")
    return axes
