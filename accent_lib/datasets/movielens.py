"""Parsers of MovieLens 100K (``u.data``, ``u.item``, ``u.genre``) and of the attribute table beside it.

The other sets of MovieLens are tables that the library reads as any other.  A file that is missing or ends
too early, an id that occurs twice or a field that is not what it should be is an AccentError, which names the
file and the line, counted from 1 as an editor does.
"""

import re

import numpy as np
import pandas as pd

from accent_lib.datasets import reader
from accent_lib.datasets.fetch import TABLES, fetch
from accent_lib.datasets.ratings import (
    ATTRIBUTE_COLUMNS,
    RATING_COLUMNS,
    Ratings,
    first_problem,
    object_array,
)
from accent_lib.errors import AccentError, shown
from accent_lib.gate import read_bytes


def load_movielens(data_home=None) -> Ratings:
    """Read MovieLens 100K and its attribute table; see :func:`accent_lib.datasets.load`."""
    items = read_items(fetch("ml-100k/u.item", data_home), fetch("ml-100k/u.genre", data_home))
    ratings = read_ratings(fetch("ml-100k/u.data", data_home), items)
    attributes = read_attributes(fetch("rcf/auxiliary-mapping.txt", data_home))
    return Ratings("ml-100k", ratings, items, attributes)


def load_table(name, data_home=None) -> Ratings:
    """Read a set of MovieLens that is one of ``TABLES``; as :func:`load_movielens`."""
    ratings, items = (fetch(f"{name}/{file}", data_home) for file in TABLES[name])
    return reader.read_ratings(ratings, items, name=name)


def read_ratings(path, items=None) -> pd.DataFrame:
    """Read ratings in the format of ``u.data``: user, item, rating and timestamp, separated by tabs.

    Returned are integer columns in the order of the file, ``timestamp`` in seconds since 1970.  With
    ``items``, as from :func:`read_items`, a rating of any other item is an error, as is one outside 1 to 5.
    """
    fields = _fields(path, "\t", len(RATING_COLUMNS))
    columns = zip(RATING_COLUMNS, zip(*fields, strict=True), strict=True)
    ratings = pd.DataFrame({name: _whole_numbers(path, name, texts) for name, texts in columns})
    problem = first_problem(ratings, items)
    if problem is not None:
        row, sentence = problem
        raise _error(path, row, sentence)
    return ratings


def read_items(path, genre_path) -> pd.DataFrame:
    """Read films in the format of ``u.item`` (ISO-8859-1), with the genre names of ``u.genre``.

    A film is its id, title, two dates, address, and a 0 or 1 for each genre; a genre is its name and number;
    all separated by ``|``.  Returned are, by item id, ``title`` (as written, with the year in brackets),
    ``year`` (nullable integer: that of the title, missing where it has none) and ``genres`` (tuple of names).
    """
    genre_fields = _fields(genre_path, "|", 2)
    numbers = _whole_numbers(genre_path, "genre number", [number for _, number in genre_fields])
    for line, number in enumerate(numbers):
        if number != line:
            raise _error(
                genre_path, line, f"the genre number is {number} instead of {line}; restore the file's order."
            )
    names = np.array([name for name, _ in genre_fields], dtype=object)

    fields = _fields(path, "|", 5 + len(names))
    ids = _item_ids(path, fields)
    flags = np.array([line[5:] for line in fields])
    wrong = ((flags != "0") & (flags != "1")).any(axis=1)
    if wrong.any():
        raise _error(path, int(wrong.argmax()), "a genre's mark is other than 0 or 1; correct it.")
    titles = [line[1].strip() for line in fields]
    return pd.DataFrame(
        {
            "title": titles,
            "year": pd.array([_year(title) for title in titles], dtype="Int64"),
            "genres": object_array(tuple(names[row == "1"]) for row in flags),
        },
        index=pd.Index(ids, name="item"),
    )


def read_attributes(path) -> pd.DataFrame:
    """Read the attribute table: ``item|genres|directors|actors``, each a list of ids separated by commas.

    Returned are, by item id, tuples of integer ids; each kind has its own numbering.
    """
    fields = _fields(path, "|", 1 + len(ATTRIBUTE_COLUMNS))
    ids = _item_ids(path, fields)
    columns = {}
    for place, name in enumerate(ATTRIBUTE_COLUMNS, start=1):
        lists = [[text for text in line[place].split(",") if text] for line in fields]
        owners = [line for line, texts in enumerate(lists) for _ in texts]
        numbers = _whole_numbers(path, name, [text for texts in lists for text in texts], owners)
        ends = np.cumsum([len(texts) for texts in lists])[:-1]
        columns[name] = object_array(tuple(part.tolist()) for part in np.split(numbers, ends))
    return pd.DataFrame(columns, index=pd.Index(ids, name="item"))


def _fields(path, separator, n_fields):
    """Split a file into lines and fields; ``u.item`` is written in ISO-8859-1, which fits the others too."""
    text = read_bytes(path, "correct the path").decode("iso-8859-1")
    # Not splitlines(), which also splits at characters that ISO-8859-1 titles may hold.
    lines = text.replace("\r\n", "\n").split("\n")
    unfinished = lines[-1].strip() != ""
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise AccentError(f"The file {path} is empty; fetch it again.")
    fields = [line.split(separator) for line in lines]
    for number, line in enumerate(fields):
        if len(line) != n_fields:
            end = (
                " and is the last one, so the file is probably truncated" if number == len(fields) - 1 else ""
            )
            raise _error(
                path, number, f"it has {len(line)} field(s) instead of {n_fields}{end}; fetch the file again."
            )
    if unfinished:
        last = len(lines) - 1
        raise _error(path, last, "it ends without a line break, so it is probably truncated; fetch it again.")
    return fields


def _whole_numbers(path, name, texts, lines=None):
    """Turn texts into integers, shape (n,); ``lines[i]`` is the line of text ``i``, by default ``i``."""
    texts = list(texts)
    values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy()
    # Beyond 2**53 a float no longer tells whole numbers apart.
    wrong = ~((values == np.floor(values)) & (np.abs(values) < 2**53))
    if wrong.any():
        place = int(wrong.argmax())
        line = place if lines is None else lines[place]
        raise _error(
            path, line, f"the {name} is {shown(texts[place])}, which is not a whole number; correct it."
        )
    return values.astype(np.int64)


def _item_ids(path, fields):
    """Read the first field of each line as an item id that occurs once, shape (n,)."""
    ids = _whole_numbers(path, "item", [line[0] for line in fields])
    twice = pd.Series(ids).duplicated().to_numpy()
    if twice.any():
        row = int(twice.argmax())
        raise _error(path, row, f"item {ids[row]} stands further up already; keep one of the two lines.")
    return ids


def _year(title):
    """Find the year in brackets in a title, such as 1995 in ``Some Film (1995) (V)``."""
    years = re.findall(r"\((\d{4})\)", title)
    return int(years[-1]) if years else pd.NA


def _error(path, row, sentence):
    """Build the error about one line of a file; rows count from 0, lines from 1."""
    return AccentError(f"{path}, line {row + 1}: {sentence}")
