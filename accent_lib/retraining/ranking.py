"""The catalogue as a retrained model ranks it, and which item leads it by scores averaged over several."""

from collections.abc import Sequence

import numpy as np

from accent_lib.arguments import array, listed, refused, whole
from accent_lib.errors import AccentError

#: One candidate of a ranking.
RANKED = np.dtype([("item", "<i4"), ("score", "<f4")])
#: So many of the best stand in a table that leaves its store, where whole rankings take ten times the room.
LEADERS = 32


def ranked(items: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Rank candidates by score: an array of `RANKED`, best first, of equal scores the lower item first.

    Parameters
    ----------
    items : ndarray of int, shape (n_candidates,)
    scores : ndarray, shape (n_candidates,)

    Examples
    --------
    >>> ranked(np.array([4, 7, 9]), np.array([2.5, 3.0, 2.5])).tolist()
    [(7, 3.0), (4, 2.5), (9, 2.5)]
    """
    items, scores = array(items, "items", 1), array(scores, "scores", 1)
    if (items % 1).any():
        raise refused(items, "items", "positions of items")
    if len(items) != len(scores):
        raise AccentError(
            f"There are {len(items)} items and {len(scores)} scores; give one score for each item."
        )
    ranking = np.empty(len(items), RANKED)
    ranking["item"], ranking["score"] = items, scores
    return ranking[np.lexsort((ranking["item"], -ranking["score"]))]


def leads(rankings: Sequence[np.ndarray], item: int, scores: Sequence[float]) -> bool | None:
    """Whether an item has the best mean score, of equal ones the lowest number.

    A ranking may have been cut off: what it does not list scores at most as much as its last.  Often that is
    enough to decide, and where it is not the answer is ``None``.

    Parameters
    ----------
    rankings : sequence of ndarray of `RANKED`
        One of each retraining, none of them empty.
    item : int
    scores : sequence of float
        Its own scores, one a ranking.

    Examples
    --------
    Item 7 leads on average, though not in each:

    >>> first, second = ranked([4, 7, 9], [2.5, 3, 1]), ranked([4, 7, 9], [2.75, 2.5, 1])
    >>> leads([first, second], 7, [3, 2.5]), leads([first, second], 4, [2.5, 2.75])
    (True, False)

    Of the first ranking the best alone is known: item 4 may score as much there, and so lead.

    >>> leads([first[:1], second], 7, [3, 2.5]) is None
    True
    """
    rankings, what = (
        listed(rankings, "rankings", "a list of rankings"),
        "arrays of RANKED, none of them empty",
    )
    if not rankings or any(getattr(each, "dtype", None) != RANKED or not len(each) for each in rankings):
        raise refused(rankings, "rankings", what)
    item, scores = whole(item, "item", 0), array(scores, "scores", 1)
    if len(scores) != len(rankings):
        raise AccentError(f"There are {len(scores)} scores for {len(rankings)} rankings; give one for each.")
    items = np.unique(np.concatenate([ranking["item"] for ranking in rankings]))
    known = np.zeros((len(rankings), len(items)), bool)
    highest = np.empty(known.shape)  # the most that each can score
    for row, ranking in enumerate(rankings):
        places = np.searchsorted(items, ranking["item"])
        known[row, places], highest[row] = True, ranking["score"][-1]
        highest[row, places] = ranking["score"]
    own, others = np.asarray(scores, "f4").mean(dtype=float), highest.mean(0)
    ahead = (others > own) | ((others == own) & (items < item))
    ahead[items == item] = False
    if ahead[known.all(0)].any():
        return False
    unlisted = np.mean([ranking["score"][-1] for ranking in rankings], dtype=float)
    return None if ahead.any() or unlisted > own else True
