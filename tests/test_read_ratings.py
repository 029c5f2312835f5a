"""Any ratings table: files of every kind from reading to explaining, and one sentence where one is wrong."""

import importlib.util
import warnings
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from accent_lib.datasets import load, prepare, read_ratings
from accent_lib.errors import AccentError, AccentWarning
from accent_lib.explanations import closeup
from accent_lib.models import NCF
from accent_lib.training import Recipe, State, train

STARS = [1, 2, 3, 4, 5]


def rows(values=STARS, n_users=12, n_items=30, each=20):
    """Ratings of a small club as (user, item, rating); every user has every value."""
    generator = np.random.default_rng(7)
    return [
        (user, int(item), values[(place + user) % len(values)])
        for user in range(1, n_users + 1)
        for place, item in enumerate(generator.permutation(n_items)[:each] + 1)
    ]


def lines(table, sep, header=None, last=""):
    """A text of rows, each field as it is."""
    texts = [] if header is None else [header]
    return "\n".join([*texts, *(sep.join(map(str, row)) + last for row in table)]) + "\n"


@pytest.fixture
def write(tmp_path):
    """Write a text or bytes into a file and give its path."""

    def put(content, name="ratings.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def explained(ratings):
    """Prepare, train a little, and explain: the sentence to the first user."""
    data = prepare(ratings)
    model = NCF(data, dim=4)
    recipe = Recipe(steps=30, learning_rate=0.01, batch_size=64)
    model = train(model, recipe, [State.of(model)])[0].into(model)
    hers = closeup(model, user=0, k=5)
    assert data.titles[hers.items[0]] in hers.sentence(data.titles)
    return data


def the_same_as_the_frame(ratings, table):
    """Whether all rows were read as they are."""
    return ratings.ratings[["user", "item", "rating"]].to_numpy().tolist() == [list(row) for row in table]


# --- one file of each kind


def test_movielens_latest_small_through_the_same_reader(latest_small):
    ratings = latest_small
    assert len(ratings.ratings) == 100_836 and ratings.ratings["user"].nunique() == 610
    assert ratings.scale == (0.5, 5) and ratings.positive_at == 2.75 and ratings.name == "ml-latest-small"
    assert ratings.items.loc[1].tolist()[:2] == ["Toy Story (1995)", 1995]
    assert ratings.items.loc[1, "genres"] == ("Adventure", "Animation", "Children", "Comedy", "Fantasy")
    assert not ratings.items["genres"].map(lambda names: "(no genres listed)" in names).any()
    assert "items of the table that nobody rated (18)" in ratings.describe().splitlines()[2]
    data = prepare(ratings)
    assert (
        data.n_items == 3650 and data.n_users == 491
    )  # with 5 ratings; with 2 of each sign, as four in five
    assert data.describe().startswith("3,650 of 9,724 items have at least 5 ratings; with these, 491 of 610 ")
    assert prepare(ratings, min_ratings=1).n_items == 9724
    model = NCF(data)
    (state,) = train(model, Recipe(steps=5, batch_size=256), [State.of(model)])
    hers = closeup(state.into(model), user=3, k=5)
    assert data.titles[hers.items[0]] in hers.sentence(data.titles)


def test_tabs_without_names_or_times(write):
    table = rows([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4])
    ratings = read_ratings(write(lines(table, "\t"), "club.txt"))
    assert the_same_as_the_frame(ratings, table) and ratings.name == "club"
    assert ratings.scale == (0.5, 4) and ratings.positive_at == 2.25
    assert ratings.ratings["timestamp"].tolist() == list(range(len(table)))
    assert "no time: the order of the rows (tabs, UTF-8, no header)" in ratings.describe()
    data = explained(ratings)
    history = data.train[data.rows(0)]
    assert history["timestamp"].is_monotonic_increasing


def test_double_colons_and_ids_that_are_texts(write):
    table = [(f"user-{u}", f"tt{i:04}", r, 880_000_000 + i) for u, i, r in rows(list(range(1, 11)))]
    ratings = read_ratings(write(lines(table, "::"), "ratings.dat"))
    assert ratings.ratings.to_numpy().tolist() == [list(row) for row in table]
    assert ratings.scale == (1, 10) and ratings.positive_at == 5.5
    data = explained(ratings)
    assert data.user_ids.tolist() == sorted({row[0] for row in table})
    assert data.item_ids[data.train["item"]].tolist()[0] in {row[1] for row in table}
    assert prepare(ratings).fingerprint == data.fingerprint
    renamed = ratings.ratings.assign(user="x" + ratings.ratings["user"])
    other = read_ratings(renamed.rename(columns={"timestamp": "time"}))
    assert prepare(other).fingerprint != data.fingerprint


def test_counts_of_a_file_with_names(write):
    table = rows([1, 3, 10, 200, 9000])
    ratings = read_ratings(write(lines(table, "\t", "userID\tartistID\tweight"), "user_artists.dat"))
    assert np.allclose(ratings.ratings["rating"], np.log1p([row[2] for row in table]), rtol=1e-15, atol=0)
    low, high = np.log(2), np.log(9001)
    assert ratings.scale == pytest.approx((low, high)) and ratings.positive_at == pytest.approx(
        (low + high) / 2
    )
    assert "log(1 + count), 0.6931 to 9.105; liked from a count of 134 on, 40%" in ratings.describe()
    explained(ratings)
    assert read_ratings(
        write(lines(table, "\t", "userID\tartistID\tweight")), positive_at=10
    ).positive_at == np.log(11)
    as_they_are = read_ratings(write(lines(rows(), ",", "user,item,weight")), counts=False)
    assert as_they_are.scale == (1, 5)


def test_parquet(tmp_path, monkeypatch):
    frame = pd.DataFrame(rows(), columns=["userId", "movieId", "rating"])
    path = tmp_path / "club.parquet"
    frame.to_parquet(path)
    ratings = read_ratings(path)
    assert the_same_as_the_frame(ratings, rows()) and "(Parquet)" in ratings.describe()
    explained(ratings)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AccentError, match=r"a Parquet file needs the package pyarrow; install it, or save"):
        read_ratings(path)


INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"


def test_recbole_with_empty_ids(write):
    table = [(u, i, f"{r}.0", f"8.8e{8}") for u, i, r in rows()]
    text = lines(table, "\t", INTER) + "\t7\t5\t1\n3\t\t5\t1\n"
    items = write(
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tMr. Smith\tDrama War\n2\tHeat\t\n",
        "c.item",
    )
    ratings = read_ratings(write(text, "club.inter"), items)
    assert the_same_as_the_frame(ratings, rows()) and (ratings.ratings["timestamp"] == 880_000_000).all()
    assert "rows without an id, a rating or a time (2)" in ratings.describe()
    assert ratings.items["title"].tolist()[:3] == ["Mr. Smith", "Heat", "3"]
    assert ratings.items["genres"].tolist()[:2] == [("Drama", "War"), ()]
    explained(ratings)
    with pytest.raises(AccentError, match=r"club\.inter, line 242: the user is missing; add it, or leave"):
        read_ratings(write(text, "club.inter"), missing="refuse")


@pytest.mark.parametrize("quoted", [False, True])
def test_byte_order_mark_and_line_ends_of_windows(write, quoted):
    table = [(u, i, f'"{r}"' if quoted else r, f"2020-01-{i:02}") for u, i, r in rows()]
    text = lines(table, ",", "userId,movieId,rating,date").replace("\n", "\r\n")
    ratings = read_ratings(write(b"\xef\xbb\xbf" + text.encode()))
    assert the_same_as_the_frame(ratings, rows())
    seconds = datetime(2020, 1, table[0][1], tzinfo=UTC).timestamp()
    assert ratings.ratings["timestamp"].iloc[0] == seconds
    explained(ratings)


def test_semicolons_and_decimal_commas(write):
    table = rows([0.5, 1, 2.5, 3, 4.5, 5])
    text = lines(table, ";", "User-ID;ISBN;Book-Rating").replace(".", ",")
    ratings = read_ratings(write(text))
    assert the_same_as_the_frame(ratings, table) and ratings.scale == (0.5, 5)
    assert "semicolons" in ratings.describe()
    explained(ratings)


def test_a_frame_from_reading_to_explaining():
    frame = pd.DataFrame(rows(), columns=["student", "book", "stars"])
    frame["time"] = pd.Timestamp("2020-05-01", tz="Europe/Rome") + pd.to_timedelta(np.arange(len(frame)), "h")
    ratings = read_ratings(frame, name="club")
    assert the_same_as_the_frame(ratings, rows()) and ratings.name == "club"
    assert ratings.ratings["timestamp"].iloc[0] == datetime(2020, 4, 30, 22, tzinfo=UTC).timestamp()
    explained(ratings)


# --- columns and what they hold

NAMES = [
    "userId,movieId,rating,timestamp",  # MovieLens
    "reviewerID,asin,overall,unixReviewTime",  # Amazon, older
    "user_id,parent_asin,rating,timestamp",  # Amazon
    "user_id,business_id,stars,date",
    "USER,ITEM,SCORE,TIME",
    "user_id:token,item_id:token,rating:float,timestamp:float",
]


