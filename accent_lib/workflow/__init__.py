"""From notebooks to a book: parameters, run folders, profiles and the runner.

The code cell after a notebook's parameters is ``run = workflow.begin("02_training", globals())``; the command
line is ``python -m accent_lib run|status|ensure|export|explorer|launch|student|slides|pdf``.
"""

from accent_lib.workflow.artifacts import (
    SOURCES,
    interactions,
    new_model,
    relation_triples,
    slates_of,
    store_mark,
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
    read_results,
    results_folder,
    store_path,
    write_table,
)
from accent_lib.workflow.runner import ensure, run
from accent_lib.workflow.status import status

__all__ = [
    "SOURCES",
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
    "new_model",
    "profile_names",
    "project_root",
    "read_results",
    "relation_triples",
    "results_folder",
    "run",
    "runs_folder",
    "slates_of",
    "status",
    "store_mark",
    "store_path",
    "trained_model",
    "untrained_model",
    "write_table",
]
