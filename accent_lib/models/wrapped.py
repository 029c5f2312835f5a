"""Any torch net as a recommender that can be explained, retrained and verified.

A net scores pairs.  Which parameters are a user's own, how it is trained, and what it reads of the actions
say the rest: the block that influence moves, the losses of the actions, and what a removed action changes
even where all parameters stay.
"""

import copy
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd import grad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from accent_lib.arguments import offers, one_of, refused, whole
from accent_lib.errors import AccentError
from accent_lib.models.given import differentiating
from accent_lib.models.wrapped_data import Actions, sequences
from accent_lib.models.wrapped_setup import (
    READS,
    check_scores,
    decays_of,
    may_have_one_row,
    names_of,
    reads_of,
    settings_of,
    shapes_of,
    training_needs,
)

#: Pairs that are scored at a time, and actions where all of them are gone through.
PART = 2**14
_SAMPLED = {
    "bce": lambda good, bad: F.softplus(-good) + F.softplus(bad).sum(1),
    "bpr": lambda good, bad: F.softplus(bad - good[:, None]).sum(1),
}
_CHANCE = threading.Lock()  # torch has one generator for all threads


class _PlainAttention:
    """Attention of torch by plain arithmetic: its faster ways cannot be differentiated twice.

    torch has one setting for all threads, so that it stays as long as one of them wants it.
    """

    def __init__(self):
        self._lock, self._wanted, self._setting = threading.Lock(), 0, None

    def __enter__(self):
        with self._lock:
            if not self._wanted:
                self._setting = sdpa_kernel(SDPBackend.MATH)
                self._setting.__enter__()
            self._wanted += 1

    def __exit__(self, *error):
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                self._setting.__exit__(None, None, None)


_PLAIN_ATTENTION = _PlainAttention()


class Batch(NamedTuple):
    """Actions of one step, and what their dropout is drawn from."""

    rows: Tensor  # (n,)
    seed: Tensor  # ()


class Advice(NamedTuple):
    """How to estimate influence in a model."""

    variant: str
    damping: float
    reason: str


