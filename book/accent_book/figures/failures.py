"""Figures of the error analysis (chapter 9)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from accent_book.figures.legend import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, UNITS, VERMILION, YELLOW
from accent_book.figures.style import new_axes


def kinds_of_outcome(shares) -> Axes:
    """What became of the users: one bar a model, cut into kinds.

    Parameters
    ----------
    shares : DataFrame, shape (n_models, n_kinds)
        Percentages that add up to 100; the index holds models, the columns say the kinds.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(8.0, 0.7 * len(shares) + 1.6))
    left, colours = np.zeros(len(shares)), (BLUE, SKY, GREEN, YELLOW, ORANGE, VERMILION, PURPLE, GREY)
    for kind, colour in zip(shares.columns, colours, strict=False):
        widths = shares[kind].to_numpy()
        axes.barh(range(len(shares)), widths, left=left, color=colour, label=kind, height=0.6)
        for place, (start, width) in enumerate(zip(left, widths, strict=True)):
            if width >= 3:
                text = {"ha": "center", "va": "center", "fontsize": 9}
                dark = colour in (BLUE, GREEN, VERMILION, GREY, PURPLE)
                axes.text(
                    start + width / 2, place, f"{width:.0f}", color="white" if dark else "black", **text
                )
        left = left + widths
    axes.set_yticks(range(len(shares)), [name.upper() for name in shares.index])
    axes.set(xlabel="users (%)", xlim=(0, 100), ylim=(len(shares) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    axes.figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return axes


def share_by_property(frame, properties, outcome="counterfactual", bins=5) -> Figure:
    """Share of the explanations that hold, by fifths of a property: one panel a property, one line a model.

    Parameters
    ----------
    frame : DataFrame
        One row an explanation, with ``model``.
    properties : dict of str to str
        Columns of ``frame`` and their labels.
    outcome : str
        Column that says whether an explanation holds.
    bins : int
        Groups of about equal size.

    Returns
    -------
    Figure
    """
    across = 2
    down = -(-len(properties) // across)
    figure, panels = new_axes(down, across, figsize=(8.0, 2.7 * down), sharey=True, squeeze=False)
    for spare in panels.flat[len(properties) :]:
        spare.set_visible(False)
    for axes, (column, label) in zip(panels.flat, properties.items(), strict=False):
        for (model, mine), colour, marker in zip(
            frame.groupby("model", sort=False), (BLUE, VERMILION), "os", strict=False
        ):
            group = pd.qcut(mine[column].rank(method="first"), bins, labels=False)
            held = mine.groupby(group)[outcome].agg(["mean", "size"])
            at = mine.groupby(group)[column].median()
            error = 1.96 * np.sqrt(held["mean"] * (1 - held["mean"]) / held["size"])
            style = {"color": colour, "marker": marker, "ms": 5, "capsize": 2, "lw": 1.2}
            axes.errorbar(at, 100 * held["mean"], 100 * error, label=model.upper(), **style)
        axes.set(xlabel=label, xscale="log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    for row in panels:
        row[0].set_ylabel("sets that hold (%)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def rounds(table) -> np.ndarray:
    """Share of the users for whom a set holds, and actions added, by round of verify and resume.

    Parameters
    ----------
    table : DataFrame
        One row for each ``model`` and ``round``: ``held`` and, where it was measured, ``held_elsewhere`` (in
        other orders of the batches), in per cent; ``added``, actions beyond the first sets, mean over users.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    figure, panels = new_axes(1, 2, figsize=(8.0, 3.5))
    for (model, mine), colour, marker in zip(
        table.groupby("model", sort=False), (BLUE, VERMILION), "os", strict=False
    ):
        panels[0].plot(mine["round"], mine["held"], color=colour, marker=marker, label=model.upper())
        other = mine.dropna(subset=["held_elsewhere"])
        style = {"color": colour, "marker": marker, "mfc": "white", "ls": "none"}
        label = f"{model.upper()}, in orders that had no part"
        panels[0].plot(other["round"], other["held_elsewhere"], label=label, **style)
        panels[1].plot(mine["round"], mine["added"], color=colour, marker=marker)
    panels[0].set(xlabel="rounds of resuming", ylabel="users whose set holds (%)")
    panels[1].set(xlabel="rounds of resuming", ylabel="actions added (mean over all users)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return panels


def straight_and_bent(table) -> np.ndarray:
    """What a set does to its gap: as the influence says, in the network itself, and by retraining.

    Parameters
    ----------
    table : DataFrame
        One row a set: ``linear``, ``evaluated`` and ``retrained``, changes of the gap in stars, and
        ``switching``, the share of the ReLU units that the change switches.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    _, panels = new_axes(1, 2, figsize=(8.0, 3.8))
    unit = UNITS["ncf"]
    pairs = (
        ("linear", "evaluated", "evaluated in the network"),
        ("evaluated", "retrained", "by retraining"),
    )
    for axes, (x, y, label), colour in zip(panels, pairs, (GREEN, ORANGE), strict=True):
        low, high = table[[x, y]].min().min() - 0.05, table[[x, y]].max().max() + 0.05
        axes.plot([low, high], [low, high], color=GREY, lw=1, ls="--")
        axes.scatter(table[x], table[y], s=14, lw=0, alpha=0.6, color=colour)
        name = {"linear": "as the influence says", "evaluated": "evaluated in the network"}[x]
        axes.set(xlabel=f"gap closed, {name} ({unit})", ylabel=f"gap closed, {label} ({unit})")
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.locator_params(nbins=6)
    return panels
