"""An explanation and the sentence that says it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Explanation:
    """A counterfactual set and what it is expected to do.

    Attributes
    ----------
    removed : tuple of int
        Positions in the user's history, in the order taken.
    replacement : int
        Position in the slate of the item that should take the recommendation's place.
    predicted : ndarray, shape (k,)
        Estimated scores of the slate after the removal; the recommendation is position 0.

    Examples
    --------
    >>> found = Explanation((1, 0), 1, np.array([2.25, 2.5, 2.0]))
    >>> len(found), found.remaining_gap
    (2, -0.25)
    """

    removed: tuple[int, ...]
    replacement: int
    predicted: np.ndarray

    @property
    def remaining_gap(self) -> float:
        """Estimated score of the recommendation minus the replacement's: negative, if all goes well."""
        return float(self.predicted[0] - self.predicted[self.replacement])

    def __len__(self):
        return len(self.removed)


def sentence(removed: Sequence[str], recommendation: str, replacement: str) -> str:
    """The explanation in plain words.

    Parameters
    ----------
    removed : sequence of str
        Titles of the removed actions.
    recommendation, replacement : str
        Titles.

    Examples
    --------
    >>> sentence(["Contact", "Fargo"], "The Silence of the Lambs", "Donnie Brasco")
    'Had you not rated Contact and Fargo, you would have been recommended Donnie Brasco instead of The Silence of the Lambs.'
    """  # noqa: E501
    *most, last = removed
    joined = f"{', '.join(most)} and {last}" if most else last
    instead = f"you would have been recommended {replacement} instead of {recommendation}"
    return f"Had you not rated {joined}, {instead}."
