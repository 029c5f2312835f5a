"""Files that chance altered: each reader gives a table or one sentence, within seconds and little memory.

ACCENT_FUZZ altered files a reader (1,000; every night 10,000) are drawn by ACCENT_FUZZ_SEED, and a failure
names the one that brought it: ``mutant(reader, seed, number)`` makes it again.
"""

import contextlib
import functools
import gzip
import hashlib
import io
import json
import os
import re
import resource
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet
import pytest

import accent_lib as al
from accent_book.live import own_ratings
from accent_book.runner import status
from accent_book.runs import manifest, notebooks, profiles, tables
from accent_book.runs.folder import Run
from accent_lib import models
from accent_lib.datasets import described, movielens
from accent_lib.errors import LONGEST, AccentError, AccentWarning
from accent_lib.front.settings import Setting
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.outcomes import Outcome, beside, export_outcomes, import_outcomes
from accent_lib.retraining.store import Store
from accent_lib.training import State, load_checkpoint, save_checkpoint
from tests.conftest import ROOT

#: Bytes that a file may grow to as it is altered.
LARGEST = 2**24
N, SEED = int(os.environ.get("ACCENT_FUZZ", 1000)), int(os.environ.get("ACCENT_FUZZ_SEED", 17))
#: Of the processor's time, for the machine may be busy (by the clock 30 times as many); and bytes beyond
#: those at the start.
SECONDS, MEMORY = 2, 500 * 10**6

# What is read: files as they should be, made once.

CSV = b"""userId,movieId,rating,timestamp,title,genres
1,10,4.0,964982703,"Heat, The (1995)",Action|Crime
1,20,1.5,964981247,Ran (1985),War
2,10,5.0,964982224,"Heat, The (1995)",Action|Crime
2,20,3.0,1964982224,Ran (1985),War
"""
DATES = b"""user;item;stars;date;authors
ann;tt01;4,5;2020-01-31;['A. B.', 'C']
bob;tt02;0,5;2020-02-28T10:00:00Z;[]
ann;tt02;5;2026-11-28 16:52;['A. B.']
"""
INTER = b"""user_id:token\titem_id:token\trating:float\ttimestamp:float
1\t7\t4.0\t8.8e8
2\t7\t\t8.9e8
3\t9\t1.0\t9e8
"""
COUNTS = b"userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n3\t51\t1\n"
DAT = b"1::1193::5::978300760\n1::661::3::978302109\n2::661::4::978301968\n"
ITEMS = b"""movieId,title,year,genres,directors
10,"Heat, The (1995)",1995,Action|Crime,Michael Mann
20,Ran (1985),1985,War,
30,Zorb,,,"['A', 'B']"
"""
U_DATA = b"1\t1\t5\t881250949\n1\t2\t3\t891717742\n2\t1\t1\t878887116\n"
U_ITEM = b"1|Heat (1995)|01-Jan-1995||http://a/b|0|1\n2|Ran (1985)|01-Jan-1985||http://a/c|1|0\n"
U_GENRE = b"unknown|0\nAction|1\n\n"
ATTRIBUTES = b"1|1,2|3|4,5\n2|2||6\n"
OWN = b"""title,year,stars
Heat,1995,4
"Ran (1985)",,"1,5"
Zorb,,5
"""
EXPLANATIONS = b"""model,user,replacement,removed,predicted
ncf,4,9,0 2,2.5 2.75
ncf,5,-1,,
"""
PACKED = gzip.compress(EXPLANATIONS, mtime=0)
PROFILE = b"""# A profile of my own
dataset: ratings.csv
columns: "user=reader, item=book, time="
noun: book
seed: 7
ks: [5, 10]
confidence: 0.95
"""
SUMS = b"".join(hashlib.sha256(name).hexdigest().encode() + b"  " + name + b"\n" for name in (b"a.csv", b"b"))
DATA = b'{"dataset": "sample", "fingerprint": "ab", "settings": {"min_ratings": 5}, "files": {}}'
RECORDS = b"""{"01_data": {"stamp": "ab", "settings": {"seed": 7, "ks": [5, 10]}, "files": ["data.json"],
 "date": "2026-01-31T10:00:00", "seconds": 1.5, "profile": "sample"}}
"""
NOTEBOOK = b"""{"cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source":
 ["# Parameters\\n", "seed = 7  # type: int  [0..] seed\\n", "run = \\"sample\\"  # type: str  folder"]}],
 "nbformat": 4}
"""


