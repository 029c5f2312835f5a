"""Pruning, holding out and numbering anew: the paper's counts, and invariants on random tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accent_lib.datasets import Ratings, load, prepare
from accent_lib.errors import AccentError


def make(rows, n_items=None, described=None, name="toy"):
    """Build a small data set: rows of (user, item, rating, timestamp), items 10, 20, … named by their id."""
    ratings = pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"], dtype="int64")
    ids = ratings["item"].unique() if n_items is None else np.arange(1, n_items + 1) * 10
    n = len(ids)
    items = pd.DataFrame(
        {
            "title": [f"Film {i}" for i in ids],
            "year": pd.array([1990] * n, "Int64"),
            "genres": [("Drama",)] * n,
        },
        index=pd.Index(ids, name="item"),
    )
    described = ids if described is None else described
    attributes = pd.DataFrame(
        {kind: [(int(i),) for i in described] for kind in ("genres", "directors", "actors")},
        index=pd.Index(described, name="item"),
    )
    return Ratings(name, ratings, items, attributes)


def test_the_papers_counts(real):
    train, test = real.train, real.test
    assert (real.n_users, real.n_items) == (452, 1674)
    assert len(train) == 61_054
    assert (train["positive"].sum(), (~train["positive"]).sum()) == (48_590, 12_464)
    assert train["item"].nunique() == 1600
    assert len(test) == 14_828
    history = train.groupby("user").size()
    assert (history.min(), history.max(), round(history.mean(), 1)) == (16, 588, 135.1)
    pairs = test.groupby("user")["positive"].agg(lambda sign: sign.sum() * (~sign).sum())
    assert pairs.sum() == 99_342
    steps = real.steps.set_index("step")
    assert steps.loc["as read"].tolist() == [943, 1682, 100_000]
    assert steps.iloc[2].tolist() == [452, 1667, 75_882]
    assert steps.loc["training"].tolist()[:2] == [452, 1600]


def test_without_the_attribute_step_the_count_is_another(real_ratings):
    items = real_ratings.items
    attributes = real_ratings.attributes.reindex(items.index).map(
        lambda ids: ids if isinstance(ids, tuple) else ()
    )
    everything = Ratings("ml-100k", real_ratings.ratings, items, attributes)
    assert len(prepare(everything).train) == 61_073


def test_fingerprints_do_not_change_from_run_to_run(real_ratings, real):
    assert load("ml-100k").fingerprint == real_ratings.fingerprint
    assert prepare(real_ratings).fingerprint == real.fingerprint


def test_a_table_worked_by_hand():
    rows = [
        (5, 30, 4, 100), (5, 10, 5, 300), (5, 20, 1, 50), (5, 40, 3, 100), (5, 50, 2, 60),
        (9, 10, 5, 10), (9, 20, 5, 11),  # no negative rating
        (2, 40, 1, 7), (2, 10, 3, 7), (2, 60, 4, 1),  # item 60 has no attributes
    ]  # fmt: skip
    data = prepare(
        make(rows, n_items=6, described=[50, 40, 30, 20, 10]), min_positive=1, min_negative=1, holdout=0.5
    )
    assert data.user_ids.tolist() == [2, 5]
    assert data.item_ids.tolist() == [10, 20, 30, 40, 50]
    # User 5's positives in time order: 30, 40 (same second, as in the file), 10; one of three is held out.
    assert data.train.to_numpy().tolist() == [
        [0, 3, 1, 7, False], [0, 0, 3, 7, True],
        [1, 1, 1, 50, False], [1, 2, 4, 100, True], [1, 3, 3, 100, True],
    ]  # fmt: skip
    assert data.test.to_numpy().tolist() == [[1, 4, 2, 60, False], [1, 0, 5, 300, True]]
    assert data.titles.tolist() == ["Film 10", "Film 20", "Film 30", "Film 40", "Film 50"]
    assert data.attributes["actors"].tolist() == [(10,), (20,), (30,), (40,), (50,)]
    assert data.steps.iloc[:, 1:].to_numpy().tolist() == [
        [3, 6, 10],
        [3, 5, 9],
        [2, 5, 7],
        [2, 4, 5],
        [1, 2, 2],
    ]
    assert data.rows(0) == slice(0, 2) and data.rows(1) == slice(2, 5)
    assert data.settings == {
        "positive_at": 3,
        "min_positive": 1,
        "min_negative": 1,
        "holdout": 0.5,
        "min_ratings": 1,
    }
    for user in (-1, 2):
        with pytest.raises(AccentError, match="users go from 0 to 1"):
            data.rows(user)


cells = st.tuples(st.integers(1, 4), st.integers(1, 12).map(lambda i: 10 * i))
tables = st.dictionaries(cells, st.tuples(st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=48)


@settings(deadline=None)
@given(
    table=tables,
    undescribed=st.sets(st.integers(1, 12).map(lambda i: 10 * i), max_size=3),
    minima=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    percent=st.integers(0, 99),
    positive_at=st.integers(2, 5),
)
def test_what_holds_for_any_table(table, undescribed, minima, percent, positive_at):
    rows = [(*cell, *rest) for cell, rest in table.items()]
    described = [i for i in range(10, 130, 10) if i not in undescribed]
    ratings = make(rows, n_items=12, described=described)
    expected = {}  # by the definition, one user at a time
    for user in sorted({row[0] for row in rows}):
        own = sorted(
            (row for row in rows if row[0] == user and row[1] not in undescribed), key=lambda row: row[3]
        )
        signs = [[row for row in own if (row[2] >= positive_at) == sign] for sign in (True, False)]
        if own and len(signs[0]) >= minima[0] and len(signs[1]) >= minima[1]:
            late = [row for sign in signs for row in sign[len(sign) - len(sign) * percent // 100 :]]
            expected[user] = [row for row in own if row not in late], [row for row in own if row in late]
    arguments = {"positive_at": positive_at, "min_positive": minima[0], "min_negative": minima[1]}
    if not expected:
        with pytest.raises(AccentError, match="No user of 'toy' is left"):
            prepare(ratings, **arguments, holdout=percent / 100)
        return
    data = prepare(ratings, **arguments, holdout=percent / 100)
    assert data.user_ids.tolist() == list(expected)
    for part, frame in enumerate((data.train, data.test)):
        original = frame.assign(user=data.user_ids[frame["user"]], item=data.item_ids[frame["item"]])
        assert original.iloc[:, :4].to_numpy().tolist() == [
            list(r) for pair in expected.values() for r in pair[part]
        ]
        assert (frame["positive"] == (frame["rating"] >= positive_at)).all()
        assert isinstance(frame.index, pd.RangeIndex)
    for user in range(data.n_users):
        rows_of_user = data.train[data.rows(user)]
        assert len(rows_of_user) > 0 and (rows_of_user["user"] == user).all()
    assert len(data.train) == sum(data.rows(u).stop - data.rows(u).start for u in range(data.n_users))
    assert (data.n_items, len(data.titles), len(data.years), len(data.genres)) == (len(described),) * 4


def test_of_too_many_users_some_are_taken_with_short_and_long_histories():
    ratings = load("sample")
    everybody, few = prepare(ratings), prepare(ratings, max_users=7)
    assert few.n_users == 7 and few.settings["max_users"] == 7
    assert set(few.user_ids) < set(everybody.user_ids) and set(few.item_ids) <= set(everybody.item_ids)
    whole = pd.concat([few.train, few.test])
    assert set(whole["item"]) == set(range(few.n_items))
    lengths = pd.concat([everybody.train, everybody.test])["user"].value_counts()
    theirs = whole["user"].value_counts()
    assert (theirs.min(), theirs.max()) == (lengths.min(), lengths.max())
    assert few.fingerprint == prepare(ratings, max_users=7).fingerprint
    assert prepare(ratings, max_users=10**6).fingerprint == everybody.fingerprint
    assert "max_users" not in everybody.settings


def test_the_held_out_share_is_exact():
    """0.29 of 100 is 29, though 0.29 * 100 is 28.999999999999996 in binary."""
    rows = [(1, 10 * i, 5, i) for i in range(1, 101)]
    assert len(prepare(make(rows), min_negative=0, holdout=0.29).test) == 29


def test_the_fingerprint_covers_numbers_and_not_titles(sample):
    ratings = load("sample")
    renamed = Ratings("other", ratings.ratings, ratings.items.assign(title="Film"), ratings.attributes)
    assert renamed.fingerprint != ratings.fingerprint
    assert prepare(renamed).fingerprint == sample.fingerprint
    changed = ratings.ratings.assign(timestamp=ratings.ratings["timestamp"] + 1)
    later = Ratings("sample", changed, ratings.items, ratings.attributes)
    assert prepare(later).fingerprint != sample.fingerprint
    assert prepare(ratings, holdout=0.1).fingerprint != sample.fingerprint
    # RCF reads every column of attributes, in their order.
    tags = [(n % 3,) for n in range(len(ratings.attributes))]
    for attributes in (
        ratings.attributes.assign(tags=tags),
        ratings.attributes[["actors", "genres", "directors"]],
    ):
        assert prepare(replace(ratings, attributes=attributes)).fingerprint != sample.fingerprint


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"positive_at": 6}, "`positive_at` is 6"),
        ({"positive_at": "3"}, "`positive_at` is '3'"),
        ({"min_positive": -1}, "`min_positive` is -1"),
        ({"min_negative": 2.5}, "`min_negative` is 2.5"),
        ({"min_negative": True}, "`min_negative` is True"),
        ({"max_users": 0}, "`max_users` is 0"),
        ({"holdout": 1.0}, "`holdout` is 1.0"),
        ({"holdout": float("nan")}, "`holdout` is nan"),
        ({"min_positive": 1000}, "No user of 'sample' is left: none of the 120 has both 1,000"),
    ],
)
def test_impossible_thresholds_are_refused(arguments, says):
    with pytest.raises(AccentError) as error:
        prepare(load("sample"), **arguments)
    assert says in str(error.value)


def test_what_is_not_ratings_is_refused(sample):
    for what, says in (
        (sample, "has prepared these Interactions already"),
        (pd.DataFrame(), "takes ratings, .* not DataFrame"),
        ("ratings.csv", "takes ratings, .* not str"),
    ):
        with pytest.raises(AccentError, match=says):
            prepare(what)


def test_tables_that_do_not_fit_together_are_refused():
    good = make([(1, 10, 5, 0), (1, 20, 2, 1)])

    def refused(match, **changes):
        tables = {"ratings": good.ratings, "items": good.items, "attributes": good.attributes, **changes}
        with pytest.raises(AccentError, match=match):
            Ratings("toy", **tables)

    refused("Row 1 of the ratings of 'toy': the rating is 9", ratings=good.ratings.assign(rating=[5, 9]))
    refused("Row 1 .* user 1 has already rated item 10", ratings=good.ratings.assign(item=10))
    refused("Row 0 .* item 99 is rated", ratings=good.ratings.assign(item=[99, 10]))
    refused("`timestamp` of the ratings of 'toy' holds", ratings=good.ratings.assign(timestamp=["a", "b"]))
    refused("`ratings` of 'toy' lacks the column", ratings=good.ratings.drop(columns="user"))
    refused("`items` of 'toy' has item 10 twice", items=good.items.iloc[[0, 0, 1]])
    refused("describes item 20", items=good.items.iloc[:1], ratings=good.ratings.iloc[:1])


def test_a_user_who_joins_is_one_of_them_and_the_others_are_as_before():
    sample = load("sample")
    more = sample.with_user(0, {"Goodfellas": 5, 74: 4, "annie  HALL": 1.5})
    before, hers = more.ratings[: len(sample.ratings)], more.ratings[len(sample.ratings) :]
    assert (before.to_numpy() == sample.ratings.to_numpy()).all()
    assert hers["item"].tolist() == [113, 74, 69] and hers["rating"].tolist() == [5, 4, 1.5]
    assert hers["timestamp"].is_monotonic_increasing
    assert hers["timestamp"].min() > before["timestamp"].max()
    assert more.fingerprint != sample.fingerprint
    prepared = prepare(more, min_positive=2, min_negative=1, holdout=0.5)
    held_out = prepared.test[prepared.test["user"] == 0]
    assert prepared.user_ids[0] == 0
    assert prepared.item_ids[held_out["item"]].tolist() == [74], "the last that she liked"


@pytest.mark.parametrize(
    ("user", "ratings", "sentence"),
    [
        (1, {"Alien": 4}, "There is a user 1 already in 'sample'"),
        ("me", {"Alien": 4}, "a whole number, as the others are"),
        (True, {"Alien": 4}, "a whole number, as the others are"),
        (0, {}, "must be a dict of item to rating"),
        (0, [("Alien", 4)], "must be a dict of item to rating"),
        (0, {"Alein": 4}, r"no item 'Alein'; did you mean 'Alien \(1979\)'\?"),
        (0, {999: 4}, "'sample' has no item 999"),
        (0, {None: 4}, "'sample' has no item None"),
        (0, {"Alien": 6}, r"`ratings\['Alien'\]` is 6, but must be a finite number from 1 to 5"),
        (0, {"Alien": "4"}, "must be a finite number from 1 to 5"),
        (
            0,
            {"Alien": 4, "Alien (1979)": 3},
            r"names Alien \(1979\) twice, as 'Alien' and 'Alien \(1979\)'; keep one",
        ),
    ],
)
def test_who_cannot_join_is_told_why(user, ratings, sentence):
    with pytest.raises(AccentError, match=sentence):
        load("sample").with_user(user, ratings)


def test_a_title_that_two_items_have_is_asked_for_by_its_id():
    data = make([(1, 10, 4, 0), (1, 20, 2, 1)])
    data.items["title"] = "Twin"
    with pytest.raises(AccentError, match=r"of 2 items \(10: Twin, 20: Twin\); give the id"):
        data.with_user(2, {"twin": 3})
    assert data.with_user(2, {20: 3}).ratings["item"].tolist() == [10, 20, 20]
