"""From a trained model to explanations: slate, influence, explainer, for one user or for all."""

from accent_lib.explanations.evidence import Evidence, analysis_of, gather, obstacle, tied
from accent_lib.explanations.many_users import explain_users
from accent_lib.explanations.methods import (
    BY_ATTENTION,
    BY_INFLUENCE,
    METHODS,
    VARIANTS,
    Attention,
    check_methods,
    explain_slate,
    methods_for,
)
from accent_lib.explanations.one_user import Closeup, closeup, explain, gaps_of

__all__ = [
    "BY_ATTENTION",
    "BY_INFLUENCE",
    "METHODS",
    "VARIANTS",
    "Attention",
    "Closeup",
    "Evidence",
    "analysis_of",
    "check_methods",
    "closeup",
    "explain",
    "explain_slate",
    "explain_users",
    "gaps_of",
    "gather",
    "methods_for",
    "obstacle",
    "tied",
]
