"""One style for all figures, and one function for each kind of figure.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; the background is opaque, so that a
figure can be read in a dark page.
"""

from accent_book.figures.analysis import (
    by_setting,
    definitions,
    estimated_against_true,
    figures_by_method,
    held_and_failed,
    held_by_method,
)
from accent_book.figures.by_hand import gap_by_hand, one_parameter_by_hand
from accent_book.figures.checks import (
    agreement_of,
    compare_scalings,
    facts_of_start,
    resting,
    sums_of_sets,
)
from accent_book.figures.data import count_entries, heavy_tails, histories, shared_types, star_counts
from accent_book.figures.explanations import (
    gap_and_reach,
    gap_filled,
    one_that_fails,
    own_and_gap,
    set_sizes,
    slate_positions,
    staircases,
    worth_a_look,
)
from accent_book.figures.failures import kinds_of_outcome, rounds, share_by_property, straight_and_bent
from accent_book.figures.influence import additivity, four_truths, one_parameter, ranked_bars, two_scalings
from accent_book.figures.legend import METHOD_COLOURS, METHOD_NAMES, UNITS
from accent_book.figures.rcf import (
    attention_and_influence,
    attention_by_type,
    attention_map,
    from_scratch,
    milestones,
    related_pairs,
    spread_of_parts,
    two_parts,
    warm_and_scratch,
)
from accent_book.figures.scale import agreement_and_cost, agreement_of_groups, seconds_by_stack
from accent_book.figures.style import new_axes, use_style
from accent_book.figures.tables import sizes_by_method
from accent_book.figures.training import recipe_curves, scatter_starts, starts, user_errors
from accent_book.figures.verification import effect_spread, gaps_in_control, slate_scores

__all__ = [
    "METHOD_COLOURS",
    "METHOD_NAMES",
    "UNITS",
    "additivity",
    "agreement_and_cost",
    "agreement_of",
    "agreement_of_groups",
    "attention_and_influence",
    "attention_by_type",
    "attention_map",
    "by_setting",
    "compare_scalings",
    "count_entries",
    "definitions",
    "effect_spread",
    "estimated_against_true",
    "facts_of_start",
    "figures_by_method",
    "four_truths",
    "from_scratch",
    "gap_and_reach",
    "gap_by_hand",
    "gap_filled",
    "gaps_in_control",
    "heavy_tails",
    "held_and_failed",
    "held_by_method",
    "histories",
    "kinds_of_outcome",
    "milestones",
    "new_axes",
    "one_parameter",
    "one_parameter_by_hand",
    "one_that_fails",
    "own_and_gap",
    "ranked_bars",
    "recipe_curves",
    "related_pairs",
    "resting",
    "rounds",
    "scatter_starts",
    "seconds_by_stack",
    "set_sizes",
    "share_by_property",
    "shared_types",
    "sizes_by_method",
    "slate_positions",
    "slate_scores",
    "spread_of_parts",
    "star_counts",
    "staircases",
    "starts",
    "straight_and_bent",
    "sums_of_sets",
    "two_parts",
    "two_scalings",
    "use_style",
    "user_errors",
    "warm_and_scratch",
    "worth_a_look",
]
