"""Figures of the results (chapter 6): small multiples, where there are several models."""

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from accent_book.figures.legend import BLACK, BLUE, GREY, METHOD_COLOURS, METHOD_NAMES, UNITS, VERMILION
from accent_book.figures.style import new_axes


def figures_by_method(figures, paper=None) -> Figure:
    """CF percentage and set size of every method over k, with intervals: one row of panels a model.

    Parameters
    ----------
    figures : DataFrame
        From `evaluation.summary`.
    paper : DataFrame, optional
        The paper's rows of the same models, drawn hollow.

    Returns
    -------
    Figure
    """
    models = list(dict.fromkeys(figures["model"]))
    size = (7.6, 2.9 * len(models) + 0.7)
    figure, rows = new_axes(len(models), 2, figsize=size, sharey="col", squeeze=False)
    ks, handles = sorted(figures["k"].unique()), {}
    measures = (
        ("cf_percentage", "cf", "CF percentage (% of users)"),
        ("set_size", "set_size", "CF set size (actions)"),
    )
    for model, panels in zip(models, rows, strict=True):
        ours = figures[figures["model"] == model]
        theirs = paper[paper["model"] == model] if paper is not None else None
        for axes, measure in zip(panels, measures, strict=True):
            handles = _methods_over_k(axes, ours, theirs, ks, *measure) | handles
        if len(models) > 1:
            panels[0].set_title(model.upper(), loc="left")
    for axes in rows[0]:  # once all is drawn: rows share their axis
        axes.set_ylim(bottom=0)
    handles = {METHOD_NAMES[method]: handles[method] for method in METHOD_COLOURS if method in handles}
    if paper is not None and len(paper):
        hollow = mpl.lines.Line2D([], [], color=BLACK, marker="s", mfc="none", ls="")
        handles["paper (hollow)"] = hollow
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=min(len(handles), 4))
    return figure


def _methods_over_k(axes, figures, paper, ks, measure, interval, label):
    """One panel of `figures_by_method`; returns a handle for each method."""
    methods, handles = list(dict.fromkeys(figures["method"])), {}
    for number, method in enumerate(methods):
        shift = 0.14 * (number - (len(methods) - 1) / 2)
        rows = figures[figures["method"] == method].set_index("k").reindex(ks)
        at = [place + shift for place in range(len(ks))]
        value = rows[measure]
        reach = [value - rows[f"{interval}_low"], rows[f"{interval}_high"] - value]
        reach = [part.clip(lower=0) for part in reach]
        colour = METHOD_COLOURS[method]
        handles[method] = axes.errorbar(at, value, reach, fmt="o", color=colour, capsize=3)
        theirs = paper[paper["method"] == method].set_index("k") if paper is not None else None
        if theirs is not None and len(theirs):
            values = theirs[measure].reindex(ks)
            axes.scatter(at, values, s=44, facecolors="none", edgecolors=colour, marker="s", zorder=3)
    axes.set_xticks(range(len(ks)), [f"k = {k}" for k in ks])
    axes.set(ylabel=label)
    axes.grid(axis="x", visible=False)
    return handles


