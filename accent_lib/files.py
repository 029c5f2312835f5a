"""Files that are either whole or not there: every writer of the package goes through :func:`atomic`."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accent_lib.errors import AccentError


@contextmanager
def atomic(path) -> Iterator[Path]:
    """Write a file so that no reader, and no restart after a kill, ever sees half of it.

    Parameters
    ----------
    path : str or Path
        The file to make or replace; its folder is made if need be.

    Yields
    ------
    Path
        A temporary file in the same folder, to be written and closed inside the ``with`` block. No pattern
        that files are looked for by fits its name. It becomes `path` when the block ends without an error,
        once the disk has all of it, and is deleted when it ends with one.

    Raises
    ------
    AccentError
        If the file cannot be written; what was there before is still there then.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic(folder / "answer.txt") as file:
    ...     _ = file.write_text("42")
    >>> [file.name for file in folder.iterdir()]
    ['answer.txt']
    """
    path = Path(path)
    # Not tempfile.mkstemp: its files are readable by their owner only, and stay so after the rename.
    temporary = path.with_name(f".accent-{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise AccentError(
            f"{path} cannot be written ({reason(error)}); make room, or choose a place that can be written."
        ) from error


def flush(path) -> None:
    """Have a file, or the names in a folder, on the disk: a rename must not get there before its content.

    Examples
    --------
    >>> import tempfile
    >>> flush(tempfile.mkdtemp())
    """
    if os.name == "nt" and os.path.isdir(path):
        return  # Windows opens no folders
    opened = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
    try:
        os.fsync(opened)
    except OSError as error:
        # Some network file systems know no fsync of folders; a disk that is full or broken is another matter.
        if not os.path.isdir(path) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
    finally:
        os.close(opened)


def reason(error: OSError) -> str:
    """What the system says about a file, in few words.

    Examples
    --------
    >>> reason(FileNotFoundError(2, "No such file or directory"))
    'No such file or directory'
    """
    return error.strerror or " ".join(str(error).split()) or type(error).__name__


def shown_path(path) -> str:
    """A path in a message; what cannot be printed is escaped, and the middle of a very long one left out.

    Examples
    --------
    >>> shown_path("runs/sample")
    'runs/sample'
    """
    text = str(path)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 300 else f"{text[:150]}…{text[-150:]}"
