"""What retraining showed, summed up: verdicts and tables."""

from accent_lib.evaluation.judgement import DEFINITIONS, judge, noise_floor
from accent_lib.evaluation.tables import (
    compare,
    compare_sizes,
    corrected_together,
    influence_errors,
    summary,
    table1,
)

__all__ = [
    "DEFINITIONS",
    "compare",
    "compare_sizes",
    "corrected_together",
    "influence_errors",
    "judge",
    "noise_floor",
    "summary",
    "table1",
]
