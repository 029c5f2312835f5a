"""The one exception, and the one warning, that users are meant to read, and how they quote a value."""

import reprlib
from typing import Any

#: The most characters of a message: a title or a header can have a million.
LONGEST = 2000


class AccentError(ValueError):
    r"""Bad input or a missing file: one sentence that says what is wrong, where, and what to do.

    It may quote a file, in which anything may stand: what would break the line, or give orders to a
    terminal, is escaped.

    Examples
    --------
    >>> print(AccentError("There is no column 'a\nb'."))
    There is no column 'a\nb'.
    """

    def __init__(self, message: str):
        if not message.isprintable():
            message = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in message)
        if len(message) > LONGEST:  # what to do stands at the end
            message = f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"
        super().__init__(message)


class AccentWarning(UserWarning):
    """Something that works, but not as well as a user may believe: what, where, and what to do."""


def shown(value: Any) -> str:
    """A value as an error shows it, on one line of at most 60 characters.

    Examples
    --------
    >>> len(shown("x" * 1000)), shown([1, 2])
    (60, '[1, 2]')
    """
    if getattr(value, "shape", None) and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    if getattr(value, "shape", None) and hasattr(value, "columns"):
        return f"a table with the columns {', '.join(map(str, value.columns)):.40}"
    try:
        value = value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
        text = reprlib.repr(value) if isinstance(value, list | tuple | dict | set) else repr(value)
    except Exception:  # of a number of 5,000 digits, or whatever somebody's class does
        text = f"of type {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:59]}…"
