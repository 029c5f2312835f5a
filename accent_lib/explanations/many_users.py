"""Tables of explanations: many users, several slates and methods."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np
import pandas as pd

from accent_lib.explanations.evidence import analysis_of, gather
from accent_lib.explanations.methods import check_methods, explain_slate

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
        ``k`` estimated scores.  Without a set: both empty, ``size`` 0, ``replacement`` -1.
    hessians : DataFrame
        ``model, user, smallest_eigenvalue, condition, damping``.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> slates, explanations, hessians = explain_users("ncf", model, [3, 5], [5, 10], ["accent", "fia"])
    >>> len(slates), len(explanations), len(hessians)  # two users: ten items, two slates by two methods, one
    (20, 8, 2)
    """
    check_methods(methods, model)
    users, explain = list(users), partial(_explain, analysis_of(model, **options), ks, methods, margin)
    groups = [users[first : first + TOGETHER] for first in range(0, len(users), TOGETHER)]
    items, scores, facts, explanations = [], [], [], []
    for group in (map if executor is None else executor.map)(explain, groups):
        for column, values in zip((items, scores, facts, explanations), group, strict=True):
            column += values
        if progress is not None:
            progress(len(items))
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
    evidence = gather(analysis, users, max(ks), methods)
    items, scores, estimates = zip(*((e.items, e.scores, e.estimate) for e in evidence), strict=True)
    explanations = [
        (method, k, user, *_row(each.items, explanation))
        for user, each in zip(users, evidence, strict=True)
        for k in ks
        for method, explanation in explain_slate(
            each.scores[:k], each.influence[:k], methods, user, each.attention, margin
        ).items()
    ]
    return items, scores, [(e.smallest_eigenvalue, e.condition, e.damping) for e in estimates], explanations


def _row(items, explanation):
    if explanation is None:
        return int(items[0]), -1, -1, (), 0, ()
    rival, removed = explanation.replacement, explanation.removed
    predicted = tuple(explanation.predicted.tolist())
    return int(items[0]), int(items[rival]), rival, removed, len(removed), predicted
