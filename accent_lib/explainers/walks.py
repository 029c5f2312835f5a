"""The baselines: one walk through the history in a fixed order (paper, §3.3), and the random control."""

from collections.abc import Callable, Sequence

import numpy as np

from accent_lib.explainers.explanation import Explanation
from accent_lib.explainers.rounding import checked, rounded


def walk(
    scores: np.ndarray,
    order: Sequence[int],
    rescore: Callable[[tuple[int, ...], np.ndarray], np.ndarray],
    selective: bool,
) -> Explanation | None:
    """Take actions in order until the recommendation is no longer the best of the slate.

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Of the slate, position 0 the recommendation.
    order : sequence of int
        Positions in the history, the first to be removed first.
    rescore : callable
        ``rescore(removed, before)`` estimates the ``(k,)`` scores with these actions out; ``before`` are the
        scores without the last of them.
    selective : bool
        Keep an action only where it narrows the gap between the recommendation and the best other item.

    Returns
    -------
    Explanation or None
        The replacement is the best other item when the walk stops; ``None`` where it ends without a swap.

    Examples
    --------
    Each action takes 1 from the recommendation; one is enough:

    >>> def rescore(removed, before):
    ...     return before - [1.0, 0.0, 0.0]
    >>> explanation = walk([3.0, 2.5, 1.0], [4, 7], rescore, selective=False)
    >>> explanation.removed, explanation.replacement, explanation.predicted.tolist()
    ((4,), 1, [2.0, 2.5, 1.0])
    """

    def gap(values):
        return rounded(values[0] - values[1:].max())

    removed, current = (), rounded(scores)
    for action in order:
        tried = rounded(rescore((*removed, int(action)), current))
        if selective and not gap(tried) < gap(current):
            continue
        removed, current = (*removed, int(action)), tried
        if gap(current) < 0:
            return Explanation(removed, 1 + int(current[1:].argmax()), current)
    return None


def _additive(influence: np.ndarray) -> Callable:
    """Influences add up (paper, Eq. 7), so each action takes its own from the scores before it."""
    return lambda removed, before: before - influence[:, removed[-1]]


def pure_fia(scores: np.ndarray, influence: np.ndarray) -> Explanation | None:
    """Remove actions by decreasing influence on the recommendation's own score until it is displaced.

    Parameters and return value as for :func:`~accent_lib.explainers.accent`.

    Examples
    --------
    The action of the greatest influence lowers both scores alike, and is taken all the same:

    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]])
    >>> pure_fia(scores, influence).removed
    (0, 1)
    """
    scores, influence = checked(scores, influence)
    order = np.argsort(-influence[0], kind="stable")
    return walk(scores, order, _additive(influence), selective=False)


def fia(scores: np.ndarray, influence: np.ndarray) -> Explanation | None:
    """As :func:`pure_fia`, but keep only actions that narrow the gap to the best other item.

    Examples
    --------
    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]])
    >>> fia(scores, influence).removed
    (1,)
    """
    scores, influence = checked(scores, influence)
    order = np.argsort(-influence[0], kind="stable")
    return walk(scores, order, _additive(influence), selective=True)


def pure_attention(
    scores: np.ndarray, weights: np.ndarray, rescore: Callable[[tuple[int, ...]], np.ndarray]
) -> Explanation | None:
    """Remove actions by decreasing attention toward the recommendation until it is displaced.

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Scores of the slate, position 0 the recommendation.
    weights : ndarray, shape (n_history,)
        Attention that each action gets when the recommendation is scored, on the full history.
    rescore : callable
        ``rescore(removed)`` are the ``(k,)`` scores by the same parameters without these actions.

    Examples
    --------
    Action 1 gets most of the attention, but scoring without it changes nothing:

    >>> def rescore(removed):
    ...     return np.array([2.0 - (0 in removed), 1.5])
    >>> pure_attention(np.array([2.0, 1.5]), np.array([0.25, 0.75]), rescore).removed
    (1, 0)
    """
    return _by_attention(scores, weights, rescore, selective=False)


def attention(
    scores: np.ndarray, weights: np.ndarray, rescore: Callable[[tuple[int, ...]], np.ndarray]
) -> Explanation | None:
    """As :func:`pure_attention`, but keep only actions that narrow the gap to the best other item.

    Examples
    --------
    >>> def rescore(removed):
    ...     return np.array([2.0 - (0 in removed), 1.5])
    >>> attention(np.array([2.0, 1.5]), np.array([0.25, 0.75]), rescore).removed
    (0,)
    """
    return _by_attention(scores, weights, rescore, selective=True)


def _by_attention(scores, weights, rescore, selective):
    order = np.argsort(-rounded(weights), kind="stable")
    return walk(scores, order, lambda removed, before: rescore(removed), selective)


def random_control(scores: np.ndarray, influence: np.ndarray, like: Explanation, seed: int) -> Explanation:
    """A random set of the same size and with the same replacement as another explanation: the control.

    A counterfactual percentage means little until one knows how often sets of this size flip a recommendation
    by chance. Scores and influence are those of :func:`~accent_lib.explainers.accent`.

    Examples
    --------
    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]])
    >>> like = fia(scores, influence)
    >>> drawn = random_control(scores, influence, like, seed=0)
    >>> len(drawn) == len(like), drawn.replacement == like.replacement
    (True, True)
    """
    scores, influence = checked(scores, influence)
    order = np.random.default_rng(seed).permutation(influence.shape[1])
    removed = tuple(int(action) for action in order[: len(like)])
    return Explanation(removed, like.replacement, rounded(scores - influence[:, removed].sum(1)))
