"""What explainers go by, for one user of a model: her slate, its scores, influences, and attention."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from accent_lib.errors import AccentError
from accent_lib.explanations.methods import BY_ATTENTION, Attention
from accent_lib.influence import FastInfluence, Influence, fast_influence
from accent_lib.models import slates


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


def analysis_of(model, **options) -> FastInfluence:
    """:func:`~accent_lib.influence.fast_influence` of a copy of a model in double precision.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> analysis_of(NCF(prepare(load("sample"))), variant="objective").model.user_table.weight.dtype
    torch.float64
    """
    shared = {id(data): data for data in model.buffers()}  # read only, so there is no need of a copy
    return fast_influence(copy.deepcopy(model, shared).double(), **options)


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
        If there is no such user, or the slate has no second item.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> analysis = analysis_of(NCF(prepare(load("sample"))))
    >>> (evidence,) = gather(analysis, [3], k=5, methods=["accent"])
    >>> len(evidence.items), len(evidence.influence), evidence.attention
    (5, 5, None)
    """
    model = analysis.model
    for user in users:
        if not 0 <= user < model.n_users:
            raise AccentError(f"There is no user {user}: users go from 0 to {model.n_users - 1}.")
    if k < 2:
        raise AccentError(f"k is {k}, but a slate needs a second item that could take the first one's place.")
    ranked = slates(model, users, k)
    estimates = analysis.of_users(users, [items for items, _ in ranked])
    attends = set(methods) & set(BY_ATTENTION)
    return [
        Evidence(*slate, estimate, Attention(model, user, slate[0]) if attends else None)
        for user, slate, estimate in zip(users, ranked, estimates, strict=True)
    ]
