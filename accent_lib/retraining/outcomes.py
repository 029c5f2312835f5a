"""Outcomes: what one retraining showed for one user, and the table of all of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accent_lib.errors import AccentError
from accent_lib.files import atomic
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.worlds import World

COLUMNS = ["model", "world", "user", "seed", "slate", "scores", "top", "status", "reason", "seconds"]
TYPES = {"user": int, "seed": int, "top": int, "seconds": float}


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

    Raises
    ------
    AccentError
        If the world is no key, or an outcome that is "ok" has a score that is not finite.

    Examples
    --------
    >>> Outcome("12:3 17", 12, (2.5, 2.75), top=4).status
    'ok'
    >>> Outcome("12:3 17", 12, (float("nan"), 2.75), top=4)
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: The world '12:3 17' gave user 12 scores that are not finite; ...
    """

    world: str
    user: int
    scores: tuple[float, ...]
    top: int
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0
    slate: str = ""

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


def scores_text(scores) -> str:
    """Write scores as ``"4.1 4.0"``: nine significant digits, enough for every 32-bit number to come back.

    Examples
    --------
    >>> scores_text([3.0, 2.75])
    '3 2.75'
    """
    return " ".join(f"{float(score):.9g}" for score in scores)


def scores_of(text) -> list[float]:
    """Read what `scores_text` wrote; a missing cell, as pandas reads an empty one, is an empty list.

    Examples
    --------
    >>> scores_of("3 2.75"), scores_of(float("nan"))
    ([3.0, 2.75], [])
    """
    if isinstance(text, str):
        return [float(word) for word in text.split()]
    return [] if pd.isna(text) else [float(text)]


def of_slates(outcomes: pd.DataFrame, slates: Mapping[int, Sequence[int]]) -> pd.DataFrame:
    """Outcomes of some users that tell the scores of the slates they have now.

    Parameters
    ----------
    outcomes : DataFrame
        With `COLUMNS`.
    slates : mapping of int to sequence of int
        Items by user.

    Examples
    --------
    >>> table = pd.DataFrame({"user": [3, 3, 4], "slate": ["a", slate_identity([7, 2]), "a"]})
    >>> of_slates(table, {3: [7, 2]}).index.tolist()
    [1]
    """
    identities = {user: slate_identity(items) for user, items in slates.items()}
    return outcomes[outcomes["user"].map(identities) == outcomes["slate"]]


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
    """Write an outcomes table as CSV, and beside it a JSON file that says where it comes from.

    Parameters
    ----------
    path : str or Path
        Of the table, compressed if it ends in ``.gz``; the other file is `beside` it. Each is replaced as a
        whole or not at all.
    outcomes : DataFrame
        With `COLUMNS`.
    about : dict
        What to say besides the number of rows and the table's hash; ``fingerprint`` must be in it.

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    AccentError
        If a file cannot be written; the old table is still there then.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame([["ncf", "", 3, 0, "", "3 2.75", 7, "ok", "", 0.5]], columns=COLUMNS)
    >>> path = export_outcomes(Path(tempfile.mkdtemp()) / "outcomes-0.csv.gz", table, {"fingerprint": "abc"})
    >>> sorted(file.name for file in path.parent.iterdir())
    ['outcomes-0.csv.gz', 'outcomes-0.json']
    """
    path = Path(path)
    table = outcomes[COLUMNS].to_csv(index=False, lineterminator="\n").encode()
    about = {**about, "rows": len(outcomes), "sha256": hashlib.sha256(table).hexdigest()}
    try:
        with atomic(path) as file:
            file.write_bytes(gzip.compress(table, mtime=0) if path.suffix == ".gz" else table)
        with atomic(beside(path)) as file:
            file.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise AccentError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def import_outcomes(path) -> tuple[pd.DataFrame, dict]:
    """Read what `export_outcomes` wrote, and make sure that it is unchanged.

    Parameters
    ----------
    path : str or Path
        Of the table; its JSON file must lie beside it.

    Returns
    -------
    outcomes : DataFrame
        With `COLUMNS`; empty cells are empty text.
    about : dict
        What the JSON file says.

    Raises
    ------
    AccentError
        If a file is missing, or was changed after the export.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame([["ncf", "", 3, 0, "", "3 2.75", 7, "ok", "", 0.5]], columns=COLUMNS)
    >>> path = export_outcomes(Path(tempfile.mkdtemp()) / "outcomes-0.csv.gz", table, {"fingerprint": "abc"})
    >>> outcomes, about = import_outcomes(path)
    >>> len(outcomes), about["fingerprint"]
    (1, 'abc')
    """
    path = Path(path)
    try:
        table = path.read_bytes()
        # Git may check out text with other ends of lines.
        table = gzip.decompress(table) if path.suffix == ".gz" else table.replace(b"\r\n", b"\n")
        about = json.loads(beside(path).read_text())
        if not {"fingerprint", "sha256"} <= set(about):
            raise ValueError
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise AccentError(f"{path} is damaged; export again.") from error
    except OSError as error:
        raise AccentError(
            f"{error.filename} cannot be read; an exported table is two files, {path} and {beside(path)}."
        ) from error
    except (ValueError, TypeError) as error:
        raise AccentError(
            f"{beside(path)} does not say where the outcomes come from; export them again."
        ) from error
    if hashlib.sha256(table).hexdigest() != about["sha256"]:
        raise AccentError(
            f"{path} was changed after its export, or {beside(path)} belongs to another; export again."
        )
    texts = {"model": str, "world": str, "slate": str, "scores": str, "status": str, "reason": str}
    outcomes = pd.read_csv(io.BytesIO(table), dtype=texts, keep_default_na=False)
    if "slate" not in outcomes:  # tables of revision 1 were of one slate a user
        outcomes["slate"] = ""
    return outcomes.astype(TYPES)[COLUMNS], about