@pytest.mark.parametrize("names", NAMES)
def test_usual_names_in_any_order(write, names):
    text = "\n".join([names, "1,10,5,100", "2,10,1,50", "2,20,3,60", ""])
    expected = [[1, 10, 5, 100], [2, 10, 1, 50], [2, 20, 3, 60]]
    assert read_ratings(write(text)).ratings.to_numpy().tolist() == expected
    turned = "\n".join(",".join(reversed(line.split(","))) for line in text.splitlines())
    assert read_ratings(write(turned)).ratings.to_numpy().tolist() == expected


def test_names_and_positions_of_the_caller(write):
    text = "wer;was;wie sehr;wann\nann;Emma;4,5;3\nbob;Emma;1,0;2\n"
    asked = {"user": "wer", "item": "was", "rating": "wie sehr"}
    ratings = read_ratings(write(text), **asked, time="wann")
    assert ratings.ratings.to_numpy().tolist() == [["ann", "Emma", 4.5, 3], ["bob", "Emma", 1.0, 2]]
    assert "not read: wann (" in read_ratings(write(text), **asked).describe()
    by_place = read_ratings(write(text), user=0, item=1, rating=2, time=3)
    assert by_place.fingerprint == ratings.fingerprint
    headless = read_ratings(write("x,2,ann,5\nx,3,bob,1\n"), user=2, item=1, rating=3)
    assert headless.ratings.to_numpy().tolist()[1][:3] == ["bob", 3, 1]


def test_a_first_row_with_a_word_that_may_be_a_name_is_none(write):
    ratings = read_ratings(write("ann,Game,5\nbob,Book,1\n"))
    assert ratings.ratings["item"].tolist() == ["Game", "Book"]


def test_a_first_row_that_comes_again_is_none(write):
    by_place = {"user": 0, "item": 1, "rating": False}
    for text, n in (("ann,Emma\nann,Dune\nbob,Emma\n", 3), ("wer,was\nann,Dune\nbob,Emma\n", 2)):
        assert len(read_ratings(write(text), **by_place).ratings) == n


def test_exports_of_ones_own(write):
    letterboxd = (
        "Date,Name,Year,Letterboxd URI,Rating\n2020-01-02,Parasite,2019,https://boxd.it/a,4.5\n"
        "2020-01-01,Cats,2019,https://boxd.it/b,0.5\n"
    )
    ratings = read_ratings(write(letterboxd))
    assert ratings.ratings["user"].unique().tolist() == ["you"]
    assert (
        ratings.items["title"].tolist() == ["Parasite", "Cats"]
        and ratings.items["year"].tolist() == [2019] * 2
    )
    imdb = (
        "Const,Your Rating,Date Rated,Title,Original Title,URL,Title Type,IMDb Rating,Year,Genres,Directors\n"
        'tt1,9,2020-01-31,Heat,Heat,http://x,Movie,8.3,1995,"Crime, Drama",Michael Mann\n'
        "tt2,10,2020-01-31,Ran,Ran,http://x,Movie,8.2,1985,War,Akira Kurosawa\n"
    )
    ratings = read_ratings(write(imdb))
    assert ratings.items["genres"].tolist() == [("Crime", "Drama"), ("War",)]
    assert ratings.attributes["directors"].tolist() == [(2,), (1,)]
    assert "one user, who is not named" in ratings.describe()
    goodreads = (
        "Book Id,Title,Author,My Rating,Date Added\n1,Emma,Jane Austen,5,2020/01/31\n"
        "2,Ulysses,James Joyce,0,2019/01/01\n3,Ada,V. N.,2,2019/01/01\n"
    )
    ratings = read_ratings(write(goodreads))
    assert ratings.ratings["item"].tolist() == [1, 3] and "rating 0 says that there is none (1)" in str(
        ratings
    )
    assert ratings.items["authors"].tolist() == [("Jane Austen",), ("V. N.",)]


def test_times_in_every_unit_and_way():
    frame = pd.DataFrame({"user": [1, 2], "item": [3, 4], "rating": [1, 5]})

    def times(values, **options):
        return read_ratings(frame.assign(time=values), **options).ratings["timestamp"].tolist()

    seconds = 1_600_000_000
    for factor in (1, 10**3, 10**6, 10**9):
        assert times([seconds * factor, (seconds + 1) * factor]) == [seconds, seconds + 1]
    assert times(["Sun Sep 13 05:26:40 -0700 2020", "Sun Sep 13 05:26:41 -0700 2020"]) == [
        seconds,
        seconds + 1,
    ]
    assert times(["2020-09-13 12:26:40", "2020-09-13T12:26:41Z"]) == [seconds, seconds + 1]
    assert times(["13.09.2020", "14.09.2020"], time_format="%d.%m.%Y") == [1_599_955_200, 1_600_041_600]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas would rather have numbers without a format
        assert times([20200913, 20200914], time_format="%Y%m%d") == [1_599_955_200, 1_600_041_600]
    assert times([None, None]) == [0, 1] and times([5, 4], time=False) == [0, 1]


