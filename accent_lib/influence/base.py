"""What influence is, and what both ways of computing it share: options, and a Hessian that can be solved."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from accent_lib.arguments import array, listed, number, one_of, refused, users_of, whole
from accent_lib.errors import AccentError
from accent_lib.models.given import checked_model, differentiable, differentiating, items_of, not_finite

EFFECTS = ("linear", "substitute")


@dataclass(frozen=True)
class Influence:
    """Influence of each action of a user on each item of a slate.

    Attributes
    ----------
    scores : ndarray, shape (n_items,)
        Scores before any removal.
    influence : ndarray, shape (n_items, n_history)
        ``influence[i, z]`` is the drop of item ``i``'s score when action ``z`` is removed (Eq. 5), score
        units.
    by_input : ndarray, shape (n_items, n_history)
        The part of it that comes from ``z`` leaving the history that the model reads, with the parameters as
        they are; zero where a model reads none.
    smallest_eigenvalue, condition : float
        Of the worst Hessian solved, damping included.
    damping : float
        That was used: the one asked for, or more where ``smallest`` asked for more.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.influence import fast_influence
    >>> from accent_lib.models import NCF, top_k
    >>> model = NCF(prepare(load("sample"))).double()
    >>> items, scores = top_k(model, 3, 5)
    >>> estimate = fast_influence(model)(3, items)
    >>> bool(np.allclose(estimate.scores, scores)), estimate.influence.shape == (5, len(model.actions(3)))
    (True, True)
    >>> bool((estimate.by_input == 0).all())  # NCF reads no history
    True
    """

    scores: np.ndarray
    influence: np.ndarray
    by_input: np.ndarray
    smallest_eigenvalue: float
    condition: float
    damping: float


class FastInfluence(ABC):
    """Influence of the actions of any user of one model; see :func:`~accent_lib.influence.fast_influence`.

    Attributes
    ----------
    variants : tuple of str
        That this kind of model knows, the default first.
    reads : str
        What this kind of model does with a history, in words.
    model : Recommender
    variant, effect, damping, smallest
        As for :func:`~accent_lib.influence.fast_influence`.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.influence import fast_influence
    >>> from accent_lib.models import NCF
    >>> analysis = fast_influence(NCF(prepare(load("sample"))).double())
    >>> analysis.variants, analysis.damping
    (('paper', 'objective'), 1e-06)
    """

    variants: ClassVar[tuple[str, ...]]
    reads: ClassVar[str]

    def __init__(self, model, variant: str, effect: str, damping: float, smallest: float | None):
        if not isinstance(variant, str) or variant not in self.variants:
            raise refused(variant, "variant", f"{' or '.join(self.variants)} for a model that {self.reads}")
        self.model, self.variant = differentiable(checked_model(model, "losses", "penalty")), variant
        self.effect = one_of(effect, "effect", EFFECTS)
        self.damping = number(damping, "damping", 0)
        self.smallest = None if smallest is None else number(smallest, "smallest")

    def __call__(self, user: int, items: np.ndarray) -> Influence:
        """Influence of all the user's actions on the scores of ``items``.

        Parameters
        ----------
        user : int
        items : array-like of int, shape (n_items,)
            Candidates of the user.

        Raises
        ------
        AccentError
            If there is no such user or item, or the Hessian is singular or not finite.
        """
        return self.of_users([user], [items])[0]

    @differentiating
    def of_users(self, users: Sequence[int], slates: Sequence[np.ndarray]) -> list[Influence]:
        """Influence for several users, each with items of her own: the same in less time."""
        users = users_of(self.model, users)
        slates = [
            items_of(self.model, items) for items in listed(slates, "slates", "a list of items for each user")
        ]
        if len(slates) != len(users):
            raise AccentError(
                f"`slates` are {len(slates)} lists of items for {len(users)} users; give each one."
            )
        estimates = self._of_users(users, slates) if users else []
        for user, estimate in zip(users, estimates, strict=True):
            if not np.isfinite(estimate.influence).all():
                raise not_finite(self.model, f"An influence of user {user}")
        return estimates

    @abstractmethod
    def _of_users(self, users: Sequence[int], slates: Sequence[np.ndarray]) -> list[Influence]:
        """:meth:`of_users`, of users and items that there are."""

    def _eigh(self, hessians: Tensor, of: str) -> tuple[Tensor, Tensor]:
        """Eigenvalues and eigenvectors of Hessians, or an error that says of whom."""
        try:
            return torch.linalg.eigh(hessians)
        except torch.linalg.LinAlgError as error:
            if bool(hessians.isfinite().all()):
                raise AccentError(
                    f"The Hessian of {of} has no eigenvalues that can be computed: use another variant."
                ) from error
            raise not_finite(self.model, f"The Hessian of {of}") from error

    def _damped(self, eigenvalues: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Eigenvalues of damped Hessians, (m, p), ascending, and what :class:`Influence` reports of them."""
        damping, least = self.damping, float(eigenvalues.min())
        if self.smallest is not None and least + damping < self.smallest:
            damping = self.smallest - least
            warnings.warn(
                f"damping raised from {self.damping:g} to {damping:g}: the smallest eigenvalue of the Hessian"
                f" was {least + self.damping:g}.",
                stacklevel=4,
            )
        eigenvalues = eigenvalues + damping
        if (eigenvalues == 0).any():
            raise AccentError("The Hessian is singular: use a damping above 0.")
        condition = float((eigenvalues[:, -1] / eigenvalues[:, 0].abs()).max())
        facts = {"smallest_eigenvalue": least + damping, "condition": condition, "damping": damping}
        return eigenvalues, facts


def gap_influence(influence: np.ndarray, recommendation: int, replacement: int) -> np.ndarray:
    """Influence of each action on the gap between two items (paper, Eq. 6), ``(n_history,)``, in score units.

    The items are rows of the influence on scores, ``(n_items, n_history)``.  Positive where removing the
    action closes the gap.

    Raises
    ------
    AccentError
        If there is no such row.

    Examples
    --------
    The first action lowers both scores, the recommendation's more:

    >>> gap_influence(np.array([[0.75, 0.25], [0.5, 0.5]]), 0, 1).tolist()
    [0.25, -0.25]
    """
    influence = array(influence, "influence", 2)
    recommendation = whole(recommendation, "recommendation", 0, len(influence) - 1)
    return influence[recommendation] - influence[whole(replacement, "replacement", 0, len(influence) - 1)]
