"""What the committed tables are: each folder of ``data`` has a file with the SHA-256 of all others in it.

It is in the form of ``sha256sum``, which can check it without this project.  Whoever writes a table goes
through :func:`kept`; whoever reads one, through :func:`checked`.  Tables that were copied or edited by hand
take ``python -m accent_book seal``, which believes what it finds.
"""

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accent_book.runs import notebooks
from accent_book.runs.lock import alone
from accent_book.runs.notebooks import short
from accent_lib.errors import AccentError
from accent_lib.files import atomic, flush, reason
from accent_lib.gate import read_bytes

MANIFEST = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")
ADVICE = "restore it, or if it is as it should be, run `python -m accent_book seal`"


def data_folder() -> Path:
    """Folder of all that is committed as data.

    Examples
    --------
    >>> data_folder().name
    'data'
    """
    return notebooks.project_root() / "data"


@contextmanager
def kept(path) -> Iterator[Path]:
    r"""Write a file of a folder that has, or then gets, a manifest, which says the new hash from then on.

    Parameters
    ----------
    path : Path
        The file to make or replace.

    Yields
    ------
    Path
        Where to write it, under its own name; files that are written beside it come along.

    Raises
    ------
    AccentError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with kept(folder / "bases.csv") as file:
    ...     _ = file.write_text("base\n")
    ...     _ = file.with_suffix(".json").write_text("{}")
    >>> sorted(entries(folder))
    ['bases.csv', 'bases.json']
    """
    folder = Path(path).parent
    with alone(folder, "writes tables", patience=60):
        try:
            for left in folder.glob(".accent-*.new"):  # by one that was killed, for nobody else is at work
                shutil.rmtree(left)
            staging = folder / f".accent-{uuid.uuid4().hex}.new"
            staging.mkdir()
            try:
                yield staging / Path(path).name
                files = sorted(staging.iterdir())
                new = {file.name: [_hash(file)] for file in files}
                was = entries(folder)
                for file in files:
                    if file.name not in was and os.path.lexists(folder / file.name):
                        raise AccentError(
                            f"{folder / file.name} is there, and not of this command's making: move it away, "
                            "or name another place."
                        )
                # While a file is replaced it has two hashes: whenever this is killed, the folder is whole.
                _write(folder, {**was, **{name: was.get(name, []) + new[name] for name in new}})
                for file in files:
                    flush(file)
                    os.replace(file, folder / file.name)
                flush(folder)
                _write(folder, {**was, **new})
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        except OSError as error:
            raise AccentError(
                f"{path} cannot be written ({reason(error)}); make room, or choose a place that can be "
                "written."
            ) from error


def checked(path) -> Path:
    """A file or folder below ``data``, once all that its manifests say of it has been found true.

    Raises
    ------
    AccentError
        If a file was altered, is missing, or has no hash.
    """
    path = Path(path)
    for folder in _folders(path) if path.is_dir() else [path.parent]:
        known = entries(folder)
        for name in [path.name] if path != folder and not path.is_dir() else {**known, **_files(folder)}:
            _check(folder, name, known)
    return path


def _check(folder, name, known):
    where = short(folder / name, notebooks.project_root())
    if name not in known:
        raise AccentError(f"{where} has no hash in the {MANIFEST} beside it: {ADVICE}.")
    if not (folder / name).is_file():
        raise AccentError(f"{where} is missing, though the {MANIFEST} beside it has its hash: {ADVICE}.")
    # The second look: another process may have replaced the file and its hash between the two.
    if _hash(folder / name) not in known[name] and _hash(folder / name) not in entries(folder).get(name, ()):
        raise AccentError(f"{where} is not the file whose hash is in the {MANIFEST} beside it: {ADVICE}.")


def seal(check: bool = False) -> None:
    """Write the manifests of all folders below ``data``, or only check them.

    Raises
    ------
    AccentError
        With ``check``, if a file is not what its manifest says.
    """
    data = data_folder()
    folders = _folders(data)
    if check:
        checked(data)
        print(f"{sum(len(entries(folder)) for folder in folders)} files below data are what they were.")
        return
    for folder in folders:
        hashes = {name: [_hash(file)] for name, file in _files(folder).items()}
        try:
            right = hashes == entries(folder)
        except AccentError:  # it is damaged itself
            right = False
        if not right:
            _write(folder, hashes)
            print(f"{short(folder / MANIFEST, notebooks.project_root())}: {len(hashes)} files")


def entries(folder) -> dict[str, list[str]]:
    """Hashes by the name of the file; a file that is being replaced has two."""
    path, known = Path(folder) / MANIFEST, {}
    if not path.is_file():
        return known
    for number, line in enumerate(read_bytes(path, ADVICE).decode("utf-8", "replace").splitlines(), 1):
        found = LINE.fullmatch(line)
        if not found:
            raise AccentError(f"{path}, line {number}: there is no hash and name of a file: {ADVICE}.")
        known.setdefault(found[2], []).append(found[1])
    return known


def _folders(data):
    """Folders that hold files, or that a manifest lies in."""
    folders = [data, *sorted(path for path in data.rglob("*") if path.is_dir() and not _hidden(path, data))]
    return [folder for folder in folders if _files(folder) or (folder / MANIFEST).exists()]


def _hidden(path, data):
    return any(part.startswith(".") for part in path.relative_to(data).parts)


def _files(folder):
    """Files with a hash: not what people read and edit, and nothing hidden."""
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix != ".md" and path.name != MANIFEST and path.name[0] != "."
    }


def _hash(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder, hashes):
    lines = [f"{each}  {name}\n" for name in sorted(hashes) for each in dict.fromkeys(hashes[name])]
    with atomic(folder / MANIFEST) as file:
        file.write_text("".join(lines), "utf-8", newline="\n")
