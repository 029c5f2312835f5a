"""An explanation, and the sentence that says it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accent_lib.arguments import instance, listed, number
from accent_lib.errors import AccentError
from accent_lib.explainers.rounding import rounded


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
    reached : bool
        Whether the replacement leads by the margin that was asked for; if not, by as much as was possible.

    Examples
    --------
    >>> explanation = Explanation((1, 0), 1, np.array([2.25, 2.5, 2.0]))
    >>> len(explanation), explanation.remaining_gap
    (2, -0.25)
    """

    removed: tuple[int, ...]
    replacement: int
    predicted: np.ndarray
    reached: bool = True

    @property
    def remaining_gap(self) -> float:
        """Estimated score of the recommendation minus the replacement's: negative, if all goes well."""
        return float(rounded(self.predicted[0] - self.predicted[self.replacement]))

    def __len__(self) -> int:
        return len(self.removed)

    def cost(self) -> tuple[int, float]:
        """What ACCENT minimises: the size of the set, then the gap that remains."""
        return len(self), self.remaining_gap


def sentence(
    removed: Sequence[str], recommendation: str, replacement: str, gap: float = -np.inf, verb: str = "rated"
) -> str:
    """A set in plain words: what it is expected to do, which of a random set may be nothing.

    Parameters
    ----------
    removed : sequence of str
        Titles of the removed actions.
    recommendation, replacement : str
        Titles.
    gap : float
        Expected to be left between the two; by default it is filled.
    verb : str
        What was done with the removed items.

    Raises
    ------
    AccentError
        If the set is empty, or something is no text.

    Examples
    --------
    >>> sentence(["Contact", "Fargo"], "The Silence of the Lambs", "Donnie Brasco")
    'Had you not rated Contact and Fargo, you would have been recommended Donnie Brasco instead of The Silence of the Lambs.'
    >>> sentence(["Contact", "Kolya"], "Fargo", "Jaws", gap=0.25)
    'Random set: without Contact and Kolya, Jaws is not expected to lead Fargo (gap left: 0.250).'
    """  # noqa: E501
    removed = [_title(each, "removed") for each in listed(removed, "removed", "a list of titles")]
    recommendation, replacement = _title(recommendation, "recommendation"), _title(replacement, "replacement")
    if not removed:
        raise AccentError("A set without any action explains nothing; where no set was found, say so.")
    if not (isinstance(gap, float) and gap == -np.inf):
        number(gap, "gap")
    instance(verb, "verb", str, "a participle, such as 'rated'")
    *most, last = removed
    joined = f"{', '.join(most)} and {last}" if most else last
    if gap < 0:
        instead = f"you would have been recommended {replacement} instead of {recommendation}"
        return f"Had you not {verb} {joined}, {instead}."
    expected = f"{replacement} is not expected to lead {recommendation} (gap left: {gap:.3f})"
    return f"Random set: without {joined}, {expected}."


def no_sentence(recommendation: str) -> str:
    """What is said where a method finds no set.

    Examples
    --------
    >>> no_sentence("Fargo")
    'No set of actions was found that would replace Fargo.'
    """
    return f"No set of actions was found that would replace {_title(recommendation, 'recommendation')}."


def _title(value, name):
    return instance(value, name, str, "a title")
