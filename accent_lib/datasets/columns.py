"""The names that columns usually have, and which column of a table is what.

Names are compared in lower case, without spaces, signs and the types that RecBole writes behind a colon:
``User-ID``, ``userId`` and ``user_id:token`` are one name.
"""

import re

import numpy as np

from accent_lib.arguments import shown
from accent_lib.errors import AccentError

#: For each role groups of names, the surest first: a later group counts only where no earlier one is there.
#: Two columns of one group leave open which is meant.
RATINGS = {
    "user": (
        "userid reviewerid customerid memberid profileid",
        "user uid reviewer customer member username nickname reader viewer listener player student",
    ),
    "item": (
        "movieid filmid parentasin bookid artistid trackid songid animeid gameid productid businessid "
        "recipeid jokeid itemid const letterboxduri",
        "item iid asin isbn tconst imdbid movie film book artist artistname album track trackname song game "
        "product",
        "title movietitle booktitle name",
    ),
    "rating": ("rating ratings stars starrating score overall yourrating myrating bookrating userrating",),
    "count": ("count counts plays playcount listencount listens weight scrobbles nplays",),
    "time": (
        "timestamp unixreviewtime",
        "daterated time datetime ratedat reviewdate date dateadded",
        "dateread createdat readat",
    ),
}
ITEMS = {
    "item": (*RATINGS["item"][:2], "id"),
    "title": ("title movietitle primarytitle booktitle", "name itemname originaltitle"),
    "year": (
        "year releaseyear startyear yearpublished publicationyear yearofpublication",
        "originalpublicationyear releasedate published",
    ),
}
#: Attributes of items: what the library calls them, and the names of their columns.
ATTRIBUTES = {
    "genres": ("genres genre listedgenres", "class category categories maincategory"),
    "directors": ("directors director",),
    "actors": ("actors actor cast starring",),
    "authors": ("authors author bookauthor",),
    "tags": ("tags tag",),
}
#: Exports of somebody's own ratings do not say whose they are. Each has a column that no other table has.
ONE_USER = {"yourrating", "letterboxduri", "myrating"}
#: Where one of these columns is, a rating of 0 says that there is none.
ZERO_IS_NONE = {"isread", "myrating", "bookrating"}
#: All of them: where one is in the first line of a text, that line has the names.
KNOWN = {
    name
    for table in (RATINGS, ITEMS, ATTRIBUTES)
    for groups in table.values()
    for group in groups
    for name in group.split()
} | ZERO_IS_NONE


def plain(name) -> str:
    """A name as it is compared."""
    return re.sub(r"[\W_]", "", str(name).partition(":")[0]).casefold()


def roles_of(where, names, asked, counts=None) -> dict:
    """Which column of a table of ratings is what: its name for each role that has one.

    Parameters
    ----------
    where : str
        The table, for errors.
    names : list
        Of all columns, or their positions where the table has no names.
    asked : dict
        What the caller said of ``user``, ``item``, ``rating`` and ``time``: a name or position, False (there
        is no such column) or None (find it).
    counts : bool, optional
        What the caller said; False: a column of counts holds ratings.

    Raises
    ------
    AccentError
        If it cannot be told which column is meant.
    """
    roles = {
        role: place(where, names, role, column)
        for role, column in asked.items()
        if column is not None and column is not False
    }
    if not any(isinstance(name, str) for name in names):
        if not roles and False not in asked.values() and len(names) in (3, 4):
            roles = dict(zip(asked, names, strict=False))
        for role in ("user", "item", "rating"):
            if role not in roles and asked[role] is not False:
                raise AccentError(
                    f"{where} has {len(names)} column(s) without names; say which are meant, such as user=0, "
                    "item=1, rating=2."
                )
        return _apart(where, roles)
    for role in asked:
        if asked[role] is None:
            roles |= _found(role, find(where, names, role, RATINGS[role]))
    if asked["rating"] is None and "rating" not in roles:
        column = find(where, names, "rating", RATINGS["count"])
        roles |= _found("rating" if counts is False else "count", column)
    listed = ", ".join(map(str, names))
    for role in ("user", "item"):
        of_one = role == "user" and (asked["user"] is False or ONE_USER & set(map(plain, names)))
        if role not in roles and not of_one:
            raise AccentError(
                f"{where} has no column that is known as the {role}; say which by {role}='…', "
                f"one of {listed}."
            )
    if asked["rating"] is None and not roles.keys() & {"rating", "count"}:
        unknown = [name for name in names if name not in roles.values() and plain(name) not in KNOWN]
        if unknown:
            raise AccentError(
                f"{where} has no column that is known as the rating; say which by rating='…', one of "
                f"{', '.join(map(str, unknown))}, or rating=False if a row just says that an item was liked."
            )
    return _apart(where, roles)


def _apart(where, roles):
    """The roles, each of a column of its own."""
    for role, column in roles.items():
        first = next(each for each in roles if roles[each] == column)
        if first != role:
            raise AccentError(
                f"{where}: {column!r} would be both the {first} and the {role}; name another column."
            )
    return roles


def about_items(where, names, attributes=None, taken=()) -> dict:
    """Which columns of a table tell about items: ``title``, ``year`` and attributes, by name.

    Parameters
    ----------
    where, names
        As for :func:`roles_of`.
    attributes : list of str, optional
        Columns that are attributes, too.
    taken : collection
        Columns that are something else.
    """
    free = [name for name in names if name not in taken]
    columns = {}
    for role, groups in {"title": ITEMS["title"], "year": ITEMS["year"], **ATTRIBUTES}.items():
        columns |= _found(role, find(where, free, role, groups))
    for name in attributes or ():
        column = place(where, names, "attributes", name)
        known = next((role for role in ("title", "year") if columns.get(role) == column), None)
        if known:
            raise AccentError(
                f"{where}: {column!r} is the {known} already; to make an attribute of it, too, add a copy of "
                "the column under another name."
            )
        if column not in columns.values():
            columns[str(name)] = column
    return columns


def find(where, names, role, groups):
    """The column with a role, as the table calls it; None where there is none."""
    for group in groups:
        found = [name for name in names if isinstance(name, str) and plain(name) in group.split()]
        if len(found) > 1:
            raise AccentError(
                f"{where}: {' and '.join(map(repr, found[:2]))} may both be the {role}; rename one of them, "
                f"or say which is meant by {role}={found[0]!r}."
            )
        if found:
            return found[0]
    return None


def place(where, names, role, column):
    """The column that the caller named, by its name or position, as the table calls it."""
    if isinstance(column, str | int | np.integer) and not isinstance(column, bool):
        if column in names:
            return column
        if not isinstance(column, str) and 0 <= column < len(names):
            return names[column]
    has = ", ".join(map(str, names))
    raise AccentError(f"{where} has no column {shown(column)} for {role}: it has {has:.400}.")


def _found(role, column):
    return {} if column is None else {role: column}
