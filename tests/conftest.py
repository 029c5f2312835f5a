"""What tests share: the sample, MovieLens 100K where it can be had, and one run of all notebooks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accent_lib.datasets import load, prepare
from accent_lib.errors import AccentError

ROOT = Path(__file__).parents[1]
# Enough to show everything, too little to learn much.
TINY = {
    "01_data": {},
    "02_training": {
        "round_starts": [4, 2],
        "round_steps": [100, 300],
        "comparison_steps": 16,
        "rcf_epochs": 3,
    },
    "03_influence": {
        "refit_users": 2,
        "refit_actions": 2,
        "gelu_steps": 100,
        "check_steps": 40,
        "rcf_users": 2,
        "rcf_actions": 1,
    },
    "04_explanations": {"ks": [3, 6]},
    "05_verification": {
        "n_users": 6,
        "retraining_steps": 40,
        "rcf_retraining_epochs": 3,
        "rcf_warm_epochs": 1,
    },
    "06_analysis": {"resamples": 200},
    "07_scale": {"steps": 10, "copies": 3},
    "08_reproduction": {"resamples": 100},
    "09_failures": {"resamples": 100},
    "10_own_model": {"steps": 300, "mf_users": 6, "mf_retraining_steps": 30},
}


@pytest.fixture(scope="session")
def sample():
    """Prepare the embedded sample."""
    return prepare(load("sample"))


@pytest.fixture(scope="session")
def real_ratings():
    """Load MovieLens 100K; without it, fail in CI and skip elsewhere."""
    try:
        return load("ml-100k")
    except AccentError as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must run the tests on real data, so set ACCENT_DATA_HOME there. {error}")
        pytest.skip(f"This test needs MovieLens 100K. {error}")


@pytest.fixture(scope="session")
def real(real_ratings):
    """Prepare MovieLens 100K as the paper did."""
    return prepare(real_ratings)


def papermill(name, folder, *arguments):
    """Run one notebook from the project's folder, as a reader would, and return the finished process."""
    command = [sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb", str(folder / f"{name}.ipynb")]
    environment = {**os.environ, "ACCENT_RUNS": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "--no-progress-bar", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Run all notebooks in order on a tiny profile; the folder, and what papermill said by name.

    The folder holds the executed notebooks and, in ``tiny/``, what they made.
    """
    folder, finished = tmp_path_factory.mktemp("runs"), {}
    for name, settings in TINY.items():
        overrides = [
            argument
            for key, value in {"run": "tiny", **settings}.items()
            for argument in ("-y", f"{key}: {json.dumps(value)}")
        ]
        finished[name] = papermill(name, folder, *overrides)
        if finished[name].returncode:
            break
    return folder, finished
