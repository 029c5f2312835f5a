"""Counterfactual retraining: train without the removed actions and look what is recommended then.

Removed actions weigh zero instead of leaving the table, so every world sees the very batches that the control
sees: most of the noise of retraining cancels in the difference.
"""

import copy
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from accent_lib.arguments import instance, listed, users_of, whole
from accent_lib.errors import AccentError
from accent_lib.models.given import checked_model, items_of
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.outcomes import Outcome
from accent_lib.retraining.ranking import ranked
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State, train
from accent_lib.training.stack import usable


def retrain(
    model,
    recipe: Recipe,
    state: State,
    worlds: Sequence[World],
    seed: int,
    device: str | None = None,
    tolerant: bool = False,
) -> list[State]:
    """Train one copy of a model in each world, all from one state and on the same batches, to one state each.

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
    device, tolerant
        As for :func:`~accent_lib.training.train`: a world that diverged carries NaN.

    Raises
    ------
    AccentError
        If an argument does not fit the model, or training diverges in all worlds, unless ``tolerant``.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> recipe = Recipe(steps=25, batch_size=256)  # more than once through the ratings
    >>> worlds = [World(), World.parse("3:0 1")]
    >>> control, without = retrain(model, recipe, State.of(model), worlds, seed=0)
    >>> blocks = [state.parameters["user_table.weight"][3] for state in (control, without)]
    >>> torch.equal(*blocks)
    False
    """
    worlds = _worlds(worlds)
    keep = torch.tensor(np.stack([world.keep(model) for world in worlds]), dtype=torch.get_default_dtype())
    states = [state] * len(worlds)
    return train(model, recipe, states, keep=keep, seed=seed, device=device, tolerant=tolerant)


def _worlds(worlds):
    worlds = listed(worlds, "worlds", "a list of World")
    for world in worlds or [worlds]:
        instance(world, "worlds", World, "a list of World")
    return worlds


def _slates(model, slates, users):
    """Users of a model, each of whom has a slate."""
    instance(slates, "slates", Mapping, "a mapping of users to the items of their slates")
    users = users_of(checked_model(model), users)
    for user in users:
        if user not in slates:
            raise AccentError(f"`slates` have none of user {user}, who is to be observed; add hers.")
        items_of(model, slates[user])
    return users


def observe(
    model, world: World, users: Iterable[int], slates: Mapping[int, np.ndarray], seconds: float = 0.0
) -> list[Outcome]:
    """What a retrained model recommends, one :class:`Outcome` a user, ``failed`` where a score is not finite.

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

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, top_k
    >>> model = NCF(prepare(load("sample")))
    >>> items, scores = top_k(model, 3, 5)
    >>> (outcome,) = observe(model, World(), [3], {3: items})
    >>> outcome.top == int(items[0]), bool(np.allclose(outcome.scores, scores))
    (True, True)
    """
    instance(world, "world", World, "a World")
    users = _slates(model, slates, users)
    all_keep = torch.tensor(world.keep(model), dtype=torch.get_default_dtype())
    outcomes = []
    for user in users:
        candidates, keep = model.candidates(user), all_keep[model.action_slice(user)]
        with torch.no_grad():
            block = model.block(user)
            scores = model.scores(block, user, torch.as_tensor(slates[user]), keep).numpy()
            everything = model.scores(block, user, torch.as_tensor(candidates), keep).numpy()
        slate = slate_identity(slates[user])
        if np.isfinite(scores).all() and np.isfinite(everything).all():
            top, catalogue = int(candidates[np.argmax(everything)]), ranked(candidates, everything)
            about = {"seconds": seconds, "slate": slate, "catalogue": catalogue}
            outcomes.append(Outcome(world.key, user, scores, top, **about))
        else:
            reason = "retraining diverged: a score is not finite"
            outcomes.append(Outcome(world.key, user, (), -1, "failed", reason, seconds, slate))
    return outcomes


def run_stack(model, recipe, state, worlds, slates, seed, controlled=(), device="cpu") -> list[Outcome]:
    """One unit of work, in a form that any executor can run: retrain a stack of worlds and observe each.

    Parameters
    ----------
    model, recipe, state, worlds, seed
        As for :func:`retrain`.
    slates : mapping of int to ndarray of int
        Of all users who are observed.
    controlled : iterable of int
        Users of whom the control is observed; a world is observed for those who lose an action in it.
    device : str
        Where to train; scores are always computed on the CPU.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, top_k
    >>> model = NCF(prepare(load("sample")))
    >>> stack, slates = [World(), World.parse("3:0 1")], {3: top_k(model, 3, 5)[0]}
    >>> outcomes = run_stack(
    ...     model, Recipe(steps=5, batch_size=256), State.of(model), stack, slates, seed=0, controlled=[3]
    ... )
    >>> [outcome.world for outcome in outcomes]
    ['', '3:0 1']
    """
    worlds, device = _worlds(worlds), usable(device)
    seed, controlled = whole(seed, "seed", 0, 2**63 - 1), _slates(model, slates, controlled)
    torch.set_num_threads(1)  # one thread a process: two processes of two threads are slower than one
    # Tensors that are sent to a process lie in memory that all processes share: write into a copy.
    own = copy.deepcopy(model)
    # What this thread computed, not how long it had to wait for a busy core.
    clock = time.thread_time if device == "cpu" else time.perf_counter
    begin = clock()
    # A world that diverges is an outcome, too: it failed.
    states = retrain(own, recipe, state, worlds, seed, device, tolerant=True)
    seconds = (clock() - begin) / len(worlds)
    if getattr(own, "loops", None) is not None:
        # The parameters are the same on every processor; in double precision so are the digits of the scores.
        own.double()
    outcomes = []
    for world, trained in zip(worlds, states, strict=True):
        users = world.users if world.removed else sorted(controlled)
        outcomes += observe(trained.into(own), world, users, slates, seconds / max(len(users), 1))
    return outcomes
