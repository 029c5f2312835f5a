"""Recommendations to oneself, explained: ratings of one's own, a trained NCF, and a user fitted into it.

A new user comes with a block of parameters of her own. With all else held fixed, her block is fitted to her
ratings, by the same objective that the others were trained with; then she is a user like any other. Weight
decay weighs as much against few ratings as against many, so with a dozen of them she is hardly more than the
average user, and there is less to be explained than with fifty.
"""

import copy
import io
import re
import warnings
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import pandas as pd
import torch

from accent_lib.arguments import instance, number, offers, whole, wholes, with_columns
from accent_lib.datasets import Interactions
from accent_lib.datasets.tables import records_of
from accent_lib.datasets.titles import by_title, closest, plain_title
from accent_lib.errors import AccentError, AccentWarning, shown
from accent_lib.explanations import Closeup, closeup
from accent_lib.files import reason
from accent_lib.gate import read_bytes
from accent_lib.models import NCF
from accent_lib.models.given import differentiating

#: Names of the columns, in lower case: whichever of them there is.
NAMES = {"item": ("item",), "title": ("title",), "year": ("year",), "stars": ("stars", "rating")}
NUMBER = re.compile(r"[0-9]+([.,][0-9]*)?", re.ASCII)
#: The most bytes of somebody's own ratings: a hundred thousand films.
LARGEST = 2**24


@dataclass(frozen=True)
class OwnExplanation:
    """An explanation of a recommendation to somebody who brought ratings.

    Attributes
    ----------
    sentence : str
        The explanation in plain words, or that there is none.
    closeup : Closeup
        Slate, history, influences and explanation.
    data : Interactions
        With the new user as the last one.
    model : accent_lib.models.NCF
        That knows her.
    rmse : float
        Of her ratings as the fitted model predicts them, in the unit of the ratings.

    Examples
    --------
    >>> import io
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> rated = pd.DataFrame({"item": data.item_ids[data.train["item"].unique()[:12]], "stars": 4})
    >>> hers = explain_ratings(io.StringIO(rated.to_csv(index=False)), NCF(data), data, k=5)
    >>> len(hers.slate()), len(hers.history())
    (5, 12)
    """

    sentence: str
    closeup: Closeup
    data: object
    model: NCF
    rmse: float

    def slate(self) -> pd.DataFrame:
        """Her slate: ``film``, ``score``, and ``after``, the score estimated without the set (if any)."""
        hers = self.closeup
        table = pd.DataFrame({"film": self.data.titles[hers.items], "score": hers.scores})
        return table if hers.explanation is None else table.assign(after=hers.explanation.predicted)

    def history(self) -> pd.DataFrame:
        """Her ratings: ``film``, ``stars``, influence ``on_gap`` and whether ``removed``, strongest first."""
        hers = self.closeup
        stars = self.data.train["rating"].to_numpy()[self.data.rows(hers.user)]
        removed = set(hers.explanation.removed) if hers.explanation else set()
        columns = {"film": self.data.titles[hers.history], "stars": stars, "on_gap": hers.on_gap}
        table = pd.DataFrame(columns).assign(removed=[action in removed for action in range(len(stars))])
        return table.sort_values("on_gap", ascending=False, kind="stable", ignore_index=True)


