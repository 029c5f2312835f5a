"""Figures of the results (chapter 6)."""

import matplotlib as mpl
import seaborn as sns

from accent_lib.plotting.style import BLACK, BLUE, GREY, METHOD_COLOURS, METHOD_NAMES, VERMILION, new_axes


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
    figure, panels = new_axes(1, 2, figsize=(7.6, 3.6))
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
    rows = (len(columns) + 1) // 2
    figure, panels = new_axes(rows, 2, figsize=(7.2, 2.7 * rows), squeeze=False)
    held = frame[outcome].map({True: "holds", False: "does not"})
    colours = {"holds": BLUE, "does not": VERMILION}
    for spare in panels.flat[len(columns) :]:
        spare.set_visible(False)
    for axes, (column, label) in zip(panels.flat, columns.items(), strict=False):
        # A swarm places points by rule, not by chance; where it overflows, points at its edge overlap.
        sns.swarmplot(
            x=held, y=frame[column], hue=held, order=list(colours), palette=colours, size=3.5, alpha=0.7,
            legend=False, warn_thresh=1, ax=axes,
        )  # fmt: skip
        for place, group in enumerate(colours):
            values = frame.loc[held == group, column]
            if len(values):
                axes.hlines(values.median(), place - 0.36, place + 0.36, color=BLACK, lw=2.5, zorder=3)
        axes.set(xlabel="", ylabel=label, xlim=(-0.6, 1.6))
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
