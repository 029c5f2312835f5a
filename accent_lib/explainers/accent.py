"""ACCENT: the smallest set that fills the gap to some item of the slate (paper, §2.3 and Algorithm 1)."""

import numpy as np

from accent_lib.explainers.explanation import Explanation


def fill_gap(gap: float, influence_on_gap: np.ndarray) -> tuple[int, ...] | None:
    """The smallest set of actions whose removal closes a gap, if influences add up (paper, Eq. 7 and 8).

    Parameters
    ----------
    gap : float
        Score of the recommendation minus score of the replacement.
    influence_on_gap : ndarray, shape (n_history,)
        How far each removal closes the gap, in the same units (paper, Eq. 6).

    Returns
    -------
    tuple of int or None
        Positions in order of decreasing influence (equal influence: the earlier action first); ``None``
        where all actions of positive influence together do not make the gap negative.

    Examples
    --------
    >>> fill_gap(1.0, np.array([0.25, 0.75, -1.0, 0.5]))
    (1, 3)
    """
    order = np.argsort(-influence_on_gap, kind="stable")
    taken = []
    for action in order:
        if gap < 0 or influence_on_gap[action] <= 0:
            break
        gap = gap - influence_on_gap[action]
        taken.append(int(action))
    return tuple(taken) if gap < 0 else None


def accent(scores: np.ndarray, influence: np.ndarray) -> Explanation | None:
    """Fill the gap to each item of the slate in turn and keep the smallest set (paper, Algorithm 1).

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Scores of the slate, descending; position 0 is the recommendation.
    influence : ndarray, shape (k, n_history)
        ``influence[i, z]`` is the drop of item ``i``'s score when action ``z`` is removed, I(z, y_i).

    Returns
    -------
    Explanation or None
        Of equally small sets the one with the lowest remaining gap, then the replacement ranked higher;
        ``None`` where no gap can be filled.

    Raises
    ------
    ValueError
        If the shapes do not match or the slate has no second item.

    Examples
    --------
    Two actions fill the gap to the second item, and one of them is enough for the third:

    >>> scores = np.array([3.0, 2.75, 2.5])
    >>> influence = np.array([[0.25, 0.75], [0.125, 0.625], [-0.25, 0.0]])
    >>> found = accent(scores, influence)
    >>> found.removed, found.replacement, found.predicted.tolist()
    ((1,), 2, [2.25, 2.125, 2.5])
    """
    scores, influence = _checked(scores, influence)
    best = None
    for replacement in range(1, len(scores)):
        removed = fill_gap(scores[0] - scores[replacement], influence[0] - influence[replacement])
        if removed is None:
            continue
        found = Explanation(removed, replacement, scores - influence[:, removed].sum(1))
        if best is None or (len(found), found.remaining_gap) < (len(best), best.remaining_gap):
            best = found
    return best


def _checked(scores, influence):
    scores, influence = np.asarray(scores, float), np.asarray(influence, float)
    if scores.ndim != 1 or len(scores) < 2 or influence.ndim != 2 or len(influence) != len(scores):
        raise ValueError(
            f"scores {scores.shape} and influence {influence.shape} must have shapes (k,) and (k, n_history),"
            " with k >= 2."
        )
    return scores, influence
