"""What a model computes is the same on every processor, and never changes unnoticed."""

import inspect
import json
import os
import platform
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit

from accent_lib import training
from accent_lib.models import NCF, RCF, gelu, ncf, ncf_loops
from accent_lib.retraining.outcomes import import_outcomes
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, stack
from tests import golden

ROOT = Path(__file__).parents[1]
GOLDEN = json.loads(golden.FILE.read_text(encoding="utf-8"))
# RCF's exponentials and matrix products differ between processors in the last digit; its training is smooth
# and leaves up to 2e-5 of that on logits of this case (emulated processors, one and two threads).
RCF_TOLERANCE = 1e-3
# How Numba and torch are told to compute as an older processor does.
PROCESSORS = {
    "DEFAULT": {"NUMBA_CPU_NAME": "generic", "ATEN_CPU_CAPABILITY": "default"},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "ATEN_CPU_CAPABILITY": "avx2"},
    "AVX512": {"NUMBA_CPU_NAME": "skylake-avx512", "ATEN_CPU_CAPABILITY": "avx512"},
}


def assert_rcf(numbers):
    assert numbers["slates"] == GOLDEN["rcf"]["slates"]
    assert numbers.get("settings", GOLDEN["rcf"]["settings"]) == GOLDEN["rcf"]["settings"]
    for name in ("objective", "scores"):
        np.testing.assert_allclose(numbers[name], GOLDEN["rcf"][name], rtol=0, atol=RCF_TOLERANCE)


def test_the_numbers_are_those_of_this_revision():
    """Who changed them on purpose raises the model's revision and says ``python -m tests.golden``."""
    numbers = golden.numbers()
    assert numbers["ncf"] == GOLDEN["ncf"]
    assert numbers["ncf with gelu"] == GOLDEN["ncf with gelu"]
    assert_rcf(numbers["rcf"])


@pytest.mark.parametrize("name", golden.RECIPES)
def test_outcomes_of_an_older_layout_are_continued(name, tmp_path):
    """The tables were written when every module lay elsewhere; a name that depended on that would not fit."""
    alone, _ = golden.retrained(name, tmp_path / "alone")
    half_done = ROOT / "tests" / "older_layout" / f"{name}.csv.gz"
    assert len(import_outcomes(half_done)[0]) == 4
    table, done = golden.retrained(name, tmp_path / "continued", half_done=half_done)
    assert done[0] == 1 and done[-1] == 2  # of two worlds beside the control
    assert table["world"].tolist() == alone["world"].tolist()
    if name == "ncf":
        assert table["scores"].tolist() == alone["scores"].tolist()
    else:
        scores = [outcomes["scores"].tolist() for outcomes in (table, alone)]
        np.testing.assert_allclose(*scores, rtol=0, atol=RCF_TOLERANCE)


