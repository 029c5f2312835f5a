"""Outcomes leave a run folder as committed tables and come back; `status` says how far a run is."""

import json
import os
import platform
import sqlite3

import pandas as pd
import pytest

from accent_book import runs
from accent_book.runner.status import status
from accent_book.runs import results
from accent_book.runs.folder import Run
from accent_book.runs.manifest import kept
from accent_lib.errors import AccentError
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.outcomes import COLUMNS, Outcome
from accent_lib.retraining.store import Store

SLATES = {user: [7, 9] for user in (4, 5)}


def outcome(*what):
    return Outcome(*what, slate=slate_identity([7, 9]))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder of two models as notebook 05 leaves it."""
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(results, "data_folder", lambda: tmp_path)
    run = Run("test", {"run": "sample"})
    for model, table in (("ncf", "outcomes"), ("rcf", "outcomes"), ("rcf", "warm")):
        fingerprint = f"{model[0]}-{table}-fingerprint"
        with Store(results.store_path(run, fingerprint), fingerprint) as store:
            store.record(model, 0, [outcome("", 4, (1.5, 1.0), 7), outcome("4:0 2", 4, (0.5, 1.0), 9)])
        runs.describe_store(run, table, model, fingerprint, {"recipe": {"steps": len(fingerprint)}})
        run.write_json(f"{model}_training.json", {"objective": 0.5})
    # Of an earlier recipe, and so not what is exported.
    old = {"table": "outcomes", "model": "ncf", "fingerprint": "outdated", "date": "2021-07-11"}
    with Store(results.store_path(run, "outdated"), "outdated") as store:
        store.record("ncf", 0, [outcome("", 5, (1.5, 1.0), 7)])
    run.write_json("worlds-outdated.json", old)
    for name in ("slates", "explanations"):
        table = pd.DataFrame({"model": ["ncf", "ncf", "rcf"], "user": [4, 5, 4]})
        table["removed"] = [(0, 2), (), (2, 0)]
        if name == "slates":
            table = table.loc[[0, 0, 1, 1, 2, 2]].assign(position=[0, 1] * 3, item=[7, 9] * 3)
        run.write_csv(f"{name}.csv", table)
    return run


def test_exported_tables_fill_the_store_of_another_machine(run, tmp_path, capsys):
    runs.export("sample")
    assert "results/rcf-sample/warm-0.csv.gz: 2 outcomes" in capsys.readouterr().out
    folder = tmp_path / "results" / "ncf-sample"
    about = json.loads((folder / "outcomes-0.json").read_text())
    assert about["fingerprint"] == "n-outcomes-fingerprint" and about["recipe"] == {"steps": 22}
    assert about["rows"] == 2 and {"versions", "sources"} <= about.keys()
    assert len(pd.read_csv(folder / "explanations.csv.gz")) == 1  # of the one user who was verified
    with Store(tmp_path / "new.sqlite", "r-outcomes-fingerprint") as store:
        assert runs.import_results(run, store, SLATES) == 2
        assert runs.import_results(run, store, SLATES) == 0
        with Store(results.store_path(run, "r-outcomes-fingerprint"), "r-outcomes-fingerprint") as first:
            pd.testing.assert_frame_equal(store.outcomes(), first.outcomes())
        assert list(store.outcomes()) == COLUMNS
    with Store(tmp_path / "changed.sqlite", "r-outcomes-fingerprint") as store:
        assert runs.import_results(run, store, {4: [9, 7], 5: [7, 9]}) == 0
    log = (run.folder / "log.txt").read_text(encoding="utf-8")
    assert "1 user(s) have another slate than in data/results, and begin anew" in log
    with Store(tmp_path / "stranger.sqlite", "another fingerprint") as store:
        assert runs.import_results(run, store, SLATES) == 0
    assert "2 outcomes taken over from rcf-sample/outcomes-0.csv.gz" in (run.folder / "log.txt").read_text()


def test_a_run_that_came_to_nothing_replaces_nothing(run, tmp_path, capsys):
    runs.export("sample")
    about = json.loads((tmp_path / "results" / "ncf-sample" / "outcomes-0.json").read_text())
    with Store(results.store_path(run, "no-outcomes-yet"), "no-outcomes-yet"):
        runs.describe_store(run, "outcomes", "ncf", "no-outcomes-yet", {})
    runs.describe_store(run, "outcomes", "ncf", "n-outcomes-fingerprint", {"users": 9})  # begun again
    runs.export("sample")
    again = json.loads((tmp_path / "results" / "ncf-sample" / "outcomes-0.json").read_text())
    assert again == {**about, "users": 9}
    with Store(results.store_path(run, "another-one"), "another-one") as store:
        store.record("ncf", 0, [outcome("", 4, (1.5, 1.0), 7)])
        runs.describe_store(run, "outcomes", "ncf", "another-one", {})  # used last, begun within a second
    with pytest.raises(AccentError, match="outcomes-0.csv.gz is of another model or recipe; move its folder"):
        runs.export("sample")
    results.store_path(run, "n-outcomes-fingerprint").unlink()
    with Store(results.store_path(run, "n-outcomes-fingerprint"), "n-outcomes-fingerprint") as store:
        store.record("ncf", 0, [outcome("", 4, (1.5, 1.0), 7)])
        runs.describe_store(run, "outcomes", "ncf", "n-outcomes-fingerprint", {})
    with pytest.raises(AccentError, match="has 2 outcomes, and the run folder only 1; move it away"):
        runs.export("sample")
    assert json.loads((tmp_path / "results" / "ncf-sample" / "outcomes-0.json").read_text()) == again


def test_tables_of_several_models_are_not_read_as_one(run, tmp_path):
    runs.export("sample")
    assert len(runs.read_results("ncf-sample").outcomes) == 2
    with pytest.raises(AccentError, match="There are no long in data/results/ncf-sample"):
        runs.read_results("ncf-sample", "long")
    with Store(tmp_path / "other.sqlite", "another fingerprint") as store:
        store.record("ncf", 1, [outcome("", 4, (1.5, 1.0), 7)])
        with kept(tmp_path / "results" / "ncf-sample" / "outcomes-1.csv.gz") as file:
            store.export(file)
    with pytest.raises(AccentError, match="outcomes in data/results/ncf-sample are of several models"):
        runs.read_results("ncf-sample")


def test_a_table_is_the_same_to_the_byte_whenever_it_is_written(tmp_path):
    table = pd.DataFrame({"user": [1, 2], "removed": [(0, 3), ()]})
    first, second = (tmp_path / name / "table.csv.gz" for name in ("first", "second"))
    runs.write_table(first, table)
    runs.write_table(second, table)
    assert first.read_bytes() == second.read_bytes()
    assert pd.read_csv(first, keep_default_na=False)["removed"].tolist() == ["0 3", ""]


def test_worlds_of_several_users_are_kept_whole():
    columns = {"world": ["", "", "1:0;2:3", "1:0;2:3", "1:5;2:9", "1:5;2:9"], "user": [1, 2, 1, 2, 1, 2]}
    explanations = pd.DataFrame({"user": [2], "removed": [(3,)]})
    assert list(runs.outcomes_of_sets(pd.DataFrame(columns), explanations).index) == [0, 1, 2, 3]


def test_nothing_to_export_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path))
    with pytest.raises(AccentError, match="Nothing was verified in .*: run notebook 05_verification first"):
        runs.export("sample")


def test_status_says_what_is_done_under_way_and_left(run, capsys):
    path = run.path("worlds-n-outcom.sqlite")

    def line():
        status("sample")
        return next(
            line
            for line in capsys.readouterr().out.splitlines()
            if "worlds-n-outcom.sqlite: " in line or "worlds-n-outcom.sqlite cannot" in line
        )

    with Store(path, "n-outcomes-fingerprint") as store:
        store.note("ncf", 300, 1000, 30, 2.0)
        expected = "300 of 1,000 retrainings of ncf done, 30 under way, 670 waiting, about 6 minutes left"
        assert line().endswith(expected)
    with sqlite3.connect(path) as connection:  # as a driver that was killed leaves it
        connection.execute("UPDATE work SET driver = ?", (f"{platform.node()}:{2**22 + os.getpid()}",))
    assert line().endswith(
        "300 of 1,000 retrainings of ncf done, 700 left, not running; the same command goes on"
    )
    path.write_bytes(b"no database")
    assert "cannot be read" in line()
