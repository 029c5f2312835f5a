"""Any place of the slate: the smallest set without which an item would not be there, or a wished one first.

ACCENT asks of the first place who could take it; one gap has to be filled, and taking actions by their
influence on it is exact.  Here several items have to stand above another one, or below it, at once.  So the
smallest set is found by integer programming, exactly for the estimated scores, which are still sums.
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from accent_lib.arguments import whole
from accent_lib.errors import AccentError
from accent_lib.explainers.explanation import Explanation
from accent_lib.explainers.rounding import checked, checked_margin, rounded

#: A lead of less than this, in score units, counts as none: the solver cannot tell it from a tie.
LEAD = 1e-5
#: What `milp` says where no set will do.
INFEASIBLE = 2


def leave(
    scores: np.ndarray, influence: np.ndarray, place: int, k: int, margin: float = 0.0
) -> Explanation | None:
    """The smallest set without which the item at a place would not be among the best ``k``.

    Parameters
    ----------
    scores : ndarray, shape (m,)
        Of more than ``k`` items, descending: the slate and those that could come in.
    influence : ndarray, shape (m, n_history)
        As for :func:`~accent_lib.explainers.accent`.
    place : int
        Of the item, from 0, below ``k``.
    k : int
        Size of the slate.
    margin : float
        By how much ``k`` other items must be estimated to lead it.

    Returns
    -------
    Explanation or None
        Of the smallest sets one after which the lead is largest; ``replacement`` is the best of the items
        that were not among the best ``k``.  ``None`` where no set does it.

    Raises
    ------
    AccentError
        If there is no such place, or there are no items beyond the slate.

    Examples
    --------
    The item at place 1 is overtaken by the third if the first action goes, but falls out of a slate of two
    only where the first item stays ahead of it:

    >>> scores = np.array([3.0, 2.75, 2.5])
    >>> influence = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    >>> leave(scores, influence, place=1, k=2).removed
    (1,)
    """
    scores, influence = checked(scores, influence, descending=True)
    place, k = whole(place, "place"), whole(k, "k")
    if not 0 <= place < k < len(scores):
        raise AccentError(
            f"place {place} and k {k} do not go with {len(scores)} scores: a place is below k, and k below "
            "the number of items."
        )
    others = np.delete(np.arange(len(scores)), place)
    found = _smallest(scores[others] - scores[place], influence[others] - influence[place], k, margin)
    if found is None:
        return None
    after = rounded(scores - influence[:, found].sum(1))
    return Explanation(found, k + int(after[k:].argmax()), after)


def wish(scores: np.ndarray, influence: np.ndarray, item: int, margin: float = 0.0) -> Explanation | None:
    """The smallest set without which a wished item would be the first.

    Parameters
    ----------
    scores, influence, margin
        As for :func:`~accent_lib.explainers.accent`; nothing else may come first than what is among them.
    item : int
        Position of the item, at least 1.

    Returns
    -------
    Explanation or None
        Its ``replacement`` is the item.  Of the smallest sets one after which it leads by most; ``None``
        where no set brings it there.

    Examples
    --------
    The last item passes the first without either action, and both only without the second:

    >>> scores = np.array([3.0, 2.75, 2.5])
    >>> influence = np.array([[0.75, 0.75], [0.0, 0.5], [0.0, 0.0]])
    >>> wish(scores, influence, item=2).removed
    (1,)
    """
    scores, influence = checked(scores, influence, descending=True)
    if not 1 <= (item := whole(item, "item")) < len(scores):
        raise AccentError(f"There is no item {item} to wish for: positions go from 1 to {len(scores) - 1}.")
    others = np.delete(np.arange(len(scores)), item)
    leads = scores[item] - scores[others], influence[item] - influence[others]
    found = _smallest(*leads, len(others), margin)
    return found and Explanation(found, item, rounded(scores - influence[:, found].sum(1)))


def _smallest(leads, influence, count, margin):
    """The smallest set without which so many of some leads (m,) exceed a margin, or None.

    ``influence``, (m, n), says by how much a removal lowers each lead.
    """
    margin = checked_margin(margin) + LEAD
    m, n = influence.shape
    chosen, least = _solve(leads, influence, count, margin, np.r_[np.ones(n), np.zeros(m + 1)], n)
    if chosen is None:
        return None
    # Among equally small sets, the one whose smallest lead that counts is the largest.
    best, _ = _solve(leads, influence, count, margin, np.r_[np.zeros(n + m), -1.0], round(least))
    found = tuple(np.flatnonzero(chosen if best is None else best).tolist())
    return found if np.sort(rounded(leads - influence[:, found].sum(1)))[-count] > 0 else None


def _solve(leads, influence, count, margin, cost, size):
    """Minimise a cost of variables [actions out (n), leads that count (m), the smallest of these (1)]."""
    m, n = influence.shape
    # No two leads can be further apart: what one may lack, where it does not count.
    slack = 2 * (np.abs(leads) + np.abs(influence).sum(1)).max() + margin
    rows = np.hstack(
        [-influence, -slack * np.eye(m), -np.ones((m, 1))]
    )  # lead - slack * counts - t >= -slack
    total = np.r_[np.zeros(n), np.ones(m), 0.0][None]
    removed = np.r_[np.ones(n), np.zeros(m + 1)][None]
    constraints = [
        LinearConstraint(rows, -leads - slack, np.inf),
        LinearConstraint(total, count, np.inf),
        LinearConstraint(removed, 0, size),
    ]
    bounds = Bounds(np.r_[np.zeros(n + m), margin], np.r_[np.ones(n + m), np.inf])
    kinds = np.r_[np.ones(n + m), 0]
    for presolve in (True, False):  # which at times ends in an error of the solver's own
        options = {"presolve": presolve}
        solved = milp(cost, constraints=constraints, bounds=bounds, integrality=kinds, options=options)
        if solved.success:
            return solved.x[:n] > 0.5, solved.fun
        if solved.status == INFEASIBLE:
            return None, None
    raise AccentError(f"The solver came to no end ({solved.message}): report these scores and influences.")
