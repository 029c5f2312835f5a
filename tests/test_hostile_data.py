"""Files that a reader of the book brings: pipes, archives, addresses, a million characters, another film."""

import csv
import gzip
import io
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import accent_lib as al
from accent_book.live import own_ratings
from accent_lib.datasets import fetch as module
from accent_lib.datasets import load, movielens
from accent_lib.errors import AccentError

LINES = ["user,item,rating,time", "1,7,4,10", "1,8,2,11", "2,7,5,12"]


@pytest.fixture
def films(sample):
    """The sample with three films of one title, of which two have a year."""
    titles = sample.titles.copy()
    titles[:3] = ["Quux (1995)", "Quux (1972)", "Zorb"]
    return replace(sample, titles=titles)


def rated(films, text, **options):
    return own_ratings.read_ratings(io.StringIO(text), films, min_ratings=1, **options)


def test_own_ratings_come_from_a_plain_file_of_text(films, tmp_path):
    text = "title,stars\nZorb,4\n"
    (tmp_path / "mine.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert len(own_ratings.read_ratings(tmp_path / "mine.csv.gz", films, 1)) == 1
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("ratings.csv", text)
    (tmp_path / "cut.zip").write_bytes((tmp_path / "mine.zip").read_bytes()[:40])
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:-6])
    (tmp_path / "latin.csv").write_bytes("title,stars\nAmélie,4\n".encode("latin-1"))
    with gzip.open(tmp_path / "bomb.csv.gz", "wb") as file:
        file.writelines([bytes(2**20)] * 20)
    os.mkfifo(tmp_path / "pipe.csv")
    for path, sentence in {
        tmp_path / "mine.zip": "no text in UTF-8; unpack the file",
        tmp_path / "cut.zip": "no text in UTF-8; unpack the file",
        tmp_path / "cut.csv.gz": "is damaged, it cannot be unpacked",
        tmp_path / "bomb.csv.gz": "holds more than 4 MiB",
        tmp_path / "latin.csv": "no text in UTF-8",
        tmp_path / "pipe.csv": "is a pipe or a device",
        tmp_path: "is a folder, not a file",
        "http://example.org/mine.csv": "an address on the web; fetch the file",
        "s3://bucket/mine.csv": "an address on the web; fetch the file",
        "a\0b": "cannot be read",
    }.items():
        with pytest.raises(AccentError, match=re.escape(sentence)):
            own_ratings.read_ratings(path, films, 1)


@pytest.mark.parametrize(
    "address", ["http://a.org/r.csv", "https://a.org/r.csv", "s3://b/r.csv", "gs://b/r.parquet"]
)
def test_only_files_are_read(address):
    for source in (address, Path(address)):
        with pytest.raises(AccentError, match="is an address on the web; fetch the file, and name it"):
            al.read_ratings(source)


def test_what_is_no_plain_file_is_read_by_nobody(tmp_path):
    os.mkfifo(tmp_path / "u.data")
    (tmp_path / "ml-100k").mkdir()
    os.mkfifo(tmp_path / "ml-100k" / "u.data")
    with pytest.raises(AccentError, match="u.data is a pipe or a device"):
        al.read_ratings(tmp_path / "u.data")
    with pytest.raises(AccentError, match="u.data is a pipe or a device"):
        movielens.read_ratings(tmp_path / "u.data")
    with pytest.raises(AccentError, match="u.data is a pipe or a device, though"):
        module.fetch("ml-100k/u.data", tmp_path)
    with pytest.raises(AccentError, match="is no name of a file; correct it"):
        al.read_ratings("a\0b.csv")
    with pytest.raises(AccentError, match=r"cannot be read \(File name too long"):
        al.read_ratings("x" * 10**4)


def test_a_data_home_that_leads_nowhere_is_a_sentence(monkeypatch):
    for name in ("a\0b", "x" * 10**4):
        with pytest.raises(AccentError, match="which leads nowhere|The file .* cannot be read"):
            load("ml-100k", name)
    with pytest.raises(AccentError, match="The `data_home` given is '~nosuch', which leads nowhere"):
        load("ml-100k", "~nosuch")
    monkeypatch.setenv("ACCENT_DATA_HOME", "~nosuch/data")
    with pytest.raises(
        AccentError, match="The folder in ACCENT_DATA_HOME is '~nosuch/data', which leads nowhere"
    ):
        load("ml-100k")


@pytest.fixture(params=[2**17, 10**7])
def csv_limit(request):
    """The longest field that Python's csv reads, which is one for all libraries of a process."""
    usual = csv.field_size_limit(request.param)
    yield request.param
    csv.field_size_limit(usual)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda lines: [lines[0].replace("user", "x" * 10**6), *lines[1:]],
            "the first line has 1,000,017 characters",
        ),
        (lambda lines: [*lines, "1,9,4," + "x" * 10**6], "line 5: "),
        (lambda lines: [*lines, "1,9," + "y" * 10**6 + ",3"], "line 5: "),
        (lambda lines: [*lines[:2], "", "", "1,9,bad,3"], "line 5: "),
        (lambda lines: [*lines, '1,9,"4\n' + "y" * 10**6 + '",3'], "line 5: "),
    ],
)
def test_a_message_about_a_million_characters_is_short_and_its_line_is_right(
    tmp_path, change, sentence, csv_limit
):
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(change(LINES)) + "\n")
    with pytest.raises(AccentError, match=sentence) as error:
        al.read_ratings(path)
    assert len(str(error.value)) < 2100


def test_a_damaged_file_of_the_cache_is_not_called_a_missing_one(tmp_path, monkeypatch):
    monkeypatch.delenv("ACCENT_DATA_HOME", raising=False)
    monkeypatch.setattr(module, "cache_home", lambda: tmp_path)
    monkeypatch.setattr(module, "PATIENCE", 0)

    def no_web(url):
        raise module.requests.ConnectionError

    monkeypatch.setattr(module, "_probe", no_web)
    for content, fault in {
        None: "does not exist",
        b"cut": "is truncated",
        bytes(1_979_173): "is not the published",
    }.items():
        if content is not None:
            (tmp_path / "ml-100k").mkdir(exist_ok=True)
            (tmp_path / "ml-100k" / "u.data").write_bytes(content)
        with pytest.raises(
            AccentError, match=rf"{re.escape(str(tmp_path))}/ml-100k/u.data {fault}.*no connection"
        ):
            module.fetch("ml-100k/u.data")
