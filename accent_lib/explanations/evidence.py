"""What explainers go by, for one user of a model: her slate, its scores, influences, and attention."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from accent_lib.arguments import listed, refused, users_of, whole
from accent_lib.errors import AccentError
from accent_lib.explainers import rounded
from accent_lib.explanations.methods import BY_ATTENTION, Attention, check_methods
from accent_lib.influence import FastInfluence, Influence, fast_influence
from accent_lib.models import slates
from accent_lib.models.given import checked_model, differentiating


@dataclass(frozen=True)
class Evidence:
    """What explainers go by, for one user.

    Attributes
    ----------
    items : ndarray of int, shape (k,)
        Her slate, the recommendation first.
    scores : ndarray, shape (k,)
        Descending.
    estimate : Influence
        On the slate.
    attention : Attention or None
        If a method asks for it.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> (evidence,) = gather(analysis_of(NCF(prepare(load("sample")))), [3], k=5, methods=["accent"])
    >>> evidence.influence is evidence.estimate.influence
    True
    """

    items: np.ndarray
    scores: np.ndarray
    estimate: Influence
    attention: Attention | None

    @property
    def influence(self) -> np.ndarray:
        """Of each action on each score of the slate, ``(k, n_history)``."""
        return self.estimate.influence


@differentiating
def analysis_of(model, **options) -> FastInfluence:
    """:func:`~accent_lib.influence.fast_influence` of a copy of a model in double precision.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> analysis_of(NCF(prepare(load("sample"))), variant="objective").model.user_table.weight.dtype
    torch.float64
    """
    checked_model(model, "buffers")
    # They are read only, and need no copy, but where inference mode made them such that no gradient passes.
    shared = {id(data): data for data in model.buffers() if not data.is_inference()}
    return fast_influence(copy.deepcopy(model, shared).double(), **options)


def obstacle(model, user: int) -> str:
    """Why nothing of a user can be explained, as the end of a sentence; empty where all is well.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> obstacle(NCF(prepare(load("sample"))), 3)
    ''
    """
    if (candidates := len(model.candidates(user))) < 2:
        return f"knows all items but {candidates}, so that nothing could be recommended instead"
    return "" if len(model.actions(user)) else "has no action that the model learned from"


def tied(scores: np.ndarray) -> int:
    """How many items of a slate score what its first scores, to the decimals that explainers go by.

    Examples
    --------
    >>> tied(np.array([3.0, 3.0 - 1e-12, 2.5])), tied(np.array([3.0, 2.5]))
    (1, 0)
    """
    first, *others = rounded(scores).tolist()
    return others.count(first)


def gather(analysis: FastInfluence, users: Sequence[int], k: int, methods: Iterable[str]) -> list[Evidence]:
    """What some methods need to explain some users.

    Parameters
    ----------
    analysis : FastInfluence
    users : sequence of int
        Whom; several of them take less time together.
    k : int
        Size of the slate, the recommendation included; at least 2.
    methods : iterable of str
        Keys of ``METHODS`` or ``VARIANTS``.

    Raises
    ------
    AccentError
        If there is no such user, her slate has no second item, she has no action to take back, or a number is
        not finite.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> analysis = analysis_of(NCF(prepare(load("sample"))))
    >>> (evidence,) = gather(analysis, [3], k=5, methods=["accent"])
    >>> len(evidence.items), len(evidence.influence), evidence.attention
    (5, 5, None)
    """
    if not isinstance(analysis, FastInfluence):
        raise refused(analysis, "analysis", "what fast_influence() or analysis_of() gives of a model")
    model, methods = analysis.model, listed(methods, "methods", "a list of names, such as ['accent']")
    check_methods(methods, model)
    users, k = users_of(model, users), whole(k, "k", 2)
    for user in users:
        if reason := obstacle(model, user):
            raise AccentError(f"User {user} {reason}.")
    ranked = slates(model, users, k)
    estimates = analysis.of_users(users, [items for items, _ in ranked])
    attends = set(methods) & set(BY_ATTENTION)
    return [
        Evidence(*slate, estimate, Attention(model, user, slate[0]) if attends else None)
        for user, slate, estimate in zip(users, ranked, estimates, strict=True)
    ]
