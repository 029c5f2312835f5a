"""Where files are looked for, how they are checked, and what is said when they cannot be had."""

import hashlib
import http.server
import shutil
import socket
import threading
import zipfile
from functools import partial

import pytest
import requests

from accent_lib.datasets import fetch as module
from accent_lib.datasets import load
from accent_lib.datasets.fetch import Download, PinnedFile, fetch
from accent_lib.errors import AccentError

CONTENT = {"ml-100k/u.data": b"1\t1\t5\t880000000\n", "ml-100k/u.genre": b"unknown|0\n"}
TABLE = b"1|0|0|0\n"


@pytest.fixture(autouse=True)
def web(tmp_path, monkeypatch):
    """Stand in for the web and the cache, with files of our own pinned like the real ones."""
    folder = tmp_path / "web"
    (folder / "second").mkdir(parents=True)
    archive = folder / "second" / "small.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in CONTENT.items():
            opened.writestr(name, content)
    (folder / "table.txt").write_bytes(TABLE)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    sha1 = hashlib.sha1(archive.read_bytes()).hexdigest()
    # The first source does not have it, the second one does.
    small = Download("small.zip", f"sha1:{sha1}", (f"{base}/small.zip", f"{base}/second/small.zip"))
    table = Download("rcf/table.txt", f"sha256:{hashlib.sha256(TABLE).hexdigest()}", (f"{base}/table.txt",))
    files = {
        name: PinnedFile(hashlib.sha256(content).hexdigest(), len(content), small)
        for name, content in CONTENT.items()
    }
    files["rcf/table.txt"] = PinnedFile(hashlib.sha256(TABLE).hexdigest(), len(TABLE), table)
    monkeypatch.setattr(module, "FILES", files)
    monkeypatch.setattr(module, "cache_home", lambda: tmp_path / "cache")
    monkeypatch.delenv("ACCENT_DATA_HOME", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield base
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_web(monkeypatch):
    """Make every address refuse the connection."""

    def refuse(*_, **__):
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(requests, "head", refuse)
    monkeypatch.setattr(requests, "get", refuse)


@pytest.fixture
def home(tmp_path):
    """Make a data home that holds the right files."""
    for name, content in {**CONTENT, "rcf/table.txt": TABLE}.items():
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "home"


def test_the_argument_comes_before_the_variable(home, tmp_path, monkeypatch, no_web):
    monkeypatch.setenv("ACCENT_DATA_HOME", str(tmp_path / "elsewhere"))
    assert fetch("ml-100k/u.data", home) == home / "ml-100k/u.data"


def test_the_variable_comes_before_the_cache(home, monkeypatch, no_web):
    monkeypatch.setenv("ACCENT_DATA_HOME", str(home))
    assert fetch("ml-100k/u.data") == home / "ml-100k/u.data"


def test_a_relative_data_home_gives_an_absolute_path(home, monkeypatch, no_web):
    monkeypatch.chdir(home.parent)
    assert fetch("rcf/table.txt", "home") == home / "rcf/table.txt"


def test_the_cache_comes_before_the_web(home, tmp_path, no_web):
    shutil.copytree(home, tmp_path / "cache")
    assert fetch("rcf/table.txt") == tmp_path / "cache/rcf/table.txt"


def test_a_download_falls_back_to_the_second_source_and_extracts_all_members(tmp_path, no_files_left):
    path = fetch("ml-100k/u.data")
    assert path == tmp_path / "cache/ml-100k/u.data"
    assert path.read_bytes() == CONTENT["ml-100k/u.data"]
    assert (tmp_path / "cache/ml-100k/u.genre").read_bytes() == CONTENT["ml-100k/u.genre"]


@pytest.fixture
def no_files_left(tmp_path):
    """Check afterwards that no temporary file stayed in the cache."""
    yield
    names = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert names <= {"small.zip", "u.data", "u.genre", "table.txt"}


def test_a_single_file_is_downloaded(no_files_left):
    assert fetch("rcf/table.txt").read_bytes() == TABLE


def test_a_spoilt_file_in_the_cache_is_replaced(tmp_path, no_files_left):
    path = fetch("rcf/table.txt")
    path.write_bytes(b"x" * len(TABLE))
    assert fetch("rcf/table.txt").read_bytes() == TABLE


def test_a_member_lost_from_the_cache_is_extracted_again_without_the_web(request):
    path = fetch("ml-100k/u.data")
    path.unlink()
    request.getfixturevalue("no_web")
    assert fetch("ml-100k/u.data") == path and path.exists()


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_a_data_home_without_the_file_is_an_error(tmp_path, monkeypatch, by):
    empty = tmp_path / "empty"
    if by == "variable":
        monkeypatch.setenv("ACCENT_DATA_HOME", str(empty))
    with pytest.raises(AccentError) as error:
        fetch("ml-100k/u.data", empty if by == "argument" else None)
    assert f"The file {empty}/ml-100k/u.data does not exist" in str(error.value)
    assert ("`data_home` given" if by == "argument" else "ACCENT_DATA_HOME") in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_a_truncated_local_file_is_an_error(home):
    (home / "rcf/table.txt").write_bytes(TABLE[:5])
    with pytest.raises(AccentError, match=r"table\.txt is truncated \(5 of 8 bytes\)"):
        fetch("rcf/table.txt", home)


def test_a_local_file_with_another_hash_is_an_error(home):
    (home / "rcf/table.txt").write_bytes(TABLE.replace(b"1", b"2"))
    with pytest.raises(AccentError, match=r"table\.txt is not the published one \(its SHA-256"):
        fetch("rcf/table.txt", home)


def test_a_folder_in_place_of_the_file_is_an_error(home):
    (home / "rcf/table.txt").unlink()
    (home / "rcf/table.txt").mkdir()
    with pytest.raises(AccentError, match=r"table\.txt cannot be read \(Is a directory"):
        fetch("rcf/table.txt", home)


def test_a_download_with_another_hash_is_refused(tmp_path, no_files_left):
    (tmp_path / "web/table.txt").write_bytes(b"something else")
    with pytest.raises(AccentError, match="the file there is not the pinned one"):
        fetch("rcf/table.txt")
    assert not (tmp_path / "cache/rcf/table.txt").exists()


def test_without_web_and_copy_one_error_names_file_places_and_ways_out(web, tmp_path, no_web):
    with pytest.raises(AccentError) as error:
        fetch("ml-100k/u.data")
    text = str(error.value)
    assert "\n" not in text
    for part in (
        "The file ml-100k/u.data",
        "no `data_home` was given",
        "ACCENT_DATA_HOME is not set",
        str(tmp_path / "cache"),
        f"{web}/small.zip: no connection",
        f"{web}/second/small.zip: no connection",
        "set ACCENT_DATA_HOME to a folder that holds ml-100k/ and rcf/",
        "use the data set 'sample'",
    ):
        assert part in text


def test_a_closed_port_counts_as_no_web(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/table.txt"
    closed = Download("table.txt", f"sha256:{hashlib.sha256(TABLE).hexdigest()}", (address,))
    pinned = PinnedFile(hashlib.sha256(TABLE).hexdigest(), len(TABLE), closed)
    monkeypatch.setitem(module.FILES, "rcf/table.txt", pinned)
    with pytest.raises(AccentError, match="table.txt: no connection"):
        fetch("rcf/table.txt")


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    """A name look-up can hang for longer than any timeout of the connection."""
    released = threading.Event()
    monkeypatch.setattr(requests, "head", lambda *_, **__: released.wait())
    monkeypatch.setattr(module, "TIMEOUT", 0.02)
    try:
        with pytest.raises(AccentError, match=r"no answer within 0\.02 s"):
            fetch("rcf/table.txt")
    finally:
        released.set()


def test_waiting_is_bounded_well_below_half_a_minute():
    """Each attempt that begins within the patience may wait to be connected and then for data."""
    assert module.PATIENCE + 3 * module.TIMEOUT < 30


def test_a_refused_certificate_leads_to_the_second_source(web, monkeypatch):
    head = requests.head

    def refuse(url, **options):
        if "second" not in url:
            raise requests.exceptions.SSLError("expired")
        return head(url, **options)

    monkeypatch.setattr(requests, "head", refuse)
    assert fetch("ml-100k/u.data").exists()


def test_an_unwritable_cache_is_an_error(tmp_path):
    # A file where the folder should be: permissions would not stop the superuser, who runs many a container.
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(
        AccentError, match=r"the cache .*cache cannot be written \(.+\): make it writable, set ACCENT"
    ):
        fetch("rcf/table.txt")


def test_every_movielens_file_is_pinned_and_has_a_source(monkeypatch):
    monkeypatch.undo()
    assert {"ml-100k/u.data", "ml-100k/u.item", "ml-100k/u.genre", "rcf/auxiliary-mapping.txt"} <= set(
        module.FILES
    )
    for name, pinned in module.FILES.items():
        if name.startswith(("ml-100k/", "ml-latest-small/", "rcf/")):
            assert len(pinned.sha256) == 64 and pinned.size > 0
        else:  # GroupLens publishes the MD5 of the archive alone
            known = pinned.download.known_hash
            assert known is None and "ml-32m" in name or len(known) == len("md5:") + 32
        assert all(url.startswith(("https://", "http://")) for url in pinned.download.urls)
    assert len(module.MOVIELENS.urls) == 2


def test_an_unknown_data_set_is_an_error():
    with pytest.raises(
        AccentError, match="no data set 'ml-20'; choose 'sample' or one of 'ml-100k', 'ml-l.*read_"
    ):
        load("ml-20")


@pytest.fixture
def larger(web, tmp_path, monkeypatch):
    """A set whose archive alone has a hash, which is asked for beside it; in a folder of another name."""
    archive = tmp_path / "web/ml-32m.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("ML32/ratings.csv", "userId,movieId,rating,timestamp\n1,7,4.5,10\n1,8,2.0,11\n")
        opened.writestr(
            "ML32/movies.csv", "movieId,title,genres\n7,Emma (1996),Drama|Romance\n8,Ran (1985),War\n"
        )
    beside = tmp_path / "web/ml-32m.zip.md5"
    beside.write_text(f"{hashlib.md5(archive.read_bytes()).hexdigest()}  ml-32m.zip\n")
    download = Download("ml-32m.zip", None, (f"{web}/ml-32m.zip",))
    for file in ("ratings.csv", "movies.csv"):
        pinned = PinnedFile(None, 1, download, f"ML32/{file}")
        monkeypatch.setitem(module.FILES, f"ml-32m/{file}", pinned)
    return beside


def test_a_larger_set_is_checked_against_the_hash_beside_its_archive(larger, tmp_path, request):
    data = load("ml-32m")
    assert data.name == "ml-32m" and data.items["title"].tolist() == ["Emma (1996)", "Ran (1985)"]
    assert data.items["genres"].tolist() == [("Drama", "Romance"), ("War",)] and data.scale == (2, 4.5)
    request.getfixturevalue("no_web")
    assert load("ml-32m", tmp_path / "cache").fingerprint == load("ml-32m").fingerprint


@pytest.mark.parametrize("beside", ["0" * 32, "not here", None])
def test_a_larger_set_with_another_hash_beside_it_is_refused(larger, beside):
    larger.unlink() if beside is None else larger.write_text(beside)
    with pytest.raises(
        AccentError, match="set ACCENT_DATA_HOME to a folder that holds ml-32m/, or use"
    ) as error:
        load("ml-32m")
    assert ("the server answered 404" if beside is None else "is not the pinned one") in str(error.value)


def test_an_empty_file_of_a_larger_set_is_refused(larger, home):
    (home / "ml-32m").mkdir()
    (home / "ml-32m/movies.csv").write_text("")
    with pytest.raises(AccentError, match=r"movies\.csv is empty"):
        fetch("ml-32m/movies.csv", home)


def test_a_file_that_the_server_does_not_have_is_called_so(web, tmp_path):
    (tmp_path / "web/table.txt").unlink()
    with pytest.raises(
        AccentError, match=r"table\.txt does not exist, .*table\.txt: the server answered 404"
    ):
        fetch("rcf/table.txt")
