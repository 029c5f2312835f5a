"""Other ways to explain the same recommendations: the other influence of each model, and one-versus-all.

NCF's other influence is that of the training objective (``objective``), where Fast Influence Analysis scales
the regulariser otherwise (``paper``); RCF's takes every action out of the history of the Hessian, too
(``paper``), where one Hessian serves all of a user's actions (``shared``). One-versus-all is the paper's own
variant of ACCENT (section 4.3).

Needs a run folder in which notebooks 01 to 04 were run on the real data (``--run``); sets that notebook 05
has verified are not trained again.  Explanations and outcomes go to ``data/results/<model>-variants/``.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pandas as pd
import torch

from accent_book import runs
from accent_book.experiments.command import parser_of
from accent_book.experiments.headline import retraining_of
from accent_book.experiments.rounds import retrained
from accent_book.runs.folder import Run
from accent_book.runs.manifest import kept
from accent_book.runs.origin import provenance
from accent_book.runs.progress import progress
from accent_book.runs.sources import sources_of_notebooks
from accent_lib import parallel
from accent_lib.explanations import explain_users
from accent_lib.retraining.outcomes import export_outcomes
from accent_lib.retraining.worlds import grouped, worlds_of

#: By model: variants of the influence, and the methods that are explained with each.
INFLUENCE = ["accent", "fia", "pure_fia"]
METHODS = {
    "ncf": {"paper": ["one_versus_all"], "objective": INFLUENCE},
    "rcf": {"shared": ["one_versus_all"], "paper": INFLUENCE},
}
KS = [5, 10, 20]


def main() -> None:
    """Explain all users by each variant, retrain without the sets that are new, and write the tables."""
    parser = parser_of(__doc__, METHODS)
    parser.add_argument("--seeds", type=int, default=1, help="orders of the batches")
    parser.add_argument("--epochs", type=int, default=20, help="of RCF")
    parser.add_argument("--users-per-world", type=int, help="default: 1 for NCF, 30 for RCF")
    arguments = parser.parse_args()
    begin, name, seeds = time.perf_counter(), arguments.model, list(range(arguments.seeds))

    torch.set_num_threads(1)
    run = Run("variants", {"run": arguments.run})
    data = runs.interactions(run)
    retraining, size = retraining_of(run, name, data, arguments.epochs)
    size = arguments.users_per_world or size
    slates, tables = runs.slates_of(run, name), []
    for variant, methods in METHODS[name].items():
        with ThreadPoolExecutor(arguments.workers) as threads:
            explanations = explain_users(
                name, retraining.model, range(data.n_users), KS, methods, threads, variant=variant
            )[1]
        run.log(f"{name}: {len(explanations):,} explanations with the influence {variant}")
        # One-versus-all differs by the method alone; the others by the influence alone.
        alone = set(methods) == {"one_versus_all"}
        if not alone:
            explanations["method"] += f"_{variant}"
        tables.append(explanations)
    table = pd.concat(tables, ignore_index=True)

    with runs.outcomes_store(run, retraining, slates) as store:
        known = retrained(store, name, slates, seeds)
    new = [world for world in worlds_of(table) if (*world.users, world.key) not in known]
    by_user = [[world for world in new if world.users[0] == user] for user in slates]
    options = {"seeds": seeds, "ahead": 2 * arguments.workers}
    options["progress"] = progress(run, f"retrainings of {name}")
    with parallel.executor(arguments.workers) as executor:
        options["executor"] = executor
        runs.retrained_outcomes(run, retraining, grouped(by_user, size), slates, **options)
    with runs.outcomes_store(run, retraining, slates) as store:
        outcomes = store.outcomes(slates)
    outcomes = runs.outcomes_of_sets(outcomes[outcomes["seed"].isin(seeds)], table)
    folder = runs.results_folder() / f"{name}-variants"
    runs.write_table(folder / "explanations.csv.gz", table)
    about = {"fingerprint": retraining.fingerprint, "recipe": asdict(retraining.recipe)}
    about |= {"users_per_world": size, **provenance(sources=sources_of_notebooks())}
    about |= {"model": name, "table": "outcomes", "sets_verified_by_this_command": len(new)}
    about["seconds_of_this_command"] = round(time.perf_counter() - begin, 1)
    for seed, rows in outcomes.groupby("seed"):
        with kept(folder / f"outcomes-{seed}.csv.gz") as file:
            export_outcomes(file, rows, {**about, "seeds": [seed]})
    print(
        table[table["size"] > 0].groupby(["method", "k"], sort=False)["size"].agg(["size", "mean"]).round(2)
    )


if __name__ == "__main__":
    main()
