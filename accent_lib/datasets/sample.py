"""The embedded sample: a small world of invented films, generated from a seed, that behaves like real data.

Nothing here stems from MovieLens. Users have planted tastes for genres, directors and actors; films have a
planted quality; both are heavy-tailed in how much they rate and are rated. A model that learns the tastes
predicts better than one that knows only averages, so every chapter of the book has something to show.
"""

import numpy as np
import pandas as pd

from accent_lib.datasets.ratings import ATTRIBUTE_COLUMNS, Ratings, object_array
from accent_lib.errors import AccentError

#: Nouns that a film's title draws from, by its first genre. The order of the genres is their numbering.
NOUNS = {
    "Action": "Dynamo, Gauntlet, Getaway Tractor, Fuse, Barricade, Turbine, Stuntman, Battering Ram",
    "Adventure": "Compass, Galleon, Atlas, Waterfall, Rope Bridge, Lagoon, Expedition, Parrot",
    "Animation": "Teapot, Hedgehog, Snowglobe, Crayon, Dumpling, Bumblebee, Sock Puppet, Turnip",
    "Comedy": "Brother-in-Law, Trombone, Wig, Dentist, Custard, Landlord, Goose, Bathtub",
    "Crime": "Alibi, Pickpocket, Ledger, Informant, Getaway Bus, Forger, Safe, Bailiff",
    "Drama": "Orchard, Piano Tuner, Inheritance, Harvest, Kitchen Table, Widower, Ferry, Letter",
    "Fantasy": "Griffin, Cauldron, Moonstone, Enchanter, Toadstool, Riddle, Kingdom, Broomstick",
    "Horror": "Cellar, Scarecrow, Lullaby, Attic, Mannequin, Fog, Undertaker, Wallpaper",
    "Romance": "Waltz, Postcard, Rendezvous, Valentine, Balcony, Honeymoon, Umbrella, Serenade",
    "Sci-Fi": "Satellite, Android, Wormhole, Moonbase, Replica, Orbit, Telescope, Asteroid",
    "Thriller": "Stairwell, Telephone, Witness, Cipher, Night Porter, Tunnel, Passenger, Keyhole",
    "Western": "Saddle, Gulch, Tumbleweed, Prospector, Spur, Mesa, Stagecoach, Marshal",
}
NOUNS = {genre: tuple(nouns.split(", ")) for genre, nouns in NOUNS.items()}
ADJECTIVES = (
    "Velvet Crooked Paper Borrowed Salted Nineteenth Reluctant Upside-Down "
    "Unfinished Copper Sleepless Overdue Left-Handed Whispering Secondhand Lopsided "
    "Marzipan Tuesday Inflatable Polite Rusty Forgetful Cobalt Provisional"
).split()
PLACES = ("Marrowbone", "Lower Pemble", "Quillhaven", "Saltmarsh Street", "Ostrava Lane", "Little Thudding")
PEOPLE = ("Wilhelmina", "Captain Oduya", "Aunt Perpetua", "Doctor Vesk", "Young Barnaby", "Señora Quill")
PATTERNS = (
    "The {adjective} {noun}",
    "The {adjective} {noun}",
    "{person} and the {adjective} {noun}",
    "The {adjective} {noun} of {place}",
    "{person}’s {noun}",
    "The {noun} Beneath {place}",
    "No {noun} in {place}",
)
#: How common each genre is; drama and comedy lead, as they do in real catalogues.
GENRE_WEIGHTS = np.array([10, 7, 5, 18, 8, 24, 5, 7, 12, 7, 10, 4], dtype=float)
FIRST_SECOND = 876_000_000  # October 1997
DAY = 86_400


def generate(seed=20210711, n_users=120, n_items=200) -> Ratings:
    """Generate the sample, with so many users and films before pruning; at least 2 and 20.

    The same seed gives the same sample, byte for byte.  Original ids count from 1. One film has no year, one
    title occurs twice, and three films in a hundred have no row in the attribute table.
    """
    if n_users < 2 or n_items < 20:
        raise AccentError(
            f"A sample of {n_users} users and {n_items} films is too small; take at least 2 and 20."
        )
    # One stream for each part, so that a change of one part leaves the others as they are.
    streams = [np.random.default_rng([seed, part]) for part in range(5)]
    films = _films(streams[0], n_items)
    items = _items(streams[1], films["genres"])
    activity = _activity(streams[2], n_users, n_items)
    stars = _stars(streams[3], films, activity)
    ratings = _ratings(streams[4], stars, films, activity)
    described = np.flatnonzero(np.arange(n_items) % 33 != 32)
    attributes = pd.DataFrame(
        {kind: object_array(tuple(films[kind][film]) for film in described) for kind in ATTRIBUTE_COLUMNS},
        index=pd.Index(described + 1, name="item"),
    )
    return Ratings("sample", ratings, items, attributes)