def explain_ratings(
    path, model, data, k: int = 10, method: str = "accent", min_ratings: int = 10, **options
) -> OwnExplanation:
    """Explain what a trained NCF would recommend to somebody with these ratings: an :class:`OwnExplanation`.

    Parameters
    ----------
    path : path or file
        CSV with the columns ``stars``, and ``title`` or ``item``, as :func:`read_ratings` reads it.
    model : NCF
        Trained on `data`.
    data : Interactions
    k, method, **options
        As for :func:`~accent_lib.explanations.closeup`.
    min_ratings : int
        How many ratings it takes.

    Raises
    ------
    AccentError
        If the file cannot be used or the model is no NCF of this data: one sentence.

    Examples
    --------
    >>> import io
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> rated = pd.DataFrame({"item": data.item_ids[data.train["item"].unique()[:12]], "stars": 4})
    >>> hers = explain_ratings(io.StringIO(rated.to_csv(index=False)), NCF(data), data, k=5)
    >>> hers.data.n_users == data.n_users + 1
    True
    """
    ratings = read_ratings(path, data, min_ratings)
    ours, known = add_user(model, data, ratings)
    hers = closeup(ours, data.n_users, k, method, **options)
    with torch.no_grad():
        losses = ours.losses(ours.block(hers.user), hers.user)
    return OwnExplanation(hers.sentence(data.titles), hers, known, ours, float(losses.mean().sqrt()))


def read_ratings(path, data, min_ratings: int = 10) -> pd.DataFrame:
    """Read one's own ratings from a CSV.

    Parameters
    ----------
    path : path or file
        Columns ``stars`` (or ``rating``), on the data set's scale, and ``title`` or ``item`` (the data set's
        own number; where a row has both, it decides). Titles are recognised in upper and lower case, with and
        without the year, which a column ``year`` may give. The rows are in time order.
    data : Interactions
    min_ratings : int

    Returns
    -------
    DataFrame
        Columns ``item`` (index) and ``rating``, in the order of the file.

    Raises
    ------
    AccentError
        If the file cannot be read, a column is missing or there twice, a row has more or fewer fields, a film
        is unknown, of another year or title, rated by nobody in the training data or rated twice, stars lie
        outside the scale, or the ratings are too few.

    Warns
    -----
    AccentWarning
        If stars differ, but all lie in the lower half of the scale, as they do where they are on a shorter
        one.

    Examples
    --------
    >>> import io
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> rated = pd.DataFrame({"title": [data.titles[5]], "stars": [4]})
    >>> read_ratings(io.StringIO(rated.to_csv(index=False)), data, min_ratings=1).values.tolist()
    [[5.0, 4.0]]
    """
    offers(
        data, "data", "Interactions, as prepare() makes them", "train", "titles", "item_ids", "years", "scale"
    )
    min_ratings = whole(min_ratings, "min_ratings", 0)
    (_, names), *rows = _rows(path)
    place = _columns(names)
    find = {
        "title": by_title(range(data.n_items), data.titles, data.years),
        "item": {str(own): [i] for i, own in enumerate(data.item_ids)},
    }
    known = np.bincount(data.train["item"], minlength=data.n_items) > 0
    items, stars = [], []
    for line, fields in rows:
        if len(fields) != len(names):
            raise AccentError(
                f"Line {line} has {len(fields)} fields, but the first line names {len(names)}: write a "
                "title with a comma in it in quotation marks."
            )
        items.append(
            _item(line, {name: fields[column].strip() for name, column in place.items()}, find, data)
        )
        stars.append(_stars(line, fields[place["stars"]].strip(), *data.scale))
        title = data.titles[items[-1]]
        if items[-1] in items[:-1]:
            raise AccentError(f"Line {line}: {title} is rated a second time; keep one of the two ratings.")
        if not known[items[-1]]:
            raise AccentError(
                f"Line {line}: nobody rated {title} in the training data, so the model knows nothing of it; "
                "leave it out."
            )
    if len(items) < min_ratings:
        raise AccentError(f"{len(items)} ratings are too few: bring at least {min_ratings}.")
    low, high = data.scale
    if len(set(stars)) > 1 and max(stars) <= (low + high) / 2:
        warnings.warn(
            f"None of the ratings is above {max(stars):g}, though the scale goes from {low:g} to {high:g}: "
            "if they are on another scale, convert them.",
            AccentWarning,
            stacklevel=2,
        )
    return pd.DataFrame({"item": items, "rating": stars})


