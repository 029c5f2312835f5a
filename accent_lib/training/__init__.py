"""Training: recipes, one loop for every model, the search over starts, checkpoints."""

from accent_lib.training.checkpoint import load_checkpoint, save_checkpoint
from accent_lib.training.loop import State, objective, train
from accent_lib.training.recipe import ANNEALED, PAPER, Recipe
from accent_lib.training.search import POOL, SEARCH, Round, search

__all__ = [
    "ANNEALED",
    "PAPER",
    "POOL",
    "SEARCH",
    "Recipe",
    "Round",
    "State",
    "load_checkpoint",
    "objective",
    "save_checkpoint",
    "search",
    "train",
]