def test_ids_stay_as_the_file_has_them(write):
    def ids(*texts):
        table = [(text, f"i{place}", 1 + 4 * (place % 2)) for place, text in enumerate(texts)]
        return read_ratings(write(lines(table, ",", "user,item,rating"))).ratings["user"].tolist()

    assert ids("7", "-3", "0") == [7, -3, 0]
    assert ids("007", "7") == ["007", "7"]
    assert ids("7", "1e2", "ann") == ["7", "1e2", "ann"]  # texts, so 1e2 may be one
    assert ids("9" * 40, "7") == ["9" * 40, "7"]
    assert ids("Zoë", "日本") == ["Zoë", "日本"]
    latin = read_ratings(write("user,item,rating\nZo\u00eb,a,1\nAnn,a,5\n".encode("latin-1")))
    assert latin.ratings["user"].tolist() == ["Zoë", "Ann"] and "Latin-1" in latin.describe()
    texts = pd.DataFrame({"user": ["1e2", "5"], "item": ["x", "y"], "rating": [1, 5]})
    assert read_ratings(texts).ratings["user"].tolist() == ["1e2", "5"]


def test_an_id_of_thousands_of_digits_is_a_text(write):
    ratings = read_ratings(write(f"user,item,rating\n1,{'9' * 5000},5\n2,7,1\n"))
    assert ratings.ratings["item"].tolist() == ["9" * 5000, "7"]


def test_repeated_ratings_by_each_rule(write):
    text = "user,item,rating,time\n1,7,5,30\n1,7,2,10\n2,7,1,5\n1,8,3,20\n"

    def of_pair(rule, text=text):
        ratings = read_ratings(write(text), duplicates=rule)
        row = ratings.ratings.query("user == 1 and item == 7")
        assert len(ratings.ratings) == 3
        return row["rating"].tolist() + row["timestamp"].tolist(), ratings.describe()

    assert of_pair("last")[0] == [5, 30]  # by time, not by line
    assert of_pair("first")[0] == [2, 10]
    assert of_pair("mean")[0] == [3.5, 30]
    assert "repeated ratings of an item by a user, of which the last counts (1)" in of_pair("last")[1]
    counts = of_pair("sum", text.replace("rating", "plays"))[0]
    assert counts == [np.log1p(7), 30]
    events = "user,item,time\n1,7,30\n1,7,10\n2,7,5\n1,8,20\n"
    heard = read_ratings(write(events), counts=True, duplicates="sum")
    assert heard.ratings["rating"].tolist() == np.log1p([2.0, 1.0, 1.0]).tolist()


@pytest.mark.parametrize(
    ("values", "scale", "middle"),
    [
        ([1, 5], (1, 5), 3), ([2, 5], (1, 5), 3), ([0, 5], (0, 5), 2.5), ([0.5, 5], (0.5, 5), 2.75),
        ([1, 10], (1, 10), 5.5), ([0, 10], (0, 10), 5), ([3, 100], (0, 100), 50), ([-1, 1], (-1, 1), 0),
        ([1, 4], (1, 4), 2.5), ([-9.5, 9.75], (-9.5, 9.75), 0.125), ([0, 1], (0, 1), 0.5),
    ],
)  # fmt: skip
def test_scales(values, scale, middle):
    frame = pd.DataFrame({"user": [1, 2], "item": [3, 4], "rating": values})
    ratings = read_ratings(frame)
    assert (ratings.scale, ratings.positive_at) == (scale, middle)
    told = read_ratings(frame, scale=(-10, 200), positive_at=1)
    assert (told.scale, told.positive_at) == ((-10, 200), 1)
    data = prepare(told, min_positive=0, min_negative=0)
    assert data.train["positive"].tolist() == [value >= 1 for value in values]


def test_what_was_only_liked(write):
    text = "user,item\n" + "".join(f"{u},{i}\n" for u, i, _ in rows())
    ratings = read_ratings(write(text))
    assert (ratings.ratings["rating"] == 1).all() and "each row says that an item was liked" in str(ratings)
    data = prepare(ratings)
    assert data.train["positive"].all() and data.settings["min_negative"] == 0 and data.n_users == 12


# --- items


