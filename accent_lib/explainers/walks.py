"""The baselines: one walk through the history in a fixed order (paper, §3.3), and random sets."""

from collections.abc import Callable, Sequence

import numpy as np

from accent_lib.arguments import array, flag, instance, refused, whole, wholes
from accent_lib.errors import AccentError
from accent_lib.explainers.explanation import Explanation
from accent_lib.explainers.rounding import checked, checked_margin, checked_scores, rounded

#: Actions that a walk tries ahead of time after a useless one; then twice as many, and so on.
AHEAD = 4


def walk(
    scores: np.ndarray,
    order: Sequence[int],
    rescore: Callable[[list[int], np.ndarray], np.ndarray],
    selective: bool,
    ahead: int = AHEAD,
    margin: float = 0.0,
) -> Explanation | None:
    """Take actions in order until the recommendation is no longer the best of the slate.

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Of the slate, position 0 the recommendation.
    order : sequence of int
        Positions in the history, the first to be removed first.
    rescore : callable
        ``rescore(removed, tried)`` estimates scores, ``(n_tried, k)``, as some actions are removed, and then
        others one after the other.
    selective : bool
        Keep an action only where it narrows the gap between the recommendation and the best other item.
    ahead : int
        Actions to try at once in the beginning: more where scoring costs little.  It changes no result.
    margin : float
        How far the best other item must lead, as for :func:`~accent_lib.explainers.accent`.

    Returns
    -------
    Explanation or None
        The replacement is the best other item when the walk stops; ``None`` where it ends without a swap, and
        where it ends without the margin, the step at which another item led by most.

    Raises
    ------
    AccentError
        If an argument is of another kind, or ``rescore`` gives other than finite scores of this shape.

    Examples
    --------
    Each action takes 1 from the recommendation; one is enough:

    >>> def rescore(removed, tried):
    ...     return [3.0, 2.5, 1.0] - np.outer(len(removed) + 1 + np.arange(len(tried)), [1.0, 0.0, 0.0])
    >>> explanation = walk([3.0, 2.5, 1.0], [4, 7], rescore, selective=False)
    >>> explanation.removed, explanation.replacement, explanation.predicted.tolist()
    ((4,), 1, [2.0, 2.5, 1.0])
    """
    order = np.array(wholes(order, "order", 0), int)
    scores, selective, ahead = (
        checked_scores(scores, False),
        flag(selective, "selective"),
        whole(ahead, "ahead", 1),
    )
    if len(scores) < 2:
        raise refused(scores, "scores", "those of two items at least")
    return _walk(scores, order, _function(rescore), selective, ahead, checked_margin(margin))


def _function(rescore):
    if not callable(rescore):
        raise refused(rescore, "rescore", "a function that estimates scores")
    return rescore


def _walk(scores, order, rescore, selective, ahead, margin):
    """:func:`walk`, with arguments that are checked and rounded."""
    removed, gap, best = [], rounded(scores[0] - scores[1:].max()), None
    while len(order):
        tried = order[:ahead]  # each with all before it, for mostly they are kept
        after = rounded(rescore(removed, tried))
        if after.shape != (len(tried), len(scores)) or not np.isfinite(after).all():
            raise AccentError(
                f"`rescore` must give {len(tried)} x {len(scores)} finite scores, but gave "
                f"{' x '.join(map(str, after.shape))}, or some that are not finite."
            )
        gaps = rounded(after[:, 0] - after[:, 1:].max(1))
        useless = selective & (gaps >= np.append(gap, gaps[:-1]))
        n_kept = int(useless.argmax()) if useless.any() else len(tried)
        enough = np.flatnonzero(gaps[:n_kept] < -margin)
        if len(enough) or gaps[:n_kept].min(initial=0) < (best.remaining_gap if best else 0):
            step = int(enough[0] if len(enough) else gaps[:n_kept].argmin())
            kept, last = (*removed, *tried[: step + 1].tolist()), after[step]
            best = Explanation(kept, 1 + int(last[1:].argmax()), last, bool(len(enough)))
            if best.reached:
                return best
        removed += tried[:n_kept].tolist()
        gap = gaps[n_kept - 1] if n_kept else gap
        order = order[min(n_kept + 1, len(tried)) :]
        ahead = 2 * ahead if n_kept == len(tried) else AHEAD
    return best


