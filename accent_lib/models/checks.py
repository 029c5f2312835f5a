"""What is wrong with a model, before it is explained: each in a sentence."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.autograd import grad

from accent_lib.arguments import flag
from accent_lib.models.given import checked_model, differentiating
from accent_lib.models.recommender import slates, top_k
from accent_lib.wording import counted

#: From this share of users on who get the same item, a model has learned nothing personal.
SAME = 0.9
#: Length of the mean gradient at a block by the mean length of single ones; 0 at a minimum, at most 1.
SLOPE = 0.2
#: Users looked at, and for whether all get one item.
FEW, MANY = 4, 50


class Names(NamedTuple):
    """How the sentences call a user and an item of a position.

    Examples
    --------
    >>> Names().user(3), Names(item=lambda item: ["Emma", "Ulysses"][item]).item(1)
    ('3', 'Ulysses')
    """

    user: Callable[[int], str] = str
    item: Callable[[int], str] = str


@differentiating
def check(model, trained: bool = True, names: Names | None = None) -> list[str]:
    """Say what is wrong with a model, such that its explanations would be, too.

    It looks at a few users only.

    Parameters
    ----------
    model : Recommender
    trained : bool
        Whether it is trained.  Else it is not looked for what training brings: a minimum, and
        recommendations that differ from user to user.
    names : Names
        Of users and items in the sentences. Default: their positions.

    Returns
    -------
    list of str
        A sentence for each fault: what is wrong, where, what to do.  Empty where none was found.

    Examples
    --------
    A model that was never trained stands at no minimum:

    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> for sentence in check(NCF(prepare(load("sample")))):
    ...     print(sentence)
    The gradient of the objective at users' blocks is ...% of what single actions pull ...
    """
    trained = flag(trained, "trained")
    checked_model(
        model, "named_parameters", "losses", "penalty", "batches", "batch_loss", "data_loss", "weight_decay"
    )
    names = Names() if names is None else names
    broken = [name for name, value in model.named_parameters() if not value.isfinite().all()]
    if broken:
        return [
            f"Parameters are not finite ({_list(broken)}): training diverged; take a lower learning rate."
        ]
    model = model if trained else _elsewhere(model)
    users = _users(model, FEW)
    if not users:
        return [
            "No user has an action and two candidates, so that nothing could be recommended instead: add "
            "items, or hold more ratings out."
        ]
    found = [*_chance(model, users, names), *_own_items(model, users, names), *_untrained(model)]
    # What follows compares numbers, and means nothing where they are drawn at random.
    if found:
        return found
    learned = [*unrest(model), *_constant(model, names)] if trained else []
    fixed = [*_fixed(model, users, names), *_squashed(model, users)]
    return [*fixed, *_agreement(model, users, names), *learned]


@differentiating
def unrest(model) -> list[str]:
    """The one of these sentences that tells of training that has not come to rest, if it has not.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> len(unrest(NCF(prepare(load("sample")))))
    1
    """
    if not (users := _users(model, FEW)):
        return []  # nobody's recommendation can be explained, which is told elsewhere
    slope = float(np.median([_steepness(model, user, model.block(user)) for user in users]))
    if slope <= SLOPE:
        return []
    size = f"{slope:.0%} of" if slope < 10 else f"{slope:,.0f} times"
    return [
        f"The gradient of the objective at users' blocks is {size} what single actions pull "
        f"(median of {counted(len(users), 'user')}), and should be near 0, as at a minimum: train longer, or "
        "let the learning rate fall to zero."
    ]


@torch.no_grad()
def _elsewhere(model):
    """A copy with other parameters: initial ones may be zeros, which pass on no gradient."""
    model, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    for value in model.parameters():
        value.add_(0.1 * torch.randn(value.shape, generator=generator).to(value))
    return model


def _list(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _users(model, n):
    """Some users with actions and candidates, spread over all; where none of those has, the first that do."""

    def able(users):
        return (user for user in users if len(model.actions(user)) and len(model.candidates(user)) > 1)

    spread = np.unique(np.linspace(0, model.n_users - 1, n).astype(int)).tolist()
    return list(able(spread)) or list(islice(able(range(model.n_users)), n))


def _some(model, user):
    """A block and some candidates, at the same device."""
    block = model.block(user)
    return block, torch.as_tensor(model.candidates(user)[:8], device=block.device)


def _alike(first, second):
    return torch.allclose(first, second, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def _chance(model, users, names) -> Iterator[str]:
    kinds = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)
    training = [
        name for name, module in model.named_modules() if isinstance(module, kinds) and module.training
    ]
    because = f"{_list(training)} in training mode: call `model.eval()`" if training else "draw nothing there"
    for user in users:
        block, items = _some(model, user)
        scores = model.scores(block, user, items)
        apart = torch.cat([model.scores(block, user, part) for part in items.chunk(2)])
        if not _alike(scores, model.scores(block, user, items)):
            yield f"Two calls of `scores` differ, such as those of user {names.user(user)}; {because}."
            return
        if not _alike(scores, apart):
            yield (
                f"The score of an item of user {names.user(user)} depends on which others are scored with "
                f"it; {because if training else 'score each pair by itself'}."
            )
            return
    batch, (block, _) = next(iter(model.batches(256, None))), _some(model, user)
    for name, loss in (
        ("losses", lambda: model.losses(block, user)),
        ("batch_loss", lambda: model.batch_loss(batch)),
    ):
        if not _alike(loss(), loss()):
            yield (
                f"Two calls of `{name}` differ: what the loss draws must be drawn once and kept, or follow "
                "from the batch."
            )


def _own_items(model, users, names) -> Iterator[str]:
    for user in users:
        own = np.intersect1d(model.candidates(user), model.actions(user))
        if len(own):
            yield (
                f"The candidates of user {names.user(user)} include items that she has acted on, such as "
                f"{names.item(own[0])}: leave them out of `candidates`."
            )
            return


def _untrained(model) -> Iterator[str]:
    parameters = dict(model.named_parameters())
    frozen = [name for name, value in parameters.items() if not value.requires_grad]
    if frozen:
        yield (
            f"Parameters take no gradient ({_list(frozen)}) and are never trained: set `requires_grad`, or "
            "make buffers of them."
        )
    parameters = {name: value for name, value in parameters.items() if value.requires_grad}
    losses = [model.batch_loss(batch) for batch, _ in zip(model.batches(256, None), range(4), strict=False)]
    slopes = grad(sum(losses), list(parameters.values()), allow_unused=True)
    most = [0.0 if slope is None else float(slope.abs().max()) for slope in slopes]
    # What cancels, as a user's bias does in a difference of two of her scores, leaves a rounding error.
    idle = [name for name, value in zip(parameters, most, strict=True) if value <= 1e-7 * max(most)]
    if idle:
        yield (
            f"Parameters have no gradient in `batch_loss` ({_list(idle)}) and are never trained: leave them "
            "out of the model, or let the loss depend on them."
        )
    unnamed = [name for name in parameters if name not in model.weight_decay()]
    if unnamed:
        yield (
            f"`weight_decay` does not name all parameters ({_list(unnamed)}), and training refuses that: "
            "name each, with 0 where none is wanted."
        )


@torch.no_grad()
def _fixed(model, users, names) -> Iterator[str]:
    generator = torch.Generator().manual_seed(0)
    for user in users:
        block, items = _some(model, user)
        noise = torch.randn(block.shape, generator=generator).to(block) * (block.std(correction=0) + 0.1)
        moved = model.scores(block + noise, user, items) - model.scores(block, user, items)
        if _alike(moved, moved[:1].expand_as(moved)):
            yield (
                f"Differences of scores do not depend on the block of user {names.user(user)}: no removal "
                "can close a gap; name parameters that a score is made of."
            )
            return


def _squashed(model, users) -> Iterator[str]:
    """Of probabilities ``bce`` would make probabilities once more."""
    if getattr(model, "loss", None) != "bce":
        return
    if all(scores.min() >= 0 and scores.max() <= 1 for _, scores in slates(model, users, model.n_items)):
        yield (
            "All scores lie between 0 and 1, as after a sigmoid, which `bce` takes itself: return the scores "
            "before it."
        )


def _steepness(model, user, block):
    """Length of the gradient of the objective at a block, by the mean length of single actions' gradients."""
    block = block.clone().requires_grad_()
    losses = model.losses(block, user)
    zero = 0 * block.square().sum()
    pulls = torch.stack([grad(loss + zero, block, retain_graph=True)[0] for loss in losses])
    if hasattr(model, "slope"):
        slope = model.slope(user)
    else:
        (slope,) = grad(losses.sum() / model.n_actions + model.penalty(block) + zero, block)
    points = model.n_actions if getattr(model, "shared", False) else len(losses)
    return float(slope.norm() * model.n_actions / points / pulls.norm(dim=1).mean().clamp(min=1e-30))


