"""One style for all figures, and one function for each kind of figure.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; the background is opaque, so that a
figure can be read in a dark page.
"""

import textwrap
from statistics import median

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, BLACK = (
    "#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00 #F0E442 #000000".split()
)
GREY = "#6B6B6B"

#: One colour a method, the same in every figure.
METHOD_COLOURS = {
    "accent": BLUE,
    "fia": ORANGE,
    "pure_fia": VERMILION,
    "attention": GREEN,
    "pure_attention": SKY,
    "random": GREY,
}
#: How a method is called in figures and tables.
METHOD_NAMES = {
    "accent": "ACCENT",
    "fia": "FIA",
    "pure_fia": "pure FIA",
    "attention": "attention",
    "pure_attention": "pure attention",
    "random": "random",
}


def use_style() -> None:
    """Set the style; called once at the top of a notebook."""
    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 3.8),
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.7,
            "axes.prop_cycle": mpl.cycler(color=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK]),
            "font.size": 10,
            "axes.titlesize": 10,
            "legend.frameon": False,
        }
    )


def new_axes(rows: int = 1, columns: int = 1, **options):
    """A figure and its axes in the style of the book."""
    use_style()
    return plt.subplots(rows, columns, **options)


def star_counts(counts, positive_at):
    """How often each number of stars was given, coloured by sign (notebook 01).

    Parameters
    ----------
    counts : Series
        Number of ratings, indexed by stars.
    positive_at : float
        Ratings from here on are positive.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(5.2, 3.0))
    for positive, colour, name in ((False, VERMILION, "negative"), (True, BLUE, "positive")):
        part = counts[(counts.index >= positive_at) == positive]
        axes.bar(part.index, part, color=colour, label=name, width=0.75 * min(1.0, 5 / len(counts)))
    axes.set(xlabel="rating (stars)", ylabel="ratings", xticks=counts.index)
    axes.grid(axis="x", visible=False)
    axes.legend()
    return axes


def heavy_tails(per_user, per_item):
    """Ratings of each user and of each film, largest first, both axes logarithmic (notebook 01).

    Parameters
    ----------
    per_user, per_item : array-like of int
        Ratings of each user, and of each film with at least one.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    _, panels = new_axes(1, 2, figsize=(7.5, 3.2), sharey=True)
    for axes, counts, name, colour in (
        (panels[0], per_user, "users", BLUE),
        (panels[1], per_item, "films", VERMILION),
    ):
        ordered = sorted(counts, reverse=True)
        axes.loglog(range(1, len(ordered) + 1), ordered, color=colour, linewidth=2)
        axes.set(xlabel=f"{name}, from the most ratings to the fewest (rank)")
    panels[0].set_ylabel("training ratings")
    return panels


def histories(frame, users):
    """Ratings of some users in the order of time, training and held out (notebook 01).

    Parameters
    ----------
    frame : DataFrame
        With ``user``, ``rating``, ``positive``, ``timestamp`` and ``held_out``.
    users : sequence of int
        One row of the figure each.

    Returns
    -------
    ndarray of Axes, shape (n_users,)
    """
    figure, panels = new_axes(len(users), 1, figsize=(7.5, 1.0 + 1.35 * len(users)), squeeze=False)
    for axes, user in zip(panels[:, 0], users, strict=True):
        rows = frame[frame["user"] == user].sort_values("timestamp", kind="stable").reset_index(drop=True)
        for held_out, marker in ((False, "o"), (True, "D")):
            for positive, colour in ((True, BLUE), (False, VERMILION)):
                part = rows[(rows["held_out"] == held_out) & (rows["positive"] == positive)]
                name = f"{'held out' if held_out else 'training'}, {'positive' if positive else 'negative'}"
                face = "white" if held_out else colour
                axes.plot(
                    part.index + 1,
                    part["rating"],
                    marker,
                    color=colour,
                    markerfacecolor=face,
                    ms=5,
                    label=name,
                )
        axes.set(ylim=(0.5, 5.5), yticks=range(1, 6), title=f"user {user}")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[-1, 0].set_xlabel("place in the user's ratings, by time")
    figure.supylabel("rating (stars)", fontsize=10)
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=9)
    return panels[:, 0]


def starts(record):
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
        xlabel="round", ylabel="training objective (squared stars)", xticks=sorted(record["round"].unique())
    )
    axes.grid(axis="x", visible=False)
    axes.legend()
    return axes


