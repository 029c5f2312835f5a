"""What retraining showed, summed up: verdicts, tables, and the figures of the paper beside them."""

from accent_lib.evaluation.judgement import DEFINITIONS, judge, noise_floor
from accent_lib.evaluation.paper import PAPER_INFLUENCE, PAPER_TABLE1
from accent_lib.evaluation.tables import (
    beside_paper,
    compare,
    corrected_together,
    influence_errors,
    summary,
    table1,
)

__all__ = [
    "DEFINITIONS",
    "PAPER_INFLUENCE",
    "PAPER_TABLE1",
    "beside_paper",
    "compare",
    "corrected_together",
    "influence_errors",
    "judge",
    "noise_floor",
    "summary",
    "table1",
]
