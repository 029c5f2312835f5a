"""From notebooks to a book: parameters, run folders, profiles and the runner.

The code cell after a notebook's parameters is ``run = workflow.begin("02_training", globals())``; the command
line is ``python -m accent_lib run|status|ensure|export|explorer|launch|student|slides|pdf``.
"""

from accent_lib.workflow.artifacts import (
    Retraining,
    interactions,
    model_class,
    new_model,
    relation_triples,
    retraining,
    slates_of,
    trained_model,
    untrained_model,
)
from accent_lib.workflow.folder import Run, begin
from accent_lib.workflow.launch import launch
from accent_lib.workflow.notebooks import project_root, runs_folder
from accent_lib.workflow.page import explorer
from accent_lib.workflow.profiles import load_profile, profile_names
from accent_lib.workflow.results import (
    asked_for,
    describe_store,
    export,
    import_results,
    outcomes_store,
    read_results,
    results_folder,
    retrained_outcomes,
    store_path,
    write_table,
)
from accent_lib.workflow.runner import ensure, run
from accent_lib.workflow.status import status

__all__ = [
    "Retraining",
    "Run",
    "asked_for",
    "begin",
    "describe_store",
    "ensure",
    "explorer",
    "export",
    "import_results",
    "interactions",
    "launch",
    "load_profile",
    "model_class",
    "new_model",
    "outcomes_store",
    "profile_names",
    "project_root",
    "read_results",
    "relation_triples",
    "results_folder",
    "retrained_outcomes",
    "retraining",
    "run",
    "runs_folder",
    "slates_of",
    "status",
    "store_path",
    "trained_model",
    "untrained_model",
    "write_table",
]
