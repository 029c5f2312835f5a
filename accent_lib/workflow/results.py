"""Outcome tables that are kept with the project: out of a run folder, and back into one."""

import json
import shutil

from accent_lib.workflow import notebooks
from accent_lib.workflow.folder import Run
from accent_lib.workflow.plan import short
from accent_lib.workflow.profiles import run_name


def results_folder():
    """Where committed tables lie, one folder for each model and run."""
    return notebooks.project_root() / "data" / "results"


def export(profile="ml-100k"):
    """Copy what verification showed from a run folder to ``data/results``, finished or not.

    Each model of the run gets a folder ``<model>-<run>`` with ``outcomes.csv`` (and its provenance beside),
    the slates and explanations of the verified users, and the facts of training.

    Parameters
    ----------
    profile : str
        Whose run folder it is.

    Raises
    ------
    AccentError
        If notebooks 04 and 05 have not been run.
    """
    from accent_lib.retraining.outcomes import export_outcomes, import_outcomes

    name = run_name(profile)
    run = Run("export", {"run": name})
    outcomes, about = import_outcomes(run.need("outcomes.csv"))
    # The file's JSON is sorted by key, the fingerprints stand in the order of the models.
    marks = dict(zip(about["models"], about["fingerprint"].split(), strict=True))
    for model, mark in marks.items():
        mine = outcomes[outcomes["model"] == model].reset_index(drop=True)
        users = set(mine["user"])
        folder = results_folder() / f"{model}-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        own = {**about, "fingerprint": mark, "models": [model]}
        for key in ("recipe", "users_per_world"):
            own[key] = {model: about[key][model]}
        export_outcomes(folder / "outcomes.csv", mine, own)
        for table in ("slates", "explanations"):
            rows = run.read_csv(f"{table}.csv")
            rows = rows[(rows["model"] == model) & rows["user"].isin(users)]
            rows.to_csv(folder / f"{table}.csv", index=False)
        shutil.copyfile(run.need(f"{model}_training.json"), folder / "training.json")
        if model == "rcf":
            export_outcomes(folder / "warm.csv", *import_outcomes(run.need("warm.csv")))
        print(f"{short(folder, notebooks.project_root())}: {len(mine):,} outcomes of {len(users)} users")


def import_results(run, store) -> int:
    """Take over from ``data/results`` what belongs into a store, so that a run goes on from committed tables.

    Parameters
    ----------
    run : Run
        Whose log tells.
    store : Store

    Returns
    -------
    int
        How many outcomes were new.
    """
    new = 0
    for beside in sorted(results_folder().glob("*/*.json")):
        if json.loads(beside.read_text()).get("fingerprint") == store.fingerprint:
            found = store.import_(beside.with_suffix(".csv"))
            if found:
                run.log(f"{found:,} outcomes taken over from {beside.with_suffix('.csv').name}")
            new += found
    return new
