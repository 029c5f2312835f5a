"""RCF's attention over histories as tensor operations, for any device and for stacks.

An *entry* is what one item of a history shares with a target: the pair (user, target) that it belongs to, the
item, the shared value, the user's action on the item, and the type of the value; five vectors of indices.
The entries of all pairs that training scores are listed once and stay on the device.  Those of a batch are
looked up there, without asking the host how many there are: their number is rounded up, and what is too much
goes to a pair of nobody.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

#: Entries of a batch are rounded up to this share of themselves, so that few batches differ in shape.
ROUNDING = 1 / 16
#: Pairs that are listed at a time.
CHUNK = 8192


def attend(a, b, c, query, x, keep, targets, entries) -> tuple[Tensor, Tensor]:
    """Sum up the histories of pairs of a user and a target, ``(n_pairs,)`` items, by the weights toward it.

    Takes the projections ``a`` of targets and ``b`` of items of a history, ``(n_items, n_types, width)``,
    ``c`` of values, ``(n_values, width)``, ``query``, ``(n_types, width)``, the items ``x``, ``(n_items,
    dim)``, ``keep``, ``(n_actions,)``, and the pairs' entries, of which those of pair ``n_pairs`` are
    nobody's.  Returns ``sum_j w_tj x_j``, ``(n_pairs, n_types, dim)``, and ``sum_j w_tj``, ``(n_pairs,
    n_types)``.  Differentiable, and fit for ``vmap`` over the first six.
    """
    pair, item, value, action, type_ = entries
    (n_items, n_types, _), n_pairs = a.shape, len(targets)
    real = pair < n_pairs
    pair = pair.clamp(max=n_pairs - 1)
    # A look-up as of embeddings stacks tables row by row, and its gradient is summed in a fixed order.
    of_target = F.embedding(targets[pair] * n_types + type_, a.flatten(0, 1))
    of_item = F.embedding(item * n_types + type_, b.flatten(0, 1))
    hidden = torch.tanh(of_target + of_item + F.embedding(value, c))
    # All types at a time: a few columns cost less than a row of `query` for each entry.
    logits = (hidden @ query.mT).gather(1, type_[:, None]).squeeze(1)
    terms = keep[action] * real * torch.exp(logits)
    place = (pair * n_types + type_) * n_items + item
    weights = terms.new_zeros(n_pairs * n_types * n_items).index_add_(0, place, terms)
    with_ones = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    sums = (weights.unflatten(0, (-1, n_items)) @ with_ones).unflatten(0, (-1, n_types))
    return sums[..., :-1], sums[..., -1]


def weigh(targets, user, a, b, c, query, histories) -> Tensor:
    """Weights of a user's history toward targets ``(n,)``, ``(n_types, n, n_history)``, zero toward itself.

    ``a``, ``b`` (by type) and ``c`` are ``exp(2 p)`` of the projections ``p`` of :func:`attend`, by which
    ``tanh(p + q + r)`` is ``1 - 2 / (1 + exp(2 p) exp(2 q) exp(2 r))``.
    """
    pair, item, value, action, type_ = entries_of(torch.full_like(targets, user), targets, histories)
    hidden = 1 - 2 / (1 + a[targets[pair], type_] * b[type_, item] * c[value])
    terms = torch.exp((hidden * query[type_]).sum(-1))
    start, end = histories.starts[user : user + 2].tolist()
    shape = len(query), len(targets), end - start
    place = (type_ * shape[1] + pair) * shape[2] + action - start
    return terms.new_zeros(shape).flatten().index_add_(0, place, terms).view(shape)


def entries_of(users: Tensor, targets: Tensor, histories) -> tuple[Tensor, ...]:
    """List the entries of pairs, twice ``(n_pairs,)``, as :func:`attend` takes them, ascending by pair."""
    device = users.device
    tables = (torch.from_numpy(table).to(device).long() for table in histories.tables)
    starts, history, actions, pointers, values, types = tables
    pair, place = _spread(starts[users], starts[users + 1])
    other = history[place] != targets[pair]  # the target is left out of its own history
    pair, place = pair[other], place[other]
    item, target = history[place], targets[pair]
    cell, at = _spread(pointers[item], pointers[item + 1])
    n_items, n_values = len(pointers) - 1, len(types)
    owner = torch.arange(n_items, device=device).repeat_interleave(pointers.diff())
    has, wanted = owner * n_values + values, target[cell] * n_values + values[at]  # `has` ascends
    shared = has[torch.searchsorted(has, wanted).clamp(max=len(has) - 1)] == wanted
    cell, value = cell[shared], values[at[shared]]
    nothing = torch.ones(len(pair), dtype=torch.bool, device=device)
    nothing[cell] = False
    nothing = nothing.nonzero().squeeze(1)
    cell, order = torch.cat([cell, nothing]).sort(stable=True)
    value = torch.cat([value, torch.zeros_like(nothing)])[order]
    return pair[cell], item[cell], value, actions[place[cell]], types[value]


def _spread(first, last):
    """All numbers from ``first[n]`` to before ``last[n]``, for each ``n``: their ``n``, and they."""
    lengths = last - first
    owner = torch.arange(len(first), device=first.device).repeat_interleave(lengths)
    return owner, torch.arange(len(owner), device=first.device) + (first + lengths - lengths.cumsum(0))[owner]


class TrainingEntries:
    """The entries of all training triples ``(n, 3)`` of user, liked and disliked item, on their device."""

    def __init__(self, triples: Tensor, histories):
        users, items = triples[:, :1].expand(-1, 2).flatten(), triples[:, 1:].flatten()
        lengths, values, actions = [], [], []
        for these, those in zip(users.split(CHUNK), items.split(CHUNK), strict=True):
            pair, _, value, action, _ = entries_of(these, those, histories)
            lengths.append(torch.bincount(pair, minlength=len(these)))
            values.append(value.to(torch.int32))
            actions.append(action.to(torch.int32))
        self.lengths, self.values, self.actions = map(torch.cat, (lengths, values, actions))
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.items, self.types = triples[:, 1], torch.from_numpy(histories.types).to(triples.device).long()
        self._of_triples = self.lengths.view(-1, 2).sum(1).cpu()

    def rooms(self, batches: list[Tensor]) -> list[int]:
        """How many entries to reserve for each batch of triples; their numbers lie on the CPU."""
        needed = [max(int(self._of_triples[rows].sum()), 1) for rows in batches]
        grains = [2 ** max(int(n * ROUNDING).bit_length() - 1, 0) for n in needed]
        return [-(-n // grain) * grain for n, grain in zip(needed, grains, strict=True)]

    def of(self, rows: Tensor, room: int) -> tuple[Tensor, ...]:
        """The entries of some triples: first of the pairs with liked items, then of those with disliked."""
        pairs = torch.cat([2 * rows, 2 * rows + 1])
        lengths = self.lengths[pairs]
        ends = lengths.cumsum(0)
        number = torch.arange(room, device=rows.device)
        pair = torch.searchsorted(ends, number, right=True)
        first = self.starts[pairs] - (ends - lengths)
        place = (first[pair.clamp(max=len(pairs) - 1)] + number).clamp(max=len(self.values) - 1)
        value, action = self.values[place].long(), self.actions[place].long()
        return pair, self.items[action], value, action, self.types[value]
