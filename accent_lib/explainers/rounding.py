"""The gate of the explainers: they decide on scores and influences rounded to a stated number of digits."""

import numpy as np

from accent_lib.errors import AccentError

#: Decimals that decide, in score units.  Scores and influences of one model differ between processors by
#: rounding: by at most 2e-14 for all users of MovieLens 100K (NCF, variant ``paper``, slates of 20, torch and
#: MKL told to use no more than a generic x86-64, AVX2, or AVX-512).
DIGITS = 9


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
    return np.round(np.asarray(values, float), DIGITS)


def checked_margin(margin: float) -> float:
    """A margin, rounded; an error if it is no finite number of at least 0.

    Examples
    --------
    >>> checked_margin(0.25)
    0.25
    """
    if not (np.isscalar(margin) and np.isreal(margin) and 0 <= margin < np.inf):
        raise AccentError(f"A margin is a finite number of at least 0, in score units, not {margin!r}.")
    return float(rounded(margin))


def checked(scores: np.ndarray, influence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``(k,)`` of a slate and influences ``(k, n_history)`` on them as explainers take them: rounded.

    Raises
    ------
    ValueError
        If the shapes do not match or the slate has no second item.

    Examples
    --------
    >>> checked([1.0], [[0.5]])
    Traceback (most recent call last):
        ...
    ValueError: scores (1,) and influence (1, 1) must have shapes (k,) and (k, n_history), with k >= 2.
    """
    scores, influence = rounded(scores), rounded(influence)
    if scores.ndim != 1 or len(scores) < 2 or influence.ndim != 2 or len(influence) != len(scores):
        raise ValueError(
            f"scores {scores.shape} and influence {influence.shape} must have shapes (k,) and (k, n_history),"
            " with k >= 2."
        )
    return scores, influence
