"""How the full-size run retrains its models; for the experiments that go on from notebook 05's store."""

from accent_lib import recipes, workflow


def retraining_of(run, name: str, data, epochs: int = 20) -> tuple[workflow.Retraining, int]:
    """NCF from its trained weights, one user a world; RCF from scratch for some epochs, 30 users a world."""
    if name == "ncf":
        return workflow.retraining(run, name, data, recipes.NCF_RETRAINING, stack_size=16), 1
    recipe = recipes.for_epochs(workflow.trained_model(run, name, data)[0], recipes.RCF, epochs)
    return workflow.retraining(run, name, data, recipe, start="initial"), 30
