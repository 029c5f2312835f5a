"""Figures of retraining (chapter 5)."""

from matplotlib.figure import Figure

from accent_book.figures.legend import BLACK, BLUE, GREEN, GREY, SKY, VERMILION
from accent_book.figures.style import new_axes


def effect_spread(effects, truth: float, xlabel="estimated effect of the removal (stars)") -> Figure:
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


def slate_scores(titles, scores, replacement: int, unit: str = "stars") -> Figure:
    """Scores of a slate before retraining, in the control and in a world, one row an item.

    Parameters
    ----------
    titles : sequence of str, length k
        Of the slate, the recommendation first.
    scores : dict of str to ndarray, shape (k,)
        Under the names "before", "control" and "world".
    replacement : int
        Position of the item that the explanation names.
    unit : str
        Of the scores.

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
    axes.set(xlabel=f"score ({unit})", ylim=(len(titles) - 0.5, -0.5))
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def gaps_in_control(before, control, unit: str = "stars") -> Figure:
    """Gap between the recommendation and the best other item of its slate, before and in the control.

    Parameters
    ----------
    before, control : ndarray, shape (n_users,)
        Below zero another item leads.
    unit : str
        Of both.

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
    axes.set(xlabel=f"gap to the second before retraining ({unit})", xlim=ends)
    axes.set_ylabel(f"gap to the best other in the control ({unit})")
    axes.legend(loc="upper left")
    return figure
