"""Verification of many explanations: which worlds are trained together, where, and what is left to do."""

import inspect
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack

import numpy as np
import torch

from accent_lib.arguments import instance, listed, refused, whole, wholes
from accent_lib.errors import AccentError
from accent_lib.models.given import checked_model
from accent_lib.parallel import shared
from accent_lib.retraining.engine import run_stack
from accent_lib.retraining.memory import check_memory, largest_stack
from accent_lib.retraining.store import Store
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State
from accent_lib.training.stack import usable


def stacks_of(worlds: Sequence[World], size: int) -> list[list[World]]:
    """Cut worlds into stacks, each with the control in front.

    Parameters
    ----------
    worlds : sequence of World
    size : int
        Copies of the model in a stack, the control included.  With 1 the control is a stack of its own.

    Examples
    --------
    >>> worlds = [World.parse(key) for key in ("0:1", "0:2", "1:4")]
    >>> [[world.key for world in stack] for stack in stacks_of(worlds, 3)]
    [['', '0:1', '0:2'], ['', '1:4']]
    """
    size = whole(size, "size", 1)
    for world in (worlds := listed(worlds, "worlds", "a list of World")):
        instance(world, "worlds", World, "a list of World")
    worlds = [world for world in dict.fromkeys(worlds) if world.removed]
    if size == 1:
        return [[world] for world in (World(), *worlds)]
    starts = range(0, len(worlds), size - 1)
    return [[World(), *worlds[start : start + size - 1]] for start in starts] or [[World()]]


