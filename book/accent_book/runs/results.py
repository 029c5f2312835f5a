"""Outcome tables that are kept with the project: out of a run folder, and back into one."""

import gzip
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from accent_book.runs import notebooks
from accent_book.runs.folder import Run
from accent_book.runs.manifest import checked, data_folder, kept
from accent_book.runs.notebooks import read_json, short
from accent_book.runs.origin import provenance
from accent_book.runs.profiles import run_name
from accent_book.runs.sources import sources_of_notebooks
from accent_book.runs.tables import read_table
from accent_lib import gate
from accent_lib.errors import AccentError, shown

if TYPE_CHECKING:
    import pandas as pd

    from accent_lib.retraining.store import Store


def results_folder() -> Path:
    """Where committed tables lie, one folder for each model and run, once they were found to be unaltered.

    Raises
    ------
    AccentError
        If a file in it is not the one whose hash stands in the manifest beside it.

    Examples
    --------
    >>> results_folder().name
    'results'
    """
    folder = _results()
    return checked(folder) if folder.is_dir() else folder


def _results():
    """The same for those who write or take a single folder: what is wrong elsewhere does not concern them."""
    return data_folder() / "results"


def store_path(run, fingerprint: str) -> Path:
    """Where the store of a fingerprint lies in a run folder.

    Examples
    --------
    >>> from accent_book.runs.folder import Run
    >>> store_path(Run("05_verification", {"run": "mine"}), "cd5ae6ce7657d4a7").name
    'worlds-cd5ae6ce.sqlite'
    """
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

    Examples
    --------
    >>> from accent_book.runs.folder import Run
    >>> run = Run("05_verification", {"run": "mine"})
    >>> describe_store(run, "outcomes", "ncf", "cd5ae6ce7657d4a7", {"seeds": [0]})
    >>> run.read_json("worlds-cd5ae6ce.json")["model"]
    'ncf'
    """
    path = store_path(run, fingerprint).with_suffix(".json")
    began = read_json(path, {}) or provenance(sources=sources_of_notebooks())
    about = {"table": table, "model": model, "fingerprint": fingerprint, "described": time.time()}
    run.write_json(path.name, {**began, **about, **facts})


def export(profile="ml-100k") -> None:
    """Copy what verification has shown so far from a run folder to ``data/results``.

    Each model of the run gets a folder ``<model>-<run>`` with its newest outcomes, one compressed table for
    each seed (and its provenance beside), the slates and explanations of the users in them, and the facts of
    training.

    Parameters
    ----------
    profile : str
        Whose run folder it is.

    Raises
    ------
    AccentError
        If nothing was verified in it, or if a table would be replaced by a smaller one.
    """
    from accent_lib.retraining.outcomes import export_outcomes, of_slates
    from accent_lib.retraining.store import Store

    name = run_name(profile)
    run, newest = Run("export", {"run": name}), {}
    lacking = set()
    for path in sorted(run.folder.glob("worlds-*.json")):
        about = read_json(path, {"model": str, "table": str, "fingerprint": str})
        table = about["model"], about["table"]
        if not all(re.fullmatch(r"[A-Za-z]\w*", each) for each in table):
            raise AccentError(f"{path} is damaged, it names a table {shown('/'.join(table))}: delete it.")
        if not path.with_suffix(".sqlite").exists():
            lacking.add(table)
            continue
        with Store(path.with_suffix(".sqlite"), about["fingerprint"]) as store:
            outcomes = store.outcomes()
        seeds = about.setdefault("seeds", [0])
        if not isinstance(seeds, list) or not all(type(seed) is int and seed >= 0 for seed in seeds):
            raise AccentError(
                f"{path} is damaged, its seeds are no list of whole numbers: run notebook 05_verification "
                "again."
            )
        # The one that a notebook used last, which need not be the one that was begun last.
        when = about.pop("described", 0)
        when = when if isinstance(when, int | float) else 0
        if len(outcomes) and (table not in newest or newest[table][0] < when):
            newest[table] = when, about, outcomes
    where = short(run.folder, notebooks.project_root())
    for model, table in lacking - newest.keys():
        raise AccentError(
            f"The store of the {table} of {model} is missing in {where}: run notebook 05_verification again, "
            "or delete the file worlds-….json that tells of it."
        )
    if not newest:
        raise AccentError(f"Nothing was verified in {where}: run notebook 05_verification first.")
    slates, explanations = run.read_csv("slates.csv"), run.read_csv("explanations.csv")
    for (model, table), (_, about, outcomes) in newest.items():
        mine = slates[slates["model"] == model].sort_values("position").groupby("user")["item"]
        outcomes = of_slates(outcomes, mine.agg(list).to_dict())
        folder = notebooks.inside(_results(), f"{model}-{name}")
        outcomes = outcomes_of_sets(outcomes, explanations.query("model == @model"))
        outcomes = outcomes[outcomes["seed"].isin(about["seeds"])]
        if outcomes.empty:
            raise AccentError(
                f"No outcome of {model} in {where} is of the slates and seeds of its run: run notebook "
                "05_verification again."
            )
        training = run.need(f"{model}_training.json") if table == "outcomes" else None
        if training is not None:
            gate.read_json(training, {"objective": float}, "run the notebook that trains it again")
        # All of a model in one go.
        with kept(folder / f"{table}-0.csv.gz") as file:
            for seed, rows in outcomes.groupby("seed"):
                path = folder / f"{table}-{seed}.csv.gz"
                _check_successor(path, rows, about)
                export_outcomes(file.with_name(path.name), rows, {**about, "seeds": [seed]})
            if training is not None:
                for other, rows in (("explanations", explanations), ("slates", slates)):
                    rows = rows.query("model == @model and user in @outcomes.user")
                    file.with_name(f"{other}.csv.gz").write_bytes(_packed(rows))
                file.with_name("training.json").write_bytes(training.read_bytes())
        for seed, rows in outcomes.groupby("seed"):
            path = folder / f"{table}-{seed}.csv.gz"
            print(f"{short(path, notebooks.project_root())}: {len(rows):,} outcomes")


def _check_successor(path, outcomes, about):
    """Refuse to put outcomes in the place of more of them, or of another model's or recipe's."""
    from accent_lib.retraining.outcomes import beside

    there = read_json(beside(path), {"fingerprint": str, "rows": int})
    if there is None:
        return
    where = short(path, notebooks.project_root())
    if there["fingerprint"] != about["fingerprint"]:
        raise AccentError(
            f"{where} is of another model or recipe; move its folder away if these are to take its place."
        )
    if there["rows"] > len(outcomes):
        raise AccentError(
            f"{where} has {there['rows']:,} outcomes, and the run folder only {len(outcomes):,}; move it "
            "away if these are to take its place."
        )


def write_table(path, table) -> None:
    """Write a compressed table that is the same to the byte whenever its rows are.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> path = Path(tempfile.mkdtemp()) / "slates.csv.gz"
    >>> write_table(path, pd.DataFrame({"user": [3], "item": [7]}))
    >>> pd.read_csv(path).values.tolist()
    [[3, 7]]
    """
    with kept(path) as file:
        file.write_bytes(_packed(table))


def _packed(table):
    from accent_lib.retraining.cells import to_text

    text = to_text(table).to_csv(index=False, lineterminator="\n")
    # Not by pandas: it writes the name of the file, and the time, into the header.
    return gzip.compress(text.encode(), mtime=0)


def outcomes_of_sets(outcomes, explanations) -> "pd.DataFrame":
    """Outcomes of the control and of all worlds with a set of these explanations: a store may have others.

    Worlds are taken whole, for one that is there in part would count as done.

    Examples
    --------
    >>> import pandas as pd
    >>> outcomes = pd.DataFrame({"world": ["", "0:3", "1:4"], "user": [0, 0, 1]})
    >>> outcomes_of_sets(outcomes, pd.DataFrame({"user": [0], "removed": [(3,)]}))["world"].tolist()
    ['', '0:3']
    """
    from accent_lib.retraining.worlds import World, worlds_of

    sets = {world.removed[0] for world in worlds_of(explanations)}
    keys = {key for key in outcomes["world"].unique() if not key or sets & {*World.parse(key).removed}}
    return outcomes[outcomes["world"].isin(keys)]


class Results(NamedTuple):
    """The committed tables of one model and run, as `judge` takes them."""

    explanations: "pd.DataFrame"
    slates: "pd.DataFrame"
    outcomes: "pd.DataFrame"
    about: dict  #: provenance of the outcomes, of the first seed
    training: dict  #: facts of the base model


def read_results(name: str, table: str = "outcomes") -> Results:
    """Read the tables that `export` wrote; needs no data set.

    Parameters
    ----------
    name : str
        Folder in ``data/results``, such as ``"ncf-paper"``.
    table : {"outcomes", "warm"}
        Which outcomes; all seeds that are there.

    Returns
    -------
    Results

    Raises
    ------
    AccentError
        If there are none, or they are of several fingerprints.

    Examples
    --------
    >>> kept = read_results("ncf-paper")
    >>> sorted(kept.outcomes["seed"].unique().tolist())
    [0, 1, 2, 3, 4]
    """
    import pandas as pd

    from accent_lib.retraining.outcomes import import_outcomes

    folder = notebooks.inside(_results(), name)
    paths = sorted(folder.glob(f"{table}-*.csv.gz"))
    if not paths:
        raise AccentError(
            f"There are no {table} in data/results/{name}; `python -m accent_book export` writes them."
        )
    checked(folder)
    parts = [import_outcomes(path) for path in paths]
    if len({about["fingerprint"] for _, about in parts}) > 1:
        raise AccentError(
            f"The {table} in data/results/{name} are of several models or recipes; export again."
        )
    return Results(
        read_table(folder / "explanations.csv.gz", "export it again"),
        read_table(folder / "slates.csv.gz", "export it again"),
        pd.concat([outcomes for outcomes, _ in parts], ignore_index=True),
        parts[0][1],
        gate.read_json(folder / "training.json", {}, "export it again"),
    )


def import_results(run, store, slates) -> int:
    """Take over from ``data/results`` what belongs into a store, so that a run goes on from committed tables.

    Parameters
    ----------
    run : Run
        Whose log tells.
    store : Store
    slates : mapping of int to ndarray of int
        Of the users in question; outcomes of another slate are of no use here, and are counted.

    Returns
    -------
    int
        How many outcomes were new.
    """
    new, strangers = 0, set()
    for about in sorted(_results().glob("*/*.json")):
        table = about.with_suffix(".csv.gz")
        try:
            told = gate.read_json(about)
        except AccentError as error:  # a damaged table of another model stops nobody
            run.log(f"{error}")
            continue
        if table.exists() and isinstance(told, dict) and told.get("fingerprint") == store.fingerprint:
            taken, others = store.import_(checked(checked(about).with_suffix(".csv.gz")), slates)
            if taken:
                run.log(f"{taken:,} outcomes taken over from {table.parent.name}/{table.name}")
            new, strangers = new + taken, strangers | others
    if strangers:
        run.log(f"{len(strangers)} user(s) have another slate than in data/results, and begin anew")
    return new


@contextmanager
def outcomes_store(run, retraining, slates) -> Iterator["Store"]:
    """Open the store of a retraining's outcomes in a run folder, with what ``data/results`` has of them.

    Parameters
    ----------
    run : Run
    retraining : Retraining
    slates : mapping of int to ndarray of int
    """
    from accent_lib.retraining.store import Store

    path = store_path(run, retraining.fingerprint)
    with Store(path, retraining.fingerprint) as store:
        import_results(run, store, slates)
        yield store


def retrained_outcomes(
    run, retraining, worlds, slates, *, table=None, seeds=(0,), facts=None, **options
) -> "pd.DataFrame":
    """Retrain in some worlds and return what they showed: store, import and verification in one.

    Parameters
    ----------
    run : Run
    retraining : Retraining
    worlds : sequence of World
        In the same order at every call.
    slates : mapping of int to ndarray of int
        Original slates of all users in question.
    table : {"outcomes", "warm"}, optional
        Under which name :func:`export` keeps the outcomes; by default it does not.
    seeds : sequence of int
        Orders of the batches.
    facts : dict, optional
        What the exported tables shall say besides.
    **options
        For :func:`~accent_lib.retraining.verification.verify`.

    Returns
    -------
    DataFrame
        Outcomes of these worlds, seeds and users, and of the control.
    """
    from dataclasses import asdict

    from accent_lib.retraining.verification import verify

    how = retraining
    if table is not None:
        described = {"seeds": list(seeds), "recipe": asdict(how.recipe), **(facts or {})}
        describe_store(run, table, how.name, how.fingerprint, described)
    options |= {"seeds": seeds, "stack_size": how.stack_size, "device": how.device}
    with outcomes_store(run, how, slates) as store:
        verify(how.name, how.model, how.recipe, how.state, worlds, slates, store, **options)
        outcomes = store.outcomes(slates)
    of_worlds = outcomes["world"].isin(["", *(world.key for world in worlds)])
    return outcomes[of_worlds & outcomes["seed"].isin(seeds)].reset_index(drop=True)
