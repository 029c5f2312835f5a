"""The sets are the same on every processor, although influences are not.

``python -m tests.test_sets_on_processors`` is what the test runs as another processor.
"""

import os
import platform
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import torch

from accent_lib.datasets import load, prepare
from accent_lib.explanations import explain_users
from accent_lib.models import NCF
from accent_lib.training import Recipe, State, train
from tests.conftest import ROOT, do_without

# What torch is to call the processor, and how torch, its linear algebra and NumPy's are told to be on it.
PROCESSORS = {
    "DEFAULT": ("default", "COMPATIBLE", "Nehalem"),  # any x86-64
    "AVX2": ("avx2", "AVX2", "Haswell"),
    "AVX512": ("avx512", "AVX512", "SkylakeX"),
}
SETTINGS = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "OPENBLAS_CORETYPE")


def untrained():
    return NCF(prepare(load("sample")), dim=8)


def explain_all(parameters, folder):
    """Explain all users by a model whose parameters are in a file, and write down tables and processor."""
    model = untrained()
    model.load_state_dict(torch.load(parameters), strict=False)
    methods = ["accent", "fia", "pure_fia"]
    tables = explain_users("ncf", model, range(model.n_users), [5, 10, 20], methods)
    for name, table in zip(("slates", "explanations", "hessians"), tables, strict=True):
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.17g")
    (folder / "processor").write_text(torch.backends.cpu.get_cpu_capability(), encoding="utf-8")


def run_as(processor, parameters, folder):
    """Explain all users on an emulated processor; whether this machine has it."""
    folder.mkdir()
    emulated = dict(zip(SETTINGS, PROCESSORS[processor], strict=True))
    command = [sys.executable, "-m", "tests.test_sets_on_processors", parameters, folder]
    environment = {**os.environ, **emulated, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    if (
        process.returncode == -signal.SIGILL
    ):  # linear algebra that was told to be on a processor which this is not
        return False
    process.check_returncode()
    return (folder / "processor").read_text(encoding="utf-8") == processor


def test_sets_are_equal_on_every_processor(tmp_path):
    model = untrained()
    (state,) = train(model, Recipe(300, 1e-2, "linear", batch_size=256), [State.of(model)])
    parameters = tmp_path / "parameters.pt"
    torch.save(state.parameters, parameters)
    folders = {processor: tmp_path / processor for processor in PROCESSORS}
    with ThreadPoolExecutor(2) as executor:
        had = executor.map(run_as, folders, [parameters] * len(folders), folders.values())
        folders = {
            processor: folders[processor] for processor, there in zip(folders, had, strict=True) if there
        }
    if set(folders) != set(PROCESSORS):
        warnings.warn(
            f"this {platform.machine()} could only be {', '.join(folders) or 'itself'}", stacklevel=1
        )
    if len(folders) < 2:
        reason = (
            f"This test needs a machine that can be two processors, and this one is {platform.machine()}."
        )
        do_without(reason, reason)

    tables = {
        name: [pd.read_csv(folder / f"{name}.csv", dtype=str) for folder in folders.values()]
        for name in ("slates", "explanations", "hessians")
    }
    first, *others = tables["explanations"]
    assert (first["size"] != "0").groupby(first["method"]).sum().min() > 100, "there is something to compare"
    for other in others:
        pd.testing.assert_frame_equal(first, other)
    # Else the processors were not emulated, and equal sets would mean nothing.
    assert any(not tables["hessians"][0].equals(other) for other in tables["hessians"][1:])


if __name__ == "__main__":
    explain_all(*map(Path, sys.argv[1:]))
