"""What `fit` reaches from seed to seed on public data, by the setting that is made to generalise.

``python -m accent_book.experiments.fits`` fits NCF to ml-latest-small, as the README does, and to MovieLens
100K, each seed with starts of its own.  The table goes to ``data/results/fits.csv``: a row for each data set
and seed, with what the same held-out ratings cost means of users and items.
"""

import argparse
import time
import warnings

import pandas as pd
import torch

import accent_lib as al
from accent_book import runs
from accent_book.experiments.command import write_about, write_table

SETTING = "generalising"
#: Seeds by data set.
SEEDS = {"ml-latest-small": range(5), "ml-100k": range(3)}
FACTS = ["objective", "held_out_rmse", "rmse_of_means", "different_recommendations"]


def row_of(name: str, data, seed: int) -> dict:
    """Fit, and say how good that is; seconds are those of the processor."""
    begin = time.process_time()
    model = al.NCF(data, SETTING, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the table
        model.fit()
    row = {"dataset": name, "seed": seed, "users": model.data.n_users}
    row |= {fact: model.facts[fact] for fact in FACTS}
    return row | {"seconds": round(time.process_time() - begin, 1)}


def main() -> None:
    """Fit what the table lacks, and write it after each fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", action="append", choices=list(SEEDS), help="default: both")
    names = parser.parse_args().dataset or list(SEEDS)
    torch.set_num_threads(1)
    path = runs.results_folder() / "fits.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    for name in names:
        known = {row["seed"] for row in rows if row["dataset"] == name}
        waiting = [seed for seed in SEEDS[name] if seed not in known]
        data = al.prepare(al.load(name)) if waiting else None
        for seed in waiting:
            rows.append(row_of(name, data, seed))
            table = pd.DataFrame(rows).sort_values(["dataset", "seed"], ascending=[False, True])
            write_table(path, table)
            write_about(path.with_suffix(".json"), {"setting": SETTING})
            print(rows[-1], flush=True)
    print(pd.read_csv(path).to_string(index=False))


if __name__ == "__main__":
    main()
