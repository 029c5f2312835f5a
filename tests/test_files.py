"""Files are whole or not there, and what comes back through the gate is what it must be, or a sentence."""

import errno
import gzip
import hashlib
import json
import os
import re
import stat
import tempfile
import time
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accent_lib.errors import LONGEST, AccentError
from accent_lib.files import atomic, shown_path
from accent_lib.gate import LARGEST, read_bytes, read_csv, read_json
from accent_lib.retraining.outcomes import COLUMNS, beside, export_outcomes, import_outcomes
from accent_lib.retraining.ranking import ranked

#: Patterns by which the project looks for files.
PATTERNS = ("*.json", "*.csv", "*.csv.gz", "*.npz", "*.ipynb", "*.yaml", "*.sqlite", "worlds-*", "[0-9]*_*")
SLATES = {"model": "text", "user": "whole", "score": "number"}
ROW = ["ncf", "4:0 2", 4, 0, "", (3.0, 2.75), 7, ranked([7, 4], [3.0, 2.75]), "ok", "", 0.5]


# Writing


def test_a_half_written_file_is_found_by_no_pattern_and_leaves_nothing(tmp_path):
    target = tmp_path / "ncf" / "outcomes-0.json"
    with pytest.raises(KeyboardInterrupt), atomic(target) as file:
        file.write_text("{")
        assert not [path for pattern in PATTERNS for path in tmp_path.rglob(pattern)]
        raise KeyboardInterrupt
    assert not list(target.parent.iterdir())


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def call(*arguments, name=name, real=real):
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            done.append(f"{name} {'folder' if folder else 'file'}")
            return real(*arguments)

        monkeypatch.setattr(os, name, call)
    with atomic(tmp_path / "answer.txt") as file:
        file.write_text("42")
    assert done == ["fsync file", "replace file", "fsync folder"]
    assert stat.S_IMODE((tmp_path / "answer.txt").stat().st_mode) & 0o044, "others may read it"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
def test_what_the_disk_refuses_is_a_sentence_and_what_was_there_stays(tmp_path, monkeypatch, number, at):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    if at != "write":
        monkeypatch.setattr(os, at, refuse)
    with pytest.raises(AccentError, match=re.escape(f"table.csv cannot be written ({os.strerror(number)})")):
        with atomic(target) as file:
            file.write_text("new")
            if at == "write":
                refuse()
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_places_where_nothing_can_be_written_are_a_sentence(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("in the way")
    long = tmp_path / ("x" * 300)
    for target in (tmp_path / "folder", tmp_path / "file" / "x.json", Path("/proc/nothing/x.json"), long):
        with pytest.raises(AccentError, match="cannot be written .*; make room, or choose a place"):
            with atomic(target) as file:
                file.write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert not list((tmp_path / "folder").iterdir())


# Reading


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is damaged (Expecting value"),
        (b'{"fingerprint": "a', "is damaged (Unterminated string"),
        (b"\xff\xfe{}", "is damaged (it is no text)"),
        (b"[" * 100_000, "is damaged (it is no text)"),
        (b'{"fingerprint": ' + b"9" * 5000 + b"}", "is damaged"),
        (b"[]", "holds no object with names"),
        (b"{}", "lacks 'fingerprint'"),
        (b'{"fingerprint": 7}', "has 7 as 'fingerprint', which must be text"),
        (b'{"fingerprint": "a", "rows": true}', "has True as 'rows', which must be a whole number"),
        (b'{"fingerprint": "a", "rows": 3, "seconds": NaN}', "has nan as 'seconds', which must be a finite"),
        (b'{"fingerprint": "a", "rows": 3, "seconds": 1e999}', "has inf as 'seconds'"),
    ],
)
def test_json_that_is_not_what_it_must_be_is_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "about.json"
    path.write_bytes(content)
    with pytest.raises(AccentError, match=re.escape(sentence)) as error:
        read_json(path, {"fingerprint": str, "rows": int, "seconds": float}, "export again")
    assert str(error.value).endswith("; export again.") and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is damaged (No columns to parse"),
        (b"model,user,score\n", "has a header but no rows"),
        (b"model,score\nncf,1\n", "has no column 'user'"),
        (b"model,user,score\nncf,3,nan\n", "line 2: 'nan' as 'score', which must be a finite number"),
        (b"model,user,score\nncf,3,1\nncf,3,inf\n", "line 3: 'inf' as 'score'"),
        (b"model,user,score\nncf,3,1\nncf,3,abc\n", "line 3: 'abc' as 'score'"),
        (b"model,user,score\nncf,3,1\n\nncf,4,\n", "line 3: '' as 'user'"),
        (b"model,user,score\nncf,3.5,1\n", "line 2: '3.5' as 'user', which must be a whole number from 0 on"),
        (b"model,user,score\nncf,-1,1\n", "line 2: '-1' as 'user'"),
        (b"model,user,score\nncf,True,1\n", "line 2: 'True' as 'user'"),
        (b"model,user,score\nncf," + b"9" * 400 + b",1\n", "line 2: '99999"),
        (b"model,user,score\nncf,3,1,5\n", "is damaged (Length of header"),
        (b"model,user,score\nncf,3,1\nncf,3,1,5\n", "is damaged (Expected 3 fields in line 3, saw 4)"),
        (b'model,user,score\n"ncf,3,1\n', "is damaged (EOF inside string"),
        (b"model,user,score\n\xff,3,1\n", "is damaged ('utf-8' codec can't decode"),
    ],
)
def test_a_table_that_is_not_what_it_must_be_names_the_line(tmp_path, content, sentence):
    for name in ("slates.csv", "slates.csv.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        with pytest.raises(AccentError, match=re.escape(sentence)) as error:
            read_csv(path, SLATES, ["user"], "export again")
        assert str(error.value).endswith("; export again.") and len(str(error.value)) < 600


def test_what_is_no_plain_file_is_a_sentence_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"user\n3\n" * 100)[:-9])
    (tmp_path / "text.csv.gz").write_bytes(b"user\n3\n")
    for path, sentence in {
        tmp_path / "pipe.csv": "is a pipe or a device, not a file",
        tmp_path / "folder.csv": "is a folder, not a file",
        tmp_path / "nowhere.csv": "cannot be read (No such file or directory)",
        tmp_path / "cut.csv.gz": "is damaged, it cannot be unpacked",
        tmp_path / "text.csv.gz": "is damaged, it cannot be unpacked",
        "a\0b.csv": "cannot be read (embedded null byte)",
        Path("/dev/zero"): "is a pipe or a device",
    }.items():
        with pytest.raises(AccentError, match=re.escape(sentence)):
            read_csv(path, {}, [], "export again")


