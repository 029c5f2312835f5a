"""Where the files of MovieLens come from, and the hashes that say they are the right ones.

A file is taken from the first of these places, and its SHA-256 is checked at each of them:
the ``data_home`` argument, the folder in ``ACCENT_DATA_HOME``, the per-user cache, the web (into the cache).
Of the larger sets only the MD5 of the archive is published: a download is checked against that.
Nothing of MovieLens may be passed on, so nothing of it ships with this package.
"""

import hashlib
import os
import re
import tempfile
import threading
import time
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import requests

from accent_lib.errors import AccentError, shown
from accent_lib.files import atomic, reason

VARIABLE = "ACCENT_DATA_HOME"
#: Seconds to wait for a server, once to be connected and once between two pieces of the file.
TIMEOUT = 4.0
#: Seconds after which no further attempt at a download begins; without a network the error must not take
#: long.
PATIENCE = 12.0
#: Attempts at each source.
ATTEMPTS = 2


class Download(NamedTuple):
    """A file on the web: its name in the cache, the hash that pins it, its sources in order of preference.

    Without a hash, the file with ``.md5`` behind the address of the first source has it.
    """

    name: str
    known_hash: str | None
    urls: tuple


class PinnedFile(NamedTuple):
    """A file of a data home: SHA-256, size in bytes, where to get it, and its name in the zip if another.

    Without SHA-256, what is there is taken as it is; the hash of the archive has guarded the download.
    """

    sha256: str | None
    size: int
    download: Download
    member: str | None = None


# GroupLens publishes no SHA-256 of the archive; its SHA-1 guards the transfer, the SHA-256 of each member the
# content. Plain http comes second because the certificate of that host has lapsed more than once; the hashes
# make it safe.
MOVIELENS = Download(
    "ml-100k.zip",
    "sha1:cd4dcac4241c8a4ad7badc7ca635da8a69dddb83",
    (
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        "http://files.grouplens.org/datasets/movielens/ml-100k.zip",
    ),
)
ATTRIBUTES = Download(
    "rcf/auxiliary-mapping.txt",
    "sha256:ac7b931c8cae0ec49b75b8d5e199320a8f749994324c4f2de6ee6ce67eb2a3c1",
    (
        "https://raw.githubusercontent.com/XinGla/RCF/2bbe5a69295a3f022509d1ec3c83bd02c64c4783/"
        "ML100K/auxiliary-mapping.txt",
    ),
)
RELATIONS = Download(
    "rcf/relational_data.csv",
    "sha256:8203a76e30aebdc52f6d8357db07b3f7d2fbb647a6482cb0462f6cf5f2772c34",
    (
        "https://raw.githubusercontent.com/hieptk/accent/8c6652ed5e0c9716d33b3b29b03e2b25ab429ce3/"
        "RCF/data/relational_data.csv",
    ),
)
FILES = {
    "ml-100k/u.data": PinnedFile(
        "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490", 1_979_173, MOVIELENS
    ),
    "ml-100k/u.item": PinnedFile(
        "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701", 236_344, MOVIELENS
    ),
    "ml-100k/u.genre": PinnedFile(
        "9757e0d3e6b298159a80dd48eaf938114690e911e39af97a76949ef1663610bb", 202, MOVIELENS
    ),
    ATTRIBUTES.name: PinnedFile(ATTRIBUTES.known_hash.removeprefix("sha256:"), 52_804, ATTRIBUTES),
    RELATIONS.name: PinnedFile(RELATIONS.known_hash.removeprefix("sha256:"), 1_649_096, RELATIONS),
}
#: Ratings and items of the sets that are read as any table is.
TABLES = {
    "ml-latest-small": ("ratings.csv", "movies.csv"),
    "ml-1m": ("ratings.dat", "movies.dat"),
    "ml-10m": ("ratings.dat", "movies.dat"),
    "ml-25m": ("ratings.csv", "movies.csv"),
    "ml-32m": ("ratings.csv", "movies.csv"),
}
# MD5 as GroupLens publishes it beside each archive. That of ml-32m was not at hand and is asked for, so it
# guards the transfer but not against another edition. ml-latest-small may change with the years: its files
# are those of September 2018.
ARCHIVES = {
    "ml-latest-small": "sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
    "ml-1m": "md5:c4d9eecfca2ab87c1945afe126590906",
    "ml-10m": "md5:ce571fd55effeba0271552578f2648bd",
    "ml-25m": "md5:6b51fb2759a8657d3bfcbfc42b592ada",
    "ml-32m": None,
}
SMALL = {
    "ratings.csv": ("aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646", 2_483_723),
    "movies.csv": ("5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07", 494_431),
}
for _set, _known in ARCHIVES.items():
    _archive = Download(
        f"{_set}.zip", _known, (f"https://files.grouplens.org/datasets/movielens/{_set}.zip",)
    )
    # The folder in the archive of ml-10m has a name of its own.
    _folder = "ml-10M100K" if _set == "ml-10m" else _set
    for _file in TABLES[_set]:
        _sha256, _size = SMALL[_file] if _set == "ml-latest-small" else (None, 1)
        FILES[f"{_set}/{_file}"] = PinnedFile(_sha256, _size, _archive, f"{_folder}/{_file}")


