"""One-versus-all: by hand, its promises on small problems, and beside ACCENT."""

import numpy as np
import pytest
from hypothesis import given, settings

from accent_book.figures import METHOD_COLOURS, METHOD_NAMES
from accent_lib.errors import AccentError
from accent_lib.explainers import accent, one_versus_all
from accent_lib.explanations import METHODS, explain_slate
from tests.test_explainers import problems


def left_after(problem, removed):
    """Estimated scores without some actions; exact, since all numbers are multiples of 1/8."""
    scores, influence = problem
    return scores - influence[:, list(removed)].sum(1)


def test_the_second_place_changes_on_the_way():
    scores = np.array([4.0, 3.0, 2.5])
    gains = np.array([[0.0, 0.0, 0.0], [0.75, 0.5, 0.0], [1.5, 0.0, 0.25]])
    # Action 0 helps the second most, but lifts the third to a tie with the recommendation. Now that one is
    # second, and action 2 helps it, though action 1 would help the former second more.
    explanation = one_versus_all(scores, -gains)
    assert (explanation.removed, explanation.replacement) == ((0, 2), 2)
    np.testing.assert_array_equal(explanation.predicted, [4.0, 3.75, 4.25])


def test_it_ends_where_nothing_helps_the_second_although_the_third_could_be_raised():
    scores = np.array([4.0, 3.0, 2.5])
    gains = np.array([[0.0, 0.0, 0.0], [0.75, 0.0, 0.0], [0.0, 1.0, 0.75]])
    assert one_versus_all(scores, -gains) is None
    assert accent(scores, -gains).removed == (1, 2)


def test_it_can_take_more_actions_than_accent():
    scores = np.array([2.0, 1.5, 1.0])
    gains = np.array([[0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.125, 0.0], [0.0, 0.0, 0.0, 1.25]])
    assert accent(scores, -gains).removed == (3,)
    assert one_versus_all(scores, -gains).removed == (0, 1, 2)


@settings(max_examples=150, deadline=None)
@given(problems())
def test_the_last_action_dethrones_the_recommendation_and_each_brings_it_closer(problem):
    explanation = one_versus_all(*problem)
    if explanation is None:
        return
    assert len(set(explanation.removed)) == len(explanation)
    np.testing.assert_array_equal(explanation.predicted, left_after(problem, explanation.removed))
    walked = [left_after(problem, explanation.removed[:n]) for n in range(len(explanation) + 1)]
    leads = [scores[0] - scores[1:].max() for scores in walked]
    assert explanation.remaining_gap == leads[-1] < 0 <= min(leads[:-1], default=0)
    assert leads == sorted(set(leads), reverse=True)


@settings(max_examples=150, deadline=None)
@given(problems())
def test_each_action_is_the_best_against_the_second_of_its_time(problem):
    scores, influence = problem
    explanation = one_versus_all(*problem)
    for n in range(0 if explanation is None else len(explanation)):
        current = left_after(problem, explanation.removed[:n])
        second = max(range(1, len(scores)), key=lambda i: (current[i], -i))
        left = [z for z in range(influence.shape[1]) if z not in explanation.removed[:n]]
        assert explanation.removed[n] == max(left, key=lambda z: (influence[0, z] - influence[second, z], -z))


@settings(max_examples=150, deadline=None)
@given(problems())
def test_it_is_never_smaller_than_accent(problem):
    mine, theirs = one_versus_all(*problem), accent(*problem)
    assert mine is None or len(mine) >= len(theirs)


@settings(max_examples=150, deadline=None)
@given(problems(k_max=2))
def test_with_two_items_it_is_accent(problem):
    mine, theirs = one_versus_all(*problem), accent(*problem)
    assert (mine is None) == (theirs is None)
    if mine is not None:
        assert (mine.removed, mine.replacement) == (theirs.removed, theirs.replacement)
        np.testing.assert_array_equal(mine.predicted, theirs.predicted)


def test_it_runs_where_it_is_asked_for_by_name():
    scores, influence = np.array([2.0, 1.0]), np.array([[0.75, 0.5], [0.0, 0.0]])
    explanation = explain_slate(scores, influence, ["one_versus_all"])["one_versus_all"]
    assert explanation.removed == (0, 1)
    assert "one_versus_all" not in METHODS
    assert "one_versus_all" in METHOD_NAMES.keys() & METHOD_COLOURS.keys()


def test_an_empty_history_has_no_explanation_and_wrong_shapes_are_refused():
    assert one_versus_all(np.array([2.0, 1.0]), np.zeros((2, 0))) is None
    with pytest.raises(AccentError, match="shape"):
        one_versus_all(np.array([1.0]), np.array([[1.0]]))
