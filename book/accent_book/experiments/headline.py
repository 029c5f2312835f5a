"""How the full-size run retrains its models; for the experiments that go on from notebook 05's store."""

from typing import NamedTuple

from accent_book import runs
from accent_lib import recipes
from accent_lib.training import Recipe, State


class Retraining(NamedTuple):
    """What it takes to retrain a model as notebook 05 does with the profile ``paper``."""

    model: object
    recipe: Recipe
    start: State
    users_per_world: int
    stack_size: int
    mark: str  # of notebook 05's store, whose outcomes are taken over


def retraining_of(run, name: str, data, epochs: int = 20) -> Retraining:
    """NCF from its trained weights, one user a world; RCF from scratch for some epochs, 30 users a world."""
    model, state, facts = runs.trained_model(run, name, data)
    if name == "ncf":
        recipe = recipes.NCF_RETRAINING
        return Retraining(model, recipe, state, 1, 16, runs.store_mark(run, name, recipe))
    recipe = recipes.for_epochs(model, recipes.RCF, epochs)
    fresh = State.of(runs.untrained_model(run, name, data, facts))
    # RCF gains nothing from stacks.
    return Retraining(model, recipe, fresh, 30, 1, runs.store_mark(run, name, recipe))
