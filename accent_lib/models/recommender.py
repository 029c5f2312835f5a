"""What ACCENT asks of a recommender.

One idea carries everything: ``keep``, a weight for each action, 1 in and 0 out.  Training losses are weighted
by it, a *world* is a ``keep`` with some zeros, and influence is what happens as an entry goes from 1 to 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Generator, Tensor

from accent_lib.arguments import instance, refused, user_of, users_of, whole
from accent_lib.models.given import checked_model, items_of, not_finite


@runtime_checkable
class Recommender(Protocol):
    """A ``torch.nn.Module`` that offers these methods can be explained, retrained and evaluated.

    *Actions* are the training interactions of a user that can be taken back; they are numbered in time order
    within the user (``keep`` of shape ``(n_history,)``) and user after user over the whole data set
    (``keep`` of shape ``(n_actions,)``, where ``action_slice(user)`` finds the user's part).

    A model may *read the history*: its scores then depend on ``keep``, because an action that is left out is
    no longer there to be read.  It says so by ``reads_history = True``, and its ``losses`` take ``which``,
    positions of the actions whose losses are wanted.  If it weighs the history by attention, it may offer
    ``attention(user, items)``, of shape ``(n_items, n_history)``, for the attention baselines.

    A model whose items have a block of their own, as NCF's have, may offer it, too: ``item_block(item)``,
    ``item_losses(block, item)`` (one loss for each training point of the item) and ``item_scores(blocks,
    user)``.  Influence of the variant ``paper`` then moves both halves of the block [user; item].
    Its penalty is a multiple of the block's squared norm.  Where its losses are squared errors on
    ``ratings`` and its scores are piecewise linear in either block, it may offer ``slopes(users, items)``,
    else ``None``: the scores of pairs, ``(n,)``, their slopes by the blocks of the users, ``(n, p)``, and by
    those of the items.  It then has ``raters(item)``, the users of the item's training points.

    A model may offer ``all_scores(users)``, an iterator over the scores of all items for each of the users,
    and, if it reads the history, ``history_scores(blocks, user, items, keep)``: what
    :func:`history_scores` returns, in less time.  It may then offer ``curvature(block, user, keep)``, too,
    the Hessian of the sum of ``losses``, ``(n_parameters, n_parameters)`` (of the losses of all users, where
    they share the block), and ``gradients(block, user,
    keep)`` of each of them, ``(n_history, n_parameters)``, where ``keep`` has a row for each loss.

    A model whose copies ``torch.vmap`` cannot train together says so by ``one_by_one = True``: they are then
    trained one after the other, each in training mode.  It names the buffers that training changes, such as
    running statistics, in ``statistics``; they are a part of its states.

    A model may offer a faster way of training copies of itself with Adam: ``loops``, an object whose
    ``adam_steps(copy, keep, rows, rates, done)`` takes one copy through batches of rows, with one learning
    rate each, and whose ``objective(vector, keep=None)`` is the training objective.  A copy is three vectors
    that are changed in place: all parameters in their order, flat, and their two moments, which have seen
    ``done`` steps.  All ``batches`` of such a model have the same size.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> isinstance(NCF(prepare(load("sample"))), Recommender)
    True
    """

    n_users: int
    n_items: int
    n_actions: int

    def actions(self, user: int) -> np.ndarray:
        """Items of the user's actions in time order, shape ``(n_history,)``."""

    def action_slice(self, user: int) -> slice:
        """Where the user's actions lie in the ``(n_actions,)`` vector of all actions."""

    def candidates(self, user: int) -> np.ndarray:
        """Items that may be recommended to the user, ascending, shape ``(n_candidates,)``."""

    def block(self, user: int) -> Tensor:
        """The parameters that belong to the user alone, as one flat vector, shape ``(n_parameters,)``."""

    def scores(self, block: Tensor, user: int, items: Tensor, keep: Tensor | None = None) -> Tensor:
        """Scores of ``items`` for the user, were her block ``block``, shape ``(n_items,)``.

        ``keep``, ``(n_history,)``, takes actions out of the history that the model reads, if it reads any.
        """

    def losses(self, block: Tensor, user: int, keep: Tensor | None = None) -> Tensor:
        """Training loss of each of the user's actions, shape ``(n_history,)``; ``keep`` as in `scores`."""

    def penalty(self, block: Tensor) -> Tensor:
        """The part of the training objective that depends on the block but not on the data, a scalar."""

    def weight_decay(self) -> Mapping[str, float]:
        """Weight decay by parameter name; the objective holds ``decay / 2 * (parameter**2).sum()``."""

    def batches(self, batch_size: int, generator: Generator | None) -> Iterator[Any]:
        """The batches of one epoch, shuffled by ``generator`` (``None``: in the order of the data)."""

    def batch_loss(self, batch: Any, keep: Tensor | None = None) -> Tensor:
        """Data part of the training objective on a batch, a scalar; ``keep`` has shape ``(n_actions,)``."""

    def data_loss(self, keep: Tensor | None = None) -> Tensor:
        """Data part of the training objective on all training data, a scalar."""


def top_k(model: Recommender, user: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The slate: the ``k`` best candidates of a user and their scores, best first.

    Parameters
    ----------
    model : Recommender
    user : int
    k : int
        Size of the slate, the recommendation included.

    Returns
    -------
    items : ndarray of int, shape (k,)
    scores : ndarray of float, shape (k,)
        Equal scores: the lower item index first.  Shorter than ``k`` where the user has fewer candidates.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> items, scores = top_k(model, 3, 5)
    >>> len(items), bool((np.diff(scores) <= 0).all())
    (5, True)
    >>> set(items.tolist()) <= set(model.candidates(3).tolist())
    True
    """
    return slates(model, [user], k)[0]


def slates(model: Recommender, users: Sequence[int], k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """:func:`top_k` of several users, in less time where the model offers ``all_scores``.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> [len(items) for items, scores in slates(NCF(prepare(load("sample"))), [3, 5], 10)]
    [10, 10]
    """
    users, k = users_of(checked_model(model), users), whole(k, "k", 1)
    candidates, best = [model.candidates(user) for user in users], []
    for user, items, scores in zip(users, candidates, _scores(model, users, candidates), strict=True):
        if not np.isfinite(scores).all():
            raise not_finite(model, f"A score of user {user}")
        best.append(_best(items, scores, k))
    return best


def history_scores(
    model: Recommender, blocks: Tensor, user: int, items: Tensor, keep: Tensor | None = None
) -> Tensor:
    """Scores of a user's items in several histories, without gradients.

    Parameters
    ----------
    model : Recommender
        With ``reads_history``; it may offer a method of this name.
    blocks : Tensor, shape (p,) or (m, p)
        For all histories, or one for each.
    user : int
    items : Tensor of int, shape (k,)
    keep : Tensor, shape (m, n_history), optional
        Default: each action in turn is left out, and ``m`` is ``n_history``.

    Returns
    -------
    Tensor, shape (m, k)

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import RCF
    >>> model = RCF(prepare(load("sample")))
    >>> everything = torch.ones(1, len(model.actions(3)))
    >>> history_scores(model, model.block(3), 3, torch.tensor([0, 1]), everything).shape
    torch.Size([1, 2])
    """
    user = user_of(checked_model(model), user)
    block, items = model.block(user), items_of(model, items)
    items, size = torch.as_tensor(items, device=block.device), len(block)
    instance(blocks, "blocks", Tensor, "a tensor of one block, or of one for each history")
    if blocks.shape[-1:] != (size,) or blocks.dim() > 2:
        raise refused(blocks, "blocks", f"of the shape ({size},) or (m, {size})")
    if keep is not None:
        n = len(model.actions(user))
        instance(keep, "keep", Tensor, "a tensor with a row for each history")
        if keep.dim() != 2 or keep.shape[1] != n or (blocks.dim() == 2 and len(blocks) != len(keep)):
            raise refused(keep, "keep", f"of the shape (m, {n}), with a row for each block")
    with torch.no_grad():
        if hasattr(model, "history_scores"):
            return model.history_scores(blocks, user, items, keep)
        if keep is None:
            keep = 1 - torch.eye(len(model.actions(user)), dtype=blocks.dtype, device=blocks.device)
        scores = torch.func.vmap(lambda block, kept: model.scores(block, user, items, kept))
        return scores(blocks.expand(len(keep), -1), keep)


def _scores(model, users, candidates):
    if hasattr(model, "all_scores"):
        for items, scores in zip(candidates, model.all_scores(users), strict=True):
            yield scores.cpu().numpy()[items]
        return
    for user, items in zip(users, candidates, strict=True):
        with torch.no_grad():
            block = model.block(user)
            there = torch.as_tensor(items, device=block.device)
            yield model.scores(block, user, there).cpu().numpy()


def _best(items, scores, k):
    best = np.arange(len(scores))
    if k < len(scores):  # in linear time: only those that may be among the best are sorted
        best = np.flatnonzero(~(-scores > np.partition(-scores, k - 1)[k - 1]))
    best = best[np.argsort(-scores[best], kind="stable")[:k]]
    return items[best], scores[best].astype(float)
