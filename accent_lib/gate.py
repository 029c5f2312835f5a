"""The gate through which files of ours come back.

What the package wrote once may have been cut, altered or replaced since.  These functions say in one sentence
what is wrong with a file, where, and what to do, and return nothing that does not hold what it must.
"""

from __future__ import annotations

import io
import json
import stat
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accent_lib.errors import AccentError, shown
from accent_lib.files import reason, shown_path

if TYPE_CHECKING:
    import pandas as pd

#: The most bytes that a file of ours holds, unpacked: some kilobytes can unpack to gigabytes.
LARGEST = 2**28
#: Unpacked, a file has at most so many times the bytes that it has packed, or these.
PACKED, UNPACKED = 100, 2**22
_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    list: "a list",
    dict: "an object",
}
_CELLS = {
    "whole": "a whole number from 0 on",
    "integer": "a whole number",
    "number": "a finite number",
    "perhaps": "a finite number or empty",
}


def read_bytes(path, advice: str = "make it anew", largest: int = LARGEST) -> bytes:
    """The content of a plain file, unpacked if its name ends in ``.gz``.

    Raises
    ------
    AccentError
        If there is no such file, it is none that can be read to an end, or it unpacks to more than
        ``largest`` bytes, or to a hundred times as many as it has and more than some millions.

    Examples
    --------
    >>> read_bytes("nowhere.csv")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: nowhere.csv cannot be read (No such file or directory); make it anew.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "a pipe or a device"
            raise AccentError(f"{path} is {kind}, not a file; {advice}.")
        with open(path, "rb") as file:
            content = file.read(largest + 1)
        if path.suffix == ".gz":
            largest = min(largest, max(UNPACKED, PACKED * len(content)))
            content = _unpacked(content, largest)
    except (OSError, ValueError) as error:  # the second: a name that no file can have
        if isinstance(error, AccentError):
            raise
        told = reason(error) if isinstance(error, OSError) else f"{error}"
        raise AccentError(f"{shown_path(path)} cannot be read ({told}); {advice}.") from error
    except (zlib.error, EOFError) as error:
        raise AccentError(f"{path} is damaged, it cannot be unpacked; {advice}.") from error
    if len(content) > largest:
        raise AccentError(
            f"{path} holds more than {largest / 2**20:,.0f} MiB, so it is none of ours; {advice}."
        )
    return content


def _unpacked(packed, largest):
    parts, size = [], 0
    while packed and size <= largest:
        stream = zlib.decompressobj(wbits=31)
        parts.append(stream.decompress(packed, largest + 1 - size))
        size += len(parts[-1])
        if not stream.eof and size <= largest:
            raise EOFError
        packed = stream.unused_data
    return b"".join(parts)


def read_json(path, needs: Mapping[str, Any] | None = None, advice: str = "make it anew") -> Any:
    """JSON of ours.

    Parameters
    ----------
    path : path-like
    needs : mapping of str to type, optional
        What the object must hold. A ``float`` is a finite number, whole or not, an ``int`` no truth value.
    advice : str
        What to do about a file that will not do, as the end of a sentence.

    Raises
    ------
    AccentError
        If it cannot be read, is not JSON, or lacks something.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "about.json"
    >>> _ = path.write_text('{"fingerprint": 7}')
    >>> read_json(path, {"fingerprint": str}, "export again")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: ...about.json has 7 as 'fingerprint', which must be text; export again.
    """
    content = read_bytes(path, advice, LARGEST // 8)
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        told = " ".join(str(error).split()) if isinstance(error, json.JSONDecodeError) else "it is no text"
        raise AccentError(f"{path} is damaged ({told:.100}); {advice}.") from error
    if needs is None:
        return value
    if not isinstance(value, dict):
        raise AccentError(f"{path} holds no object with names; {advice}.")
    for name, kind in needs.items():
        if name not in value:
            raise AccentError(f"{path} lacks {name!r}; {advice}.")
        if not _is_a(value[name], kind):
            raise AccentError(
                f"{path} has {shown(value[name])} as {name!r}, which must be {_KINDS[kind]}; {advice}."
            )
    return value


def _is_a(value, kind):
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float) and abs(value) < float("inf")
    return isinstance(value, kind)


def read_csv(
    path,
    columns: Mapping[str, str],
    needed=(),
    advice: str = "make it anew",
    content: bytes | None = None,
    empty: bool = False,
) -> pd.DataFrame:
    r"""A table of ours: comma-separated text with a header, compressed if its name ends in ``.gz``.

    Parameters
    ----------
    path : path-like
    columns : mapping of str to str
        What columns hold, if they are there: ``text`` (an empty cell is an empty text), ``whole`` (from 0
        on), ``integer``, ``number`` (finite) or ``perhaps`` (a finite number, or nothing). Others are read as
        pandas reads them.
    needed : collection of str
        Columns that must be there.
    advice : str
        What to do about a file that will not do, as the end of a sentence.
    content : bytes, optional
        What was read of the file already.
    empty : bool
        Whether a table without rows will do.

    Raises
    ------
    AccentError
        If it cannot be read, or holds anything else: names the first line that is wrong.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "slates.csv"
    >>> _ = path.write_text("user,score\n3,2.5\n4,nan\n")
    >>> read_csv(path, {"user": "whole", "score": "number"}, ["user"], "export again")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: ...slates.csv, line 3: 'nan' as 'score', which must be a finite number; ...
    """
    import pandas as pd

    content = read_bytes(path, advice) if content is None else content
    options = {"index_col": False, "skip_blank_lines": False, "low_memory": False, "keep_default_na": False}
    # Reading floats exactly had to be asked for before pandas 3.1, and must not be since.
    if tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1):
        options["float_precision"] = "round_trip"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # fields beyond the header are cut off
            names = pd.read_csv(io.BytesIO(content), nrows=0).columns
            # What a cell of theirs may be is decided below; in others an empty one is missing.
            options["na_values"] = {name: [""] for name in names if name not in columns}
            table = pd.read_csv(io.BytesIO(content), dtype=dict.fromkeys(columns, str), **options)
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        told = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise AccentError(f"{path} is damaged ({told:.100}); {advice}.") from error
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise AccentError(f"{path} has no column {lacking[0]!r}; {advice}.")
    if not len(table) and not empty:
        raise AccentError(f"{path} has a header but no rows; {advice}.")
    for name, kind in columns.items():
        if name not in table:
            continue
        table[name] = table[name].fillna("")  # a row that is too short
        if kind == "text":
            continue
        numbers = table[name].map(_number).astype(float)
        wrong = ~(numbers.abs() < float("inf")) & ~((table[name] == "") & (kind == "perhaps"))
        if kind in ("whole", "integer"):
            # Beyond 2**53 a float no longer tells whole numbers apart.
            wrong |= ~((numbers % 1 == 0) & (numbers.abs() < 2**53)) | ((numbers < 0) & (kind == "whole"))
        if wrong.any():
            place = int(wrong.to_numpy().argmax())
            told = f"{shown(table[name].iloc[place])} as {name!r}, which must be {_CELLS[kind]}"
            raise AccentError(f"{path}, line {place + 2}: {told}; {advice}.")
        table[name] = numbers.astype("int64") if kind in ("whole", "integer") else numbers
    return table


def _number(cell):
    try:
        return float(cell)  # exactly, which pandas does not in every version
    except ValueError:
        return float("nan")