def _ways_out(name):
    """What to do instead of a download."""
    folder = name.partition("/")[0]
    folders = f"{folder}/" if folder in TABLES else "ml-100k/ and rcf/"
    return f"set {VARIABLE} to a folder that holds {folders}, or use the data set 'sample'"


def _pooch():
    """What downloads; where all files are at hand, it need not be installed."""
    with warnings.catch_warnings():
        # pooch brings tqdm, which in a notebook without widgets warns about a bar that nobody asked for.
        warnings.simplefilter("ignore")
        import pooch
    return pooch


def cache_home() -> Path:
    """Return the per-user cache folder, which need not exist yet, as a Path."""
    return Path(_pooch().os_cache("accent")).absolute()


def fetch(name, data_home=None) -> Path:
    """Find a pinned file, downloading it if it is nowhere on this machine; return its absolute path.

    Parameters
    ----------
    name : str
        One of ``FILES``, such as ``"ml-100k/u.data"``: its path below a data home.
    data_home : path, optional
        Folder to take the file from. Given, or named by ``ACCENT_DATA_HOME``, no other place is looked at: a
        typing error in it must not go unnoticed.

    Raises
    ------
    AccentError
        If the file is missing or not the pinned one where the caller said it would be; if it is nowhere and
        cannot be downloaded; or if the cache cannot be written.
    """
    given = data_home or os.environ.get(VARIABLE)
    if given:
        origin = "the `data_home` given" if data_home else f"the folder in {VARIABLE}"
        try:
            path = Path(given).expanduser().absolute() / name
            if "\0" in str(path):
                raise OSError("a sign that no name has")
        except (RuntimeError, OSError) as error:  # nobody of that name, or a working directory that is gone
            raise AccentError(
                f"{origin[0].upper()}{origin[1:]} is {shown(str(given))}, which leads nowhere: name another, "
                "from the root."
            ) from error
        fault = _fault(path, FILES[name])
        if fault is not None:
            source = FILES[name].download.urls[0]
            raise AccentError(
                f"The file {path} {fault}, though {origin} was to hold it: put the file from {source} there, "
                "name another folder, or name none and let it be downloaded."
            )
        return path

    cache = cache_home()
    path = cache / name
    if _fault(path, FILES[name]) is not None:
        _check_writable(cache, name)
        archive = _download(name, cache)
        if archive.suffix == ".zip":
            _extract(archive, cache)
        fault = _fault(path, FILES[name])
        if fault is not None:
            raise AccentError(f"The file {path} {fault} though it was just downloaded; {_ways_out(name)}.")
    return path


