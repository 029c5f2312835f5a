"""Files that are either whole or not there: every writer of the package goes through :func:`atomic`."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        A temporary file in the same folder, with the same suffix (``numpy.savez`` would add its own), to be
        written and closed inside the ``with`` block. It becomes `path` when the block ends without an error
        and is deleted when it ends with one.

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
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkstemp: its files are readable by their owner only, and stay so after the rename.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
