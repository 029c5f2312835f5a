"""ACCENT against exhaustive search over all subsets, the walks against plain transcriptions of their
definition.
"""

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accent_lib.explainers import Explanation, accent, fia, fill_gap, pure_fia, random, sentence, walk

# Multiples of 1/8 with few digits: sums are exact in binary, so that no test hangs on rounding.
EIGHTHS = st.integers(-24, 24).map(lambda n: n / 8)


@st.composite
def problems(draw, k_max=5, n_max=12):
    k, n = draw(st.integers(2, k_max)), draw(st.integers(1, n_max))
    scores = sorted(draw(st.lists(EIGHTHS, min_size=k, max_size=k)), reverse=True)
    influence = draw(st.lists(st.lists(EIGHTHS, min_size=n, max_size=n), min_size=k, max_size=k))
    return np.array(scores), np.array(influence)


def smallest_subset(gap, influence_on_gap):
    """Size of the smallest of all subsets that makes the gap negative, the definition behind Eq. 8."""
    positions = range(len(influence_on_gap))
    subsets = chain.from_iterable(combinations(positions, size) for size in range(len(influence_on_gap) + 1))
    for subset in subsets:
        if gap - sum(influence_on_gap[z] for z in subset) < 0:
            return len(subset)
    return None


@settings(max_examples=150, deadline=None)
@given(problems())
def test_no_subset_is_smaller(problem):
    scores, influence = problem
    smallest = []
    for replacement in range(1, len(scores)):
        gap, on_gap = scores[0] - scores[replacement], influence[0] - influence[replacement]
        found, size = fill_gap(gap, on_gap), smallest_subset(gap, on_gap)
        assert (found is None) == (size is None)
        if found is not None:
            assert len(found) == size == len(set(found))
            assert gap - on_gap[list(found)].sum() < 0
            smallest.append(size)
    explanation = accent(scores, influence)
    assert (explanation is None) == (not smallest)
    if explanation is not None:
        assert len(explanation) == min(smallest)
        assert explanation.remaining_gap < 0
        np.testing.assert_array_equal(
            explanation.predicted, scores - influence[:, list(explanation.removed)].sum(1)
        )


@settings(max_examples=100, deadline=None)
@given(problems())
def test_among_equally_small_sets_the_lowest_remaining_gap_wins(problem):
    scores, influence = problem
    explanation = accent(scores, influence)
    if explanation is None:
        return
    for replacement in range(1, len(scores)):
        found = fill_gap(scores[0] - scores[replacement], influence[0] - influence[replacement])
        if found is not None and len(found) == len(explanation):
            left = (
                scores[0] - scores[replacement] - (influence[0] - influence[replacement])[list(found)].sum()
            )
            assert explanation.remaining_gap <= left


def transcribed(scores, influence, selective):
    """FIA and pure FIA word for word: scores kept as a list, gaps recomputed from it."""
    history = sorted(range(influence.shape[1]), key=lambda z: (-influence[0][z], z))
    current, taken = list(scores), []
    for z in history:
        after = [current[i] - influence[i][z] for i in range(len(scores))]
        if selective and not after[0] - max(after[1:]) < current[0] - max(current[1:]):
            continue
        current = after
        taken.append(z)
        if current[0] < max(current[1:]):
            return tuple(taken), 1 + int(np.argmax(current[1:]))
    return None


@settings(max_examples=200, deadline=None)
@given(problems(), st.booleans())
def test_fia_is_its_definition(problem, selective):
    scores, influence = problem
    found = (fia if selective else pure_fia)(scores, influence)
    expected = transcribed(scores, influence, selective)
    assert (None if found is None else (found.removed, found.replacement)) == expected


@settings(max_examples=100, deadline=None)
@given(problems())
def test_fia_is_never_smaller_than_accent(problem):
    explanation, baseline = accent(*problem), fia(*problem)
    if baseline is not None:
        assert explanation is not None and len(explanation) <= len(baseline)


def test_equal_influence_takes_the_earlier_action():
    assert fill_gap(1.0, np.array([0.5, 0.75, 0.75, 0.75])) == (1, 2)


def test_a_filled_gap_needs_no_action_and_zero_is_not_filled():
    assert fill_gap(-0.5, np.array([1.0])) == ()
    assert fill_gap(1.0, np.array([1.0, 0.0])) is None


def test_walk_rescores_the_whole_set():
    # Together the two actions act more than each alone, as with attention: additive bookkeeping would miss
    # it.
    def rescore(removed, before):
        return np.array([1.0, 0.5]) - np.array([0.3 * len(removed) ** 2, 0.0])

    assert walk(np.array([1.0, 0.5]), [1, 0], rescore, selective=False).removed == (1, 0)


def test_random_has_the_size_and_replacement_of_its_model_and_repeats():
    scores, influence = np.array([2.0, 1.0, 0.0]), np.ones((3, 30))
    like = Explanation((4, 2, 7), 2, scores)
    first, second = (random(scores, influence, like, seed=5) for _ in range(2))
    assert first.removed == second.removed and len(set(first.removed)) == 3 and first.replacement == 2
    assert {random(scores, influence, like, seed=s).removed for s in range(20)} != {first.removed}


@pytest.mark.parametrize(
    "scores, influence", [([1.0], [[1.0]]), ([2.0, 1.0], [[1.0]]), ([2.0, 1.0], [1.0, 2.0])]
)
def test_wrong_shapes_are_refused(scores, influence):
    with pytest.raises(ValueError, match="shapes"):
        accent(np.array(scores), np.array(influence))


def test_sentence():
    assert sentence(["A"], "R", "C") == "Had you not rated A, you would have been recommended C instead of R."
    assert sentence(["A", "B", "D"], "R", "C").startswith("Had you not rated A, B and D, you")