def _rows(path):
    """Lines of a CSV that are not empty, each its number and its fields."""
    rows = list(records_of("The ratings", io.StringIO(_text(path), newline=""), ","))
    if not rows:
        raise AccentError("The ratings cannot be read as a table with commas (there is nothing in them).")
    return rows


def _text(path):
    """The text of a file or of what has been opened already."""
    if hasattr(path, "read"):
        content = path.read(LARGEST + 1)
        if len(instance(content, "path", str | bytes, "a file that is read as text")) > LARGEST:
            raise AccentError(f"The ratings are longer than {LARGEST:,} characters; bring one user's alone.")
        if isinstance(content, str):
            return content.removeprefix("\ufeff")
    elif "://" in str(instance(path, "path", str | PathLike, "the path of a CSV, or an open one")):
        raise AccentError(
            f"The ratings {shown(str(path))} are an address on the web; fetch the file, and name it."
        )
    else:
        try:
            content = read_bytes(path, "bring a table with commas", LARGEST)
        except AccentError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            told = reason(error.__cause__)
            raise AccentError(f"The ratings cannot be read as a table with commas ({told}).") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if content[:2] == b"PK" or "\0" in text:
        raise AccentError("The ratings are no text in UTF-8; unpack the file, or save the table as CSV.")
    return text


def _columns(names):
    """Where the columns stand, by what they tell."""
    plain, place = [name.strip().casefold() for name in names], {}
    for role, known in NAMES.items():
        found = [column for column, name in enumerate(plain) if name in known]
        if len(found) > 1:
            raise AccentError(
                f"The columns {names[found[0]].strip()} and {names[found[1]].strip()} may both be the "
                f"{role}; keep one of the two."
            )
        if found:
            place[role] = found[0]
    if "stars" not in place or not place.keys() & {"item", "title"}:
        raise AccentError(
            "The ratings need the columns title (or item) and stars in their first line, but have "
            f"{', '.join(plain):.100}."
        )
    return place


def _item(line, row, find, data):
    """The film of a row, by its number or else its title; the other, and the year, must not say otherwise."""
    by = next((name for name in ("item", "title") if row.get(name)), "title" if "title" in row else "item")
    text, year = row[by], row.get("year", "")
    items = find[by].get(plain_title(text) if by == "title" else text, [])
    if len(items) > 1 and year:
        items = [item for item in items if _fits(data.years[item], year)] or items
    if len(items) > 1:
        ids = ", ".join(f"{data.item_ids[item]}: {data.titles[item]}" for item in items[:5])
        raise AccentError(
            f"Line {line}: {shown(text)} may be any of {len(items)} films ({ids:.200}); "
            "write the number of the one that is meant in a column item."
        )
    if not items:
        near = closest(text, find[by]) if by == "title" else None
        hint = "." if near is None else f"; did you mean {data.titles[near]}?"
        raise AccentError(f"Line {line}: {data.name} has no film with the {by} {shown(text)}{hint}")
    (item,), title = items, row.get("title", "")
    if by == "item" and title and item not in (same := find["title"].get(plain_title(title), [])):
        is_it = f", which is {data.item_ids[same[0]]}" if same else ""
        raise AccentError(
            f"Line {line}: item {shown(text)} is {data.titles[item]}, but the title is "
            f"{shown(title)}{is_it}; correct one of the two."
        )
    if year and not _fits(data.years[item], year):
        raise AccentError(
            f"Line {line}: {data.titles[item]} is of {data.years[item]}, but the year is {shown(year)}; "
            "correct the year, or leave another film of this title out."
        )
    return item


def _fits(known, year):
    """Whether a film may be of a year; films are dated a year apart by different sources."""
    return known is pd.NA or (year.isascii() and year.isdigit() and abs(int(year[:9]) - int(known)) <= 1)


def _stars(line, text, low, high):
    stars = float(text.replace(",", ".")) if NUMBER.fullmatch(text) and len(text) < 20 else float("nan")
    if not low <= stars <= high:
        raise AccentError(
            f"Line {line}: the stars are {shown(text)}, but must be a number from {low:g} to {high:g}."
        )
    return stars