class Wrapped(nn.Module):
    """A torch net, with what else the protocol :class:`~accent_lib.models.Recommender` asks for.

    Parameters
    ----------
    net : torch.nn.Module
        Gives scores.  It may read

        - *nothing*: ``forward(users, items)``, scores of ``n`` pairs, all ``(n,)``;
        - the *graph* of all actions: ``forward(users, items, keep)``, with their weights ``(n_actions,)``,
          in the order of the training data (of its ``positive`` rows, for ``bce`` and ``bpr``);
        - the *history*: ``forward(histories, items)``, scores of ``m`` items, ``(n, m)``, after each of ``n``
          sequences of items, ``(n, length)``, padded in front by ``n_items``.  What is out of ``keep`` is in
          none of them.
    interactions : Interactions
    user_parameters : str or sequence of str, optional
        Names of the parameters with a row for each user, such as ``"users.weight"``.  Her rows are her block.
    loss : {"mse", "bce", "bpr"} or callable
        ``mse``: squared error on the ratings.  ``bce`` and ``bpr``: on liked actions, each beside
        ``negatives`` items that the user has no interaction with, drawn once, which leave with their action;
        their losses are added up.  Or ``loss(scores, ratings)``, which gives ``(n,)`` losses of all ratings.
    block : str or sequence of str, optional
        For a net without parameters of users: those, shared by all, that an action acts through.
    reads : {"nothing", "graph", "history"}, optional
        Default: as the parameters of ``forward`` are called.
    negatives : int
        For each action.
    weight_decay : float or mapping of str to float
        Of all parameters, or by name; the objective has ``weight_decay / 2`` times the sum of squares.
    length : int
        Longest sequence that a net reads; of longer histories, the last actions.
    seed : int
        Of the negatives.

    Notes
    -----
    Scores and losses are those of ``net.eval()``: no dropout, running statistics.  Training is in training
    mode, and its dropout follows from the seed of the batches.  Of a net that reads the graph, influence is
    that of the action's edge and of the user's own row; of one with a shared block, that of the action's
    absence from what is read and of the block: no other parameters move.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> class Factors(nn.Module):
    ...     def __init__(self, data):
    ...         super().__init__()
    ...         self.users, self.items = nn.Embedding(data.n_users, 8), nn.Embedding(data.n_items, 8)
    ...
    ...     def forward(self, users, items):
    ...         return (self.users(users) * self.items(items)).sum(-1)
    >>> data = prepare(load("sample"))
    >>> model = Wrapped(Factors(data), data, "users.weight", "bpr", weight_decay=1e-4)
    >>> model.n_actions == int(data.train["positive"].sum()), len(model.block(3))
    (True, 8)
    >>> model.advice.variant
    'objective'
    """

    @differentiating
    def __init__(
        self,
        net: nn.Module,
        interactions,
        user_parameters: str | Sequence[str] | None = None,
        loss: str | Callable[[Tensor, Tensor], Tensor] = "mse",
        *,
        block: str | Sequence[str] | None = None,
        reads: str | None = None,
        negatives: int = 1,
        weight_decay: float | Mapping[str, float] = 0.0,
        length: int = 50,
        seed: int = 0,
    ):
        super().__init__()
        if not callable(loss) and not (isinstance(loss, str) and loss in ("mse", *_SAMPLED)):
            raise refused(loss, "loss", "'mse', 'bce', 'bpr' or a function")
        needed = ("train", "test", "n_users", "n_items", "fingerprint")
        offers(interactions, "interactions", "Interactions, as prepare() makes them", *needed)
        length, negatives = whole(length, "length", 1), whole(negatives, "negatives", 1)
        seed = whole(seed, "seed", 0)
        self.names = names_of(net, user_parameters if block is None else block)
        self.net, self.loss = net, loss
        self.reads = reads_of(net) if reads is None else one_of(reads, "reads", READS)
        self.n_users, self.n_items = interactions.n_users, interactions.n_items
        self.shared = user_parameters is None
        if None not in (block, user_parameters):
            raise AccentError("Give `user_parameters` or a shared `block`, not both.")
        self._shapes = shapes_of(self)
        self._sizes = [shape.numel() for shape in self._shapes]
        self._decay = decays_of(net, weight_decay)

        self._from = interactions.fingerprint
        self._data = Actions.of(interactions, loss in _SAMPLED, negatives, seed)
        self.n_actions, train = len(self._data.rows), interactions.train.iloc[self._data.rows]
        self._keep_data("users", torch.tensor(train["user"].to_numpy(), dtype=torch.long))
        self._keep_data("items", torch.tensor(train["item"].to_numpy(), dtype=torch.long))
        self._keep_data("ratings", torch.tensor(train["rating"].to_numpy(), dtype=torch.get_default_dtype()))
        self._keep_data("ones", torch.ones(self.n_actions))
        self._keep_data("begins", torch.tensor(self._data.starts[:-1]))
        if self._data.negatives is not None:
            self._keep_data("negatives", torch.tensor(self._data.negatives))
        self._longest = int(np.diff(self._data.starts).max())
        self.length, self._hessian = min(length, self._longest), {}
        self.eval()
        #: Names of the buffers that training changes, such as running statistics.
        self.statistics: tuple[str, ...] = ()
        self._one_row = self._draws = self._apart = False
        check_scores(self)
        self._one_row = may_have_one_row(self)
        self.statistics, self._draws, self._apart = training_needs(self)

    @property
    def one_by_one(self) -> bool:
        """Whether copies must be trained one after the other."""
        # On a GPU a step of a stack is recorded, and would draw the same again and again.
        return self._apart or (self._draws and self.items.is_cuda)

    @property
    def identity(self) -> dict:
        """What this is beside its parameters, for the name of its outcomes."""
        loss, buffers = self.loss, dict(self.net.named_buffers())
        if callable(loss):
            loss = f"{loss.__module__}.{getattr(loss, '__qualname__', type(loss).__qualname__)}"
        return {
            "data": self._from,
            "net": settings_of(self.net),
            "buffers": {
                name: (value.double() if value.is_floating_point() else value).cpu().numpy()
                for name, value in buffers.items()
                if f"net.{name}" not in self.statistics  # they are a part of the state
            },
            "loss": loss,
            "block": [self.shared, self.names, self.reads, self.length],
            "negatives": self._data.negatives,
            "weight_decay": self._decay,
        }

    def _keep_data(self, name, tensor):
        # A buffer follows `.double()`; not persistent: a checkpoint holds no data.
        self.register_buffer(name, tensor, persistent=False)

    def __deepcopy__(self, memo):
        memo |= {id(tensor): tensor for tensor in self._buffers.values()}  # the data is never written to
        copied = memo[id(self)] = type(self).__new__(type(self))
        memo[id(self._hessian)] = self._hessian  # of a shared block, which each explanation needs anew
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __getstate__(self):
        return {**self.__dict__, "_hessian": {}}

    # --- the net

    @property
    def reads_history(self) -> bool:
        """Whether a removed action changes scores with all parameters as they are, or they are shared."""
        return self.shared or self.reads != "nothing"

    def _placed(self, block, user):
        """Parameters of the net, by name, with a block put in."""
        placed = {}
        for name, shape, part in zip(self.names, self._shapes, block.split(self._sizes), strict=True):
            part = part.view(shape)
            if not self.shared:
                part, table = part[None], self.net.get_parameter(name)
                part = part if self._one_row else torch.cat([table[:user], part, table[user + 1 :]])
            placed[name] = part
        return placed

    def pair_scores(self, placed, users, read, items):
        """Scores of items ``(n, m)`` for users ``(n,)`` by what is read: weights, or a sequence for each."""
        inputs = (read, items)
        if self.reads != "history":
            inputs = users[:, None].expand(items.shape).flatten(), items.flatten()
            inputs += (read,) if self.reads == "graph" else ()
        with _PLAIN_ATTENTION:
            scores = functional_call(self.net, placed, inputs) if placed else self.net(*inputs)
        if scores.shape != inputs[1].shape:
            raise AccentError(
                f"The net gives scores of shape {tuple(scores.shape)} for items of shape "
                f"{tuple(inputs[1].shape)}; let it give one number for each, for example by squeeze(-1)."
            )
        return scores.view(items.shape)

    @contextmanager
    def _mode(self, training):
        # Each module gets its own mode back: one that was left in another is a fault that `check` must find.
        was = {module: module.training for module in self.net.modules()}
        if was[self.net] != training:
            self.net.train(training)
        try:
            yield
        finally:
            for module, mode in was.items():
                module.training = mode

    def read(self, rows, keep):
        """What the net reads as it is trained on some actions, were the weights of all ``keep``."""
        if self.reads != "history":
            return keep
        before = torch.arange(-self._longest, 0, device=rows.device) + rows[:, None]
        earlier = before >= self.begins[self.users[rows]][:, None]
        before = before.clamp(min=0)
        return sequences(self.items[before], earlier & (keep[before] > 0), self.length, self.n_items)

    def _losses(self, placed, users, read, rows):
        items = self.items[rows]
        if self._data.negatives is None:
            scores, ratings = self.pair_scores(placed, users, read, items[:, None])[:, 0], self.ratings[rows]
            return (scores - ratings) ** 2 if self.loss == "mse" else self.loss(scores, ratings)
        items = torch.cat([items[:, None], self.negatives[rows]], 1)  # (n, 1 + m)
        scores = self.pair_scores(placed, users, read, items)
        return _SAMPLED[self.loss](scores[:, 0], scores[:, 1:])

    def _weights(self, user, keep):
        """Weights of all actions, ``(n_actions,)``, from those of one user's."""
        if keep is None:
            return self.ones
        rows = self.action_slice(user)
        return torch.cat([self.ones[: rows.start], keep.to(self.ones), self.ones[rows.stop :]])

    # --- actions and candidates

    def action_slice(self, user: int) -> slice:
        """Where the user's actions stand among all."""
        return slice(int(self._data.starts[user]), int(self._data.starts[user + 1]))

    def actions(self, user: int) -> np.ndarray:
        """Items of the user's actions in time order, shape ``(n_history,)``."""
        return self.items[self.action_slice(user)].cpu().numpy()

    def candidates(self, user: int) -> np.ndarray:
        """Items with a training interaction, but none of the user's own, ascending."""
        return np.setdiff1d(self._data.known, self._data.own[user], assume_unique=False)

    # --- as a function of one block

    def block(self, user: int) -> Tensor:
        """Her rows of the user parameters, or the shared block, as one vector, shape ``(n_parameters,)``."""
        values = [self.net.get_parameter(name).detach() for name in self.names]
        return torch.cat([(value if self.shared else value[user]).flatten() for value in values])

    def scores(self, block: Tensor, user: int, items: Tensor, keep: Tensor | None = None) -> Tensor:
        """Scores of ``items``, shape ``(n_items,)``."""
        placed, keep, rows = self._placed(block, user), self._weights(user, keep), self.action_slice(user)
        users, read = torch.full_like(items[:1], 0 if self._one_row else user), keep
        if self.reads == "history":
            read = sequences(self.items[rows], keep[rows] > 0, self.length, self.n_items)[None]
        with self._mode(False):
            return torch.cat(
                [self.pair_scores(placed, users, read, part[None])[0] for part in items.split(PART)]
            )

    def losses(
        self, block: Tensor, user: int, keep: Tensor | None = None, which: Tensor | None = None
    ) -> Tensor:
        """Loss of each of the user's actions, or of those at the positions ``which``, shape ``(n,)``."""
        own = self.action_slice(user)
        rows = torch.arange(own.start, own.stop, device=self.items.device)
        rows = rows if which is None else rows[which]
        users = torch.full_like(rows, 0 if self._one_row else user)
        with self._mode(False):
            read = self.read(rows, self._weights(user, keep))
            return self._losses(self._placed(block, user), users, read, rows)

    def penalty(self, block: Tensor) -> Tensor:
        """The block's part of the weight decay."""
        parts = zip(self.names, block.split(self._sizes), strict=True)
        return sum(self._decay[name] / 2 * part.square().sum() for name, part in parts)

    def history_scores(self, blocks: Tensor, user: int, items: Tensor, keep: Tensor | None = None) -> Tensor:
        """Scores in several histories, as :func:`~accent_lib.models.history_scores`."""
        if keep is None:
            keep = 1 - torch.eye(len(self.actions(user)), dtype=blocks.dtype, device=blocks.device)
        each = zip(blocks.expand(len(keep), -1), keep, strict=True)
        return torch.stack([self.scores(block, user, items, kept) for block, kept in each])

    def gradients(self, block: Tensor, user: int, keep: Tensor) -> Tensor:
        """Gradient of each of the user's losses, ``(n, p)``, each with a history of its own, ``(n, n)``."""
        block = block.detach().clone().requires_grad_()
        one_by_one = torch.arange(len(keep), device=keep.device)[:, None]
        each = [self.losses(block, user, *pair).sum() for pair in zip(keep, one_by_one, strict=True)]
        return torch.stack([_gradient(loss, block) for loss in each])

    def curvature(self, block: Tensor, user: int, keep: Tensor | None = None) -> Tensor:
        """Hessian of the sum of the losses that depend on the block, ``(p, p)``: the user's, or all."""
        if not self.shared:
            return _hessian(lambda block: self.losses(block, user, keep).sum(), block)
        made_from = self._digest(block) if keep is None or bool((keep == 1).all()) else None
        curvature = self._hessian.get(made_from)
        if curvature is None:
            keep, parts = self._weights(user, keep), torch.arange(self.n_actions).split(PART)

            def loss(rows, block):
                read = self.read(rows, keep)
                return self._losses(self._placed(block, user), self.users[rows], read, rows).sum()

            with self._mode(False):
                rows = (part.to(self.items.device) for part in parts)
                curvature = sum(_hessian(lambda b, part=part: loss(part, b), block) for part in rows)
            if made_from is not None:
                self._hessian.clear()  # one is enough
                self._hessian[made_from] = curvature
        return curvature.to(block)

    def _digest(self, block):
        values = [block, *self.net.parameters(), *self.net.buffers()]
        digest = hashlib.sha256(str(block.dtype).encode())
        for value in values:
            digest.update(value.detach().double().cpu().numpy().tobytes())
        return digest.digest()

    # --- training

    def weight_decay(self) -> dict[str, float]:
        """Weight decay by parameter name."""
        return {f"net.{name}": decay for name, decay in self._decay.items()}

    def batches(self, batch_size: int, generator: Generator | None) -> Iterator[Batch]:
        """Actions, the last incomplete batch included, with a seed for each batch."""
        order = torch.arange(self.n_actions)
        if generator is not None:
            order = torch.randperm(self.n_actions, generator=generator)
        for number, rows in enumerate(order.to(self.items.device).split(batch_size)):
            seed = torch.tensor(number)
            if generator is not None:
                seed = torch.randint(2**31, (), generator=generator)
            yield Batch(rows, seed.to(rows.device))

    def batch_loss(self, batch: Batch, keep: Tensor | None = None) -> Tensor:
        """Mean loss of a batch; removed actions count as zero, so that all worlds share batches."""
        keep, rows, n = self.ones if keep is None else keep.to(self.ones), batch.rows, len(batch.rows)
        if self.statistics and self.training:  # nor do they count in the statistics of a batch
            rows = rows[keep[rows] > 0]
        with self._drawing(batch.seed):
            losses = self._losses({}, self.users[rows], self.read(rows, keep), rows)
        return (losses * keep[rows]).sum() / n

    @contextmanager
    def _drawing(self, seed):
        """Let dropout follow from a seed, the same in every world."""
        if not (self._draws or self.training):
            yield
            return
        devices = [self.items.device] if self.items.is_cuda else []
        with _CHANCE, self._mode(True), torch.random.fork_rng(devices):
            torch.manual_seed(int(seed))
            yield

    def data_loss(self, keep: Tensor | None = None) -> Tensor:
        """Mean loss over all actions."""
        keep, total = self.ones if keep is None else keep.to(self.ones), 0
        with self._mode(False):
            for rows in torch.arange(self.n_actions, device=self.items.device).split(PART):
                losses = self._losses({}, self.users[rows], self.read(rows, keep), rows)
                total = total + (losses * keep[rows]).sum()
        return total / self.n_actions

    @torch.no_grad()
    def chance_loss(self) -> Tensor:
        """Mean loss of the best scores that are one number for all: of a net that has learned nothing."""
        ratings, negatives = self.ratings, self._data.negatives
        low, high = (-5, 5) if negatives is not None else (float(ratings.min()), float(ratings.max()))
        scores = torch.linspace(low, high, 101).to(ratings)
        if negatives is not None:
            return _SAMPLED[self.loss](scores, scores[:, None].expand(-1, negatives.shape[1])).min()
        loss = F.mse_loss if self.loss == "mse" else lambda *pair: self.loss(*pair).mean()
        return torch.stack([loss(each.expand_as(ratings), ratings) for each in scores]).min()

    # --- influence

    def slope(self, user: int) -> Tensor:
        """Gradient of the whole objective by the block, all users' losses in it, ``(n_parameters,)``."""
        values = [self.net.get_parameter(name) for name in self.names]
        data, block = grad(self.data_loss(), values), self.block(user).requires_grad_()
        data = torch.cat([(slope if self.shared else slope[user]).flatten() for slope in data])
        return data + _gradient(self.penalty(block), block)

    @property
    def advice(self) -> Advice:
        """Variant and damping for :func:`~accent_lib.influence.fast_influence`, and why."""
        what = "reads the history" if self.reads_history else "reads no history"
        if self.shared:
            what = "has a block that all users share"
        decays = min(self._decay[name] for name in self.names)
        return Advice(
            "objective",
            (0.1 if decays else 1.0) / self.n_actions,
            f"The model {what}, and 'objective' weighs its losses and its weight decay as training does; the "
            + ("damping adds little, because" if decays else "damping keeps the Hessian invertible, since no")
            + " weight decay holds the block.",
        )


def _gradient(value, block, **options):
    """Gradient by a block, also where the value does not depend on it."""
    return grad(value + 0 * block.square().sum(), block, **options)[0]


def _hessian(function, value):
    """Hessian by a block, ``(p, p)``, a row at a time: not every layer can be run by `vmap`."""
    block = value.detach().clone().requires_grad_()
    slope = _gradient(function(block), block, create_graph=True)
    return torch.stack([grad(each, block, retain_graph=True)[0] for each in slope])