def _fault(path, pinned):
    """Say what is wrong with a local file, as the end of a sentence; None if it is the pinned one."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        return "is a pipe or a device"
    try:
        if pinned.sha256 is None:
            with open(path, "rb") as file:
                return None if file.read(1) else "is empty"
        content = path.read_bytes()
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if len(content) < pinned.size:
        return f"is truncated ({len(content):,} of {pinned.size:,} bytes)"
    if hashlib.sha256(content).hexdigest() != pinned.sha256:
        return f"is not the published one (its SHA-256 does not begin with {pinned.sha256[:12]})"
    return None


def _check_writable(cache, name):
    """Stop before the download if its result could not be kept."""
    try:
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        for folder in (cache, (cache / name).parent):
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise AccentError(
            f"The file {name} is to be downloaded, but the cache {cache} cannot be written "
            f"({error.strerror}): make it writable, {_ways_out(name)}."
        ) from error


def _download(name, cache):
    """Download the file, or the archive with it, into the cache; return its path, its hash checked."""
    download = FILES[name].download
    path, pooch = cache / download.name, _pooch()
    begun = time.monotonic()
    failures = []
    known_hash = download.known_hash
    if known_hash is None:
        try:
            known_hash = _published_md5(f"{download.urls[0]}.md5")
        except (requests.RequestException, ValueError) as error:
            download = download._replace(urls=())
            failures.append(f"{download.name}.md5: {_reason(error)}")
    else:
        algorithm, known = known_hash.split(":")
        if path.is_file() and pooch.file_hash(path, algorithm) == known:
            return path  # an archive downloaded before, of which a member was lost since
    for url in download.urls:
        for _ in range(ATTEMPTS):
            if failures and time.monotonic() - begun > PATIENCE:
                break
            try:
                _probe(url)
                return Path(
                    pooch.retrieve(
                        url,
                        known_hash=known_hash,
                        fname=download.name,
                        path=cache,
                        downloader=pooch.HTTPDownloader(timeout=TIMEOUT),
                    )
                )
            except (requests.RequestException, ValueError) as error:
                failures.append(f"{url}: {_reason(error)}")
            except OSError as error:
                raise AccentError(
                    f"The download of {name} could not be written to the cache {cache} ({error.strerror}): "
                    f"make room there, {_ways_out(name)}."
                ) from error
    raise AccentError(
        f"The file {name} was not found and cannot be downloaded: no `data_home` was given, {VARIABLE} is "
        f"not set, {cache / name} {_fault(cache / name, FILES[name])}, and the web failed "
        f"({'; '.join(dict.fromkeys(failures))}); {_ways_out(name)}."
    )


def _published_md5(url):
    """The hash in a file such as ``ml-32m.zip.md5``, wherever in it."""
    _probe(url)
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    found = re.search(r"\b[0-9a-f]{32}\b", answer.text)
    if not found:
        raise ValueError(url)
    return f"md5:{found[0]}"


def _probe(url):
    """Ask a server for a sign of life, in a thread because a name look-up knows no timeout of its own."""
    outcome = []

    def ask():
        try:
            requests.head(url, timeout=TIMEOUT, allow_redirects=True)
            outcome.append(None)
        except requests.RequestException as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if not outcome:
        raise requests.Timeout(url)
    if outcome[0] is not None:
        raise outcome[0]


def _reason(error):
    """Say in a few words why a download failed."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate was refused"
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, requests.RequestException):
        return "no connection"
    return "the file there is not the pinned one"


def _extract(archive, cache):
    """Take the pinned members out of a downloaded archive, each verified before it gets its name."""
    with zipfile.ZipFile(archive) as opened:
        for name, pinned in FILES.items():
            member = pinned.member or name
            if member not in opened.namelist():
                continue
            content = opened.read(member)
            if pinned.sha256 and hashlib.sha256(content).hexdigest() != pinned.sha256:
                raise AccentError(f"{member} of {archive} is not the published one; {_ways_out(name)}.")
            _write(cache / name, content, cache)


def _write(path, content, cache):
    """Write a file, which is whole wherever it is found."""
    try:
        with atomic(path) as part:
            part.write_bytes(content)
    except AccentError as error:
        raise AccentError(
            f"The file {path.name} could not be written to the cache {cache} ({reason(error.__cause__)}): "
            f"make room there, {_ways_out(path.relative_to(cache).as_posix())}."
        ) from error
