"""How the cost of explaining grows with users, items and the length of histories, up to ten million ratings.

NCF with untrained parameters on generated ratings: what is timed depends on shapes, not on values.  Items are
drawn with uneven popularity, lengths of histories are exponential.  One of the three numbers is varied at a
time around a middle setting.  Each setting runs in a process of its own, so that its peak of memory is its
own; the libraries alone take some 320 MiB of it.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from accent_lib.explainers import accent
from accent_lib.explanations import explain
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, top_k
from bench import Machine, write

#: Users, items, mean length of a history before ratings of the same item are counted once.
MIDDLE = (10_000, 10_000, 100)
SETTINGS = (
    (1_000, 10_000, 100),
    MIDDLE,
    (50_000, 10_000, 100),
    (10_000, 1_000, 100),
    (10_000, 100_000, 100),
    (10_000, 10_000, 20),
    (10_000, 10_000, 500),
    (75_000, 12_000, 140),  # like MovieLens 10M
)


def generate(n_users, n_items, mean_length, seed=0):
    """Ratings of random items, sorted by user, as `NCF` takes them."""
    generator, pairs = np.random.default_rng(seed), []
    for users in np.array_split(np.arange(n_users), 100):  # in parts, to keep the peak of memory low
        lengths = 2 + generator.exponential(mean_length - 2, len(users)).astype(int)
        items = (n_items * generator.random(lengths.sum()) ** 2).astype(int)  # low numbers are popular
        pairs.append(np.unique(np.repeat(users, lengths) * n_items + items))
    users, items = np.divmod(np.concatenate(pairs), n_items)
    ratings = generator.integers(1, 6, len(users)).astype(float)
    train = pd.DataFrame({"user": users, "item": items, "rating": ratings})
    return SimpleNamespace(n_users=n_users, n_items=n_items, train=train)


def peak():
    """Most memory that the process has held so far, in MiB."""
    unit = 2**10 if sys.platform == "linux" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(n_users, n_items, mean_length, sample, k):
    """One record: sizes, seconds to build the model, milliseconds a user of each part, peaks of memory."""
    torch.set_num_threads(1)
    clock = time.perf_counter
    data = generate(n_users, n_items, mean_length)
    begin = clock()
    model = NCF(data).double()
    record = {"interactions": model.n_actions, "users": n_users, "items": n_items}
    record |= {"mean_history": model.n_actions / n_users, "seconds_build": clock() - begin}
    record |= {"mib_model": sum(t.nbytes for t in (*model.parameters(), *model.buffers())) / 2**20}
    del data
    record["peak_mib_build"] = peak()

    users = np.random.default_rng(1).choice(n_users, sample, replace=False).tolist()
    begin = clock()
    slates = {user: top_k(model, user, k) for user in users}
    record["ms_slate"] = 1e3 * (clock() - begin) / sample
    for variant in ("objective", "paper"):
        begin = clock()
        analysis = fast_influence(model, variant)
        record[f"ms_prepare_{variant}"] = 1e3 * (clock() - begin)
        begin = clock()
        for user in users:
            analysis(user, slates[user][0])
        first = clock() - begin
        begin = clock()
        influences = {user: analysis(user, slates[user][0]) for user in users}
        again = clock() - begin
        record |= {f"ms_influence_{variant}": 1e3 * again / sample, f"peak_mib_{variant}": peak()}
    # What the variant paper computes once an item shows in the difference.
    record["ms_item_paper"] = 1e3 * (first - again) / len({i for items, _ in slates.values() for i in items})
    begin = clock()
    for user in users:
        accent(slates[user][1], influences[user].influence)
    record["ms_accent"] = 1e3 * (clock() - begin) / sample
    begin = clock()
    explain(model, users[0], k)
    record["ms_one_call"] = 1e3 * (clock() - begin)
    return record


def main():
    """Measure all settings, each in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=50, help="users that are explained")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--only", type=int, nargs=3, help="users, items, length: print this one's record")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(*arguments.only, arguments.sample, arguments.k)))
        return

    machine = Machine()
    columns = {
        "interactions": "interactions",
        "users": "users",
        "items": "items",
        "mean_history": "history",
        "seconds_build": "build s",
        "ms_slate": "slate ms",
        "ms_influence_objective": "objective ms",
        "ms_influence_paper": "paper ms",
        "ms_item_paper": "ms an item",
        "ms_accent": "ACCENT ms",
        "ms_one_call": "explain() ms",
        "mib_model": "model MiB",
        "peak_mib_build": "to build MiB",
        "peak_mib_objective": "objective MiB",
        "peak_mib_paper": "paper MiB",
    }
    print("  ".join(columns.values()))
    records = []
    for setting in SETTINGS:
        command = [sys.executable, "-m", "bench.scaling", "--only", *map(str, setting)]
        command += ["--sample", str(arguments.sample), "--k", str(arguments.k)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        records.append(record := json.loads(output))
        digits = {key: 0 if record[key] >= 100 else 1 for key in columns}
        print("  ".join(f"{record[key]:{len(columns[key])},.{digits[key]}f}" for key in columns), flush=True)
    result = {"sample": arguments.sample, "k": arguments.k, "records": records}
    write("scaling", result, machine)


if __name__ == "__main__":
    main()
