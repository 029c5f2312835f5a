"""ACCENT and its baselines, as pure functions on arrays.

Scores and influences are the floats of some processor, which another one rounds otherwise. So every explainer
decides on values :func:`rounded` to a stated number of digits, and counts a gap as filled only where what
is left of it, scores minus the influences of the whole set, is negative then.
"""

from accent_lib.explainers.explanation import Explanation, no_sentence, sentence
from accent_lib.explainers.gap_filling import accent, fill_gap, one_versus_all, resume
from accent_lib.explainers.places import leave, wish
from accent_lib.explainers.rounding import checked, checked_margin, checked_scores, rounded
from accent_lib.explainers.walks import attention, fia, pure_attention, pure_fia, random_set, walk

__all__ = [
    "Explanation",
    "accent",
    "attention",
    "checked",
    "checked_margin",
    "checked_scores",
    "fia",
    "fill_gap",
    "leave",
    "no_sentence",
    "one_versus_all",
    "pure_attention",
    "pure_fia",
    "random_set",
    "resume",
    "rounded",
    "sentence",
    "walk",
    "wish",
]