def _films(generator, n_items):
    """Draw genres, directors and actors (a list of ids a film), quality and popularity (shape (n_items,))."""
    n_genres = len(NOUNS)
    # Directors and actors have a genre in which they mostly work, and some work far more than others.
    staff = {"directors": (n_items * 2 // 5, 1, 0.06), "actors": (n_items * 6 // 5, 4, 0.1)}
    home = {kind: np.arange(number) % n_genres for kind, (number, _, _) in staff.items()}
    fame = {kind: 1 / (np.arange(number) // n_genres + 2.0) for kind, (number, _, _) in staff.items()}
    films = {"genres": [], "directors": [], "actors": []}
    for _ in range(n_items):
        number = generator.choice([1, 2, 3], p=[0.3, 0.45, 0.25])
        genres = _draw(generator, GENRE_WEIGHTS, number)
        films["genres"].append(genres)
        for kind, (_, usual, more) in staff.items():
            weights = fame[kind] * np.where(home[kind] == genres[0], 12.0, 1.0)
            films[kind].append(_draw(generator, weights, usual + (generator.random() < more)))
    films["quality"] = 0.38 * generator.standard_normal(n_items)
    # Better films are seen more often, but chance decides most of it; rank to the power of -0.8 is a heavy
    # tail.
    rank = np.argsort(np.argsort(-(films["quality"] + 0.6 * generator.standard_normal(n_items))))
    films["popularity"] = (rank + 4.0) ** -0.8
    return films


def _draw(generator, weights, number):
    """Draw distinct positions with these weights, as a list of int in the order drawn."""
    return generator.choice(len(weights), size=number, replace=False, p=weights / weights.sum()).tolist()


def _items(generator, genres):
    """Invent a title and a year for each film; no title twice, but for the last film's."""
    names = list(NOUNS)
    titles, years, used = [], [], set()
    for film in genres:
        for _ in range(1000):
            title = PATTERNS[generator.integers(len(PATTERNS))].format(
                noun=_pick(generator, NOUNS[names[film[0]]]),
                adjective=_pick(generator, ADJECTIVES),
                place=_pick(generator, PLACES),
                person=_pick(generator, PEOPLE),
            )
            if title not in used:
                break
        else:
            raise AccentError(f"There are not enough invented titles for {len(genres)} films; ask for fewer.")
        used.add(title)
        # Most films are recent, a few are old.
        year = 1997 - int(generator.exponential(9.0)) % 60
        titles.append(f"{title} ({year})")
        years.append(year)
    # What real catalogues have too: two films of one title, and one of which next to nothing is known.
    titles[-1], years[-1] = titles[len(titles) // 2], years[len(titles) // 2]
    titles[-2], years[-2] = "untitled reel", pd.NA
    return pd.DataFrame(
        {
            "title": titles,
            "year": pd.array(years, dtype="Int64"),
            "genres": object_array(tuple(names[genre] for genre in sorted(film)) for film in genres),
        },
        index=pd.RangeIndex(1, len(titles) + 1, name="item"),
    )


def _pick(generator, words):
    """Draw one word."""
    return words[generator.integers(len(words))]


def _activity(generator, n_users, n_items):
    """Draw how many films each user rates, shape (n_users,): log-normal, most a few dozen, some far more."""
    number = np.exp(4.1 + 0.4 * generator.standard_normal(n_users))
    return np.clip(number, 0.11 * n_items, 0.68 * n_items).astype(np.int64)


def _stars(generator, films, activity):
    """Draw what each user would rate each film: whole stars from 1 to 5, shape (n_users, n_items)."""
    n_users, n_items = len(activity), len(films["quality"])
    taste = np.zeros((n_users, n_items))
    for kind, spread in {"genres": 0.4, "directors": 0.25, "actors": 0.15}.items():  # spreads in stars
        number = 1 + max(map(max, films[kind]))
        tastes = spread * generator.standard_normal((n_users, number))
        if kind == "genres":
            # Tastes for genres hang together, so that one user can be learned from others.
            loadings = generator.standard_normal((3, number))
            loadings /= np.sqrt((loadings**2).sum(axis=0))
            for loading in loadings:
                tastes += 0.85 * generator.standard_normal((n_users, 1)) * loading
        for item, ids in enumerate(films[kind]):
            taste[:, item] += tastes[:, ids].sum(axis=1) / np.sqrt(len(ids))
    taste -= taste.mean(axis=1, keepdims=True)  # tastes say which films, mildness how many stars in general
    # Who rates little rates critically; else pruning, which asks for ten negatives, would leave the busy
    # alone.
    mildness = 0.9 * np.log(activity / activity.mean()) + 0.1 * generator.standard_normal(n_users)
    noise = 0.4 * generator.standard_normal((n_users, n_items))
    stars = 3.1 + films["quality"] + mildness[:, None] + taste + noise
    return np.clip(np.rint(stars), 1, 5).astype(np.int64)


def _ratings(generator, stars, films, activity):
    """Choose who rates what and when; a table in the order of a log that was shuffled, as ``u.data`` is."""
    n_users, n_items = stars.shape
    rows = []
    for user in range(n_users):
        # One draws the popular first, and rather what one is going to like.
        wish = np.log(films["popularity"]) + 0.1 * stars[user] + generator.gumbel(size=n_items)
        chosen = np.argsort(-wish, kind="stable")[: activity[user]]
        now = FIRST_SECOND + int(generator.integers(200 * DAY))
        for place, item in enumerate(chosen):
            if place and generator.random() < 0.06:  # comes back another day
                now += int(generator.integers(DAY, 20 * DAY))
            elif generator.random() < 0.6:  # else: several films rated on one page, in the same second
                now += int(generator.integers(1, 60))
            rows.append((user + 1, item + 1, stars[user, item], now))
    ratings = pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"]).astype(np.int64)
    return ratings.iloc[generator.permutation(len(ratings))].reset_index(drop=True)