@differentiating
def add_user(model, data, ratings: pd.DataFrame, starts: int = 8) -> tuple[NCF, Interactions]:
    """A copy of a trained NCF that knows one user more.

    Her block is the best of several minima of the training objective by that block alone, reached from the
    blocks of those users who would fit her ratings best. Nothing in it is random.

    Parameters
    ----------
    model : NCF
        Trained on `data`.
    data : Interactions
    ratings : DataFrame
        Columns ``item`` (index) and ``rating``, in time order.
    starts : int
        From how many blocks to begin.

    Returns
    -------
    model : NCF
        In double precision, with the user ``data.n_users``.
    data : Interactions
        With her ratings at the end of ``train``.

    Raises
    ------
    AccentError
        If the model is no NCF, or of other data, or a rating is of no item, off the scale, or there twice.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> ours, known = add_user(NCF(data), data, pd.DataFrame({"item": [5, 9, 2], "rating": [4.0, 1.0, 5.0]}))
    >>> ours.actions(data.n_users).tolist()
    [5, 9, 2]
    """
    if not isinstance(model, NCF):
        raise AccentError(
            f"Ratings of one's own need an NCF, which has a block a user; not {type(model).__name__}."
        )
    offers(
        data,
        "data",
        "Interactions, as prepare() makes them",
        "train",
        "n_users",
        "n_items",
        "settings",
        "scale",
    )
    if (model.n_users, model.n_items, model.n_actions) != (data.n_users, data.n_items, len(data.train)):
        raise AccentError(
            "The model was trained on other data than this; take the data that it was made with."
        )
    with_columns(ratings, "ratings", "item", "rating")
    items, starts = wholes(ratings["item"], "item", 0, data.n_items - 1), whole(starts, "starts", 1)
    stars = [number(each, "rating", *data.scale) for each in ratings["rating"]]
    if not items or len(set(items)) < len(items):
        raise AccentError("`ratings` are none, or rate an item twice; bring one rating of each.")
    last = int(data.train["timestamp"].max())
    rows = pd.DataFrame(
        {
            "user": data.n_users,
            "item": items,
            "rating": stars,
            "timestamp": last + 1 + np.arange(len(items)),
            "positive": np.array(stars) >= data.settings["positive_at"],
        }
    )
    ours = replace(
        data,
        n_users=data.n_users + 1,
        train=pd.concat([data.train, rows], ignore_index=True),
        user_ids=np.append(
            data.user_ids, "you" if data.user_ids.dtype == object else data.user_ids.max() + 1
        ),
    )
    old = copy.deepcopy(model).double()
    new = NCF(ours, old.dim, old.decay, old.activation).double()
    trained = dict(old.named_parameters())
    with torch.no_grad():
        for name, parameter in new.named_parameters():
            parameter[: len(trained[name])].copy_(trained[name])
        new.user_table.weight[-1] = _fit(new, data.n_users, trained["user_table.weight"], starts)
    return new, ours


def _fit(model, user, others, starts):
    """The block of a user that minimises the training objective, all else fixed, (2 * dim,)."""
    model.requires_grad_(False)

    def objective(block):
        return model.losses(block, user).sum() / model.n_actions + model.penalty(block)

    begin = sorted(others.detach(), key=lambda block: float(objective(block)))[:starts]
    best, lowest = None, float("inf")
    for start in begin:
        block = start.clone().requires_grad_()
        search = torch.optim.LBFGS([block], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

        def slope(block=block, search=search):
            search.zero_grad()
            value = objective(block)
            value.backward()
            return value

        with torch.enable_grad():
            search.step(slope)
        reached = float(objective(block.detach()))
        if reached < lowest:
            best, lowest = block.detach(), reached
    model.requires_grad_(True)
    return best
