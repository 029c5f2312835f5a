"""Stacks against one at a time, worlds that must not touch each other, memory, devices, work left."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from accent_lib.errors import AccentError
from accent_lib.models import NCF, RCF, gelu, ncf_loops, top_k
from accent_lib.retraining import memory
from accent_lib.retraining.engine import retrain, run_stack
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import choose_device, verify
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State, train

RECIPES = {
    "ncf": Recipe(200, 5e-3, "linear", batch_size=256),
    "ncf by vmap": Recipe(200, 5e-3, "linear", batch_size=256),
    "rcf": Recipe(200, 0.05, optimizer="adagrad", batch_size=64),
}
WORLDS = [World(), *(World(((user, positions),)) for user in (0, 3) for positions in ((0,), (1, 4, 5)))]


def made(name, data):
    if name == "rcf":
        return RCF(data, dim=8, attention=4)
    model = NCF(data, dim=8)
    if name == "ncf by vmap":
        model.activation = torch.nn.ReLU()  # the same function, but not known to be: loops are not offered
    assert (model.loops is None) == (name == "ncf by vmap")
    return model


@pytest.fixture(params=RECIPES)
def case(request, sample):
    model = made(request.param, sample)
    return model, RECIPES[request.param], State.of(model)


def scores(model, state, user=3):
    items = torch.as_tensor(model.candidates(user))
    return state.into(copy.deepcopy(model)).scores(state_block(model, state, user), user, items).detach()


def state_block(model, state, user):
    return state.into(copy.deepcopy(model)).block(user)


def test_stacked_equals_one_at_a_time(case):
    """200 steps in double precision: what stacking changes is the order of sums, and no more."""
    model, recipe, _ = case
    torch.set_default_dtype(torch.float64)
    try:
        model = model.double()
        state = State.of(model)
        together = retrain(model, recipe, state, WORLDS, seed=1)
        for world, stacked in zip(WORLDS, together, strict=True):
            (alone,) = retrain(model, recipe, state, [world], seed=1)
            difference = (scores(model, stacked) - scores(model, alone)).abs().max()
            assert difference < 1e-9
        assert (scores(model, together[0]) - scores(model, together[-1])).abs().max() > 1e-6
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("activation", "close"), [(torch.relu, 1e-12), (gelu, 1e-6)])
def test_the_loops_of_ncf_follow_the_equations(sample, activation, close):
    """Against autograd, with weights, a batch that is no multiple of a tile, and dead or far units.

    The loops' tanh is off by up to 4e-8, and the error of its slope is multiplied by the unit's input.
    """
    torch.manual_seed(0)
    model = NCF(sample, dim=16, activation=activation).double()
    with torch.no_grad():
        model.hidden2.bias[:3] -= 5
        model.hidden2.bias[3] += 50
    rows = torch.randperm(model.n_actions)[:300]
    keep = torch.rand(model.n_actions, dtype=torch.float64)
    vector = torch.cat([value.detach().flatten() for value in model.parameters()]).numpy()
    gradient = np.ones_like(vector)  # added to, not overwritten
    batch = (one[rows].numpy() for one in (model.users, model.items, model.ratings, keep))
    loops = model.loops
    ncf_loops.add_gradient(*batch, vector, gradient, loops.shape, loops.smooth)
    model.batch_loss(rows, keep).backward()
    expected = torch.cat([value.grad.flatten() for value in model.parameters()]).numpy()
    np.testing.assert_allclose(gradient - 1, expected, rtol=1e3 * close, atol=close)
    loss = model.data_loss(keep).detach() + sum(
        decay / 2 * value.detach().square().sum()
        for value, decay in zip(model.parameters(), model.weight_decay().values(), strict=True)
    )
    assert abs(loops.objective(vector, keep.numpy()) - float(loss)) < close * float(loss)


def test_the_loops_of_ncf_train_as_torch_does(sample):
    """From moments of an earlier training, over several epochs, the last of them unfinished."""
    ours, theirs = (made(name, sample).double() for name in ("ncf", "ncf by vmap"))
    recipe = Recipe(70, 5e-3, "linear", batch_size=256, shuffle_first=False)
    keep = torch.rand(2, ours.n_actions, dtype=torch.float64)
    states = [State.of(made("ncf", sample).double())] * 2
    for _ in range(2):
        found, expected = (train(model, recipe, states, keep=keep, seed=3) for model in (ours, theirs))
        for one, other in zip(found, expected, strict=True):
            for name, value in one.parameters.items():
                torch.testing.assert_close(value, other.parameters[name], rtol=1e-9, atol=1e-11)
                for key, moment in one.moments[name].items():
                    expected_moment = other.moments[name][key]
                    torch.testing.assert_close(
                        moment, expected_moment, rtol=1e-8, atol=1e-12, check_dtype=False
                    )
        states = expected
    before = [value.clone() for value in states[0].parameters.values()]
    train(ours, recipe, states, keep=keep)
    assert all(map(torch.equal, before, states[0].parameters.values()))  # the start is left alone


class Diverging(World):
    """A world whose weights are so wrong that training ends in NaN."""

    def keep(self, model):
        return super().keep(model) * 3e38


def test_a_world_that_diverges_leaves_the_others_bit_for_bit_alike(case):
    model, recipe, state = case
    slates = {user: top_k(model, user, 4)[0] for user in range(5)}
    bad = Diverging(((1, (0,)),))
    arguments = (slates, 0, range(5))
    with_bad = run_stack(model, recipe, state, [*WORLDS[:3], bad, *WORLDS[3:]], *arguments)
    harmless = World(((1, (0,)),))
    without = run_stack(model, recipe, state, [*WORLDS[:3], harmless, *WORLDS[3:]], *arguments)
    for one, other in zip(with_bad, without, strict=True):
        if one.world == bad.key:
            assert one.status == "failed" and "not finite" in one.reason and other.status == "ok"
        else:
            assert (one.user, one.scores, one.top) == (other.user, other.scores, other.top)


MEASURE = """
import sys, threading, time, psutil, torch
torch.set_num_threads(1)
from accent_lib.datasets import load, prepare
from accent_lib.models import NCF, RCF, gelu, ncf_loops, top_k
from accent_lib.retraining.engine import run_stack
from accent_lib.retraining.memory import stack_bytes
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State, train
data = prepare(load("ml-100k" if sys.argv[1].endswith("real") else "sample"))
if sys.argv[1].startswith("ncf"):
    model, recipe = NCF(data), Recipe(6)
    if "vmap" in sys.argv[1]:
        model.activation = torch.nn.ReLU()
