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
    """Sums over the histories of users, by type, for pairs of a user and a target item.

    Differentiable and fit for ``vmap`` over the first six arguments.

    Parameters
    ----------
    a, b : Tensor, shape (n_items, 4, width)
        Projections of targets and of items of a history.
    c : Tensor, shape (n_values, width)
    query : Tensor, shape (4, width)
    x : Tensor, shape (n_items, dim)
    keep : Tensor, shape (n_actions,)
    targets : Tensor of int, shape (n_pairs,)
    entries : five Tensors of int, shape (n_entries,)
        Pair (``n_pairs``: nobody's), item, value, action and type.

    Returns
    -------
    sums : Tensor, shape (n_pairs, 4, dim)
        Weighted sums of the items.
    totals : Tensor, shape (n_pairs, 4)
        Sums of the weights.
    """
    pair, item, value, action, type_ = entries
    (n_items, n_types, _), n_pairs = a.shape, len(targets)
    real = pair < n_pairs
    pair = pair.clamp(max=n_pairs - 1)
    # A look-up as of embeddings stacks tables row by row, and its gradient is summed in a fixed order.
    of_target = F.embedding(targets[pair] * n_types + type_, a.flatten(0, 1))
    of_item = F.embedding(item * n_types + type_, b.flatten(0, 1))
    hidden = torch.tanh(of_target + of_item + F.embedding(value, c))
    # All types at a time: four columns cost less than a row of `query` for each entry.
    logits = (hidden @ query.mT).gather(1, type_[:, None]).squeeze(1)
    terms = keep[action] * real * torch.exp(logits)
    place = (pair * n_types + type_) * n_items + item
    weights = terms.new_zeros(n_pairs * n_types * n_items).index_add_(0, place, terms)
    with_ones = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    sums = (weights.unflatten(0, (-1, n_items)) @ with_ones).unflatten(0, (-1, n_types))
    return sums[..., :-1], sums[..., -1]


def weigh(targets, user, a, b, c, query, histories) -> Tensor:
    """Weights of a user's history toward some targets.

    Parameters
    ----------
    targets : Tensor of int, shape (n_targets,)
    user : int
    a, b, c : Tensor
        ``exp(2 p)`` of the projections ``p`` of :func:`attend`, whose ``tanh(p + q + r)`` is
        ``1 - 2 / (1 + exp(2 p) exp(2 q) exp(2 r))``.
    query, histories
        As for :func:`attend` and :func:`entries_of`.

    Returns
    -------
    Tensor, shape (4, n_targets, n_history)
        Zero where an item is its own target.
    """
    pair, item, value, action, type_ = entries_of(torch.full_like(targets, user), targets, histories)
    hidden = 1 - 2 / (1 + a[targets[pair], type_] * b[item, type_] * c[value])
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
    """The entries of all training triples, on the device of the triples.

    Parameters
    ----------
    triples : Tensor of int, shape (n, 3)
        User, liked item, disliked item; the liked items are the actions, in their order.
    histories : Histories
    """

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
        rooms = []
        for rows in batches:
            needed = max(int(self._of_triples[rows].sum()), 1)
            grain = 2 ** max(int(needed * ROUNDING).bit_length() - 1, 0)
            rooms.append(-(-needed // grain) * grain)
        return rooms

    def of(self, rows: Tensor, room: int) -> tuple[Tensor, ...]:
        """The entries of some triples: first of the pairs with liked items, then of those with disliked."""
        pairs = torch.cat([2 * rows, 2 * rows + 1])
        lengths = self.lengths[pairs]
        ends = lengths.cumsum(0)
        number = torch.arange(room, device=rows.device)
        pair = torch.searchsorted(ends, number, right=True)
        first = self.starts[pairs] - (ends - lengths)
        place = first[pair.clamp(max=len(pairs) - 1)] + number
        place = place.clamp(max=len(self.values) - 1)
        value, action = self.values[place].long(), self.actions[place].long()
        return pair, self.items[action], value, action, self.types[value]
