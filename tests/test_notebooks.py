"""The notebooks, as a reader runs them: each with papermill, in order, on a tiny profile."""

import json
import os
import shutil
import subprocess
import sys
import time

import nbformat
import pandas as pd
import pytest

from tests.conftest import ROOT, SEARCH_PATH, TINY, papermill


def test_every_notebook_is_tried():
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == list(TINY)


@pytest.mark.parametrize("name", TINY)
def test_a_notebook_runs_after_those_before_it(tiny_run, name):
    folder, finished = tiny_run
    assert name in finished, "a notebook before it failed"
    assert finished[name].returncode == 0, finished[name].stderr[-3000:]
    executed = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    shown = [output.get("data", {}) for cell in executed.cells for output in cell.get("outputs", [])]
    by_hand = any("-by-hand-" in data.get("text/html", "") for data in shown)
    assert by_hand or any("image/png" in data for data in shown), "a chapter without a figure"


def test_the_run_leaves_the_tables_that_the_next_one_reads(tiny_run):
    folder = tiny_run[0] / "tiny"
    explanations = pd.read_csv(folder / "explanations.csv", dtype={"removed": str})
    methods = explanations.groupby("model")["method"].unique().map(set)
    assert methods["ncf"] == {"accent", "fia", "pure_fia", "random"}
    assert methods["rcf"] == methods["ncf"] | {"attention", "pure_attention"}
    assert set(explanations["k"]) == {3, 6}
    outcomes = pd.read_csv(folder / "outcomes.csv", dtype={"world": str})
    verified = json.loads((folder / "verified.json").read_text())["users"]
    assert len(verified) == 6 and set(outcomes["user"]) == set(verified)
    control = outcomes[outcomes["world"].isna()]
    assert {model: set(users) for model, users in control.groupby("model")["user"]} == {
        "ncf": set(verified),
        "rcf": set(verified),
    }


@pytest.mark.parametrize(
    "name, arguments, sentence",
    [
        ("01_data", ["-p", "holdot", "0.1"], "no parameter holdot; did you mean holdout"),
        ("01_data", ["-p", "holdout", "2"], "holdout must be less than 1"),
        ("02_training", ["-p", "workers", "many"], "workers must be a whole number"),
        ("04_explanations", ["-y", "methods: [acent]"], "methods must be one of"),
    ],
)
def test_a_wrong_parameter_stops_with_a_sentence(tmp_path, name, arguments, sentence):
    finished = papermill(name, tmp_path, *arguments)
    assert finished.returncode != 0
    assert sentence in finished.stderr
    assert not any(tmp_path.glob("sample/*.csv"))


def test_without_data_and_network_a_run_on_real_data_stops_soon(tmp_path):
    # A project of its own: a run takes the chapters of another profile out of the book.
    shutil.copytree(ROOT / "notebooks", tmp_path / "project" / "notebooks")
    environment = {key: value for key, value in os.environ.items() if key != "ACCENT_DATA_HOME"}
    environment |= {"ACCENT_RUNS": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    # Whatever the machine's network can do, these addresses cannot be reached.
    environment |= dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
    )
    command = [sys.executable, "-m", "accent_book", "run", "--profile", "ml-100k", "--upto", "1"]
    begin = time.perf_counter()
    environment["PYTHONPATH"] = SEARCH_PATH
    finished = subprocess.run(
        command, cwd=tmp_path / "project", env=environment, capture_output=True, text=True
    )
    # Generous: a name look-up fails in a second, a silent host within 20; the rest is for a busy machine.
    assert time.perf_counter() - begin < 90
    assert finished.returncode == 1
    said = finished.stdout + finished.stderr
    assert "ACCENT_DATA_HOME" in said and "sample" in said and "01_data" in said
    assert "Traceback" not in said.splitlines()[-1]