else:
    model, recipe = RCF(data), Recipe(2, 0.05, optimizer="adagrad", batch_size=512)
slates = {user: top_k(model, user, 20)[0] for user in range(20)}
worlds = [World(), *(World(((n % 20, (n // 20,)),)) for n in range(int(sys.argv[2]) - 1))]
bound = stack_bytes(model, recipe, len(worlds))
run_stack(model, Recipe(1, optimizer=recipe.optimizer), State.of(model), worlds[:1], slates, 0)  # compiles
taken, done = [psutil.Process().memory_info().rss], threading.Event()
def watch():
    while not done.wait(0.001):
        taken.append(psutil.Process().memory_info().rss)
thread = threading.Thread(target=watch)
thread.start()
run_stack(model, recipe, State.of(model), worlds, slates, 0, range(20))
done.set()
thread.join()
print(bound, max(taken) - taken[0])
"""


@pytest.mark.parametrize(
    "kind, copies", [("ncf", 64), ("ncf by vmap", 16), ("rcf", 4), ("ncf real", 16), ("rcf real", 4)]
)
def test_a_stack_stays_under_its_bound(kind, copies):
    run = [sys.executable, "-c", MEASURE, kind, str(copies)]
    bound, taken = map(int, subprocess.run(run, check=True, capture_output=True, text=True).stdout.split())
    assert 0 < taken < bound, (taken, bound)
    assert bound < 2**30  # and is no excuse for anything


def test_a_stack_that_does_not_fit_is_refused_before_any_work(case, tmp_path):
    model, recipe, state = case
    slates = {0: top_k(model, 0, 4)[0]}
    enough = memory.stack_bytes(model, recipe, 6)
    arguments = ("model", model, recipe, state, WORLDS, slates)
    with Store(tmp_path / "a.sqlite", "f") as store:
        with pytest.raises(AccentError, match="A stack of 16 worlds may take .* MiB, but each worker has"):
            verify(*arguments, store, memory=enough)
        with pytest.raises(AccentError, match="A stack of 2 worlds"):
            verify(*arguments, store, stack_size=0, memory=2**20)
        assert store.outcomes().empty and store.work().empty
    assert memory.largest_stack(model, recipe, enough) == 6
    assert memory.largest_stack(model, recipe, 2**50) == 16


def test_a_device_that_is_not_there_is_one_sentence():
    assert choose_device("cpu") == "cpu" and choose_device("auto") in ("cpu", "cuda")
    with pytest.raises(AccentError, match="`device` is 'abacus', but must be where something can be trained"):
        choose_device("abacus")


def test_the_store_tells_how_far_the_work_has_come(case, tmp_path):
    model, _, state = case
    recipe = Recipe(3, batch_size=64)
    slates = {user: top_k(model, user, 4)[0] for user in (0, 3)}
    seen = []
    with Store(tmp_path / "a.sqlite", "f") as store:

        def look(done, total):
            seen.append(store.work()[["done", "total", "running"]].to_numpy().tolist())

        verify("m", model, recipe, state, WORLDS, slates, store, stack_size=3, seeds=(0, 1), progress=look)
        (row,) = store.work().itertuples()
    assert seen == [[], [[2, 8, 0]], [[4, 8, 0]], [[6, 8, 0]], [[8, 8, 0]]]
    assert row.rate > 0 and row.driver.endswith(f":{os.getpid()}")
