"""How the full-size run retrains its models; for the experiments that go on from notebook 05's store."""

from accent_book import runs
from accent_lib.training import recipes


def retraining_of(run, name: str, data, epochs: int = 20) -> tuple[runs.Retraining, int]:
    """NCF from its trained weights, one user a world; RCF from scratch for some epochs, 30 users a world."""
    if name == "ncf":
        return runs.retraining(run, name, data, recipes.NCF_RETRAINING, stack_size=16), 1
    recipe = recipes.for_epochs(runs.trained_model(run, name, data)[0], recipes.RCF, epochs)
    return runs.retraining(run, name, data, recipe, start="initial"), 30
