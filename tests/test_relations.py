"""Relations, training triples and relation triples, each against its definition."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from accent_lib import AccentError
from accent_lib.datasets import Ratings, prepare
from accent_lib.datasets.ratings import ATTRIBUTE_COLUMNS
from accent_lib.datasets.relations import (
    Relations,
    draw_relation_triples,
    held_out_pairs,
    nothing_disliked,
    read_relation_triples,
    training_triples,
)
from accent_lib.models import RCF


@pytest.fixture(scope="module")
def relations(sample):
    return Relations.of(sample.attributes)


def toy(attributes, *histories):
    """A data set of items with (genres, directors, actors) and users with items in time order, "-" disliked.

    An item without a director or actors gets one that nobody else has.
    """
    ids = pd.RangeIndex(len(attributes), name="item")
    items = pd.DataFrame({"title": "Film", "year": pd.NA, "genres": [("Drama",)] * len(ids)}, index=ids)
    full = [[*map(tuple, row), *[(900 + i,)] * (3 - len(row))] for i, row in enumerate(attributes)]
    rows = [
        (user, int(item.strip("-")), 1 if item[0] == "-" else 5, time)
        for user, history in enumerate(histories)
        for time, item in enumerate(history.split())
    ]
    ratings = pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"])
    attributes = pd.DataFrame(full, columns=ATTRIBUTE_COLUMNS, index=ids)
    items["year"] = items["year"].astype("Int64")
    return prepare(Ratings("toy", ratings, items, attributes), min_positive=0, min_negative=0, holdout=0)


def value_sets(data):
    """The attribute values of each item, as a set of (type, id)."""
    return [{(t, i) for t, ids in enumerate(row, 1) for i in ids} for row in data.attributes.to_numpy()]


def signs(table, user):
    """Liked and disliked items of a user, as they stand in a table."""
    rows = [row for row in table.itertuples() if row.user == user]
    return [[row.item for row in rows if row.positive == sign] for sign in (True, False)]


def test_entries_are_the_values_that_two_items_share(sample, relations):
    sets = value_sets(sample)
    numbers = {
        (int(t), int(i)): n for n, (t, i) in enumerate(zip(relations.types, relations.ids, strict=True))
    }
    assert relations.n_items == len(sets) == sample.n_items
    for i, ours in enumerate(sets):
        assert not len(relations.entries(i, i))
        for j in range(i):
            shared = sorted(numbers[value] for value in ours & sets[j]) or [0]
            assert relations.entries(i, j).tolist() == relations.entries(j, i).tolist() == shared


def test_a_value_of_one_item_alone_gets_no_number(sample, relations):
    sets = value_sets(sample)
    carriers = Counter(value for one in sets for value in one)
    assert min(carriers.values()) == 1  # else there is nothing to test
    # Ascending by type and id; number 0 is "nothing".
    expected = [(0, 0)] + sorted(value for value, number in carriers.items() if number > 1)
    assert list(zip(relations.types.tolist(), relations.ids.tolist(), strict=True)) == expected
    has = [[value in one for value in expected] for one in sets]
    np.testing.assert_array_equal(relations.has.toarray(), has)


def with_columns(data, n_columns, n_values=5):
    """The data with so many columns of attributes, each with up to three of some values drawn at random."""
    generator = np.random.default_rng(n_columns)
    lists = {
        f"column {n}": [
            tuple(generator.choice(n_values, generator.integers(4), replace=False).tolist())
            for _ in range(data.n_items)
        ]
        for n in range(n_columns)
    }
    return replace(data, attributes=pd.DataFrame(lists, index=data.attributes.index))


def test_types_follow_the_columns_that_hold_anything(sample):
    attributes = sample.attributes[["actors", "genres"]].assign(
        directors=[()] * sample.n_items,
        series=[(n // 5,) for n in range(sample.n_items)],
        tags=[()] * sample.n_items,
    )
    relations = Relations.of(attributes)
    assert relations.names == ("none", "actor", "genre", "series")
    same = Relations.of(sample.attributes)
    assert same.names == ("none", "genre", "director", "actor")
    for ours, theirs in ((1, 3), (2, 1)):
        assert relations.ids[relations.types == ours].tolist() == same.ids[same.types == theirs].tolist()
    drawn = draw_relation_triples(sample, relations)
    assert set(drawn["type"]) == {1, 2, 3}
    # A column whose values relate nothing is a type all the same.
    alone = Relations.of(sample.attributes.assign(actors=[(n,) for n in range(sample.n_items)]))
    assert alone.names == same.names and 3 not in alone.types


@pytest.mark.parametrize("columns", [[], ["genres", "tags"]])
def test_without_attributes_there_is_one_type(sample, columns):
    relations = Relations.of(
        pd.DataFrame({column: [()] * sample.n_items for column in columns}, range(sample.n_items))
    )
    assert relations.names == ("none",) and relations.types.tolist() == relations.ids.tolist() == [0]
    assert relations.entries(3, 4).tolist() == [0] and not len(relations.entries(3, 3))
    drawn = draw_relation_triples(sample, relations)
    assert len(drawn) == 0 and list(drawn) == ["head", "type", "value", "tail", "other"]
    bare = replace(sample, attributes=pd.DataFrame(index=range(sample.n_items)))
    assert training_triples(sample, relations).tolist() == by_the_rule(bare)


def by_the_rule(data):
    """Training triples, one liked item after the other."""
    sets, expected = value_sets(data), []
    for user in range(data.n_users):
        liked, disliked = signs(data.train, user)
        used = Counter()
        for item in liked:
            best = None
            for other in disliked:  # the oldest first: a later one must be strictly better
                shared = sets[item] & sets[other]
                merit = (len({t for t, _ in shared}), len(shared), -used[other])
                if best is None or merit > best:
                    best, chosen = merit, other
            used[chosen] += 1
            expected.append([user, item, chosen])
    return expected


@pytest.mark.parametrize("n_columns", [None, 1, 12, 40])
def test_training_triples_are_those_of_the_rule(sample, n_columns):
    """Forty types have more digits than one number holds."""
    data = sample if n_columns is None else with_columns(sample, n_columns)
    assert training_triples(data, Relations.of(data.attributes)).tolist() == by_the_rule(data)


def test_disliked_items_are_sampled_where_there_are_none(sample, relations):
    train, test = (table[table["positive"]].reset_index(drop=True) for table in (sample.train, sample.test))
    data = replace(sample, train=train, test=test)
    assert nothing_disliked(data) and not nothing_disliked(sample)
    triples, again, other = (training_triples(data, relations, seed) for seed in (0, 0, 1))
    assert triples.tolist() == again.tolist() == training_triples(data, relations).tolist() != other.tolist()
    assert triples[:, :2].tolist() == train[["user", "item"]].to_numpy().tolist()
    own = set(pd.concat([train, test])[["user", "item"]].itertuples(index=False, name=None))
    assert not own & set(zip(triples[:, 0].tolist(), triples[:, 2].tolist(), strict=True))
    assert len(set(triples[:, 2])) > 0.9 * data.n_items  # some item is liked by nearly all


def test_sampled_items_are_equally_likely():
    data = toy([[(1,)]] * 6, *["0 1"] * 3000)
    triples = training_triples(data, Relations.of(data.attributes))
    counts = np.bincount(triples[:, 2], minlength=6)
    # A fair draw falls below 0.001 once in a thousand seeds; this one is fixed.
    assert not counts[:2].any() and chisquare(counts[2:]).pvalue > 0.001


def test_who_likes_everything_leaves_none_to_be_sampled():
    data = toy([[(1,)]] * 3, "0 1", "0 2 1")
    with pytest.raises(
        AccentError, match="User 1 has an interaction with each of the 3 items, so none is left"
    ):
        training_triples(data, Relations.of(data.attributes))


def test_each_tie_breaker_decides_once():
    attributes = [
        [(1, 2, 3), (1,)], [(1, 2, 3)], [(1,), (1,)],  # more types against more values, and older
        [(4, 5)], [(4,)], [(4, 5)],  # more values against older
        [(6,)], [(6,)], [(6,)], [(6,)], [(6,)],
    ]  # fmt: skip
    data = toy(attributes, "-1 -2 -4 -5 -10 -9 0 3 6 7 8", "-1 -10 -9 7")
    expected = [
        [0, 0, 2],
        [0, 3, 5],
        [0, 6, 10],  # older than 9, whatever its number
        [0, 7, 9],  # now used less
        [0, 8, 10],  # as often as 9, and older
        [1, 7, 10],  # what another user used does not count
    ]
    assert training_triples(data, Relations.of(data.attributes)).tolist() == expected


def test_a_user_who_dislikes_nothing_is_refused():
    data = toy([[(1,)], [(1,)], [(2,)]], "0 -1", "0 1")
    with pytest.raises(AccentError, match="User 1 has no disliked training item.*min_negative"):
        training_triples(data, Relations.of(data.attributes))


def test_held_out_pairs_are_all_of_a_user_s(sample):
    expected = []
    for user in range(sample.n_users):
        liked, disliked = signs(sample.test, user)
        expected += [(user, i, j) for i in liked for j in disliked]
    pairs = held_out_pairs(sample)
    assert list(pairs) == ["user", "liked", "disliked"]
    assert sorted(pairs.itertuples(index=False, name=None)) == sorted(expected)


def test_drawn_triples_are_one_for_each_positive_and_type_that_has_any(sample, relations):
    sets, drawn = value_sets(sample), draw_relation_triples(sample, relations, seed=3)
    expected, histories = Counter(), [signs(sample.train, user)[0] for user in range(sample.n_users)]
    for liked in histories:
        for head in liked:
            reach = set.union(set(), *(sets[head] & sets[tail] for tail in liked if tail != head))
            expected.update((head, t) for t in {t for t, _ in reach})
    assert Counter(zip(drawn["head"], drawn["type"], strict=True)) == expected
    liked_by = [{user for user, liked in enumerate(histories) if i in liked} for i in range(sample.n_items)]
    for head, type_, value, tail, other in drawn.to_numpy():
        name = relations.types[value], relations.ids[value]
        assert name[0] == type_ and head != tail and liked_by[head] & liked_by[tail]
        assert name in sets[head] and name in sets[tail] and name not in sets[other]


def test_the_seed_decides_what_is_drawn(sample, relations):
    first, again, other = (draw_relation_triples(sample, relations, seed) for seed in (1, 1, 2))
    assert first.equals(again) and draw_relation_triples(sample, relations).equals(
        draw_relation_triples(sample, relations, 0)
    )
    assert len(first) == len(other) and not first.equals(other)


def test_everything_that_can_be_drawn_is_drawn_equally_often():
    genres = [(1, 2), (1,), (1, 2), (1,), (3,), (3,), (2, 3)]
    n = 2000
    data = toy([[ids] for ids in genres], *["-5 0 1 2 3"] * n)
    relations = Relations.of(data.attributes)
    drawn = draw_relation_triples(data, relations, seed=0)
    # Item 0 shares genre 1 with three of her items, and genre 2 with one of them.
    of_first = drawn[drawn["head"] == 0]
    pairs = Counter(zip(relations.ids[of_first["value"]].tolist(), of_first["tail"], strict=True))
    assert set(pairs) == {(1, 1), (1, 2), (1, 3), (2, 2)} and pairs.total() == n
    others = drawn.groupby(relations.ids[drawn["value"]])["other"].value_counts().unstack(0)
    assert set(others[1].dropna().index) == {4, 5, 6} and set(others[2].dropna().index) == {1, 3, 4, 5}
    # A fair draw falls below 0.001 once in a thousand seeds; this one is fixed.
    for counts in (list(pairs.values()), others[1].dropna(), others[2].dropna()):
        assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("history", ["1 2 0 -4", "1 0 2 -4", "0 1 2 -4", "3 0 -4", "0 -4"])
def test_items_that_nothing_relates_draw_nothing(history):
    data = toy([[(9,)], [(1,)], [(1,)], [(8,)], [(2,)], [(2,)]], history)
    drawn = draw_relation_triples(data, Relations.of(data.attributes))
    assert sorted(drawn["head"]) == ([1, 2] if "1" in history else [])


def test_a_value_that_all_items_have_is_not_drawn():
    data = toy(
        [[(1, 2), (1,), (1,)], [(1, 2), (2,), (2,)], [(1,), (3,), (3,)], [(1,), (4,), (4,)]], "0 1 -2 -3"
    )
    relations = Relations.of(data.attributes)
    for seed in range(10):
        drawn = draw_relation_triples(data, relations, seed)
        assert set(relations.ids[drawn["value"]]) == {2} and set(drawn["other"]) <= {2, 3}


def test_the_papers_counts(real):
    relations = Relations.of(real.attributes)
    triples = training_triples(real, relations)
    assert len(triples) == 48_590
    assert len(held_out_pairs(real)) == 99_342
    drawn, read = draw_relation_triples(real, relations), read_relation_triples(real, relations)
    # As the first version found and drew them, which listed all pairs of items.
    hashes = [sha256(np.asarray(table).astype("<i8").tobytes()).hexdigest() for table in (triples, drawn)]
    assert [digest[:16] for digest in hashes] == ["0993eec3a3690e3e", "2350f19a3f1f3fca"]
    assert drawn["type"].value_counts().to_dict() == {1: 48_510, 2: 17_746, 3: 30_957}
    assert read["type"].value_counts().to_dict() == {1: 48_509, 2: 17_753, 3: 30_947}
    assert len(read) == 97_209 and list(read) == list(drawn)
    for table in (drawn, read):
        assert (relations.types[table["value"]] == table["type"]).all()
        assert (table["head"] != table["tail"]).all()
        head, tail, other = (
            np.asarray(relations.has[table[column], table["value"]]).ravel()
            for column in ("head", "tail", "other")
        )
        assert head.all() and tail.all() and not other.any()
    model = RCF(real, read)
    for user in (0, 451):
        # "1,654 movies": the union of training triples, held-out pairs and the file.
        assert len(model.candidates(user)) + len(model.actions(user)) == 1654


def test_the_file_belongs_to_movielens(real, sample):
    with pytest.raises(AccentError, match="line 2: an item is not in the attribute table.*MovieLens 100K"):
        read_relation_triples(sample, Relations.of(sample.attributes))
