"""Any table of a file or a DataFrame, as columns of values that know in which line they stand.

Text in which every line is a row of as many fields is read by pandas.  Any other is read row by row, which
takes many times longer: pandas tells no line, and fills up or cuts off a row that has too few or too many
fields without a word.
"""

import csv
import importlib.util
import io
import numbers
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from accent_lib.datasets.columns import KNOWN, plain
from accent_lib.datasets.ratings import object_array
from accent_lib.errors import AccentError, shown
from accent_lib.files import shown_path

#: What may separate fields, the surest first, and what it is called. `None` is any white space.
SEPARATORS = {"::": "'::'", "\t": "tabs", ";": "semicolons", ",": "commas", "|": "'|'", None: "white space"}
#: What stands for a value that is missing.
MISSING = {"", "nan", "null", "<na>", "nat", "\\n"}
#: How the first line of a text begins that is no table, what it is, and what to do.
NO_TABLES = (
    (r'\s*\[?\s*\{\s*("|$)|\s*\[\s*$', "JSON", "pass what pandas.read_json() makes of it"),
    (r"\s*<(!doctype|html|\?xml)", "a page of the web", "fetch the table itself, and name its file"),
)
#: Lines that a separator is judged by.
HEAD = 20
#: Characters that a first line may have: less than a field that Python's `csv` refuses.
LONGEST_FIRST = 2**16
#: Characters that are read at a time, and rows where the text has to be read row by row.
CHARACTERS, BLOCK = 2**22, 2**16
#: The most bytes that a Parquet file may unpack to, and how many times its own if it is large.
UNPACKED, PACKED = 2**28, 100
#: Stands for what separates fields where that is no single character.
MARK = "\x01"