def scatter_starts(record, columns):
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
    panels[0, 0].set_ylabel("training objective (squared stars)")
    return panels[0]


def recipe_curves(table):
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
    axes.set(xlabel="steps in all", ylabel="training objective (squared stars)")
    axes.legend()
    return axes


def user_errors(errors, baseline, lengths):
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
    axes.set(xlabel="error of the mean baseline (RMSE, stars)", ylabel="error of the model (RMSE, stars)")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    figure.colorbar(points, ax=axes, label="training ratings of the user")
    return axes


def gap_filled(paths, chosen: int, steps, title: str = ""):
    """The book's picture of a result: a gap that shrinks with each removed action until another item leads.

    Parameters
    ----------
    paths : sequence of sequence of float, length n_candidates
        For each candidate the remaining gap, in stars, after none, one, two … of its own best actions.
    chosen : int
        The candidate that becomes the replacement.
    steps : sequence of (str, str), length of the chosen path
        A bold line and a plain line beside each row.
    title : str
        Above the figure, such as the explanation as a sentence.

    Returns
    -------
    Figure
    """
    rows = len(steps)
    figure, axes = new_axes(figsize=(9.6, 1.6 + 0.72 * rows))
    shown = [list(path[: rows + 1]) for path in paths]
    right = max(max(path[0] for path in shown), 1e-9)
    left = min(0.0, *(min(path[:rows]) for path in shown))
    left = min(left - 0.06 * right, -0.14 * right)
    axes.axvspan(left, 0, color=GREEN, alpha=0.10, lw=0)
    axes.axvline(0, color=GREEN, lw=1.5)
    stuck = False
    for number, path in enumerate(shown):
        if number == chosen:
            continue
        axes.plot(path, range(len(path)), color=GREY, lw=1.0, alpha=0.4, marker="o", ms=3, zorder=3)
        if len(paths[number]) <= rows and path[-1] >= 0:  # nothing left that would close it
            axes.plot(path[-1], len(path) - 1, color=VERMILION, marker="X", ms=6, zorder=3, lw=0)
            stuck = True
    path = shown[chosen]
    axes.barh(0, path[0], height=0.4, color=BLUE, zorder=2)
    for row in range(1, len(path)):
        axes.barh(row, path[row - 1] - path[row], left=path[row], height=0.4, color=SKY, zorder=2)
        axes.plot([path[row - 1]] * 2, [row - 0.8, row + 0.2], color=BLUE, lw=1.2, zorder=4)
    for row, value in enumerate(path):
        axes.plot([value] * 2, [row - 0.2, row + 0.2], color=BLUE, lw=3.5, zorder=5, solid_capstyle="butt")
    beside = axes.get_yaxis_transform()
    for row, (bold, plain) in enumerate(steps):
        axes.text(1.02, row - 0.03, bold, transform=beside, weight="bold", va="bottom", color=BLUE)
        axes.text(1.02, row + 0.06, plain, transform=beside, va="top", color=GREY)
    names = ["full history", "1 action removed", *(f"{row} actions removed" for row in range(2, rows))]
    axes.set_yticks(range(rows), names[:rows])
    axes.set(xlim=(left, 1.04 * right), ylim=(rows - 0.5, -0.6), xlabel="remaining gap (stars)")
    axes.grid(axis="y", visible=False)
    handles = [
        mpl.patches.Patch(color=SKY, label="closed by this action"),
        mpl.lines.Line2D([], [], color=BLUE, lw=3.5, label="gap to the replacement"),
        mpl.lines.Line2D([], [], color=GREY, alpha=0.6, marker="o", ms=3, label="gaps to other candidates"),
        mpl.patches.Patch(color=GREEN, alpha=0.18, label="the candidate leads"),
    ]
    if stuck:
        cross = {"color": VERMILION, "marker": "X", "ms": 6, "lw": 0}
        handles.append(mpl.lines.Line2D([], [], label="no helpful action left", **cross))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9, columnspacing=1.4)
    if title:
        figure.suptitle(textwrap.fill(title, 100), x=0.01, ha="left", weight="bold", fontsize=11)
    return figure