@torch.no_grad()
def _agreement(model, users, names) -> Iterator[str]:
    if getattr(model, "reads", None) == "graph" or len(users) < 2:
        return  # without the others' actions a graph is another
    whole, own, sizes = [], [], []
    for user in users[:2]:
        rows = model.action_slice(user)
        keep = torch.zeros(model.n_actions).to(model.block(user))
        keep[rows] = 1
        whole.append(float(model.data_loss(keep)))
        own.append(float(model.losses(model.block(user), user).sum()))
        sizes.append(rows.stop - rows.start)
    # As a difference, in which parts that do not depend on the actions cancel; a mean over all or the kept.
    whole, own, sizes = (np.array(each) for each in (whole, own, sizes))
    means = [own / model.n_actions, own / sizes]
    if not any(abs(np.diff(whole - mean)[0]) <= 1e-3 * abs(mean).max() for mean in means):
        yield (
            f"`data_loss` with the actions of user {names.user(users[0])} or {names.user(users[1])} alone "
            "kept is not the mean of her `losses`: both, and `batch_loss`, must be one loss, weighted by "
            "`keep`."
        )


@torch.no_grad()
def _constant(model, names) -> Iterator[str]:
    tops = [int(top_k(model, user, 1)[0][0]) for user in _users(model, MANY)]
    (item, count), *_ = Counter(tops).most_common(1)
    if len(tops) > 4 and count >= SAME * len(tops):
        yield (
            f"Item {names.item(item)} is the recommendation of {count} of {len(tops)} users, so nothing "
            "personal was learned: train longer, from another start, or at another learning rate."
        )
