"""What retraining showed, kept so that nothing is lost and nothing is half done.

One SQLite file with one writer. The outcomes of a stack of worlds are recorded in one transaction, so that
a killed run finds every stack either whole or absent when it goes on. It uses SQLite's rollback journal, not
the write-ahead log, which does not work on the network file systems of clusters.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from accent_lib.errors import AccentError
from accent_lib.retraining.cells import from_text, to_text
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.outcomes import (
    COLUMNS,
    TYPES,
    Outcome,
    export_outcomes,
    import_outcomes,
    of_slates,
)
from accent_lib.retraining.ranking import LEADERS, RANKED

# Marks the file as ours: the letters "ACCE" as a number, and the version of the tables.
_APPLICATION, _VERSION = 0x41434345, 4
_TABLES = """
CREATE TABLE about (fingerprint TEXT NOT NULL);
CREATE TABLE outcomes (
    model TEXT NOT NULL, world TEXT NOT NULL, user INTEGER NOT NULL, seed INTEGER NOT NULL,
    slate TEXT NOT NULL, scores TEXT NOT NULL, top INTEGER NOT NULL, catalogue BLOB NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')), reason TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (model, seed, world, user, slate)
) WITHOUT ROWID;
CREATE TABLE work (
    model TEXT PRIMARY KEY, done INTEGER NOT NULL, total INTEGER NOT NULL, running INTEGER NOT NULL,
    rate REAL NOT NULL, driver TEXT NOT NULL
) WITHOUT ROWID;
"""
WORK = ["model", "done", "total", "running", "rate", "driver"]
# SQLite takes any value in any column; only a file that was damaged or forged has others than these.
_VALUES = {
    "outcomes": {
        "text": "model world slate scores status reason".split(),
        "integer": "user seed top".split(),
        "real": ["seconds"],
        "blob": ["catalogue"],
    },
    "work": {"text": ["model", "driver"], "integer": ["done", "total", "running"], "real": ["rate"]},
}
# An outcome that is there already stays: the same work done twice gives the same numbers.
_INSERT = (
    f"INSERT INTO outcomes ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    "ON CONFLICT (model, seed, world, user, slate) DO NOTHING"
)


class Store:
    """The outcomes of a run, in one SQLite file.

    Use it as a context manager, or `close` it. Of several processes one may write; others may read.

    Parameters
    ----------
    path : str or Path
        Made if it does not exist, with its folder.
    fingerprint : str
        Of everything that changes all outcomes, as `outcomes_identity` gives it.

    Raises
    ------
    AccentError
        If the file is damaged, was made by something else or with another fingerprint, or cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()) / "worlds.sqlite", "abc")
    >>> slate = slate_identity([7, 4])
    >>> control = Outcome("", 3, (3.0, 2.75), 7, slate=slate)
    >>> store.record("ncf", 0, [control, Outcome("3:0 1", 3, (2.5, 2.75), 4, slate=slate)])
    2
    >>> sorted(store.done("ncf", 0, {3: [7, 4]}).items())
    [('', {3}), ('3:0 1', {3})]
    >>> store.close()
    """

    def __init__(self, path, fingerprint: str):
        self.path = Path(path)
        self.fingerprint = str(fingerprint)
        with self._plain_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Transactions are opened by hand below; 60 seconds is how long to wait for another process.
            self.connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            with self._plain_errors():
                self._open()
        except BaseException:
            self.close()
            raise

    def _open(self):
        self.connection.execute("PRAGMA synchronous = FULL")
        if self._is_empty():
            self._create()
        if (self._pragma("application_id"), self._pragma("user_version")) != (_APPLICATION, _VERSION):
            raise AccentError(f"{self.path} is not a store of this version; move it away and run again.")
        if self._pragma("quick_check") != "ok" or not self._has_its_values():
            raise self._damaged()
        (fingerprint,) = self.connection.execute("SELECT fingerprint FROM about").fetchone() or ("",)
        if fingerprint != self.fingerprint:
            raise self._stranger(self.path, fingerprint, "move it away, or choose another run folder")

    def _create(self):
        with self._transaction():
            if not self._is_empty():  # another process was faster
                return
            self.connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            self.connection.execute(f"PRAGMA user_version = {_VERSION}")
            for statement in _TABLES.split(";")[:-1]:
                self.connection.execute(statement)
            self.connection.execute("INSERT INTO about VALUES (?)", (self.fingerprint,))

    def _is_empty(self):
        return self.connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0

    def _has_its_values(self):
        others = f"length(catalogue) % {RANKED.itemsize}"
        for table, kinds in _VALUES.items():
            tests = [f"typeof({name}) <> '{kind}'" for kind, names in kinds.items() for name in names]
            tests += [others] if table == "outcomes" else []
            if self.connection.execute(f"SELECT 1 FROM {table} WHERE {' OR '.join(tests)}").fetchone():
                return False
        return True

    def _pragma(self, name):
        return self.connection.execute(f"PRAGMA {name}").fetchone()[0]

    def _damaged(self):
        return AccentError(
            f"{self.path} is damaged or not a store of outcomes; delete it and run again, "
            "or import the table that was last exported from it into a new one."
        )

    def _stranger(self, path, fingerprint, advice):
        return AccentError(
            f"{path} holds outcomes of another data set, model, recipe or version "
            f"(fingerprint {str(fingerprint)[:12]}, not {self.fingerprint[:12]}); {advice}."
        )

    @contextmanager
    def _plain_errors(self):
        """Turn what SQLite and the system say into a sentence for users."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            # The low byte is the kind of error, the rest its detail.
            kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise self._damaged() from error
            advice = {
                sqlite3.SQLITE_FULL: "cannot grow, the disk is full; make room and run again",
                sqlite3.SQLITE_BUSY: "is being written by another process; wait for it, then run again",
                sqlite3.SQLITE_READONLY: "cannot be written; change its permissions or choose another folder",
                sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its folder exists and can be written",
            }
            sentence = advice.get(kind, f"cannot be used ({error}); check the disk and run again")
            raise AccentError(f"{self.path} {sentence}.") from error
        # What SQLite says quotes the file, or it asks for as much memory as a page of the file tells it to.
        except (UnicodeDecodeError, MemoryError) as error:
            raise self._damaged() from error
        except OSError as error:
            raise AccentError(f"{self.path} cannot be used: {error.strerror or error}.") from error

    @contextmanager
    def _transaction(self):
        """All or nothing; the lock is taken at the start so that there is never a second writer."""
        with self._plain_errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                # SQLite rolls back by itself when the disk is full.
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Close the file. A store that is not closed loses nothing."""
        self.connection.close()

    def record(self, model: str, seed: int, outcomes: Iterable[Outcome]) -> int:
        """Record the outcomes of one stack of worlds, all of them or none, and return how many were new.

        Those that are in the store already (the control, when each stack has its own) stay as they are.
        ``seed`` is that of the batch order.

        Raises
        ------
        AccentError
            If an outcome occurs twice in the stack, or the file cannot be written; nothing is recorded then.
        """
        table = pd.DataFrame(map(asdict, outcomes), columns=COLUMNS)
        return self._insert(
            table.assign(model=model, seed=seed, seconds=table["seconds"].astype(float).round(3))
        )

    def _insert(self, outcomes) -> int:
        rankings = [ranking.tobytes() for ranking in outcomes["catalogue"]]
        text = to_text(outcomes.drop(columns="catalogue")).assign(catalogue=rankings)[COLUMNS]
        rows = list(text.astype(TYPES).itertuples(index=False, name=None))
        if len({row[:5] for row in rows}) < len(rows):
            raise AccentError("A model, world, user and seed occur twice in a stack; record each once.")
        with self._transaction():
            before = self.connection.total_changes
            self.connection.executemany(_INSERT, rows)
            return self.connection.total_changes - before

    def note(self, model: str, done: int, total: int, running: int, rate: float) -> None:
        """Note how far verification has come, for those who ask while it runs.

        Worlds are counted once a seed; ``running`` ones were handed to a worker. ``rate`` is in worlds a
        second, 0 where it is not known yet.
        """
        row = (model, done, total, running, rate, f"{platform.node()}:{os.getpid()}")
        with self._transaction():
            self.connection.execute("INSERT OR REPLACE INTO work VALUES (?, ?, ?, ?, ?, ?)", row)

    def work(self) -> pd.DataFrame:
        """Tell how far verification has come, as it was last noted: one row a model, columns `WORK`."""
        return pd.DataFrame(self._read(f"SELECT {', '.join(WORK)} FROM work ORDER BY model"), columns=WORK)

    def _read(self, question, values=()) -> list[tuple]:
        with self._plain_errors():
            return self.connection.execute(question, values).fetchall()

    def done(self, model: str, seed: int, slates: Mapping[int, Sequence[int]]) -> dict[str, set[int]]:
        """Tell which worlds are recorded for a model and a seed, failed ones included.

        Only users with a slate count, and outcomes of that slate. Returned are the users whose outcome is
        there, by the world's key: of the control those who are in it so far, of another world all who lose an
        action in it, or it is left out.
        """
        identities = {user: slate_identity(items) for user, items in slates.items()}
        question, recorded = "SELECT world, user, slate FROM outcomes WHERE model = ? AND seed = ?", {}
        for world, user, slate in self._read(question, (model, int(seed))):
            if identities.get(user) == slate:
                recorded.setdefault(world, set()).add(user)
        # A key names its users between semicolons.
        return {key: users for key, users in recorded.items() if not key or len(users) > key.count(";")}

    def outcomes(self, slates: Mapping[int, Sequence[int]] | None = None, leaders=LEADERS) -> pd.DataFrame:
        """All outcomes, or those of some users' slates, sorted by model, seed, world, user and slate.

        The columns are `outcomes.COLUMNS`, with the best ``leaders`` of each ranking of the catalogue. The
        order of recording leaves no trace.
        """
        names = ", ".join(COLUMNS).replace("catalogue", f"substr(catalogue, 1, {leaders * RANKED.itemsize})")
        rows = self._read(f"SELECT {names} FROM outcomes ORDER BY model, seed, world, user, slate")
        table = pd.DataFrame(rows, columns=COLUMNS)
        rankings = [np.frombuffer(blob or b"", RANKED) for blob in table.pop("catalogue")]
        try:
            table = from_text(table).astype(TYPES)
        except AccentError as error:
            raise self._damaged() from error
        table["catalogue"] = pd.Series(rankings, table.index, object)
        table = table[COLUMNS]
        return table if slates is None else of_slates(table, slates)

    def status(self) -> pd.DataFrame:
        """Count what is done: a row for each ``model, seed`` with ``worlds, outcomes, failed, seconds``.

        The control counts as a world; ``seconds`` is the time all of it took.
        """
        names = ["model", "seed", "worlds", "outcomes", "failed", "seconds"]
        question = (
            "SELECT model, seed, COUNT(DISTINCT world), COUNT(*), SUM(status = 'failed'), SUM(seconds) "
            "FROM outcomes GROUP BY model, seed ORDER BY model, seed"
        )
        types = {name: int for name in names[1:5]} | {"seconds": float}
        return pd.DataFrame(self._read(question), columns=names).astype(types)

    def export(self, path, provenance=None) -> Path:
        """Write the outcomes, and what else is to be said of them, as `export_outcomes` does."""
        return export_outcomes(path, self.outcomes(), {**(provenance or {}), "fingerprint": self.fingerprint})

    def import_(self, path, slates: Mapping[int, Sequence[int]] | None = None) -> tuple[int, set[int]]:
        """Take over the outcomes of an exported table, so that a half-finished run goes on from it.

        Parameters
        ----------
        path : str or Path
            Of the table; its JSON file must lie beside it.
        slates : mapping of int to sequence of int, optional
            Items of the users in question. Default: all that the table has.

        Returns
        -------
        new : int
            Outcomes taken over. What is in the store already stays.
        strangers : set of int
            Users in question of whom the table has outcomes, but of another slate.

        Raises
        ------
        AccentError
            If a file is missing, was changed after the export, or belongs to another fingerprint.
        """
        outcomes, about = import_outcomes(path)
        if about["fingerprint"] != self.fingerprint:
            raise self._stranger(path, about["fingerprint"], "it cannot be continued here")
        strangers = set()
        if slates is not None:
            known = set(outcomes["user"]) & set(slates)
            outcomes = of_slates(outcomes, slates)
            strangers = known - set(outcomes["user"])
        return self._insert(outcomes), strangers