def own_and_gap(own, on_gap, taken, names=("ACCENT’s set", "other actions")):
    """Influence on the recommendation's own score against influence on the gap, one point an action.

    Parameters
    ----------
    own, on_gap : ndarray, shape (n_history,)
        In stars.
    taken : sequence of int
        Positions to mark.
    names : (str, str)
        Of the marked and of the other actions.

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
    axes.set(xlabel="influence on the recommendation’s score (stars)", ylabel="influence on the gap (stars)")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def set_sizes(sizes, n_users: int):
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
    longest = max((max(found, default=1) for found in sizes.values()), default=1)
    for method, found in sizes.items():
        reached = [100 * sum(size <= n for size in found) / n_users for n in range(1, longest + 1)]
        style = {"color": METHOD_COLOURS[method], "label": METHOD_NAMES[method]}
        axes.step(range(1, longest + 1), reached, where="post", lw=2, **style)
    axes.set_xscale("log")
    ticks = [n for n in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if n <= longest]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set(xlabel="actions removed, at most", ylabel="users explained (%)", ylim=(0, 102))
    axes.legend(loc="lower right")
    return figure


def slate_positions(positions, k: int):
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
    for number, (method, found) in enumerate(positions.items()):
        heights = [sum(place == p for place in found) for p in range(1, k)]
        at = [p + 1 + (number - (len(positions) - 1) / 2) * width for p in range(1, k)]
        axes.bar(at, heights, width=width, color=METHOD_COLOURS[method], label=METHOD_NAMES[method])
    axes.grid(axis="x", visible=False)
    axes.set_xticks(range(2, k + 1))
    axes.set(xlabel="place of the replacement in the slate (1 is the recommendation)", ylabel="users")
    axes.legend(loc="upper right")
    return figure


def gap_and_reach(gap, reach, size):
    """What a history can close against the gap it has to close, one point a user.

    Parameters
    ----------
    gap, reach : ndarray, shape (n_users,)
        In stars, both positive.
    size : ndarray, shape (n_users,)
        Actions in the set, 0 where there is none.

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
    axes.set(xscale="log", yscale="log", xlim=x, ylim=y, xlabel="gap to be closed (stars)")
    axes.set_ylabel("what all helpful removals close together (stars)")
    axes.legend(loc="best")
    return figure


def effect_spread(effects, truth: float, xlabel="estimated effect of the removal (stars)"):
    """How far estimates of one effect scatter when they are made in several ways.

    Parameters
    ----------
    effects : dict of str to ndarray
        For each way its estimates, one a seed, in stars.
    truth : float
        The effect itself.
    xlabel : str

    Returns
    -------
    Figure
    """
    figure, axes = new_axes(figsize=(7.0, 3.2))
    low = min(min(values) for values in effects.values())
    high = max(max(values) for values in effects.values())
    edges = [low + (high - low) * edge / 60 for edge in range(61)]
    for (label, values), colour in zip(effects.items(), (GREY, BLUE, VERMILION), strict=False):
        axes.hist(values, bins=edges, color=colour, alpha=0.75, label=label)
    axes.axvline(truth, color=BLACK, lw=1.5, ls="--", label="exact effect")
    axes.set(xlabel=xlabel, ylabel="seeds")
    axes.legend(loc="upper right")
    return figure


