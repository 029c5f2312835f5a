"""What `fit` reaches from seed to seed on public data, by both settings that are made for unseen ratings.

``python -m accent_book.experiments.fits`` fits NCF to ml-latest-small, as the README does, and to MovieLens
100K, each seed with starts of its own.  The table goes to ``data/results/fits.csv``: a row for each setting,
data set, split and seed, with what the same held-out ratings cost means of users and items.

The settings were chosen by the ratings held out of seeds 0 and 1.  So there is a second split, ``earlier``,
that had no part in it: without these ratings, the last ones before them are held out.
"""

import argparse
import time
import warnings
from dataclasses import replace
from itertools import product

import pandas as pd
import torch

import accent_lib as al
from accent_book import runs
from accent_book.experiments.command import write_about, write_table

SETTINGS = ["generalising", "accurate"]
#: Seeds by data set.
SEEDS = {"ml-latest-small": range(5), "ml-100k": range(3)}
SPLITS = ["latest", "earlier"]
KEYS = ["setting", "dataset", "split", "seed"]
FACTS = ["objective", "held_out_rmse", "rmse_of_means", "different_recommendations"]


def split_of(name: str, split: str):
    """A data set with its latest ratings held out, or without them and with the ones before held out."""
    ratings = al.load(name)
    data = al.prepare(ratings)
    if split == "latest":
        return data
    held_out = pd.MultiIndex.from_arrays([data.user_ids[data.test["user"]], data.item_ids[data.test["item"]]])
    rows = pd.MultiIndex.from_frame(ratings.ratings[["user", "item"]])
    return al.prepare(replace(ratings, ratings=ratings.ratings[~rows.isin(held_out)]))


def row_of(data, setting: str, seed: int) -> dict:
    """Fit, and say how good that is; seconds are those of the processor."""
    begin = time.process_time()
    model = al.NCF(data, setting, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the table
        model.fit()
    row = {"users": model.data.n_users} | {fact: model.facts[fact] for fact in FACTS}
    return row | {"seconds": round(time.process_time() - begin, 1)}


def main() -> None:
    """Fit what the table lacks, and write it after each fit."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    path = runs.results_folder() / "fits.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEYS)
    for name, split in product(SEEDS, SPLITS):
        data = split_of(name, split)
        for setting, seed in product(SETTINGS, SEEDS[name]):
            key = dict(zip(KEYS, (setting, name, split, seed), strict=True))
            if (table[KEYS] == pd.Series(key)).all(axis=1).any():
                continue
            row = pd.DataFrame([key | row_of(data, setting, seed)])
            table = pd.concat([table, row]) if len(table) else row
            table = table.sort_values(KEYS, ascending=[False] * 3 + [True])
            write_table(path, table)
            write_about(path.with_suffix(".json"), {"settings": SETTINGS, "splits": SPLITS})
            print(row.to_string(index=False, header=False), flush=True)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