def test_ncf_is_the_same_to_the_bit_on_every_processor():
    """Search, then worlds, in stacks of one and of five, in one process and in two."""
    here = torch.backends.cpu.get_cpu_capability()
    known = list(PROCESSORS)
    names = known[: known.index(here) + 1] if here in known else ["DEFAULT"]
    emulated = {name: PROCESSORS[name] | {"NUMBA_CPU_FEATURES": ""} for name in names}
    if platform.machine().lower() not in ("x86_64", "amd64"):
        emulated = {"DEFAULT": {"ATEN_CPU_CAPABILITY": "default"}}
    processors = {"this processor": {}, **emulated}
    print("NCF was trained as on:", ", ".join(processors))
    assert len(processors) > 1
    for processor, settings in processors.items():
        command = [sys.executable, "-m", "tests.golden", "everything"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 4
        for name, work, numbers in map(json.loads, lines):
            assert numbers == GOLDEN[name], (processor, work)


def test_numbers_that_changed_under_an_old_revision_are_not_written(monkeypatch, tmp_path):
    path = tmp_path / "golden.json"
    path.write_text(golden.FILE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(golden, "FILE", path)
    monkeypatch.setattr(golden, "numbers", lambda: GOLDEN | {"ncf": GOLDEN["ncf"] | {"base": "other"}})
    with pytest.raises(SystemExit, match="numbers of ncf have changed: raise its revision"):
        golden.write()
    monkeypatch.setattr(
        golden, "numbers", lambda: GOLDEN | {"ncf": GOLDEN["ncf"] | {"base": "other", "revision": 99}}
    )
    golden.write()
    assert json.loads(path.read_text(encoding="utf-8"))["ncf"]["base"] == "other"


def test_gelu_by_loops_is_torchs(sample):
    """200 steps in single precision; 1e-5 is a hundred roundings of a score of five stars."""
    model = NCF(sample, activation=gelu)
    plain = NCF(sample, activation=lambda x: gelu(x))  # the same function, but not known to be
    assert plain.loops is None
    recipe = Recipe(200, 1e-3, batch_size=256)
    users, items = torch.arange(sample.n_users)[:, None], torch.arange(sample.n_items)
    scores, start = [], training.State.of(model)
    for trained in (model, plain):
        (state,) = training.train(trained, recipe, [start], seed=1)
        with torch.no_grad():
            scores.append(state.into(trained)(users.expand(-1, len(items)), items.expand(len(users), -1)))
    assert (scores[0] - scores[1]).abs().max() < 1e-5


def loops_with(old, new):
    """The loops of NCF with a piece of their source exchanged; only what depends on it is compiled anew."""
    changed = vars(ncf_loops) | {"_jit": njit(error_model="numpy"), "__name__": "changed_loops"}
    sources = [
        inspect.getsource(getattr(piece, "py_func", piece))
        for piece in (ncf_loops._adam, ncf_loops.add_gradient, ncf_loops.adam_steps, ncf_loops.Loops)
    ]
    (first,) = (number for number, source in enumerate(sources) if old in source)
    assert sources[first].count(old) == 1
    sources[first] = sources[first].replace(old, new)
    sys.modules["changed_loops"] = types.ModuleType("changed_loops")  # dataclasses look their module up
    for source in (sources[first], *sources[2:]):
        exec(source, changed)
    return changed["Loops"]


def half_removed(self, model):
    return (1 + ORIGINAL_KEEP(self, model)) / 2


ORIGINAL_KEEP = World.keep
ORIGINAL_PERMUTATION = torch.randperm
ORIGINAL_ADAGRAD = stack.Adagrad
NCF_CHANGES = {
    "a removed action stays by half": (World, "keep", half_removed),
    "the rate falls a step earlier": (
        Recipe,
        "rate",
        lambda self, step: self.learning_rate * (1 - (step + 1) / (self.steps + 1)),
    ),
    "batches in another order": (
        torch,
        "randperm",
        lambda n, generator=None: ORIGINAL_PERMUTATION(n, generator=generator).flip(0),
    ),
    "another weight decay": (
        NCF,
        "weight_decay",
        lambda self: {name: 0.0 if "bias" in name else 0.00101 for name, _ in self.named_parameters()},
    ),
    "another loss": ("2 * keep[start + t]", "2.001 * keep[start + t]"),
    "another constant of Adam": ("real(0.999)", "real(0.9991)"),
    "another correction of bias": ("_power(power2, 0.999), 0", "_power(power2, 0.9991), 0"),
}
RCF_CHANGES = {
    "a removed action stays by half": NCF_CHANGES["a removed action stays by half"],
    "a rate that falls": (
        Recipe,
        "rate",
        lambda self, step: self.learning_rate * (1 - 0.5 * step / self.steps),
    ),
    "batches in another order": NCF_CHANGES["batches in another order"],
    "another loss": (
        RCF,
        "batch_loss",
        lambda self, batch, keep=None, original=RCF.batch_loss: 1.1 * original(self, batch, keep),
    ),
    "another constant of Adagrad": (
        stack,
        "Adagrad",
        lambda groups, **settings: ORIGINAL_ADAGRAD(groups, **settings | {"initial_accumulator_value": 1e-4}),
    ),
}


@pytest.mark.parametrize("change", NCF_CHANGES)
def test_a_change_of_ncf_is_noticed(change, monkeypatch):
    *place, new = NCF_CHANGES[change]
    if isinstance(place[0], str):
        monkeypatch.setattr(ncf, "Loops", loops_with(place[0], new))
    else:
        monkeypatch.setattr(*place, new)
    assert golden.ncf_numbers() | golden.named(NCF) != GOLDEN["ncf"]


@pytest.mark.parametrize("change", RCF_CHANGES)
def test_a_change_of_rcf_is_noticed(change, monkeypatch):
    monkeypatch.setattr(*RCF_CHANGES[change])
    with pytest.raises(AssertionError):
        assert_rcf(golden.rcf_numbers())
