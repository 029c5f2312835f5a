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
