"""The parsers: what they read, and what they say about files that are not right."""

import pandas as pd
import pytest

from accent_lib.datasets.movielens import read_attributes, read_items, read_ratings
from accent_lib.errors import AccentError

RATINGS = "7\t1\t5\t880000000\n7\t2\t3\t880000000\n8\t2\t1\t880000100\n"
GENRES = "unknown|0\nDrama|1\nWar|2\n\n"
ITEMS = "1|Der Schüler (1931) (V)|01-Jan-1995||http://x|0|1|1\n2|unknown||||1|0|0\n"
ATTRIBUTES = "1|0,2|5|3,1\n2||0|4\n"


@pytest.fixture
def write(tmp_path):
    """Write a text to a file in ISO-8859-1; return its path."""

    def to(name, text):
        path = tmp_path / name
        path.write_bytes(text.encode("iso-8859-1"))
        return path

    return to


@pytest.fixture
def genres(write):
    return write("u.genre", GENRES)


def test_ratings_are_read_in_the_order_of_the_file(write):
    ratings = read_ratings(write("u.data", RATINGS))
    assert ratings["user"].tolist() == [7, 7, 8]
    assert ratings["rating"].tolist() == [5, 3, 1]
    assert ratings["timestamp"].tolist() == [880000000, 880000000, 880000100]
    assert (ratings.dtypes == "int64").all()


def test_windows_line_ends_change_nothing(write):
    assert read_ratings(write("a", RATINGS.replace("\n", "\r\n"))).equals(read_ratings(write("b", RATINGS)))


def test_items_have_title_year_and_genres(write, genres):
    items = read_items(write("u.item", ITEMS), genres)
    assert items.loc[1, "title"] == "Der Schüler (1931) (V)"
    assert items.loc[1, "year"] == 1931
    assert items["genres"].tolist() == [("Drama", "War"), ("unknown",)]
    assert items.loc[2, "year"] is pd.NA


def test_titles_may_hold_the_control_characters_of_the_encoding(write, genres):
    path = write("u.item", ITEMS.replace("Schüler", "Sch\x85ler"))
    assert read_items(path, genres).loc[1, "title"].startswith("Der Sch\x85ler")


def test_attributes_are_tuples_of_ids(write):
    attributes = read_attributes(write("attributes", ATTRIBUTES))
    assert attributes.loc[1].tolist() == [(0, 2), (5,), (3, 1)]
    assert attributes.loc[2].tolist() == [(), (0,), (4,)]
    assert all(type(number) is int for number in attributes.loc[1, "actors"])


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (RATINGS.replace("\t5\t", "\t6\t"), 1, "the rating is 6, but ratings go from 1 to 5"),
        (RATINGS.replace("\t5\t", "\t0\t"), 1, "the rating is 0"),
        (RATINGS.replace("\t3\t", "\tfive\t"), 2, "the rating is 'five', which is not a whole number"),
        (RATINGS.replace("\t3\t", "\t3.5\t"), 2, "'3.5', which is not a whole number"),
        (RATINGS.replace("\t3\t", "\t\t"), 2, "'', which is not a whole number"),
        (RATINGS.replace("880000100", "inf"), 3, "the timestamp is 'inf'"),
        (RATINGS.replace("8\t2", "7\t2"), 3, "user 7 has already rated item 2"),
        (RATINGS[:-14], 3, "2 field(s) instead of 4 and is the last one, so the file is probably truncated"),
        (RATINGS[:-3], 3, "ends without a line break, so it is probably truncated"),
        (RATINGS.replace("\n8", "\n\n8"), 3, "1 field(s) instead of 4; fetch the file again"),
    ],
)
def test_wrong_ratings_are_named_with_file_and_line(write, text, line, says):
    path = write("u.data", text)
    with pytest.raises(AccentError) as error:
        read_ratings(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert says in str(error.value)


def test_a_rating_of_an_unknown_item_is_named(write, genres):
    items = read_items(write("u.item", ITEMS), genres)
    path = write("u.data", RATINGS.replace("8\t2", "8\t99"))
    assert len(read_ratings(path)) == 3
    with pytest.raises(AccentError, match=r"u\.data, line 3: item 99 is rated, but the item table lacks it"):
        read_ratings(path, items)


@pytest.mark.parametrize("read", [read_ratings, read_attributes, lambda path: read_items(path, path)])
def test_a_missing_and_an_empty_file_are_named(write, tmp_path, read):
    with pytest.raises(AccentError, match=r"nowhere cannot be read \(No such file"):
        read(tmp_path / "nowhere")
    with pytest.raises(AccentError, match="empty is empty; fetch it again"):
        read(write("empty", "\n"))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (ITEMS.replace("|0|1|1\n", "|0|1|2\n"), 1, "other than 0 or 1"),
        (ITEMS.replace("2|unknown", "1|unknown"), 2, "item 1 stands further up already"),
        (ITEMS.replace("2|unknown", "two|unknown"), 2, "the item is 'two'"),
        (ITEMS.replace("|1|0|0\n", "|1|"), 2, "truncated"),
    ],
)
def test_wrong_items_are_named_with_file_and_line(write, genres, text, line, says):
    path = write("u.item", text)
    with pytest.raises(AccentError) as error:
        read_items(path, genres)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert says in str(error.value)


def test_genres_out_of_order_are_refused(write):
    genres = write("u.genre", GENRES.replace("Drama|1", "Drama|2"))
    with pytest.raises(AccentError, match=r"u\.genre, line 2: the genre number is 2 instead of 1"):
        read_items(write("u.item", ITEMS), genres)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (ATTRIBUTES.replace("3,1", "3,x"), 1, "the actors is 'x', which is not a whole number"),
        (ATTRIBUTES.replace("2||0|4", "1||0|4"), 2, "item 1 stands further up already"),
        (ATTRIBUTES[:-3], 2, "truncated"),
    ],
)
def test_wrong_attributes_are_named_with_file_and_line(write, text, line, says):
    path = write("attributes", text)
    with pytest.raises(AccentError) as error:
        read_attributes(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert says in str(error.value)


def test_movielens_as_read(real_ratings):
    ratings, items = real_ratings.ratings, real_ratings.items
    assert len(ratings) == 100_000
    assert ratings["user"].nunique() == 943
    assert len(items) == ratings["item"].nunique() == 1682
    assert len(real_ratings.attributes) == 1674
    kinds = {kind: {number for ids in real_ratings.attributes[kind] for number in ids} for kind in
             ("genres", "directors", "actors")}  # fmt: skip
    assert [len(ids) for ids in kinds.values()] == [26, 1154, 3946]
    assert items["title"].duplicated().sum() == 18
    assert items.loc[items["year"].isna(), "title"].tolist() == ["unknown"]