def test_items_of_a_table_of_their_own(write):
    frame = pd.DataFrame({"user": [1, 1, 2], "book": ["10", "20", "30"], "stars": [1, 5, 3]})
    text = (
        "book,title,published,genre,author,mood\n"
        '10,"Emma, a novel",1815-12-23,"Comedy, Romance",Jane Austen,3|1\n'
        "20,<b>Ulysses</b> & co,,,James Joyce,3\n99,Never read,1900,War,Nobody,2\n"
    )
    ratings = read_ratings(frame, write(text), attributes=["mood"])
    assert ratings.items["title"].tolist() == ["Emma, a novel", "<b>Ulysses</b> & co", "30"]
    assert ratings.items["year"].fillna(0).tolist() == [1815, 0, 0]
    assert ratings.items["genres"].tolist() == [("Comedy", "Romance"), (), ()]
    assert ratings.attributes["genres"].tolist() == [(1, 2), (), ()]
    assert ratings.attributes["authors"].tolist() == [(2,), (1,), ()]
    assert ratings.attributes["mood"].tolist() == [(3, 1), (3,), ()]  # numbers stay what they are
    assert ratings.attributes["actors"].tolist() == [()] * 3
    last = ratings.describe().splitlines()[2]
    assert "known of items: title, year, genres split at ',', authors, mood split at '|', from" in last
    assert "which lacks 1 of them); left out: items of the table that nobody rated (1)." in last
    data = prepare(ratings, min_positive=0, min_negative=0)
    assert data.attributes["mood"].tolist() == [(3, 1), (3,), ()]


def test_items_as_lists_and_by_another_separator():
    ratings = pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1, 5]})
    items = pd.DataFrame({"item": [1, 2], "tags": [["a", "b"], "['b', 'c']"], "cast": ["X/Y", "Y"]})
    read = read_ratings(ratings, items, attribute_sep="/")
    assert read.items["tags"].tolist() == [("a", "b"), ("b", "c")]
    assert read.items["actors"].tolist() == [("X", "Y"), ("Y",)]
    assert read.attributes["actors"].tolist() == [(1, 2), (2,)]


def test_items_without_names_as_movielens_1m_has_them(write):
    items = write(
        "1::Toy Story (1995)::Animation|Comedy\n2::\u00c9lisa (1995)::Drama\n".encode("latin-1"), "movies.dat"
    )
    ratings = read_ratings(write("1::1::5::978300760\n1::2::3::978302109\n", "ratings.dat"), items)
    assert ratings.items["title"].tolist() == ["Toy Story (1995)", "Élisa (1995)"]
    assert ratings.items["year"].tolist() == [1995] * 2
    assert ratings.items["genres"].tolist() == [("Animation", "Comedy"), ("Drama",)]


def test_the_title_of_a_review_is_no_title_of_an_item(write):
    text = (
        "rating,title,text,parent_asin,user_id,timestamp\n"
        '5.0,Great,"two\nlines, ""quoted""",P1,A,1588687728923\n1.0,Bad,x,P1,B,1588687728924\n'
        "3.0,Fine,x,P2,B,1588687728925\n"
    )
    ratings = read_ratings(write(text))
    assert ratings.items["title"].tolist() == ["P1", "P2"] and "not read: title, text" in ratings.describe()


# --- what is wrong, in one sentence with the line

