"""What a GPU computes, computed here: tensor operations against loops, and a step that waits for nobody."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from accent_lib import AccentError
from accent_lib.datasets import prepare
from accent_lib.datasets.relations import Relations
from accent_lib.datasets.sample import generate
from accent_lib.explanations.methods import Attention
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, RCF, top_k
from accent_lib.models.rcf_tensors import TrainingEntries, entries_of
from accent_lib.training import Recipe, State, train
from accent_lib.training.stack import WARM_UP, Adagrad, Recorded, Stack, on

RECIPES = {
    "ncf": Recipe(25, 2**-8, "linear", batch_size=64),
    "rcf": Recipe(25, 2**-5, "linear", optimizer="adagrad", batch_size=60),
}


@pytest.fixture(scope="module")
def data():
    return prepare(generate(seed=1, n_users=20, n_items=40), min_positive=3, min_negative=2)


class NCFByTensors(NCF):
    loops = None


class RCFByTensors(RCF):
    by_tensors = True


def both(name, data):
    """A model that computes by loops, and its twin that computes as on a GPU."""
    if name == "ncf":
        return NCF(data, dim=8).double(), NCFByTensors(data, dim=8).double()
    return tuple(made(data, dim=6, attention=4).double() for made in (RCF, RCFByTensors))


def weights(model):
    """Weights of the actions in three worlds: all, some out, some between."""
    keep = np.random.default_rng(0).uniform(-0.5, 1.5, (3, model.n_actions)).clip(0, 1)
    keep[0] = 1
    return torch.tensor(keep)


@pytest.mark.parametrize("name", RECIPES)
def test_a_stack_of_tensors_ends_where_loops_end(name, data):
    """Through several epochs and the incomplete batches at their ends; then on from the moments."""
    loops, tensors = both(name, data)
    states, keep = [State.of(loops)] * 3, weights(loops)
    for _ in range(2):
        expected, ended = (train(m, RECIPES[name], states, keep=keep, seed=3) for m in (loops, tensors))
        for one, other in zip(expected, ended, strict=True):
            assert one.steps() == other.steps()
            for parameter, value in one.parameters.items():
                # The order of sums differs; RCF's Adagrad divides gradients by as little as 1e-4.
                torch.testing.assert_close(other.parameters[parameter], value, rtol=0, atol=1e-9)
        states = expected


@pytest.mark.parametrize("decay", [0.0, 0.125])
def test_adagrad_is_torch_s_to_the_bit(decay):
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.ones(50, requires_grad=True) for _ in range(2))
    rate = torch.tensor(0.0, dtype=torch.float64)
    options = {"weight_decay": decay, "initial_accumulator_value": 1e-8}
    first = Adagrad([{"params": [ours], "lr": rate}], **options)
    second = torch.optim.Adagrad([theirs], **options)
    for step in range(20):
        ours.grad = torch.randn(50, generator=generator)
        theirs.grad = ours.grad.clone()
        rate.fill_(0.05 / (step + 1))
        second.param_groups[0]["lr"] = float(rate)
        first.step()
        second.step()
        assert torch.equal(ours, theirs)
        for key, value in second.state[theirs].items():
            assert torch.equal(first.state[ours][key], value)


class WaitsForNobody(TorchDispatchMode):
    """Refuses operations whose result the host must see before it can go on."""

    WAITS = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "bincount", "equal", "is_nonzero")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        indices = args[1] if name == "index" else ()
        masks = any(index is not None and index.dtype == torch.bool for index in indices)
        lengths = name == "repeat_interleave" and (kwargs or {}).get("output_size") is None
        assert not (
            masks or lengths or name.strip("_").rstrip("2") in self.WAITS + ("local_scalar_dense",)
        ), name
        return function(*args, **(kwargs or {}))


def test_the_check_for_waiting_sees_who_waits():
    value = torch.tensor([1.0, 0.0])
    waiting = (
        lambda: value[0].item(),
        lambda: value[value > 0],
        lambda: value.unique(),
        lambda: bool(value[0]),
    )
    for wait in waiting:
        with pytest.raises(AssertionError), WaitsForNobody():
            wait()


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_waits_for_nobody(name, data):
    """Else it could not be recorded on a GPU; all of its batches are made before."""
    _, tensors = both(name, data)
    stack = Stack(tensors, RECIPES[name], [State.of(tensors)] * 3, weights(tensors))
    for batch in list(tensors.batches(60, torch.Generator().manual_seed(0))):
        with (
            WaitsForNobody(),
            torch.device("meta"),
        ):  # where no tensor may be made, for want of a device's name
            stack.rate.fill_(0.01)
            stack.step(batch)


@pytest.fixture
def given(monkeypatch):
    """Batches that a function was given; graphs of a GPU of pretence give it what they were recorded with."""
    given = []

    class Graph:
        def replay(self):
            given.append(self.batch)

    @contextlib.contextmanager
    def graph(recorded, pool):
        yield
        recorded.batch = given.pop()  # recording runs nothing

    stream = SimpleNamespace(wait_stream=lambda other: None)
    pretence = {"Stream": lambda: stream, "current_stream": lambda: stream, "graph_pool_handle": lambda: None}
    pretence |= {"CUDAGraph": Graph, "graph": graph}
    pretence |= dict.fromkeys(("stream", "device"), lambda _: contextlib.nullcontext())
    for name, value in pretence.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return given


def test_a_recorded_function_is_given_every_batch_once(given):
    recorded, batches = Recorded(given.append, "cuda"), []
    for number, size in enumerate([2, 3, 2, 2, 3, 2, 2, 3, 3, 2]):
        batches.append((torch.full((size,), float(number)), (torch.tensor(number),)))
        recorded(batches[-1])
        assert len(given) == number + 1
        values, (same,) = given[-1]
        assert values.tolist() == [number] * size and same == number
    replayed = [number for number, batch in enumerate(given) if batch is not batches[number]]
    assert replayed == [5, 6, 8, 9] and WARM_UP == 3
    assert given[5] is given[6] is given[9] is not given[8]  # a graph for each shape


def test_a_step_that_cannot_be_recorded_is_one_sentence(given):
    def waits(batch):
        given.append(batch)
        if len(given) > WARM_UP:
            raise RuntimeError("operation not permitted when stream is capturing")

    recorded = Recorded(waits, "cuda")
    for _ in range(WARM_UP):
        recorded(torch.zeros(2))
    with pytest.raises(AccentError, match="`batch_loss` waits for the host .*operation not permitted"):
        recorded(torch.zeros(2))


def test_entries_are_the_values_that_items_share(data):
    """Those of the training triples, listed from the table of relations, one pair at a time."""
    model, relations = RCFByTensors(data, dim=6, attention=4), Relations.of(data.attributes)
    rows = torch.tensor([5, 0, model.n_actions - 1, 7])
    with torch.device("meta"):  # where no tensor may be made, for want of a device's name
        listed = TrainingEntries(model.triples, model._histories)
        (room,) = listed.rooms([rows])
        entries = torch.stack(listed.of(rows, room)).T.tolist()
    expected = []
    for column in (1, 2):
        for pair, row in enumerate(rows.tolist()):
            user, target = model.triples[row][[0, column]].tolist()
            part = model.action_slice(user)
            for action, item in zip(range(part.start, part.stop), model.actions(user).tolist(), strict=True):
                for value in relations.entries(target, item).tolist():
                    at = pair + (column - 1) * len(rows)
                    expected.append([at, item, value, action, int(relations.types[value])])
    assert sorted(entries[: len(expected)]) == sorted(expected)
    nobody = [pair for pair, *_ in entries[len(expected) :]]
    assert nobody == [2 * len(rows)] * (room - len(expected)) and room < 1.2 * len(expected)
    users, items = model.triples[rows][:, 0], model.triples[rows][:, 1]
    directly = torch.stack(entries_of(users, items, model._histories)).T.tolist()
    assert sorted(directly) == sorted(entry for entry in expected if entry[0] < len(rows))


def test_few_batches_differ_in_shape(data):
    """Each shape takes a graph of its own, and what is reserved for nobody is computed, too."""
    model = RCFByTensors(data, dim=6, attention=4)
    batches = [b for seed in range(20) for b in model.batches(32, torch.Generator().manual_seed(seed))]
    shapes = {tuple(leaf.shape for leaf in tree_flatten(batch)[0]) for batch in batches}
    assert len(shapes) < len(batches) / 4
    wasted = [1 - float((batch.entries[0] < len(batch.users)).double().mean()) for batch in batches]
    assert max(wasted) < 1 / 16


def test_a_model_is_copied_to_another_device_alone():
    model = torch.nn.Linear(1, 1)
    assert on(model, None) is on(model, "cpu") is model
    elsewhere = on(model, "meta")
    assert elsewhere.weight.is_meta and not model.weight.is_meta


@pytest.mark.parametrize("variant", ["paper", "shared"])
def test_influence_by_tensors_is_that_of_loops(variant, data):
    loops, tensors = both("rcf", data)
    items = loops.candidates(4)[:6]
    here, there = (fast_influence(model, variant)(4, items) for model in (loops, tensors))
    assert abs(here.influence).max() > 1e-4
    # Solves of Hessians whose condition is below 1e4, in double precision.
    np.testing.assert_allclose(there.influence, here.influence, rtol=0, atol=1e-11)
    np.testing.assert_allclose(there.by_input, here.by_input, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", RECIPES)
def test_explaining_makes_every_tensor_where_the_model_lies(name, data):
    """Where one is made elsewhere, no device being named, it has no numbers here, and something fails."""
    _, model = both(name, data)
    other = ("shared", {"others": True}) if name == "rcf" else ("objective", {"own_term": False})
    for variant, options in (("paper", {}), other):
        here = fast_influence(model, variant, **options)(4, top_k(model, 4, 5)[0])
        with torch.device("meta"):
            items, scores = top_k(model, 4, 5)
            there = fast_influence(model, variant, **options)(4, items)
            if name == "rcf":
                keep = np.ones((1, len(model.actions(4))))
                np.testing.assert_allclose(Attention(model, 4, items).rescore(keep)[0], scores, atol=1e-12)
        np.testing.assert_array_equal(there.influence, here.influence)
