"""How sure we can be: bootstrap over users, McNemar's test, Holm's correction."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar
from statsmodels.stats.multitest import multipletests

from accent_lib.arguments import array, number, refused, whole
from accent_lib.errors import AccentError


@lru_cache(maxsize=4)
def _draws(n_users, resamples, seed):
    """Return how often each user is drawn, shape ``(resamples, n_users)``."""
    drawn = np.random.default_rng(seed).multinomial(n_users, np.full(n_users, 1 / n_users), resamples)
    return drawn.astype(float)


def bootstrap(sums, statistic, level=0.95, resamples=2000, seed=0) -> tuple[float, float]:
    """Percentile bootstrap interval over users of a statistic that sums determine.

    Shares, means over subsets, RMSE and correlation all follow from sums over users: a resample is one row of
    a matrix product.

    Parameters
    ----------
    sums : ndarray, shape (n_users, n_sums)
        What each user adds to each sum.
    statistic : callable
        From sums, shape ``(n_sums, ...)``, to the statistic, shape ``(...)``.
    level : float
        Share of resamples inside the interval.
    resamples : int
    seed : int

    Returns
    -------
    low, high : float
        NaN where there are no users, or the statistic is not defined in any resample.

    Examples
    --------
    The share of explanations that hold, for four users of whom two have one:

    >>> sums = np.array([[1, 1], [1, 1], [0, 1], [0, 1]])
    >>> bootstrap(sums, ratio)
    (0.0, 1.0)
    """
    sums, resamples, seed = (
        array(sums, "sums", 2),
        whole(resamples, "resamples", 1, 10**6),
        whole(seed, "seed", 0),
    )
    if not 0 < number(level, "level") < 1:
        raise refused(level, "level", "a share above 0 and below 1")
    if not callable(statistic):
        raise refused(statistic, "statistic", "a function of sums, such as ratio")
    if len(sums) == 0:
        return float("nan"), float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        values = statistic((_draws(len(sums), resamples, seed) @ sums).T)  # of (n_sums, resamples)
    if getattr(values, "shape", None) != (resamples,):
        raise refused(statistic, "statistic", "a function from (n_sums, ...) to (...), such as ratio")
    # A resample may leave the statistic undefined, such as a mean over none.
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ratio(sums) -> np.ndarray:
    """Return the first sum divided by the second: shares and means, for `bootstrap`.

    Examples
    --------
    >>> float(ratio(np.array([3.0, 4.0])))
    0.75
    """
    return sums[0] / sums[1]


def mcnemar(first, second) -> dict:
    """McNemar's exact test of whether two methods' sets hold, each of shape ``(n_users,)``, same users.

    Returns
    -------
    dict
        Counts ``both``, ``only_first``, ``only_second``, ``neither``; ``p_two_sided``; ``p_one_sided`` of the
        alternative that the first method succeeds more often. The paper's p-values are two-sided ones halved.

    Examples
    --------
    The two methods differ on three users, and on each of them the first succeeds: three heads in a row.

    >>> test = mcnemar([True, True, True, True], [False, False, False, True])
    >>> test["only_first"], test["only_second"], round(test["p_one_sided"], 3)
    (3, 0, 0.125)
    """
    first, second = _pair(first, second)
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    table = [[both, only_first], [only_second, neither]]
    return {
        "both": both,
        "only_first": only_first,
        "only_second": only_second,
        "neither": neither,
        "p_two_sided": float(exact_mcnemar(table, exact=True).pvalue),
        # At least so many of the users on whom they differ, were each of them the toss of a coin.
        "p_one_sided": float(stats.binom.sf(only_first - 1, only_first + only_second, 0.5)),
    }


def holm(p_values) -> np.ndarray:
    """Holm's correction for several tests, shape ``(n_tests,)``; NaN, a test that could not be made, stays.

    Examples
    --------
    The smallest is doubled, as there are two; the other is left.

    >>> holm([0.01, float("nan"), 0.04]).tolist()
    [0.02, nan, 0.04]
    """
    try:
        p_values = np.asarray(p_values, dtype=float)
    except Exception:  # texts, ragged lists, and whatever somebody's class says
        raise refused(p_values, "p_values", "a list of numbers from 0 to 1") from None
    if p_values.ndim != 1 or (p_values < 0).any() or (p_values > 1).any():
        raise refused(p_values, "p_values", "a list of numbers from 0 to 1")
    corrected = np.full(p_values.shape, float("nan"))
    made = np.isfinite(p_values)
    if made.any():
        corrected[made] = multipletests(p_values[made], method="holm")[1]
    return corrected


def _pair(first, second):
    """Two arrays of flags, of one length."""
    try:
        pair = [np.asarray(each) for each in (first, second)]
        fits = all(each.ndim == 1 and (each.dtype.kind in "biuf" or not len(each)) for each in pair)
        fits = fits and not any(np.isin(each, (0, 1), invert=True).any() for each in pair)
    except Exception:  # ragged lists, and whatever somebody's class says
        fits = False
    if not fits:
        raise AccentError("Two lists of True and False, one value for each user, are compared.")
    if len(pair[0]) != len(pair[1]):
        raise AccentError(
            f"There are {len(pair[0])} and {len(pair[1])} values; both are about the same users."
        )
    return [each.astype(bool) for each in pair]
