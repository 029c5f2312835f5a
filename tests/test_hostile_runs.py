"""Run folders, profiles and places that are broken, forged or taken: a sentence, and nothing lost."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from accent_book import runs
from accent_book.__main__ import main
from accent_book.publish.place import MARKER, ours, renewed
from accent_book.publish.student import student
from accent_book.runner import plan
from accent_book.runs import manifest, notebooks, profiles, results
from accent_book.runs.folder import Run
from accent_book.runs.lock import NAME, alone
from accent_lib.errors import AccentError
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.outcomes import Outcome
from accent_lib.retraining.store import Store
from tests.conftest import ROOT, SEARCH_PATH

SLATES = pd.DataFrame(
    {"model": "ncf", "user": [4, 4], "position": [0, 1], "item": [7, 9], "score": [3.0, 2.5]}
)
SETS = pd.DataFrame({"model": ["ncf"], "method": "accent", "k": 2, "user": 4, "removed": [(0, 2)], "size": 2})


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """What the sources are does not matter here, and takes long to tell."""
    for module in (results, plan):
        monkeypatch.setattr(module, "sources_of_notebooks", lambda: "sources")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder of NCF as notebook 05 leaves it, and a folder for results."""
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    for module in (manifest, results):
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path / "data")
    run = Run("test", {"run": "sample"})
    with Store(results.store_path(run, "fingerprint"), "fingerprint") as store:
        slate = slate_identity([7, 9])
        store.record(
            "ncf", 0, [Outcome("", 4, (1.5, 1), 7, slate=slate), Outcome("4:0 2", 4, (1, 2), 9, slate=slate)]
        )
    about = {"model": "ncf", "table": "outcomes", "fingerprint": "fingerprint", "seeds": [0], "described": 1}
    run.write_json("worlds-fingerpr.json", about)
    run.write_json("ncf_training.json", {"objective": 0.5})
    run.write_csv("slates.csv", SLATES)
    run.write_csv("explanations.csv", SETS)
    return run


# Tables and JSON of a run folder


@pytest.mark.parametrize("name", ["slates.csv", "explanations.csv"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: "", "is damaged"),
        (lambda text: text.splitlines()[0] + "\n", "has a header but no rows"),
        (lambda text: text.replace("user", "usher", 1), "has no column 'user'"),
        (lambda text: text.replace(",4,", ",four,"), "line 2: 'four' as 'user'"),
        (lambda text: text.replace(",4,", ",-4,"), "line 2: '-4' as 'user'"),
        (lambda text: text[: len(text) // 2] + '"', "is damaged|has no column|has a header|must be"),
    ],
)
def test_a_broken_table_of_a_run_is_a_sentence(run, name, change, sentence):
    path = run.path(name)
    path.write_text(change(path.read_text()))
    with pytest.raises(AccentError, match=sentence) as error:
        run.read_csv(name)
    assert name in str(error.value) and "; run the notebook that makes it again" in str(error.value)
    with pytest.raises(AccentError, match=sentence):
        runs.export("sample")
    assert not (run.folder.parents[1] / "data").exists()


@pytest.mark.parametrize(
    ("name", "cells", "sentence"),
    [
        ("slates.csv", {"score": np.nan}, "line 2: '' as 'score'"),
        ("slates.csv", {"score": np.inf}, "line 2: 'inf' as 'score'"),
        ("explanations.csv", {"removed": "0 x"}, "A cell of the column removed"),
        ("explanations.csv", {"predicted": "1 nan"}, "line 2: predicted must be finite numbers"),
        ("outcomes.csv", {"scores": "nan 1"}, "line 2: scores must be finite numbers"),
        ("outcomes.csv", {"scores": "inf 1"}, "line 2: scores must be finite numbers"),
        ("outcomes.csv", {"scores": ""}, "line 2: scores must be finite numbers"),
    ],
)
def test_numbers_that_are_none_do_not_count_as_sets_that_failed(run, name, cells, sentence):
    about = {"model": ["ncf"], "world": "", "user": 4, "seed": 0, "scores": "2 1", "status": "ok", "top": 7}
    table = {
        "slates.csv": SLATES,
        "explanations.csv": SETS.assign(removed="0"),
        "outcomes.csv": pd.DataFrame(about),
    }
    table[name].assign(**cells).to_csv(run.path(name), index=False)
    with pytest.raises(AccentError, match=sentence):
        run.read_csv(name)


def test_what_a_failed_retraining_showed_is_read(run):
    row = {"model": ["ncf"], "world": "", "user": 4, "seed": 0, "scores": "", "status": "failed", "top": -1}
    pd.DataFrame(row).to_csv(run.path("outcomes.csv"), index=False)
    assert run.read_csv("outcomes.csv")["scores"].tolist() == [()]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"7", b'{"dataset": 3}', b"[" * 9999])
