"""Sets, scores and rankings in a file: a tuple of numbers in a table is text such as ``3 17`` in its CSV."""

import numpy as np
import pandas as pd

from accent_lib.errors import AccentError
from accent_lib.retraining.ranking import RANKED

#: The columns of such cells. Nine significant digits are enough for every 32-bit number to come back.
CELLS = {"removed": "{:d}", "predicted": "{:.9g}", "scores": "{:.9g}", "catalogue": "{0[0]}:{0[1]:.9g}"}


def to_text(table: pd.DataFrame) -> pd.DataFrame:
    """A copy of a table with its sets and scores as text, ready to be written.

    Examples
    --------
    >>> to_text(pd.DataFrame({"user": [7, 8], "removed": [(17, 3), ()]})).values.tolist()
    [[7, '17 3'], [8, '']]
    """
    cells = {
        name: [" ".join(map(form.format, cell)) for cell in table[name]]
        for name, form in CELLS.items()
        if name in table
    }
    return table.assign(**cells)


def from_text(table: pd.DataFrame) -> pd.DataFrame:
    """A copy of a table with its sets and scores as tuples: what :func:`to_text` wrote.

    Parameters
    ----------
    table : DataFrame
        As pandas reads it: an empty cell may be missing, and one of a single number that number.

    Raises
    ------
    AccentError
        If a cell holds anything but numbers, a set anything but whole ones from 0 on, or a ranking anything
        but pairs such as ``7:3.25``.

    Examples
    --------
    >>> from_text(pd.DataFrame({"user": [7, 8], "scores": ["3 2.75", float("nan")]})).values.tolist()
    [[7, (3.0, 2.75)], [8, ()]]
    """
    cells = {name: [_read(name, cell) for cell in table[name]] for name in CELLS if name in table}
    # A column of arrays must not become a table of its own.
    return table.assign(**{name: pd.Series(column, table.index, object) for name, column in cells.items()})


def _read(name, cell):
    try:
        words = cell.split() if isinstance(cell, str) else [] if pd.isna(cell) else [f"{cell:.17g}"]
        if name == "catalogue":
            pairs = [word.split(":") for word in words]
            return np.array([(int(item), float(score)) for item, score in pairs], RANKED)
        if name != "removed":
            return tuple(map(float, words))
        if all(word.isdecimal() for word in words):
            return tuple(map(int, words))
    except (ValueError, TypeError):
        pass
    example = "7:3.25 4:3" if name == "catalogue" else "3 17 42"
    raise AccentError(f"A cell of the column {name} is text such as {example!r}, but a table has {cell!r}.")
