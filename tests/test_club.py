"""The book club: its files are what its command writes."""

from accent_book.experiments import club
from tests.conftest import ROOT


def test_the_files_are_what_the_command_writes(tmp_path):
    club.write(tmp_path)
    for name in ("club.csv", "books.csv"):
        assert (tmp_path / name).read_bytes() == (ROOT / "data" / "club" / name).read_bytes()


def test_every_book_occurs_once_and_every_reader_rates():
    books = club.books()
    ratings = club.ratings(books)
    assert not books["book"].duplicated().any() and set(ratings["book"]) == set(books["book"])
    assert len(set(club.READERS)) == len(club.READERS) == ratings["reader"].nunique()
    assert not ratings.duplicated(["reader", "book"]).any() and ratings["rating"].between(1, 10).all()