def test_broken_json_of_a_run_is_a_sentence(run, content, capsys):
    for name in ("data.json", "settings/01_data.json", "provenance.json"):
        run.path(name).write_bytes(content)
    reads = [
        lambda: run.read_json("data.json"),
        lambda: runs.interactions(run),
        lambda: run.setting("01_data", "seed"),
        lambda: notebooks.read_records(run.folder),
    ]
    for read in reads:
        with pytest.raises(AccentError, match=r"is damaged|holds no object|lacks|must be text|no parameter"):
            read()
    assert main(["status", "--profile", "sample"]) == 1
    assert "provenance.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("about", "sentence"),
    [
        ({"files": ["a"]}, "has ['a'] as 'files'"),
        ({"columns": 3}, "has 3 as 'columns'"),
        ({"noun": None}, "has None as 'noun'"),
        ({"settings": {"min_rating": 5}}, "has {'min_rating': 5} as 'settings'"),
    ],
)
def test_a_record_of_the_data_holds_what_it_must(run, about, sentence):
    run.write_json("data.json", {"dataset": "sample", "settings": {}, "fingerprint": "ab", **about})
    with pytest.raises(AccentError, match=re.escape(sentence)):
        runs.interactions(run)


def test_records_of_another_form_are_damaged(run):
    for record in (
        [],
        {"stamp": 3},
        {"stamp": "a", "settings": [], "files": [], "date": "", "seconds": 1},
        None,
    ):
        run.write_json("provenance.json", {"01_data": record})
        with pytest.raises(AccentError, match="provenance.json is damaged at '01_data'; delete it"):
            notebooks.read_records(run.folder)


def test_a_damaged_table_of_another_model_stops_no_verification(run, tmp_path):
    runs.export("sample")
    other = tmp_path / "data" / "results" / "rcf-paper"
    other.mkdir()
    for name, content in {
        "outcomes-0.json": b"{",
        "outcomes-1.json": b"[]",
        "outcomes-2.json": b"\xff",
    }.items():
        (other / name).write_bytes(content)
        (other / name).with_suffix(".csv.gz").touch()
    with Store(tmp_path / "new.sqlite", "fingerprint") as store:
        assert runs.import_results(run, store, {4: [7, 9]}) == 2
    assert "outcomes-0.json is damaged" in (run.folder / "log.txt").read_text()
    # Its own must be what they were.
    (tmp_path / "data" / "results" / "ncf-sample" / "outcomes-0.csv.gz").write_bytes(b"x")
    with Store(tmp_path / "newer.sqlite", "fingerprint") as store:
        with pytest.raises(AccentError, match="is not the file whose hash is in the SHA256SUMS"):
            runs.import_results(run, store, {4: [7, 9]})


