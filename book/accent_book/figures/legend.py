"""How methods and models are shown wherever results are: names, units and colours, the same everywhere."""

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


class _Units(dict):
    """Units by model, with one for a model that has not told its own."""

    def __missing__(self, model):
        return "score units"


#: Unit of each model's scores: predicted ratings, and logits that only differences give a meaning. A model of
#: one's own can be added: ``UNITS["mine"] = "stars"``.
UNITS = _Units(ncf="stars", rcf="logits")