@functools.cache
def data():
    """A few ratings, prepared, with the three films of OWN."""
    generator = np.random.default_rng(7)
    titles = {1: "Heat (1995)", 2: "Ran (1985)", 3: "Zorb"}
    rows = [
        (u, i, generator.integers(1, 6), titles.get(i, f"Film {i}")) for u in range(8) for i in range(1, 9)
    ]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "title"])
    return al.NCF(al.read_ratings(frame), dim=2).data


@functools.cache
def state():
    """What training of a small NCF of them might have led to."""
    reached = State.of(models.NCF(data(), 2))
    for name, value in reached.parameters.items():
        reached.moments[name] = {"step": value.new_tensor(7.0), "exp_avg": value * 0.5}
    return reached


def made(write, name):
    """The bytes of a file that something writes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, name))
        return Path(folder, name).read_bytes()


def outcomes():
    """Of a control and a set."""
    slate, worlds = slate_identity([7, 9]), [("", (1.5, 1.0), 7), ("4:0 2", (1.0, 2.0), 9)]
    return [Outcome(world, 4, scores, top, slate=slate, seconds=0.5) for world, scores, top in worlds]


def write_store(path, change=None):
    with Store(path, "abc") as store:
        store.record("ncf", 0, outcomes())
        store.note("ncf", 2, 9, 1, 0.5)
    with contextlib.closing(sqlite3.connect(path)) as small:  # so that chance meets what is in it
        small.execute("PRAGMA page_size = 512")
        small.execute("VACUUM")
        if change:
            with small:
                small.execute(f"UPDATE {change}")


@functools.cache
def exported():
    """An exported table."""

    def write(path):
        with Store(path.with_name("store.sqlite"), "abc") as store:
            store.record("ncf", 0, outcomes())
            export_outcomes(path, store.outcomes(), {"fingerprint": "abc"})

    return made(write, "outcomes-0.csv")


def header():
    """What stands in the file of a fitted model beside its parameters."""
    setting = asdict(Setting({"dim": 2, "activation": "gelu", "weight_decay": 0.01}))
    about = {"fingerprint": data().fingerprint, "kind": "NCF", "setting": setting}
    return json.dumps(
        about | {"seed": 0, "start": 1, "facts": {"objective": 0.5, "different_recommendations": 3}}
    ).encode()


def parquet_files():
    frame = pd.read_csv(io.BytesIO(CSV))
    packed = made(frame.to_parquet, "a.parquet")
    return [packed, made(lambda path: frame.to_parquet(path, compression=None), "a.parquet")]


# How it is read.


def read_items(path):
    return described.describe(np.array([10, 20]), *described.read_items(path, "movieId"))


def about(table):
    """What stands beside an exported table."""
    return json.dumps({"fingerprint": "abc", "sha256": hashlib.sha256(table).hexdigest()}).encode()


def read_exported(path):
    """As if its hash had been written after it was altered."""
    beside(path).write_bytes(about(path.read_bytes().replace(b"\r\n", b"\n")))
    return import_outcomes(path)


def read_own(path):
    return own_ratings.read_ratings(packed(path), data(), 1)


def packed(path):
    """The same file, under the name that it has if it is packed."""
    return path.rename(f"{path}.gz") if path.read_bytes()[:2] == b"\x1f\x8b" else path


def write_checkpoint(path):
    save_checkpoint(path, state(), "abc", start=7)


def read_beside(path):
    (table := path.with_suffix(".csv")).write_bytes(exported())
    return import_outcomes(table)


def read_header(path):
    """A fitted model with any text as its header: a file that is altered at one place only is never read."""
    arrays = {f"parameters/{name}": value.numpy() for name, value in state().parameters.items()}
    with open(path.with_suffix(".npz"), "wb") as file:
        np.savez(file, header=np.array(path.read_bytes().decode("utf-8", "replace")), **arrays)
    return repr(al.NCF.load(path.with_suffix(".npz"), data()))


def read_store(path):
    with Store(path, "abc") as store:
        store.done("ncf", 0, {4: [7, 9]})
        return store.outcomes(), store.status(), store.work(), store.outcomes({4: [7, 9]})


def read_table(path):
    return tables.read_table(packed(path))


def read_run(path):
    """JSON that is read by the name it has in a run folder."""
    run = Run("04_explanations", {"run": "fuzz"})
    (run.folder / path.name).write_bytes(path.read_bytes())
    return run.read_json(path.name)


class Reader(NamedTuple):
    file: str  #: What the file is called
    read: Callable  #: of its path
    valid: Callable  #: gives what it may hold, one of which is altered


READERS = {
    "ratings": Reader("ratings.csv", al.read_ratings, lambda: [CSV, DATES, INTER, COUNTS, DAT]),
    "items": Reader("items.csv", read_items, lambda: [ITEMS]),
    "u.data": Reader("u.data", movielens.read_ratings, lambda: [U_DATA]),
    "u.item": Reader("u.item", lambda path: movielens.read_items(path, genres(path)), lambda: [U_ITEM]),
    "u.genre": Reader("u.genre", lambda path: movielens.read_items(films(path), path), lambda: [U_GENRE]),
    "attributes": Reader("auxiliary-mapping.txt", movielens.read_attributes, lambda: [ATTRIBUTES]),
    "own ratings": Reader("own.csv", read_own, lambda: [OWN, gzip.compress(OWN, mtime=0)]),
    "checkpoint": Reader("ncf.npz", load_checkpoint, lambda: [made(write_checkpoint, "ncf.npz")]),
    "fitted model": Reader("header.json", read_header, lambda: [header()]),
    "store": Reader("worlds.sqlite", read_store, lambda: [made(write_store, "worlds.sqlite")]),
    "store, its status": Reader(
        "worlds.sqlite", status._store_progress, lambda: [made(write_store, "worlds.sqlite")]
    ),
    "exported outcomes": Reader("outcomes-0.csv", read_exported, lambda: [exported()]),
    "exported outcomes, their JSON": Reader("outcomes-0.json", read_beside, lambda: [about(exported())]),
    "explanations": Reader("explanations.csv", read_table, lambda: [EXPLANATIONS, PACKED]),
    "JSON": Reader("data.json", read_run, lambda: [DATA]),
    "records": Reader("provenance.json", lambda path: notebooks.read_records(path.parent), lambda: [RECORDS]),
    "notebook": Reader("01_data.ipynb", lambda path: notebooks.read(path).parameters, lambda: [NOTEBOOK]),
    "profile": Reader("mine.yaml", lambda path: profiles.load_profile(str(path), ROOT), lambda: [PROFILE]),
    "manifest": Reader(manifest.MANIFEST, lambda path: manifest.entries(path.parent), lambda: [SUMS]),
    "Parquet": Reader("ratings.parquet", al.read_ratings, parquet_files),
}  # fmt: skip


def genres(path):
    (place := path.with_name("u.genre")).write_bytes(U_GENRE)
    return place


def films(path):
    (place := path.with_name("u.item")).write_bytes(U_ITEM)
    return place


# What chance does to a file.

NUMBER, WORD = re.compile(rb"-?\d+(?:\.\d+)?"), re.compile(rb"[^\s,;:|\"'{}\[\]]+")
HOSTILE = [
    *b"nan inf -inf NaN -1 0 -0 0.5 1e308 1e999 1e-400 0x1f 1_000 1,000 +5 5. 00 3000000000 1e5".split(),
    *b"null true None {} [] { ' \\ :: , ; | &a *a 7:x 2020-01-01 0000-00-00 9999-12-31 ../../x".split(),
    *(str(2**power).encode() for power in (31, 53, 63, 64, 2000)),
    *(b"9" * 30, b"9" * 5000, b"x" * 10**5, b"[" * 5000, b"", b" ", b"\0", b'"', b'""', b"\xff", b"\t"),
    *(b"\r", b"\n", b"\n\n", b"\x0c", b"\x1b[2J", b"[1, [2]]", b"{'a': 1}", b"('a',)", b"!!int x", b"4:0 0"),
    *map(str.encode, ("\u2028", "\ufeff", "\u0663", "\u00bd", "\x85", "\ud7ff", "\U0001f3ac")),
]


def flip(draw, content):
    content = bytearray(content)
    for _ in range(draw.integers(1, 9)):
        content[draw.integers(len(content))] ^= 1 << draw.integers(8)
    return bytes(content)


def piece(draw, content):
    first, last = sorted(draw.integers(len(content) + 1, size=2))
    return first, min(last, first + 4000)


def cut(draw, content):
    first, last = piece(draw, content)
    return content[:first] + (b"" if draw.random() < 0.5 else content[last:])


def insert(draw, content):
    place = draw.integers(len(content) + 1)
    return content[:place] + draw.bytes(draw.integers(1, 30)) + content[place:]


def overwrite(draw, content):
    place, sign = draw.integers(len(content)), (b"\0", b"\xff", draw.bytes(1))[draw.integers(3)]
    new = sign * int(draw.integers(1, 9))
    return content[:place] + new + content[place + len(new) :]


def double(draw, content):
    first, last = piece(draw, content)
    return content[:last] + content[first:last] * int(draw.integers(1, 4)) + content[last:]


def swap(draw, content):
    first, last = piece(draw, content)
    middle = draw.integers(first, last + 1)
    return content[:first] + content[middle:last] + content[first:middle] + content[last:]


def hostile(draw, content, pattern=NUMBER):
    found = list(pattern.finditer(content))
    if not found:
        return insert(draw, content)
    place = found[draw.integers(len(found))]
    return content[: place.start()] + HOSTILE[draw.integers(len(HOSTILE))] + content[place.end() :]


def word(draw, content):
    return hostile(draw, content, WORD)


def lines(draw, content):
    rows = content.splitlines(True)
    place, other = draw.integers(len(rows), size=2)
    way = draw.integers(5)
    if way == 0:
        del rows[place]
    elif way == 1:
        rows.insert(other, rows[place])
    elif way == 2:
        copies = int(draw.integers(2, 300))
        rows[place : place + 1] = [rows[place]] * min(copies, LARGEST // len(rows[place]) + 1)
    elif way == 3:
        rows[place], rows[other] = rows[other], rows[place]
    else:
        rows[place] = HOSTILE[draw.integers(len(HOSTILE))] + b"\n"
    return b"".join(rows)


EDITS = (flip, cut, insert, overwrite, double, swap, hostile, hostile, word, word, lines, lines)


def examples(name):
    """Files that brought something else once."""
    if name == "ratings":
        return [INTER.replace(b"\n2\t", b"\n" + b"9" * 5000 + b"\t"), CSV.replace(b"userId", b"a\x0b\x1b[2J")]
    if name == "fitted model":
        changes = {b'"starts"': b'"x"', b'"dim": 2': b'"dim": 2000000000', b'"start": 1': b'"start": "1"'}
        changes |= {
            b'"steps"': b'"{}"',
            b'"objective"': b'"x"',
            b'"retraining": {': b'"retraining": [], "x": {',
        }
        return [header().replace(*change) for change in changes.items()]
    if name.startswith("store"):
        changes = "outcomes SET scores = x'ff'", "outcomes SET user = 'x'", "outcomes SET catalogue = x'ff'"
        changes += (
            "work SET done = 'x'",
            "outcomes SET scores = '1 x'",
            "outcomes SET world = x'3a' WHERE world <> ''",
        )
        return [made(functools.partial(write_store, change=change), "worlds.sqlite") for change in changes]
    if name == "exported outcomes":
        return [content.replace(b"4:0 2", b"9" * 5000 + b":0 2") for content in valid(name)]
    if name == "profile":
        return [b"ks: " + b"[" * 5000, b"".join(b"x%d:\n" % number for number in range(8000))]
    if name == "notebook":
        return [b'{"cells": [{"cell_type": "code", "metadata": [], "source": ""}]}', b"[" * 10**5]
    return []


@functools.cache
def valid(name):
    return READERS[name].valid()


def mutant(name, seed, number):
    """What the mutant of a number holds."""
    draw = np.random.default_rng([seed, number, *name.encode()])
    if draw.random() < 0.02:
        return draw.bytes(draw.integers(200))
    content = valid(name)[draw.integers(len(valid(name)))]
    for _ in range(draw.choice([1, 2, 4], p=[0.7, 0.2, 0.1])):
        content = EDITS[draw.integers(len(EDITS))](draw, content or b"\n")[:LARGEST]
    return content


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the altered files lie, and a run folder; what does not matter here is read once."""
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs" / "fuzz").mkdir(parents=True)
    known = notebooks.all_notebooks(ROOT)
    monkeypatch.setattr(notebooks, "all_notebooks", lambda root=None: known)
    return tmp_path


