"""Figures of explanations (chapter 4)."""

import itertools
import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from accent_book.figures.legend import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    METHOD_COLOURS,
    METHOD_NAMES,
    SKY,
    VERMILION,
)
from accent_book.figures.style import new_axes
from accent_lib import explain


def gap_filled(paths, chosen: int, steps, title: str = "", unit: str = "stars") -> Figure:
    """The book's picture of a result: a gap that shrinks with each removed action until another item leads.

    Parameters
    ----------
    paths : sequence of sequence of float, length n_candidates
        For each candidate the remaining gap after none, one, two … of its own best actions.
    chosen : int
        The candidate that becomes the replacement.
    steps : sequence of (str, str), length of the chosen path
        A bold line and a plain line above each bar.
    title : str
        Above the figure, such as the explanation as a sentence.
    unit : str
        Of the gaps.

    Returns
    -------
    Figure
    """
    rows = len(steps)
    figure, axes = new_axes(figsize=(7.2, 1.3 + 0.8 * rows))
    shown = [list(path[: rows + 1]) for path in paths]
    path = shown[chosen]
    # Wide enough for the chosen gap to be seen; what starts further right is counted, not drawn.
    right = max(min(3.5 * path[0], max(other[0] for other in shown)), 1.1 * path[0], 1e-9)
    left = min(0.0, *(value for other in shown for value in other[:rows]))
    left = max(left - 0.06 * right, -0.6 * right) if left < -0.1 * right else -0.16 * right
    axes.axvspan(left, 0, color=GREEN, alpha=0.10, lw=0)
    axes.axvline(0, color=GREEN, lw=1.5)
    stuck = False
    for number, other in enumerate(shown):
        if number == chosen:
            continue
        axes.plot(other, range(len(other)), color=GREY, lw=1.0, alpha=0.4, marker="o", ms=3, zorder=3)
        if len(paths[number]) <= rows and other[-1] >= 0:  # nothing left that would close it
            axes.plot(other[-1], len(other) - 1, color=VERMILION, marker="X", ms=6, zorder=3, lw=0)
            stuck = True
    axes.barh(0, path[0], height=0.34, color=BLUE, zorder=4)
    for row in range(1, len(path)):
        axes.plot([path[row - 1]] * 2, [row - 0.83, row + 0.17], color=BLUE, lw=1.2, zorder=4)
        axes.barh(row, path[row - 1] - path[row], left=path[row], height=0.34, color=SKY, zorder=4)
    for row, value in enumerate(path):
        axes.plot([value] * 2, [row - 0.17, row + 0.17], color=BLUE, lw=3.5, zorder=5, solid_capstyle="butt")
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
    for row, (bold, plain) in enumerate(steps):
        words = {"va": "bottom", "fontsize": 8.5, "bbox": ground, "zorder": 6}
        axes.text(0.015 * right, row - 0.41, bold, weight="bold", color=BLUE, **words)
        axes.text(0.015 * right, row - 0.22, plain, color=BLACK, **words)
    axes.set_yticks(range(rows))
    axes.set(xlim=(left, 1.04 * right), ylim=(rows - 0.6, -0.7))
    axes.set(xlabel=f"remaining gap ({unit})", ylabel="actions removed")
    axes.grid(axis="y", visible=False)
    beyond = sum(other[0] > 1.04 * right for other in shown)
    others = f"other candidates ({beyond} further right)" if beyond else "other candidates"
    handles = [
        mpl.patches.Patch(color=SKY, label="closed by this action"),
        mpl.lines.Line2D([], [], color=BLUE, lw=3.5, label="gap to the replacement"),
        mpl.lines.Line2D([], [], color=GREY, alpha=0.6, marker="o", ms=3, label=f"gaps to {others}"),
        mpl.patches.Patch(color=GREEN, alpha=0.18, label="the candidate leads"),
    ]
    if stuck:
        cross = {"color": VERMILION, "marker": "X", "ms": 6, "lw": 0}
        handles.append(mpl.lines.Line2D([], [], label="no helpful action left", **cross))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8.5, columnspacing=1.4)
    if title:
        figure.suptitle(textwrap.fill(title, 80), x=0.01, ha="left", weight="bold", fontsize=10)
    return figure


