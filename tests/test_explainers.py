"""ACCENT against exhaustive search over all subsets, the walks against plain transcriptions of their
definition.
"""

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accent_lib.errors import AccentError
from accent_lib.explainers import (
    Explanation,
    accent,
    attention,
    fia,
    fill_gap,
    one_versus_all,
    pure_attention,
    pure_fia,
    random_set,
    sentence,
    walk,
)

# Multiples of 1/8 with few digits: sums are exact in binary, so that no test hangs on rounding.
EIGHTHS = st.integers(-24, 24).map(lambda n: n / 8)
# Tenths are not exact, and another processor may be wrong about them in another way.
TENTHS = st.builds(lambda n, noise: n / 10 + noise * 1e-13, st.integers(-24, 24), st.integers(-9, 9))
ANY = st.floats(-1e3, 1e3, allow_subnormal=False)  # training turns those off for the whole process
BY_INFLUENCE = (accent, fia, pure_fia, one_versus_all)


@st.composite
def problems(draw, k_max=5, n_max=12, values=EIGHTHS):
    k, n = draw(st.integers(2, k_max)), draw(st.integers(1, n_max))
    scores = sorted(draw(st.lists(values, min_size=k, max_size=k)), reverse=True)
    influence = draw(st.lists(st.lists(values, min_size=n, max_size=n), min_size=k, max_size=k))
    return np.array(scores), np.array(influence)


def smallest_subset(gap, influence_on_gap):
    """Size of the smallest of all subsets that makes the gap negative, the definition behind Eq. 8."""
    positions = range(len(influence_on_gap))
    subsets = chain.from_iterable(combinations(positions, size) for size in range(len(influence_on_gap) + 1))
    for subset in subsets:
        if gap - sum(influence_on_gap[z] for z in subset) < 0:
            return len(subset)
    return None


MARGINS = (0, 1 / 8, 1 / 2, 2, 8)


def subsets_of(n):
    """All subsets of so many positions, the small ones first."""
    return chain.from_iterable(combinations(range(n), size) for size in range(n + 1))


@settings(max_examples=60, deadline=None)
@given(problems(k_max=4, n_max=7))
def test_with_a_margin_too_no_subset_is_smaller(problem):
    scores, influence = problem
    gaps, on_gaps = scores[0] - scores[1:], influence[0] - influence[1:]
    left = {s: gaps - on_gaps[:, list(s)].sum(1) for s in subsets_of(influence.shape[1])}
    size = 0
    for margin in MARGINS:
        explanation = accent(scores, influence, margin)
        reaching = [len(s) for s, rest in left.items() if rest.min() < -margin]
        if reaching:
            assert explanation.reached and len(explanation) == min(reaching)
            assert len(explanation) >= size and explanation.remaining_gap < -margin
            size = len(explanation)
        elif (lowest := min(rest.min() for rest in left.values())) < 0:
            smallest = min(len(s) for s, rest in left.items() if rest.min() == lowest)
            assert not explanation.reached and len(explanation) == smallest
            assert explanation.remaining_gap == lowest >= -margin
        else:
            assert explanation is None


@settings(max_examples=100, deadline=None)
@given(problems(), st.sampled_from(MARGINS), st.sampled_from([fia, pure_fia]))
def test_a_walk_goes_on_until_the_margin_or_stops_where_another_led_by_most(problem, margin, method):
    scores, influence = problem
    removed, current, best = [], scores, None
    gap = scores[0] - scores[1:].max()
    for action in np.argsort(-influence[0], kind="stable"):
        after = current - influence[:, action]
        narrower = after[0] - after[1:].max()
        if method is fia and narrower >= gap:
            continue
        removed, current, gap = [*removed, int(action)], after, narrower
        if gap < (best[1] if best else 0):
            best = tuple(removed), gap
        if gap < -margin:
            break
    explanation = method(scores, influence, margin)
    assert (explanation is None) == (best is None)
    if best:
        assert (explanation.removed, explanation.remaining_gap) == best
        assert explanation.reached == (best[1] < -margin)


