"""How well a model predicts what it was not trained on."""

import numpy as np
import pandas as pd
import torch


def predict(model, frame: pd.DataFrame) -> np.ndarray:
    """Scores of the (user, item) pairs of a table, shape ``(n_rows,)``.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> data = prepare(load("sample"))
    >>> predict(NCF(data), data.test).shape == (len(data.test),)
    True
    """
    scores = np.empty(len(frame))
    with torch.no_grad():
        for user, rows in frame.reset_index(drop=True).groupby("user"):
            items = torch.tensor(rows["item"].to_numpy())
            scores[rows.index] = model.scores(model.block(user), user, items).numpy()
    return scores


def rmse(ratings: np.ndarray, scores: np.ndarray) -> float:
    """Root mean squared error, in stars.

    Examples
    --------
    >>> rmse(np.array([4.0, 2.0]), np.array([3.0, 3.0]))
    1.0
    """
    return float(np.sqrt(np.mean((np.asarray(ratings) - scores) ** 2)))


def pairwise_accuracy(frame: pd.DataFrame, scores: np.ndarray) -> float:
    """Share of a user's (liked, disliked) pairs that the scores put in order; a tie counts half.

    The mean is over all pairs of all users: 0.5 is chance.

    Parameters
    ----------
    frame : DataFrame
        With ``user`` and ``positive``; pairs are formed within a user.
    scores : ndarray, shape (n_rows,)

    Examples
    --------
    One user, two pairs: one in order, one tie.

    >>> frame = pd.DataFrame({"user": 0, "positive": [True, False, False]})
    >>> pairwise_accuracy(frame, np.array([2.0, 1.0, 2.0]))
    0.75
    """
    right = pairs = 0.0
    for _, rows in frame.reset_index(drop=True).assign(score=scores).groupby("user"):
        liked = rows.loc[rows["positive"], "score"].to_numpy()
        disliked = rows.loc[~rows["positive"], "score"].to_numpy()
        difference = liked[:, None] - disliked[None, :]
        right += (difference > 0).sum() + 0.5 * (difference == 0).sum()
        pairs += difference.size
    return float(right / pairs)


def mean_baseline(train: pd.DataFrame, frame: pd.DataFrame, strength: float = 5.0) -> np.ndarray:
    """Predict by the mean rating plus shrunken user and item deviations, shape ``(n_rows,)``: the baseline.

    Parameters
    ----------
    train, frame : DataFrame
        With ``user``, ``item``, and in ``train`` ``rating``.
    strength : float
        Ratings' worth of pull towards zero deviation.

    Examples
    --------
    Without pull, the mean of 3 and the item's deviation; the user has none left:

    >>> train = pd.DataFrame({"user": [0, 0], "item": [0, 1], "rating": [4.0, 2.0]})
    >>> mean_baseline(train, train, strength=0.0).tolist()
    [4.0, 2.0]
    """
    mean = train["rating"].mean()
    by_item = (train["rating"] - mean).groupby(train["item"]).agg(["sum", "size"])
    item = by_item["sum"] / (by_item["size"] + strength)
    rest = train["rating"] - mean - train["item"].map(item)
    by_user = rest.groupby(train["user"]).agg(["sum", "size"])
    user = by_user["sum"] / (by_user["size"] + strength)
    return (mean + frame["item"].map(item).fillna(0) + frame["user"].map(user).fillna(0)).to_numpy()
