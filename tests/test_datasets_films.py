"""The table of films: complete, spelled in one way, and with enough in common to tell tastes by."""

import unicodedata
from collections import Counter

from accent_lib.datasets.sample import GENRES, films

FILMS = films()
PEOPLE = ("directors", "actors")


def test_about_two_hundred_films_each_with_all_facts():
    assert 190 <= len(FILMS) <= 230
    assert FILMS["title"].str.strip().ne("").all() and not FILMS["title"].duplicated().any()
    assert FILMS["year"].between(1920, 2025).all()
    assert FILMS["genres"].map(len).between(1, 3).all()
    assert FILMS["directors"].map(len).between(1, 3).all()
    assert FILMS["actors"].map(len).between(2, 4).all()


def test_genres_are_those_of_movielens_in_its_order():
    assert len(GENRES) == 18
    for genres in FILMS["genres"]:
        assert list(genres) == [genre for genre in GENRES if genre in genres]


def test_films_stand_in_the_order_of_years_and_titles():
    assert list(zip(FILMS["year"], FILMS["title"], strict=True)) == sorted(
        zip(FILMS["year"], FILMS["title"], strict=True)
    )


def test_names_are_spelled_in_one_way():
    names = {name for kind in PEOPLE for people in FILMS[kind] for name in people}
    for name in [*names, *FILMS["title"]]:
        assert name == " ".join(unicodedata.normalize("NFC", name).split())

    def bare(name):
        return "".join(c for c in unicodedata.normalize("NFD", name).casefold() if c.isalpha())

    assert len(set(map(bare, names))) == len(names)
    # One letter more or less, or the same people with another first name, would be two people in the table.
    alike = Counter((name[0], name.split()[-1]) for name in names)
    assert {key for key, number in alike.items() if number > 1} == {("L", "Wachowski"), ("G", "Kelly")}
    for kind in PEOPLE:
        assert all(len(set(people)) == len(people) for people in FILMS[kind])


def test_all_ages_and_many_people_with_several_films():
    decades = Counter(year // 10 * 10 for year in FILMS["year"])
    assert min(decades[decade] for decade in range(1940, 2020, 10)) >= 8
    directors, actors = (Counter(name for people in FILMS[kind] for name in people) for kind in PEOPLE)
    assert sum(number > 1 for number in directors.values()) >= 40
    assert sum(number > 1 for number in actors.values()) >= 80
    for name in ("Martin Scorsese", "Alfred Hitchcock", "Steven Spielberg", "Stanley Kubrick"):
        assert directors[name] >= 6
    for name in ("Robert De Niro", "Tom Hanks", "Harrison Ford", "Leonardo DiCaprio"):
        assert actors[name] >= 6
