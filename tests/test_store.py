"""The store: whole stacks or none, through kills, full disks and strangers' files."""

import json
import math
import os
import random
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from accent_lib.errors import AccentError
from accent_lib.retraining.cells import from_text, to_text
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.outcomes import Outcome, import_outcomes
from accent_lib.retraining.ranking import LEADERS, ranked
from accent_lib.retraining.store import Store

SLATE = [3, 1]
SLATES = dict.fromkeys(range(10_000), SLATE)


def stack(number, size=8):
    """Outcomes of a made-up stack: worlds of `size` users, whose scores depend on nothing but the world."""
    users = range(number * size, (number + 1) * size)
    return [
        Outcome(
            f"{user}:0 {number + 1}",
            user,
            (4 + user / 7, 3.5),
            user % 5,
            seconds=0.25,
            slate=slate_identity(SLATE),
            catalogue=ranked(np.arange(40), np.random.default_rng(user).normal(3, 1, 40)),
        )
        for user in users
    ]


# Writes stacks until it is killed, and says which ones it believes to be recorded.
WRITER = """
import sys
sys.path.insert(0, {tests!r})
from test_store import SLATES, Store, stack
with Store({path!r}, "print") as store:
    done = store.done("ncf", 0, SLATES).keys()
    for number in range({stacks}):
        outcomes = stack(number)
        if {{outcome.world for outcome in outcomes}} <= done:
            continue
        store.record("ncf", 0, outcomes)
        print(number, flush=True)
"""