def staircases(scores, influence) -> list[list[float]]:
    """Gap to each candidate of a slate after each removal that closes it most, until it is negative.

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Descending.
    influence : ndarray, shape (k, n_actions)
        Of each action on each score.

    Examples
    --------
    >>> import numpy as np
    >>> staircases(np.array([4.0, 3.0]), np.array([[0.75, -0.5, 0.5], [0.0, 0.0, 0.0]]))
    [[1.0, 0.25, -0.25]]
    """
    paths = []
    for place in range(1, len(scores)):
        gap, closing = float(scores[0] - scores[place]), np.sort(influence[0] - influence[place])[::-1]
        path = [gap, *(gap - np.cumsum(closing[closing > 0])).tolist()]
        paths.append(path[: next((n for n, left in enumerate(path) if left < 0), len(path)) + 1])
    return paths


def own_and_gap(own, on_gap, taken, names=("ACCENT’s set", "other actions"), unit: str = "stars") -> Figure:
    """Influence on the recommendation's own score against influence on the gap, one point an action.

    Parameters
    ----------
    own, on_gap : ndarray, shape (n_history,)
    taken : sequence of int
        Positions to mark.
    names : (str, str)
        Of the marked and of the other actions.
    unit : str
        Of both influences.

    Returns
    -------
    Figure
    """
    figure, axes = new_axes(figsize=(6.0, 4.2))
    others = [z for z in range(len(own)) if z not in set(taken)]
    axes.axhline(0, color=BLACK, lw=0.8)
    axes.axvline(0, color=BLACK, lw=0.8)
    axes.scatter(own[others], on_gap[others], s=22, color=GREY, alpha=0.7, lw=0, label=names[1])
    axes.scatter(own[list(taken)], on_gap[list(taken)], s=70, marker="D", color=BLUE, label=names[0])
    axes.set(xlabel=f"influence on the recommendation’s score ({unit})")
    axes.set(ylabel=f"influence on the gap ({unit})")
    axes.locator_params(axis="x", nbins=7)
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def set_sizes(sizes, n_users: int) -> Figure:
    """Share of all users whom a method explains with at most so many actions.

    Parameters
    ----------
    sizes : dict of str to ndarray
        For each method the sizes of the sets it found.
    n_users : int
        All users, with and without a set.

    Returns
    -------
    Figure
    """
    figure, axes = new_axes()
    longest = max((max(of_method, default=1) for of_method in sizes.values()), default=1)
    # Orange and vermilion are far apart in lightness alone, so lines differ in their dashes, too.
    dashes = itertools.cycle(["-", "--", "-.", (0, (5, 1)), ":"])
    for method, of_method in sizes.items():
        reached = [100 * sum(size <= n for size in of_method) / n_users for n in range(1, longest + 1)]
        style = {"color": METHOD_COLOURS[method], "label": METHOD_NAMES[method], "ls": next(dashes)}
        axes.step(range(1, longest + 1), reached, where="post", lw=2, **style)
    axes.set_xscale("log")
    ticks = [n for n in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if n <= longest]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set(xlabel="actions removed, at most", ylabel="users explained (%)", ylim=(0, 102))
    figure.legend(loc="outside upper center", ncols=len(sizes))
    return figure


def slate_positions(positions, k: int) -> Figure:
    """How often each place of the slate holds the replacement.

    Parameters
    ----------
    positions : dict of str to ndarray
        For each method the slate positions of its replacements, from 1 on.
    k : int
        Size of the slate.

    Returns
    -------
    Figure
    """
    figure, axes = new_axes(figsize=(7.0, 3.4))
    width = 0.8 / max(len(positions), 1)
    for number, (method, places) in enumerate(positions.items()):
        heights = [sum(place == p for place in places) for p in range(1, k)]
        at = [p + 1 + (number - (len(positions) - 1) / 2) * width for p in range(1, k)]
        axes.bar(at, heights, width=width, color=METHOD_COLOURS[method], label=METHOD_NAMES[method])
    axes.grid(axis="x", visible=False)
    axes.set_xticks(range(2, k + 1))
    axes.set(xlabel="place of the replacement in the slate (1 is the recommendation)", ylabel="users")
    axes.legend(loc="upper right")
    return figure


