"""Counterfactual retraining: train without the removed actions and look what is recommended then.

Removed actions weigh zero instead of leaving the table, so every world sees the very batches that the control
sees: most of the noise of retraining cancels in the difference.
"""

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch

from accent_lib.retraining.outcomes import Outcome
from accent_lib.retraining.store import Store
from accent_lib.retraining.worlds import World, cut
from accent_lib.training import Recipe, State, train


def retrain(model, recipe: Recipe, state: State, worlds: Sequence[World], seed: int) -> list[State]:
    """Train one copy of a model in each world, all from the same state and on the same batches.

    Parameters
    ----------
    model : Recommender
    recipe : Recipe
    state : State
        Where all copies start: trained parameters and moments for a warm start, initial ones for one from
        scratch.
    worlds : sequence of World
    seed : int
        Of the order of the batches.

    Returns
    -------
    list of State, one a world
    """
    keep = torch.tensor(np.stack([world.keep(model) for world in worlds]), dtype=torch.get_default_dtype())
    return train(model, recipe, [state] * len(worlds), keep=keep, seed=seed)


def observe(model, world: World, users: Iterable[int], slates: Mapping[int, np.ndarray], seconds=0.0):
    """What a retrained model recommends, one :class:`Outcome` a user.

    Parameters
    ----------
    model : Recommender
        With the parameters that retraining in ``world`` gave.
    world : World
    users : iterable of int
    slates : mapping of int to ndarray of int, shape (k,)
        Items of each user's original slate.
    seconds : float
        Recorded with each outcome.

    Returns
    -------
    list of Outcome
        ``failed`` where a score is not finite.
    """
    all_keep = torch.tensor(world.keep(model), dtype=torch.get_default_dtype())
    outcomes = []
    for user in users:
        candidates, keep = model.candidates(user), all_keep[model.action_slice(user)]
        with torch.no_grad():
            block = model.block(user)
            scores = model.scores(block, user, torch.as_tensor(slates[user]), keep).numpy()
            everything = model.scores(block, user, torch.as_tensor(candidates), keep).numpy()
        if np.isfinite(scores).all() and np.isfinite(everything).all():
            top = int(candidates[np.argmax(everything)])
            outcomes.append(Outcome(world.key, user, scores, top, seconds=seconds))
        else:
            reason = "retraining diverged: a score is not finite"
            outcomes.append(Outcome(world.key, user, (), -1, "failed", reason, seconds))
    return outcomes


def run_stack(model, recipe, state, worlds, slates, seed) -> list[Outcome]:
    """One unit of work, in a form that any executor can run: retrain a stack of worlds and observe each."""
    torch.set_num_threads(1)  # one thread a process: two processes of two threads are slower than one
    begin = time.perf_counter()
    states = retrain(model, recipe, state, worlds, seed)
    seconds = (time.perf_counter() - begin) / len(worlds)
    # Tensors that are sent to a process lie in memory that all processes share: write into a copy.
    model, outcomes = copy.deepcopy(model), []
    for world, trained in zip(worlds, states, strict=True):
        users = world.users or sorted(slates)  # the control is observed for everybody
        outcomes += observe(trained.into(model), world, users, slates, seconds / len(users))
    return outcomes


def verify(
    name: str,
    model,
    recipe: Recipe,
    state: State,
    worlds: Sequence[World],
    slates: Mapping[int, np.ndarray],
    store: Store,
    *,
    seeds: Sequence[int] = (0,),
    stack_size: int = 16,
    executor=None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Retrain in every world and in the control, for every seed, and record what each shows.

    Stacks are cut from the list of worlds as given and run whole, whatever the store holds already, so that
    a run that was killed and one that was not give the same numbers.  A longer list that begins alike goes on
    from what is there.

    Parameters
    ----------
    name : str
        Of the model in the store.
    model, recipe, state
        As for :func:`retrain`.
    worlds : sequence of World
        In the same order at every call.  The control is added in front.
    slates : mapping of int to ndarray of int, shape (k,)
        Original slates of all users in question.
    store : Store
    seeds : sequence of int
    stack_size : int
        Worlds trained in one set of tensors.
    executor : concurrent.futures.Executor, optional
        Spreads the stacks; the store is written here alone.  Default: one after the other, here.
    progress : callable, optional
        Called with the number of worlds done and their total, at the start and after every stack.
    """
    worlds = list(dict.fromkeys([World(), *worlds]))
    total, tasks = len(worlds) * len(seeds), []
    for seed in seeds:
        done = store.done(name, seed)
        if not set(slates) <= store.users(name, seed):
            done -= {""}  # users have joined since the control was observed
        for stack in cut(worlds, stack_size):
            if not all(world.key in done for world in stack):
                tasks.append((seed, stack))
    left = sum(len(stack) for _, stack in tasks)

    def record(seed, stack, outcomes):
        nonlocal left
        store.record(name, seed, outcomes)
        left -= len(stack)
        if progress is not None:
            progress(total - left, total)

    if progress is not None:
        progress(total - left, total)
    if executor is None:
        for seed, stack in tasks:
            record(seed, stack, run_stack(model, recipe, state, stack, _part(slates, stack), seed))
        return
    from concurrent.futures import as_completed

    futures = {
        executor.submit(run_stack, model, recipe, state, stack, _part(slates, stack), seed): (seed, stack)
        for seed, stack in tasks
    }
    try:
        for future in as_completed(futures):
            record(*futures.pop(future), future.result())
    finally:
        for future in futures:
            future.cancel()


def _part(slates, stack):
    """The slates that a stack needs: all where it holds the control."""
    if World() in stack:
        return dict(slates)
    users = {user for world in stack for user in world.users}
    return {user: slates[user] for user in users}
