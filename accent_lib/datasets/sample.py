"""The embedded sample: films that people know, rated by users who do not exist.

The films are real, with their years, genres, directors and leading actors: facts, written by hand in
``films.csv``. Who rates them, and how, is invented: nothing here stems from MovieLens or from anybody's
ratings. Of eight films that tastes are about, a user loves two and cannot stand two others, and she rates
each film by what it shares with these: genres, directors, actors. So what a model learns of her can be read:
she who loves *Goodfellas* is drawn to Scorsese, to De Niro and to crime.

All draws are bytes of a hash and all arithmetic is of whole numbers, so that the sample is the same on every
processor and with every version of NumPy.
"""

import csv
import hashlib
from importlib import resources

import numpy as np
import pandas as pd

from accent_lib.arguments import whole
from accent_lib.datasets.ratings import ATTRIBUTE_COLUMNS, Ratings, object_array
from accent_lib.errors import AccentError

#: The genres of MovieLens, in its order, which numbers them.
GENRES = (
    "Action, Adventure, Animation, Children's, Comedy, Crime, Documentary, Drama, Fantasy, Film-Noir, "
    "Horror, Musical, Mystery, Romance, Sci-Fi, Thriller, War, Western"
).split(", ")
#: Films that tastes are about. They are few, so that one user can be learned from others.
EXEMPLARS = (
    "Vertigo",
    "The Good, the Bad and the Ugly",
    "Annie Hall",
    "Star Wars",
    "Alien",
    "Apocalypse Now",
    "Goodfellas",
    "Toy Story",
)
LOVED, LOATHED = 2, 2  # of these, by each user
#: What it is worth to share all genres, a director or an actor with one of them, in thousandths of a star.
SHARED = {"genres": 1600, "directors": 1600, "actors": 900}
MIDDLE, NOISE = 2900, 450  # where ratings lie, and their spread by chance; thousandths, too
FIRST_SECOND = 1_600_000_000  # September 2020
DAY = 86_400


def films() -> pd.DataFrame:
    """Read the table of films, in the order of their years.

    Returns
    -------
    DataFrame
        Columns ``title`` (str), ``year`` (int), ``genres``, ``directors`` and ``actors`` (tuples of names).

    Examples
    --------
    >>> table = films()
    >>> table[table["title"] == "Casablanca"].iloc[0]["actors"]
    ('Humphrey Bogart', 'Ingrid Bergman', 'Paul Henreid')
    """
    text = (resources.files("accent_lib.datasets") / "films.csv").read_text(encoding="utf-8")
    table = pd.DataFrame(list(csv.DictReader(text.splitlines()))).astype({"year": "int64"})
    for column in ATTRIBUTE_COLUMNS:
        table[column] = object_array(tuple(names.split("|")) for names in table[column])
    return table


def generate(seed=20210711, n_users=120, n_items=None) -> Ratings:
    """Generate the sample.

    Parameters
    ----------
    seed : int
        The same seed gives the same sample, byte for byte.
    n_users : int
        Users before pruning; at least 2.
    n_items : int, optional
        Films before pruning, at least 20: those that share the most with one of the `EXEMPLARS`, so that few
        films have much in common, too. Default: all.

    Returns
    -------
    Ratings
        Original ids count from 1, films in the order of their years. Three films in a hundred have no row in
        the attribute table, as in MovieLens.

    Raises
    ------
    AccentError
        If the sample would be too small, or larger than the table of films.
    """
    table = films()
    seed, n_users = whole(seed, "seed"), whole(n_users, "n_users")
    n_items = len(table) if n_items is None else whole(n_items, "n_items")
    if n_users < 2 or n_items < 20:
        raise AccentError(
            f"A sample of {n_users} users and {n_items} films is too small; take at least 2 and 20."
        )
    if n_items > len(table):
        raise AccentError(f"The sample knows {len(table)} films, not {n_items}; ask for fewer.")
    numbers = {"genres": {name: number for number, name in enumerate(GENRES)}}
    for kind in ("directors", "actors"):
        names = sorted({name for names in table[kind] for name in names})
        numbers[kind] = {name: number for number, name in enumerate(names)}
    common = _in_common(table)
    exemplars = np.flatnonzero(table["title"].isin(EXEMPLARS))
    nearest = np.argsort(-common[:, exemplars].max(axis=1), kind="stable")
    chosen = np.sort(nearest[:n_items])
    table, common = table.loc[chosen].reset_index(drop=True), common[np.ix_(chosen, exemplars)]

    draws = _Draws(seed)
    activity = _activity(draws, n_users, n_items)
    quality = draws.bell("quality", n_items) * 300 >> 16
    stars = _stars(draws, common, activity, quality)
    ratings = _ratings(draws, stars, activity, quality)
    items = pd.DataFrame(
        {
            "title": [f"{film.title} ({film.year})" for film in table.itertuples()],
            "year": table["year"].astype("Int64").to_numpy(),
            "genres": table["genres"].to_numpy(),
        },
        index=pd.RangeIndex(1, n_items + 1, name="item"),
    )
    attributes = pd.DataFrame(
        {
            kind: object_array(tuple(numbers[kind][name] for name in names) for names in table[kind])
            for kind in ATTRIBUTE_COLUMNS
        },
        index=items.index,
    )
    return Ratings("sample", ratings, items, attributes[items.index % 33 != 0])


