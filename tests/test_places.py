"""Any place of the slate, against exhaustive search over all subsets."""

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accent_lib.errors import AccentError
from accent_lib.explainers import accent, leave, wish
from tests.test_explainers import problems

MARGINS = (0, 1 / 8, 1)


def subsets_of(n):
    return chain.from_iterable(combinations(range(n), size) for size in range(n + 1))


def best_of(problem, margin, lead):
    """Size of the smallest set after which a lead exceeds the margin, and the largest lead of that size."""
    scores, influence = problem
    reached = []
    for removed in subsets_of(influence.shape[1]):
        after = lead(scores - influence[:, list(removed)].sum(1))
        if after > margin:
            reached.append((len(removed), -after))
    return min(reached, default=None)


@settings(max_examples=80, deadline=None)
@given(problems(k_max=5, n_max=6), st.data())
def test_leaving_the_slate_takes_no_more_than_it_must(problem, data):
    scores, influence = problem
    if len(scores) < 3:
        return
    k = data.draw(st.integers(1, len(scores) - 1))
    place, margin = data.draw(st.integers(0, k - 1)), data.draw(st.sampled_from(MARGINS))

    def lead(after):  # of the k-th best of the others
        return np.sort(np.delete(after, place))[-k] - after[place]

    expected, explanation = best_of(problem, margin, lead), leave(scores, influence, place, k, margin)
    assert (explanation is None) == (expected is None)
    if expected:
        assert (len(explanation), -lead(explanation.predicted)) == pytest.approx(expected)
        assert explanation.replacement >= k


@settings(max_examples=80, deadline=None)
@given(problems(k_max=5, n_max=6), st.data())
def test_a_wish_takes_no_more_than_it_must(problem, data):
    scores, influence = problem
    item, margin = data.draw(st.integers(1, len(scores) - 1)), data.draw(st.sampled_from(MARGINS))

    def lead(after):
        return after[item] - np.delete(after, item).max()

    expected, explanation = best_of(problem, margin, lead), wish(scores, influence, item, margin)
    assert (explanation is None) == (expected is None)
    if expected:
        assert (len(explanation), -lead(explanation.predicted)) == pytest.approx(expected)
        assert explanation.replacement == item


def test_where_the_solver_fails_it_is_asked_in_another_way():
    scores = np.array([0.25, -1.625, -1.875])
    influence = np.array(
        [[0.0, 1.0, 0.125, 0.375], [-0.5, -0.75, -1.75, -1.5], [0.0, 0.0, 0.0, -1.75]]
    )  # of which HiGHS 1.12 says "Solve error"
    explanation = wish(scores, influence, 1)
    after = explanation.predicted
    assert len(explanation) == 2 and after[1] - after[[0, 2]].max() == 1.75


@settings(max_examples=60, deadline=None)
@given(problems())
def test_of_the_first_place_it_is_accent(problem):
    scores, influence = problem
    if len(scores) < 3:
        return
    explanation, smallest = leave(scores, influence, 0, 1), accent(scores, influence)
    assert (explanation is None) == (smallest is None)
    if smallest is not None:
        assert len(explanation) == len(smallest)


def test_as_large_as_real_histories():
    generator = np.random.default_rng(0)
    scores = -np.sort(-generator.normal(4, 0.2, 20))
    influence = generator.normal(0, 0.02, (20, 300))
    for place in (0, 4):
        explanation = leave(scores, influence, place, 5)
        assert (explanation.predicted > explanation.predicted[place]).sum() >= 5
    explanation = wish(scores, influence, 7)
    assert explanation.predicted.argmax() == 7


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda s, i: leave(s, i, 2, 2), "place 2 and k 2 do not go with 3 scores"),
        (lambda s, i: leave(s, i, 0, 3), "place 0 and k 3 do not go with 3 scores"),
        (lambda s, i: wish(s, i, 0), "There is no item 0 to wish for: positions go from 1 to 2"),
        (lambda s, i: wish(s, i, 3), "There is no item 3 to wish for"),
        (lambda s, i: wish(s, i, 1, -1), "`margin` is -1, but must be a finite number"),
    ],
)
def test_what_makes_no_sense_is_refused(call, sentence):
    with pytest.raises(AccentError, match=sentence):
        call(np.array([3.0, 2.0, 1.0]), np.zeros((3, 2)))
