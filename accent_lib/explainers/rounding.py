"""The gate of the explainers: they decide on scores and influences rounded to a stated number of digits."""

import numpy as np

from accent_lib.arguments import array, number, refused
from accent_lib.errors import AccentError

#: Decimals that decide, in score units.  Scores and influences of one model differ between processors by
#: rounding: by at most 2e-14 for all users of MovieLens 100K (NCF, variant ``paper``, slates of 20, torch and
#: MKL told to use no more than a generic x86-64, AVX2, or AVX-512).
DIGITS = 9
#: From here on a double cannot hold so many decimals, and what is left of a gap may be rounding.
TOO_LARGE = 1e6
#: What scores that should descend may rise by: two ways to compute one score differ by less.
RISE = 1e-6


def rounded(values: np.ndarray) -> np.ndarray:
    """Values rounded to ``DIGITS`` decimals, nine.

    Sums and differences of such values are rounded again.  Adding goes wrong by far less than half of the
    last digit, so they come out the same in whatever order they were added: a gap that is filled is filled,
    and what is equal ties.

    Returns
    -------
    ndarray of float, of the same shape

    Examples
    --------
    >>> 0.1 + 0.2 == 0.3, bool(rounded(0.1 + 0.2) == rounded(0.3))
    (False, True)
    """
    try:
        return np.round(np.asarray(values, float), DIGITS)
    except Exception:  # whatever somebody's array, tensor or class says
        raise refused(values, "values", "numbers") from None


def checked_margin(margin: float) -> float:
    """A margin, rounded; an error if it is no finite number of at least 0.

    Examples
    --------
    >>> checked_margin(0.25)
    0.25
    """
    return float(rounded(number(margin, "margin", 0)))


def checked(
    scores: np.ndarray, influence: np.ndarray, descending: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``(k,)`` of a slate and influences ``(k, n_history)`` on them as explainers take them: rounded.

    Raises
    ------
    AccentError
        If the shapes do not match, the slate has no second item, a number is not finite or a score too large
        for nine decimals, or scores that are to be ``descending`` are not.

    Examples
    --------
    >>> checked([1.0], [[0.5]])
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: scores (1,) and influence (1, 1) must have shapes (k,) and ...
    """
    influence = array(influence, "influence", 2)
    scores = checked_scores(scores, descending)
    if len(scores) < 2 or len(influence) != len(scores):
        raise AccentError(
            f"scores {scores.shape} and influence {influence.shape} must have shapes (k,) and (k, n_history),"
            " with k >= 2."
        )
    return scores, rounded(influence)


def checked_scores(scores: np.ndarray, descending: bool = True) -> np.ndarray:
    """Scores of a slate, ``(k,)``, rounded; errors are those of :func:`checked`.

    Examples
    --------
    >>> checked_scores([3, 2.75]).tolist()
    [3.0, 2.75]
    """
    scores = array(scores, "scores", 1)
    if np.abs(scores).max(initial=0) >= TOO_LARGE:
        raise AccentError(
            f"`scores` are as large as {np.abs(scores).max():g}, where nothing is left of the nine decimals "
            "that explanations are decided on; scale the ratings, or the net, so that scores are below "
            f"{TOO_LARGE:,.0f}."
        )
    if not len(scores):
        raise refused(scores, "scores", "those of a slate, one at least")
    scores = rounded(scores)
    if descending and (rises := scores[1:] - scores[:-1] > RISE).any():
        place = int(rises.argmax()) + 1
        raise AccentError(
            f"`scores` rise at position {place}, from {scores[place - 1]:g} to {scores[place]:g}, but a "
            "slate "
            "begins with the recommendation and its scores descend: sort them, and the rows of influences."
        )
    return scores
