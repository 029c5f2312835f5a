"""Verify what ``case`` holds, with two workers: what notebook 05 does, as a command."""

import pickle
import sys

from accent_lib import parallel
from accent_lib.errors import AccentError
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify

if __name__ == "__main__":
    with open("case", "rb") as file:
        case = pickle.load(file)
    try:
        with parallel.executor(2) as executor, Store("runs/sample/worlds-abc.sqlite", "abc") as store:
            verify("ncf", *case, store, executor=executor, stack_size=2)
            store.export("runs/sample/outcomes.csv")
    except AccentError as error:
        sys.exit(f"error: {error}")
