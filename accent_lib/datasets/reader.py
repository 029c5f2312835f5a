"""Ratings of any file or DataFrame: what the values mean, and what was left out.

Nothing is guessed where two readings are possible: an error then names the argument that decides.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from accent_lib.arguments import flag, instance, listed, number, one_of, refused
from accent_lib.datasets.columns import ZERO_IS_NONE, about_items, plain, roles_of
from accent_lib.datasets.described import describe, read_items, same_in_all_rows
from accent_lib.datasets.ratings import Ratings
from accent_lib.datasets.tables import is_missing, read_table
from accent_lib.datasets.values import distinct_values, read_ids, read_numbers, read_times
from accent_lib.errors import AccentError

#: Scales that ratings have whose highest is the top of one of them; of two the narrower.
SCALES = ((1, 5), (0.5, 5), (0, 5), (1, 10), (0.5, 10), (0, 10), (0, 100))
DUPLICATES = {
    "last": "the last counts",
    "first": "the first counts",
    "mean": "the mean counts",
    "sum": "the sum counts",
    "refuse": "",
}


def read_ratings(
    ratings,
    items=None,
    *,
    user=None,
    item=None,
    rating=None,
    time=None,
    counts=None,
    scale=None,
    positive_at=None,
    unrated=None,
    duplicates="last",
    missing=None,
    time_format=None,
    sep=None,
    attributes=None,
    attribute_sep=None,
    name=None,
    report=None,
) -> Ratings:
    """Read ratings of any file or DataFrame.

    Columns are found by the names that they have in MovieLens, Amazon, Goodreads, Last.fm, RecBole, IMDb and
    Letterboxd, or are named here. A text without names has user, item, rating and, if there is a fourth
    column, time. What was understood is told by ``describe()`` of the result, in three lines.

    Parameters
    ----------
    ratings : path or DataFrame
        Text (fields separated by commas, tabs, semicolons, ``::``, ``|`` or white space; UTF-8 or Latin-1;
        decimal points or commas), Parquet if pyarrow is installed, RecBole's ``.inter``, or a DataFrame.
    items : path or DataFrame, optional
        The items: id, title, year, attributes. Without it, `ratings` is looked at for columns that say the
        same in all rows of an item.
    user, item, rating, time : str or int, optional
        Names of the columns, or their positions from 0. ``user=False``: all rows are one user's;
        ``rating=False``: each row says that an item was liked; ``time=False``: rows are in time order.
    counts : bool, optional
        Whether the ratings are counts, such as plays, which become ``log(1 + count)``. By default those are
        whose column is called so.
    scale : (float, float), optional
        Lowest and highest rating. By default a usual scale whose top is reached, else what occurs.
    positive_at : float, optional
        A rating is liked from here on, in the unit of the file. Default: the middle of the scale, for counts
        that of their logarithms.
    unrated : float, optional
        A rating that says that there is none; its rows are left out. For Goodreads and Book-Crossing it is 0.
    duplicates : {"last", "first", "mean", "sum", "refuse"}
        What counts where a user rated an item more than once, by time; ``mean`` and ``sum`` (of counts) have
        the time of the last.
    missing : {"refuse", "drop"}, optional
        What becomes of rows without user, item, rating or time. Default: they are an error; in RecBole's
        files they are left out, as RecBole does. A column of times that is empty is none.
    time_format : str, optional
        How dates are written, as for :func:`pandas.to_datetime`. Seconds to nanoseconds since 1970, ISO 8601
        and Goodreads' dates need none.
    sep : str, optional
        What separates the fields, if it cannot be told; ``" "`` is any white space.
    attributes : list of str, optional
        Columns that are attributes of items, beside genres, directors, actors, authors and tags.
    attribute_sep : str, optional
        What separates several values of an attribute. Default: the first of ``|``, ``;`` and ``,`` that
        occurs in the column.
    name : str, optional
        What the data set is called. Default: as the file.
    report : callable, optional
        Is given what was understood, such as ``print``.

    Returns
    -------
    Ratings
        Ids are whole numbers if all of them are written so, else texts. Each attribute is a column of
        ``items``, as names, and of ``attributes``, as numbers.

    Raises
    ------
    AccentError
        If the table cannot be read or leaves something open; a row that is wrong is named by its line.

    Examples
    --------
    >>> club = pd.DataFrame(
    ...     {"reader": ["Ann", "Ann", "Bob"], "book": ["Emma", "Ulysses", "Emma"], "stars": [4.5, 2, 5]}
    ... )
    >>> print(read_ratings(club, name="club").describe())
    Columns: 'reader' is the user, 'book' the item, 'stars' the rating, no time:
    the order of the rows (a DataFrame).
    Scale: 1 to 5; liked from 3 on, 67% of the ratings.
    Ratings: 3; users: 2; items: 2 (nothing is known of items); left out: nothing.
    """
    _check(duplicates, missing, counts, scale, unrated, positive_at)
    _check_texts(time_format=time_format, sep=sep, attribute_sep=attribute_sep, name=name)
    if report is not None and not callable(report):
        raise refused(report, "report", "a function of a sentence, such as print")
    attributes = [attributes] if isinstance(attributes, str) else attributes
    if attributes is not None:
        attributes = listed(attributes, "attributes", "a list of names of columns")
    asked = {"user": user, "item": item, "rating": rating, "time": time}
    roles, about, left_out = {}, {}, {}

    def choose(where, names):
        roles.update(roles_of(where, names, asked, counts))
        if items is None:
            about.update(about_items(where, names, attributes, roles.values()))
        return list(dict.fromkeys([*roles.values(), *about.values()]))

    given = [column for column in asked.values() if column is not None and column is not False]
    table = _complete(read_table(ratings, choose, sep, given), roles, missing, left_out)
    column = roles.get("rating", roles.get("count"))
    counts = "count" in roles if counts is None else counts
    values = np.ones(table.n_rows) if column is None else read_numbers(table, column, counts, scale)
    if unrated is None and column is not None and ZERO_IS_NONE & set(map(plain, table.names)):
        unrated = 0
    if unrated is not None:
        rated = values != unrated
        left_out[f"rows whose rating {unrated:g} says that there is none"] = int((~rated).sum())
        table, values = table.take(rated), values[rated]
    if not len(values):
        raise AccentError(f"{table.where} has no row with a user, an item and a rating; name another file.")
    when, unit = (
        read_times(table, roles["time"], time_format) if "time" in roles else (np.arange(len(values)), "")
    )
    frame = pd.DataFrame(
        {
            "user": read_ids(table, roles["user"], "user") if "user" in roles else "you",
            "item": read_ids(table, roles["item"], "item"),
            "rating": values,
            "timestamp": when,
        }
    )
    if items is None:
        about = same_in_all_rows(table, frame["item"], about)
        first = ~frame["item"].duplicated().to_numpy()
        source = table.take(first), list(map(str, frame["item"][first])), about
    else:
        source = read_items(items, roles["item"], attributes)
    frame = _once(table, frame, duplicates, counts, left_out)
    frame, scale, liked = _on_scale(table.where, frame, column, counts, scale, positive_at)
    ids = np.unique(frame["item"].to_numpy())
    about_ids, attribute_ids, unknown, split = describe(ids, *source, attribute_sep)
    if items is not None:
        left_out["items of the table that nobody rated"] = len(source[1]) - len(ids) + unknown
    notes = (
        _said_of_columns(table, roles, source[2] if items is None else {}, unit),
        _said_of_scale(frame, column, counts, scale, liked),
        _said_of_rows(frame, source, items is not None, unknown, split, left_out),
    )
    name = name or ("ratings" if isinstance(ratings, pd.DataFrame) else Path(ratings).stem)
    result = Ratings(name, frame, about_ids, attribute_ids, scale, liked, None, notes)
    if report is not None:
        report(result.describe())
    return result


def _check(duplicates, missing, counts, scale, unrated, positive_at):
    """Refuse arguments that make no sense."""
    one_of(duplicates, "duplicates", list(DUPLICATES))
    if missing is not None:
        one_of(missing, "missing", ("refuse", "drop"))
    if counts is not None:
        flag(counts, "counts")
    for argument, value in (("unrated", unrated), ("positive_at", positive_at)):
        if value is not None:
            number(value, argument)
    if scale is not None:
        what = "the lowest and the highest rating, such as (1, 5); counts have none"
        if not isinstance(scale, tuple | list) or len(scale) != 2 or counts:
            raise refused(scale, "scale", what)
        if not number(scale[0], "scale[0]") < number(scale[1], "scale[1]"):
            raise refused(scale, "scale", what)


def _check_texts(**texts):
    for argument, value in texts.items():
        if value is not None:
            instance(value, argument, str, "a text")


def _complete(table, roles, missing, left_out):
    """The rows that have a user, an item, a rating and a time; a column of times that is empty goes."""
    kept = np.ones(table.n_rows, bool)
    for role, column in list(roles.items()):
        codes, distinct = distinct_values(table, column)
        lacks = np.array([is_missing(value) for value in distinct])[codes]
        if role == "time" and lacks.all():
            del roles["time"]
        elif lacks.any() and missing != "drop" and not (missing is None and table.typed):
            way = "; say time=False if rows are in time order" if role == "time" else ""
            raise table.error(
                int(lacks.argmax()),
                f"the {role} is missing; add it, or leave such rows out by missing='drop'{way}.",
            )
        else:
            kept &= ~lacks
    left_out["rows without an id, a rating or a time"] = int((~kept).sum())
    return table.take(kept)


def _once(table, frame, duplicates, counts, left_out):
    """One rating for each user and item."""
    pair = ["user", "item"]
    twice = frame.duplicated(pair).to_numpy()
    if not twice.any():
        return frame
    user, item = frame.loc[int(twice.argmax()), pair]
    if duplicates == "refuse" or (duplicates == "sum" and not counts):
        way = (
            "keep one of the two, or say which counts, such as duplicates='last'"
            if duplicates == "refuse"
            else "only counts can be added up: say counts=True, or duplicates='mean'"
        )
        raise table.error(
            int(twice.argmax()), f"user {user} has already rated item {item} further up; {way}."
        )
    in_time = frame.sort_values("timestamp", kind="stable")
    if duplicates in ("mean", "sum"):
        in_time["rating"] = in_time.groupby(pair)["rating"].transform(duplicates)
    once = in_time.drop_duplicates(pair, keep="first" if duplicates == "first" else "last")
    left_out[f"repeated ratings of an item by a user, of which {DUPLICATES[duplicates]}"] = int(twice.sum())
    return once.sort_index().reset_index(drop=True)


def _on_scale(where, frame, column, counts, scale, positive_at):
    """The ratings in the unit that models see, their scale, and from where on an item is liked."""
    rating = frame["rating"].to_numpy()
    if counts:
        rating = np.log1p(rating)
        positive_at = None if positive_at is None else float(np.log1p(max(positive_at, 0)))
    low, high = float(rating.min()), float(rating.max())
    whole = bool((rating % 1 == 0).all())
    if scale is not None:
        low, high = scale
    elif column is None and not counts:
        low = 0.0
    elif not counts:
        if whole and high > 100:
            raise AccentError(
                f"{where}: ratings go up to {high:,.0f}; if they are counts, say counts=True, which takes "
                f"log(1 + count), else name their scale, such as scale=({low:.0f}, {high:.0f})."
            )
        above = float(rating[rating > low].min(initial=high))
        if low == -1 and high > 1 and above >= 0:
            raise AccentError(
                f"{where}: ratings go from {above:g} to {high:g}, but some are -1; if that says that there "
                f"is none, say unrated=-1, else name the scale, such as scale=(-1, {high:g})."
            )
        below = float(rating[rating < high].max(initial=low))
        if high == 99 and below < 50:
            raise AccentError(
                f"{where}: ratings go from {low:g} to {below:g}, but some are 99; if that says that there is "
                f"none, say unrated=99, else name the scale, such as scale=({low:g}, 99)."
            )
        low, high = next((s for s in SCALES if s[1] == high and s[0] <= low), (low, high))
    if low == high and counts:
        raise AccentError(
            f"{where}: every count is {np.expm1(low):,.0f}, so nothing tells liked from disliked; say "
            "rating=False if each row just says that an item was liked."
        )
    if low == high:
        raise AccentError(
            f"{where}: every rating is {low:g}, so nothing tells liked from disliked; name the scale, such "
            "as scale=(1, 5), or say rating=False if each row just says that an item was liked."
        )
    low, high = (int(end) if end == int(end) else float(end) for end in (low, high))
    liked = (low + high) / 2 if positive_at is None else positive_at
    if not low <= liked <= high:
        raise AccentError(
            f"`positive_at` is {positive_at:g}, but must lie on the scale of the ratings, {low:g} to "
            f"{high:g}."
        )
    liked = int(liked) if liked == int(liked) else liked
    return frame.assign(rating=rating.astype(np.int64) if whole else rating), (low, high), liked


def _said_of_columns(table, roles, about, unit):
    shown = {
        role: f"'{column}'" if isinstance(column, str) else f"column {column}"
        for role, column in roles.items()
    }
    parts = [f"{shown['user']} is the user" if "user" in shown else "one user, who is not named"]
    parts += [f"{shown[role]} the {role}" for role in ("item", "rating", "count") if role in shown]
    if "rating" not in shown and "count" not in shown:
        parts.append("no rating: each row says that an item was liked")
    parts.append(
        f"{shown['time']} the time, in {unit}" if "time" in shown else "no time: the order of the rows"
    )
    used = [*roles.values(), *about.values()]
    unread = [str(name) for name in table.names if name not in used]
    if unread:
        parts.append(f"not read: {', '.join(unread[:6])}{' …' if len(unread) > 6 else ''}")
    return f"Columns: {', '.join(parts)} ({table.said})."


def _said_of_scale(frame, column, counts, scale, liked):
    if column is None and not counts:
        return "Scale: none, for every item of a row is liked and none disliked."
    kind = "log(1 + count), " if counts else ""
    least = f"a count of {np.ceil(np.expm1(liked) - 1e-9):,.0f}" if counts else f"{liked:g}"
    share = (frame["rating"] >= liked).mean()
    return (
        f"Scale: {kind}{scale[0]:.4g} to {scale[1]:.4g}; liked from {least} on, {share:.0%} of the ratings."
    )


def _said_of_rows(frame, source, own_table, unknown, split, left_out):
    """How much there is, what is known of the items, and what was left out."""
    table, _, about = source
    parts = [f"{kind} split at '{split[kind]}'" if kind in split else kind for kind in about]
    known = f"known of items: {', '.join(parts)}" if about else "nothing is known of items"
    if own_table:
        lacks = f", which lacks {unknown:,} of them" if unknown else ""
        file = "a DataFrame" if table.said == "a DataFrame" else Path(table.where).name
        known += f", from {file}{lacks}"
    gone = ", ".join(f"{what} ({number:,})" for what, number in left_out.items() if number) or "nothing"
    return (
        f"Ratings: {len(frame):,}; users: {frame['user'].nunique():,}; items: {frame['item'].nunique():,} "
        f"({known}); left out: {gone}."
    )
