"""Fast Influence Analysis: what removing one action does to a user's scores (paper, §2.1 and §2.2).

Influence functions ask how the minimiser of the training objective moves when a point loses its weight 1/n
(Eq. 4).  Fast Influence Analysis lets only a small *block* of parameters move: the user's own (and, for a
model that offers it, the target item's).  Everything here comes from automatic differentiation of what the
model offers, so this package knows no model.  Beside the estimates stands the truth that they estimate:
refits of one user's block; and an estimate of another kind, through every step of retraining.
"""

from accent_lib.influence.base import FastInfluence, Influence, gap_influence
from accent_lib.influence.block import BlockInfluence
from accent_lib.influence.fast import fast_influence, options_of
from accent_lib.influence.history import HistoryInfluence
from accent_lib.influence.metagradient import Contrast, through_training
from accent_lib.influence.refits import Frozen, refit

__all__ = [
    "BlockInfluence",
    "Contrast",
    "FastInfluence",
    "Frozen",
    "HistoryInfluence",
    "Influence",
    "fast_influence",
    "gap_influence",
    "options_of",
    "refit",
    "through_training",
]
