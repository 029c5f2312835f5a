"""Estimates of what retraining does, beside what it did: block influences, and influence through training.

``python -m accent_book.experiments.through generalising-8`` takes the removals of
``data/results/ncf-rounding/generalising-8.csv``, ACCENT's sets and single actions, and estimates each by the
influence of both variants and by the derivative of the retrained gap, through every step of the retraining in
the first order of the batches.  The table goes to ``data/results/ncf-through/``; what it holds is not made
again.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch

from accent_book import runs
from accent_book.experiments.base_models import GENERALISING_NAMES, NAMES, base_model, movielens
from accent_book.experiments.command import positive, write_about, write_table
from accent_book.experiments.rounding import SEEDS, questions
from accent_lib.influence import Contrast, fast_influence, through_training
from accent_lib.training import recipes

#: Contrasts that go backwards together: as many as memory holds well.
TOGETHER = 20
#: Users of the table of roundings, of which this one takes the first.
ROUNDING_USERS = 200


def main() -> None:
    """Estimate what the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", choices=[*NAMES, *GENERALISING_NAMES])
    parser.add_argument("--users", type=positive, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = movielens()
    base = base_model(arguments.base, data, runs.runs_folder() / "bases")
    asked, items = questions(base.model, data.n_users, ROUNDING_USERS)
    users = asked["user"].drop_duplicates().iloc[: arguments.users].tolist()
    path = runs.results_folder() / "ncf-through" / f"{arguments.base}.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame({"user": []})
    lacking = [user for user in users if user not in set(done["user"])]
    analyses = {variant: fast_influence(base.model, variant=variant) for variant in ("paper", "objective")}
    for start in range(0, len(lacking), TOGETHER):
        some, begin = lacking[start : start + TOGETHER], time.perf_counter()
        of = asked[asked["user"].isin(some)]
        places = of.groupby("user", sort=False)["place"].first()
        contrasts = [Contrast(u, items[u][[0, place]], (1.0, -1.0)) for u, place in places.items()]
        values, slopes = through_training(
            base.model, recipes.NCF_RETRAINING, base.state, contrasts, seed=SEEDS[0]
        )
        of_user = dict(zip(places.index, zip(values, slopes, strict=True), strict=True))
        seconds = (time.perf_counter() - begin) / len(some)
        rows = []
        for row in of.itertuples():
            value, slope = of_user[row.user]
            removed = list(row.removed)
            estimates = {"through": slope[removed].sum()}
            for variant, analysis in analyses.items():
                estimate = analysis(row.user, items[row.user][[0, row.place]])
                estimates[variant] = float(np.subtract(*estimate.influence[:, removed].sum(1)))
            about = {"user": row.user, "kind": row.kind, "size": len(removed), "control_gap": value}
            rows.append(about | estimates | {"seconds": seconds})
        done = pd.concat([done, pd.DataFrame(rows)], ignore_index=True)
        write_table(path, done.astype({"user": int, "size": int}))
        write_about(path.with_suffix(".json"), {"base": arguments.base, "seed": SEEDS[0]})
        print(f"{done['user'].nunique()} of {len(users)} users", flush=True)


if __name__ == "__main__":
    main()