def estimated_against_true(sets, noise) -> Figure:
    """Estimated against true influence of whole sets on the gap: one panel a model.

    Parameters
    ----------
    sets : DataFrame
        Rows of `evaluation.judge`, each set once: ``model``, ``estimated_gap_influence``,
        ``true_gap_influence``, and ``counterfactual`` for the marker.
    noise : dict of str to float
        By model, the standard deviation of the change with nothing removed, drawn as a band.

    Returns
    -------
    Figure
    """
    models = list(dict.fromkeys(sets["model"]))
    width = 5.6 if len(models) == 1 else 4.1 * len(models)
    figure, panels = new_axes(1, len(models), figsize=(width, 4.9), squeeze=False)
    shown = {}
    for model, axes in zip(models, panels.flat, strict=True):
        mine = sets[sets["model"] == model]
        estimated, true = mine["estimated_gap_influence"], mine["true_gap_influence"]
        ends = [min(*estimated, *true, 0), max(*estimated, *true, 0)]
        ends = [ends[0] - 0.04 * (ends[1] - ends[0]), ends[1] + 0.04 * (ends[1] - ends[0])]
        axes.plot(ends, ends, color=BLACK, lw=1, ls="--", label="estimated = true")
        band = "change with nothing removed (± 1 sd)"
        axes.axhspan(-noise[model], noise[model], color=GREY, alpha=0.2, lw=0, label=band)
        holds = mine["counterfactual"].to_numpy(bool)
        for which, label, colour, marker in (
            (holds, "holds", BLUE, "o"),
            (~holds, "does not hold", VERMILION, "X"),
        ):
            if which.any():
                style = {"color": colour, "marker": marker, "label": label}
                axes.scatter(estimated[which], true[which], s=26, lw=0, alpha=0.75, **style)
        unit = UNITS[model]
        axes.set(xlabel=f"estimated influence on the gap ({unit})")
        axes.set(ylabel=f"true influence on the gap ({unit})", xlim=ends, ylim=ends, aspect="equal")
        axes.locator_params(nbins=6)
        if len(models) > 1:
            axes.set_title(model.upper(), loc="left")
        handles, labels = axes.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    figure.legend(shown.values(), shown, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def held_and_failed(frame, columns, outcome="counterfactual") -> Figure:
    """What distinguishes explanations that hold from those that do not: one panel a property.

    Parameters
    ----------
    frame : DataFrame
        One row an explanation; ``model`` among the columns. Of one model, panels stand two in a row; of
        several, each model has a row of panels.
    columns : dict of str to str
        Columns of ``frame`` and their labels, in which ``{unit}`` becomes the unit of the model.
    outcome : str
        Column that says whether an explanation holds.

    Returns
    -------
    Figure
    """
    models = list(dict.fromkeys(frame["model"]))
    across = len(columns) if len(models) > 1 else 2
    places = [(column, model) for model in models for column in columns]
    rows = -(-len(places) // across)
    size = (8.4, 2.7 * rows)  # two models fit on a screen
    figure, panels = new_axes(rows, across, figsize=size, squeeze=False)
    for spare in panels.flat[len(places) :]:
        spare.set_visible(False)
    for number, (axes, (column, model)) in enumerate(zip(panels.flat, places, strict=False)):
        mine = frame[frame["model"] == model]
        _two_swarms(axes, mine[column], mine[outcome])
        axes.set(xlabel="", ylabel=columns[column].format(unit=UNITS[model]), xlim=(-0.6, 1.6))
        axes.locator_params(axis="y", nbins=6, integer=pd.api.types.is_integer_dtype(mine[column]))
        if len(models) > 1 and number % across == 0:
            axes.set_title(model.upper(), loc="left")
    figure.align_ylabels()
    return figure


def _two_swarms(axes, values, outcome):
    held = outcome.map({True: "holds", False: "does not"})
    colours = {"holds": BLUE, "does not": VERMILION}
    # A swarm places points by rule, not by chance; where it overflows, points at its edge overlap.
    sns.swarmplot(
        x=held, y=values, hue=held, order=list(colours), palette=colours, size=3, alpha=0.85,
        legend=False, warn_thresh=1, zorder=3, ax=axes,
    )  # fmt: skip
    for place, group in enumerate(colours):
        if (held == group).any():
            median = values[held == group].median()
            axes.hlines(median, place - 0.36, place + 0.36, color=BLACK, lw=1.8, zorder=2)


def definitions(figures, names) -> Figure:
    """CF percentage of each method under several definitions of counterfactual: one panel a model.

    Parameters
    ----------
    figures : DataFrame, shape (n_models * n_methods, n_definitions)
        Percentages of users; the index holds model and method.
    names : sequence of str, length n_definitions
        What the definitions are called below the axis.

    Returns
    -------
    Figure
    """
    models = list(dict.fromkeys(figures.index.get_level_values("model")))
    size = (8.0, 2.5 * len(models) + 1.1)
    figure, panels = new_axes(len(models), 1, figsize=size, sharex=True, sharey=True, squeeze=False)
    handles = {}
    for model, axes in zip(models, panels.flat, strict=True):
        mine = figures.xs(model, level="model")
        width = 0.8 / max(len(mine), 1)
        for number, (method, row) in enumerate(mine.iterrows()):
            at = [place + (number - (len(mine) - 1) / 2) * width for place in range(len(names))]
            handles[method] = axes.bar(at, row, width=width, color=METHOD_COLOURS[method])
        axes.set_xticks(range(len(names)), names)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("hold (% of users)")
        if len(models) > 1:
            axes.set_title(model.upper(), loc="left")
    handles = {METHOD_NAMES[method]: handles[method] for method in METHOD_COLOURS if method in handles}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles))
    return figure