@settings(max_examples=100, deadline=None)
@given(problems(), st.sampled_from(MARGINS))
def test_no_method_needs_less_for_the_margin_than_accent(problem, margin):
    best = accent(*problem, margin)
    for method in BY_INFLUENCE:
        other = method(*problem, margin)
        if other is not None and other.reached:
            assert best.reached and len(best) <= len(other)


@pytest.mark.parametrize("margin", [-0.1, np.nan, np.inf, "0.1", None, [0.1]])
def test_a_margin_is_a_number(margin):
    for method in BY_INFLUENCE:
        with pytest.raises(AccentError, match="`margin` is .*, but must be a finite number of at least 0"):
            method(np.array([1.0, 0.5]), np.array([[1.0], [0.0]]), margin)


@settings(max_examples=150, deadline=None)
@given(problems())
def test_no_subset_is_smaller(problem):
    scores, influence = problem
    smallest = []
    for replacement in range(1, len(scores)):
        gap, on_gap = scores[0] - scores[replacement], influence[0] - influence[replacement]
        taken, size = fill_gap(gap, on_gap), smallest_subset(gap, on_gap)
        assert (taken is None) == (size is None)
        if taken is not None:
            assert len(taken) == size == len(set(taken))
            assert gap - on_gap[list(taken)].sum() < 0
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
        taken = fill_gap(scores[0] - scores[replacement], influence[0] - influence[replacement])
        if taken is not None and len(taken) == len(explanation):
            left = (
                scores[0] - scores[replacement] - (influence[0] - influence[replacement])[list(taken)].sum()
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
    explanation = (fia if selective else pure_fia)(scores, influence)
    expected = transcribed(scores, influence, selective)
    assert (None if explanation is None else (explanation.removed, explanation.replacement)) == expected


@settings(max_examples=100, deadline=None)
@given(problems())
def test_fia_is_never_smaller_than_accent(problem):
    explanation, baseline = accent(*problem), fia(*problem)
    if baseline is not None:
        assert explanation is not None and len(explanation) <= len(baseline)


def whole(values, digits):
    """Values in units of their last digit, as integers, whose sums are exact."""
    return [int(value) for value in np.rint(np.asarray(values) * 10.0**digits)]


def left_of_the_gap(problem, explanation, digits):
    """What the set leaves of its gap, in units of the last digit: recomputed from the whole set."""
    scores, influence = problem
    rival, removed = explanation.replacement, list(explanation.removed)
    mine, theirs = (
        whole(scores[[i]], digits)[0] - sum(whole(influence[i, removed], digits)) for i in (0, rival)
    )
    return mine - theirs


@settings(max_examples=200, deadline=None)
@given(problems(values=ANY), st.sampled_from(BY_INFLUENCE))
def test_a_set_fills_its_gap_whatever_the_floats(problem, method):
    explanation = method(*problem)
    if explanation is not None:
        left = left_of_the_gap(problem, explanation, 9)
        assert left < 0 and explanation.remaining_gap == left / 1e9


@settings(max_examples=200, deadline=None)
@given(problems(values=TENTHS), st.sampled_from(BY_INFLUENCE))
def test_rounding_errors_decide_nothing(problem, method):
    explanation, clean = method(*problem), method(*(np.round(part, 1) for part in problem))
    assert (explanation is None) == (clean is None)
    if explanation is not None:
        assert (explanation.removed, explanation.replacement) == (clean.removed, clean.replacement)
        left = left_of_the_gap(problem, explanation, 1)
        assert left < 0 and explanation.remaining_gap == left / 10


@settings(max_examples=100, deadline=None)
@given(problems(values=TENTHS))
def test_no_subset_is_smaller_in_whole_tenths(problem):
    (first, *others), (of_first, *of_others) = whole(problem[0], 1), [whole(row, 1) for row in problem[1]]
    sizes = [
        smallest_subset(first - score, [mine - theirs for mine, theirs in zip(of_first, row, strict=True)])
        for score, row in zip(others, of_others, strict=True)
    ]
    explanation = accent(*problem)
    assert (explanation and len(explanation)) == min(
        (size for size in sizes if size is not None), default=None
    )


def test_a_gap_that_is_filled_exactly_is_not_filled():
    # Plain sums of these leave -6e-17, which is less than nothing.
    assert 0.3 - (0.1 + 0.2) < 0
    assert fill_gap(0.3, np.array([0.1, 0.2])) is None
    scores, influence = np.array([0.3, 0.0]), np.array([[0.2, 0.1], [0.0, 0.0]])
    assert [method(scores, influence) for method in BY_INFLUENCE] == [None] * len(BY_INFLUENCE)


@pytest.mark.parametrize("method", [attention, pure_attention])
def test_by_attention_too_rounding_errors_decide_nothing(method):
    def rescore(keep):
        return [0.3, 0.0] - (0.1 * (1 - keep[:, :1]) + 0.2 * (1 - keep[:, 1:])) * [1.0, 0.0]

    assert rescore(np.zeros((1, 2)))[0, 0] < 0
    assert method(np.array([0.3, 0.0]), np.array([0.25, 0.75]), rescore) is None
    tied = np.array([0.3, 0.1 + 0.2])
    assert method(
        np.array([0.5, 0.0]), tied, lambda keep: [0.5, 0.0] - (1 - keep).sum(1)[:, None] * [1.0, 0.0]
    ).removed == (0,)


def test_equal_influence_takes_the_earlier_action():
    assert fill_gap(1.0, np.array([0.5, 0.75, 0.75, 0.75])) == (1, 2)


def test_a_filled_gap_needs_no_action_and_zero_is_not_filled():
    assert fill_gap(-0.5, np.array([1.0])) == ()
    assert fill_gap(1.0, np.array([1.0, 0.0])) is None


def test_walk_rescores_the_whole_set():
    # Together the two actions act more than each alone, as with attention: additive bookkeeping would miss
    # it.
    def rescore(removed, tried):
        n_removed = len(removed) + 1 + np.arange(len(tried))
        return [1.0, 0.5] - 0.3 * n_removed[:, None] ** 2 * [1.0, 0.0]

    assert walk(np.array([1.0, 0.5]), [1, 0], rescore, selective=False).removed == (1, 0)


@settings(max_examples=100, deadline=None)
@given(problems(n_max=20), st.booleans(), st.integers(1, 20))
def test_looking_ahead_changes_no_walk(problem, selective, ahead):
    scores, influence = problem
    order = np.argsort(-influence[0], kind="stable")

    def rescore(removed, tried):
        return np.array(
            [scores - influence[:, [*removed, *tried[: n + 1]]].sum(1) for n in range(len(tried))]
        )

    explanation = walk(scores, order, rescore, selective, ahead)
    expected = transcribed(scores, influence, selective)
    assert (None if explanation is None else (explanation.removed, explanation.replacement)) == expected


def test_random_has_the_size_and_replacement_of_its_model_and_repeats():
    scores, influence = np.array([2.0, 1.0, 0.0]), np.ones((3, 30))
    like = Explanation((4, 2, 7), 2, scores)
    first, second = (random_set(scores, influence, like, seed=5) for _ in range(2))
    assert first.removed == second.removed and len(set(first.removed)) == 3 and first.replacement == 2
    assert {random_set(scores, influence, like, seed=s).removed for s in range(20)} != {first.removed}


@pytest.mark.parametrize(
    "scores, influence", [([1.0], [[1.0]]), ([2.0, 1.0], [[1.0]]), ([2.0, 1.0], [1.0, 2.0])]
)
def test_wrong_shapes_are_refused(scores, influence):
    with pytest.raises(AccentError, match="shape"):
        accent(np.array(scores), np.array(influence))


def test_sentence():
    assert sentence(["A"], "R", "C") == "Had you not rated A, you would have been recommended C instead of R."
    assert sentence(["A", "B", "D"], "R", "C").startswith("Had you not rated A, B and D, you")
