"""Figures of RCF: its training, its attention, its influence and its retraining."""

import numpy as np

from accent_lib.plotting.style import BLUE, GREY, SKY, VERMILION, new_axes


def milestones(table):
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


def attention_by_type(of_users, shares, names):
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
    left.set(xlabel="type of relation", ylabel="weight of the type", ylim=(0, None))
    right.bar(names, 100 * np.asarray(shares), color=SKY)
    right.set(xlabel="type of relation", ylabel="share of all attention (%)")
    for place, share in enumerate(shares):
        right.annotate(f"{share:.1%}", (place, 100 * share), ha="center", va="bottom")
    return np.array([left, right])


def warm_and_scratch(sets):
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


def related_pairs(shares, entries, names):
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
