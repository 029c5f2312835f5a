"""Tables of explanations: many users, several slates and methods."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np
import pandas as pd

from accent_lib.explanations.evidence import analysis_of, gather
from accent_lib.explanations.methods import check_methods, explain_slate


def explain_users(
    name: str,
    model,
    users: Sequence[int],
    ks: Sequence[int],
    methods: Sequence[str],
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
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
    rows_of = partial(_rows_of, analysis_of(model, **options), name, ks, methods)
    slates, explanations, hessians = [], [], []
    for done, tables in enumerate((map if executor is None else executor.map)(rows_of, users), 1):
        for table, rows in zip((slates, explanations, hessians), tables, strict=True):
            table += rows
        if progress is not None:
            progress(done)
    columns = "model method k user recommendation replacement replacement_position removed size predicted"
    return (
        pd.DataFrame(slates, columns="model user position item score".split()),
        pd.DataFrame(explanations, columns=columns.split()),
        pd.DataFrame(hessians, columns="model user smallest_eigenvalue condition damping".split()),
    )


def _rows_of(analysis, name, ks, methods, user):
    """Rows of the three tables of :func:`explain_users`."""
    evidence = gather(analysis, user, max(ks), methods)
    items, scores, estimate = evidence.items, evidence.scores, evidence.estimate
    slate = [(name, user, p, int(i), s) for p, (i, s) in enumerate(zip(items, scores, strict=True))]
    explanations = [
        (name, method, k, user, *_row(items, explanation))
        for k in ks
        for method, explanation in explain_slate(
            scores[:k], estimate.influence[:k], methods, user, evidence.attention
        ).items()
    ]
    return (
        slate,
        explanations,
        [(name, user, estimate.smallest_eigenvalue, estimate.condition, estimate.damping)],
    )


def _row(items, explanation):
    if explanation is None:
        return int(items[0]), -1, -1, (), 0, ()
    return (
        int(items[0]),
        int(items[explanation.replacement]),
        explanation.replacement,
        explanation.removed,
        len(explanation),
        tuple(explanation.predicted.tolist()),
    )


def worth_a_look(explanations: pd.DataFrame) -> list[int]:
    """Users with a set of ACCENT's, in the order in which they are worth a look.

    First come those whose set has 2 or 3 actions and for whom FIA takes more, then others with 2 or 3.

    Parameters
    ----------
    explanations : DataFrame
        Rows of one model and one k, with ``user``, ``method`` and ``size``.

    Examples
    --------
    >>> rows = [(0, "accent", 1), (1, "accent", 2), (2, "accent", 3), (2, "fia", 4), (3, "accent", 0)]
    >>> worth_a_look(pd.DataFrame(rows, columns=["user", "method", "size"]))
    [2, 1, 0]
    """
    sizes = explanations.pivot(index="user", columns="method", values="size")
    sizes = sizes[sizes["accent"] > 0].reindex(columns=["accent", "fia"])
    small, more = sizes["accent"].between(2, 3), sizes["fia"] > sizes["accent"]
    order = np.argsort(-(small.astype(int) + (small & more)), kind="stable")
    return [int(user) for user in sizes.index[order]]
