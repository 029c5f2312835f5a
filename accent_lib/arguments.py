"""The gate for arguments of public functions: each check gives the value back, or one sentence.

A number that is whole counts as whole, whatever its type (``3.0``, NumPy's, a tensor of one); text, True and
False are no numbers.  What is quoted of a wrong value is short.
"""

import sys
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from accent_lib.errors import AccentError, shown

#: What a whole number is at most: more, arrays cannot hold.
LARGEST = 2**63 - 1


def refused(value: Any, name: str, what: str) -> AccentError:
    """The error of an argument that is something else than what it must be."""
    return AccentError(f"`{name}` is {shown(value)}, but must be {what}.")


def _one(value):
    """An array or tensor of no dimension as the number that it holds."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _range(at_least, at_most):
    if at_most is None or at_most == LARGEST:
        return "" if at_least is None else f" of at least {at_least:,}"
    return f" of at most {at_most:,}" if at_least is None else f" from {at_least:,} to {at_most:,}"


def whole(value: Any, name: str, at_least: int | None = None, at_most: int | None = None) -> int:
    """A whole number within bounds."""
    one = _one(value)
    fits = isinstance(one, Real) and not isinstance(one, bool | np.bool_)
    fits = fits and (isinstance(one, Integral) or one == one // 1)
    at_most = LARGEST if at_most is None else at_most
    if not fits or (at_least is not None and one < at_least) or one > at_most or one < -LARGEST:
        raise refused(value, name, f"a whole number{_range(at_least, at_most)}")
    return int(one)


def number(value: Any, name: str, at_least: float | None = None, at_most: float | None = None) -> float:
    """A finite number within bounds."""
    one = _one(value)
    fits = isinstance(one, Real) and not isinstance(one, bool | np.bool_) and abs(one) <= sys.float_info.max
    if not fits or (at_least is not None and one < at_least) or (at_most is not None and one > at_most):
        raise refused(value, name, f"a finite number{_range(at_least, at_most)}")
    return float(one)


def flag(value: Any, name: str) -> bool:
    """True or False, NumPy's too."""
    if not isinstance(value, bool | np.bool_):
        raise refused(value, name, "True or False")
    return bool(value)


def one_of(value: Any, name: str, choices: Sequence[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        raise refused(value, name, f"one of {', '.join(choices)}")
    return value


def instance(value: Any, name: str, kinds: type | tuple[type, ...], what: str) -> Any:
    """A value of a type, or of one of several, which ``what`` tells in words."""
    if not isinstance(value, kinds):
        raise refused(value, name, what)
    return value


def offers(value: Any, name: str, what: str, *needed: str) -> Any:
    """Something that has some attributes: what a protocol asks for, whatever its type."""
    if not all(hasattr(value, attribute) for attribute in needed):
        raise refused(value, name, what)
    return value


def listed(values: Any, name: str, what: str) -> list:
    """What is iterable and no text, as a list."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise refused(values, name, what)
    try:
        return list(values)
    except TypeError:  # an array or tensor of no dimension
        raise refused(values, name, what) from None


def wholes(values: Any, name: str, at_least: int | None = None, at_most: int | None = None) -> list[int]:
    """A list of whole numbers within bounds."""
    values = listed(values, name, f"a list of whole numbers{_range(at_least, at_most)}")
    return [whole(each, f"{name}[{place}]", at_least, at_most) for place, each in enumerate(values)]


def array(values: Any, name: str, ndim: int) -> np.ndarray:
    """Finite numbers of so many dimensions as an array of floats; lists and tensors of them are fine."""
    what = f"finite numbers of {ndim} dimension{'s' if ndim > 1 else ''}"
    try:
        found = np.asarray(values)
        fits = found.dtype.kind in "iuf" and found.ndim == ndim
    except Exception:  # ragged lists, tensors that want a gradient: each library has errors of its own
        fits = False
    if not fits:
        raise refused(values, name, what)
    if not np.isfinite(found).all():
        place = tuple(np.argwhere(~np.isfinite(found))[0].tolist())
        raise AccentError(f"`{name}` holds {found[place]} at {list(place)}, but must hold {what}.")
    return found.astype(float)


def with_columns(table: Any, name: str, *needed: str) -> Any:
    """A DataFrame that has some columns."""
    if not hasattr(table, "columns") or not hasattr(table, "groupby"):
        raise refused(table, name, f"a DataFrame with the columns {', '.join(needed)}")
    lacking = [column for column in needed if column not in table]
    if lacking:
        raise AccentError(f"`{name}` lacks the column {lacking[0]!r}; it needs {', '.join(needed)}.")
    return table


def user_of(model: Any, user: Any) -> int:
    """Position of a user of a model, or of data."""
    if not 0 <= (position := whole(user, "user")) < model.n_users:
        raise AccentError(f"There is no user {shown(user)}: users go from 0 to {model.n_users - 1}.")
    return position


def users_of(model: Any, users: Any) -> list[int]:
    """Positions of users of a model, or of data."""
    return [user_of(model, user) for user in listed(users, "users", "a list of positions of users")]
