"""ACCENT and its baselines, as pure functions on arrays."""

from accent_lib.explainers.accent import accent, fill_gap
from accent_lib.explainers.explanation import Explanation, sentence
from accent_lib.explainers.one_versus_all import one_versus_all
from accent_lib.explainers.walks import attention, fia, pure_attention, pure_fia, random, walk

__all__ = [
    "Explanation",
    "accent",
    "attention",
    "fia",
    "fill_gap",
    "one_versus_all",
    "pure_attention",
    "pure_fia",
    "random",
    "sentence",
    "walk",
]
