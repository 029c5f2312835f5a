"""Worlds: the training set without some actions.

A *world* says whose actions are left out, and which. The world in which nothing is left out is the *control*:
what retraining changes there is noise. An action is named by its position in the user's time-ordered history,
so that a world means nothing without the data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from accent_lib.arguments import instance, listed, offers, refused, whole, wholes
from accent_lib.errors import AccentError, shown
from accent_lib.wording import counted

# Of numbers that 64 bits hold; Python refuses to read one of some thousand digits.
_LOSS = "[0-9]{1,18}:[0-9]{1,18}( [0-9]{1,18})*"
_KEY = re.compile(f"{_LOSS}(;{_LOSS})*")


@dataclass(frozen=True, order=True)
class World:
    """The training set without some actions of some users.

    Parameters
    ----------
    removed : tuple of (user, positions) pairs
        For each user whose actions are left out, the positions of these actions in her time-ordered history.
        Any order is accepted: pairs are kept sorted by user and positions sorted within a pair, so that two
        worlds are equal whenever they leave out the same actions. ``World()`` is the control.

    Raises
    ------
    AccentError
        If a user or a position occurs twice, is negative or no whole number, or a user has no position.

    Examples
    --------
    >>> world = World(((12, (17, 3)),))
    >>> world.key, world == World.parse("12:3 17")
    ('12:3 17', True)
    >>> World().key  # the control
    ''
    >>> from types import SimpleNamespace
    >>> slices = [slice(0, 2), slice(2, 5)]
    >>> model = SimpleNamespace(n_users=2, n_actions=5, action_slice=slices.__getitem__)
    >>> World.parse("1:0 2").keep(model).tolist()
    [1.0, 1.0, 0.0, 1.0, 0.0]
    """

    removed: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def __post_init__(self):
        pairs, what = [], "pairs of a user and positions in her history"
        for pair in listed(self.removed, "removed", what):
            if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
                raise refused(self.removed, "removed", what)
            user, positions = pair
            # A table has a hundred thousand outcomes: what is as it should be is not looked at one by one.
            if not (isinstance(positions, tuple) and all(type(each) is int for each in (user, *positions))):
                user = whole(user, "user")
                positions = tuple(wholes(positions, f"positions of user {user}"))
            if min(user, *positions, 0) < 0:
                raise AccentError(f"A world needs numbers from 0 on, but user {user} has {shown(positions)}.")
            if not positions:
                raise AccentError(f"User {user} is in a world with nothing removed; leave her out of it.")
            if len(set(positions)) < len(positions):
                raise AccentError(f"A world removes an action of user {user} twice: {shown(positions)}.")
            pairs.append((user, tuple(sorted(positions))))
        if len({user for user, _ in pairs}) < len(pairs):
            raise AccentError(f"A user occurs twice in the world {shown(self.removed)}; join her positions.")
        # A frozen dataclass has no other way to store the sorted form, which identity depends on.
        object.__setattr__(self, "removed", tuple(sorted(pairs)))

    @property
    def key(self) -> str:
        """The world as text: ``""`` is the control, ``"12:3 17 42"`` user 12 without three actions.

        Several users are joined by semicolons: ``"12:3 17;15:0"``.
        """
        return ";".join(f"{user}:{' '.join(map(str, positions))}" for user, positions in self.removed)

    @property
    def users(self) -> tuple[int, ...]:
        """The users who lose an action, ascending."""
        return tuple(user for user, _ in self.removed)

    @classmethod
    def parse(cls, key) -> World:
        """Read a world from its `key`; a missing value, as pandas reads an empty cell, is the control.

        Raises
        ------
        AccentError
            If the text is no key.
        """
        if not isinstance(key, str):
            if pd.api.types.is_scalar(key) and pd.isna(key):
                return cls()
            raise AccentError(f"A world's key is text such as '12:3 17', not {shown(key)}.")
        if key == "":
            return cls()
        if not _KEY.fullmatch(key):
            raise AccentError(
                f"{shown(key)} is no key of a world; one looks like '12:3 17' or '12:3 17;15:0'."
            )
        pairs = (part.split(":") for part in key.split(";"))
        return cls(tuple((int(user), tuple(map(int, positions.split()))) for user, positions in pairs))

    def only(self, user) -> World:
        """Return the world in which only this user's actions are left out (the control if she loses none)."""
        user = whole(user, "user", 0)
        return World(tuple(pair for pair in self.removed if pair[0] == user))

    def keep(self, model) -> np.ndarray:
        """Weight of each training action of all users in this world, shape ``(n_actions,)``: 1 in, 0 out.

        Of the model only ``n_users``, ``n_actions`` and ``action_slice(user)`` are used.

        Raises
        ------
        AccentError
            If the model has no such user, or the user no action at such a position.
        """
        offers(model, "model", "a Recommender", "n_users", "n_actions", "action_slice")
        keep = np.ones(model.n_actions)
        for user, positions in self.removed:
            if user >= model.n_users:
                raise AccentError(
                    f"The world {self.key!r} names user {user}, but the model knows "
                    f"{counted(model.n_users, 'user')}; make the explanations again with this model's data."
                )
            actions = model.action_slice(user)
            if positions[-1] >= actions.stop - actions.start:
                raise AccentError(
                    f"The world {self.key!r} removes position {positions[-1]} of user {user}, who has "
                    f"{counted(actions.stop - actions.start, 'action')}; make the explanations with this "
                    "model's data."
                )
            keep[actions.start + np.array(positions)] = 0
        return keep


