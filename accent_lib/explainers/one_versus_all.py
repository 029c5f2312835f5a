"""One-versus-all: ACCENT without a fixed replacement (paper, §4.3)."""

import numpy as np

from accent_lib.explainers.accent import _checked
from accent_lib.explainers.explanation import Explanation


def one_versus_all(scores: np.ndarray, influence: np.ndarray) -> Explanation | None:
    """At each step, shrink the gap to whichever item is second at the time, as far as one action can.

    Every action taken brings the recommendation closer to the best other item, but the second place may
    change hands on the way, and actions that were good against one rival are wasted on the next. So a set is
    never smaller than that of :func:`~accent_lib.explainers.accent`, and with a slate of two it is the same.

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Scores of the slate, descending; position 0 is the recommendation.
    influence : ndarray, shape (k, n_history)
        ``influence[i, z]`` is the drop of item ``i``'s score when action ``z`` is removed, I(z, y_i).

    Returns
    -------
    Explanation or None
        The replacement is the item that passes the recommendation. Of equally helpful actions the earlier is
        taken; of equal scores, the item ranked higher is second. ``None`` where no action left shrinks the
        gap to the item that is second then: the paper's step looks at no other item, so there it ends, even
        if ACCENT could still raise one from further down.

    Raises
    ------
    ValueError
        If the shapes do not match or the slate has no second item.

    Examples
    --------
    >>> one_versus_all(np.array([1.0, 0.5, 0.0]), np.array([[0.3, 0.4], [0.0, 0.0], [0.0, 0.0]])).removed
    (1, 0)
    """
    scores, influence = _checked(scores, influence)
    removed, current = [], scores
    while True:
        second = 1 + int(current[1:].argmax())
        if current[0] < current[second]:
            return Explanation(tuple(removed), second, current)
        shrinks = influence[0] - influence[second]
        shrinks[removed] = 0
        if not shrinks.max(initial=0) > 0:
            return None
        action = int(shrinks.argmax())
        removed.append(action)
        current = current - influence[:, action]
