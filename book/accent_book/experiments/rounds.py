"""Rounds of *verify and resume*: retrain without each user's set, go on where it does not hold (paper, §4.3).

A set that fails was overestimated: it fills less of the gap than ACCENT believed. Retraining measures how
much is left, and ACCENT goes on from there, by :func:`~accent_lib.explainers.resume`. Each round adds to the
sets that failed, says which item is now to take the recommendation's place, and retrains to see whether it
does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from accent_lib.explainers import Explanation, resume
from accent_lib.retraining.outcomes import by_set
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import grouped, world_of
from accent_lib.training import Recipe, State

COLUMNS = (
    "model round user removed size replacement replacement_position estimated_gap retrained_gap control_gap "
    "counterfactual status"
).split()


@dataclass(frozen=True, eq=False)
class Start:
    """What one user's rounds start from.

    Attributes
    ----------
    items : ndarray of int, shape (k_max,)
        Her slate, the recommendation first; it may go on beyond the ``k`` items of the explanation.
    influence : ndarray, shape (k, n_history)
        As for :func:`~accent_lib.explainers.accent`.
    explanation : Explanation or None
        ACCENT's, or another method's; ``None`` where there is no set.

    Examples
    --------
    >>> explanation = Explanation((0,), 1, np.array([2.5, 2.75]))
    >>> Start(np.array([7, 4]), np.array([[0.5, 0.25], [0.0, 0.0]]), explanation).items.tolist()
    [7, 4]
    """

    items: np.ndarray
    influence: np.ndarray
    explanation: Explanation | None


def verify_and_resume(
    name: str,
    model,
    recipe: Recipe,
    state: State,
    starts: Mapping[int, Start],
    store: Store,
    *,
    rounds: int = 3,
    seeds: Sequence[int] = (0,),
    users_per_world: int = 1,
    following: Callable[..., Explanation | None] | None = None,
    **options,
) -> pd.DataFrame:
    """Retrain without each user's set; where it does not hold, ``resume`` and retrain again.

    A round verifies the sets of all users who are still open, together. All that is known between rounds is
    in the store, so a run that was killed is just called again, and sets that are there already, such as
    those of the verification of the first sets, are not retrained: see :func:`verify_sets`.

    Parameters
    ----------
    name, model, recipe, state, store, seeds, users_per_world
        As for :func:`verify_sets`.
    starts : mapping of int to Start
        By user. Users without a set count as unsolved.
    rounds : int
        How often to go on, at most; 0 only verifies.
    following : callable, optional
        The set of a user's next round, by ``user, round, removed, measured, influence``. Default: ACCENT's.
    **options
        For `verify`. ``progress`` is called anew in each round.

    Returns
    -------
    DataFrame
        One row for each round, 0 to `rounds`, and user; a user who is done keeps her last row, so that means
        by round are over all users:

        - ``model, round, user``; ``removed`` (positions in the order taken) and its ``size``;
          ``replacement`` (item; -1 without a set) and ``replacement_position`` in the slate;
        - ``estimated_gap``: score of the recommendation minus the replacement's, as estimated before this
          round's retraining; ``retrained_gap``: what that showed, averaged over the seeds;
          ``control_gap``: the same with nothing removed. NaN without a set, or where a retraining failed;
        - ``counterfactual``: the retrained gap is negative (paper);
        - ``status``: "holds"; "open" (it does not, but further actions may help); "unsolved" (there is no
          set, or the actions left fill no gap); "failed" (a retraining did).

    Raises
    ------
    AccentError
        As `verify`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, top_k
    >>> model = NCF(prepare(load("sample")))
    >>> items, scores = top_k(model, 3, 5)
    >>> influence = np.full((5, len(model.actions(3))), 0.125) * (np.arange(5) == 0)[:, None]
    >>> start = Start(items, influence, Explanation((0,), 1, scores))
    >>> with Store(Path(tempfile.mkdtemp()) / "worlds.sqlite", "abc") as store:
    ...     table = verify_and_resume(
    ...         "ncf", model, Recipe(steps=2, batch_size=256), State.of(model), {3: start}, store, rounds=1
    ...     )
    >>> table["round"].tolist(), set(table["status"]) <= {"holds", "open", "unsolved"}
    ([0, 1], True)
    """
    latest = {user: _row(starts[user].items, None, None, None) for user in sorted(starts)}
    promised = {user: starts[user].explanation for user in latest if starts[user].explanation is not None}
    options |= {"seeds": seeds, "users_per_world": users_per_world}
    rows = []
    for number in range(rounds + 1):
        known, longer = {}, {}
        if promised:
            sets = {user: explanation.removed for user, explanation in promised.items()}
            slates = {user: starts[user].items for user in sets}
            known = verify_sets(name, model, recipe, state, sets, slates, store, **options)
        for user, explanation in promised.items():
            items, influence = starts[user].items, starts[user].influence
            measured = known[user, world_of(user, explanation.removed).key].scores
            latest[user] = _row(items, explanation, measured, known[user, ""].scores)
            if latest[user]["status"] == "open":
                after = measured[: len(influence)]
                if following is None:
                    another = resume(explanation.removed, after, influence)
                else:
                    another = following(user, number + 1, explanation.removed, after, influence)
                if another is None:
                    latest[user]["status"] = "unsolved"
                else:
                    longer[user] = another
        rows += [{"model": name, "round": number, "user": user, **row} for user, row in latest.items()]
        promised = longer
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True, eq=False)
class Retrained:
    """What the retrainings without a set showed for its user.

    Parameters
    ----------
    world : str
        Key of the world, in which sets of other users may be left out too.
    scores : ndarray or None, shape (k_max,)
        Of her slate, averaged over the seeds; ``None`` if a retraining failed.

    Examples
    --------
    >>> Retrained("3:0 1", np.array([2.5, 2.75])).world
    '3:0 1'
    """

    world: str
    scores: np.ndarray | None


def verify_sets(
    name: str,
    model,
    recipe: Recipe,
    state: State,
    sets: Mapping[int, Sequence[int]],
    slates: Mapping[int, np.ndarray],
    store: Store,
    *,
    seeds: Sequence[int] = (0,),
    users_per_world: int = 1,
    **options,
) -> dict[tuple[int, str], Retrained]:
    """Retrain without one set of each user, unless the store has it already; alone or among sets of others.

    Sets that the store lacks are put into worlds in the order given. Worlds and stacks are cut off one after
    the other and recorded whole, so a run that was killed finds the rest cut as before.

    Parameters
    ----------
    name, model, recipe, state, store, seeds
        As for :func:`~accent_lib.retraining.verification.verify`.
    sets : mapping of int to sequence of int
        By user, the positions to leave out; at least one.
    slates : mapping of int to ndarray of int
        Of these users, whose control is observed too, and perhaps of others.
    users_per_world : int
        The most users whose sets are left out of a world; see :func:`~accent_lib.retraining.worlds.grouped`.
    **options
        For `verify`.

    Returns
    -------
    dict
        As :func:`retrained`; every set is in it.

    Raises
    ------
    AccentError
        As `verify`, or if `users_per_world` is less than 1.

    Examples
    --------
    A set that is there already is not retrained:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from accent_lib.retraining.identity import slate_identity
    >>> from accent_lib.retraining.outcomes import Outcome
    >>> slate = {"slate": slate_identity([7, 4])}
    >>> outcomes = [Outcome("", 3, (3.0, 2.75), 7, **slate), Outcome("3:0 1", 3, (2.5, 2.75), 4, **slate)]
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> with Store(Path(tempfile.mkdtemp()) / "worlds.sqlite", "abc") as store:
    ...     _ = store.record("ncf", 0, outcomes)
    ...     known = verify_sets(
    ...         "ncf", model, Recipe(steps=2), State.of(model), {3: (0, 1)}, {3: np.array([7, 4])}, store
    ...     )
    >>> known[3, "3:0 1"].scores.tolist()
    [2.5, 2.75]
    """
    slates = {user: slates[user] for user in sets}
    known = retrained(store, name, slates, seeds)
    alone = [world_of(user, positions) for user, positions in sets.items()]
    missing = [[world] for world in alone if (*world.users, world.key) not in known]
    worlds = grouped(missing, users_per_world)
    verify(name, model, recipe, state, worlds, slates, store, seeds=seeds, **options)
    return retrained(store, name, slates, seeds)


def retrained(
    store: Store, name: str, slates: Mapping[int, np.ndarray], seeds: Sequence[int] = (0,)
) -> dict[tuple[int, str], Retrained]:
    """Read from a store what it has of each set of some users for all of the seeds.

    Returns
    -------
    dict
        By user and set, as the key of the world that leaves out nothing else; ``""`` is her control.
        :func:`~accent_lib.retraining.outcomes.by_set` says which world counts.

    Examples
    --------
    Scores are averaged over the seeds:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from accent_lib.retraining.identity import slate_identity
    >>> from accent_lib.retraining.outcomes import Outcome
    >>> slate = {"slate": slate_identity([7, 4])}
    >>> with Store(Path(tempfile.mkdtemp()) / "worlds.sqlite", "abc") as store:
    ...     _ = store.record("ncf", 0, [Outcome("3:0 1", 3, (2.5, 2.75), 4, **slate)])
    ...     _ = store.record("ncf", 1, [Outcome("3:0 1", 3, (2.0, 2.75), 4, **slate)])
    ...     retrained(store, "ncf", {3: [7, 4]}, seeds=[0, 1])[3, "3:0 1"].scores.tolist()
    [2.25, 2.75]
    """
    table, chosen = store.outcomes(slates), {}
    for (_, user, own), (world, by_seed) in by_set(table[table["model"] == name], set(seeds)).items():
        rows = list(by_seed.values())
        if len(rows) == len(set(seeds)):
            holds = all(row.status == "ok" for row in rows)
            scores = np.mean([row.scores for row in rows], axis=0) if holds else None
            chosen[user, own] = Retrained(world, scores)
    return chosen


def _row(items, explanation, measured, control):
    """What a round says about a user."""

    def gap(scores):
        return np.nan if scores is None else float(scores[0] - scores[place])

    if explanation is None:
        removed, place, estimated, status = (), -1, np.nan, "unsolved"
    else:
        removed, place, estimated = explanation.removed, explanation.replacement, explanation.remaining_gap
        status = "failed" if measured is None else "holds" if gap(measured) < 0 else "open"
    return {
        "removed": removed,
        "size": len(removed),
        "replacement": int(items[place]) if removed else -1,
        "replacement_position": place,
        "estimated_gap": estimated,
        "retrained_gap": gap(measured),
        "control_gap": gap(control),
        "counterfactual": status == "holds",
        "status": status,
    }