@dataclass(frozen=True)
class Table:
    """Columns of a table.

    Attributes
    ----------
    where : str
        What an error calls the table.
    names : list of str or int
        Of all its columns; their positions where it has no header.
    columns : dict of ndarray of object or Categorical, shape (n_rows,)
        Those that were asked for: texts without white space around them, or what the DataFrame holds.
    lines : ndarray of int, shape (n_rows,)
        Line of each row, from 1; for a DataFrame its position, from 0.
    is_text : bool
        Whether it was a text.
    said : str
        How the table was read.
    """

    where: str
    names: list
    columns: dict
    lines: np.ndarray
    is_text: bool
    said: str

    @property
    def n_rows(self) -> int:
        """Number of rows, the header left out."""
        return len(next(iter(self.columns.values())))

    @property
    def typed(self) -> bool:
        """Whether the header names types, as RecBole's files do."""
        return all(isinstance(name, str) and ":" in name for name in self.names)

    def error(self, row, sentence) -> AccentError:
        """The error about one row."""
        return AccentError(f"{self.where}, {'line' if self.is_text else 'row'} {self.lines[row]}: {sentence}")

    def take(self, rows) -> "Table":
        """The table of some of its rows, a bool for each."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, columns=columns, lines=self.lines[rows])


def is_missing(value) -> bool:
    """Whether a value of a table stands for none."""
    if isinstance(value, str):
        return len(value) < 5 and value.strip().casefold() in MISSING
    missing = pd.isna(value)
    return isinstance(missing, bool) and missing


def read_table(source, choose: Callable, sep=None, given=()) -> Table:
    """Read a table.

    Parameters
    ----------
    source : path or DataFrame
        Delimited text, Parquet (``.parquet`` or ``.pq``), or a DataFrame.
    choose : callable
        Takes what an error calls the table and the names of all columns, gives those to be read.
    sep : str, optional
        What separates the fields of a text; found where it is not given.
    given : tuple
        Columns that the caller named, by name or position.

    Raises
    ------
    AccentError
        If the table cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        return _of_frame(source, "The DataFrame", choose, "a DataFrame")
    try:
        path = Path(source)
    except TypeError:
        kind = type(source).__name__
        if kind == "DataFrame":
            kind = f"one of {type(source).__module__.partition('.')[0]}; make one of pandas of it"
        raise AccentError(
            f"Ratings and items are read from a path or a DataFrame, not from {kind}."
        ) from None
    if "://" in str(source) or re.match(r"(https?|s3|gs|ftp):/", str(source)):  # Path makes one slash of two
        raise AccentError(f"{str(source):.100} is an address on the web; fetch the file, and name it.")
    if "\0" in str(path):
        raise AccentError(f"{shown_path(path)} is no name of a file; correct it.")
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise AccentError(f"{path} is a pipe or a device; save what comes of it in a file, and name that.")
    if os.path.isdir(path):
        inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise AccentError(f"{path} is a folder with {inside}; name the file in it.")
    if path.suffix.lower() in (".parquet", ".pq"):
        try:
            return _of_frame(_parquet(path), str(path), choose, "Parquet")
        except UnicodeDecodeError as error:  # a text of the file is looked at when it is first used
            raise AccentError(
                f"{path} cannot be read as Parquet (a text in it is not UTF-8); write it anew."
            ) from error
    encoding = _encoding(path)
    with open(path, encoding=encoding) as lines:
        head = list(islice((line for line in lines if line.strip()), HEAD))
    if not head:
        raise AccentError(f"{path} is empty; name another file.")
    for pattern, kind, way in NO_TABLES:
        if re.match(pattern, head[0], re.IGNORECASE):
            raise AccentError(f"{path} is {kind} and no table; {way}.")
    if (long := len(head[0].rstrip())) > LONGEST_FIRST:
        raise AccentError(
            f"{path}: the first line has {long:,} characters, which is neither names nor a rating; "
            "correct it, or name another file."
        )
    if sep is not None and (not isinstance(sep, str) or not sep):
        raise AccentError(f"`sep` is {sep!r}, but must be what separates the fields, such as ',' or '::'.")
    sep = _separator(path, head, given) if sep is None else None if sep == " " else sep
    first = next(records_of(path, head, sep))[1]
    has_names = _is_header(path, first, given, [fields for _, fields in _readable(path, head, sep)][1:])
    names = [name.strip() if has_names and name.strip() else place for place, name in enumerate(first)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise AccentError(f"{path}: two columns are called {twice!r}; rename one of them.")
    wanted = choose(str(path), names)
    columns = _regular_columns(path, encoding, sep, has_names, names, wanted)
    if columns and len(columns[wanted[0]]):
        numbers = np.arange(len(columns[wanted[0]])) + 1 + has_names
    else:
        with open(path, encoding=encoding) as lines:
            records = records_of(path, lines, sep)
            if has_names:
                next(records)
            columns, numbers = _columns(path, records, names, wanted)
    header = "the first line has the names" if has_names else "no header"
    code = "Latin-1" if encoding == "latin-1" else "UTF-8"
    said = f"{SEPARATORS.get(sep, repr(sep))}, {code}, {header}"
    return Table(str(path), names, columns, numbers, True, said)


def _of_frame(frame, where, choose, said):
    names = list(frame.columns)
    if len(set(names)) < len(names):
        raise AccentError(f"{where} has two columns of one name; rename one of them.")
    if not len(frame):
        raise AccentError(f"{where} has no rows; name another one.")
    odd = next((name for name in names if not isinstance(name, str | numbers.Integral)), "")
    if odd != "":
        raise AccentError(f"{where} has a column called {odd!r}; names are texts: rename it.")
    try:
        wanted = choose(where, names)
    except AccentError:
        index = [str(name) for name in frame.index.names if name is not None]
        if not index:
            raise
        raise AccentError(
            f"{where} has {', '.join(index)} in its index; make columns of them by reset_index()."
        ) from None
    columns = {name: object_array(frame[name].array) for name in wanted}
    return Table(where, names, columns, np.arange(len(frame)), False, said)


def _parquet(path):
    if importlib.util.find_spec("pyarrow") is None:
        raise AccentError(
            f"{path}: a Parquet file needs the package pyarrow; install it, or save the table as CSV."
        )
    try:
        size = os.path.getsize(path)
        limit = max(UNPACKED, PACKED * size)
        if (most := _parquet_bytes(path, limit)) > limit:
            raise AccentError(
                f"{path} has {size:,} bytes and would unpack to {most:,}, which no ratings do; write it anew."
            )
        return pd.read_parquet(path)
    except AccentError:
        raise
    except Exception as error:  # pyarrow has many of its own
        told = " ".join(str(error).split())
        raise AccentError(f"{path} cannot be read as Parquet ({told:.300}); write it anew.") from error


def _parquet_bytes(path, limit):
    """The bytes that a Parquet file unpacks to, before it is: a few can stand for any number of values.

    A number takes eight. A text may stand once in the file and be that of all rows: how often is read from
    the texts and their numbers alone, if the rest keeps to a limit.
    """
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
        chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
        kinds = [file.schema.column(place) for place in range(len(file.schema))]
        wide = {kind.path: max(kind.length or 0, 8) for kind in kinds}  # of a fixed length
        total = sum(
            max(chunk.num_values * wide[chunk.path_in_schema], chunk.total_uncompressed_size)
            for chunk in chunks
        )
    texts = [kind.path for kind in kinds if kind.physical_type == "BYTE_ARRAY"]
    if total > limit or not texts:
        return total
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        for place in range(len(groups)):
            for column in file.read_row_group(place, texts).itercolumns():
                total += sum(map(_text_bytes, column.chunks))
    return total


def _text_bytes(array):
    """The bytes of texts that are known by their numbers, also of those in lists and structures."""
    from pyarrow import compute, types

    if types.is_struct(array.type):
        return sum(map(_text_bytes, array.flatten()))
    if types.is_nested(array.type):
        return _text_bytes(array.flatten())
    if not types.is_dictionary(array.type):
        return array.nbytes
    lengths = np.asarray(compute.binary_length(array.dictionary).fill_null(0), np.int64)
    return int(lengths[np.asarray(array.indices.drop_null())].sum())


def _encoding(path):
    """UTF-8 if all of the file is, else Latin-1; refuse what is no text."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise AccentError(f"{path} is written in UTF-16; save it as UTF-8.")
        if start[:2] in (b"PK", b"\x1f\x8b"):
            raise AccentError(f"{path} is an archive or a spreadsheet; unpack it, or save the table as CSV.")
        for encoding in ("utf-8-sig", "latin-1"):
            try:
                with open(path, encoding=encoding) as file:
                    while block := file.read(2**20):
                        if "\0" in block:
                            raise AccentError(f"{path} is no text but a binary file; save the table as CSV.")
                return encoding
            except UnicodeDecodeError:
                pass
    except OSError as error:
        raise AccentError(
            f"{path} cannot be read ({error.strerror}); put the file there or correct the path."
        ) from error


def _separator(path, head, given):
    """What separates the fields: what makes sense of the header, else what gives all lines as many fields."""
    fits = {}
    for sep in SEPARATORS:
        rows = [fields for _, fields in _readable(path, head, sep)]
        if not rows:
            continue  # quotation marks that mean nothing by this separator
        named = sum(name.strip() in given or plain(name) in KNOWN for name in rows[0])
        fits[sep] = named, len({len(fields) for fields in rows}) == 1 and len(rows[0])
    best = max(fits, key=lambda sep: fits[sep][0])  # of equals the first, which is the surest
    if fits[best][0] > 1:
        return best
    apart = [sep for sep, (_, fields) in fits.items() if fields > 2 and sep is not None] or [
        sep for sep, (_, fields) in fits.items() if fields > 1
    ]
    if len(apart) == 1:
        return apart[0]
    found = " or ".join(SEPARATORS[sep] for sep in apart)
    problem = f"may be separated by {found}" if found else "have no separator that gives all as many fields"
    odd = "" if found else _odd_line(head)
    way = "correct or remove that one, or name the separator" if odd else "name it"
    raise AccentError(f"{path}: the first {len(head)} lines {problem}{odd}; {way}, such as sep=','.")


def _odd_line(head):
    """That one of the lines is no row as most others are, for an error; empty if none stands out."""
    sizes = {sep: [len(fields) for _, fields in _readable("", head, sep)] for sep in SEPARATORS if sep}
    usual = {sep: Counter(each).most_common(1)[0] for sep, each in sizes.items() if len(each) == len(head)}
    usual = {sep: most for sep, most in usual.items() if most[0] > 1 and 2 * most[1] > len(head)}
    if not usual:
        return ""
    sep = max(usual, key=lambda sep: usual[sep][1])
    odd = next(line for line, size in zip(head, sizes[sep], strict=True) if size != usual[sep][0])
    return f" (most have {usual[sep][0]} between {SEPARATORS[sep]}, but not {shown(odd.strip()[:40])})"


def records_of(path, lines, sep):
    """Each row that is not blank: the line that it begins in, and its fields.

    Only commas and semicolons may stand between quotation marks over several lines. Elsewhere the marks are
    taken off a field that has them at both ends; titles may begin with one.
    """
    if sep not in (",", ";"):
        for number, line in enumerate(lines, 1):
            if line.strip():
                fields = [field.strip() for field in line.rstrip("\n").split(sep)]
                yield number, [_unquoted(field) for field in fields] if '"' in line else fields
        return
    reader = csv.reader(lines, delimiter=sep, skipinitialspace=True, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                limit = csv.field_size_limit()  # of the whole process, and not ours to change
                raise AccentError(
                    f"{path}, line {number}: a field has more than {limit:,} characters; shorten it, close "
                    "its quotation mark, or allow more by csv.field_size_limit()."
                ) from None
            raise AccentError(
                f"{path}, line {number}: a quotation mark is not closed as it should be ({error}); close it, "
                "or write it twice where it belongs to the text."
            ) from None
        if fields and (fields[0] or any(map(str.strip, fields))):
            yield number, fields


def _unquoted(field):
    return field[1:-1].replace('""', '"') if len(field) > 1 and field[0] == field[-1] == '"' else field


def _readable(path, head, sep):
    """The first rows, up to one that cannot be read: a text in quotation marks that the head cuts off."""
    try:
        yield from records_of(path, head, sep)
    except AccentError:
        return


def _is_header(path, first, given, others):
    """Whether the first row has the names: names that are known, or at least nothing that is a number.

    What stands in a column again further down is no name of it.
    """
    if any(name.strip() in given for name in first):
        return True
    missing = next((name for name in given if isinstance(name, str)), None)
    if missing is not None:
        raise AccentError(f"{path} has no column {missing!r}: its first line is {', '.join(first)}.")
    # One name that is known may be an id: somebody rates a book called Game.
    known = sum(plain(name) in KNOWN for name in first)
    if known > 1:
        return True
    if any(
        name.strip() and name in fields[place : place + 1]
        for fields in others
        for place, name in enumerate(first)
    ):
        return False
    return not any(re.fullmatch(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?", name.strip()) for name in first)


def _regular_columns(path, encoding, sep, has_names, names, wanted):
    """The wanted columns as :func:`_columns` reads them, by pandas; none unless each line is such a row."""
    by = sep if sep is None or (len(sep) == 1 and sep.isascii()) else MARK
    regular = _regular_lines(by, sep in (",", ";"), len(names))
    places = [names.index(name) for name in wanted]
    options = {
        "sep": r"\s+" if by is None else by,
        "header": None,
        "names": list(range(len(names))),
        "usecols": sorted(places),
        "index_col": False,
        "dtype": object,
        "na_filter": False,
        "quoting": csv.QUOTE_NONE,
        "low_memory": False,
    }
    parts, skip, before = [[] for _ in places], int(has_names), ""
    with open(path, encoding=encoding) as file:
        while block := file.read(CHARACTERS) + file.readline():
            if not block.endswith("\n"):
                block += "\n"
            if by == MARK:
                block = "" if MARK in block else block.replace(sep, MARK)
            # Blank lines may end the text, but no row may follow them.
            if before.endswith("\n\n") or not regular.fullmatch(block):
                return {}
            rows = pd.read_csv(io.BytesIO(block.encode()), skiprows=skip, **options)
            before, skip = block[-2:], 0
            for place, of_column in zip(places, parts, strict=True):
                numbers, texts = pd.factorize(rows[place].to_numpy(object))
                if re.search(r'[\s"]', "".join(texts)):
                    texts = object_array(_unquoted(text.strip()).strip() for text in texts)
                of_column.append((numbers.astype(np.int32), texts))
    columns = (_joined(*zip(*of_column, strict=True)) for of_column in parts)
    return dict(zip(wanted, columns, strict=True))


def _joined(numbers, texts):
    """One column of the numbers of texts, and those texts, in each part of it."""
    of_all, distinct = pd.factorize(np.concatenate(texts))
    of_parts = np.split(of_all.astype(np.int32), np.cumsum([len(part) for part in texts])[:-1])
    codes = np.concatenate([known[part] for known, part in zip(of_parts, numbers, strict=True)])
    return pd.Categorical.from_codes(codes, pd.Index(distinct, dtype=object), validate=False)


def _regular_lines(by, quotes, n_fields):
    """A pattern of lines that are rows of several fields, none with a quotation mark that could mean more."""
    if by is None:
        blank, field, between, ends = r"[^\S\n]", r"\S++", r"[ \t]++", r"[ \t]*+"
    else:
        sign = re.escape(by)
        blank, field, between, ends = rf"(?:{sign}|[^\S\n])", rf"[^{sign}\n]*+", sign, ""
        if quotes:
            field = rf'(?: *+"[^{sign}"\n]*+"|[^{sign}"\n]*+)'
    row = rf"(?!{blank}*+\n){ends}{field}(?:{between}{field}){{{n_fields - 1}}}{ends}\n"
    # One field has no separator to tell it from a blank line; a second byte order mark would get lost.
    return re.compile(rf"(?!\ufeff)(?:{row})++\n*" if n_fields > 1 else r"(?!)")


def _columns(path, records, names, wanted):
    """The wanted columns, shape (n_rows,) each, and the line of each row."""
    places = [names.index(name) for name in wanted]
    values, numbers, same = [[] for _ in places], [], {}
    while block := list(islice(records, BLOCK)):
        lines, rows = zip(*block, strict=True)
        for place, fields in enumerate(rows):
            if len(fields) != len(names):
                is_last = place + 1 == len(rows) and next(records, None) is None
                way = (
                    " and is the last one, so the file is probably truncated; fetch it again or correct it."
                    if is_last
                    else "; correct it, or put a field that holds the separator between quotation marks."
                )
                found = f"it has {len(fields)} field(s) instead of {len(names)}"
                raise AccentError(f"{path}, line {lines[place]}: {found}{way}")
        numbers += lines
        for place, column in zip(places, values, strict=True):
            # An id comes again and again, and is kept once.
            column += [same.setdefault(field := row[place].strip(), field) for row in rows]
    if not numbers:
        raise AccentError(f"{path} has a header but no rows.")
    columns = {name: object_array(column) for name, column in zip(wanted, values, strict=True)}
    return columns, np.array(numbers)