def slate_scores(titles, scores, replacement: int):
    """Scores of a slate before retraining, in the control and in a world, one row an item.

    Parameters
    ----------
    titles : sequence of str, length k
        Of the slate, the recommendation first.
    scores : dict of str to ndarray, shape (k,)
        Under the names "before", "control" and "world", in stars.
    replacement : int
        Position of the item that the explanation names.

    Returns
    -------
    Figure
    """
    figure, axes = new_axes(figsize=(8.0, 1.2 + 0.26 * len(titles)))
    rows = range(len(titles))
    looks = {
        "before": (GREY, "|", "before: trained on everything"),
        "control": (SKY, "o", "control: retrained, nothing removed"),
        "world": (BLUE, "D", "world: retrained without the set"),
    }
    axes.hlines(rows, scores["control"], scores["world"], color=SKY, lw=2, zorder=2)
    for name, (colour, marker, label) in looks.items():
        axes.scatter(
            scores[name],
            rows,
            color=colour,
            marker=marker,
            s=60 if marker == "|" else 32,
            label=label,
            zorder=3,
        )
    for position, role, colour in ((0, "recommendation", VERMILION), (replacement, "replacement", GREEN)):
        axes.axhspan(position - 0.5, position + 0.5, color=colour, alpha=0.15, lw=0)
        axes.text(1.01, position, role, transform=axes.get_yaxis_transform(), va="center", color=colour)
    axes.set_yticks(rows, [title if len(title) < 42 else title[:40] + "…" for title in titles])
    axes.set(xlabel="score (stars)", ylim=(len(titles) - 0.5, -0.5))
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def gaps_in_control(before, control):
    """Gap between the recommendation and the best other item of its slate, before and in the control.

    Parameters
    ----------
    before, control : ndarray, shape (n_users,)
        In stars; below zero another item leads.

    Returns
    -------
    Figure
    """
    figure, axes = new_axes(figsize=(6.0, 4.2))
    ends = [0, 1.05 * max(before)]
    axes.plot(ends, ends, color=BLACK, lw=1, ls="--", label="nothing changed")
    flipped = control < 0
    axes.axhspan(min(*control, 0) * 1.1 - 0.01 * ends[1], 0, color=VERMILION, alpha=0.10, lw=0)
    axes.scatter(before[~flipped], control[~flipped], s=22, color=BLUE, lw=0, alpha=0.8, label="same top")
    if flipped.any():
        axes.scatter(
            before[flipped], control[flipped], s=36, color=VERMILION, marker="X", label="another top"
        )
    axes.set(xlabel="gap to the second before retraining (stars)", xlim=ends)
    axes.set_ylabel("gap to the best other in the control (stars)")
    axes.legend(loc="upper left")
    return figure