def test_what_a_killed_export_left_is_read_by_nobody(run, tmp_path):
    folder = tmp_path / "data" / "results" / "ncf-sample"
    runs.export("sample")
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / ".accent-0123.part").write_text('{"fin')
    (folder / ".accent-4567.new").mkdir()
    (folder / ".accent-4567.new" / "outcomes-0.json").write_text('{"fin')
    assert len(runs.read_results("ncf-sample").outcomes) == 2
    assert runs.results_folder() == tmp_path / "data" / "results"
    runs.export("sample")
    (folder / ".accent-0123.part").unlink()
    again = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: again[name] for name in whole if name != NAME} == {n: whole[n] for n in whole if n != NAME}


def test_an_export_without_one_of_its_stores_says_so(run):
    (run.folder / "worlds-fingerpr.sqlite").rename(run.folder / "away")
    with pytest.raises(AccentError, match="The store of the outcomes of ncf is missing in .*run notebook 05"):
        runs.export("sample")
    run.write_json("worlds-older.json", {"model": "ncf", "table": "warm", "fingerprint": "older"})
    with pytest.raises(AccentError, match="The store of the .* of ncf is missing"):
        runs.export("sample")
    (run.folder / "away").rename(run.folder / "worlds-fingerpr.sqlite")
    (run.folder / "worlds-older.json").unlink()
    # What was begun by another recipe and is gone does not matter where a newer one is there.
    run.write_json("worlds-older.json", {"model": "ncf", "table": "outcomes", "fingerprint": "older"})
    runs.export("sample")


# Names become paths in one place


@pytest.mark.parametrize(
    "about", [{"model": "../../victim"}, {"table": "../x"}, {"table": "a/b"}, {"model": 3}, {"model": ""}]
)
def test_no_name_in_a_run_folder_leads_out_of_the_results(run, tmp_path, about):
    told = json.loads(run.path("worlds-fingerpr.json").read_text())
    run.write_json("worlds-fingerpr.json", told | about)
    with pytest.raises(AccentError, match=r"it names a table|which must be text"):
        runs.export("sample")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


@pytest.mark.parametrize(
    "name", ["../../victim", "/tmp/victim", "a/b", "..", ".hidden", "", 2, None, "a\0b", "x" * 200, "C:x"]
)
def test_a_run_is_a_plain_name(tmp_path, monkeypatch, name):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"run": name}))
    for refused in (
        lambda: runs.load_profile(str(path), ROOT),
        lambda: runs.profiles.run_name(str(path), ROOT),
        lambda: Run("01_data", {"run": name}),
        lambda: notebooks.run_folder(name),
    ):
        with pytest.raises(AccentError, match=r"run must be a folder's plain name, such as sample, not"):
            refused()
    assert main(["run", "--profile", str(path)]) == 1 and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "a//b", "", ".", "a\\..\\x", "a\0", "C:\\x"]
)
def test_what_leaves_its_folder_is_refused(run, name):
    for refused in (
        lambda: notebooks.inside(run.folder, name),
        lambda: run.write_json(name, {}),
        lambda: run.need(name),
        lambda: runs.read_results(name),
    ):
        with pytest.raises(AccentError, match="leads out of .*: name a file or folder in it"):
            refused()


# Profiles

BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BOMB, "it refers to another value"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "it refers to another value"),
        ("seed: 1\nseed: 2\n", "'seed' is there twice"),
        ("ks: [5]\n'ks': [6]\n", "'ks' is there twice"),
        ("seed: 2020-01-01\n", "seed must be a whole number, not the text '2020-01-01'"),
        ("seed: !!timestamp 2020-01-01\n", "seed must be a whole number, not datetime.date"),
        ("seed: !!int x\n", "a value makes no sense"),
        ("seed: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("ks: " + "[" * 3000 + "]" * 3000 + "\n", "a value makes no sense"),
        ("seed: " + "9" * 5000 + "\n", "a value makes no sense"),
        ("seed: " + "9" * 4000 + "\n", "seed must be a whole number, not 99"),
        ("seed: " + "9" * 30 + "\n", "seed must be a whole number, not 99"),
        ("ks: [5, 5]\n", "ks must name each once, but has 5 twice"),
        ("ks: [5, 10, 5]\n", "ks must name each once, but has 5 twice"),
        ("models: [ncf, ncf]\n", "models must name each once, but has 'ncf' twice"),
        ("methods: [fia, accent, fia]\n", "methods must name each once, but has 'fia' twice"),
        ("run: 2\n", "run must be a folder's plain name, such as sample, not 2"),
        ("[1, 2]\n", "must hold one `parameter: value` a line"),
        ("1: 2\n", "must hold one `parameter: value` a line"),
        ("", "must hold one `parameter: value` a line"),
        ("a: b: c\n", "is not YAML"),
        ("? [a]\n: 1\n", "is not YAML"),
        ("x: '" + "y" * 10**5 + "'\n", "holds more than"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_profile_that_makes_no_sense_is_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(AccentError, match=re.escape(sentence)) as error:
        runs.load_profile(str(path), ROOT)
    assert len(str(error.value)) < 700 and "\n" not in str(error.value)


def test_steps_of_rounds_may_be_equal(tmp_path):
    (tmp_path / "mine.yaml").write_text("round_steps: [500, 500, 500]\nround_starts: [4, 4, 4]\n")
    assert runs.load_profile(str(tmp_path / "mine.yaml"), ROOT)["02_training"]["round_steps"] == [500] * 3


def test_profiles_are_plain_files_with_a_name(tmp_path):
    folder = tmp_path / "notebooks" / "profiles"
    (folder / "a.yaml").mkdir(parents=True)
    os.mkfifo(folder / "pipe.yaml")
    for name in ("._sample.yaml", "sample.yaml"):
        (folder / name).write_bytes(b"\0\5\26\7Mac OS X")
    assert profiles.profile_names(tmp_path) == ["sample"]
    for name in ("a", "pipe", "../profiles/sample", "._sample"):
        with pytest.raises(AccentError, match=r"There is no profile|leads out of|is not YAML"):
            runs.load_profile(name, tmp_path)
    (folder / "latin.yaml").write_bytes("noun: \xe9\n".encode("latin-1"))
    with pytest.raises(AccentError, match="latin.yaml is not YAML"):
        runs.load_profile("latin", tmp_path)


def test_papermill_says_how_a_run_is_called_by_a_number():
    with pytest.raises(AccentError, match=r"must be text, not 2 \(papermill -r run 2 passes it as text"):
        notebooks.parameters.Parameter("run", "str", "sample").check(2, "01_data")
    with pytest.raises(AccentError, match=r"must be text, not 1.5 \(papermill -r dataset 1.5"):
        notebooks.parameters.Parameter("dataset", "str", "sample").check(1.5, "01_data")
    with pytest.raises(AccentError, match=r"must be text, not the truth value True\."):
        notebooks.parameters.Parameter("dataset", "str", "sample").check(True, "01_data")


# Places


@pytest.mark.parametrize("place", ["/proc/1/nothing", "{file}", "{file}/below", "~nosuch/runs"])
def test_a_place_for_runs_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch, capsys, place):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ACCENT_RUNS", place.format(file=tmp_path / "file"))
    for command in (["run", "--upto", "1"], ["export", "--profile", "sample"], ["explorer"]):
        assert main(command) == 1
        told = capsys.readouterr().err
        assert told.startswith("error: ") and "Traceback" not in told and told.count("\n") == 1
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_working_directory_that_is_gone_is_a_sentence(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        "import os, shutil, sys\nfrom accent_book.__main__ import main\n"
        "shutil.rmtree(os.getcwd())\nsys.exit(main(sys.argv[1:]))"
    )
    for command in (
        ["status", "--profile", "a.yaml"],
        ["slides", "--to", "a"],
        ["explorer", "--run", "none"],
    ):
        gone.mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": SEARCH_PATH, "ACCENT_RUNS": "runs"}
        done = subprocess.run(
            [sys.executable, "-c", script, *command],
            cwd=gone,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.startswith("error: "), done.stderr


@pytest.mark.parametrize("made", ["images", "reveal", "mathjax", "index.html"])
def test_slides_delete_nothing_that_they_did_not_make(tmp_path, capsys, made):
    """Also where the command then fails, as here, where no chapter was run."""
    folder, empty = tmp_path / "talk", tmp_path / "chapters"
    folder.mkdir()
    if made.endswith("html"):
        (folder / made).write_text("mine")
    else:
        (folder / made).mkdir()
        (folder / made / "mine.png").write_text("mine")
    before = {path: path.is_file() and path.read_text() for path in folder.rglob("*")}
    assert main(["slides", "--to", str(folder)]) == 1
    assert "holds files that no such command made: name a folder" in capsys.readouterr().err
    assert {path: path.is_file() and path.read_text() for path in folder.rglob("*")} == before
    (folder / MARKER).touch()
    empty.mkdir()
    from accent_book.publish.slides import slides

    with pytest.raises(AccentError, match="There are no executed chapters"):
        slides(folder, empty)
    assert {
        path: path.is_file() and path.read_text() for path in folder.rglob("*") if path.name != MARKER
    } == before


def test_a_folder_of_our_own_is_renewed_and_what_else_is_in_it_stays(tmp_path):
    folder = tmp_path / "talk"
    for content in ("first", "second"):
        with renewed(folder) as place:
            (place / "images").mkdir()
            (place / "images" / f"{content}.png").write_text(content)
            (place / "index.html").write_text(content)
        (folder / "notes.txt").write_text("mine")
    assert sorted(path.name for path in folder.iterdir()) == [MARKER, "images", "index.html", "notes.txt"]
    assert [path.name for path in (folder / "images").iterdir()] == ["second.png"]
    with pytest.raises(AccentError, match="cannot be written"):
        with renewed("/proc/1/talk"):
            pass


@pytest.mark.parametrize("command", [["explorer", "--run", "sample"], ["pdf"]])
def test_a_file_of_another_making_is_not_replaced(run, tmp_path, capsys, command):
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("My thesis")
    assert main([*command, "--to", str(thesis)]) == 1
    assert "is there, and not of this command's making: name another file" in capsys.readouterr().err
    assert thesis.read_text() == "My thesis"
    assert main([*command, "--to", str(tmp_path)]) == 1
    page = tmp_path / "page.html"
    page.write_text("<!doctype html>\n<html>")
    assert ours(page, b"<!DOCTYPE html>") == page == ours(tmp_path / "page.html", b"<!DOCTYPE html>")


def test_student_notebooks_replace_none_that_they_did_not_make(tmp_path, capsys):
    for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))[:2]:
        shutil.copy(path, tmp_path / path.name)
    (tmp_path / "03_influence.ipynb").write_text("not a notebook")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys().isdisjoint(path.name for path in student(tmp_path))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


