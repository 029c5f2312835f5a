"""Relational Collaborative Filtering (Xin et al., SIGIR 2019), as the paper trains it on liked films.

A film i is judged by a user u in the light of her history H_u (the films that she liked, without i), which
is read at two levels.  *Which types of relation matter to her?*  The first level weighs the types t ("none",
and one for each kind of attributes; in the paper genre, director and actor):

    att_t = softmax_t  v . gelu(W (u * r_t) + b)

*Which films of her history are related to this one?*  The second weighs, within a type, the films j by the
attribute values e that they share with i:

    w_tj  = sum_e exp( v_t . tanh(A_t x_i + B_t x_j + C_t e) )        (no C_t e where nothing is shared)
    a_tj  = w_tj / (sum_j w_tj + 1e-9) ** 0.5

Both together turn the history into a vector, and that and the film into a score:

    m     = u + sum_t att_t sum_j a_tj x_j
    y     = p . gelu(W_0 (m * x_i) + b_0)

Training puts each liked film above a disliked one (``-log sigmoid`` of the difference of their scores), and
pulls the vectors of related films together (DistMult on relation triples).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accent_lib.arguments import number, offers, refused, whole
from accent_lib.datasets.relations import (
    COLUMNS,
    Relations,
    draw_relation_triples,
    held_out_pairs,
    nothing_disliked,
    training_triples,
)
from accent_lib.errors import AccentError
from accent_lib.models import rcf_curvature, rcf_loops, rcf_tensors
from accent_lib.models.activation import gelu
from accent_lib.models.given import differentiating
from accent_lib.models.rcf_entries import Histories
from accent_lib.models.rcf_loops import Read, Weigh
from accent_lib.models.rcf_tensors import TrainingEntries, attend, entries_of

#: So many pairs of a target and an item of a history are scored at a time; their weights take 32 MiB.
PART = 2**20


class Batch(NamedTuple):
    """Training triples of one step, and the relation triples that go with them.

    The pairs (user, item) to be scored occur once each, however many triples they are in; but not on a GPU,
    where few batches shall differ in shape.
    """

    rows: Tensor  # (n,) numbers of the actions whose triples are in the batch
    users: Tensor  # (n_pairs,)
    items: Tensor  # (n_pairs,)
    liked: Tensor  # (n,) where the liked item's pair stands
    disliked: Tensor  # (n,)
    relations: Tensor  # (n_relations,) rows of the relation triples
    entries: tuple[Tensor, ...] = ()  # of the pairs, as `rcf_tensors` takes them; empty: not listed yet


class RCF(nn.Module):
    """RCF on liked films; offers the protocol :class:`~accent_lib.models.Recommender`.

    The types of relation are those of the attributes that the data have; without any there is "none" alone.
    Where nobody dislikes anything, the disliked items are sampled once, with seed 0, from what a user has no
    interaction with, one for each liked item (:func:`~accent_lib.datasets.relations.training_triples`).

    Parameters
    ----------
    interactions : Interactions
        Training data; the model's *actions* are the positive rows of ``interactions.train``.
    relation_triples : DataFrame, optional
        As from :func:`~accent_lib.datasets.relations.read_relation_triples`; by default drawn with seed 0.
    dim, attention : int
        Width of the embeddings, and of the hidden layers of both attention levels.
    smoothing : float
        Exponent of the sum in the weights of the second level; 1 would be a softmax.
    relation_weight : float
        Of the relation loss in the objective.
    seed : int
        Of the initial parameters.

    Attributes
    ----------
    types : tuple of str
        Names of the types of relation, "none" first.
    samples_disliked : bool
        Whether the disliked items of the triples are sampled.

    Examples
    --------
    Its actions are the liked films, and a weight of zero takes one out of the history that is read:

    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> model = RCF(data)
    >>> model.types
    ('none', 'genre', 'director', 'actor')
    >>> model.n_actions == int(data.train["positive"].sum())
    True
    >>> items, keep = torch.tensor([0, 1]), torch.ones(len(model.actions(3)))
    >>> whole = model.scores(model.block(3), 3, items, keep)
    >>> keep[0] = 0
    >>> bool((model.scores(model.block(3), 3, items, keep) == whole).all())
    False
    """

    #: Removing an action takes it out of the history, too: scores change even with fixed parameters.
    reads_history = True
    #: Whether to read histories by tensor operations on a CPU, too; anywhere else there is no other way.
    by_tensors = False

    #: As of :class:`~accent_lib.models.NCF`.
    revision = 3

    @differentiating
    def __init__(
        self,
        interactions,
        relation_triples=None,
        dim: int = 64,
        attention: int = 32,
        smoothing: float = 0.5,
        relation_weight: float = 0.01,
        seed: int = 0,
    ):
        needed = ("train", "test", "n_users", "n_items", "attributes", "rows")
        offers(interactions, "interactions", "Interactions, as prepare() makes them", *needed)
        dim, attention = whole(dim, "dim", 1, 2**20), whole(attention, "attention", 1, 2**20)
        seed = whole(seed, "seed", 0, 2**63 - 1)
        super().__init__()
        self.n_users, self.n_items = interactions.n_users, interactions.n_items
        self.smoothing = number(smoothing, "smoothing", 0)
        self.relation_weight = number(relation_weight, "relation_weight", 0)
        relations = Relations.of(interactions.attributes)
        _check_memory(interactions, relations, dim, attention)
        if relation_triples is None:
            relation_triples = draw_relation_triples(interactions, relations)
        elif not isinstance(relation_triples, pd.DataFrame) or list(relation_triples) != COLUMNS:
            raise refused(
                relation_triples, "relation_triples", f"a table with the columns {', '.join(COLUMNS)}"
            )
        self.types, self.samples_disliked = relations.names, nothing_disliked(interactions)
        n_types, n_values = len(self.types), len(relations.types)

        self.user_table = nn.Embedding(self.n_users, dim)
        self.item_table = nn.Embedding(self.n_items, dim)
        self.type_table = nn.Embedding(n_types, dim)
        self.value_table = nn.Embedding(n_values, dim)
        self.type_hidden = nn.Linear(dim, attention)
        self.type_query = nn.Parameter(torch.empty(attention))
        self.target_weight = nn.Parameter(torch.empty(n_types, attention, dim))
        self.history_weight = nn.Parameter(torch.empty(n_types, attention, dim))
        self.value_weight = nn.Parameter(torch.empty(n_types - 1, attention, dim))
        self.item_query = nn.Parameter(torch.empty(n_types, attention))
        self.hidden = nn.Linear(dim, dim)
        self.output = nn.Parameter(torch.empty(dim))
        self._initialise(torch.Generator().manual_seed(seed))

        triples = training_triples(interactions, relations)
        self.n_actions = len(triples)
        self._starts = np.searchsorted(triples[:, 0], np.arange(self.n_users + 1))
        self._known = _known_items(interactions, triples, relation_triples)
        self._values_of_type = np.bincount(relations.types, minlength=n_types).tolist()
        self._histories = Histories.of(self._starts, triples[:, 1], relations)
        self._projected, self._listed = (None, (), ()), None
        self._keep_data("triples", torch.tensor(triples))
        self._keep_data("relation_triples", torch.tensor(relation_triples.to_numpy()))
        self._keep_data("ones", torch.ones(self.n_actions))

    def _initialise(self, generator):
        dim, attention = self.hidden.in_features, self.type_hidden.out_features
        normal = {"hidden.weight": 2 / (2 * dim), "hidden.bias": 2 / (2 * dim), "output": 2 / (dim + 1)}
        fans = {
            "type_hidden.weight": dim + attention,
            "type_query": attention + 1,
            "item_query": attention + 1,
        }
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if "table" in name:
                    parameter.normal_(0, 0.05, generator=generator)
                elif name in normal:  # Glorot, normal
                    parameter.normal_(0, math.sqrt(normal[name]), generator=generator)
                elif name == "type_hidden.bias":
                    parameter.zero_()
                else:  # Glorot, uniform
                    bound = math.sqrt(6 / fans.get(name, dim + attention))
                    parameter.uniform_(-bound, bound, generator=generator)

    def _keep_data(self, name, tensor):
        # A buffer follows `.double()`; not persistent: a checkpoint holds no data.
        self.register_buffer(name, tensor, persistent=False)

    # --- the network

    def type_attention(self, users: Tensor) -> Tensor:
        """First level: weights of the types, which sum to 1, ``(..., n_types)`` from users ``(..., dim)``."""
        # W (u * r) = (W * r) u: one product of matrices for all types.
        weight = self.type_hidden.weight * self.type_table.weight.unsqueeze(1)
        hidden = gelu(_of_all_types(users, weight) + self.type_hidden.bias)
        return torch.softmax(hidden @ self.type_query, -1)

    def _projections(self, targets, items, values, values_of_type):
        """What the second level computes once an item and once a value, and the queries."""
        values = values.split(values_of_type)
        none = values[0].new_zeros(1, self.value_weight.shape[1])
        of_values = [none, *(e @ w.mT for e, w in zip(values[1:], self.value_weight, strict=True))]
        targets = _of_all_types(targets, self.target_weight)
        return targets, _of_all_types(items, self.history_weight), torch.cat(of_values), self.item_query

    def score(self, users: Tensor, types: Tensor, sums: Tensor, totals: Tensor, items: Tensor) -> Tensor:
        """Scores from users and items, both ``(..., dim)``, attention to types and what histories sum up to.

        ``types`` and ``sum_j w_tj`` are ``(..., n_types)``, ``sum_j w_tj x_j`` is ``(..., n_types, dim)``.
        """
        levels = types / (totals + 1e-9) ** self.smoothing
        moved = users + (levels.unsqueeze(-1) * sums).sum(-2)
        return gelu(self.hidden(moved * items)) @ self.output

    def forward(
        self, users: Tensor, items: Tensor, keep: Tensor | None = None, entries: tuple[Tensor, ...] = ()
    ) -> Tensor:
        """Scores of pairs, ``(n,)`` from indices ``(n,)`` and ``(n,)``; ``keep`` is ``(n_actions,)``.

        ``entries`` are those of the pairs, where `rcf_tensors` has listed them already.
        """
        keep = self.ones if keep is None else keep
        if self._tensors:
            entries = entries or entries_of(users, items, self._histories)
            x, values, readers = self.item_table.weight, self.value_table.weight, self.user_table(users)
            projections = self._projections(x, x, values, self._values_of_type)
            sums, totals = attend(*projections, x, keep, items, entries)
            return self.score(readers, self.type_attention(readers), sums, totals, self.item_table(items))
        listed, own, x = self._histories.entries(users, items), self.item_table(items), self.item_table.weight
        projections = self._projections(own, x, self.value_table.weight, self._values_of_type)
        sums, totals = rcf_loops.attend(*projections, x, keep, listed)
        readers, reader = torch.unique(users, return_inverse=True)
        readers = self.user_table(readers)
        types = self.type_attention(readers).index_select(0, reader)
        return self.score(readers.index_select(0, reader), types, sums, totals, own)

    @property
    def _tensors(self):
        return self.by_tensors or self.ones.device.type != "cpu"

    # --- actions and candidates

    def action_slice(self, user: int) -> slice:
        """Where the user's training positives stand among all."""
        return slice(int(self._starts[user]), int(self._starts[user + 1]))

    def actions(self, user: int) -> np.ndarray:
        """Items that the user liked in the training data, in time order, shape ``(n_history,)``."""
        return self.triples[self.action_slice(user), 1].cpu().numpy()

    def candidates(self, user: int) -> np.ndarray:
        """Items that occur in any of the data, but none of the user's training positives, ascending."""
        known = self._known.copy()
        known[self.actions(user)] = False
        return np.flatnonzero(known)

    # --- as a function of one user's block

    def block(self, user: int) -> Tensor:
        """The user's embedding, shape ``(dim,)``."""
        return self.user_table.weight[user].detach()

    def _exponentials(self):
        """``exp(2 a)``, ``exp(2 b)``, ``exp(2 c)`` of all projections, and the queries."""
        # Projecting all items takes longer than the rest of a score, so it is kept until a parameter changes.
        of = (self.item_table.weight, self.value_table.weight, self.item_query)
        of = (*of, self.target_weight, self.history_weight, self.value_weight)
        versions = [(tensor.data_ptr(), tensor._version) for tensor in of]
        if self._projected[0] != versions:
            with torch.inference_mode(False), torch.no_grad():
                x, values = self.item_table.weight, self.value_table.weight
                *projections, query = self._projections(x, x, values, self._values_of_type)
                exponentials = (*rcf_loops.exponentials(*projections), query.detach())
            # Holding on to their memory keeps the addresses from being given to others.
            self._projected = versions, exponentials, [tensor.detach() for tensor in of]
        return self._projected[1]

    def __getstate__(self):
        return {**self.__dict__, "_projected": (None, (), ()), "_listed": None}

    def _weights(self, user, items):
        """Second level: ``w_tj`` toward items of any shape (…), in the shape (n_types, …, n_history)."""
        weigh = rcf_tensors.weigh if self._tensors else rcf_loops.weigh
        return Weigh.apply(items, lambda row: weigh(row, user, *self._exponentials(), self._histories))

    def sums(self, user: int, items: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the user's history sums up to toward items (…), as :meth:`score` takes it."""
        x = self.item_table.weight.detach()
        if keep is None and not self._tensors:
            read = lambda row: rcf_loops.read(row, user, *self._exponentials(), x, self._histories)  # noqa: E731
            return Read.apply(items, read)
        weights = self._weights(user, items)
        weights = weights if keep is None else weights * keep
        sums = (weights @ x[self.triples[self.action_slice(user), 1]]).movedim(0, -2)
        return sums, weights.sum(-1).movedim(0, -1)

    def _read(self, block, user, items, keep):
        """Scores of items (…)."""
        x = self.item_table.weight.detach()
        return self.score(block, self.type_attention(block), *self.sums(user, items, keep), x[items])

    def scores(self, block: Tensor, user: int, items: Tensor, keep: Tensor | None = None) -> Tensor:
        """Scores of ``items`` with the history weighted by ``keep``, ``(n_items,)``."""
        actions = self.action_slice(user)
        parts = items.split(max(PART // max(actions.stop - actions.start, 1), 1))
        return torch.cat([self._read(block, user, part, keep) for part in parts])

    def history_scores(self, blocks: Tensor, user: int, items: Tensor, keep: Tensor | None = None) -> Tensor:
        """Scores in several histories, as :func:`~accent_lib.models.history_scores`."""
        weights = self._weights(user, items)  # (n_types, k, n)
        x, types = self.item_table.weight.detach(), self.type_attention(blocks)
        history, targets = x[self.triples[self.action_slice(user), 1]], x[items].unsqueeze(1)
        if keep is None:  # what all films sum up to, less one of them
            # The totals as sums: what a difference leaves of nothing would be divided by nothing.
            without = 1 - torch.eye(len(history), dtype=x.dtype, device=x.device)
            totals = (weights @ without).permute(1, 2, 0)
            levels = types * (totals > 0) / (totals + 1e-9) ** self.smoothing  # (k, n, n_types)
            lost = (levels * weights.permute(1, 2, 0)).sum(-1, keepdim=True) * history
            moved = blocks + levels @ (weights @ history).transpose(0, 1) - lost
            return (gelu(self.hidden(moved * targets)) @ self.output).T
        scores, parts = [], max(PART // max(weights[0].numel(), 1), 1)
        each = (keep, blocks.expand(len(keep), -1), types.expand(len(keep), -1))
        for kept, own, levels in zip(*(of.split(parts) for of in each), strict=True):
            totals = (weights @ kept.T).permute(1, 2, 0)  # (k, m, n_types)
            levels = levels / (totals + 1e-9) ** self.smoothing
            # Types are summed before the films are: one product of matrices for all histories.
            moved = own + (levels @ weights.transpose(0, 1) * kept) @ history
            scores.append(gelu(self.hidden(moved * targets)) @ self.output)
        return torch.cat(scores, 1).T

    def losses(
        self, block: Tensor, user: int, keep: Tensor | None = None, which: Tensor | None = None
    ) -> Tensor:
        """Loss of each of the user's triples, or of those at the positions ``which``, shape ``(n,)``.

        ``keep`` weighs the history that the scores read, not the losses.
        """
        items = self.triples[self.action_slice(user), 1:].T
        better, worse = self._read(block, user, items if which is None else items[:, which], keep)
        return -F.logsigmoid(better - worse)

    def curvature(self, block: Tensor, user: int, keep: Tensor | None = None) -> Tensor:
        """Hessian by the block of the sum of the user's losses, ``(dim, dim)``."""
        return rcf_curvature.curvature(self, block, user, keep)

    def gradients(self, block: Tensor, user: int, keep: Tensor) -> Tensor:
        """Gradient of each of the user's losses, ``(n, dim)``, each with a history of its own, ``(n, n)``."""
        return rcf_curvature.gradients(self, block, user, keep)

    def penalty(self, block: Tensor) -> Tensor:
        """Zero: RCF is trained without weight decay."""
        return 0 * block.square().sum()

    def attention_levels(self, user: int, items: Tensor) -> tuple[Tensor, Tensor]:
        """Both levels: ``att_t``, ``(n_types,)``, and ``a_tj``, ``(n_types, n_items, n_history)``."""
        weights = self._weights(user, items)
        smoothed = weights / (weights.sum(-1, keepdim=True) + 1e-9) ** self.smoothing
        return self.type_attention(self.block(user)).detach(), smoothed

    def attention(self, user: int, items: Tensor) -> Tensor:
        """Attention that each action gets when ``items`` are scored, ``(n_items, n_history)``.

        The product of both levels, summed over the types.  It is smoothed and need not sum to 1.
        """
        types, history = self.attention_levels(user, items)
        return torch.tensordot(types, history, 1)

    # --- training

    def weight_decay(self) -> dict[str, float]:
        """None."""
        return {name: 0.0 for name, _ in self.named_parameters()}

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        """Triples, the last incomplete batch included; the relation triples are spread over all batches."""
        n_relations = len(self.relation_triples)
        order, relations = torch.arange(self.n_actions), torch.arange(n_relations)
        if generator is not None:
            order = torch.randperm(self.n_actions, generator=generator)
            relations = torch.randperm(n_relations, generator=generator)
        rooms = self._training_entries().rooms(order.split(batch_size)) if self._tensors else None
        parts = order.to(self.triples.device).split(batch_size)
        of_parts = relations.to(self.triples.device).tensor_split(len(parts))
        for place, batch in enumerate(zip(parts, of_parts, strict=True)):
            yield self._batch_of_shape(*batch, rooms[place]) if rooms else self._batch(*batch)

    def _training_entries(self):
        if self._listed is None or self._listed.values.device != self.triples.device:
            self._listed = TrainingEntries(self.triples, self._histories)
        return self._listed

    def _batch_of_shape(self, rows, relations, room):
        users, liked, disliked = self.triples[rows].T
        first, second = torch.arange(2 * len(rows), device=rows.device).chunk(2)
        pairs = torch.cat([users, users]), torch.cat([liked, disliked])
        return Batch(rows, *pairs, first, second, relations, self._training_entries().of(rows, room))

    def _batch(self, rows, relations):
        users, *ends = self.triples.index_select(0, rows).T
        both = torch.cat([users * self.n_items + items for items in ends])
        pairs, places = torch.unique(both, return_inverse=True)  # sorted by user
        liked, disliked = places.chunk(2)
        return Batch(rows, pairs // self.n_items, pairs % self.n_items, liked, disliked, relations)

    def batch_loss(self, batch: Batch, keep: Tensor | None = None) -> Tensor:
        """Share of the batch in the objective: mean loss of all kept triples, plus the relation loss."""
        keep = self.ones if keep is None else keep
        scores = self(batch.users, batch.items, keep, batch.entries)
        losses = -F.logsigmoid(scores[batch.liked] - scores[batch.disliked]) * keep[batch.rows]
        return losses.sum() / keep.sum() + self.relation_weight * self.relation_loss(batch.relations)

    def relation_loss(self, rows: Tensor) -> Tensor:
        """Share of some relation triples in the mean loss of all (DistMult)."""
        head, type_, value, tail, other = self.relation_triples.index_select(0, rows).T
        x, tail, other = self.item_table(torch.stack([head, tail, other]))
        relation = x * (self.type_table(type_) + self.value_table(value))
        difference = (relation * (tail - other)).sum(-1)
        return -F.logsigmoid(difference).sum() / max(len(self.relation_triples), 1)

    def data_loss(self, keep: Tensor | None = None) -> Tensor:
        """The whole objective."""
        return sum(self.batch_loss(batch, keep) for batch in self.batches(4096, None))


def _check_memory(interactions, relations, dim, attention):
    """Refuse sizes that do not fit into the memory that is free."""
    n_users, n_items, n_values = interactions.n_users, interactions.n_items, len(relations.types)
    # Single precision with gradients and moments, and once in double precision, to explain.
    parameters = (n_users + n_items + n_values) * dim * (3 * 4 + 8)
    # Projections of all items and their exponentials, in double precision, to explain; and the triples.
    projections = 2 * 8 * (2 * len(relations.names) * n_items + n_values) * attention
    triples = len(interactions.train) * 500
    needed, free = parameters + projections + triples, psutil.virtual_memory().available
    if needed > free:
        raise AccentError(
            f"RCF needs {needed / 2**20:,.0f} MiB for the embeddings of {n_users:,} users, {n_items:,} items "
            f"and {n_values:,} attribute values and for {len(interactions.train):,} ratings, but "
            f"{free / 2**20:,.0f} MiB are free; take a smaller dim, or raise `min_ratings` or set "
            "`max_users` of prepare()."
        )


def _of_all_types(vectors, matrices):
    """Products of vectors (..., dim) with matrices (n_types, width, dim): (..., n_types, width)."""
    return F.linear(vectors, matrices.flatten(0, 1)).unflatten(-1, matrices.shape[:2])


def _known_items(interactions, triples, relation_triples):
    """Which items occur in training triples, held-out pairs or relation triples, bool of shape (n_items,)."""
    pairs = held_out_pairs(interactions)
    known = np.zeros(interactions.n_items, bool)
    for items in (triples[:, 1:], pairs[["liked", "disliked"]], relation_triples[["head", "tail", "other"]]):
        known[np.asarray(items).ravel()] = True
    return known
