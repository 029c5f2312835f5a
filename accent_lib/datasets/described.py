"""What is known of items: titles, years and attributes, from a table of their own or that of the ratings."""

import ast
import re

import numpy as np
import pandas as pd

from accent_lib.datasets.columns import ITEMS, about_items, find, plain
from accent_lib.datasets.ratings import ATTRIBUTE_COLUMNS, object_array
from accent_lib.datasets.tables import is_missing, read_table
from accent_lib.errors import AccentError

#: How MovieLens says that a film has none.
NO_GENRES = "(no genres listed)"


def read_items(source, column, attributes=None):
    """Read a table of items.

    Parameters
    ----------
    source : path or DataFrame
    column : str or int
        What the ratings call an item; looked for first.
    attributes : list of str, optional
        Columns that are attributes, beside those that are known as such.

    Returns
    -------
    table : Table
    keys : ndarray of str, shape (n_rows,)
        Id of the item of each row.
    about : dict
        Column by what it tells: ``title``, ``year``, or the name of an attribute.
    """
    key, about = [], {}

    def choose(where, names):
        if not any(isinstance(name, str) for name in names):
            # MovieLens 1M and 10M have such a file: id, title, genres.
            if len(names) != 3:
                raise AccentError(f"{where} has no names in its first line; add them, such as item, title.")
            key.append(names[0])
            about.update(title=names[1], genres=names[2])
            return names
        same = [name for name in names if plain(name) == plain(column)]
        found = same[0] if len(same) == 1 else find(where, names, "item", ITEMS["item"])
        if found is None:
            raise AccentError(
                f"{where} has no column that is known as the item; give it the ratings' name, {column!r}."
            )
        key.append(found)
        about.update(about_items(where, names, attributes, key))
        return [found, *dict.fromkeys(about.values())]

    table = read_table(source, choose)
    ids = table.columns[key[0]]
    missing = np.array([is_missing(value) for value in ids])
    if missing.any():
        raise table.error(int(missing.argmax()), "the item is missing; add it or remove the row.")
    keys = object_array(map(str, ids))
    twice = pd.Series(keys).duplicated().to_numpy()
    if twice.any():
        row = int(twice.argmax())
        raise table.error(row, f"item {keys[row]} stands further up already; keep one of the two rows.")
    return table, keys, about


def same_in_all_rows(table, item, about):
    """Those columns of a table of ratings that tell about items: they say the same in all rows of one.

    The title of a review, which is one of a rating, does not.
    """
    return {
        role: column
        for role, column in about.items()
        if pd.Series(list(map(str, table.columns[column]))).groupby(np.asarray(item)).nunique().max() == 1
    }


def describe(ids, table, keys, about, separator=None):
    """Titles, years and attributes of items.

    Parameters
    ----------
    ids : ndarray, shape (n_items,)
        Of the items that are rated, ascending.
    table, keys, about
        As :func:`read_items` returns them; of several rows of an item the first counts.
    separator : str, optional
        Between several values of an attribute.

    Returns
    -------
    items : DataFrame
        ``title``, ``year``, ``genres`` and any other attribute, as tuples of names.
    attributes : DataFrame
        ``genres``, ``directors``, ``actors`` and any other, as tuples of numbers.
    unknown : int
        How many of the items have no row.
    split : dict of str
        What separates several values, of each attribute that has a row with several.
    """
    first = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    rows = [first.get(str(item)) for item in ids]
    known = sum(row is not None for row in rows)
    if not known:
        raise AccentError(
            f"None of the items that are rated is in {table.where}: ratings have {ids[0]!s}, it has "
            f"{keys[0]}; check that both mean the same ids, and call the column that has them as the ratings "
            "do."
        )

    def values(role):
        column = np.asarray(table.columns[about[role]], object) if role in about else None
        return [None if row is None or column is None else column[row] for row in rows]

    titles = [_title(value, item) for value, item in zip(values("title"), ids, strict=True)]
    years = values("year") if "year" in about else [_bracketed(title) for title in titles]
    items = {"title": titles, "year": pd.array([_year(year) for year in years], dtype="Int64")}
    attributes, split = {}, {}
    kinds = [role for role in about if role not in ("title", "year")]
    for kind in dict.fromkeys([*ATTRIBUTE_COLUMNS, *kinds]):
        texts = values(kind)
        wide = about.get(kind, "")
        by = " " if isinstance(wide, str) and wide.endswith(":token_seq") else separator or _separator(texts)
        names = [_names(table, row, kind, text, by) for row, text in zip(rows, texts, strict=True)]
        if any(isinstance(text, str) and by in text and not text.startswith("[") for text in texts):
            split[kind] = by
        if kind in kinds or kind == "genres":
            items[kind] = object_array(names)
        attributes[kind] = object_array(_numbered(names))
    index = pd.Index(ids, name="item")
    return pd.DataFrame(items, index), pd.DataFrame(attributes, index), len(ids) - known, split


def _title(value, item):
    """A title on one line, without signs that a terminal would obey; the id where there is none."""
    title = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", "" if is_missing(value) else str(value)).split())
    return title or str(item)


def _bracketed(title):
    """The year in brackets in a title, such as 1995 in ``Some Film (1995)``."""
    years = re.findall(r"\((\d{4})\)", title)
    return years[-1] if years else None


def _year(value):
    """The first number of four digits; dates have one, too."""
    found = None if is_missing(value) else re.search(r"(?<!\d)\d{4}(?!\d)", str(value))
    return int(found[0]) if found else pd.NA


def _separator(texts):
    present = [text for text in texts if isinstance(text, str)]
    return next((sign for sign in "|;," if any(sign in text for text in present)), "|")


def _names(table, row, kind, value, separator):
    """The values of an attribute of one item, each once."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise table.error(row, f"the {kind} are no list that can be read; write them as a|b.") from None
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        if any(isinstance(name, list | dict | tuple | set) for name in value):
            raise table.error(row, f"the {kind} are no list of names; write them as a|b.")
        names = [str(name) for name in value]
    elif is_missing(value) or value == NO_GENRES:
        names = []
    else:
        names = str(value).split(separator)
    return tuple(dict.fromkeys(" ".join(name.split()) for name in names if name.strip()))


def _numbered(names):
    """Numbers for names: the numbers themselves if all are such, else from 1 in alphabetical order."""
    every = sorted({name for own in names for name in own})
    if all(name.isascii() and name.isdigit() and len(name) < 19 for name in every):
        number = {name: int(name) for name in every}
    else:
        number = {name: place for place, name in enumerate(every, 1)}
    return [tuple(number[name] for name in own) for own in names]