def test_some_kilobytes_do_not_unpack_to_gigabytes(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(40):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(AccentError, match="holds more than 1 MiB, so it is none of ours"):
        read_bytes(path, largest=2**20)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    assert LARGEST <= 2**28
    # Two members in one file are one table, as gzip has it.
    path.write_bytes(gzip.compress(b"user\n") + gzip.compress(b"3\n"))
    assert read_csv(path, {"user": "whole"})["user"].tolist() == [3]


def test_a_message_is_no_longer_than_can_be_read():
    error = AccentError(f"The title {'x' * 10**6} is not known; correct it.")
    assert len(str(error)) < LONGEST + 10 and str(error).endswith("correct it.")
    assert len(shown_path("/" + "x/" * 10**5)) < 400
    assert shown_path("a\nb\x1b[31m") == r"'a\nb\x1b[31m'"


# Whatever the bytes

BYTES = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from(["user", "score", "ncf", ",", "\n", '"', "3", "-1", "nan", "9" * 30, "\0", "é"]))
    .map("".join)
    .map(str.encode),
)


@settings(max_examples=300, deadline=2000)
@given(BYTES)
def test_no_bytes_bring_another_error_out_of_a_reader(content):
    with tempfile.TemporaryDirectory() as folder:
        for name, read in {
            "a.json": lambda path: read_json(path, {"user": str}),
            "a.csv": lambda path: read_csv(path, SLATES, ["user"]),
            "a.csv.gz": lambda path: read_csv(path, SLATES),
        }.items():
            Path(folder, name).write_bytes(content)
            try:
                read(Path(folder, name))
            except AccentError as error:
                assert "\n" not in str(error)


# Exported outcomes


@pytest.fixture
def exported(tmp_path):
    """A way to write an exported table with some cells changed, its hash being right."""

    def export(**cells):
        table = pd.DataFrame([ROW], columns=COLUMNS)
        path = export_outcomes(tmp_path / "outcomes-0.csv", table, {"fingerprint": "abc"})
        frame = pd.read_csv(path, dtype=str, keep_default_na=False).assign(**cells)
        path.write_text(frame.to_csv(index=False))
        about = json.loads(beside(path).read_text())
        about["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        beside(path).write_text(json.dumps(about))
        return path

    return export


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ({"scores": "nan 1"}, "line 2: there are no finite scores and best item, though the status is ok"),
        ({"scores": "inf 1"}, "line 2: there are no finite scores"),
        ({"scores": ""}, "line 2: there are no finite scores"),
        ({"scores": "abc"}, "A cell of the column scores is text such as"),
        ({"world": "4:2 0"}, "user 4 loses nothing in the world '4:2 0'"),
        ({"world": "5:1"}, "user 4 loses nothing in the world '5:1'"),
        ({"world": "../x"}, "is no key of a world"),
        ({"world": "4:0 0"}, "removes an action of user 4 twice"),
        ({"user": "-4"}, "line 2: '-4' as 'user'"),
        ({"user": "4.5"}, "line 2: '4.5' as 'user'"),
        ({"seed": "x"}, "line 2: 'x' as 'seed'"),
        ({"seconds": "nan"}, "line 2: 'nan' as 'seconds'"),
        ({"status": "fine"}, "line 2: the status is 'fine', not ok or failed"),
        ({"model": ""}, "line 2: there is no model"),
        ({"catalogue": "7:x"}, "A cell of the column catalogue is text such as"),
    ],
)
def test_outcomes_that_no_retraining_shows_are_refused(exported, cells, sentence):
    with pytest.raises(AccentError, match=re.escape(sentence)):
        import_outcomes(exported(**cells))


def test_outcomes_without_rows_or_of_another_table_are_refused(exported):
    path = exported()
    assert len(import_outcomes(path)[0]) == 1
    assert len(import_outcomes(exported(scores="", status="failed", top="-1", reason="diverged"))[0]) == 1
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(AccentError, match="was changed after its export"):
        import_outcomes(path)
    about = json.loads(beside(path).read_text())
    about["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    beside(path).write_text(json.dumps(about))
    with pytest.raises(AccentError, match="has a header but no rows; export again"):
        import_outcomes(path)
    beside(path).unlink()
    with pytest.raises(AccentError, match=r"outcomes-0\.json cannot be read"):
        import_outcomes(path)
    began = time.monotonic()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(AccentError, match="is a pipe"):
        import_outcomes(path)
    assert time.monotonic() - began < 2
