"""Items by their titles, however a person writes them."""

import difflib
import re

import pandas as pd

YEAR = re.compile(r"\s*\(\d{4}\)$")


def plain_title(title: str) -> str:
    """A title without what people write differently: capitals, apostrophes, white space.

    Examples
    --------
    >>> plain_title("Schindler’s  List")
    "schindler's list"
    """
    return " ".join(title.casefold().replace("’", "'").split())


def by_title(items, titles, years) -> dict[str, list]:
    """Items by every way to write their titles, with the year and without.

    Parameters
    ----------
    items, titles, years : sequences of one length
        What an item is called here, its title, and its year or ``pd.NA``.

    Examples
    --------
    >>> by_title([7, 8], ["Heat (1995)", "Alien"], [1995, 1979])
    {'heat (1995)': [7], 'heat': [7], 'alien': [8], 'alien (1979)': [8]}
    """
    known: dict[str, list] = {}
    for item, title, year in zip(items, titles, years, strict=True):
        bare = plain_title(YEAR.sub("", title))
        written = [plain_title(title), bare, bare if pd.isna(year) else f"{bare} ({year})"]
        for text in dict.fromkeys(written):
            known.setdefault(text, []).append(item)
    return known


def closest(title: str, known: dict[str, list]):
    """An item whose title is written much like this one, or None.

    Examples
    --------
    >>> closest("alein", {"alien": [8]})
    8
    """
    texts = difflib.get_close_matches(plain_title(title[:200]), known, 1)
    return known[texts[0]][0] if texts else None
