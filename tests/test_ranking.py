"""Rankings of the catalogue, whole and cut off, against plain means over all candidates."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accent_lib import AccentError
from accent_lib.retraining.cells import from_text, to_text
from accent_lib.retraining.ranking import RANKED, leads, ranked

ITEMS = np.array([2, 3, 5, 8, 9])
eighths = st.integers(0, 24).map(lambda n: n / 8)  # sums are exact, and ties occur


@given(
    st.lists(st.lists(eighths, min_size=5, max_size=5), min_size=1, max_size=4),
    st.integers(0, 4),
    st.integers(1, 5),
)
def test_a_ranking_that_is_cut_off_says_the_same_or_nothing(scores, place, kept):
    mean = np.mean(scores, axis=0)
    best = ITEMS[np.lexsort((ITEMS, -mean))[0]]
    rankings, own = [ranked(ITEMS, row) for row in scores], [row[place] for row in scores]
    assert leads(rankings, ITEMS[place], own) == (best == ITEMS[place])
    cut = leads([ranking[:kept] for ranking in rankings], ITEMS[place], own)
    assert cut is None or cut == (best == ITEMS[place])


def test_what_is_listed_can_decide_though_the_list_is_cut_off():
    rankings = [ranked(ITEMS, [5, 4, 1, 1, 1])[:2], ranked(ITEMS, [5, 1, 4, 1, 1])[:2]]
    assert leads(rankings, 2, [5, 5]) is True
    assert leads(rankings, 3, [4, 1]) is False


def test_equal_scores_fall_to_the_lower_item_however_the_candidates_are_ordered():
    ranking = ranked(np.array([9, 2, 5]), np.array([1.0, 1.0, 2.0]))
    assert ranking["item"].tolist() == [5, 2, 9]
    assert leads([ranking[1:]], 2, [1.0]) and not leads([ranking[1:]], 9, [1.0])


def test_every_score_in_single_precision_comes_back_from_text():
    scores = np.random.default_rng(0).normal(3, 1, 200).astype("f4")
    table = pd.DataFrame({"catalogue": pd.Series([ranked(np.arange(200), scores), np.empty(0, RANKED)])})
    again = from_text(to_text(table))
    for before, after in zip(table["catalogue"], again["catalogue"], strict=True):
        assert after.dtype == RANKED and np.array_equal(before, after)


@pytest.mark.parametrize("cell", ["7", "7:", "7:a", "x:3", "7:3:4"])
def test_what_is_no_ranking_is_refused(cell):
    with pytest.raises(AccentError, match="7:3.25 4:3"):
        from_text(pd.DataFrame({"catalogue": [cell]}))
