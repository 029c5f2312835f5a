"""Committed tables are what their manifests say, or a sentence; whoever writes one says so, killed or not."""

import errno
import gzip
import hashlib
import os
import re
import signal
import subprocess
import sys
import warnings

import pandas as pd
import pytest

from accent_book import runs
from accent_book.__main__ import main
from accent_book.experiments.command import write_about, write_table
from accent_book.runner.account import committed_tables
from accent_book.runs import manifest, results
from accent_book.runs.manifest import MANIFEST, checked, entries, kept, seal
from accent_lib.errors import AccentError
from tests.conftest import ROOT
from tests.test_files import PATTERNS


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder ``data`` with two sealed tables and one beside their folders."""
    folder = tmp_path / "data"
    for name in ("results/ncf-paper/slates.csv", "results/bench/scaling.json", "results/own-nets.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}" if name.endswith("json") else "user\n3\n")
    (folder / "results" / "README.md").write_text("What the tables are.")
    for module in (manifest, results):
        monkeypatch.setattr(module, "data_folder", lambda: folder)
    seal()
    return folder


def test_every_committed_table_is_what_its_manifest_says(capsys):
    assert main(["seal", "--check"]) == 0
    assert "files below data are what they were" in capsys.readouterr().out
    for name in ("results/own-nets.csv", "results/ncf-paper/explanations.csv.gz", "club/club.csv"):
        path = ROOT / "data" / name
        assert entries(path.parent)[path.name] == [hashlib.sha256(path.read_bytes()).hexdigest()]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda path: path.write_text("user\n4\n"),
            "is not the file whose hash is in the SHA256SUMS beside it",
        ),
        (lambda path: path.write_bytes(b""), "is not the file whose hash is in"),
        (lambda path: path.unlink(), "is missing, though the SHA256SUMS beside it has its hash"),
        (lambda path: path.rename(path.with_name("other.csv")), "is missing"),
        (lambda path: (path.unlink(), path.mkdir()), "is missing"),
        (lambda path: path.with_name("new.csv").touch(), "has no hash in the SHA256SUMS beside it"),
        (lambda path: path.with_name(MANIFEST).unlink(), "has no hash in the SHA256SUMS beside it"),
        (lambda path: path.with_name(MANIFEST).write_bytes(b"\xff"), "line 1: there is no hash and name"),
        (lambda path: path.with_name(MANIFEST).write_text("0" * 64 + "  ../x\n"), "line 1: there is no hash"),
    ],
)
@pytest.mark.parametrize("name", ["ncf-paper/slates.csv", "bench/scaling.json", "own-nets.csv"])
def test_what_was_altered_is_read_by_nobody(data, capsys, name, change, sentence):
    assert runs.results_folder() == data / "results"
    change(data / "results" / name)
    with pytest.raises(AccentError, match=sentence):
        runs.results_folder()  # by which chapters find their tables
    assert main(["seal", "--check"]) == 1
    assert (
        "restore it, or if it is as it should be, run `python -m accent_book seal`" in capsys.readouterr().err
    )
    assert main(["seal"]) == 0 and main(["seal", "--check"]) == 0
    assert runs.results_folder() == data / "results"


def test_a_table_of_another_folder_stops_nobody(data):
    (data / "results" / "bench" / "scaling.json").write_text("{")
    assert checked(data / "results" / "ncf-paper").name == "ncf-paper"
    assert checked(data / "results" / "own-nets.csv").name == "own-nets.csv"
    with pytest.raises(AccentError, match="scaling.json is not the file"):
        checked(data / "results" / "bench" / "scaling.json")


@pytest.mark.parametrize(
    "table", ["explanations.csv.gz", "slates.csv.gz", "training.json", "outcomes-0.csv.gz"]
)
def test_altered_results_of_the_paper_are_refused(tmp_path, monkeypatch, table):
    """Chapter 8 printed what it found in them, and exited 0."""
    folder = tmp_path / "data" / "results" / "ncf-paper"
    folder.mkdir(parents=True)
    for path in (ROOT / "data" / "results" / "ncf-paper").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(results, "data_folder", lambda: tmp_path / "data")
    assert len(runs.read_results("ncf-paper").slates) == 9040
    content = (folder / table).read_bytes()
    text = gzip.decompress(content) if table.endswith(".gz") else content
    text = re.sub(rb"\d\.\d", b"1.1", text, count=1)
    (folder / table).write_bytes(gzip.compress(text) if table.endswith(".gz") else text)
    with pytest.raises(AccentError, match=f"{table} is not the file whose hash is in the SHA256SUMS"):
        runs.read_results("ncf-paper")


def test_writers_say_what_they_wrote(data):
    folder = data / "results" / "causes"
    write_table(folder / "users.csv", pd.DataFrame({"user": [3], "lead": [0.5]}))
    write_about(folder / "tables.json", {"seconds": 1})
    runs.write_table(folder / "sizes.csv.gz", pd.DataFrame({"user": [3]}))
    assert set(entries(folder)) == {"users.csv", "tables.json", "sizes.csv.gz"}
    write_table(folder / "users.csv", pd.DataFrame({"user": [4], "lead": [0.25]}))
    assert all(len(hashes) == 1 for hashes in entries(folder).values())
    assert checked(folder) == folder
    # What somebody altered is not made right by what is written beside it.
    (folder / "tables.json").write_text("{}")
    write_table(folder / "users.csv", pd.DataFrame({"user": [5], "lead": [0.25]}))
    with pytest.raises(AccentError, match=r"tables\.json is not the file"):
        checked(folder)


def test_nothing_is_replaced_where_a_writer_fails(data):
    path = data / "results" / "ncf-paper" / "slates.csv"
    with pytest.raises(KeyboardInterrupt), kept(path) as file:
        file.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "user\n3\n" and checked(path) == path
    assert sorted(each.name for each in path.parent.iterdir()) == [".writer", MANIFEST, "slates.csv"]


@pytest.mark.parametrize("at", ["write", "replace", "fsync", "mkdir"])
def test_a_full_disk_is_a_sentence_and_the_folder_stays_whole(data, monkeypatch, at):
    path = data / "results" / "ncf-paper" / "slates.csv"

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if at != "write":
            patch.setattr(os, at, refuse)
        with pytest.raises(AccentError, match=r"cannot be written .No space left on device"):
            with kept(path) as file:
                file.write_text("half")
                if at == "write":
                    refuse()
    assert checked(path.parent) and path.read_text() == "user\n3\n"
    with kept(path) as file:
        file.write_text("new")
    assert checked(path) and path.read_text() == "new"


def killed_at(last, work):
    """Do some work in a process that is killed at an operation on files, counted from 0; else count them."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the child does nothing but this
        child = os.fork()
    if child:
        os.close(writer)
        os.waitpid(child, 0)
        with open(reader) as pipe:
            return pipe.read()
    count = 0

    def counted(real):
        def call(*arguments, **options):
            nonlocal count
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return real(*arguments, **options)

        return call

    for name in ("replace", "fsync", "open", "mkdir", "rmdir", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    try:
        work()
        os.write(writer, str(count).encode())
    finally:
        os._exit(0)


def test_killed_at_any_operation_a_folder_is_whole_and_the_next_writer_cleans_up(data):
    folder, seen, last = data / "results" / "ncf-paper", set(), 0

    def write():
        with kept(folder / "slates.csv") as file:
            file.write_text("user\n4\n")
            file.with_suffix(".json").write_text("{}")

    def begin_again():
        (folder / "slates.csv").write_text("user\n3\n")
        (folder / "slates.json").unlink(missing_ok=True)
        seal()

    begin_again()
    while not (done := killed_at(last, write)):
        seen.add((folder / "slates.csv").read_text())
        known = entries(folder)
        assert hashlib.sha256((folder / "slates.csv").read_bytes()).hexdigest() in known["slates.csv"]
        found = {path for pattern in PATTERNS for path in data.glob(f"results/*/{pattern}")}
        assert {path.name for path in found} <= {"slates.csv", "slates.json", "scaling.json"}
        assert committed_tables(data / "results") == []
        begin_again()
        last += 1
    assert int(done) == last > 12
    assert seen == {"user\n3\n", "user\n4\n"}
    write()
    assert checked(folder) == folder
    assert {path.name for path in folder.iterdir()} >= {".writer", MANIFEST, "slates.csv", "slates.json"}
    assert not list(folder.glob(".accent-*.new"))


def test_two_writers_lose_no_line(data):
    folder = data / "results" / "arms"
    script = (
        "import sys\nfrom pathlib import Path\nfrom accent_book.runs.manifest import kept\n"
        "for number in range(6):\n"
        "    with kept(Path(sys.argv[1]) / f'{sys.argv[2]}-{number}.csv') as file:\n"
        "        file.write_text('user\\n')\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, folder, name]) for name in ("ncf", "rcf")]
    assert [process.wait() for process in both] == [0, 0]
    assert len(entries(folder)) == 12 and checked(folder) == folder


def test_the_manifest_is_that_of_sha256sum(data):
    known = hashlib.sha256((data / "results" / "own-nets.csv").read_bytes()).hexdigest()
    assert (data / "results" / MANIFEST).read_text() == f"{known}  own-nets.csv\n"  # no README.md


def test_an_experiment_replaces_no_file_that_none_made(tmp_path):
    (tmp_path / "users.csv").write_text("my own")
    with pytest.raises(AccentError, match="users.csv is there, and not of this command's making"):
        write_table(tmp_path / "users.csv", pd.DataFrame({"user": [3]}))
    assert (tmp_path / "users.csv").read_text() == "my own"