def figures_by_method(figures, paper=None):
    """CF percentage and set size of every method over k, with intervals.

    Parameters
    ----------
    figures : DataFrame
        From `evaluation.summary`, of one model.
    paper : DataFrame, optional
        The paper's rows of the same model, drawn hollow.

    Returns
    -------
    Figure
    """
    figure, panels = new_axes(1, 2, figsize=(9.0, 3.8))
    ks, methods = sorted(figures["k"].unique()), list(dict.fromkeys(figures["method"]))
    measures = (
        ("cf_percentage", "cf", "CF percentage (% of users)"),
        ("set_size", "set_size", "CF set size (actions)"),
    )
    for axes, (measure, interval, label) in zip(panels, measures, strict=True):
        for number, method in enumerate(methods):
            shift = 0.14 * (number - (len(methods) - 1) / 2)
            rows = figures[figures["method"] == method].set_index("k").reindex(ks)
            at = [place + shift for place in range(len(ks))]
            value = rows[measure]
            reach = [value - rows[f"{interval}_low"], rows[f"{interval}_high"] - value]
            reach = [part.clip(lower=0) for part in reach]
            colour = METHOD_COLOURS[method]
            axes.errorbar(at, value, reach, fmt="o", color=colour, capsize=3, label=METHOD_NAMES[method])
            theirs = paper[paper["method"] == method].set_index("k") if paper is not None else None
            if theirs is not None and len(theirs):
                values = theirs[measure].reindex(ks)
                axes.scatter(at, values, s=44, facecolors="none", edgecolors=colour, marker="s", zorder=3)
        axes.set_xticks(range(len(ks)), [f"k = {k}" for k in ks])
        axes.set(ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(axis="x", visible=False)
    handles, labels = panels[0].get_legend_handles_labels()
    if paper is not None and len(paper):
        handles.append(mpl.lines.Line2D([], [], color=BLACK, marker="s", mfc="none", ls="", label="paper"))
        labels.append("paper (hollow)")
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    return figure


def estimated_against_true(estimated, true, holds, noise: float, what="the gap"):
    """Estimated against true influence of whole sets, with what retraining alone does as a band.

    Parameters
    ----------
    estimated, true : ndarray, shape (n_sets,)
        In stars.
    holds : ndarray of bool, shape (n_sets,)
        Whether the set is counterfactual.
    noise : float
        Standard deviation of the change with nothing removed, in stars.
    what : str
        Influence on what.

    Returns
    -------
    Axes
    """
    figure, axes = new_axes(figsize=(5.6, 5.0))
    ends = [min(*estimated, *true, 0), max(*estimated, *true)]
    ends = [ends[0] - 0.04 * (ends[1] - ends[0]), ends[1] + 0.04 * (ends[1] - ends[0])]
    axes.plot(ends, ends, color=BLACK, lw=1, ls="--", label="estimated = true")
    axes.axhspan(-noise, noise, color=GREY, alpha=0.2, lw=0, label="change with nothing removed (± 1 sd)")
    for which, label, colour, marker in (
        (holds, "holds", BLUE, "o"),
        (~holds, "does not hold", VERMILION, "X"),
    ):
        if which.any():
            style = {"color": colour, "marker": marker, "label": label}
            axes.scatter(estimated[which], true[which], s=26, lw=0, alpha=0.75, **style)
    axes.set(xlabel=f"estimated influence on {what} (stars)", ylabel=f"true influence on {what} (stars)")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return axes


def held_and_failed(frame, columns, outcome="counterfactual"):
    """What distinguishes explanations that hold from those that do not: one panel a property.

    Parameters
    ----------
    frame : DataFrame
        One row an explanation.
    columns : dict of str to str
        Columns of ``frame`` and their labels.
    outcome : str
        Column that says whether an explanation holds.

    Returns
    -------
    Figure
    """
    figure, panels = new_axes(1, len(columns), figsize=(3.1 * len(columns), 3.8), squeeze=False)
    for axes, (column, label) in zip(panels[0], columns.items(), strict=True):
        for place, (holds, colour) in enumerate(((True, BLUE), (False, VERMILION))):
            values = frame.loc[frame[outcome] == holds, column].to_numpy(float)
            # Spread sideways by rank within the group, so that no chance is needed and nothing hides.
            spread = [0.5 * ((7 * rank) % 11 / 10 - 0.5) for rank in range(len(values))]
            axes.scatter([place + s for s in spread], values, s=16, color=colour, alpha=0.5, lw=0)
            if len(values):
                axes.hlines(median(values), place - 0.36, place + 0.36, color=BLACK, lw=2.5, zorder=3)
        axes.set_xticks([0, 1], ["holds", "does not"])
        axes.set(ylabel=label, xlim=(-0.6, 1.6))
        axes.grid(axis="x", visible=False)
    return figure


def definitions(figures, names):
    """CF percentage of each method under several definitions of counterfactual.

    Parameters
    ----------
    figures : DataFrame, shape (n_methods, n_definitions)
        Percentages of users; the index holds the methods.
    names : sequence of str, length n_definitions
        What the definitions are called below the axis.

    Returns
    -------
    Figure
    """
    figure, axes = new_axes(figsize=(8.0, 3.6))
    width = 0.8 / max(len(figures), 1)
    for number, (method, row) in enumerate(figures.iterrows()):
        at = [place + (number - (len(figures) - 1) / 2) * width for place in range(len(names))]
        axes.bar(at, row, width=width, color=METHOD_COLOURS[method], label=METHOD_NAMES[method])
    axes.set_xticks(range(len(names)), names)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("explanations that hold (% of users)")
    figure.legend(loc="outside lower center", ncols=len(figures))
    return figure


def one_parameter(x, y, removed: int, decay: float):
    """Objective of a one-parameter model with and without a point, and what influence minimises instead.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        The model predicts ``y`` by ``x`` times the parameter; squared error.
    removed : int
        The point.
    decay : float
        Weight decay.

    Returns
    -------
    Axes
    """
    others = [z for z in range(len(x)) if z != removed]
    curvature, own = 2 * x @ x / len(x) + decay, 2 * x[removed] ** 2 / len(x)
    start = 2 * x @ y / len(x) / curvature
    truth = 2 * x[others] @ y[others] / len(x) / (curvature - own)

    def value(theta, points):
        errors = y[points, None] - x[points, None] * theta
        return (errors**2).sum(0) / len(x) + decay / 2 * theta**2

    slope = (truth - start) * -(curvature - own)
    reached = start - slope / curvature
    grid = np.linspace(min(start, truth) - 0.45, max(start, truth) + 0.35, 200)
    at_start = value(np.array([start]), others)[0]
    tangent = at_start + slope * (grid - start) + curvature / 2 * (grid - start) ** 2
    _, axes = new_axes(figsize=(6.0, 3.8))
    axes.plot(grid, value(grid, [*others, removed]), color=BLUE, label="all ratings")
    axes.plot(grid, value(grid, others), color=VERMILION, label="without the rating")
    axes.plot(grid, tangent, color=ORANGE, ls="--", label="what Eq. 4 minimises")
    axes.plot(start, value(np.array([start]), [*others, removed])[0], "o", color=BLUE)
    axes.plot(start, at_start, "o", color=VERMILION)
    axes.plot(truth, value(np.array([truth]), others)[0], "s", color=VERMILION)
    axes.plot(reached, at_start - slope**2 / curvature / 2, "^", color=ORANGE, ms=8)
    axes.set(xlabel="parameter of the user", ylabel="objective (squared stars)")
    axes.legend()
    return axes


def ranked_bars(values, labels, xlabel: str):
    """Horizontal bars in the order given, the first at the top, coloured by sign.

    Parameters
    ----------
    values : array-like of float, shape (n,)
    labels : sequence of str, length n
    xlabel : str
        What the values are, with the unit.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(7.0, 0.26 * len(values) + 0.8))
    colours = [BLUE if value > 0 else ORANGE for value in values]
    axes.barh(range(len(values)), values, color=colours, height=0.7)
    axes.set_yticks(range(len(values)), [text if len(text) < 46 else text[:44] + "…" for text in labels])
    axes.invert_yaxis()
    axes.axvline(0, color=BLACK, lw=0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(xlabel)
    return axes


def two_scalings(spectra):
    """How far two scalings of influence agree for each user, and how their Hessians are conditioned.

    Parameters
    ----------
    spectra : DataFrame
        One row a user; ``agreement`` is a correlation, ``"condition, <scaling>"`` a condition number.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    figure, panels = new_axes(1, 2, figsize=(7.5, 3.2))
    ranks = range(1, len(spectra) + 1)
    panels[0].plot(ranks, sorted(spectra["agreement"]), color=BLACK, linewidth=2)
    panels[0].set(xlabel="users (rank)", ylabel="correlation of the two influences")
    for scaling, colour in (("objective", BLUE), ("paper", VERMILION)):
        ordered = sorted(spectra[f"condition, {scaling}"])
        panels[1].semilogy(ranks, ordered, color=colour, label=scaling, linewidth=2)
    panels[1].set(xlabel="users (rank)", ylabel="condition number")
    panels[1].legend()
    return panels


def four_truths(pairs):
    """Estimated against true influence of single actions, one panel a truth.

    Parameters
    ----------
    pairs : dict of str to (ndarray, ndarray)
        Title of the panel: estimated and true influence, in stars.

    Returns
    -------
    ndarray of Axes, shape (2, n_panels / 2)
    """
    figure, panels = new_axes(2, (len(pairs) + 1) // 2, figsize=(6.4, 6.2))
    for axes, (title, (estimated, true)) in zip(panels.flat, pairs.items(), strict=True):
        end = 1.05 * max(np.abs(estimated).max(), np.abs(true).max())
        axes.plot([-end, end], [-end, end], color=BLACK, lw=1, ls="--")
        axes.scatter(true, estimated, s=14, color=BLUE, alpha=0.5, lw=0)
        axes.set(title=title, xlim=(-end, end), ylim=(-end, end), aspect="equal")
        axes.locator_params(nbins=5)
    figure.supxlabel("true influence on the gap (stars)", fontsize=10)
    figure.supylabel("estimated influence on the gap (stars)", fontsize=10)
    return panels


def additivity(errors):
    """Error of a sum over a set against the size of the set, one panel a kind of set.

    Parameters
    ----------
    errors : DataFrame
        Indexed by kind of set and size; one column a comparison, relative errors.

    Returns
    -------
    ndarray of Axes, shape (n_kinds,)
    """
    kinds = sorted(errors.index.unique(0), reverse=True)
    figure, panels = new_axes(1, len(kinds), figsize=(7.5, 3.4), sharey=True)
    for axes, kind in zip(panels, kinds, strict=True):
        part = errors.loc[kind]
        for marker, column in zip("os^", part.columns, strict=True):
            axes.plot(part.index, 100 * part[column], marker=marker, label=column)
        axes.set_xscale("log", base=2)
        axes.set_xticks(part.index, part.index)
        axes.set(title=f"{kind} actions", xlabel="actions in the set")
    panels[0].set_ylabel("error (% of the whole effect)")
    panels[0].set_ylim(bottom=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return panels
