"""The promise, against exhaustive computation and simulation."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from accent_lib.errors import AccentError
from accent_lib.evaluation.guarantee import calibrate, kept, needed


@pytest.mark.parametrize(
    ("n", "others", "target", "error"), [(4, 4, 0.5, 0.2), (5, 3, 0.8, 0.1), (3, 5, 0.6, 0.3)]
)
def test_needed_is_the_least_number_by_all_draws(n, others, target, error):
    total = n + others

    def worst(least):
        chances = []
        for holds in range(total + 1):  # the first so many of all users hold
            bad = 0
            for drawn in combinations(range(total), n):
                first = sum(user < holds for user in drawn)
                bad += first >= least and (holds - first) / others < target - 1e-12
            chances.append(bad / comb(total, n))
        return max(chances)

    least = next(number for number in range(n + 2) if worst(number) <= error + 1e-12)
    assert needed(n, others, target, error) == least


def test_a_promise_is_broken_no_more_often_than_stated():
    """Whatever the true shares: here they lie just where a margin is trusted by chance most easily."""
    generator, broken = np.random.default_rng(0), []
    margins, target = [0.0, 0.1, 0.2, 0.4], 0.8
    for _ in range(400):
        shares = target + generator.uniform(-0.06, 0.02, len(margins))
        holds = generator.random((400, len(margins))) < shares
        promise = calibrate(margins, holds[:200], 200, target, 0.9)
        if promise.margin is not None:
            broken.append(holds[200:, margins.index(promise.margin)].mean() < target)
        else:
            broken.append(False)
    # At most 10% of all draws; three standard errors of 400 of them.
    assert np.mean(broken) < 0.1 + 3 * np.sqrt(0.09 / 400)


def test_splits_are_made_at_random_and_repeat():
    generator = np.random.default_rng(1)
    holds = generator.random((300, 3)) < [0.7, 0.9, 0.97]
    table = kept([0.0, 0.1, 0.2], holds, holds, target=0.8)
    assert len(table) == 200 and table["kept"].mean() >= 0.9 and (table["margin"] > 0).all()
    assert table.equals(kept([0.0, 0.1, 0.2], holds, holds, target=0.8))
    never = kept([0.0, 0.1, 0.2], holds, holds, target=0.999)
    assert never["margin"].isna().all() and never["kept"].all()  # nothing promised, nothing broken


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([0.0], np.ones((3, 2)), 3, 0.8), r"holds \(3, 2\) must have a column for each of 1 margins"),
        (([0.1, 0.0], np.ones((3, 2)), 3, 0.8), "which ascend"),
        (([0.0], np.ones((3, 1)), 3, 1.0), "`target` is 1.0, but must be a share"),
        (([0.0], np.ones((3, 1)), 3, 0.8, 0), "`confidence` is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, sentence):
    with pytest.raises(AccentError, match=sentence):
        calibrate(*arguments)
