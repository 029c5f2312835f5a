"""Outcomes leave a run folder as committed tables and come back; `status` says how far a run is."""

import json
import os
import platform
import sqlite3

import pandas as pd
import pytest

from accent_lib import workflow
from accent_lib.retraining.outcomes import COLUMNS, Outcome, export_outcomes
from accent_lib.retraining.store import Store
from accent_lib.workflow import results
from accent_lib.workflow.folder import Run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder of two models as notebook 05 leaves it."""
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(results, "results_folder", lambda: tmp_path / "results")
    run = Run("test", {"run": "sample"})
    tables = []
    for model in ("ncf", "rcf"):
        with Store(run.path(f"worlds-{model}.sqlite"), f"mark-of-{model}") as store:
            store.record(model, 0, [Outcome("", 4, (1.5, 1.0), 7), Outcome("4:0 2", 4, (0.5, 1.0), 9)])
            tables.append(store.outcomes())
        run.write_json(f"{model}_training.json", {"objective": 0.5})
    about = {"fingerprint": "mark-of-rcf mark-of-ncf", "models": ["rcf", "ncf"], "seeds": [0]}
    about |= {"recipe": {"ncf": {"steps": 5}, "rcf": {"steps": 7}}, "users_per_world": {"ncf": 1, "rcf": 4}}
    export_outcomes(run.path("outcomes.csv"), pd.concat(tables), about)
    export_outcomes(run.path("warm.csv"), tables[1], {"fingerprint": "warm"})
    for name in ("slates", "explanations"):
        table = pd.DataFrame({"model": ["ncf", "ncf", "rcf"], "user": [4, 5, 4], "removed": ["0 2", "", "1"]})
        run.write_csv(f"{name}.csv", table)
    return run


def test_exported_tables_fill_the_store_of_another_machine(run, tmp_path, capsys):
    workflow.export("sample")
    assert "rcf-sample: 2 outcomes of 1 users" in capsys.readouterr().out
    folder = tmp_path / "results" / "ncf-sample"
    about = json.loads((folder / "outcomes.json").read_text())
    assert about["fingerprint"] == "mark-of-ncf" and about["recipe"] == {"ncf": {"steps": 5}}
    assert len(pd.read_csv(folder / "explanations.csv")) == 1  # of the one user who was verified
    assert (
        json.loads((tmp_path / "results" / "rcf-sample" / "warm.json").read_text())["fingerprint"] == "warm"
    )
    with Store(tmp_path / "new.sqlite", "mark-of-rcf") as store:
        assert workflow.import_results(run, store) == 2
        assert workflow.import_results(run, store) == 0
        with Store(run.path("worlds-rcf.sqlite"), "mark-of-rcf") as first:
            pd.testing.assert_frame_equal(store.outcomes(), first.outcomes())
        assert list(store.outcomes()) == COLUMNS
    with Store(tmp_path / "stranger.sqlite", "another mark") as store:
        assert workflow.import_results(run, store) == 0
    assert "2 outcomes taken over from outcomes.csv" in (run.folder / "log.txt").read_text()


def test_status_says_what_is_done_under_way_and_left(run, capsys):
    path = run.path("worlds-ncf.sqlite")

    def line():
        workflow.status("sample")
        return next(
            line
            for line in capsys.readouterr().out.splitlines()
            if "worlds-ncf.sqlite: " in line or "worlds-ncf.sqlite cannot" in line
        )

    with Store(path, "mark-of-ncf") as store:
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