def controls_of(stacks: Sequence[Sequence[World]], users: Sequence[int]) -> list[set[int]]:
    """Say in which stack each user's control is observed: the first that has a world of hers, else the first.

    So a user is compared with a control that was trained beside her, and each is observed once, in whatever
    order the stacks end.

    Examples
    --------
    >>> stacks = stacks_of([World.parse(key) for key in ("0:1", "0:2", "1:4")], 3)
    >>> controls_of(stacks, [0, 1, 2])
    [{0, 2}, {1}]
    """
    home, users, what = {}, wholes(users, "users", 0), "a list of stacks, as stacks_of() cuts them"
    stacks = [listed(stack, "stacks", what) for stack in listed(stacks, "stacks", what)]
    for stack in stacks or [[stacks]]:
        for world in stack or [stack]:
            instance(world, "stacks", World, what)
    for number, stack in enumerate(stacks):
        if not stack[0].removed:
            for world in stack:
                for user in world.users:
                    home.setdefault(user, number)
    controls = [set() for _ in stacks]
    for user in users:
        controls[home.get(user, 0)].add(user)
    return controls


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
    device: str = "cpu",
    memory: int | None = None,
    ahead: int = 8,
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
        As for :func:`~accent_lib.retraining.engine.retrain`.
    worlds : sequence of World
        In the same order at every call.  The control is added to each stack.
    slates : mapping of int to ndarray of int, shape (k,)
        Original slates of all users in question.
    store : Store
    seeds : sequence of int
    stack_size : int
        Copies trained in one set of tensors; 0: as many as `memory` allows.
    executor : concurrent.futures.Executor, optional
        Spreads the stacks; the store is written here alone.  Default: one after the other, here.
    device : str
        Where to train: ``cpu``, ``cuda`` or ``auto``, which is a GPU if there is one.
    memory : int, optional
        Bytes that a stack may take.  Default: half of what is free on the device now.
    ahead : int
        Stacks that are handed to the executor at a time; at least as many as it has workers.
    progress : callable, optional
        Called with the number of worlds done and their total, at the start and after every stack.

    Raises
    ------
    AccentError
        If a stack would not fit into the memory or a process could not import the model (before any work
        starts), if a worker process dies, or if the store cannot be written.  What was recorded stays.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, top_k
    >>> model, worlds = NCF(prepare(load("sample"))), [World.parse("3:0 1")]
    >>> slates, recipe = {3: top_k(model, 3, 5)[0]}, Recipe(steps=5, batch_size=256)
    >>> with Store(Path(tempfile.mkdtemp()) / "worlds.sqlite", "abc") as store:
    ...     verify("ncf", model, recipe, State.of(model), worlds, slates, store)
    ...     store.outcomes()["world"].tolist()
    ['', '3:0 1']
    """
    instance(name, "name", str, "the name of the model, a text")
    instance(store, "store", Store, "a Store, which is open")
    instance(slates, "slates", Mapping, "a mapping of users to the items of their slates")
    instance(recipe, "recipe", Recipe, "a Recipe of accent_lib.training")
    instance(state, "state", State, "a State of accent_lib.training").check_fits(checked_model(model))
    state.check_moments(recipe.optimizer)
    seeds, ahead = wholes(seeds, "seeds", 0), whole(ahead, "ahead", 1)
    stack_size, memory = (
        whole(stack_size, "stack_size", 0),
        memory if memory is None else whole(memory, "memory", 0),
    )
    if executor is not None:
        instance(executor, "executor", Executor, "one of concurrent.futures, or None")
    if progress is not None and not callable(progress):
        raise refused(progress, "progress", "a function of two numbers of worlds, or None")
    _check_travels(model, executor)
    device = choose_device(device)
    if stack_size == 0:
        stack_size = largest_stack(model, recipe, memory, device)
    else:
        check_memory(model, recipe, stack_size, memory, device)
    stacks = stacks_of(worlds, stack_size)
    controls = controls_of(stacks, list(slates))
    sizes = [sum(bool(world.removed) for world in stack) for stack in stacks]
    tasks, total, done = [], sum(sizes) * len(seeds), 0
    for seed in seeds:
        recorded = store.done(name, seed, slates)
        for stack, users, size in zip(stacks, controls, sizes, strict=True):
            there = all(world.key in recorded for world in stack if world.removed)
            if there and users <= recorded.get("", set()):
                done += size
            else:
                tasks.append((seed, stack, users, size))
    begin, first = time.perf_counter(), done

    def report(running):
        rate = (done - first) / (time.perf_counter() - begin)
        store.note(name, done, total, sum(size for *_, size in running), rate)

    def submit(task):
        seed, stack, users, _ = task
        named = users.union(*(world.users for world in stack))
        slates_here = {user: slates[user] for user in sorted(named)}
        arguments = (base, stack, slates_here, seed, sorted(users), device)
        return _now(*arguments) if executor is None else executor.submit(_run, *arguments)

    if progress is not None:
        progress(done, total)
    if not tasks:
        report([])
    waiting, running, open_ = tasks[::-1], {}, ExitStack()
    try:
        base = open_.enter_context(shared(executor, (model, recipe, state)))
        while waiting or running:
            while waiting and len(running) < (1 if executor is None else ahead):
                task = waiting.pop()
                report([*running.values(), task])
                running[submit(task)] = task
            finished = wait(running, return_when=FIRST_COMPLETED).done
            # What went well first: an error ends the run, and must not take along what was trained.
            for future in sorted(finished, key=lambda future: future.exception() is not None):
                outcomes, (seed, _, _, size) = future.result(), running.pop(future)
                store.record(name, seed, outcomes)
                done += size
                report(running.values())
                if progress is not None:
                    progress(done, total)
    except BrokenExecutor as error:
        raise AccentError(
            "A worker process died, perhaps for want of memory; run again, with fewer workers or smaller "
            "stacks if it happens twice: what was recorded stays."
        ) from error
    finally:
        for future in running:
            future.cancel()
        open_.close()


def _check_travels(model, executor):
    """Refuse to send a model to processes that cannot import it; they would die without saying so."""
    if not isinstance(executor, ProcessPoolExecutor):
        return
    parts = [type(module) for module in model.modules()]
    parts += [part for part in vars(model).values() if inspect.isfunction(part)]  # such as a loss
    for part in parts:
        if not hasattr(sys.modules.get(part.__module__), "__file__"):
            raise AccentError(
                f"{part.__name__} is defined where worker processes cannot import it, such as in a notebook; "
                "move it into a module, or use a ThreadPoolExecutor or no executor."
            )


def _run(base, stack, slates, seed, controlled, device):
    return run_stack(*base(), stack, slates, seed, controlled, device)


def _now(*arguments) -> Future:
    """Run a stack here, as an executor would."""
    future = Future()
    future.set_result(_run(*arguments))
    return future


def choose_device(device: str) -> str:
    """Return the device to train on: ``auto`` is a GPU if there is one, another of torch's names itself.

    Raises
    ------
    AccentError
        If there is no such device.

    Examples
    --------
    >>> choose_device("cpu")
    'cpu'
    """
    if isinstance(device, str) and device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return usable(instance(device, "device", str, "'cpu', 'cuda' or 'auto'"))
