"""Three arms of verify and resume: how FIA goes on, and what random sets copy of ACCENT's."""

import numpy as np
import pandas as pd

from accent_book.experiments.arms import ROUNDS, at_random, resume_fia
from accent_book.experiments.rounds import Start
from accent_lib.explainers import fia

INFLUENCE = np.array([[0.125, 1.0, 0.5, 0.25], [0.0, 0.25, 0.0, 0.5]])


def test_fia_goes_on_from_what_was_measured_with_the_actions_that_are_left():
    longer = resume_fia((1,), np.array([4.0, 3.5]), INFLUENCE)
    left = [0, 2, 3]
    alone = fia(np.array([4.0, 3.5]), INFLUENCE[:, left])
    assert longer.removed == (1, *(left[z] for z in alone.removed))
    np.testing.assert_array_equal(longer.predicted, alone.predicted)
    assert resume_fia((1, 2), np.array([4.0, 3.0]), INFLUENCE) is None


def test_random_sets_have_the_size_and_replacement_of_the_same_round():
    rows = [(7, 0, (1,), 1, 1), (7, 1, (1, 2), 2, 1), (8, 0, (), 0, -1)]
    columns = ["user", "round", "removed", "size", "replacement_position"]
    rows += [(7, number, (1, 2), 2, 1) for number in range(2, ROUNDS + 1)]
    starts = {user: Start(np.array([5, 6]), INFLUENCE, None) for user in (7, 8)}
    draw = at_random(starts, pd.DataFrame(rows, columns=columns))
    drawn = [draw(7, number) for number in range(ROUNDS + 2)]
    assert [len(one) for one in drawn] == [1] + [2] * (ROUNDS + 1)
    assert {one.replacement for one in drawn} == {1} and draw(8, 0) is None
    assert len({one.removed for one in drawn[1:]}) > 1  # a new set in each round
    assert draw(7, 3).removed == drawn[3].removed
