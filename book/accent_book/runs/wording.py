"""What figures and sentences call the things of a data set: films and stars, if nothing else is said."""

from typing import NamedTuple


class _Units(dict):
    """Units by model, with one for a model that has not told its own."""

    def __missing__(self, model):
        return "score units"


class Words(NamedTuple):
    """The words of a data set."""

    item: str = "film"
    items: str = "films"
    verb: str = "rated"
    unit: str = "stars"


#: Unit of each model's scores: predicted ratings, and logits that only differences give a meaning. A model of
#: one's own can be added: ``UNITS["mine"] = "stars"``.
UNITS = _Units(ncf="stars", rcf="logits")
_spoken = [Words()]


def words() -> Words:
    """The words of the data that this process looks at.

    Examples
    --------
    >>> words().items
    'films'
    """
    return _spoken[0]


def words_of(noun: str = "film", verb: str = "rated", scale=(1, 5)) -> Words:
    """The words of a data set.

    Parameters
    ----------
    noun : str
        What an item is; with the plural after a comma where that is not an s more.
    verb : str
        What a user did with it.
    scale : (float, float)
        Of the ratings: stars go up to five.

    Examples
    --------
    >>> words_of("story, stories", "read", (1, 10))
    Words(item='story', items='stories', verb='read', unit='points')
    """
    item, _, items = (part.strip() for part in noun.partition(","))
    unit = "stars" if scale[0] >= 0 and scale[1] == 5 else "points"
    return Words(item, items or f"{item}s", verb, unit)


def speak(spoken: Words) -> Words:
    """Let all figures of this process use these words.

    Examples
    --------
    >>> before = words()
    >>> speak(words_of("book", "read")).items, words().item
    ('books', 'book')
    >>> speak(before) == before
    True
    """
    _spoken[0], UNITS["ncf"] = spoken, spoken.unit
    return spoken
