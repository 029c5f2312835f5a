"""A promise: which margin makes explanations hold for a target share of users, with a stated confidence.

A margin is chosen by the retrainings of some users, and the promise is about others.  Both are drawn from
the same users by chance, so the number that hold among the first is hypergeometric, and the chance that a
margin is trusted although it fails the others can be computed exactly, for the worst number there may be.
Several margins are tried at once, each at an equal part of the error (Bonferroni): that holds however they
depend on each other, and they depend strongly, being about the same users.  This is *learn then test*
(Angelopoulos et al., 2021) with an exact test in the place of a bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from accent_lib.arguments import array, number, refused, whole
from accent_lib.errors import AccentError

#: Users that the exact test can be made for: it looks at all pairs of two numbers of them.
MOST = 20_000


@dataclass(frozen=True)
class Promise:
    """A margin that keeps a promise, or none.

    Attributes
    ----------
    margin : float or None
        The smallest that is trusted; ``None`` where none is.
    share : float
        Of the users that it was chosen by, for whom the explanations hold; of the best margin where none is.
    needed : int
        Explanations that must hold, of ``n_users``, for a margin to be trusted.
    n_users : int

    Examples
    --------
    >>> Promise(0.1, 0.95, 91, 100).margin
    0.1
    """

    margin: float | None
    share: float
    needed: int
    n_users: int


def needed(n_users: int, n_others: int, target: float, error: float) -> int:
    """For how many of some users an explanation must hold, to be trusted for a target share of the others.

    Whatever the number of all users for whom it holds, the chance that so many of them are among the first
    and yet fewer than the target share among the others is at most ``error``.

    Parameters
    ----------
    n_users, n_others : int
        Drawn at random from all.
    target, error : float

    Returns
    -------
    int
        ``n_users + 1`` where no number is enough.

    Examples
    --------
    >>> needed(100, 100, target=0.8, error=0.1) > 80
    True
    """
    n_users, n_others = whole(n_users, "n_users", 0, MOST), whole(n_others, "n_others", 0, MOST)
    return _needed(n_users, n_others, number(target, "target", 0, 1), number(error, "error", 0, 1))


@lru_cache(maxsize=256)
def _needed(n_users, n_others, target, error):
    total, least = n_users + n_others, int(np.ceil(target * n_others - 1e-9))
    holds = np.arange(total + 1)[:, None]  # among all
    first = np.arange(n_users + 1)[None]  # among the first
    chance = stats.hypergeom.pmf(first, total, holds, n_users)
    fails = np.where(holds - first < least, chance, 0)  # too few among the others
    # Chance of at least so many among the first, and failing: the worst case over all numbers.
    worst = fails[:, ::-1].cumsum(1)[:, ::-1].max(0)
    return int(np.append(worst <= error, True).argmax())


def calibrate(
    margins: Sequence[float], holds: np.ndarray, n_others: int, target: float, confidence: float = 0.9
) -> Promise:
    """Choose the smallest margin that may be trusted to hold for a target share of other users.

    Parameters
    ----------
    margins : sequence of float, length m
        Ascending.
    holds : ndarray of bool, shape (n_users, m)
        Whether the explanation of a user holds at each margin.  A user without a set counts as one for whom
        it does not, so that nothing is won by being silent.
    n_others : int
        Users whom the promise is made to.
    target : float
        Share of them, above 0 and below 1.
    confidence : float
        In the promise, over the draw of the users.

    Examples
    --------
    >>> holds = np.repeat([[False, True]], [100], axis=0)
    >>> calibrate([0.0, 0.1], holds, 100, target=0.9).margin
    0.1
    """
    holds, margins = _flags(holds, "holds"), array(margins, "margins", 1).tolist()
    if holds.ndim != 2 or holds.shape[1] != len(margins) or not len(margins) or sorted(margins) != margins:
        raise AccentError(
            f"holds {holds.shape} must have a column for each of {len(margins)} margins, which ascend."
        )
    for name, value in (("target", target), ("confidence", confidence)):
        if not 0 < number(value, name) < 1:
            raise refused(value, name, "a share above 0 and below 1")
    counts, n = holds.sum(0), len(holds)
    least = needed(n, n_others, target, (1 - confidence) / len(margins))
    trusted = np.flatnonzero(counts >= least)
    chosen = int(trusted[0]) if len(trusted) else None
    share = (counts.max() if chosen is None else counts[chosen]) / n if n else np.nan
    return Promise(None if chosen is None else margins[chosen], float(share), least, n)


def kept(
    margins: Sequence[float],
    holds: np.ndarray,
    later: np.ndarray,
    target: float,
    confidence: float = 0.9,
    splits: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Make the promise in many random halves of the users, and see in the other half whether it is kept.

    Parameters
    ----------
    margins, holds, target, confidence
        As for :func:`calibrate`.
    later : ndarray of bool, shape (n_users, m)
        What the promise is held against, such as outcomes in other orders of the batches.
    splits, seed : int

    Returns
    -------
    DataFrame
        ``margin`` (NaN where none is trusted, and nothing is promised), ``promised`` (its share in the half
        that it was chosen by), ``share`` in the other half, and ``kept``.

    Examples
    --------
    >>> holds = np.repeat([[False, True]], [100], axis=0)
    >>> bool(kept([0.0, 0.1], holds, holds, target=0.9, splits=5)["kept"].all())
    True
    """
    holds, later, splits = _flags(holds, "holds"), _flags(later, "later"), whole(splits, "splits", 1)
    margins, seed = array(margins, "margins", 1).tolist(), whole(seed, "seed", 0)
    if later.shape != holds.shape:
        raise AccentError(
            f"`later` has the shape {later.shape}, but must have that of `holds`, {holds.shape}."
        )
    generator, rows = np.random.default_rng(seed), []
    for _ in range(splits):
        order = generator.permutation(len(holds))
        half = len(order) // 2
        promise = calibrate(margins, holds[order[:half]], len(order) - half, target, confidence)
        share = np.nan
        if promise.margin is not None:
            share = later[order[half:], margins.index(promise.margin)].mean()
        rows.append((promise.margin, promise.share, share, not share < target - 1e-12))
    table = pd.DataFrame(rows, columns=["margin", "promised", "share", "kept"])
    return table.astype({"margin": float})


def _flags(values, name):
    """Whether each explanation holds, 0 or 1 or bool, ``(n_users, m)``."""
    try:
        flags = np.asarray(values)
        fits = flags.ndim == 2 and (flags.dtype == bool or np.isin(flags, (0, 1)).all())
    except Exception:  # ragged lists, and whatever somebody's class says
        fits = False
    if not fits:
        raise refused(values, name, "of True and False, a row for each user and a column for each margin")
    return flags.astype(bool)
