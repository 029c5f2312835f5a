"""What a wrapped net is trained on: actions, the negatives that belong to them, and sequences of items."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from accent_lib.errors import AccentError
from accent_lib.wording import counted


@dataclass(frozen=True)
class Actions:
    """The actions of all users, user after user and in time order, and which items may be recommended."""

    rows: np.ndarray  # (n_actions,) of the training data
    negatives: np.ndarray | None  # (n_actions, m) items that are frozen beside each action
    starts: np.ndarray  # (n_users + 1,) where each user's actions begin
    known: np.ndarray  # items with a training interaction, ascending
    own: list[np.ndarray]  # of each user, the items of all her training interactions

    @classmethod
    def of(cls, interactions, liked: bool, n_negatives: int, seed: int) -> "Actions":
        """All rows of the training data; or the ``liked`` ones, with negatives drawn from ``seed``."""
        train, users = interactions.train, np.arange(interactions.n_users + 1)
        rows = np.flatnonzero(train["positive"]) if liked else np.arange(len(train))
        if not len(rows):
            what = "liked interaction (`positive`)" if liked else "interaction"
            raise AccentError(f"The training data has no {what}, so that there is nothing to learn from.")
        items, starts = train["item"].to_numpy(), np.searchsorted(train["user"], users)
        own, known = np.split(items, starts[1:-1]), np.unique(items)
        starts = np.searchsorted(train["user"].to_numpy()[rows], users)
        negatives = _draw(interactions.test, known, own, starts, n_negatives, seed) if liked else None
        return cls(rows, negatives, starts, known, own)

    def __deepcopy__(self, memo) -> "Actions":
        return self  # nothing in it ever changes


def _draw(test, known, own, starts, n, seed):
    """Items with which a user has no interaction at all, ``n`` for each of her actions."""
    if n < 1:
        raise AccentError(f"`negatives` is {n}, but this loss needs at least 1 for each action.")
    if n > len(known):
        raise AccentError(
            f"`negatives` is {n:,}, but there are only {counted(len(known), 'item')}; take fewer."
        )
    generator, drawn = np.random.default_rng(seed), [np.empty((0, n), int)]
    held_out = np.split(test["item"].to_numpy(), np.searchsorted(test["user"], np.arange(1, len(own))))
    for user, n_actions in enumerate(np.diff(starts)):
        free = np.setdiff1d(known, np.concatenate([own[user], held_out[user]]))
        if n_actions and not len(free):
            raise AccentError(
                f"User {user} has an interaction with every item, so that none is left as a negative; take "
                "loss='mse', or leave her out of the data."
            )
        drawn.append(generator.choice(free, (n_actions, n)) if n_actions else drawn[0])
    return np.concatenate(drawn)


def sequences(items: Tensor, kept: Tensor, length: int, padding: int) -> Tensor:
    """The last ``length`` items that are kept, in their order, with ``padding`` in front.

    From items and bools ``(..., n)`` to ``(..., length)``; no shape depends on what is kept.
    """
    from_the_end = kept.flip(-1).cumsum(-1).flip(-1)
    # What is left out, or further back, falls into a place of its own, which is cut off.
    places = torch.where(kept & (from_the_end <= length), length - from_the_end, length)
    empty = torch.full_like(places[..., :1], padding).repeat(*[1] * (places.dim() - 1), length + 1)
    return empty.scatter(-1, places, items.expand(places.shape))[..., :-1]