# One writer at a time

HOLD = """
import sys
from accent_book.runs.lock import alone
with alone(sys.argv[1], 'runs the profile paper'):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_the_second_writer_is_told_who_is_at_work_and_a_dead_one_counts_for_nothing(tmp_path):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "held\n"
    for _ in range(2):
        with pytest.raises(
            AccentError, match=rf"^Process {first.pid} on \S+ runs the profile paper in .*, since 20"
        ):
            with alone(tmp_path, "runs the profile sample"):
                pass
    first.kill()
    first.wait()
    assert json.loads((tmp_path / NAME).read_text())["process"] == first.pid
    with alone(tmp_path, "runs the profile sample"):
        assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
    for content in (b"", b"{", b'{"process": 1}', b"\xff"):  # what the file holds decides nothing
        (tmp_path / NAME).write_bytes(content)
        with alone(tmp_path, "runs the profile sample"):
            pass
    (tmp_path / "file").touch()
    with pytest.raises(AccentError, match="cannot be written"):
        with alone(tmp_path / "file", "runs"):
            pass


def test_two_profiles_do_not_make_one_book(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks" / "profiles").mkdir(parents=True)
    for path in (ROOT / "notebooks").glob("01_*.ipynb"):
        shutil.copy(path, tmp_path / "notebooks" / path.name)
    for name in ("one", "two"):
        (tmp_path / "notebooks" / "profiles" / f"{name}.yaml").write_text(f"run: {name}\n")
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    (tmp_path / "book" / "chapters" / "09_failures.ipynb").write_text("of the one that is running")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    with alone(tmp_path / "book", "runs the profile one"):
        assert main(["run", "--profile", "two"]) == 1
    assert f"error: Process {os.getpid()} on" in capsys.readouterr().err
    with alone(
        tmp_path / "runs" / "two", "runs the profile two"
    ):  # from another checkout, into the same runs
        assert main(["run", "--profile", "two"]) == 1
    assert "runs the profile two in" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "book" / "chapters").iterdir()] == ["09_failures.ipynb"]


@pytest.mark.parametrize("content", [b"", b'{"obj', b"\xff\xfe", b"[]", b'{"objective": NaN}'])
def test_facts_of_training_that_are_broken_replace_no_good_ones(run, tmp_path, content):
    runs.export("sample")
    folder = tmp_path / "data" / "results" / "ncf-sample"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run.path("ncf_training.json").write_bytes(content)
    with pytest.raises(AccentError, match=r"ncf_training\.json"):
        runs.export("sample")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("seeds", [[1], ["x"], [0.5], [None], [[0]], []])
def test_an_export_of_nothing_replaces_nothing(run, tmp_path, seeds):
    runs.export("sample")
    folder = tmp_path / "data" / "results" / "ncf-sample"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    told = json.loads(run.path("worlds-fingerpr.json").read_text())
    run.write_json("worlds-fingerpr.json", told | {"seeds": seeds})
    with pytest.raises(AccentError, match="seeds"):
        runs.export("sample")
    run.write_json("worlds-fingerpr.json", told)
    run.write_csv("slates.csv", SLATES.assign(item=[9, 7]))  # other slates than those of the store
    with pytest.raises(AccentError, match="No outcome of ncf in .* is of the slates and seeds of its run"):
        runs.export("sample")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"model": "ncf"}'])
def test_what_tells_of_a_store_is_whole_or_a_sentence(run, tmp_path, content):
    run.path("worlds-fingerpr.json").write_bytes(content)
    with pytest.raises(
        AccentError, match=r"worlds-fingerpr\.json (is damaged|holds no object|lacks 'table')"
    ):
        runs.export("sample")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["explanations.csv.gz", "slates.csv.gz", "training.json"])
@pytest.mark.parametrize("change", [lambda text: b"", lambda text: text[:9], lambda text: b"\xff" + text])
def test_a_committed_file_that_is_broken_though_its_hash_is_right_is_a_sentence(run, tmp_path, name, change):
    runs.export("sample")
    path, packed = tmp_path / "data" / "results" / "ncf-sample" / name, name.endswith(".gz")
    text = change(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    path.write_bytes(gzip.compress(text) if packed else text)
    manifest.seal()
    with pytest.raises(AccentError, match=re.escape(name) + " (is damaged|has no column).*; export it again"):
        runs.read_results("ncf-sample")


@pytest.mark.parametrize("command", ["slides", "student"])
def test_a_place_that_is_a_file_is_a_sentence(tmp_path, capsys, command):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        assert main([command, "--to", str(place)]) == 1
        told = capsys.readouterr().err
        assert told.startswith("error: ") and told.count("\n") == 1
        assert "cannot be written" in told or "File name too long; make room" in told
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", [["explorer", "--run", "sample"], ["pdf"]])
def test_a_pipe_is_no_place_for_a_page(run, tmp_path, capsys, command):
    os.mkfifo(tmp_path / "pipe")
    assert main([*command, "--to", str(tmp_path / "pipe")]) == 1
    assert "pipe is there, and not of this command's making" in capsys.readouterr().err
