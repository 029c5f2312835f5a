"""Words of messages: counts with their nouns, and the nearest of the names there are."""

import difflib
import math
from collections.abc import Iterable


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """A number with its noun, in the singular or the plural.

    Parameters
    ----------
    number : int
    noun, nouns : str
        The plural is an s more, unless it is given.

    Examples
    --------
    >>> counted(1, "order"), counted(1200, "user"), counted(0, "story", "stories")
    ('1 order', '1,200 users', '0 stories')
    """
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def choose(name, known: Iterable[str]) -> str:
    """What to do about a name that there is not: take the nearest, or choose from all.

    Parameters
    ----------
    name : str
        What was given.
    known : iterable of str
        The names there are.

    Examples
    --------
    >>> choose("dampng", ["variant", "damping"])
    "write 'damping', or choose from variant, damping"
    >>> choose("x", ["variant", "damping"])
    'choose from variant, damping'
    """
    known = list(known)
    near = difflib.get_close_matches(str(name), known, 1)
    return "".join(f"write {each!r}, or " for each in near) + f"choose from {', '.join(known)}"


def roughly(seconds: float) -> str:
    """A time of which no more than the first digit is known.

    Parameters
    ----------
    seconds : float

    Examples
    --------
    >>> roughly(0.2), roughly(23.4), roughly(240), roughly(6000)
    ('a second', '20 seconds', '4 minutes', '2 hours')
    """
    if seconds < 1.5:
        return "a second"
    size, unit = next(
        each for each in ((3600, "hour"), (60, "minute"), (1, "second")) if seconds >= 1.5 * each[0]
    )
    number = seconds / size
    return counted(int(round(number, -int(math.log10(number)))), unit)
