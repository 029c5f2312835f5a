"""Figures of retraining at scale (chapter 7)."""

import numpy as np
from matplotlib.axes import Axes

from accent_book.figures.legend import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION
from accent_book.figures.style import new_axes

_PANELS = (
    ("same_percentage", "same verdict (% of users)"),
    ("correlation", "correlation of true influences"),
)


def _look(group):
    """Colour and marker of a group: one for each start, in all figures."""
    if "scratch" in group:
        return (PURPLE, "v") if "other" in group else (ORANGE, "^")
    if "paper" in group:
        return GREEN, "D"
    return (VERMILION, "s") if "another" in group else (BLUE, "o")


def agreement_and_cost(agreement, reference: str, groups, ceiling: str | None = None) -> np.ndarray:
    """Agreement of cheaper recipes with the longest one, against what they cost.

    Parameters
    ----------
    agreement : DataFrame
        As from :func:`accent_book.figures.agreement.agreement`.
    reference : str
        Its setting, marked by a line at its cost.
    groups : dict of str to list of str
        Settings that are drawn alike, by the group's name.
    ceiling : str, optional
        The setting that differs from the reference in the order of the batches only: what luck alone does.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    figure, panels = new_axes(1, 2, figsize=(8.4, 3.8))
    rows = agreement.set_index("setting")
    for axes, (column, label) in zip(panels, _PANELS, strict=True):
        for name, settings in groups.items():
            colour, marker = _look(name)
            part = rows.loc[settings]
            if part["seconds"].max() < 1.2 * part["seconds"].min():  # of one price: side by side, a little
                places = np.arange(len(part)) - (len(part) - 1) / 2
                part = part.assign(seconds=part["seconds"] * 1.04**places)
            if column == "same_percentage":
                spread = [part[column] - part["same_low"], part["same_high"] - part[column]]
                axes.errorbar(part["seconds"], part[column], spread, fmt="none", color=colour, lw=0.8)
            axes.plot(part["seconds"], part[column], marker, color=colour, label=name, ms=5)
        if ceiling is not None:
            axes.axhline(rows.loc[ceiling, column], color=GREY, lw=1, ls=":", label="other batches")
        axes.axvline(rows.loc[reference, "seconds"], color=BLACK, lw=1, ls="--", label="reference")
        axes.set(xscale="log", xlabel="seconds of a core for each user", ylabel=label)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    return panels


def agreement_of_groups(agreements) -> np.ndarray:
    """Agreement of worlds with several users with worlds of one, against the number of users.

    Parameters
    ----------
    agreements : dict of str to DataFrame
        For each model, by its name, as from :func:`accent_book.figures.agreement.agreement`, with the column
        ``users_per_world`` beside.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    figure, panels = new_axes(1, 2, figsize=(8.4, 3.4))
    for axes, (column, label) in zip(panels, _PANELS, strict=True):
        for (name, rows), colour, marker in zip(agreements.items(), (BLUE, VERMILION), "os", strict=False):
            x = rows["users_per_world"]
            axes.plot(x, rows[column], marker=marker, color=colour, label=name, ms=5)
            if column == "same_percentage":
                axes.fill_between(x, rows["same_low"], rows["same_high"], color=colour, alpha=0.15, lw=0)
        axes.set(xscale="log", xlabel="users in a world", ylabel=label)
        axes.set_xticks(x, x)
        axes.minorticks_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return panels


def seconds_by_stack(rows) -> Axes:
    """Milliseconds a step and model takes, by the size of the stack and the way of computing.

    Parameters
    ----------
    rows : DataFrame
        With ``way``, ``copies`` and ``milliseconds``, of one model and one step.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(6.4, 3.4))
    for (way, part), colour, marker in zip(
        rows.groupby("way", sort=False), (GREY, ORANGE, BLUE, GREEN), "Dsov", strict=False
    ):
        axes.plot(part["copies"], part["milliseconds"], marker=marker, color=colour, label=way, ms=5)
    copies = sorted(rows["copies"].unique())
    axes.set(xscale="log", xlabel="copies in a stack", ylabel="milliseconds a step and copy")
    axes.set_ylim(0)
    axes.set_xticks(copies, copies)
    axes.minorticks_off()
    axes.legend(fontsize=9)
    return axes