HEADER = "user,item,rating,time\n"
GOOD = "1,10,5,100\n2,10,1,50\n"
BROKEN = {
    "a rating that is a word": (HEADER + GOOD + "3,10,good,1\n", {}, "line 4: the rating is 'good'"),
    "a rating in stars": (HEADER + GOOD + "3,10,★★★,1\n", {}, "line 4: the rating is '★★★'"),
    "no rating": (HEADER + "1,10,,1\n" + GOOD, {}, "line 2: the rating is missing"),
    "nan": (HEADER + GOOD + "3,10,NaN,1\n", {}, "line 4: the rating is missing"),
    "infinity": (HEADER + GOOD + "3,10,inf,1\n", {}, "line 4: the rating is 'inf'"),
    "a number without end": (HEADER + GOOD + "3,10,1e999,1\n", {}, "line 4: .* is not a finite number"),
    "no user": (HEADER + GOOD + ",10,4,1\n", {}, "line 4: the user is missing"),
    "no item": (HEADER + GOOD + "3, ,4,1\n", {}, "line 4: the item is missing"),
    "an item called NULL": (HEADER + GOOD + "3,NULL,4,1\n", {}, "line 4: the item is missing"),
    "no time": (HEADER + GOOD + "3,10,4,\n", {}, "line 4: the time is missing.*time=False"),
    "a date of two readings": (HEADER + "1,10,5,01/02/2020\n", {}, "line 2: the time is '01/02/2020'"),
    "one date among seconds": (HEADER + GOOD + "3,10,4,today\n", {}, "line 4: the time is 'today'"),
    "a user as a spreadsheet has it": (HEADER + GOOD + "1e2,10,4,1\n", {}, "line 4: the user is '1e2', a"),
    "an item as a spreadsheet has it": (HEADER + GOOD + "3,1.0E+05,4,1\n", {}, "line 4: the item is '1.0E"),
    "a decimal id": (HEADER + GOOD + "3.0,10,4,1\n", {}, "line 4: the user is '3.0', a number"),
    "a field too few": (HEADER + "1,10,5\n" + GOOD, {}, r"line 2: it has 3 field\(s\) instead of 4"),
    "a field too many": (HEADER + GOOD + "3,10,4,1,9\n" + GOOD, {}, r"line 4: it has 5 field\(s\)"),
    "cut off": (HEADER + GOOD + "3,10", {}, r"line 4: it has 2 field.*probably truncated"),
    "an open quotation mark": (HEADER + GOOD + '3,"10,4,1\n' + GOOD, {}, "line 4: a quotation mark is not"),
    "text behind a quotation mark": (HEADER + '1,"10"x,4,1\n', {}, "line 2: a quotation mark is not"),
    "thousands or decimals": (HEADER + GOOD + '3,10,"1,234",1\n', {}, "line 4: .*may be thousands"),
    "a negative count": (HEADER.replace("rating", "plays") + "1,10,-1,1\n", {}, "line 2: the count is '-1'"),
    "half a count": (HEADER.replace("rating", "plays") + GOOD + "1,20,0.5,1\n", {}, "line 4: the count is"),
    "off the scale": (HEADER + GOOD + "3,10,6,1\n", {"scale": (1, 5)}, "line 4: the rating is '6', .* 5;"),
    "twice, which is refused": (HEADER + GOOD + "1,10,4,1\n", {"duplicates": "refuse"}, "line 4: user 1"),
    "ratings that are added": (HEADER + GOOD + "1,10,4,1\n", {"duplicates": "sum"}, "line 4: .*only counts"),
    "a wrong line behind a text of several": (
        'user,item,rating,review\n1,10,5,"a\n\nb"\n\n2,10,x,c\n', {}, "line 6: the rating is 'x'"
    ),
    "a wrong line behind windows' line ends": ("1\t2\t3\r\n1\t3\tx\r\n", {}, "line 2: the rating is 'x'"),
    "a date or seconds": (HEADER + "1,10,5,20200131\n", {}, "line 2: the time is 20200131, which .*'%Y%m%d'"),
    "colons": ("1::2::3::4\n1::3::?::5\n", {}, "line 2: the rating is '[?]'"),
}  # fmt: skip
OPEN = {
    "empty": ("", {}, "is empty"),
    "blank": ("\n  \n", {}, "is empty"),
    "names only": (HEADER, {}, "has a header but no rows"),
    "all rows dropped": (HEADER + ",1,1,1\n", {"missing": "drop"}, "has no row with a user, an item"),
    "all unrated": ("user,item,my rating\n1,2,0\n", {}, "has no row with a user, an item"),
    "binary": (bytes(range(256)), {}, "is no text but a binary file"),
    "a spreadsheet": (b"PK\x03\x04", {}, "is an archive or a spreadsheet"),
    "UTF-16": (HEADER.encode("utf-16"), {}, "is written in UTF-16; save it as UTF-8"),
    "one column": ("rating\n5\n4\n", {}, "no separator that gives all as many fields; name it"),
    "two separators": ("1,2;3,4;5,6\n1,2;3,4;5,6\n", {}, "may be separated by semicolons or commas; name it"),
    "unknown names": ("wer,was,wie\n1,2,3\n", {}, "no column that is known as the user; say which by"),
    "no rating among them": ("user,item,wie\n1,2,3\n", {}, "known as the rating; .*wie, or rating=False"),
    "no item among them": ("user,was,rating\n1,2,3\n", {}, "known as the item; say which by item"),
    "two users": ("user,username,item,rating\n1,2,3,4\n", {}, "'user' and 'username' may both be the user"),
    "two of one name": ("user,item,rating,rating\n1,2,3,4\n", {}, "two columns are called 'rating'"),
    "a name that is not there": (HEADER + GOOD, {"user": "wer"}, "has no column 'wer'"),
    "a position that is not there": (HEADER + GOOD, {"user": 9}, "has no column 9 for user"),
    "five columns without names": ("1,2,3,4,5\n1,2,3,4,6\n", {}, r"has 5 column\(s\) without names; say"),
    "one rating for all": (HEADER + "1,2,3,4\n2,2,3,4\n", {}, "every rating is 3, so nothing tells"),
    "ratings that may be counts": (HEADER + "1,2,3,4\n2,2,3000,4\n", {}, "go up to 3,000; if they are"),
    "a rule that is none": (HEADER + GOOD, {"duplicates": "best"}, "`duplicates` is 'best'"),
    "a missing that is none": (HEADER + GOOD, {"missing": "ignore"}, "`missing` is 'ignore'"),
    "one column for two": (HEADER + GOOD, {"user": "item"}, "'item' would be both"),
    "a rating that is the time": (HEADER + GOOD, {"time": "rating"}, "'rating' would be both the time and"),
    "an attribute that is not there": (HEADER + GOOD, {"attributes": "mood"}, "has no column 'mood' for"),
    "a scale upside down": (HEADER + GOOD, {"scale": (5, 1)}, r"`scale` is \(5, 1\)"),
    "a scale of a word": (HEADER + GOOD, {"scale": "1-5"}, "`scale` is '1-5'"),
    "a middle off the scale": (HEADER + GOOD, {"positive_at": 7}, "`positive_at` is 7, but must lie"),
    "a middle that is no number": (HEADER + GOOD, {"positive_at": float("nan")}, "`positive_at` is nan"),
    "counts that are a word": (HEADER + GOOD, {"counts": "yes"}, "`counts` is 'yes'"),
    "no separator": (HEADER + GOOD, {"sep": ""}, "`sep` is ''"),
    "a line for a spreadsheet": ("sep=;\nuser;item;rating\n1;2;3\n4;5;6\n", {}, r"most have 3 .*'sep=;'\)"),
    "a comment": (f"# mine\n{HEADER}{GOOD}", {}, "most have 4 between commas, but not '# mine'"),
    "lines of JSON": ('{"user": "a", "item": "b", "rating": 5}\n', {}, "is JSON and no table; pass what"),
    "a list in JSON": ('[\n{"user": "a", "item": "b", "rating": 5}]\n', {}, "is JSON and no table"),
    "a page": ("<!DOCTYPE html>\n<p>Not found, sorry\n", {}, "is a page of the web and no table; fetch"),
    "a sign for no rating": ("user,item,rating\n1,2,-1\n1,3,8\n2,2,10\n", {}, "some are -1; .*unrated=-1"),
    "ninety-nine for none": ("user,item,rating\n1,2,99\n1,3,-8\n2,2,9\n", {}, "-8 to 9, but some are 99"),
    "one count for all": ("user,item,plays\n1,2,1\n2,2,1\n", {}, "every count is 1, .*rating=False if"),
    "a title as an attribute": ("user,item,rating,title\n1,2,3,A\n", {"attributes": "title"}, "is the title"),
    "names that come again": ("ann,Emma\nbob,Dune\nann,Dune\n", {}, r"has 2 column\(s\) without names; say"),
    "a format that is none": (HEADER + GOOD, {"time_format": "%Q"}, "cannot be read as '%Q'"),
}  # fmt: skip


