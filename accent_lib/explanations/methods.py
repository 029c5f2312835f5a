"""The methods by name, and several of them on one slate."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from accent_lib import explainers
from accent_lib.arguments import array, instance, listed, refused, user_of, whole
from accent_lib.errors import AccentError, shown
from accent_lib.explainers import Explanation, checked_scores
from accent_lib.models.given import checked_model, items_of
from accent_lib.models.recommender import history_scores

#: Explainers that need scores and influences.  ``random`` copies ACCENT's sizes.
BY_INFLUENCE: dict[str, Callable] = {
    "accent": explainers.accent,
    "fia": explainers.fia,
    "pure_fia": explainers.pure_fia,
    "random": explainers.random_set,
}
#: Explainers that need scores and attention, for models that have any.
BY_ATTENTION: dict[str, Callable] = {
    "attention": explainers.attention,
    "pure_attention": explainers.pure_attention,
}
#: What is compared by default: the explainers of the paper's Table 1, and random sets.
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
    for method in listed(methods, "methods", "a list of names, such as ['accent']"):
        if not isinstance(method, str) or method not in METHODS | VARIANTS:
            known = ", ".join(METHODS | VARIANTS)
            raise AccentError(f"There is no method {shown(method)}; choose from {known}.")
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
    methods = listed(methods, "methods", "a list of names, such as ['accent']")
    check_methods(methods)
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
    >>> from accent_lib.models import RCF, top_k
    >>> model = RCF(prepare(load("sample")))
    >>> items, scores = top_k(model, 3, 5)
    >>> attention = Attention(model, 3, items)
    >>> len(attention.weights) == len(model.actions(3))
    True
    >>> everything = np.ones((1, len(attention.weights)))
    >>> bool(np.allclose(attention.rescore(everything), scores, atol=1e-5))
    True
    """

    def __init__(self, model, user: int, items: np.ndarray):
        self._model, self._user, self._known = checked_model(model), user_of(model, user), {}
        if not hasattr(model, "attention"):
            raise refused(model, "model", "one with attention, such as accent_lib.models.RCF(data)")
        items = items_of(model, items)
        self._items = torch.as_tensor(items, device=model.block(user).device)
        self.weights = model.attention(user, self._items[:1])[0].cpu().numpy()

    def rescore(self, keep: np.ndarray) -> np.ndarray:
        """Scores of the slate by the same parameters with the history kept, ``(m, k)``.

        ``keep`` is ``(m, n_history)``, 0 for what is removed and else 1.
        """
        keep = array(keep, "keep", 2)
        if keep.shape[1] != len(self.weights):
            raise refused(keep, "keep", f"of {len(self.weights)} columns, one for each action")
        cases = [row.tobytes() for row in keep]
        new = [case not in self._known for case in cases]  # slates of several sizes are walked through alike
        if any(new):
            block = self._model.block(self._user)
            kept = torch.as_tensor(keep[new], dtype=block.dtype, device=block.device)
            rescored = history_scores(self._model, block, self._user, self._items, kept).cpu().numpy()
            self._known |= zip(itertools.compress(cases, new), rescored, strict=True)
        return np.stack([self._known[case] for case in cases])


def explain_slate(
    scores: np.ndarray,
    influence: np.ndarray,
    methods: Sequence[str],
    seed: int = 0,
    attention: Attention | None = None,
    margin: float = 0.0,
) -> dict[str, Explanation | None]:
    """Run several methods on one slate.

    Parameters
    ----------
    scores, influence
        As for :func:`~accent_lib.explainers.accent`.
    methods : sequence of str
        Keys of ``METHODS`` or ``VARIANTS``.
    seed : int
        Of the random set.
    attention : Attention, optional
        For the attention baselines; its slate may go on beyond these ``k`` items.
    margin : float
        As for :func:`~accent_lib.explainers.accent`, of all methods.

    Returns
    -------
    dict of str to Explanation or None
        In the order of ``methods``.

    Examples
    --------
    >>> scores, influence = np.array([3.0, 2.75]), np.array([[1.0, 0.5], [1.0, 0.0]])
    >>> explanations = explain_slate(scores, influence, ["accent", "pure_fia"])
    >>> {method: explanation.removed for method, explanation in explanations.items()}
    {'accent': (1,), 'pure_fia': (0, 1)}
    """
    methods = listed(methods, "methods", "a list of names, such as ['accent']")
    check_methods(methods)
    seed, scores = whole(seed, "seed", 0), checked_scores(scores)
    if attention is not None:
        instance(attention, "attention", Attention, "an Attention of the slate, or None")
    explanations, k = {}, len(scores)
    for method in methods:
        if method in BY_ATTENTION:
            if attention is None:
                raise AccentError(f"Method {method!r} needs a model with attention, such as rcf.")
            shown = lambda keep: attention.rescore(keep)[:, :k]  # noqa: E731
            explanations[method] = BY_ATTENTION[method](scores, attention.weights, shown, margin)
        elif method != "random":
            explanations[method] = (BY_INFLUENCE | VARIANTS)[method](scores, influence, margin)
    if "random" in methods:
        like = explanations.get("accent") or explainers.accent(scores, influence, margin)
        explanations["random"] = like and explainers.random_set(scores, influence, like, seed)
    return {method: explanations[method] for method in methods}
