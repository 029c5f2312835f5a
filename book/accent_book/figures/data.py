"""Figures of the ratings, and what films share (chapter 1)."""

import numpy as np
from matplotlib.axes import Axes

from accent_book.figures.legend import BLUE, VERMILION, words
from accent_book.figures.style import new_axes


def star_counts(counts, positive_at) -> Axes:
    """How often each rating was given, coloured by sign (notebook 01).

    Parameters
    ----------
    counts : Series
        How often each rating was given, indexed by it, ascending.
    positive_at : float
        Ratings from here on are positive.

    Returns
    -------
    Axes
    """
    _, axes = new_axes(figsize=(5.2, 3.0))
    width = 0.75 * float(np.diff(counts.index).min()) if len(counts) > 1 else 0.75
    for positive, colour, name in ((False, VERMILION, "negative"), (True, BLUE, "positive")):
        part = counts[(counts.index >= positive_at) == positive]
        axes.bar(part.index, part, color=colour, label=name, width=width)
    axes.set(xlabel=f"rating ({words().unit})", ylabel="ratings")
    if len(counts) <= 11:
        axes.set_xticks(counts.index)
    axes.grid(axis="x", visible=False)
    axes.legend()
    return axes


def heavy_tails(per_user, per_item) -> np.ndarray:
    """Ratings of each user and of each item, largest first, both axes logarithmic (notebook 01).

    Parameters
    ----------
    per_user, per_item : array-like of int
        Ratings of each user, and of each item with at least one.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    _, panels = new_axes(1, 2, figsize=(7.5, 3.2), sharey=True)
    for axes, counts, name, colour in (
        (panels[0], per_user, "users", BLUE),
        (panels[1], per_item, words().items, VERMILION),
    ):
        ordered = sorted(counts, reverse=True)
        axes.loglog(range(1, len(ordered) + 1), ordered, color=colour, linewidth=2)
        axes.set(xlabel=f"{name}, most ratings first (rank)")
    panels[0].set_ylabel("training ratings")
    return panels


def histories(frame, users) -> np.ndarray:
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
    low, high = frame["rating"].min(), frame["rating"].max()
    ticks = np.arange(low, high + 1) if high - low <= 5 else np.linspace(low, high, 3)
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
        axes.set(ylim=(low - 0.12 * (high - low), high + 0.12 * (high - low)), title=f"user {user}")
        axes.set_yticks(ticks)
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[-1, 0].set_xlabel("place in the user's ratings, by time")
    figure.supylabel(f"rating ({words().unit})", fontsize=10)
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=9)
    return panels[:, 0]


def count_entries(relations, targets, films) -> np.ndarray:
    """How many entries of each type relate each target to each film; a film has none with itself.

    Parameters
    ----------
    relations : Relations
    targets, films : ndarray of int

    Returns
    -------
    ndarray of int, shape (n_types, n_targets, n_films)
    """
    counts = np.zeros((len(relations.names), len(targets), len(films)), int)
    for number in range(1, len(relations.names)):
        has = relations.has[:, relations.types == number].astype(int)
        counts[number] = (has[targets] @ has[films].T).toarray()
    counts[0] = counts.sum(axis=0) == 0
    return counts * (np.asarray(targets)[:, None] != films)


def shared_types(relations, first, second) -> np.ndarray:
    """How many types each pair of films shares.

    Parameters
    ----------
    relations : Relations
    first, second : ndarray of int, shape (n_pairs,)

    Returns
    -------
    ndarray of int, shape (n_pairs,)
    """
    shared = np.zeros(len(first), int)
    for number in range(1, len(relations.names)):
        has = relations.has[:, relations.types == number]
        shared += np.asarray(has[first].multiply(has[second]).sum(1)).ravel() > 0
    return shared
