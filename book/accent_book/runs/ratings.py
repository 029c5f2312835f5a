"""The ratings that a run is about: a set known by name, or a reader's own file."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from accent_book.runs import notebooks
from accent_book.runs.manifest import checked
from accent_book.runs.wording import speak, words_of
from accent_lib.errors import AccentError, shown

if TYPE_CHECKING:
    from accent_lib.datasets import Interactions, Ratings

#: The conditions of ml-latest-small, word for word as its README has them.
LATEST_SMALL = """\
The ratings are those of MovieLens, ml-latest-small. This page passes some of them on under the conditions\
 of their README:
Neither the University of Minnesota nor any of the researchers involved can guarantee the correctness of \
the data, its suitability for any particular purpose, or the validity of results based on the use of the \
data set. The data set may be used for any research purposes under the following conditions:
• The user may not state or imply any endorsement from the University of Minnesota or the GroupLens \
Research Group.
• The user must acknowledge the use of the data set in publications resulting from the use of the data set\
 (see below for citation information).
• The user may redistribute the data set, including transformations, so long as it is distributed under \
these same license conditions.
• The user may not use this information for any commercial or revenue-bearing purposes without first \
obtaining permission from a faculty member of the GroupLens Research Project at the University of \
Minnesota.
• The executable software scripts are provided "as is" without warranty of any kind, either expressed or \
implied, including, but not limited to, the implied warranties of merchantability and fitness for a \
particular purpose. The entire risk as to the quality and performance of them is with you. Should the \
program prove defective, you assume the cost of all necessary servicing, repair or correction.
In no event shall the University of Minnesota, its affiliates or employees be liable to you for any \
damages arising out of the use or inability to use these programs (including but not limited to loss of \
data or data being rendered inaccurate).
Citation: F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM \
Transactions on Interactive Intelligent Systems (TiiS) 5, 4: 19:1–19:19. https://doi.org/10.1145/2827872"""
#: Data that may be passed on, and the conditions that go with it: no other gets into the book's explorer.
#: A book of other data shows the explorer of the first of these that has been run.
PUBLIC = {"ml-latest-small": LATEST_SMALL, "sample": ""}
#: What may be said of the columns of a file.
ROLES = ("user", "item", "rating", "time")
#: What says where the ratings come from: parameters of notebook 01, kept in its record.
SOURCE = ("dataset", "data_home", "items", "columns")


def located(value: str, *folders) -> str:
    """A file's name made absolute, if it lies in one of some folders; else the text as it is.

    Names of data sets have neither a point nor a slash, so a file named ``ratings`` is ``./ratings``.

    Examples
    --------
    >>> located("sample", Path.cwd())
    'sample'
    """
    if "." not in value and "/" not in value and os.sep not in value:
        return value
    for folder in folders:
        path = Path(folder) / Path(value).expanduser()
        if path.is_file():
            return str(path.resolve())
    return value


def load_ratings(dataset: str, data_home: str = "", items: str = "", columns: str = "") -> "Ratings":
    """Load a set by its name, or read a file.

    Parameters
    ----------
    dataset : str
        A name that :func:`accent_lib.datasets.load` knows, or a file of ratings.
    data_home : str
        Where a named set lies; empty: the usual places.
    items : str
        A file that describes the items of a file of ratings; empty: there is none.
    columns : str
        Which columns of a file are what, such as ``"user=reader, item=book, rating=points, time="``; what
        stands empty is not there, and of what is not named the usual names are looked for.

    Raises
    ------
    AccentError
        If there is neither such a set nor such a file, or the file cannot be read.

    Examples
    --------
    >>> load_ratings("sample").name
    'sample'
    """
    from accent_lib.datasets import TABLES, load, read_ratings

    if dataset in ("sample", "ml-100k", *TABLES):
        if items or columns:
            raise AccentError(f"items and columns say how to read a file, but {dataset} is a known set.")
        return load(dataset, data_home or None)
    for what, name in {"dataset": dataset, "items": items}.items():
        if name and not Path(name).is_file():
            known = f"; known sets are sample, ml-100k, {', '.join(TABLES)}" if what == "dataset" else ""
            raise AccentError(f"{what} is {name!r}, but there is no such file{known}.")
    return read_ratings(dataset, items or None, **_columns(columns))