@pytest.mark.parametrize("case", [*BROKEN, *OPEN])
def test_one_sentence_where_a_file_is_wrong(write, case):
    content, options, says = (BROKEN | OPEN)[case]
    path = write(content)
    with pytest.raises(AccentError, match=says) as error:
        read_ratings(path, **options)
    text = str(error.value)
    assert "\n" not in text and text.endswith(".")
    assert ("ratings.csv, line" in text) == (case in BROKEN)


def test_a_file_that_cannot_be_read(tmp_path, write):
    write(HEADER)
    for source, says in (
        (tmp_path, r"is a folder with ratings\.csv; name the file in it"),
        (
            "https://example.org/ratings.csv",
            "https://example.org/ratings.csv is an address on the web; fetch",
        ),
        (tmp_path / "nowhere.csv", r"cannot be read \(No such file"),
        (None, "not from NoneType"),
        ([1, 2], "not from list"),
        (pd.DataFrame(), "has no rows"),
    ):
        with pytest.raises(AccentError, match=says):
            read_ratings(source)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"user": [1, "a"]}, "row 1: the user is 'a' of type str; ids are all"),
        ({"user": [1.0, 2.0]}, "row 0: the user is 1.0 of type float"),
        ({"user": [True, False]}, "row 0: the user is True of type bool"),
        ({"user": [1, None]}, "row 1: the user is missing"),
        ({"rating": [1, np.inf]}, "row 1: the rating is inf, which is not a finite number"),
        ({"rating": [1, 10**400]}, "row 1: the rating is 1000.*, which is not a finite number"),
        ({"rating": [1, [2]]}, "row 1: 'rating' holds \\[2\\], where a number or"),
        ({"rating": [1, Decimal("NaN")]}, "row 1: the rating is"),
        ({"time": ["2020-01-01", "soon"]}, "row 1: the time is 'soon'"),
    ],
)
def test_one_sentence_where_a_frame_is_wrong(columns, says):
    frame = pd.DataFrame({"user": [1, 2], "item": [3, 4], "rating": [1, 5]}).assign(**columns)
    with pytest.raises(AccentError, match=f"The DataFrame, {says}"):
        read_ratings(frame)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("item,title\n10,A\n10,B\n", r"items\.csv, line 3: item 10 stands further up already"),
        ("item,title\n10,A\n,B\n", r"items\.csv, line 3: the item is missing"),
        ("item,title\n10,A\n11\n", r"items\.csv, line 3: it has 1 field"),
        ("item,title\n77,A\n", "None of the items that are rated is in .*: ratings have 10, it has 77"),
        ("imdb_id,id,title\ntt1,10,A\n", "it has tt1; .* call the column that has them as the rat"),
        ("name,title\n10,A\n", "has no column that is known as the item; give it the ratings' name, 'item'"),
        ("10,A\n11,B\n", "has no names in its first line"),
        ("item,genres\n10,[A\n11,\"['A', {}]\"\n10,[A\n", r"line 4: item 10"),
        ("item;genres\n9;x\n10;[A, B]\n", r"items\.csv, line 3: the genres are no list that can be read"),
        ("item;genres\n10;[{'id': 1}]\n", r"items\.csv, line 2: the genres are no list of names"),
    ],
)
def test_one_sentence_where_the_items_are_wrong(write, text, says):
    path = write(HEADER + GOOD)
    with pytest.raises(AccentError, match=says):
        read_ratings(path, write(text, "items.csv"))


