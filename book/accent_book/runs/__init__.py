"""What a notebook touches: its parameters, its run folder, and what earlier notebooks left there.

The code cell after a notebook's parameters is ``run = runs.begin("02_training", globals())``.
"""

from accent_book.runs.artifacts import (
    Retraining,
    is_trained,
    model_class,
    new_model,
    possible_ks,
    relation_triples,
    retraining,
    slates_of,
    trained_model,
    training_fingerprint,
    untrained_model,
)
from accent_book.runs.earlier import ensure
from accent_book.runs.folder import Run, begin
from accent_book.runs.notebooks import project_root, runs_folder
from accent_book.runs.origin import provenance
from accent_book.runs.profiles import load_profile, profile_names
from accent_book.runs.ratings import interactions, load_ratings, own_file, source_of
from accent_book.runs.results import (
    describe_store,
    export,
    import_results,
    outcomes_of_sets,
    outcomes_store,
    read_results,
    results_folder,
    retrained_outcomes,
    store_path,
    write_table,
)
from accent_book.runs.wording import speak, words, words_of

__all__ = [
    "Retraining",
    "Run",
    "outcomes_of_sets",
    "begin",
    "describe_store",
    "ensure",
    "export",
    "import_results",
    "interactions",
    "is_trained",
    "load_profile",
    "load_ratings",
    "model_class",
    "new_model",
    "outcomes_store",
    "own_file",
    "possible_ks",
    "profile_names",
    "project_root",
    "provenance",
    "read_results",
    "relation_triples",
    "results_folder",
    "retrained_outcomes",
    "retraining",
    "runs_folder",
    "slates_of",
    "source_of",
    "speak",
    "store_path",
    "trained_model",
    "training_fingerprint",
    "untrained_model",
    "words",
    "words_of",
    "write_table",
]
