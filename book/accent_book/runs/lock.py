"""One writer at a time: a run folder, the book, and a folder of tables."""

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from accent_lib.errors import AccentError
from accent_lib.files import reason

NAME = ".writer"
#: What to do about a run folder that cannot be written.
ELSEWHERE = "set ACCENT_RUNS to a folder that can"


@contextmanager
def alone(folder, work: str, patience: float = 0.0, elsewhere: str = "make it so") -> Iterator[None]:
    """Be the only writer of a folder for as long as the ``with`` block lasts.

    The system holds the lock and lets go of it when the process ends, however it ends: a file that a killed
    one left says nothing.  Nobody who only reads asks for it.

    Parameters
    ----------
    folder : path
        Made if need be.
    work : str
        What is done there, for those who come second: "runs the profile sample".
    patience : float
        Seconds to wait for another to finish.
    elsewhere : str
        What to do about a folder that cannot be written, as the end of a sentence.

    Raises
    ------
    AccentError
        If another process is at work: says which, since when, and what it does.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with alone(folder, "runs the profile sample"), alone(folder, "runs the profile paper"):
    ...     pass
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: Process ... runs the profile sample in ..., since ...: wait for it, ...
    """
    path = Path(folder) / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise AccentError(f"{path.parent} cannot be written ({reason(error)}); {elsewhere}.") from error
    try:
        until = time.monotonic() + patience
        while not _locked(file):
            if time.monotonic() >= until:
                raise AccentError(_who(file, path.parent))
            time.sleep(0.05)
        began = datetime.now(UTC).isoformat(timespec="seconds")
        about = {"process": os.getpid(), "machine": platform.node(), "began": began, "work": work}
        os.ftruncate(file, 0)
        os.write(file, json.dumps(about).encode())
        yield
    finally:
        os.close(file)  # which also lets go of the lock


def _locked(file):
    """Take the lock, unless another has it."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(file, 2**30, os.SEEK_SET)  # beyond what the others read
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Where a file system has no locks, everybody is alone.
        return error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
    return True


def _who(file, folder):
    try:
        os.lseek(file, 0, os.SEEK_SET)
        about = json.loads(os.read(file, 10_000))
        holder = f"Process {about['process']} on {about['machine']} {about['work']} in {folder}"
        return f"{holder}, since {about['began']}: wait for it, or end it."
    except (OSError, ValueError, TypeError, KeyError):
        return f"Another process is at work in {folder}: wait for it, or end it."
