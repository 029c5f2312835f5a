"""Training: recipes, one loop for every model, the search over starts, checkpoints."""

from accent_lib.training.checkpoint import load_checkpoint, save_checkpoint
from accent_lib.training.halving import POOL, SEARCH, Round, search
from accent_lib.training.loop import diverged, objective, train, train_timed
from accent_lib.training.recipes import ANNEALED, PAPER, Recipe
from accent_lib.training.state import State

__all__ = [
    "ANNEALED",
    "PAPER",
    "POOL",
    "SEARCH",
    "Recipe",
    "Round",
    "State",
    "diverged",
    "load_checkpoint",
    "objective",
    "save_checkpoint",
    "search",
    "train",
    "train_timed",
]