def world_of(user: int, removed: Sequence[int]) -> World:
    """Return the world in which one user's set is left out: the control if nothing is in it.

    Examples
    --------
    >>> world_of(12, (17, 3)).key
    '12:3 17'
    """
    removed = listed(removed, "removed", "a list of positions in her history")
    return World(((user, removed),)) if removed else World()


def worlds_of(explanations) -> list[World]:
    """List the worlds that verify some explanations, sorted.

    Each distinct pair of user and set occurs once, whichever methods and slates ask for it and in whatever
    order its actions were taken. Explanations with no set ask for none; the control is not in the list.
    Needed are the columns ``user`` and ``removed``, of one model only: another has other histories.

    Raises
    ------
    AccentError
        If there are explanations of several models, or no such columns.

    Examples
    --------
    Two methods that take the same actions ask for one world:

    >>> explanations = pd.DataFrame({"user": [0, 0, 1, 2], "removed": [(3, 1), (1, 3), (5,), ()]})
    >>> [world.key for world in worlds_of(explanations)]
    ['0:1 3', '1:5']
    """
    instance(explanations, "explanations", pd.DataFrame, "a table of explanations")
    if not {"user", "removed"} <= set(explanations):
        raise refused(explanations, "explanations", "a table with the columns user and removed")
    if "model" in explanations and explanations["model"].nunique() > 1:
        names = ", ".join(sorted(explanations["model"].unique()))
        raise AccentError(f"Worlds belong to one model, but these explanations are of {names}; select one.")
    pairs = zip(explanations["user"], explanations["removed"], strict=True)
    return sorted({world_of(user, removed) for user, removed in pairs} - {World()})


def grouped(worlds, size) -> list[World]:
    """Take the sets of several users out in one world, which saves trainings but lets users interfere.

    Each set goes into the first world that has room; with more users, full worlds stay as they are.

    Parameters
    ----------
    worlds : sequence of sequences of World
        The worlds of each user, one sequence a user.
    size : int
        The most users in a world, at least 1; 1 leaves the worlds as they are.

    Raises
    ------
    AccentError
        If `size` is less than 1 or no whole number.

    Examples
    --------
    >>> own = [[World.parse("0:1"), World.parse("0:2")], [World.parse("1:5")], [World.parse("2:0")]]
    >>> [world.key for world in grouped(own, 2)]
    ['0:1;1:5', '0:2;2:0']
    """
    size, joined, what = whole(size, "size", 1), [], "a list of the worlds of each user"
    for own in listed(worlds, "worlds", what):
        own = [instance(world, "worlds", World, what) for world in listed(own, "worlds", what)]
        with_room = (parts for parts in joined if len(parts) < size)
        for world in own:
            parts = next(with_room, None)
            if parts is None:
                joined.append(parts := [])
            parts.append(world)
    return [World(tuple(pair for world in parts for pair in world.removed)) for parts in joined]
