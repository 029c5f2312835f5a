"""Outcome tables that are kept with the project: out of a run folder, and back into one."""

import json
import shutil

from accent_lib.errors import AccentError
from accent_lib.provenance import provenance
from accent_lib.workflow import notebooks
from accent_lib.workflow.folder import Run
from accent_lib.workflow.plan import short
from accent_lib.workflow.profiles import run_name


def results_folder():
    """Where committed tables lie, one folder for each model and run."""
    return notebooks.project_root() / "data" / "results"


def store_path(run, fingerprint: str):
    """Where the store of a fingerprint lies in a run folder."""
    return run.path(f"worlds-{fingerprint[:8]}.sqlite")


def describe_store(run, table: str, model: str, fingerprint: str, facts: dict) -> None:
    """Write beside a store what it holds, so that it can be exported at any time.

    A run that goes on may add to the facts; the provenance stays that of the one that began.

    Parameters
    ----------
    run : Run
    table : {"outcomes", "warm"}
        Which table it fills.
    model, fingerprint : str
    facts : dict
        What to say besides the provenance.
    """
    path = store_path(run, fingerprint).with_suffix(".json")
    began = json.loads(path.read_text()) if path.exists() else provenance()
    about = {"table": table, "model": model, "fingerprint": fingerprint}
    run.write_json(path.name, {**began, **about, **facts})


def export(profile="ml-100k"):
    """Copy what verification has shown so far from a run folder to ``data/results``.

    Each model of the run gets a folder ``<model>-<run>`` with its newest outcomes (and their provenance
    beside), the slates and explanations of the users in them, and the facts of training.

    Parameters
    ----------
    profile : str
        Whose run folder it is.

    Raises
    ------
    AccentError
        If nothing was verified in it, or if a table would be replaced by a smaller one.
    """
    import pandas as pd

    from accent_lib.retraining.outcomes import export_outcomes
    from accent_lib.retraining.store import Store

    name = run_name(profile)
    newest = {}
    for path in (notebooks.runs_folder() / name).glob("worlds-*.json"):
        about = json.loads(path.read_text())
        with Store(path.with_suffix(".sqlite"), about["fingerprint"]) as store:
            outcomes = store.outcomes()
        key = about["model"], about["table"]
        if len(outcomes) and (key not in newest or newest[key][0]["date"] < about["date"]):
            newest[key] = about, outcomes
    if not newest:
        where = short(notebooks.runs_folder() / name, notebooks.project_root())
        raise AccentError(f"Nothing was verified in {where}: run notebook 05_verification first.")
    run = Run("export", {"run": name})
    for (model, table), (about, outcomes) in newest.items():
        folder = results_folder() / f"{model}-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{table}.csv"
        there = len(pd.read_csv(path)) if path.exists() else 0
        if there > len(outcomes):
            raise AccentError(
                f"{short(path, notebooks.project_root())} has {there:,} outcomes, and the run folder only "
                f"{len(outcomes):,}; move it away if these are to take its place."
            )
        export_outcomes(path, outcomes, about)
        print(f"{short(path, notebooks.project_root())}: {len(outcomes):,} outcomes")
        if table == "outcomes":
            for other in ("slates", "explanations"):
                rows = run.read_csv(f"{other}.csv")
                rows = rows[(rows["model"] == model) & rows["user"].isin(outcomes["user"])]
                rows.to_csv(folder / f"{other}.csv", index=False)
            shutil.copyfile(run.need(f"{model}_training.json"), folder / "training.json")


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
                table = f"{beside.parent.name}/{beside.with_suffix('.csv').name}"
                run.log(f"{found:,} outcomes taken over from {table}")
            new += found
    return new
