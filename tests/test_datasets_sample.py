"""The embedded sample: the same every time, and like real ratings where the book relies on it."""

import inspect

import numpy as np
import pytest

import accent_lib.datasets.sample
from accent_lib.datasets import load, prepare
from accent_lib.datasets.relations import Relations
from accent_lib.datasets.sample import EXEMPLARS, GENRES, films, generate
from accent_lib.errors import AccentError


def test_same_seed_same_bytes_other_seed_other_bytes():
    assert generate().fingerprint == load("sample").fingerprint
    assert generate(seed=1).fingerprint != generate().fingerprint


def test_the_sample_is_the_one_the_book_was_written_with():
    """A change of this number changes every number of the book: change it knowingly."""
    assert load("sample").fingerprint[:16] == "6061f2c0ba2e7ce8"


def test_it_needs_neither_data_home_nor_web(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCENT_DATA_HOME", str(tmp_path / "nowhere"))
    assert load("sample", data_home=tmp_path).name == "sample"


def test_ratings_are_distributed_as_real_ones_are():
    ratings = generate().ratings
    stars = ratings["rating"].value_counts(normalize=True)
    assert 0.75 < (ratings["rating"] >= 3).mean() < 0.85
    assert stars.idxmax() in (3, 4) and stars.idxmin() == 1
    times = ratings.groupby("user")["timestamp"]
    ties = ratings.duplicated(["user", "timestamp"]).mean()
    assert 0.1 < ties < 0.6 and (times.max() > times.min()).all()


def test_users_and_films_are_heavy_tailed():
    ratings = generate().ratings
    for column in ("user", "item"):
        counts = ratings[column].value_counts()
        assert counts.mean() > counts.median()
        assert counts.max() > 2 * counts.median()


def test_films_are_those_of_the_table_with_their_facts():
    ratings, table = generate(), films()
    assert ratings.items["title"].tolist() == [f"{one.title} ({one.year})" for one in table.itertuples()]
    assert ratings.items["genres"].tolist() == table["genres"].tolist()
    by_title = dict(zip(ratings.items["title"], ratings.items.index, strict=True))
    of = {title: ratings.attributes.loc[by_title[title]] for title in ("Goodfellas (1990)", "Casino (1995)")}
    one, other = of.values()
    assert one["directors"] == other["directors"] and len(set(one["actors"]) & set(other["actors"])) == 2
    assert [GENRES[genre] for genre in one["genres"]] == ["Crime", "Drama"]


def test_all_draws_are_bytes_of_a_hash():
    """What NumPy draws may change with its version, and its logarithms with the processor."""
    source = inspect.getsource(accent_lib.datasets.sample)
    assert not any(word in source for word in ("random", "np.exp", "np.log", "np.sqrt", "float"))


def test_pruning_shows_and_leaves_histories_of_the_right_length(sample):
    steps = sample.steps["interactions"]
    assert steps[0] > steps[1] > steps[2] == steps[3] + steps[4]
    history = sample.train.groupby("user").size()
    assert 85 <= sample.n_users <= 110 and sample.steps["users"][0] == 120
    assert history.min() >= 18 and history.max() <= 115 and 40 < history.mean() < 55


def test_other_seeds_and_sizes_work_too():
    for seed in range(3):
        assert prepare(generate(seed)).n_users > 60
    small = generate(seed=3, n_users=2, n_items=20)
    assert small.ratings["user"].nunique() == 2 and len(small.items) == 20
    with pytest.raises(AccentError, match="too small"):
        generate(n_users=1)
    with pytest.raises(AccentError, match="knows 210 films"):
        generate(n_items=211)


def test_few_films_have_much_in_common_too():
    small = generate(seed=1, n_users=20, n_items=40)
    titles = small.items["title"].str.replace(r" \(\d+\)$", "", regex=True)
    assert set(EXEMPLARS) <= set(titles)
    related = Relations.of(small.attributes.reset_index(drop=True))
    assert (np.bincount(related.types)[1:] >= [5, 5, 5]).all()


def test_taste_can_be_learned(sample):
    """A user's taste for genres predicts her held-out ratings better than averages of user and item."""
    train, test = sample.train, sample.test

    def rmse(errors):
        return np.sqrt(np.mean(np.square(errors)))

    def means(index, values, number, prior):
        return np.bincount(index, values, number) / (np.bincount(index, minlength=number) + prior)

    # Averages, shrunk and fitted in turns.
    mean = train["rating"].mean()
    of_user, of_item = np.zeros(sample.n_users), np.zeros(sample.n_items)
    for _ in range(10):
        of_item = means(train["item"], train["rating"] - mean - of_user[train["user"]], sample.n_items, 2)
        of_user = means(train["user"], train["rating"] - mean - of_item[train["item"]], sample.n_users, 2)
    residual = (train["rating"] - mean - of_user[train["user"]] - of_item[train["item"]]).to_numpy()
    averages = mean + of_user[test["user"]] + of_item[test["item"]]

    # A ridge regression of each user's residuals on the genres of the films.
    n_genres = 1 + max(max(ids) for ids in sample.attributes["genres"])
    genres = np.zeros((sample.n_items, n_genres))
    for item, ids in enumerate(sample.attributes["genres"]):
        genres[item, list(ids)] = 1 / np.sqrt(len(ids))
    taste = np.zeros((sample.n_users, n_genres))
    for user in range(sample.n_users):
        rows = sample.rows(user)
        x = genres[train["item"][rows]]
        taste[user] = np.linalg.solve(x.T @ x + np.eye(n_genres), x.T @ residual[rows])
    with_taste = averages + (taste[test["user"]] * genres[test["item"]]).sum(axis=1)
    assert rmse(test["rating"] - with_taste) < 0.9 * rmse(test["rating"] - averages)
