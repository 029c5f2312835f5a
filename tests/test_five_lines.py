"""The five lines of the front page, from a file of every kind to a verified explanation."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import accent_lib as al
from accent_lib.datasets.fetch import fetch
from accent_lib.errors import AccentError, AccentWarning
from tests.conftest import do_without


def five_lines(ratings, user, items=None):
    """The lines themselves; a small table may well be told that it is small."""
    data = al.read_ratings(ratings, items=items)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccentWarning)
        model = al.NCF(data).fit(progress=True)
    explanation = al.explain(model, user=user, k=10)
    print(explanation.sentence())
    print(explanation.verify(orders=3))
    return data, model, explanation


def tastes(scale, n=40):
    """Ratings of two camps: readers of even numbers like items of even numbers; each leaves out a few."""
    generator = np.random.default_rng(11)
    steps = np.asarray(scale)
    for user in range(1, n + 1):
        for item in np.sort(generator.permutation(n)[: 3 * n // 4]) + 1:
            liked = 0.8 if (user + item) % 2 == 0 else 0.15
            share = np.clip(liked + 0.01 * (item % 7) + generator.normal(0, 0.08), 0, 1)
            yield user, int(item), steps[round(share * (len(steps) - 1))]


def text(rows, sep, header=None):
    return "\n".join([*([header] if header else []), *(sep.join(map(str, row)) for row in rows), ""])


def stars(low, high, step):
    count = round((high - low) / step)
    return [low + step * place for place in range(count + 1)]


def tabs(folder):
    """Tabs, no names, no times, half stars up to 4."""
    (folder / "club.txt").write_text(text(tastes(stars(0.5, 4, 0.5)), "\t"))
    return folder / "club.txt", 11, (0.5, 4)


def colons(folder):
    """``::`` and ids that are texts, on 1 to 10."""
    rows = [(f"ann-{u}", f"tt{i:04}", r, 880_000_000 + i) for u, i, r in tastes(range(1, 11))]
    (folder / "ratings.dat").write_text(text(rows, "::"))
    return folder / "ratings.dat", "ann-24", (1, 10)


def counts(folder):
    """Plays, in a file with names."""
    rows = [(u, i, r) for u, i, r in tastes([1, 2, 5, 10, 50, 200, 1000, 5000])]
    (folder / "user_artists.dat").write_text(text(rows, "\t", "userID\tartistID\tweight"))
    return folder / "user_artists.dat", 8, (np.log(2), np.log(5001))


def parquet(folder):
    frame = pd.DataFrame(tastes(range(1, 6)), columns=["userId", "movieId", "rating"])
    frame.to_parquet(folder / "club.parquet")
    return folder / "club.parquet", 28, (1, 5)


def recbole(folder):
    """RecBole's file, two rows of which lack an id."""
    names = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    rows = [(u, i, f"{r}.0", f"{8.8e8 + i:g}") for u, i, r in tastes(range(1, 6))]
    (folder / "club.inter").write_text(text(rows, "\t", names) + "\t7\t5\t1\n3\t\t5\t1\n")
    return folder / "club.inter", 28, (1, 5)


def windows(folder):
    """A byte order mark, and CRLF."""
    rows = [(u, i, r, f"2020-01-{i % 28 + 1:02}") for u, i, r in tastes(range(1, 6))]
    content = text(rows, ",", "userId,movieId,rating,date").replace("\n", "\r\n")
    (folder / "ratings.csv").write_bytes(b"\xef\xbb\xbf" + content.encode())
    return folder / "ratings.csv", 11, (1, 5)


def semicolons(folder):
    """Decimal commas."""
    content = text(tastes(stars(0.5, 5, 0.5)), ";", "User-ID;ISBN;Book-Rating").replace(".", ",")
    (folder / "books.csv").write_text(content)
    return folder / "books.csv", 30, (0.5, 5)


@pytest.mark.parametrize("kind", [tabs, colons, counts, parquet, recbole, windows, semicolons])
def test_the_five_lines_on_a_file(kind, tmp_path, capsys):
    path, user, scale = kind(tmp_path)
    items = tmp_path / "titles.csv"
    name = (lambda i: f"tt{i:04}") if kind is colons else str
    items.write_text("item,title\n" + "".join(f'{name(i)},"Book, no. {i}"\n' for i in range(1, 41)))
    data, model, explanation = five_lines(path, user, items)

    assert data.scale == pytest.approx(scale) and len(data.ratings) == 40 * 30
    # Means know nothing of camps.
    assert model.facts["pairs_in_order"] > model.facts["pairs_of_means"]
    ids = [name(i) if kind is colons else i for i in range(1, 41)]
    assert explanation.user == user and {explanation.recommendation, *explanation.removed} <= set(ids)
    number = {each: place for place, each in enumerate(ids, 1)}
    of_user = int(str(user).removeprefix("ann-"))
    assert number[explanation.recommendation] % 2 == of_user % 2  # what her camp likes
    rated = set(data.ratings.loc[data.ratings["user"] == user, "item"])
    assert set(explanation.removed) <= rated and explanation.recommendation not in set(
        explanation.history["item"]
    )
    low, high = scale
    assert explanation.slate["score"].between(low - 0.2 * (high - low), high + 0.2 * (high - low)).all()

    *said, sentence, verified = capsys.readouterr().out.splitlines()
    assert "40 of 40 items have at least 5 ratings; with these, " in said[0]
    assert said[1].startswith("NCF: 4 starts, ") and said[-1].startswith("NCF of ")
    assert explanation.found and sentence == explanation.sentence()
    titles = [f"Book, no. {number[each]}" for each in (*explanation.removed, explanation.recommendation)]
    assert all(title in sentence for title in titles)
    assert verified.startswith("held in ") and " of 3 orders, " in verified


def test_the_five_lines_on_movielens(capsys):
    """No worse than means on held-out ratings, and many different recommendations."""
    try:
        ratings, movies = (fetch(f"ml-latest-small/{name}.csv") for name in ("ratings", "movies"))
    except AccentError as error:
        do_without(f"This test needs ml-latest-small. {error}", f"CI must have ml-latest-small. {error}")
    data, model, explanation = five_lines(ratings, 42, movies)
    assert data.scale == (0.5, 5) and len(data.ratings) == 100_836
    assert model.facts["held_out_rmse"] <= 1.01 * model.facts["rmse_of_means"]
    assert model.facts["different_recommendations"] >= 40
    # The README shows these lines.
    *_, about, sentence, verified = capsys.readouterr().out.splitlines()
    assert sentence.startswith("Had you not rated ") and verified.startswith("held in ")
    shown = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert all(line in shown for line in (about, sentence, verified))
    assert explanation.slate["score"].between(0.5, 5.5).all()


@pytest.mark.parametrize("kind", [colons, parquet, recbole])
def test_texts_may_be_held_by_pyarrow_or_by_python(kind, tmp_path):
    """Pandas holds them in the one where it is installed, and in the other where it is not."""
    path, _, _ = kind(tmp_path)
    held = []
    for storage in ("pyarrow", "python"):
        with pd.option_context("mode.string_storage", storage):
            held.append(al.prepare(al.read_ratings(path)))
    assert held[0].fingerprint == held[1].fingerprint
    assert held[0].titles.tolist() == held[1].titles.tolist()
