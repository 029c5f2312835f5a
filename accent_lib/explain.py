"""From a trained model to explanations: slate, influence, explainer, for one user or for all."""

import copy
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from accent_lib import explainers
from accent_lib.errors import AccentError
from accent_lib.explainers import Explanation
from accent_lib.influence import FastInfluence, Influence, fast_influence
from accent_lib.models import top_k

#: Explainers that need scores and influences.  ``random`` is the control: it copies ACCENT's sizes.
BY_INFLUENCE: dict[str, Callable] = {
    "accent": explainers.accent,
    "fia": explainers.fia,
    "pure_fia": explainers.pure_fia,
    "random": explainers.random,
}
#: Explainers that need scores and attention, for models that have any.
BY_ATTENTION: dict[str, Callable] = {
    "attention": explainers.attention,
    "pure_attention": explainers.pure_attention,
}
#: What is compared by default: the explainers of the paper's Table 1, and the control.
METHODS: dict[str, Callable] = BY_INFLUENCE | BY_ATTENTION
#: The paper's variant of ACCENT (§4.3), run where it is asked for by name; it needs what ACCENT needs.
VARIANTS: dict[str, Callable] = {"one_versus_all": explainers.one_versus_all}


def check_methods(methods: Iterable[str], model=None) -> None:
    """Raise an AccentError for a method that does not exist, or that a model has no attention for.

    Examples
    --------
    >>> check_methods(["accent", "fia"])
    >>> check_methods(["acent"])
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: There is no method 'acent'; choose from accent, fia, ...
    """
    for method in methods:
        if method not in METHODS | VARIANTS:
            known = ", ".join(METHODS | VARIANTS)
            raise AccentError(f"There is no method {method!r}; choose from {known}.")
        if model is not None and method not in methods_for(model, [method]):
            raise AccentError(f"Method {method!r} ranks by attention, and {type(model).__name__} has none.")


def methods_for(model, methods: Iterable[str]) -> list[str]:
    """Those of the methods that a model can be explained by: attention baselines need its attention.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> methods_for(NCF(prepare(load("sample"))), ["accent", "attention"])
    ['accent']
    """
    return [method for method in methods if method not in BY_ATTENTION or hasattr(model, "attention")]


class Attention:
    """What the attention baselines ask of a model, for one slate.

    Parameters
    ----------
    model : Recommender
        With ``attention``.
    user : int
    items : ndarray of int, shape (k,)

    Attributes
    ----------
    weights : ndarray, shape (n_history,)
        Attention toward the recommendation.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import RCF
    >>> model = RCF(prepare(load("sample")))
    >>> items, scores = top_k(model, 3, 5)
    >>> attention = Attention(model, 3, items)
    >>> len(attention.weights) == len(model.actions(3))
    True
    >>> bool(np.allclose(attention.rescore(()), scores, atol=1e-5))
    True
    """

    def __init__(self, model, user: int, items: np.ndarray):
        self._model, self._user, self._items = model, user, torch.as_tensor(items)
        self.weights = model.attention(user, self._items[:1])[0].numpy()
        self._known = {}

    def rescore(self, removed: tuple[int, ...]) -> np.ndarray:
        """Scores of the slate by the same parameters with these actions out of the history, (k,)."""
        if removed not in self._known:  # slates of several sizes are walked through alike
            keep = torch.ones(len(self.weights), dtype=torch.get_default_dtype())
            keep[list(removed)] = 0
            with torch.no_grad():
                block = self._model.block(self._user)
                scores = self._model.scores(block, self._user, self._items, keep.to(block.dtype))
            self._known[removed] = scores.numpy()
        return self._known[removed]


def explain_slate(
    scores: np.ndarray,
    influence: np.ndarray,
    methods: Sequence[str],
    seed: int = 0,
    attention: Attention | None = None,
):
    """Run several methods on one slate.

    Parameters
    ----------
    scores : ndarray, shape (k,)
    influence : ndarray, shape (k, n_history)
    methods : sequence of str
        Keys of :data:`METHODS` or :data:`VARIANTS`.
    seed : int
        Of the random control.
    attention : Attention, optional
        For the attention baselines; its slate may go on beyond these ``k`` items.

    Returns
    -------
    dict of str to Explanation or None
        In the order of ``methods``.

    Examples
    --------
    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]])
    >>> found = explain_slate(scores, influence, ["accent", "pure_fia"])
    >>> {method: explanation.removed for method, explanation in found.items()}
    {'accent': (1,), 'pure_fia': (0, 1)}
    """
    check_methods(methods)
    found, k = {}, len(scores)
    for method in methods:
        if method in BY_ATTENTION:
            if attention is None:
                raise AccentError(f"Method {method!r} needs a model with attention, such as rcf.")
            shown = lambda removed: attention.rescore(removed)[:k]  # noqa: E731
            found[method] = BY_ATTENTION[method](scores, attention.weights, shown)
        elif method != "random":
            found[method] = (BY_INFLUENCE | VARIANTS)[method](scores, influence)
    if "random" in methods:
        like = found.get("accent") or explainers.accent(scores, influence)
        found["random"] = like and explainers.random(scores, influence, like, seed)
    return {method: found[method] for method in methods}


