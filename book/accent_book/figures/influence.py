"""Figures of influence (chapter 3)."""

import numpy as np
from matplotlib.axes import Axes

from accent_book.figures.legend import BLACK, BLUE, ORANGE, VERMILION, words
from accent_book.figures.style import in_two_lines, new_axes


def one_parameter(x, y, removed: int, decay: float) -> Axes:
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
    axes.set(xlabel="parameter of the user", ylabel=f"objective (squared {words().unit})")
    axes.legend()
    return axes


def ranked_bars(values, labels, xlabel: str) -> Axes:
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
    _, axes = new_axes(figsize=(7.0, 0.29 * len(values) + 0.8))
    colours = [BLUE if value > 0 else ORANGE for value in values]
    axes.barh(range(len(values)), values, color=colours, height=0.7)
    axes.set_yticks(range(len(values)), [in_two_lines(text, 42) for text in labels], fontsize=8.5)
    axes.locator_params(axis="x", nbins=6)
    axes.invert_yaxis()
    axes.axvline(0, color=BLACK, lw=0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(xlabel)
    return axes


def two_scalings(spectra) -> np.ndarray:
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


def four_truths(pairs, rows: int = 2) -> np.ndarray:
    """Estimated against true influence of single actions, one panel a truth.

    Parameters
    ----------
    pairs : dict of str to (ndarray, ndarray)
        Title of the panel: estimated and true influence, in stars.
    rows : int
        Of panels.

    Returns
    -------
    ndarray of Axes, shape (rows, n_panels / rows)
    """
    columns = -(-len(pairs) // rows)
    figure, panels = new_axes(rows, columns, figsize=(3.2 * columns, 3.1 * rows), squeeze=False)
    for axes, (title, (estimated, true)) in zip(panels.flat, pairs.items(), strict=True):
        end = 1.05 * max(np.abs(estimated).max(), np.abs(true).max())
        axes.plot([-end, end], [-end, end], color=BLACK, lw=1, ls="--")
        axes.scatter(true, estimated, s=14, color=BLUE, alpha=0.5, lw=0)
        axes.set(title=title, xlim=(-end, end), ylim=(-end, end), aspect="equal")
        axes.locator_params(nbins=5)
    figure.supxlabel(f"true influence on the gap ({words().unit})", fontsize=10)
    figure.supylabel(f"estimated influence on the gap ({words().unit})", fontsize=10)
    return panels


def additivity(errors) -> np.ndarray:
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