def held_by_method(rows) -> Figure:
    """For how many users each method's sets hold, by two criteria: one panel a model.

    Parameters
    ----------
    rows : DataFrame
        ``model``, ``label`` and, for each of ``holds`` and ``leads``, a percentage and its ends, ``..._low``
        and ``..._high``; NaN is not drawn. The order of the rows is that of the figure, from the top.

    Returns
    -------
    Figure
    """
    models, labels = (list(dict.fromkeys(rows[name])) for name in ("model", "label"))
    size = (8.0, 0.32 * len(labels) + 1.6)
    figure, panels = new_axes(1, len(models), figsize=size, sharey=True, squeeze=False)
    criteria = {
        "holds": ("the replacement overtakes the recommendation (paper)", BLUE, BLUE, -0.12),
        "leads": ("it leads the whole catalogue, as the sentence says", "white", VERMILION, 0.12),
    }
    for model, axes in zip(models, panels.flat, strict=True):
        mine = rows[rows["model"] == model]
        at = mine["label"].map(labels.index)
        for name, (label, face, edge, shift) in criteria.items():
            reach = [mine[name] - mine[f"{name}_low"], mine[f"{name}_high"] - mine[name]]
            style = {"fmt": "o", "mfc": face, "mec": edge, "ecolor": edge, "ms": 6, "capsize": 2}
            axes.errorbar(mine[name], at + shift, xerr=reach, label=label, **style)
        axes.set_title(model.upper(), loc="left")
        axes.set(xlabel="users (%)", xlim=(0, 100))
        axes.grid(axis="y", visible=False)
    panels[0, 0].set_yticks(range(len(labels)), labels)
    panels[0, 0].invert_yaxis()
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1, fontsize=9)
    return figure


def by_setting(figures) -> Figure:
    """CF percentage and set size by setting, such as an order of the batches: one row of panels a model.

    Parameters
    ----------
    figures : DataFrame
        From `evaluation.summary`, one k, with the column ``setting`` beside.

    Returns
    -------
    Figure
    """
    models = list(dict.fromkeys(figures["model"]))
    settings = {
        name: list(dict.fromkeys(figures.loc[figures["model"] == name, "setting"])) for name in models
    }
    heights = [len(settings[name]) + 1.2 for name in models]
    figure, rows = new_axes(
        len(models), 2, figsize=(8.0, 0.42 * sum(heights) + 0.8), squeeze=False, sharex="col",
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    measures = (
        ("cf_percentage", "cf", "CF percentage (% of users)"),
        ("set_size", "set_size", "CF set size (actions)"),
    )
    handles = {}
    for name, panels in zip(models, rows, strict=True):
        mine = figures[figures["model"] == name]
        methods = [method for method in METHOD_COLOURS if method in set(mine["method"])]
        for axes, (measure, stem, label) in zip(panels, measures, strict=True):
            for number, method in enumerate(methods):
                row = mine[mine["method"] == method].set_index("setting").reindex(settings[name])
                at = [place + 0.2 * (number - (len(methods) - 1) / 2) for place in range(len(row))]
                reach = [row[measure] - row[f"{stem}_low"], row[f"{stem}_high"] - row[measure]]
                style = {"fmt": "o", "color": METHOD_COLOURS[method], "capsize": 2, "ms": 4, "lw": 1}
                handles[METHOD_NAMES[method]] = axes.errorbar(row[measure], at, xerr=reach, **style)
            axes.set_yticks(range(len(settings[name])), settings[name] if axes is panels[0] else [])
            axes.set_ylim(len(settings[name]) - 0.5, -0.5)
            axes.grid(axis="y", visible=False)
            if name == models[-1]:
                axes.set_xlabel(label)
        if len(models) > 1:
            panels[0].set_title(name.upper(), loc="left")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles))
    return figure