# --- what is said


def test_what_was_understood_is_told_in_three_lines(write, capsys):
    said = []
    ratings = read_ratings(write(HEADER + GOOD), report=said.append)
    assert said == [ratings.describe()] == [repr(ratings)] and len(said[0].splitlines()) == 3
    assert capsys.readouterr().out == ""
    assert said[0].splitlines() == [
        "Columns: 'user' is the user, 'item' the item, 'rating' the rating, 'time' the time, in seconds "
        "(commas, UTF-8, the first line has the names).",
        "Scale: 1 to 5; liked from 3 on, 50% of the ratings.",
        "Ratings: 2; users: 2; items: 1 (nothing is known of items); left out: nothing.",
    ]
    assert load("sample").describe().startswith("sample: ")


def test_pruning_suits_the_data_and_says_where_most_users_go(write):
    said = []
    data = prepare(read_ratings(write(lines(rows(), ",", "user,item,rating"))), report=said.append)
    # Two fifths of 20 ratings are bad, fewer of some whose items have few; an item has 8 of them on average.
    least = data.settings["min_negative"]
    assert data.settings["min_positive"] == least == 7 and data.settings["min_ratings"] == 5
    items = f"{data.n_items} of 30 items have at least 5 ratings; with these, {data.n_users} of 12 users"
    assert said == [f"{items} have at least 7 positive and 7 negative ratings."] and data.n_users >= 9
    stricter = prepare(load("sample"), min_positive=20, min_negative=25)
    assert "so more than half of them are left out; lower `min_positive`" in stricter.describe()


def test_it_warns_where_most_users_go_by_defaults():
    """Of 12 who like everything and 3 who do not, the default needs one item that is disliked."""
    rated = [(user, item, 5 if user < 12 or item % 2 else 1) for user in range(15) for item in range(10)]
    ratings = read_ratings(pd.DataFrame(rated, columns=["user", "item", "rating"]))
    with pytest.warns(
        AccentWarning, match="^Of 'ratings' 10 of 10 items .*, 3 of 15 users .* more than half"
    ):
        data = prepare(ratings)
    assert data.n_users == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(ratings, min_positive=1, min_negative=1)  # as was asked for
        assert prepare(ratings, min_negative=0).n_users == 15


def test_one_user_and_one_item():
    one_user = pd.DataFrame({"user": 1, "item": range(20), "rating": [1, 5] * 10})
    data = prepare(read_ratings(one_user))
    assert data.n_users == 1 and data.n_items == 20
    one_item = pd.DataFrame({"user": range(20), "item": 1, "rating": [1, 5] * 10})
    ratings = read_ratings(one_item)
    assert ratings.items.index.tolist() == [1]
    with pytest.raises(AccentError, match="No user of 'ratings' is left"):
        prepare(ratings)
    assert prepare(ratings, min_positive=0, min_negative=0).n_users == 20