def _columns(text):
    """Arguments of ``read_ratings``: a name, a position, or False for what is not there."""
    given = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or role not in ROLES or role in given:
            raise AccentError(
                f"columns is {text!r}, but must name {', '.join(ROLES)} at most once each, such as "
                "'user=reader, item=book, rating=points, time='."
            )
        given[role] = int(column) if column.isdecimal() else column or False
    if given.get("item", "") is False:
        raise AccentError(
            "columns leaves item empty, but ratings without items say nothing; name its column."
        )
    return given


class OwnFile(NamedTuple):
    """A reader's own file, as :func:`accent_lib.read_ratings` takes it."""

    ratings: Path
    items: Path | None
    columns: dict
    verb: str


def own_file(run, ratings: str = "", items: str = "") -> OwnFile:
    """The file that chapter 10 is about: one that is named, else the run's own, else that of the book club.

    Parameters
    ----------
    run : Run
        With the record of notebook 01.
    ratings, items : str
        Paths, from the project's folder if they are relative; empty: as the run has them.

    Returns
    -------
    OwnFile
    """
    record, root = _record(run), notebooks.project_root()
    if ratings:
        return OwnFile(root / ratings, root / items if items else None, {}, record["verb"])
    if record["files"]:
        described = Path(record["items"]) if record["items"] else None
        return OwnFile(Path(record["dataset"]), described, _columns(record["columns"]), record["verb"])
    club = checked(root / "data" / "club")
    return OwnFile(club / "club.csv", club / "books.csv", {}, "read")


def source_of(settings: dict) -> dict:
    """What the record keeps of where ratings come from: parameters, and hashes of the files among them.

    Parameters
    ----------
    settings : dict
        Parameters of notebook 01.

    Examples
    --------
    >>> source_of({"dataset": "sample", "data_home": "", "items": "", "columns": ""})["files"]
    {}
    """
    source = {name: settings.get(name, "") for name in SOURCE}
    files = [source[name] for name in ("dataset", "items") if source[name] and Path(source[name]).is_file()]
    hashes = {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}
    return source | {"files": hashes}


def _record(run):
    """What notebook 01 noted, and the usual where it noted nothing."""
    usual = {**dict.fromkeys(SOURCE, ""), "files": {}, "noun": "film", "verb": "rated"}
    record = usual | run.read_json("data.json")
    for name, value in usual.items():
        if not isinstance(record[name], type(value)):
            raise AccentError(
                f"data.json in {run.folder} has {shown(record[name])} as {name!r}; run the notebook that "
                "makes it again."
            )
    return record


def interactions(run) -> "Interactions":
    """The prepared data that notebook 01 settled on; figures of this process speak its words from now on.

    Parameters
    ----------
    run : Run

    Returns
    -------
    Interactions

    Raises
    ------
    AccentError
        If the data has changed since.
    """
    from accent_lib.datasets import prepare

    record = _record(run)
    again = f"run 01_data again, and all after it, or results of two files would be mixed in {run.folder}."
    for file, known in record["files"].items():
        if not Path(file).is_file():
            raise AccentError(f"{file}, which notebook 01_data read, is gone; put it back, or {again}")
        if source_of({"dataset": file})["files"][file] != known:
            raise AccentError(f"{file} has changed since notebook 01_data read it: {again}")
    ratings = load_ratings(**{name: record[name] for name in SOURCE})
    try:
        data = prepare(ratings, **record["settings"])
    except TypeError as error:  # a name that prepare() does not know
        told = f"data.json in {run.folder} has {shown(record['settings'])} as 'settings'"
        raise AccentError(f"{told}: {again}") from error
    if data.fingerprint != record["fingerprint"]:
        raise AccentError(
            f"The data is not the one that notebook 01_data saw in {run.folder}: run 01_data again, and all"
            " after it."
        )
    speak(words_of(record["noun"], record["verb"], data.scale))
    return data


def located_settings(settings: dict) -> dict:
    """Files among the parameters, found from the working directory, else from the project's folder."""
    places = Path.cwd(), notebooks.project_root()
    return {name: located(settings[name], *places) for name in ("dataset", "items") if settings.get(name)}
