"""Tables of explanations: many users, several slates and methods."""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np
import pandas as pd

from accent_lib.arguments import instance, listed, refused, users_of, wholes
from accent_lib.errors import AccentError, AccentWarning
from accent_lib.explainers import checked_margin
from accent_lib.explanations.evidence import analysis_of, gather, obstacle, tied
from accent_lib.explanations.methods import check_methods, explain_slate
from accent_lib.models import slates as slates_of
from accent_lib.models.given import checked_model

#: Users whose evidence is gathered at once.
TOGETHER = 16


def explain_users(
    name: str,
    model,
    users: Sequence[int],
    ks: Sequence[int],
    methods: Sequence[str],
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
    margin: float = 0.0,
    **options,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Explain the recommendations of many users with several methods and slates.

    Parameters
    ----------
    name : str
        Of the model, written into the tables.
    model : Recommender
        Trained.
    users, ks, methods
        Whom, with which slate sizes, by which methods.
    executor : concurrent.futures.Executor, optional
        Spreads the users.  Threads do: most of the time goes by in torch, which lets other threads run.
        Default: one after the other.
    progress : callable, optional
        Called with the number of users done.
    margin : float
        How far the replacement must be estimated to lead, in score units.
    **options
        For :func:`~accent_lib.influence.fast_influence`.

    Returns
    -------
    slates : DataFrame
        ``model, user, position, item, score``: the ``max(ks)`` best candidates of every user.
    explanations : DataFrame
        ``model, method, k, user, recommendation, replacement, replacement_position, removed, size,
        predicted``; ``removed`` is a tuple of history positions in the order taken, ``predicted`` one of the
        ``k`` estimated scores.  Without a set: both empty, ``size`` 0, ``replacement`` -1.  Who has no
        second candidate, or no action, has no set either; without a candidate, ``recommendation`` is -1.
    hessians : DataFrame
        ``model, user, smallest_eigenvalue, condition, damping``; NaN where nothing could be explained.

    Raises
    ------
    AccentError
        If there is no such user or method, a slate has no second item, or a number is not finite.

    Warns
    -----
    AccentWarning
        Once, if recommendations of users tie with another item of their slates.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> slates, explanations, hessians = explain_users("ncf", model, [3, 5], [5, 10], ["accent", "fia"])
    >>> len(slates), len(explanations), len(hessians)  # two users: ten items, two slates by two methods, one
    (20, 8, 2)
    """
    instance(name, "name", str, "the name of the model, a text")
    methods = listed(methods, "methods", "a list of names, such as ['accent']")
    check_methods(methods, checked_model(model))
    users, ks, margin = users_of(model, users), wholes(ks, "ks", 2), checked_margin(margin)
    if not ks or not methods:
        raise AccentError("`ks` and `methods` are empty; name a slate size and a method at least.")
    if executor is not None:
        instance(executor, "executor", Executor, "one of concurrent.futures, or None")
    if progress is not None and not callable(progress):
        raise refused(progress, "progress", "a function of the number of users done, or None")
    explain = partial(_explain, analysis_of(model, **options), ks, methods, margin)
    groups = [users[first : first + TOGETHER] for first in range(0, len(users), TOGETHER)]
    items, scores, facts, explanations = [], [], [], []
    for group in (map if executor is None else executor.map)(explain, groups):
        for column, values in zip((items, scores, facts, explanations), group, strict=True):
            column += values
        if progress is not None:
            progress(len(items))
    if ties := sum(len(slate) > 1 and tied(slate) > 0 for slate in scores):
        warnings.warn(
            f"The recommendation of {ties:,} of {len(users):,} users ties with another item of the slate, to "
            "nine decimals: which of them comes first is decided by their order in the data; train longer, "
            "or look for users and items that the model cannot tell apart.",
            AccentWarning,
            stacklevel=2,
        )
    lengths = [len(slate) for slate in items]
    slates = {
        "user": np.repeat(users, lengths),
        "position": _joined(map(np.arange, lengths), int),
        "item": _joined(items, int),
        "score": _joined(scores, float),
    }
    columns = "method k user recommendation replacement replacement_position removed size predicted"
    hessians = pd.DataFrame(facts, columns=["smallest_eigenvalue", "condition", "damping"])
    hessians.insert(0, "user", users)
    tables = pd.DataFrame(slates), pd.DataFrame(explanations, columns=columns.split()), hessians
    for table in tables:
        table.insert(0, "model", name)
    return tables


def _joined(parts, dtype):
    return np.concatenate([np.empty(0, dtype), *parts])


def _explain(analysis, ks, methods, margin, users):
    """Items, scores and facts of each user, and the rows of her explanations."""
    able = [user for user in users if not obstacle(analysis.model, user)]
    evidence = dict(zip(able, gather(analysis, able, max(ks), methods), strict=True)) if able else {}
    items, scores, facts, explanations = [], [], [], []
    for user in users:
        each = evidence.get(user)
        if each is None:
            ((slate, of_slate),) = slates_of(analysis.model, [user], max(ks))
            facts.append((np.nan,) * 3)
        else:
            slate, of_slate, estimate = each.items, each.scores, each.estimate
            facts.append((estimate.smallest_eigenvalue, estimate.condition, estimate.damping))
        items.append(slate)
        scores.append(of_slate)
        for k in ks:
            sets = dict.fromkeys(methods)
            if each is not None:
                shown = of_slate[:k], each.influence[:k]
                sets = explain_slate(*shown, methods, user, each.attention, margin)
            explanations += [(method, k, user, *_row(slate, sets[method])) for method in sets]
    return items, scores, facts, explanations


def _row(items, explanation):
    if explanation is None:
        return int(items[0]) if len(items) else -1, -1, -1, (), 0, ()
    rival, removed = explanation.replacement, explanation.removed
    predicted = tuple(explanation.predicted.tolist())
    return int(items[0]), int(items[rival]), rival, removed, len(removed), predicted
