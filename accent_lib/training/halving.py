"""Many starts, of which the best go on (successive halving)."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from accent_lib.arguments import instance, listed, refused, whole
from accent_lib.errors import AccentError
from accent_lib.training.loop import diverged, objective, train
from accent_lib.training.recipes import ANNEALED, Recipe
from accent_lib.training.state import State
from accent_lib.wording import counted


@dataclass(frozen=True)
class Round:
    """One round of a search over starts: train ``starts`` copies by ``recipe``.

    Examples
    --------
    >>> Round(starts=16, recipe=Recipe(steps=300)).starts
    16
    """

    starts: int
    recipe: Recipe

    def __post_init__(self):
        object.__setattr__(self, "starts", whole(self.starts, "starts", 1))
        instance(self.recipe, "recipe", Recipe, "a Recipe")


#: Many short starts, of which the best go on; the last round anneals.
SEARCH = (
    Round(64, replace(ANNEALED, steps=1_500, learning_rate=5e-3, schedule="constant")),
    Round(16, replace(ANNEALED, steps=2_500, learning_rate=5e-3, schedule="constant")),
    Round(4, replace(ANNEALED, steps=16_000, learning_rate=5e-3)),
)
#: More starts than any search has.
POOL = 1_000_000


def _train_stack(model, recipe, states, seed, device):
    torch.set_num_threads(1)
    return train(model, recipe, states, seed=seed, device=device, tolerant=True)


def search(
    make: Callable[[int], nn.Module],
    rounds: Sequence[Round],
    *,
    seed: int = 0,
    stack_size: int = 16,
    executor=None,
    device: str | None = None,
    describe: Callable[[nn.Module], dict] | None = None,
    log: Callable[[str], None] | None = None,
) -> tuple[list[State], list[dict]]:
    """Train many initialisations and go on with the best (successive halving).

    Parameters
    ----------
    make : callable
        ``make(seed)`` is a freshly initialised model.
    rounds : sequence of Round
        From many starts to few; a round takes the best of the one before by training objective.
    seed : int
        The starts are ``POOL * seed, POOL * seed + 1, …``, so that searches of other seeds have no start in
        common; the order of the batches in round ``r`` follows from ``seed`` and ``r``.
    stack_size : int
        Copies trained in one set of tensors.
    executor : concurrent.futures.Executor, optional
        Spreads the stacks.  Default: one after the other, here.
    device : str, optional
        Where to train, as for :func:`~accent_lib.training.train`.
    describe : callable, optional
        Facts about a model with the parameters of one start, added to its record, unless it diverged.
    log : callable, optional
        Gets one line a round.

    Returns
    -------
    states : list of State
        Those of the last round, lowest objective first.
    record : list of dict
        ``start``, ``round``, ``objective`` and ``seconds`` (of the whole round) for every start in every
        round.

    Raises
    ------
    AccentError
        If all starts of a round diverge, a round wants more starts than are left, or an argument is of
        another kind.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> data = prepare(load("sample"))
    >>> short = Recipe(steps=20, learning_rate=0.01, batch_size=256)
    >>> states, record = search(lambda seed: NCF(data, seed=seed), [Round(3, short), Round(1, short)])
    >>> len(states), [row["round"] for row in record]
    (1, [1, 1, 1, 2])
    """
    for name, given in (("make", make), ("describe", describe), ("log", log)):
        if not callable(given) and (name == "make" or given is not None):
            raise refused(given, name, "a function")
    rounds = listed(rounds, "rounds", "a list of Round")
    for this in rounds or [rounds]:
        instance(this, "rounds", Round, "a list of Round")
    seed, stack_size = whole(seed, "seed", 0, 2**40), whole(stack_size, "stack_size", 1)
    if executor is not None:
        instance(executor, "executor", Executor, "one of concurrent.futures, or None")
    first = POOL * seed
    model = make(first)
    pool = {start: State.of(make(start)) for start in range(first, first + rounds[0].starts)}
    record = []
    for number, this in enumerate(rounds, 1):
        if number > 1 and this.starts > len(pool):
            raise AccentError(f"Round {number} wants {this.starts} starts, but only {len(pool)} are left.")
        starts = list(pool)[: this.starts]
        begin = time.perf_counter()
        stacks = [starts[at : at + stack_size] for at in range(0, len(starts), stack_size)]
        run = map if executor is None else executor.map
        seed_of_round = first + 1000 * number
        tasks = [(model, this.recipe, [pool[s] for s in stack], seed_of_round, device) for stack in stacks]
        trained = [state for part in run(_train_stack, *zip(*tasks, strict=True)) for state in part]
        seconds = time.perf_counter() - begin
        reached = objective(model, trained)
        order = np.argsort(np.where(np.isnan(reached), np.inf, reached), kind="stable")
        if not np.isfinite(reached).any():
            raise diverged(model, this.recipe, pool[starts[0]], seed_of_round)
        pool = {starts[i]: trained[i] for i in order}
        for i in order:
            known = describe is not None and np.isfinite(reached[i])
            facts = describe(trained[i].into(model)) if known else {}
            instance(facts, "describe", dict, "a function that gives a dict of facts")
            reached_by = {"start": starts[i], "round": number, "objective": float(reached[i])}
            record.append({**reached_by, **facts, "seconds": seconds})
        if log is not None:
            log(
                f"round {number}: {counted(len(starts), 'start')} x {counted(this.recipe.steps, 'step')} in "
                f"{seconds:.0f} s,"
                f" objective {reached[order[0]]:.3f} to {reached[order[-1]]:.3f}"
            )
    return list(pool.values()), record