def fault(read, path):
    """What is wrong with how a file is read, as a text; nothing if it is read or refused as it should be."""
    begin = time.process_time(), time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", AccentWarning)
            read(path)
    except AccentError as error:
        told = str(error)
        if len(told) > LONGEST + 3 or len(told.splitlines()) != 1:
            return f"says in {len(told)} characters and {len(told.splitlines())} lines: {told!r:.3000}"
    except Exception as error:
        return f"raises {type(error).__name__}: {error!s:.1000}"
    work, waiting = time.process_time() - begin[0], time.monotonic() - begin[1]
    slow = work > SECONDS or waiting > 30 * SECONDS
    return f"takes {work:.1f} seconds of work, {waiting:.1f} in all" if slow else ""


def peak():
    """The most bytes that this process had at a time since it was last asked."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return most


@pytest.mark.parametrize("name", READERS)
def test_no_altered_file_brings_anything_but_a_sentence(name, folder, capsys):
    reader = READERS[name]
    path = folder / reader.file
    for content in valid(name):
        path.write_bytes(content)
        reader.read(path)
    peak()
    start = psutil.Process().memory_info().rss
    known = examples(name)
    for number in range(-len(known), N):
        path.write_bytes(mutant(name, SEED, number) if number >= 0 else known[number])
        wrong = fault(reader.read, path)
        if not wrong and (more := peak() - start) > MEMORY:
            wrong = f"takes {more / 1e6:.0f} MB"
        which = f"mutant({name!r}, {SEED}, {number})" if number >= 0 else f"{known[number]!r:.200}"
        assert not wrong, f"{which} {wrong}"


def texts(length, n_rows):
    """A long text in all rows, which stands in a Parquet file once."""
    return pyarrow.DictionaryArray.from_arrays(np.zeros(n_rows, np.int32), pyarrow.array([b"x" * length]))


def lists_of_texts():
    return pyarrow.ListArray.from_arrays(np.arange(2**10 + 1, dtype=np.int32), texts(10**6, 2**10))


BOMBS = {
    "numbers": lambda: np.zeros(3 * 2**24, np.int8),
    "texts": lambda: texts(10**6, 2**10),
    "lists of texts": lists_of_texts,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_parquet_file_of_kilobytes_does_not_unpack_to_gigabytes(kind, tmp_path, monkeypatch):
    path = tmp_path / "ratings.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"user": BOMBS[kind]()}), path)
    assert path.stat().st_size < 10**6

    def expand(path):
        raise MemoryError

    monkeypatch.setattr(pd, "read_parquet", expand)
    with pytest.raises(AccentError, match=r"bytes and would unpack to [\d,]{11,}, which no ratings do"):
        al.read_ratings(path)
