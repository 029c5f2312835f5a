"""Figures of RCF: its training, its attention, its influence and its retraining."""

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from accent_book.figures.legend import BLACK, BLUE, GREY, ORANGE, SKY, VERMILION, words
from accent_book.figures.style import in_two_lines, new_axes


def milestones(table) -> np.ndarray:
    """Objective and pairs in order after some numbers of epochs (notebook 02).

    Parameters
    ----------
    table : DataFrame
        With ``epochs``, ``objective``, and the shares ``training`` and ``held_out``.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    _, (left, right) = new_axes(1, 2, figsize=(7.4, 3.2))
    left.semilogy(table["epochs"], table["objective"], marker="o", color=BLUE)
    left.set(xlabel="epochs", ylabel="training objective")
    right.plot(table["epochs"], 100 * table["training"], marker="s", color=GREY, label="training triples")
    right.plot(table["epochs"], 100 * table["held_out"], marker="o", color=VERMILION, label="held-out pairs")
    right.set(xlabel="epochs", ylabel="pairs in order (%)", ylim=(None, 102))
    right.legend()
    return np.array([left, right])


def attention_by_type(of_users, shares, names) -> np.ndarray:
    """Where attention goes, by type of relation (notebook 02).

    Parameters
    ----------
    of_users : ndarray, shape (n_users, 4)
        First level of attention.
    shares : ndarray, shape (4,)
        Of all attention.
    names : sequence of str, length 4

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    _, (left, right) = new_axes(1, 2, figsize=(7.4, 3.2))
    style = {"medianprops": {"color": VERMILION, "linewidth": 2}, "flierprops": {"markersize": 2}}
    left.boxplot(of_users, tick_labels=names, **style)
    left.axhline(1 / len(names), color=BLACK, lw=1, ls="--", label="all types alike")
    left.set(xlabel="type of relation", ylabel="weight of the type")
    left.grid(axis="x", visible=False)
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    right.bar(names, 100 * np.asarray(shares), color=SKY)
    right.set(xlabel="type of relation", ylabel="share of all attention (%)", ylim=(0, 112 * max(shares)))
    right.grid(axis="x", visible=False)
    for place, share in enumerate(shares):
        right.annotate(f"{share:.1%}", (place, 100 * share), ha="center", va="bottom")
    return np.array([left, right])


def warm_and_scratch(sets) -> Axes:
    """What removing a set did to its gap, by a warm start against from scratch (notebook 05).

    Parameters
    ----------
    sets : DataFrame
        One row a set: ``true_gap_influence``, ``warm_influence``, and the verdicts ``counterfactual`` and
        ``warm``.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(5.6, 4.4))
    same = sets["counterfactual"] == sets["warm"]
    x, y = sets["true_gap_influence"], sets["warm_influence"]
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1, label="both the same")
    axes.scatter(x[same], y[same], s=24, color=BLUE, alpha=0.7, linewidths=0, label="same verdict")
    axes.scatter(x[~same], y[~same], s=36, color=VERMILION, marker="X", label="another verdict")
    axes.set(xlabel="influence on the gap, from scratch (logits)", ylabel="by a warm start (logits)")
    axes.legend()
    return axes


def related_pairs(shares, entries, names) -> np.ndarray:
    """How films of a history are related to a target (notebook 01).

    Parameters
    ----------
    shares : ndarray, shape (4,)
        Of the pairs (target, film of the history) that are related by each type.
    entries : ndarray, shape (n_targets, 4)
        Entries of each type that a target has with the whole history.
    names : sequence of str, length 4

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    _, (left, right) = new_axes(1, 2, figsize=(7.4, 3.2))
    left.bar(names, 100 * np.asarray(shares), color=SKY)
    left.set(xlabel="type of relation", ylabel="share of the pairs (%)", ylim=(0, 112 * max(shares)))
    for place, share in enumerate(shares):
        left.annotate(f"{share:.1%}", (place, 100 * share), ha="center", va="bottom")
    left.grid(axis="x", visible=False)
    style = {"medianprops": {"color": VERMILION, "linewidth": 2}, "flierprops": {"markersize": 2}}
    right.boxplot(entries, tick_labels=names, **style)
    right.set_yscale("symlog", linthresh=1)
    ticks = [n for n in (0, 1, 3, 10, 30, 100, 300, 1000) if n <= np.max(entries)]
    right.set_yticks(ticks, [str(n) for n in ticks])
    right.set(xlabel="type of relation", ylabel="entries of one target", ylim=(-0.1, None))
    right.grid(axis="x", visible=False)
    return np.array([left, right])


