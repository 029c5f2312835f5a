"""Outcomes: what one retraining showed for one user, and the table of all of them."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from accent_lib.errors import AccentError, shown
from accent_lib.files import atomic
from accent_lib.gate import read_bytes, read_csv, read_json
from accent_lib.retraining.cells import from_text, to_text
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.ranking import RANKED
from accent_lib.retraining.worlds import World

COLUMNS = "model world user seed slate scores top catalogue status reason seconds".split()
TYPES = {"user": int, "seed": int, "top": int, "seconds": float}
#: What the gate makes sure of in a table; all other columns are text.
KINDS = {"user": "whole", "seed": "integer", "top": "integer", "seconds": "number"}


@dataclass(frozen=True)
class Outcome:
    """What one retraining showed for one user.

    Parameters
    ----------
    world : str
        `World.key` of what was left out; ``""`` is the control.
    user : int
    scores : sequence of float, shape (k_max,)
        Retrained scores of the user's whole original slate, in the slate's order. May be empty when failed.
    top : int
        Item of the best candidate of the whole catalogue, removed actions left out; -1 when failed.
    status : {"ok", "failed"}
    reason : str
        Why it failed.
    seconds : float
        This outcome's share of the time that its stack took to train; on a CPU, of one core.
    slate : str
        Which items the scores are of, as `slate_identity` names them.
    catalogue : ndarray of `RANKED`, shape (n_candidates,)
        All candidates with their scores, best first; empty where they are not known.

    Raises
    ------
    AccentError
        If the world is no key, or an outcome that is "ok" has a score that is not finite.

    Examples
    --------
    >>> Outcome("12:3 17", 12, (2.5, 2.75), top=4).status
    'ok'
    """

    world: str
    user: int
    scores: tuple[float, ...]
    top: int
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0
    slate: str = ""
    catalogue: np.ndarray = field(default_factory=lambda: np.empty(0, RANKED), compare=False, repr=False)

    def __post_init__(self):
        if World.parse(self.world).key != self.world:
            raise AccentError(f"{self.world!r} is not the sorted key of a world; use World.key.")
        if self.status not in ("ok", "failed"):
            raise AccentError(f"An outcome's status is 'ok' or 'failed', not {self.status!r}.")
        scores = tuple(float(score) for score in self.scores)
        if self.status == "ok" and not (scores and all(map(math.isfinite, scores))):
            raise AccentError(
                f"The world {self.world!r} gave user {self.user} scores that are not finite; "
                "record it as failed, with a reason."
            )
        object.__setattr__(self, "scores", scores)


def of_slates(outcomes: pd.DataFrame, slates: Mapping[int, Sequence[int]]) -> pd.DataFrame:
    """Outcomes of some users that tell the scores of the slates they have now: items, by user.

    Examples
    --------
    >>> table = pd.DataFrame({"user": [3, 3, 4], "slate": ["a", slate_identity([7, 2]), "a"]})
    >>> of_slates(table, {3: [7, 2]}).index.tolist()
    [1]
    """
    identities = {user: slate_identity(items) for user, items in slates.items()}
    return outcomes[outcomes["user"].map(identities) == outcomes["slate"]]


def by_set(outcomes: pd.DataFrame, seeds: Collection[int] | None = None) -> dict[tuple, tuple[str, dict]]:
    """Decide which world counts for each user's set: here, and nowhere else.

    Of several worlds that leave the set out, alone or with sets of other users, the one with the most seeds
    counts, then the one with the fewest users, then the first by key. Her control is the world in which
    nothing is left out, never one in which only others lose something.

    Parameters
    ----------
    outcomes : DataFrame
        With the columns ``model, world, user, seed`` and any others.
    seeds : collection of int, optional
        Those that count. Default: all.

    Returns
    -------
    dict
        By model, user and set, as the key of the world that leaves out nothing else (``""`` is the control):
        the key of the world that counts, and its rows by seed.

    Raises
    ------
    AccentError
        If an outcome occurs twice.

    Examples
    --------
    >>> rows = [("ncf", "0:3;1:4", 0, 0), ("ncf", "0:3", 0, 0), ("ncf", "", 0, 0)]
    >>> chosen = by_set(pd.DataFrame(rows, columns=["model", "world", "user", "seed"]))
    >>> {user_set: world for user_set, (world, rows) in chosen.items()}
    {('ncf', 0, '0:3'): '0:3', ('ncf', 0, ''): ''}
    """
    worlds, sets = {}, {}
    for row in outcomes.itertuples():
        world = row.world if isinstance(row.world, str) else World.parse(row.world).key
        if world not in sets:  # a world of many users is in many rows
            sets[world] = {pair[0]: World((pair,)).key for pair in World.parse(world).removed}
        own = sets[world].get(row.user, "")
        if (world and not own) or (seeds is not None and row.seed not in seeds):
            continue
        by_seed = worlds.setdefault((row.model, row.user, own), {}).setdefault(world, {})
        if row.seed in by_seed:
            raise AccentError(f"The outcome of {world!r}, user {row.user}, seed {row.seed} occurs twice.")
        by_seed[row.seed] = row
    first = lambda world: (-len(world[1]), world[0].count(";"), world[0])  # noqa: E731
    return {user_set: min(candidates.items(), key=first) for user_set, candidates in worlds.items()}


def beside(path) -> Path:
    """Where it is said what an exported table is: its name with the suffix ``.json``.

    Examples
    --------
    >>> beside("ncf-paper/outcomes-0.csv.gz").as_posix()
    'ncf-paper/outcomes-0.json'
    """
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".csv") + ".json")


def export_outcomes(path, outcomes, about) -> Path:
    """Write an outcomes table as CSV, and `beside` it a JSON file that says where it comes from.

    Each file is replaced as a whole or not at all.

    Parameters
    ----------
    path : str or Path
        Of the table, compressed if it ends in ``.gz``; it is returned.
    outcomes : DataFrame
        With `COLUMNS`.
    about : dict
        What to say besides the number of rows and the table's hash; ``fingerprint`` must be in it.

    Raises
    ------
    AccentError
        If a file cannot be written; the old table is still there then.

    Examples
    --------
    >>> import tempfile
    >>> from accent_lib.retraining.ranking import ranked
    >>> row = ["ncf", "", 3, 0, "", (3.0, 2.75), 7, ranked([7, 4], [3.0, 2.75]), "ok", "", 0.5]
    >>> table = pd.DataFrame([row], columns=COLUMNS)
    >>> path = export_outcomes(Path(tempfile.mkdtemp()) / "outcomes-0.csv.gz", table, {"fingerprint": "abc"})
    >>> sorted(file.name for file in path.parent.iterdir())
    ['outcomes-0.csv.gz', 'outcomes-0.json']
    >>> outcomes, about = import_outcomes(path)
    >>> len(outcomes), about["fingerprint"]
    (1, 'abc')
    """
    path = Path(path)
    table = to_text(outcomes[COLUMNS]).to_csv(index=False, lineterminator="\n").encode()
    about = {**about, "rows": len(outcomes), "sha256": hashlib.sha256(table).hexdigest()}
    with atomic(path) as file:
        file.write_bytes(gzip.compress(table, mtime=0) if path.suffix == ".gz" else table)
    with atomic(beside(path)) as file:
        file.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", "utf-8")
    return path


def import_outcomes(path) -> tuple[pd.DataFrame, dict]:
    """Read what `export_outcomes` wrote, the table and its JSON file, and make sure that it is unchanged.

    Its columns are `COLUMNS`; empty cells are empty text.

    Raises
    ------
    AccentError
        If a file is missing, was changed after the export, or holds what no retraining can have shown.

    Examples
    --------
    >>> import_outcomes("nowhere.csv.gz")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: nowhere.csv.gz cannot be read (...); an exported table is two files, ...
    """
    path = Path(path)
    table = read_bytes(path, f"an exported table is two files, {path} and {beside(path)}: export again")
    if path.suffix != ".gz":  # Git may check out text with other ends of lines
        table = table.replace(b"\r\n", b"\n")
    about = read_json(beside(path), {"fingerprint": str, "sha256": str}, "export again")
    if hashlib.sha256(table).hexdigest() != about["sha256"]:
        raise AccentError(
            f"{path} was changed after its export, or {beside(path)} belongs to another; export again."
        )
    columns = {**dict.fromkeys(COLUMNS, "text"), **KINDS}
    needed = [column for column in COLUMNS if column not in ("slate", "catalogue")]
    outcomes = read_csv(path, columns, needed, "export again", table)
    for column in {"slate", "catalogue"} - set(outcomes):  # older tables were of one slate a user
        outcomes[column] = ""
    try:
        outcomes = from_text(outcomes)
    except AccentError as error:
        raise AccentError(f"{path}: {error}") from error
    users = {}
    for key in outcomes["world"].unique():
        try:
            world = World.parse(key)
        except AccentError as error:
            raise AccentError(f"{path}: {error}") from error
        users[key] = set(world.users) if world.key == key else set()
    for line, row in enumerate(outcomes.itertuples(), 2):
        fault = ""
        if row.world and row.user not in users[row.world]:
            fault = f"user {row.user} loses nothing in the world {shown(row.world)}"
        elif row.status not in ("ok", "failed"):
            fault = f"the status is {shown(row.status)}, not ok or failed"
        elif row.status == "ok" and not (row.scores and all(map(math.isfinite, row.scores)) and row.top >= 0):
            fault = "there are no finite scores and best item, though the status is ok"
        elif not row.model:
            fault = "there is no model"
        if fault:
            raise AccentError(f"{path}, line {line}: {fault}; export again.")
    return outcomes.astype(TYPES)[COLUMNS], about
