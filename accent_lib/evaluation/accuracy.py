"""How well a model predicts what it was not trained on."""

import numpy as np
import pandas as pd
import torch

from accent_lib.arguments import array, number, users_of, with_columns
from accent_lib.errors import AccentError
from accent_lib.models.given import checked_model, items_of


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
    with_columns(checked_model(model) and frame, "frame", "user", "item")
    if len(frame):
        users_of(model, frame["user"].unique()), items_of(model, frame["item"])
    scores = np.empty(len(frame))
    with torch.no_grad():
        for user, rows in frame.reset_index(drop=True).groupby("user"):
            items = torch.tensor(rows["item"].to_numpy())
            scores[rows.index] = model.scores(model.block(user), user, items).numpy()
    return scores


def rmse(ratings: np.ndarray, scores: np.ndarray) -> float:
    """Root mean squared error, in stars; NaN where there is nothing.

    Examples
    --------
    >>> rmse(np.array([4.0, 2.0]), np.array([3.0, 3.0]))
    1.0
    """
    ratings, scores = array(ratings, "ratings", 1), array(scores, "scores", 1)
    if len(ratings) != len(scores):
        raise AccentError(f"There are {len(scores)} scores for {len(ratings)} ratings; give one for each.")
    return float(np.sqrt(np.mean((ratings - scores) ** 2))) if len(ratings) else float("nan")


def pairwise_accuracy(frame: pd.DataFrame, scores: np.ndarray) -> float:
    """Share of a user's (liked, disliked) pairs that the scores put in order; a tie counts half.

    The mean is over all pairs of all users: 0.5 is chance.  Where there is no pair, it is NaN.

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
    with_columns(frame, "frame", "user", "positive")
    if len(scores := array(scores, "scores", 1)) != len(frame):
        raise AccentError(f"There are {len(scores)} scores for {len(frame)} rows; give one for each.")
    right = pairs = 0.0
    for _, rows in frame.reset_index(drop=True).assign(score=scores).groupby("user"):
        liked = rows.loc[rows["positive"], "score"].to_numpy()
        disliked = rows.loc[~rows["positive"], "score"].to_numpy()
        difference = liked[:, None] - disliked[None, :]
        right += (difference > 0).sum() + 0.5 * (difference == 0).sum()
        pairs += difference.size
    return float(right / pairs) if pairs else float("nan")


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
    with_columns(train, "train", "user", "item", "rating")
    with_columns(frame, "frame", "user", "item")
    strength = number(strength, "strength", 0)
    mean = train["rating"].mean()
    by_item = (train["rating"] - mean).groupby(train["item"]).agg(["sum", "size"])
    item = by_item["sum"] / (by_item["size"] + strength)
    rest = train["rating"] - mean - train["item"].map(item)
    by_user = rest.groupby(train["user"]).agg(["sum", "size"])
    user = by_user["sum"] / (by_user["size"] + strength)
    return (mean + frame["item"].map(item).fillna(0) + frame["user"].map(user).fillna(0)).to_numpy()