def attention_map(toward, of_types, films, slate, names, marked) -> np.ndarray:
    """Attention of one user's history toward the films of her slate (notebook 04).

    Parameters
    ----------
    toward : ndarray, shape (n_films, n_slate)
        Both levels together.
    of_types : ndarray, shape (n_films, n_types)
        The part of each type in the first column of ``toward``.
    films, slate, names : sequence of str
        Labels of the films of the history, of those of the slate, and of the types.
    marked : sequence of bool, length n_films
        Which films of the history to mark.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    short = [[in_two_lines(title, width) for title in titles] for titles, width in ((films, 34), (slate, 30))]
    size, shares = (8.4, 1.9 + 0.31 * len(films)), {"width_ratios": [len(slate), len(names)]}
    figure, panels = new_axes(1, 2, figsize=size, sharey=True, gridspec_kw=shares)
    panels[0].set_title(f"toward each {words().item} of the slate", fontsize=9)
    panels[1].set_title("toward the first, by type", fontsize=9)
    for axes, values, labels in zip(panels, (toward, of_types), (short[1], names), strict=True):
        image = axes.imshow(values, cmap="Blues", vmin=0, vmax=np.max(toward), aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value > 0.6 * np.max(toward) else BLACK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=colour)
        slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(labels)), labels, fontsize=8, **slanted)
        axes.grid(visible=False)
    rows = [f"◆ {film}" if mark else film for film, mark in zip(short[0], marked, strict=True)]
    panels[0].set_yticks(range(len(rows)), rows, fontsize=8)
    for label, mark in zip(panels[0].get_yticklabels(), marked, strict=True):
        label.set(color=BLUE if mark else BLACK, weight="bold" if mark else "normal")
    figure.colorbar(image, ax=panels, label="attention weight", shrink=0.8)
    return panels


def attention_and_influence(weights, on_gap, taken, correlations) -> np.ndarray:
    """Attention against influence on the gap for one user, and correlations over all users (notebook 04).

    Parameters
    ----------
    weights, on_gap : ndarray, shape (n_history,)
    taken : sequence of int
        Positions of ACCENT's set.
    correlations : dict of str to ndarray, shape (n_users,)
        Of the attention weights with something, by its name.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    _, (left, right) = new_axes(1, 2, figsize=(8.4, 3.6))
    others = np.setdiff1d(np.arange(len(weights)), list(taken))
    left.axhline(0, color=BLACK, lw=0.8)
    left.scatter(
        weights[others], on_gap[others], s=22, color=GREY, alpha=0.7, lw=0, label=f"other {words().items}"
    )
    style = {"s": 70, "marker": "D", "color": BLUE, "label": "ACCENT’s set"}
    left.scatter(weights[list(taken)], on_gap[list(taken)], **style)
    left.set(xlabel="attention toward the recommendation", ylabel="influence on the gap (logits)")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)
    finite = [values[np.isfinite(values)] for values in correlations.values()]
    style = {"medianprops": {"color": VERMILION, "linewidth": 2}, "flierprops": {"markersize": 2}}
    right.boxplot(finite, tick_labels=list(correlations), widths=0.5, **style)
    right.axhline(0, color=BLACK, lw=0.8)
    right.set(ylabel="correlation with attention", ylim=(-1.05, 1.05))
    right.grid(axis="x", visible=False)
    return np.array([left, right])


def two_parts(by_input, by_parameters, labels) -> Axes:
    """Influence of single actions on a gap, through the history alone and with the parameters (notebook 03c).

    Parameters
    ----------
    by_input, by_parameters : ndarray, shape (n,)
        The first at the top.
    labels : sequence of str, length n

    Returns
    -------
    Axes
    """
    figure, axes = new_axes(figsize=(7.4, 0.28 * len(labels) + 1.2))
    rows = range(len(labels))
    axes.barh(rows, by_input, color=SKY, height=0.7, label="through the history")
    both = np.asarray(by_input) + by_parameters
    axes.plot(both, rows, "D", color=VERMILION, ms=5, lw=0, label="with the parameters, too")
    axes.axvline(0, color=BLACK, lw=0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("influence on the gap (logits)")
    axes.set_yticks(rows, [in_two_lines(text, 42) for text in labels], fontsize=8)
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=7)
    figure.legend(loc="outside upper center", ncols=2)
    return axes


def spread_of_parts(spreads) -> Axes:
    """How much single actions differ in each part of their influence, one point a user (notebook 03).

    Parameters
    ----------
    spreads : DataFrame
        One row a user, one column a part: standard deviation over actions and other items of the slate.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(6.4, 3.6))
    sns.stripplot(spreads, ax=axes, log_scale=True, palette=[BLUE, VERMILION, ORANGE], size=4, alpha=0.6)
    for place, column in enumerate(spreads):
        axes.plot([place - 0.3, place + 0.3], [spreads[column].median()] * 2, color=BLACK, lw=2, zorder=5)
    axes.set(xlabel="part of the influence", ylabel="standard deviation on gaps (logits)")
    return axes


def from_scratch(true, estimates) -> np.ndarray:
    """Estimates against what training from scratch shows, one panel an estimate (notebook 03).

    Parameters
    ----------
    true : ndarray, shape (n,)
        Influence on gaps, in logits.
    estimates : dict of str to ndarray, shape (n,)
        An even number of them. What lies far outside the range of the truth is drawn as a triangle at the
        border.

    Returns
    -------
    ndarray of Axes, shape (2, n_panels / 2)
    """
    figure, panels = new_axes(2, len(estimates) // 2, figsize=(6.4, 6.2))
    end = 1.25 * np.abs(true).max()
    for axes, (title, estimated) in zip(panels.flat, estimates.items(), strict=True):
        out = np.abs(estimated) > end
        axes.plot([-end, end], [-end, end], color=BLACK, lw=1, ls="--")
        axes.scatter(true[~out], estimated[~out], s=14, color=BLUE, alpha=0.5, lw=0)
        for marker, side in (("^", estimated > end), ("v", estimated < -end)):
            edge = np.sign(estimated[side]) * 0.97 * end
            axes.scatter(true[side], edge, s=26, marker=marker, color=VERMILION, lw=0)
        axes.set(title=title, xlim=(-end, end), ylim=(-end, end), aspect="equal")
        axes.locator_params(nbins=5)
    figure.supxlabel("true influence on the gap (logits)", fontsize=10)
    figure.supylabel("estimated influence on the gap (logits)", fontsize=10)
    return panels