def pure_fia(scores: np.ndarray, influence: np.ndarray, margin: float = 0.0) -> Explanation | None:
    """Remove actions by decreasing influence on the recommendation's own score until it is displaced.

    Parameters and return value as for :func:`~accent_lib.explainers.accent`.

    Examples
    --------
    The action of the greatest influence lowers both scores alike, and is taken all the same:

    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]])
    >>> pure_fia(scores, influence).removed
    (0, 1)
    """
    return _by_influence(scores, influence, False, margin)


def fia(scores: np.ndarray, influence: np.ndarray, margin: float = 0.0) -> Explanation | None:
    """As :func:`pure_fia`, but keep only actions that narrow the gap to the best other item.

    Examples
    --------
    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]])
    >>> fia(scores, influence).removed
    (1,)
    """
    return _by_influence(scores, influence, True, margin)


def _by_influence(scores, influence, selective, margin):
    scores, influence = checked(scores, influence, descending=True)
    order, by_action = np.argsort(-influence[0], kind="stable"), influence.T.copy()

    def rescore(removed, tried):  # influences add up (paper, Eq. 7)
        return scores - np.cumsum(by_action[[*removed, *tried]], 0)[len(removed) :]

    return _walk(scores, order, rescore, selective, max(len(order), 1), checked_margin(margin))


def pure_attention(
    scores: np.ndarray,
    weights: np.ndarray,
    rescore: Callable[[np.ndarray], np.ndarray],
    margin: float = 0.0,
) -> Explanation | None:
    """Remove actions by decreasing attention toward the recommendation until it is displaced.

    Parameters
    ----------
    scores : ndarray, shape (k,)
        Scores of the slate, position 0 the recommendation.
    weights : ndarray, shape (n_history,)
        Attention that each action gets when the recommendation is scored, on the full history.
    rescore : callable
        Scores by the same parameters, ``(m, k)``, from ``keep``, ``(m, n_history)``: 0 where an action is
        removed, else 1.

    Examples
    --------
    Action 1 gets most of the attention, but scoring without it changes nothing:

    >>> def rescore(keep):
    ...     return [2.0, 1.5] - (1 - keep[:, :1]) * [1.0, 0.0]
    >>> pure_attention(np.array([2.0, 1.5]), np.array([0.25, 0.75]), rescore).removed
    (1, 0)
    """
    return _by_attention(scores, weights, rescore, False, margin)


def attention(
    scores: np.ndarray,
    weights: np.ndarray,
    rescore: Callable[[np.ndarray], np.ndarray],
    margin: float = 0.0,
) -> Explanation | None:
    """As :func:`pure_attention`, but keep only actions that narrow the gap to the best other item.

    Examples
    --------
    >>> def rescore(keep):
    ...     return [2.0, 1.5] - (1 - keep[:, :1]) * [1.0, 0.0]
    >>> attention(np.array([2.0, 1.5]), np.array([0.25, 0.75]), rescore).removed
    (0,)
    """
    return _by_attention(scores, weights, rescore, True, margin)


def _by_attention(scores, weights, rescore, selective, margin):
    scores, rescore = checked_scores(scores), _function(rescore)
    order = np.argsort(-rounded(array(weights, "weights", 1)), kind="stable")

    def one_by_one(removed, tried):
        keep = np.ones((len(tried), len(order)))
        keep[:, removed], keep[:, tried] = 0, 1 - np.tri(len(tried))
        return rescore(keep)

    return _walk(scores, order, one_by_one, selective, AHEAD, checked_margin(margin))


def random_set(scores: np.ndarray, influence: np.ndarray, like: Explanation, seed: int) -> Explanation:
    """A random set of the same size and with the same replacement as another explanation.

    A counterfactual percentage means little until one knows how often sets of this size flip a recommendation
    by chance. Scores and influence are those of :func:`~accent_lib.explainers.accent`.

    Examples
    --------
    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]])
    >>> like = fia(scores, influence)
    >>> drawn = random_set(scores, influence, like, seed=0)
    >>> len(drawn) == len(like), drawn.replacement == like.replacement
    (True, True)
    """
    scores, influence = checked(scores, influence)
    instance(like, "like", Explanation, "an Explanation, whose size and replacement are taken")
    if len(like) > influence.shape[1] or not 0 < like.replacement < len(scores):
        raise AccentError(
            f"`like` takes {len(like)} of {influence.shape[1]} actions for item {like.replacement} of "
            f"{len(scores)}, so that it is of another slate or history."
        )
    seed = whole(seed, "seed", 0)
    order = np.random.default_rng(seed).permutation(influence.shape[1])
    removed = tuple(int(action) for action in order[: len(like)])
    return Explanation(removed, like.replacement, rounded(scores - influence[:, removed].sum(1)))
