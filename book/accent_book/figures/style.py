"""One style and one set of colours for all figures."""

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from accent_book.figures.legend import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION


def use_style() -> None:
    """Set the style; called once at the top of a notebook."""
    sns.set_theme(
        context="paper",
        style="whitegrid",
        font_scale=1.1,
        palette=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK],
        rc={
            "figure.figsize": (7.0, 3.8),
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.7,
            "legend.frameon": False,
        },
    )


def new_axes(rows: int = 1, columns: int = 1, **options) -> tuple[Figure, Any]:
    """A figure and its axes in the style of the book."""
    use_style()
    return plt.subplots(rows, columns, **options)


def in_two_lines(text: str, width: int = 34) -> str:
    """A label that stays readable beside a row: up to two lines, and what is longer ends in an ellipsis.

    Examples
    --------
    >>> in_two_lines("The Lord of the Rings: The Fellowship of the Ring (2001)", 30).splitlines()
    ['The Lord of the Rings: The', 'Fellowship of the Ring (2001)']
    """
    lines = textwrap.wrap(text, width, max_lines=2, placeholder="…", break_long_words=True)
    return "\n".join(lines)
