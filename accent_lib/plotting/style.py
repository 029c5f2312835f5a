"""One style and one set of colours for all figures."""

import matplotlib.pyplot as plt
import seaborn as sns

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, BLACK = (
    "#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00 #F0E442 #000000".split()
)
GREY = "#6B6B6B"

#: One colour a method, the same in every figure.
METHOD_COLOURS = {
    "accent": BLUE,
    "one_versus_all": PURPLE,
    "fia": ORANGE,
    "pure_fia": VERMILION,
    "attention": GREEN,
    "pure_attention": SKY,
    "random": GREY,
}
#: How a method is called in figures and tables.
METHOD_NAMES = {
    "accent": "ACCENT",
    "one_versus_all": "one-versus-all",
    "fia": "FIA",
    "pure_fia": "pure FIA",
    "attention": "attention",
    "pure_attention": "pure attention",
    "random": "random",
}


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


def new_axes(rows: int = 1, columns: int = 1, **options):
    """A figure and its axes in the style of the book."""
    use_style()
    return plt.subplots(rows, columns, **options)


class _Units(dict):
    """Units by model, with one for a model that has not told its own."""

    def __missing__(self, model):
        return "score units"


#: Unit of each model's scores: predicted ratings, and logits that only differences give a meaning. A model of
#: one's own can be added: ``UNITS["mine"] = "stars"``.
UNITS = _Units(ncf="stars", rcf="logits")
