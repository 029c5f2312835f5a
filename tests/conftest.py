"""Data shared by all tests: the sample, and MovieLens 100K where it can be had."""

import os

import pytest

from accent_lib.datasets import load, prepare
from accent_lib.errors import AccentError


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
