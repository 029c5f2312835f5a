"""How methods and models are shown wherever results are: names, units and colours, the same everywhere."""

from accent_book.runs.wording import UNITS, words

__all__ = ["METHOD_COLOURS", "METHOD_NAMES", "UNITS", "words"]

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
    "recent": GREY,
    "best_rated": GREY,
    "popular": GREY,
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
    "recent": "most recent",
    "best_rated": "best rated",
    "popular": "most popular",
}