class _Draws:
    """Draws by name, each the bytes of a hash, so that a change of one leaves the others as they are."""

    def __init__(self, seed):
        self.seed = seed

    def whole(self, name, shape):
        """Draw whole numbers from 0 to 65,535."""
        size = int(np.prod(shape))
        found = hashlib.shake_256(f"{self.seed} {name}".encode()).digest(2 * size)
        return np.frombuffer(found, dtype="<u2").astype(np.int64).reshape(shape)

    def bell(self, name, shape):
        """Draw from nearly a normal distribution with a standard deviation of 65,536: the sum of twelve."""
        return self.whole(name, (*np.atleast_1d(shape), 12)).sum(axis=-1) - 6 * 65_535

    def order(self, name, number):
        """Draw an order of so many things."""
        return np.argsort(self.whole(name, number), kind="stable")


def _in_common(table):
    """What each two films have in common, in thousandths of a star, shape (n_items, n_items)."""
    common = np.zeros((len(table), len(table)), dtype=np.int64)
    for kind, worth in SHARED.items():
        names = sorted({name for names in table[kind] for name in names})
        has = np.array([[name in own for name in names] for own in table[kind]], dtype=np.int64)
        shared = has @ has.T
        if kind == "genres":  # the share of all genres of the two that both have
            n = has.sum(axis=1)
            common += worth * shared // (n[:, None] + n - shared)
        else:
            common += worth * shared
    return common


def _activity(draws, n_users, n_items):
    """Draw how many films each user rates, shape (n_users,): 42 to 136, where there are as many; most few."""
    draw = draws.whole("activity", n_users)
    return np.minimum(42 + 21 * (450 * draw**3 >> 48) // 100, 68 * n_items // 100)


def _stars(draws, common, activity, quality):
    """Draw what each user would rate each film: whole stars from 1 to 5, shape (n_users, n_items)."""
    n_users, n_items = len(activity), len(common)
    taste = np.zeros((n_users, n_items), dtype=np.int64)
    for user in range(n_users):
        order = draws.order(f"taste of {user}", len(EXEMPLARS))
        loved, loathed = order[:LOVED], order[LOVED : LOVED + LOATHED]
        taste[user] = common[:, loved].sum(axis=1) - common[:, loathed].sum(axis=1)
    taste -= taste.sum(axis=1, keepdims=True) // n_items  # which films, not how many stars in general
    # Who rates little rates critically; else pruning, which asks for ten negatives, would leave the busy
    # alone.
    usual = activity.sum() // n_users
    mildness = 1800 * (activity - usual) // (activity + usual)
    noise = draws.bell("noise", (n_users, n_items)) * NOISE >> 16
    exact = MIDDLE + quality + mildness[:, None] + taste + noise
    return np.clip((exact + 500) // 1000, 1, 5)


def _ratings(draws, stars, activity, quality):
    """Choose who rates what and when; a table in the order of a log that was shuffled, as ``u.data`` is."""
    n_users, n_items = stars.shape
    # Better films are seen more often, but chance decides most of it; and one sees rather what one will like.
    popularity = 2 * quality + (draws.bell("popularity", n_items) * 700 >> 16)
    wish = popularity + 250 * stars + (draws.bell("wish", (n_users, n_items)) * 1000 >> 16)
    rows = []
    for user in range(n_users):
        chosen = np.argsort(-wish[user], kind="stable")[: activity[user]]
        now = FIRST_SECOND + int(draws.whole(f"days of {user}", 1)[0]) * 200 * DAY // 65_536
        pauses = draws.whole(f"pauses of {user}", (len(chosen), 2)).tolist()
        for place, (item, (kind, length)) in enumerate(zip(chosen.tolist(), pauses, strict=True)):
            if place and kind < 4_000:  # comes back another day
                now += DAY + length * 19 * DAY // 65_536
            elif kind < 40_000:  # else: several films rated on one page, in the same second
                now += 1 + length * 59 // 65_536
            rows.append((user + 1, item + 1, stars[user, item], now))
    ratings = pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"]).astype(np.int64)
    return ratings.iloc[draws.order("log", len(ratings))].reset_index(drop=True)