def gap_and_reach(gap, reach, size, unit: str = "stars") -> Figure:
    """What a history can close against the gap it has to close, one point a user.

    Parameters
    ----------
    gap, reach : ndarray, shape (n_users,)
        Both positive.
    size : ndarray, shape (n_users,)
        Actions in the set, 0 where there is none.
    unit : str
        Of gap and reach.

    Returns
    -------
    Figure
    """
    figure, axes = new_axes(figsize=(6.6, 4.4))
    groups = [
        (size == 0, "no explanation", VERMILION, "X"),
        ((size > 0) & (size <= 2), "1 or 2 actions", SKY, "o"),
        ((size > 2) & (size < 10), "3 to 9 actions", BLUE, "o"),
        (size >= 10, "10 actions or more", BLACK, "o"),
    ]
    for which, name, colour, marker in groups:
        if which.any():
            style = {"color": colour, "marker": marker, "label": name}
            axes.scatter(gap[which], reach[which], s=26, lw=0, alpha=0.8, **style)
    x, y = ((0.7 * values.min(), 1.4 * values.max()) for values in (gap, reach))
    axes.plot((min(x + y), max(x + y)), (min(x + y), max(x + y)), color=BLACK, lw=1, ls="--")
    axes.set(xscale="log", yscale="log", xlim=x, ylim=y, xlabel=f"gap to be closed ({unit})")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5), numticks=20))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set_ylabel(f"what all helpful removals close together ({unit})")
    figure.legend(loc="outside upper center", ncols=4, fontsize=9, columnspacing=1.0, handletextpad=0.3)
    return figure


def one_that_fails(model, k: int, orders: int):
    """Return the first user's explanation that training again refutes, and the trial; or None.

    Only sets of two or three actions are tried that are estimated to do more than just enough. The
    replacement must get ahead in no order of the batches, with or without the set.

    Parameters
    ----------
    model : Estimator
        Fitted.
    k : int
        Size of the slate.
    orders : int
        Of the batches, for each trial.
    """
    for user in model.data.user_ids:
        explanation = explain(model, user, k)
        if 1 < len(explanation.removed) < 4 and explanation.remaining_gap < -0.05:
            trial = explanation.verify(orders=orders)
            if trial.held == trial.held_in_control == 0:
                return explanation, trial
    return None


def worth_a_look(explanations: pd.DataFrame) -> list[int]:
    """Users with a set of ACCENT's, in the order in which they are worth a look.

    First come those whose set has 2 or 3 actions and for whom FIA takes more, before them those for whom FIA
    begins with an action that is not in the set, then others with 2 or 3; among equals, those whose
    replacement is expected to lead by most.

    Parameters
    ----------
    explanations : DataFrame
        Rows of one model and one k, with ``user``, ``method``, ``removed``, ``size``,
        ``replacement_position`` and ``predicted``.

    Examples
    --------
    >>> rows = [(0, "accent", (4,)), (1, "accent", (0, 1)), (2, "accent", (5, 6)), (2, "fia", (5, 0, 6))]
    >>> rows += [(3, "accent", (5, 6)), (3, "fia", (0, 5, 6)), (4, "accent", ())]
    >>> table = pd.DataFrame(rows, columns=["user", "method", "removed"])
    >>> table = table.assign(size=table["removed"].map(len), replacement_position=1)
    >>> worth_a_look(table.assign(predicted=[(3.0, 3.5)] * 7))
    [3, 2, 1, 0]
    """
    own = explanations[(explanations["method"] == "accent") & (explanations["size"] > 0)]
    leads = [row.predicted[row.replacement_position] - row.predicted[0] for row in own.itertuples()]
    lead = pd.Series(leads, index=own["user"], dtype=float)
    sizes = explanations.pivot(index="user", columns="method", values="size")
    sizes = sizes[sizes["accent"] > 0].reindex(columns=["accent", "fia"])
    small, more = sizes["accent"].between(2, 3), sizes["fia"] > sizes["accent"]
    removed = explanations.pivot(index="user", columns="method", values="removed").reindex(sizes.index)
    apart = [
        large and row.fia[0] not in row.accent for large, row in zip(more, removed.itertuples(), strict=True)
    ]
    rank = small.astype(int) + (small & more) + (small & more & np.array(apart, bool))
    order = np.lexsort([-lead[sizes.index], -rank])
    return [int(user) for user in sizes.index[order]]