# Stops in the middle of a transaction, and waits there to be killed.
HALF_WRITER = """
import sys, time
sys.path.insert(0, {tests!r})
from test_store import Store, stack
store = Store({path!r}, "print")
store.connection.execute("PRAGMA cache_size = 1")
with store._transaction():
    question = "INSERT INTO outcomes VALUES ('ncf', ?, ?, 0, '', ?, 1, x'', 'ok', '', 0)"
    for user in range(2000):
        store.connection.execute(question, (f"{{user}}:7", user, "4 " * 50))
    print("half", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "run" / "worlds.sqlite", "print") as store:
        yield store


def test_what_is_recorded_comes_back(store):
    slate = slate_identity(SLATE)
    control = Outcome("", 7, (4.125, 3.0), 12, slate=slate)
    failed = Outcome("7:1 3", 7, (float("nan"),) * 2, -1, "failed", "the loss, \n diverged", 1.23456, slate)
    assert store.record("ncf", 1, [failed, control]) == 2
    assert store.record("ncf", 0, [control]) == 1
    assert store.done("ncf", 1, SLATES) == {"": {7}, "7:1 3": {7}}
    assert store.done("rcf", 1, SLATES) == store.done("ncf", 2, SLATES) == {}
    table = store.outcomes()
    assert all(map(math.isnan, table["scores"].iloc[2]))
    table["scores"] = [*table["scores"].iloc[:2], ()]
    assert not any(map(len, table.pop("catalogue")))  # nobody said how it was ranked
    assert table.values.tolist() == [
        ["ncf", "", 7, 0, slate, (4.125, 3.0), 12, "ok", "", 0.0],
        ["ncf", "", 7, 1, slate, (4.125, 3.0), 12, "ok", "", 0.0],
        ["ncf", "7:1 3", 7, 1, slate, (), -1, "failed", "the loss, \n diverged", 1.235],
    ]
    status = store.status()
    assert status.values.tolist() == [["ncf", 0, 1, 1, 0, 0.0], ["ncf", 1, 2, 2, 1, 1.235]]


def test_a_world_of_several_users_is_done_when_all_of_them_are_there(store):
    outcome = Outcome("1:0;2:3", 1, (2.0, 1.0), 7, slate=slate_identity(SLATE))
    store.record("ncf", 0, [outcome])  # as an import of a part may leave it
    assert "1:0;2:3" not in store.done("ncf", 0, SLATES)
    store.record("ncf", 0, [replace(outcome, user=2)])
    assert "1:0;2:3" in store.done("ncf", 0, SLATES)


def test_outcomes_of_another_slate_stay_but_do_not_count(store, tmp_path):
    store.record("ncf", 0, [replace(outcome, world="") for outcome in stack(0)])
    others = SLATES | {3: [1, 3], 4: [3, 1, 2]}
    assert store.done("ncf", 0, others)[""] == {0, 1, 2, 5, 6, 7}
    assert store.outcomes(others)["user"].tolist() == [0, 1, 2, 5, 6, 7] and len(store.outcomes()) == 8
    again = [replace(o, world="", slate=slate_identity(others[o.user])) for o in stack(0)]
    assert store.record("ncf", 0, again) == 2
    assert store.done("ncf", 0, others)[""] == store.done("ncf", 0, SLATES)[""] == set(range(8))
    table = store.export(tmp_path / "outcomes.csv.gz")
    with Store(tmp_path / "other", "print") as other:
        assert other.import_(table, {user: [1, 3] for user in range(5)}) == (1, {0, 1, 2, 4})


def test_an_empty_store_has_tables_with_the_right_columns(store):
    assert len(store.outcomes()) == 0 and store.outcomes()["user"].dtype == int
    assert len(store.status()) == 0


def test_order_of_recording_leaves_no_trace(tmp_path):
    with Store(tmp_path / "a", "print") as first, Store(tmp_path / "b", "print") as second:
        for number in range(5):
            first.record("ncf", 0, stack(number))
            second.record("ncf", 0, stack(4 - number)[::-1])
        pd.testing.assert_frame_equal(first.outcomes(), second.outcomes())


def test_what_is_there_stays(store):
    outcome = Outcome("7:1", 7, (4.0,), 1)
    store.record("ncf", 0, [outcome])
    assert store.record("ncf", 0, [replace(outcome, scores=(9.0,)), Outcome("8:1", 8, (3.0,), 1)]) == 1
    assert store.outcomes()["scores"].tolist() == [(4.0,), (3.0,)]


def test_a_stack_with_the_same_outcome_twice_is_refused_whole(store):
    with pytest.raises(AccentError, match="twice"):
        store.record("ncf", 0, [*stack(0), stack(0)[0]])
    assert len(store.outcomes()) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"world": "7:3 1"},
        {"world": "seven"},
        {"status": "perhaps"},
        {"scores": (4.0, float("nan"))},
        {"scores": ()},
    ],
)
def test_impossible_outcomes_are_refused(wrong):
    with pytest.raises(AccentError):
        Outcome(**{"world": "7:1", "user": 7, "scores": (4.0,), "top": 1, **wrong})


def test_sets_and_scores_survive_as_text(tmp_path):
    scores = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    table = pd.DataFrame({"removed": [(4,), (), (0, 17)], "scores": [tuple(scores), (), (4.0,)]})
    to_text(table).to_csv(tmp_path / "table.csv", index=False)
    read = from_text(pd.read_csv(tmp_path / "table.csv"))
    assert (np.array(read["scores"][0], dtype=np.float32) == scores).all()
    assert read["removed"].tolist() == table["removed"].tolist()
    assert read["scores"].tolist()[1:] == [(), (4.0,)]


def test_lone_numbers_are_read_as_pandas_takes_them():
    assert from_text(pd.DataFrame({"removed": [4.0, float("nan")]}))["removed"].tolist() == [(4,), ()]


@pytest.mark.parametrize("cell", ["3,4", "-1", "1.5", 1.5, [3]])
def test_other_cells_are_refused(cell):
    with pytest.raises(AccentError, match="column removed"):
        from_text(pd.DataFrame({"removed": [cell]}))


def test_a_store_of_another_fingerprint_is_refused(store):
    with pytest.raises(AccentError, match="another data set, model, recipe or version"):
        Store(store.path, "other")
    Store(store.path, "print").close()


def test_another_program_s_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "worlds.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(AccentError, match="not a store"):
        Store(path, "print")
    assert path.read_bytes() == before


@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_damaged_store_is_refused(store, where):
    for number in range(60):
        store.record("ncf", 0, stack(number))
    store.close()
    content = bytearray(store.path.read_bytes())
    if where == "end":
        content = content[: len(content) // 2]
    else:
        place = 0 if where == "start" else 4096 * 3
        content[place : place + 4096] = random.Random(0).randbytes(4096)
    store.path.write_bytes(content)
    with pytest.raises(AccentError, match="damaged"):
        Store(store.path, "print")


def test_a_store_that_cannot_grow_keeps_whole_stacks_only(store):
    store.record("ncf", 0, stack(0))
    store.connection.execute(
        f"PRAGMA max_page_count = {store.connection.execute('PRAGMA page_count').fetchone()[0] + 3}"
    )
    recorded = 1
    with pytest.raises(AccentError, match="disk is full"):
        while recorded < 200:
            store.record("ncf", 0, stack(recorded, size=40)[: 8 * 5])
            recorded += 1
    assert recorded < 200
    before = store.outcomes()
    assert len(before) == 8 + 40 * (recorded - 1)
    # With room again, the same store goes on.
    store.connection.execute("PRAGMA max_page_count = 100000")
    assert store.record("ncf", 0, stack(recorded, size=40)) == 40


def test_a_writer_that_takes_too_long_is_named(store):
    with Store(store.path, "print") as other:
        other.connection.execute("PRAGMA busy_timeout = 1")
        store.connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(AccentError, match="another process"):
            other.record("ncf", 0, stack(0))
        assert len(other.outcomes()) == 0  # reading goes on
        store.connection.execute("ROLLBACK")
        assert other.record("ncf", 0, stack(0)) == 8


def test_a_folder_in_place_of_the_file_is_one_sentence(tmp_path):
    with pytest.raises(AccentError, match="cannot be opened"):
        Store(tmp_path, "print")
    (tmp_path / "file").write_text("")
    with pytest.raises(AccentError, match="cannot be used"):
        Store(tmp_path / "file" / "worlds.sqlite", "print")


def test_killed_in_the_middle_of_a_stack_it_takes_the_half_back(tmp_path):
    path = tmp_path / "worlds.sqlite"
    with Store(path, "print") as store:
        store.record("ncf", 0, stack(0))
    # One page of memory makes SQLite write the half-finished stack into the file before it is committed.
    process = subprocess.Popen(
        [sys.executable, "-c", HALF_WRITER.format(tests=os.path.dirname(__file__), path=str(path))],
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    process.kill()
    process.communicate()
    assert path.with_name("worlds.sqlite-journal").stat().st_size > 0
    with Store(path, "print") as store:
        assert store.done("ncf", 0, SLATES).keys() == {outcome.world for outcome in stack(0)}
        assert store.record("ncf", 0, stack(1)) == 8


@pytest.fixture
def exported(store, tmp_path):
    store.record(
        "ncf", 0, [*stack(0), Outcome("", 1, (4.0, 3.0), 2), Outcome("9:9", 9, (), -1, "failed", 'a, "b"')]
    )
    return store.export(tmp_path / "results" / "outcomes.csv", {"commit": "abc"})


def test_export_and_import_round_trip(store, exported, tmp_path):
    about = json.loads(exported.with_suffix(".json").read_text())
    assert about["fingerprint"] == "print" and about["rows"] == 10 and about["commit"] == "abc"
    pd.testing.assert_frame_equal(import_outcomes(exported)[0], store.outcomes())
    with Store(tmp_path / "elsewhere.sqlite", "print") as other:
        other.record("ncf", 0, stack(0)[:3])
        assert other.import_(exported) == (7, set())
        assert other.import_(exported) == (0, set())
        pd.testing.assert_frame_equal(other.outcomes(), store.outcomes())
        again = other.export(tmp_path / "again.csv", {"commit": "abc"})
    assert again.read_bytes() == exported.read_bytes()
    assert [file.name for file in exported.parent.iterdir() if file.suffix == ".tmp"] == []


def test_whole_rankings_stay_in_the_store_and_the_best_leave_it(store, exported, tmp_path):
    outcome = stack(1)[0]
    store.record("ncf", 0, [outcome])
    (whole,) = store.outcomes(leaders=40).query("user == 8")["catalogue"]
    assert (
        np.array_equal(whole, outcome.catalogue)
        and whole["item"][0] == whole["item"][whole["score"].argmax()]
    )
    (best,) = store.outcomes().query("user == 8")["catalogue"]
    assert np.array_equal(best, whole[:LEADERS]) and LEADERS < 40
    with Store(tmp_path / "elsewhere.sqlite", "print") as other:
        other.import_(store.export(tmp_path / "again.csv"))
        (kept,) = other.outcomes(leaders=40).query("user == 8")["catalogue"]
    assert np.array_equal(kept, best)


def test_line_ends_of_another_system_are_no_change(exported, tmp_path):
    exported.write_bytes(exported.read_bytes().replace(b"\n", b"\r\n"))
    with Store(tmp_path / "elsewhere.sqlite", "print") as other:
        assert other.import_(exported) == (10, set())


def test_tables_of_another_fingerprint_changed_or_incomplete_are_refused(exported, tmp_path):
    with Store(tmp_path / "other.sqlite", "other") as other:
        with pytest.raises(AccentError, match="another data set, model, recipe or version"):
            other.import_(exported)
    with Store(tmp_path / "elsewhere.sqlite", "print") as store:
        content = exported.read_bytes()
        exported.write_bytes(content.replace(b"4.1", b"9.1"))
        with pytest.raises(AccentError, match="changed after its export"):
            store.import_(exported)
        exported.write_bytes(content)
        about = exported.with_suffix(".json")
        about.write_text("{}")
        with pytest.raises(AccentError, match="lacks .fingerprint.; export again"):
            store.import_(exported)
        about.unlink()
        with pytest.raises(AccentError, match="outcomes.json"):
            store.import_(exported)
        assert len(store.outcomes()) == 0


def test_an_export_that_cannot_be_written_leaves_the_old_one(store, exported, monkeypatch):
    before = exported.read_bytes()
    store.record("ncf", 0, stack(1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(AccentError, match="No space left"):
        store.export(exported)
    assert exported.read_bytes() == before
    assert len(list(exported.parent.iterdir())) == 2
