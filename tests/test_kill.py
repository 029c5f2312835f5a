"""`kill -9` in the middle of notebook 05, and run it again: the outcomes are those of an undisturbed run."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest

from accent_lib.explanations import explain_users
from accent_lib.models import NCF
from accent_lib.retraining.cells import to_text
from accent_lib.retraining.worlds import worlds_of
from accent_lib.training import Recipe, State, save_checkpoint, train
from tests.conftest import ROOT, SEARCH_PATH

SETTINGS = {"models": ["ncf"], "n_users": 0, "workers": 1}
SETTINGS |= {"retraining_steps": 150, "batch_size": 256, "stack_size": 2}
PAPERMILL = """
import json, sys
from pathlib import Path
from accent_book.runner.kernel import execute, kernel
source, target, root, runs, settings = sys.argv[1:]
with kernel({"ACCENT_RUNS": runs, "ACCENT_RUNNER": "1"}) as name:
    execute(Path(source), Path(target), json.loads(settings), name, Path(root))
"""


@pytest.fixture
def explained(sample, tmp_path):
    """Make a run folder as notebooks 01 to 04 leave it: a small model, and the explanations of six users."""
    folder = tmp_path / "whole"
    folder.mkdir()
    model = NCF(sample)
    (state,) = train(model, Recipe(300, 1e-2, "linear", batch_size=256), [State.of(model)])
    slates, explanations, _ = explain_users(
        "ncf", state.into(model), range(40), [3, 6], ["accent", "pure_fia", "random"]
    )
    chosen = explanations.loc[explanations["size"] > 0, "user"].unique()[:6]
    slates, explanations = (table[table["user"].isin(chosen)] for table in (slates, explanations))
    slates.to_csv(folder / "slates.csv", index=False)
    to_text(explanations).to_csv(folder / "explanations.csv", index=False)
    save_checkpoint(folder / "ncf.npz", state, "a small model", data=sample.fingerprint, start=0)
    record = {"dataset": "sample", "data_home": "", "settings": sample.settings, "name": sample.name}
    (folder / "data.json").write_text(json.dumps({**record, "fingerprint": sample.fingerprint}))
    return folder, len(worlds_of(explanations))


def papermill(folder):
    """Start notebook 05 on a run folder, in processes of its own."""
    source, target = ROOT / "notebooks" / "05_verification.ipynb", folder.parent / f"{folder.name}.ipynb"
    settings = json.dumps({"run": folder.name, **SETTINGS})
    search = os.pathsep.join(filter(None, [SEARCH_PATH, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-c", PAPERMILL, source, target, ROOT, folder.parent, settings],
        env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def worlds_done(folder):
    """Count the worlds in the store, the control left out; none where it has not got so far."""
    try:
        (path,) = folder.glob("worlds-*.sqlite")
        connection = sqlite3.connect(path)
        try:
            return connection.execute(
                "SELECT COUNT(DISTINCT world) FROM outcomes WHERE world <> ''"
            ).fetchone()[0]
        finally:
            connection.close()
    except (ValueError, sqlite3.OperationalError):
        return 0


def kill_all(process):
    """`kill -9` the process, then the kernel and the workers that it started."""
    everybody = [psutil.Process(process.pid)]
    everybody += everybody[0].children(recursive=True)
    for one in everybody:
        one.kill()
    psutil.wait_procs(everybody)


def exported(folder):
    """Read the exported outcomes as text, without the time that they took."""
    return pd.read_csv(folder / "outcomes.csv", dtype=str).drop(columns="seconds")


def test_a_killed_notebook_resumes_to_the_same_outcomes(explained):
    whole, total = explained
    killed = whole.with_name("killed")
    shutil.copytree(whole, killed)
    undisturbed, process = papermill(whole), papermill(killed)
    try:
        while not 4 <= worlds_done(killed) < total:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        kill_all(process)
        kept = worlds_done(killed)
        assert 4 <= kept < total
        assert not (killed / "outcomes.csv").exists()

        already_logged = len((killed / "log.txt").read_text())
        again = papermill(killed)
        output, _ = again.communicate()
        assert again.returncode == 0, output
        assert f"{kept} of {total} retrainings of ncf\n" in (killed / "log.txt").read_text()[already_logged:]
        output, _ = undisturbed.communicate()
        assert undisturbed.returncode == 0, output
    finally:
        for one in (process, undisturbed):
            if one.poll() is None:
                kill_all(one)

    assert len(exported(whole)) == total + 6  # the control is observed for all six users
    pd.testing.assert_frame_equal(exported(killed), exported(whole))
    assert (killed / "verified.json").read_text() == (whole / "verified.json").read_text()
