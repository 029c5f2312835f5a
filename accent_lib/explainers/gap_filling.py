"""ACCENT: the smallest set that fills the gap to some item of the slate (paper, §2.3 and Algorithm 1).

Beside it, of the paper's §4.3, one-versus-all, which fills the gap to whichever item is second at the time,
and how to go on where retraining shows that a set does not hold.
"""

from collections.abc import Sequence

import numpy as np

from accent_lib.arguments import array, number, wholes
from accent_lib.errors import AccentError
from accent_lib.explainers.explanation import Explanation
from accent_lib.explainers.rounding import checked, checked_margin, rounded


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
        where all actions of positive influence together do not make the gap negative.  Gap, influences and
        what is left are :func:`rounded`, here and in all explainers.

    Examples
    --------
    >>> fill_gap(1.0, np.array([0.25, 0.75, -1.0, 0.5]))
    (1, 3)

    What fills a gap exactly does not make it negative:

    >>> fill_gap(0.3, np.array([0.1, 0.2])) is None
    True
    """
    influence_on_gap = array(influence_on_gap, "influence_on_gap", 1)
    ((taken, _, _),) = _fill_gaps(rounded([number(gap, "gap")]), rounded(influence_on_gap)[None])
    return taken


def _fill_gaps(gaps, on_gaps, margin=0.0):
    """Fill gaps (m,) by influences on them (m, n_history), until less than ``-margin`` is left.

    For each a set or None, what is left, and whether that is little enough: where not, the set is the
    smallest of those that leave the least, and None where that changes no order.
    """
    order = np.argsort(-on_gaps, axis=1, kind="stable")
    taken = np.cumsum(np.take_along_axis(on_gaps, order, 1), 1)
    # After 0, 1, 2 ... of them.  What is left falls as long as influences are positive, and rises ever after.
    left = rounded(gaps[:, None] - np.concatenate([np.zeros((len(gaps), 1)), taken], 1))
    enough = left < -rounded(margin)
    sizes = np.where(enough.any(1), enough.argmax(1), left.argmin(1))
    return [
        (tuple(row[:size].tolist()) if last[size] < 0 else None, last[size], bool(reached[size]))
        for row, size, last, reached in zip(order, sizes, left, enough, strict=True)
    ]


def accent(scores: np.ndarray, influence: np.ndarray, margin: float = 0.0) -> Explanation | None:
    """Fill the gap to each item of the slate in turn and keep the smallest set (paper, Algorithm 1).

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Scores of the slate, descending; position 0 is the recommendation.
    influence : ndarray, shape (k, n_history)
        ``influence[i, z]`` is the drop of item ``i``'s score when action ``z`` is removed, I(z, y_i).
    margin : float
        How far the replacement must be estimated to lead, in score units.  Estimates err, so a set that just
        fills the gap often does not hold; with a margin it is larger and holds more often.

    Returns
    -------
    Explanation or None
        Of equally small sets the one with the lowest remaining gap, then the replacement ranked higher;
        ``None`` where no gap can be filled.  Where gaps can be filled, but none by the margin, the set that
        leads by most, which says so: ``reached`` is false.

    Raises
    ------
    AccentError
        If the shapes do not match, the slate has no second item, a number is not finite, or scores do not
        descend.

    Examples
    --------
    Two actions fill the gap to the second item, and one of them is enough for the third:

    >>> scores = np.array([3.0, 2.75, 2.5])
    >>> influence = np.array([[0.25, 0.75], [0.125, 0.625], [-0.25, 0.0]])
    >>> explanation = accent(scores, influence)
    >>> explanation.removed, explanation.replacement, explanation.predicted.tolist()
    ((1,), 2, [2.25, 2.125, 2.5])
    """
    scores, influence = checked(scores, influence, descending=True)
    margin = checked_margin(margin)
    filled = _fill_gaps(rounded(scores[0] - scores[1:]), rounded(influence[0] - influence[1:]), margin)
    candidates = [(item, *each) for item, each in enumerate(filled, 1) if each[0] is not None]
    # Those that reach the margin by size, then by what is left; the others by what is left, then by size.
    reach = [(len(taken), left, item, taken) for item, taken, left, reached in candidates if reached]
    if reach:
        _, _, replacement, removed = min(reach)
    elif candidates:
        _, _, replacement, removed = min(
            (left, len(taken), item, taken) for item, taken, left, _ in candidates
        )
    else:
        return None
    return Explanation(removed, replacement, rounded(scores - influence[:, removed].sum(1)), bool(reach))


def one_versus_all(scores: np.ndarray, influence: np.ndarray, margin: float = 0.0) -> Explanation | None:
    """At each step, shrink the gap to whichever item is second at the time, as far as one action can.

    Every action taken brings the recommendation closer to the best other item, but the second place may
    change hands on the way, and actions that were good against one rival are wasted on the next. So a set is
    never smaller than that of :func:`accent`, and with a slate of two it is the same. Parameters and errors
    are those of :func:`accent`.

    Returns
    -------
    Explanation or None
        The replacement is the item that passes the recommendation. Of equally helpful actions the earlier is
        taken; of equal scores, the item ranked higher is second. ``None`` where no action left shrinks the
        gap to the item that is second then: the paper's step looks at no other item, so there it ends, even
        if ACCENT could still raise one from further down.

    Examples
    --------
    >>> one_versus_all(np.array([1.0, 0.5, 0.0]), np.array([[0.3, 0.4], [0.0, 0.0], [0.0, 0.0]])).removed
    (1, 0)
    """
    scores, influence = checked(scores, influence, descending=True)
    margin, removed, current, best = checked_margin(margin), [], scores, None
    while True:
        second = 1 + int(current[1:].argmax())
        gap = rounded(current[0] - current[second])
        if gap < 0 and (best is None or gap < best.remaining_gap):
            best = Explanation(tuple(removed), second, current, bool(gap < -margin))
            if best.reached:
                return best
        shrinks = rounded(influence[0] - influence[second])
        shrinks[removed] = 0
        if not shrinks.max(initial=0) > 0:
            return best
        action = int(shrinks.argmax())
        removed.append(action)
        current = rounded(current - influence[:, action])


def resume(removed: Sequence[int], measured: np.ndarray, influence: np.ndarray) -> Explanation | None:
    """Go on from a set that was retrained and did not hold: ACCENT on the measured gaps (paper, §4.3).

    For each item of the slate, add the actions that close its gap most until the influences say that what was
    *measured* to be left of it is filled; keep the item that needs the fewest. Gaps are those of the
    retrained world itself, not against the control: the verdict on the next world is by the same scores, and
    retraining drifts there as it did here.

    Parameters
    ----------
    removed : sequence of int
        Positions in the history that are out already, in the order taken.
    measured : ndarray, shape (k,)
        Retrained scores of the slate without them; position 0 is the recommendation.
    influence : ndarray, shape (k, n_history)
        ``influence[i, z]`` is the estimated drop of item ``i``'s score when action ``z`` is removed.

    Returns
    -------
    Explanation or None
        The longer set, which begins with ``removed``; ``predicted`` are the measured scores less the
        influences of what was added. Of equally few actions those with the lowest estimated remaining gap,
        then the item ranked higher. An item that leads already, but was not the one promised, takes an action
        more too: what counts is a promise made before the world that tests it was trained. ``None`` where
        the actions left fill no gap.

    Raises
    ------
    AccentError
        If the shapes do not match, a number is not finite, or an action that is out does not exist.

    Examples
    --------
    A gap of 0.75 was thought to be filled, and 0.25 are left:

    >>> resume((1,), np.array([4.0, 3.75]), np.array([[0.125, 1.0, 0.5], [0.0, 0.0, 0.0]])).removed
    (1, 2)
    """
    measured, influence = checked(measured, influence)
    removed = tuple(wholes(removed, "removed", 0, influence.shape[1] - 1))
    if len(set(removed)) < len(removed):
        raise AccentError("`removed` names an action twice; name each once.")
    left = np.setdiff1d(np.arange(influence.shape[1]), removed)
    longer = []
    for replacement in range(1, len(measured)):
        gap = measured[0] - measured[replacement]
        added = fill_gap(max(gap, 0.0), (influence[0] - influence[replacement])[left])
        if added is not None:
            added = left[list(added)].tolist()
            predicted = rounded(measured - influence[:, added].sum(1))
            longer.append(Explanation((*removed, *added), replacement, predicted))
    return min(longer, key=Explanation.cost, default=None)
