"""One user looked at closely: her history, her slate, every influence, and a gap as it is being filled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from accent_lib import explainers
from accent_lib.explain import Attention, analysis_of, check_methods, check_slate, explain_slate, look
from accent_lib.explainers import Explanation
from accent_lib.influence import gap_influence


@dataclass(frozen=True)
class Closeup:
    """What there is to see of one user.

    Attributes
    ----------
    user : int
    history : ndarray of int, shape (n_history,)
        Items of her actions, in time order.
    items : ndarray of int, shape (k,)
        Her slate; the first is the recommendation.
    scores : ndarray, shape (k,)
        Of the slate, in the model's unit.
    influence : ndarray, shape (k, n_history)
        By how much each score drops when an action is removed.
    explanation : Explanation or None
        ``None`` where the method finds no set.
    gaps : ndarray, shape (n_removed + 1,)
        Estimated gap between recommendation and replacement after none, one, two … of the removals. Without
        an explanation only the gap to the second item, which nothing was taken from.

    Examples
    --------
    >>> seen = Closeup(
    ...     0, np.array([7, 4]), np.array([2, 5]), np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]]),
    ...     explainers.Explanation((1,), 1, np.array([2.5, 2.75])), np.array([0.25, -0.25]),
    ... )
    >>> seen.on_gap.tolist()
    [0.0, 0.5]
    >>> seen.sentence(["A", "B", "C", "D", "E", "F", "G", "H"])
    'Had you not rated E, you would have been recommended F instead of C.'
    """

    user: int
    history: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    influence: np.ndarray
    explanation: Explanation | None
    gaps: np.ndarray

    @property
    def rival(self) -> int:
        """Position in the slate of the replacement; of the second item where there is none."""
        return self.explanation.replacement if self.explanation else 1

    @property
    def on_gap(self) -> np.ndarray:
        """Influence of each action on the gap between the recommendation and the rival, ``(n_history,)``."""
        return gap_influence(self.influence, 0, self.rival)

    def sentence(self, titles) -> str:
        """The explanation in plain words, or that there is none.

        Parameters
        ----------
        titles : sequence of str, shape (n_items,)
        """
        recommendation = titles[self.items[0]]
        if self.explanation is None:
            return no_sentence(recommendation)
        removed = [titles[self.history[action]] for action in self.explanation.removed]
        return told(removed, recommendation, titles[self.items[self.rival]], self.explanation.remaining_gap)


def told(removed: Sequence[str], recommendation: str, replacement: str, gap: float) -> str:
    """A set in plain words: what it is expected to do, which of a set drawn by lot may be nothing.

    Parameters
    ----------
    removed : sequence of str
        Titles of the removed actions.
    recommendation, replacement : str
        Titles.
    gap : float
        Estimated to be left between them.

    Examples
    --------
    >>> told(["Contact"], "Fargo", "Kolya", -0.1)
    'Had you not rated Contact, you would have been recommended Kolya instead of Fargo.'
    >>> told(["Contact", "Kolya"], "Fargo", "Jaws", 0.25)
    'Control, drawn by lot: without Contact and Kolya, Jaws is not expected to lead Fargo (gap left: 0.250).'
    """
    if gap < 0:
        return explainers.sentence(removed, recommendation, replacement)
    *most, last = removed
    joined = f"{', '.join(most)} and {last}" if most else last
    expected = f"{replacement} is not expected to lead {recommendation} (gap left: {gap:.3f})"
    return f"Control, drawn by lot: without {joined}, {expected}."


def no_sentence(recommendation: str) -> str:
    """What is said where a method finds no set.

    Examples
    --------
    >>> no_sentence("Fargo")
    'No set of actions was found that would replace Fargo.'
    """
    return f"No set of actions was found that would replace {recommendation}."


def worth_a_look(explanations: pd.DataFrame) -> list[int]:
    """Users with a set of ACCENT's, in the order in which they are worth a look.

    First come those whose set has 2 or 3 actions and for whom FIA takes more, then others with 2 or 3.

    Parameters
    ----------
    explanations : DataFrame
        Rows of one model and one k, with ``user``, ``method`` and ``size``.

    Examples
    --------
    >>> rows = [(0, "accent", 1), (1, "accent", 2), (2, "accent", 3), (2, "fia", 4), (3, "accent", 0)]
    >>> worth_a_look(pd.DataFrame(rows, columns=["user", "method", "size"]))
    [2, 1, 0]
    """
    sizes = explanations.pivot(index="user", columns="method", values="size")
    found = sizes[sizes["accent"] > 0].reindex(columns=["accent", "fia"])
    small, more = found["accent"].between(2, 3), found["fia"] > found["accent"]
    order = np.argsort(-(small.astype(int) + (small & more)), kind="stable")
    return [int(user) for user in found.index[order]]


def closeup(model, user: int, k: int = 10, method: str = "accent", **options) -> Closeup:
    """Look closely at one user; :func:`~accent_lib.explain.explain` with all that it goes by.

    Parameters
    ----------
    model : Recommender
        Trained.
    user : int
    k : int
        Size of the slate, the recommendation included; at least 2.
    method : str
        Key of :data:`~accent_lib.explain.METHODS` or :data:`~accent_lib.explain.VARIANTS`.
    **options
        For :class:`~accent_lib.influence.FastInfluence`.

    Returns
    -------
    Closeup

    Raises
    ------
    AccentError
        If there is no such user or method, or the slate has no second item.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> seen = closeup(NCF(prepare(load("sample"))), user=3, k=5)
    >>> seen.influence.shape == (5, len(seen.history))
    True
    """
    check_methods([method], model)
    check_slate(model, user, k)
    items, scores, found, attention = look(analysis_of(model, **options), user, k, [method])
    explanation = explain_slate(scores, found.influence, [method], user, attention)[method]
    gaps = gaps_of(scores, found.influence, explanation, attention)
    return Closeup(user, model.actions(user), items, scores, found.influence, explanation, gaps)


def gaps_of(
    scores: np.ndarray,
    influence: np.ndarray,
    explanation: Explanation | None,
    attention: Attention | None = None,
) -> np.ndarray:
    """Estimated gap between recommendation and replacement as the actions of a set are removed one by one.

    Parameters
    ----------
    scores : ndarray, shape (k,)
    influence : ndarray, shape (k, n_history)
    explanation : Explanation or None
    attention : Attention, optional
        Of the attention baselines, which score anew at each step and add no influences up.

    Returns
    -------
    ndarray, shape (n_removed + 1,)
        The first is the gap with the whole history; the only one, to the second item, without explanation.

    Examples
    --------
    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]])
    >>> gaps_of(scores, influence, explainers.pure_fia(scores, influence)).tolist()
    [0.25, 0.25, -0.25]
    """
    if explanation is None:
        return scores[:1] - scores[1:2]
    removed, rival = explanation.removed, explanation.replacement
    if attention is None:
        closed = np.cumsum(gap_influence(influence, 0, rival)[list(removed)])
        return scores[0] - scores[rival] - np.concatenate([[0.0], closed])
    return np.array([_gap(attention.rescore(removed[:n]), rival) for n in range(len(removed) + 1)])


def _gap(scores: Sequence[float], rival: int) -> float:
    return float(scores[0] - scores[rival])