def explain(model, user: int, k: int = 10, method: str = "accent", **options) -> Explanation | None:
    """Explain the recommendation of one user.

    Parameters
    ----------
    model : Recommender
        Trained.
    user : int
    k : int
        Size of the slate that the replacement may come from.
    method : str
        Key of :data:`METHODS` or :data:`VARIANTS`.
    **options
        For :class:`~accent_lib.influence.FastInfluence`.

    Returns
    -------
    Explanation or None
        ``None`` where the method finds no set.

    Raises
    ------
    AccentError
        If there is no such user or method, or the slate has no second item.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> from accent_lib.training import Recipe, State, train
    >>> model = NCF(prepare(load("sample")))
    >>> recipe = Recipe(steps=300, learning_rate=0.01, batch_size=256)
    >>> model = train(model, recipe, [State.of(model)])[0].into(model)
    >>> found = explain(model, user=3, k=5)
    >>> found is None or found.remaining_gap < 0
    True
    """
    check_methods([method], model)
    check_slate(model, user, k)
    seen = look(analysis_of(model, **options), user, k, [method])
    return explain_slate(seen.scores, seen.found.influence, [method], user, seen.attention)[method]


def check_slate(model, user: int, k: int) -> None:
    """Raise an AccentError for a user that does not exist, or a slate without a second item.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> check_slate(NCF(prepare(load("sample"))), user=-1, k=5)
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: There is no user -1: users go from 0 to ...
    """
    if not 0 <= user < model.n_users:
        raise AccentError(f"There is no user {user}: users go from 0 to {model.n_users - 1}.")
    if k < 2:
        raise AccentError(f"k is {k}, but a slate needs a second item that could take the first one's place.")


class _Look(NamedTuple):
    items: np.ndarray
    scores: np.ndarray
    found: Influence
    attention: Attention | None


def analysis_of(model, **options) -> FastInfluence:
    """Fast Influence Analysis of a copy of a model in double precision, so that the model stays as it is.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> analysis_of(NCF(prepare(load("sample"))), variant="objective").model.user_table.weight.dtype
    torch.float64
    """
    return fast_influence(copy.deepcopy(model).double(), **options)


def look(analysis: FastInfluence, user: int, k: int, methods: Iterable[str]) -> _Look:
    """What some methods need to explain one user: items, scores, influences, and attention where asked for.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> seen = look(analysis_of(NCF(prepare(load("sample")))), user=3, k=5, methods=["accent"])
    >>> len(seen.items), len(seen.found.influence), seen.attention
    (5, 5, None)
    >>> bool(seen.scores[0] >= seen.scores[1])
    True
    """
    items, scores = top_k(analysis.model, user, k)
    attention = Attention(analysis.model, user, items) if set(methods) & set(BY_ATTENTION) else None
    return _Look(items, scores, analysis(user, items), attention)


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
        For :class:`~accent_lib.influence.FastInfluence`.

    Returns
    -------
    slates : DataFrame
        ``model, user, position, item, score``: the ``max(ks)`` best candidates of every user.
    explanations : DataFrame
        ``model, method, k, user, recommendation, replacement, replacement_position, removed, size,
        predicted``; ``removed`` holds history positions in the order taken, ``predicted`` the ``k`` estimated
        scores.  Without a set: ``removed`` empty, ``size`` 0, ``replacement`` -1.
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
    one = partial(_explain_user, analysis_of(model, **options), name, ks, methods)
    slates, explanations, hessians = [], [], []
    for done, tables in enumerate((map if executor is None else executor.map)(one, users), 1):
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


def _explain_user(analysis, name, ks, methods, user):
    """Rows of the three tables of :func:`explain_users`."""
    items, scores, found, attention = look(analysis, user, max(ks), methods)
    slate = [(name, user, p, int(i), s) for p, (i, s) in enumerate(zip(items, scores, strict=True))]
    explanations = [
        (name, method, k, user, *_row(items, explanation))
        for k in ks
        for method, explanation in explain_slate(
            scores[:k], found.influence[:k], methods, user, attention
        ).items()
    ]
    return slate, explanations, [(name, user, found.smallest_eigenvalue, found.condition, found.damping)]


def _row(items, explanation):
    if explanation is None:
        return int(items[0]), -1, -1, "", 0, ""
    return (
        int(items[0]),
        int(items[explanation.replacement]),
        explanation.replacement,
        " ".join(map(str, explanation.removed)),
        len(explanation),
        " ".join(f"{score:.9g}" for score in explanation.predicted),
    )
