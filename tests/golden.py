"""Tiny trainings that are the same for ever: a few ratings, a search, worlds, and what they end in.

`tests/golden.json` holds what `numbers()` gave; ``python -m tests.golden`` writes it anew, but only where the
``revision`` of a model whose numbers changed was raised.  The tables of ``tests/older_layout`` then have to
be written anew, too.
"""

import hashlib
import inspect
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from accent_lib.datasets import Ratings, prepare
from accent_lib.models import NCF, RCF, gelu, top_k
from accent_lib.retraining.engine import observe, retrain
from accent_lib.retraining.identity import base_identity, outcomes_identity, training_identity
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, Round, State, objective, search, train

FILE = Path(__file__).with_suffix(".json")
# A row for each user, a column for each film; a dot where there is no rating.
STARS = """
.223..32354..32532523423
352252.4234224324.241142
3.5114.24234.2.3144...35
52.5134..423.2.413323532
441.5335224..42252244141
2.421434.2...3322533432.
.335345325..522.4.432443
341353242.5..532.22.42.3
2.52433.5233225.2.3..324
42243252..33521414.21.22
.5.333341353.543.2..4.41
22421422.335.144341442.3
""".split()
WORLDS = [World(), World.parse("3:0 1"), World.parse("0:2;7:1")]


def data():
    """Prepare the ratings, which are given from left to right."""
    ratings = pd.DataFrame(
        [
            (user, item, int(star), 100 * user + item)
            for user, row in enumerate(STARS)
            for item, star in enumerate(row)
            if star != "."
        ],
        columns=["user", "item", "rating", "timestamp"],
    )
    films = range(len(STARS[0]))
    items = pd.DataFrame(
        {"title": [f"film {i}" for i in films], "year": 2000, "genres": [(f"genre {i % 3}",) for i in films]}
    )
    attributes = pd.DataFrame(
        {
            "genres": [(i % 3, 3 + i % 2) for i in films],
            "directors": [(i % 7,) for i in films],
            "actors": [(i % 5, 5 + i % 4) for i in films],
        }
    )
    return prepare(Ratings("golden", ratings, items.astype({"year": "Int64"}), attributes), 3, 2, 2)


def digest(states):
    """Hash of the bytes of all parameters and moments."""
    digest = hashlib.sha256()
    for state in states:
        for name, value in state.parameters.items():
            digest.update(value.numpy().tobytes())
            for moment in state.moments[name].values():
                digest.update(moment.numpy().tobytes())
    return digest.hexdigest()[:16]


def ncf_numbers(activation=torch.relu, stack_size=5, processes=1, model_class=NCF):
    """Search for a base model of NCF and retrain it in each world: digests and the objective."""
    interactions = data()

    def make(seed):
        return model_class(interactions, dim=8, activation=activation, seed=seed)

    rounds = [
        Round(5, Recipe(40, 0.01, batch_size=50)),
        Round(2, Recipe(60, 0.01, "linear", batch_size=50, shuffle_first=False)),
    ]
    settings = {"seed": 3, "stack_size": stack_size}
    if processes > 1:
        with ProcessPoolExecutor(processes) as executor:
            states, record = search(make, rounds, executor=executor, **settings)
    else:
        states, record = search(make, rounds, **settings)
    recipe = Recipe(50, 0.005, "linear", batch_size=50)
    worlds = [
        state
        for start in range(0, len(WORLDS), stack_size)
        for state in retrain(make(3), recipe, states[0], WORLDS[start : start + stack_size], seed=1)
    ]
    return {
        "initial": digest_of_start(make(3)),
        "base": digest(states),
        "objectives": [row["objective"] for row in record],
        "worlds": digest(worlds),
    }


def digest_of_start(model):
    """Hash of the bytes of a model's initial parameters."""
    values = b"".join(value.detach().numpy().tobytes() for value in model.parameters())
    return hashlib.sha256(values).hexdigest()[:16]


def rcf_numbers(model_class=RCF):
    """Train RCF and retrain it from scratch in each world: objective and scores of two users' slates."""
    model = model_class(data(), dim=8, attention=4)
    start, recipe = State.of(model), Recipe(60, 0.05, optimizer="adagrad", batch_size=32)
    (base,) = train(model, recipe, [start], seed=0)
    model_objective = float(objective(model, [base])[0])
    base.into(model)
    slates = {user: top_k(model, user, 4)[0] for user in (0, 3)}
    scores = []
    for world, state in zip(WORLDS, retrain(model, recipe, start, WORLDS, seed=1), strict=True):
        scores += [outcome.scores for outcome in observe(state.into(model), world, slates, slates)]
    return {
        "objective": model_objective,
        "slates": {str(user): items.tolist() for user, items in slates.items()},
        "scores": np.round(scores, 6).tolist(),
    }


def retrained(name, folder, worlds=WORLDS, half_done=None):
    """Retrain a base model in some worlds, perhaps going on from a table: outcomes, and the work done."""
    model = NCF(data(), dim=8) if name == "ncf" else RCF(data(), dim=8, attention=4)
    recipe = RECIPES[name]
    made = training_identity(model, data().fingerprint, recipe=asdict(recipe), seed=0)
    (base,) = train(model, recipe, [State.of(model)], seed=0)
    start = State.of(model) if name == "rcf" else base
    identity = outcomes_identity(model, base_identity(model, base, made), recipe)
    base.into(model)
    slates = {user: top_k(model, user, 4)[0] for user in (0, 3, 7)}
    seen = []
    with Store(folder / "worlds.sqlite", identity) as store:
        if half_done is not None:
            new, strangers = store.import_(half_done, slates)
            assert new and not strangers
        options = {"stack_size": 2, "progress": lambda done, total: seen.append(done)}
        verify(name, model, recipe, start, worlds, slates, store, **options)
        store.export(folder / f"{name}.csv.gz")
        return store.outcomes(slates), seen


RECIPES = {
    "ncf": Recipe(50, 0.005, "linear", batch_size=50),
    "rcf": Recipe(60, 0.05, optimizer="adagrad", batch_size=32),
}


def numbers():
    """All golden numbers, by model, with its revision and the settings that it has by default."""
    return {
        "ncf": ncf_numbers() | named(NCF),
        "ncf with gelu": ncf_numbers(gelu) | named(NCF),
        "rcf": rcf_numbers() | named(RCF),
    }


def named(model_class):
    """Revision of a model, and its default settings as text."""
    parameters = inspect.signature(model_class).parameters.values()
    settings = {p.name: getattr(p.default, "__name__", repr(p.default)) for p in parameters}
    return {"revision": model_class.revision, "settings": settings}


def write():
    """Write the golden numbers, unless some changed under an old revision."""
    made, old = numbers(), json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for name, values in made.items():
        same = {key: value for key, value in old.get(name, {}).items() if key != "revision"}
        if values["revision"] == old.get(name, {}).get("revision") and values | same != values:
            sys.exit(f"The numbers of {name} have changed: raise its revision first.")
    FILE.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == []:
        write()
    else:  # for a test that trains NCF on another processor
        for name, activation in (("ncf", torch.relu), ("ncf with gelu", gelu)):
            for work in ({"stack_size": 1, "processes": 2}, {"stack_size": 5, "processes": 1}):
                print(json.dumps([name, work, ncf_numbers(activation, **work) | named(NCF)]))
