"""Where a command may write: over nothing that it did not make itself."""

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accent_lib.errors import AccentError
from accent_lib.files import reason

#: A file in a folder that a command made, by which it is known again.
MARKER = ".made-by-accent"


def ours(path, start: bytes) -> Path:
    """A file that a command may make, or replace because it begins as what the command writes.

    Raises
    ------
    AccentError
        If something else is there.

    Examples
    --------
    >>> import tempfile
    >>> thesis = Path(tempfile.mkdtemp()) / "thesis.pdf"
    >>> _ = thesis.write_text("My thesis")
    >>> ours(thesis, b"%PDF")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: ...thesis.pdf is there, and not of this command's making: name another...
    """
    path = Path(path)
    try:
        # To read a pipe is to wait for somebody who writes.
        begins = path.open("rb").read(len(start)) if stat.S_ISREG(path.stat().st_mode) else b""
    except FileNotFoundError:
        return path
    except OSError as error:
        raise AccentError(f"{path} cannot be written ({reason(error)}): name another file.") from error
    if begins.lower() != start.lower():
        raise AccentError(f"{path} is there, and not of this command's making: name another file.")
    return path


@contextmanager
def renewed(folder) -> Iterator[Path]:
    """Make or renew a folder of a command's own; where that fails, the old one stays as it is.

    Parameters
    ----------
    folder : path
        Not there, empty, or made by a command before, which a file in it says.

    Yields
    ------
    Path
        Where to write. What is written takes the place of what has the same name; all else stays.

    Raises
    ------
    AccentError
        If the folder holds anything of another making, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with renewed(folder) as made:
    ...     _ = (made / "index.html").write_text("slides")
    >>> sorted(path.name for path in folder.iterdir())
    ['.made-by-accent', 'index.html']
    """
    folder = Path(folder)
    staging = folder / f".accent-{uuid.uuid4().hex}.new"
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
            raise AccentError(
                f"{folder} holds files that no such command made: name a folder that is empty or not there."
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).touch()  # first of all: whoever is killed after it finds the folder to be his own
        staging.mkdir()
        try:
            yield staging
            for made in sorted(staging.iterdir()):
                old = folder / made.name
                if old.is_dir() and not old.is_symlink():
                    shutil.rmtree(old)
                os.replace(made, old)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise AccentError(
            f"{folder} cannot be written ({reason(error)}); make room, or choose a place that can be written."
        ) from error
