"""Texts and objects of a table as numbers, ids and times; what cannot be one is named by its line."""

import numbers
import re
from collections.abc import Hashable

import numpy as np
import pandas as pd

from accent_lib.datasets.ratings import object_array
from accent_lib.errors import AccentError

#: Ways to write a date that need no `time_format`: ISO 8601 and that of Goodreads.
DATES = ("ISO8601", "%a %b %d %H:%M:%S %z %Y")
#: Times of more digits than these are no seconds, but smaller units.
UNITS = ((10**17, 10**9, "nanoseconds"), (10**14, 10**6, "microseconds"), (10**11, 10**3, "milliseconds"))
#: Ids with more digits are texts: no number of 64 bits has them.
WHOLE = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
#: One thousand, or one? Nobody can tell.
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


def shown(value) -> str:
    """A value as it is shown in an error; of a long one the beginning."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) < 60 else f"{text[:50]}…"


def distinct_values(table, column):
    """Which of the distinct values of a column each is, shape (n_rows,), and the distinct values."""
    values = table.columns[column]
    try:
        codes, distinct = pd.factorize(values, use_na_sentinel=False)
    except TypeError:
        row = next(row for row, value in enumerate(values) if not isinstance(value, Hashable))
        raise table.error(
            row,
            f"{column!r} holds {shown(values[row])}, where a number or a text should be; convert the column.",
        ) from None
    return codes, list(distinct)


def read_numbers(table, column, counts, scale):
    """Ratings or counts as numbers, shape (n_rows,)."""
    codes, distinct = distinct_values(table, column)
    kind = "count" if counts else "rating"
    values = np.empty(len(distinct))
    for place, value in enumerate(distinct):
        values[place], fault = _number(value)
        if not fault and not np.isfinite(values[place]):
            fault = "is not a finite number; correct it"
        if not fault and counts and (values[place] < 0 or values[place] % 1):
            fault = "is not a whole number of at least 0; correct it, or say counts=False"
        if not fault and scale is not None and not scale[0] <= values[place] <= scale[1]:
            fault = f"does not lie on the scale {scale[0]:g} to {scale[1]:g}; correct it or the scale"
        if fault:
            row = int((codes == place).argmax())
            raise table.error(row, f"the {kind} is {shown(value)}, which {fault}.")
    return values[codes]


def _number(value):
    """A number and what is wrong with it, as the end of a sentence."""
    if isinstance(value, str):
        if not NUMBER.fullmatch(value):
            return np.nan, "is not a number; correct it"
        if THOUSANDS.fullmatch(value):
            return np.nan, "may be thousands or a decimal comma; write it without a comma"
        return float(value.replace(",", ".")), ""
    if isinstance(value, numbers.Real) or hasattr(value, "as_tuple"):  # a Decimal is no Real
        try:
            return float(value), ""
        except OverflowError:  # a whole number of hundreds of digits
            return np.inf, ""
    return np.nan, "is not a number; correct it"


def read_ids(table, column, role):
    """Ids as they are written: whole numbers if all are, else texts, shape (n_rows,)."""
    codes, distinct = distinct_values(table, column)
    kinds = [str if isinstance(v, str) else int if _is_whole(v) else type(v) for v in distinct]
    for place, kind in enumerate(kinds):
        if kind not in (str, int) or kind is not kinds[0]:
            row = int((codes == place).argmax())
            raise table.error(
                row,
                f"the {role} is {shown(distinct[place])} of type {type(distinct[place]).__name__}; ids are "
                "all whole numbers or all texts: convert the column.",
            )
    texts = list(map(str, distinct))
    if table.is_text and all(NUMBER.fullmatch(text) for text in texts):
        odd = [place for place, text in enumerate(texts) if re.search("[.,eE]", text)]
        if odd:
            row = int(np.isin(codes, odd).argmax())
            raise table.error(
                row,
                f"the {role} is {texts[codes[row]]!r}, a number and not an id as it was given out; "
                "restore it, or pass a DataFrame in which the ids are texts.",
            )
    whole = kinds[0] is int or (table.is_text and all(map(WHOLE.fullmatch, texts)))
    # Python reads no number of thousands of digits.
    if whole and all(len(text) < 21 and -(2**63) <= int(text) < 2**63 for text in texts):
        return np.array([int(text) for text in texts], dtype=np.int64)[codes]
    return object_array(texts)[codes]


def _as_written(values, form):
    """Dates that are numbers, such as 20201231, as texts: a format is about what is written."""
    if form is None:
        return values
    return object_array(str(value) if _is_whole(value) else value for value in values)


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def _may_be_a_date(value):
    """Whether a number reads as year, month and day, such as 20201231."""
    year, month, day = value // 10_000, value // 100 % 100, value % 100
    return value % 1 == 0 and 1900 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= 31


def read_times(table, column, time_format):
    """Times in seconds since 1970, shape (n_rows,), and how they are written."""
    codes, distinct = distinct_values(table, column)
    faults = []  # of each way to read them, which of the distinct values it cannot read
    if time_format is None and all(isinstance(value, str | numbers.Real) for value in distinct):
        values = pd.to_numeric(pd.Series(distinct, dtype=object), errors="coerce").to_numpy()
        faults.append(~(np.abs(values) < 2.0**63))
        if not faults[0].any():
            if all(map(_may_be_a_date, values)):
                day = str(int(values[codes[0]]))
                raise table.error(
                    0,
                    f"the time is {day}, which may be seconds or the date {day[:4]}-{day[4:6]}-{day[6:]}; "
                    "say time_format='%Y%m%d', or time=False if rows are in time order.",
                )
            most = np.abs(values).max()
            by, unit = next(((by, unit) for least, by, unit in UNITS if most >= least), (1, "seconds"))
            return np.floor_divide(values, by).astype(np.int64)[codes], unit
    are_texts = all(isinstance(value, str) for value in distinct)
    for form in [time_format] if time_format else DATES if are_texts else [None]:
        try:
            dates = pd.Series(
                pd.to_datetime(_as_written(distinct, form), format=form, utc=True, errors="coerce")
            )
        except (ValueError, TypeError) as error:
            raise AccentError(
                f"{table.where}: the times cannot be read as {form!r} ({' '.join(str(error).split())}); "
                "change `time_format`."
            ) from None
        faults.append(dates.isna().to_numpy())
        if not faults[-1].any():
            return dates.dt.as_unit("s").astype("int64").to_numpy()[codes], "dates"
    row = int(min(faults, key=np.sum)[codes].argmax())
    raise table.error(
        row,
        f"the time is {shown(table.columns[column][row])}, which is neither seconds nor a date such as "
        "2020-12-31; say how dates are written by time_format, such as '%d.%m.%Y', or time=False.",
    )
