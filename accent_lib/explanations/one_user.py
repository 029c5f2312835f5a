"""One user looked at closely: her history, her slate, every influence, and a gap as it is being filled."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accent_lib.arguments import instance, user_of
from accent_lib.errors import AccentError, AccentWarning
from accent_lib.explainers import Explanation, checked, no_sentence, rounded, sentence
from accent_lib.explanations.evidence import analysis_of, gather, tied
from accent_lib.explanations.methods import Attention, check_methods, explain_slate
from accent_lib.influence import gap_influence
from accent_lib.models.given import checked_model


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
    >>> closeup = Closeup(
    ...     0, np.array([7, 4]), np.array([2, 5]), np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]]),
    ...     Explanation((1,), 1, np.array([2.5, 2.75])), np.array([0.25, -0.25]),
    ... )
    >>> closeup.on_gap.tolist()
    [0.0, 0.5]
    >>> closeup.sentence(["A", "B", "C", "D", "E", "F", "G", "H"])
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

    def sentence(self, titles: Sequence[str]) -> str:
        """The explanation in plain words, or that there is none.

        Parameters
        ----------
        titles : sequence of str, shape (n_items,)
        """
        recommendation = titles[self.items[0]]
        if self.explanation is None:
            return no_sentence(recommendation)
        removed = [titles[self.history[action]] for action in self.explanation.removed]
        return sentence(
            removed, recommendation, titles[self.items[self.rival]], self.explanation.remaining_gap
        )


def closeup(
    model, user: int, k: int = 10, method: str = "accent", *, margin: float = 0.0, **options
) -> Closeup:
    """Look closely at one user: :func:`explain` with all that it goes by, as a :class:`Closeup`.

    Parameters
    ----------
    model : Recommender
        Trained.
    user : int
    k : int
        Size of the slate, the recommendation included; at least 2.
    method : str
        Key of ``METHODS`` or ``VARIANTS``.
    margin : float
        How far the replacement must be estimated to lead, in score units.
    **options
        For :func:`~accent_lib.influence.fast_influence`.

    Raises
    ------
    AccentError
        If there is no such user or method, the slate has no second item, she has no action, or a number is
        not finite.

    Warns
    -----
    AccentWarning
        If the recommendation ties with another item of the slate.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> hers = closeup(NCF(prepare(load("sample"))), user=3, k=5)
    >>> hers.influence.shape == (5, len(hers.history))
    True
    """
    check_methods([method], checked_model(model))
    user = user_of(model, user)
    (evidence,) = gather(analysis_of(model, **options), [user], k, [method])
    scores, influence, attention = evidence.scores, evidence.influence, evidence.attention
    if others := tied(scores):
        warnings.warn(
            f"The recommendation ties with {others:,} other item{'s' if others > 1 else ''} of the slate, to "
            "nine decimals: which of them comes first is decided by their order in the data; train longer, "
            "or look for items that the model cannot tell apart.",
            AccentWarning,
            stacklevel=2,
        )
    explanation = explain_slate(scores, influence, [method], user, attention, margin)[method]
    gaps = gaps_of(scores, influence, explanation, attention)
    return Closeup(user, model.actions(user), evidence.items, scores, influence, explanation, gaps)


def explain(model, user: int, k: int = 10, method: str = "accent", **options) -> Explanation | None:
    """Explain the recommendation of one user.

    Parameters and errors are those of :func:`closeup`.

    Returns
    -------
    Explanation or None
        ``None`` where the method finds no set.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> from accent_lib.training import Recipe, State, train
    >>> model = NCF(prepare(load("sample")))
    >>> recipe = Recipe(steps=300, learning_rate=0.01, batch_size=256)
    >>> model = train(model, recipe, [State.of(model)])[0].into(model)
    >>> explanation = explain(model, user=3, k=5)
    >>> explanation is None or explanation.remaining_gap < 0
    True
    """
    return closeup(model, user, k, method, **options).explanation


def gaps_of(
    scores: np.ndarray,
    influence: np.ndarray,
    explanation: Explanation | None,
    attention: Attention | None = None,
) -> np.ndarray:
    """Estimated gap between recommendation and replacement as the actions of a set are removed one by one.

    Parameters
    ----------
    scores, influence
        As for :func:`~accent_lib.explainers.accent`.
    explanation : Explanation or None
    attention : Attention, optional
        Of the attention baselines, which score anew at each step and add no influences up.

    Returns
    -------
    ndarray, shape (n_removed + 1,)
        The first is the gap with the whole history; the only one, to the second item, without explanation.

    Examples
    --------
    >>> from accent_lib.explainers import pure_fia
    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]])
    >>> gaps_of(scores, influence, pure_fia(scores, influence)).tolist()
    [0.25, 0.25, -0.25]
    """
    scores, influence = checked(scores, influence)
    removed, rival = (), 1
    if explanation is not None:
        instance(explanation, "explanation", Explanation, "an Explanation, or None")
        removed, rival = explanation.removed, explanation.replacement
    if rival >= len(scores) or (removed and max(removed) >= influence.shape[1]):
        raise AccentError("`explanation` is of another slate or history than the scores and influences.")
    if attention is not None:
        instance(attention, "attention", Attention, "an Attention of the slate, or None")
    if attention is None:
        closed = np.cumsum(gap_influence(influence, 0, rival)[list(removed)])
        return rounded(scores[0] - scores[rival] - np.concatenate([[0.0], closed]))
    keep = np.ones((len(removed) + 1, len(attention.weights)))
    keep[:, list(removed)] = 1 - np.tri(*(len(removed) + 1, len(removed)), -1)
    after = rounded(attention.rescore(keep))  # (n_removed + 1, k)
    return rounded(after[:, 0] - after[:, rival])
