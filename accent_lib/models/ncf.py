"""Neural Collaborative Filtering (He et al., WWW 2017), as the paper trains it on ratings.

A user and an item meet twice: in a multilayer perceptron that takes both embeddings side by side, and in
*generalised matrix factorisation* (GMF), their element-wise product.  One linear layer joins the two:

    MLP(u, i) = relu(W2 relu(W1 [u_mlp; i_mlp] + b1) + b2)
    y(u, i)   = w . [MLP(u, i); u_gmf * i_gmf] + b

Training minimises the squared error on the ratings plus ``weight_decay / 2`` times the sum of squares of all
weights and embeddings (biases are free).
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accent_lib.arguments import number, offers, refused, whole
from accent_lib.errors import AccentError
from accent_lib.models.activation import gelu
from accent_lib.models.given import differentiating
from accent_lib.models.ncf_loops import WIDTH, Loops, cut_normal

#: Draws of the initial parameters are whole numbers below this.
_DRAWS = 2**24


class NCF(nn.Module):
    """NCF on explicit ratings; offers the protocol :class:`~accent_lib.models.Recommender`.

    Parameters
    ----------
    interactions : Interactions
        Training data; the model's *actions* are all rows of ``interactions.train``. Not all of their ratings
        may be the same.
    dim : int
        Width of each of the four embedding tables (even).
    weight_decay : float
        Coefficient of the squared norm, see above.
    activation : callable
        ``torch.relu`` as in the paper; a smooth one such as :func:`~accent_lib.models.gelu` for comparison.
    seed : int
        Of the initial parameters: normal with standard deviation ``1 / sqrt(fan_in)``, cut at two of them.
        They are made of whole numbers, and are the same on every processor.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> model = NCF(data)
    >>> model.n_actions == len(data.train), len(model.block(3)) == 2 * model.dim
    (True, True)
    """

    #: Raised by hand whenever the same data, seed and recipe give other numbers (`tests/test_golden.py`).
    revision = 2

    @differentiating
    def __init__(
        self,
        interactions,
        dim: int = 16,
        weight_decay: float = 1e-3,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        seed: int = 0,
    ):
        offers(
            interactions,
            "interactions",
            "Interactions, as prepare() makes them",
            "train",
            "n_users",
            "n_items",
        )
        dim, seed = whole(dim, "dim", 2, 2**20), whole(seed, "seed", 0, 2**63 - 1)
        weight_decay = number(weight_decay, "weight_decay", 0)
        if dim % 2:
            raise refused(dim, "dim", "even")
        if not callable(activation):
            raise refused(activation, "activation", "a function of tensors, such as torch.relu")
        if interactions.train["rating"].nunique() == 1:
            raise AccentError(
                "Every training rating is the same, so NCF would learn nothing but this number; take RCF, or "
                'a net of your own with sampled negatives by wrap(net, data, loss="bce").'
            )
        super().__init__()
        self.dim, self.activation, self.decay = dim, activation, weight_decay
        self.n_users, self.n_items = interactions.n_users, interactions.n_items
        # Each table holds two embeddings side by side, [MLP | GMF]: a row is the block of one user or item.
        self.user_table = nn.Embedding(self.n_users, 2 * dim)
        self.item_table = nn.Embedding(self.n_items, 2 * dim)
        self.hidden1 = nn.Linear(2 * dim, dim)
        self.hidden2 = nn.Linear(dim, dim // 2)
        self.output = nn.Linear(dim // 2 + dim, 1)
        self._initialise(torch.Generator().manual_seed(seed))

        train = interactions.train
        self.n_actions = len(train)
        self._keep_data("users", torch.tensor(train["user"].to_numpy(), dtype=torch.long))
        self._keep_data("items", torch.tensor(train["item"].to_numpy(), dtype=torch.long))
        self._keep_data("ratings", torch.tensor(train["rating"].to_numpy(), dtype=torch.get_default_dtype()))
        self._keep_data("_by_item", torch.argsort(self.items, stable=True))
        self._starts = np.searchsorted(train["user"].to_numpy(), np.arange(self.n_users + 1))
        self._item_starts = np.searchsorted(self.items[self._by_item].numpy(), np.arange(self.n_items + 1))

    def _initialise(self, generator):
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                else:
                    fan_in = self.dim if "table" in name else parameter.shape[1]
                    draws = torch.randint(_DRAWS, parameter.shape, generator=generator).numpy()
                    normal = cut_normal((draws + 0.5) / _DRAWS)
                    parameter.copy_(torch.from_numpy(normal * (1 / math.sqrt(fan_in))))

    def _keep_data(self, name, tensor):
        # A buffer follows `.double()` and `.to(device)`; not persistent: a checkpoint holds no data.
        self.register_buffer(name, tensor, persistent=False)

    # --- the network

    def rating(self, user_block: Tensor, item_block: Tensor) -> Tensor:
        """Predicted rating from two blocks, ``(..., 2 * dim)`` each (they broadcast), shape ``(...)``."""
        return self._layers(user_block, item_block)[-1]

    def _layers(self, user_block, item_block):
        """Inputs of both hidden layers, and the ratings."""
        (user_mlp, user_gmf), (item_mlp, item_gmf) = (
            block.split(self.dim, -1) for block in (user_block, item_block)
        )
        # Each side by its own weights, so that what is the same in all pairs is computed once.
        of_user, of_item = self.hidden1.weight.split(self.dim, 1)
        of_mlp, of_gmf = self.output.weight[0].split([self.dim // 2, self.dim])
        first = user_mlp @ of_user.T + self.hidden1.bias + item_mlp @ of_item.T
        second = self.hidden2(self.activation(first))
        gmf = (user_gmf * of_gmf * item_gmf).sum(-1)
        return first, second, self.activation(second) @ of_mlp + gmf + self.output.bias[0]

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Predicted ratings of pairs, ``(n,)`` from indices ``(n,)`` and ``(n,)``, on the ratings' scale."""
        return self.rating(self.user_table(users), self.item_table(items))

    # --- actions and candidates

    def action_slice(self, user: int) -> slice:
        """Rows of the training data that are the user's."""
        return slice(int(self._starts[user]), int(self._starts[user + 1]))

    def actions(self, user: int) -> np.ndarray:
        """Items that the user rated in the training data, in time order, shape ``(n_history,)``."""
        return self.items[self.action_slice(user)].cpu().numpy()

    def candidates(self, user: int) -> np.ndarray:
        """Items with a training interaction, but none of the user's own, ascending."""
        known = np.diff(self._item_starts) > 0
        known[self.actions(user)] = False
        return np.flatnonzero(known)

    # --- as a function of one user's block, or of one item's

    def block(self, user: int) -> Tensor:
        """The user's two embeddings, shape ``(2 * dim,)``."""
        return self.user_table.weight[user].detach()

    def scores(self, block: Tensor, user: int, items: Tensor, keep: Tensor | None = None) -> Tensor:
        """Predicted ratings of ``items``, ``(n_items,)``; NCF reads no history, so ``keep`` has no effect."""
        return self.rating(block, self.item_table(items))

    @torch.no_grad()
    def all_scores(self, users: Sequence[int]) -> Iterator[Tensor]:
        """Predicted ratings of all items for each of some users, ``(n_items,)``."""
        (user_mlp, user_gmf), (item_mlp, item_gmf) = (
            table.split(self.dim, -1) for table in (self.user_table.weight[users], self.item_table.weight)
        )
        of_user, of_item = self.hidden1.weight.split(self.dim, 1)
        of_mlp, of_gmf = self.output.weight[0].split([self.dim // 2, self.dim])
        of_users, of_items = user_mlp @ of_user.T + self.hidden1.bias, item_mlp @ of_item.T
        for first, gmf in zip(of_users, user_gmf * of_gmf, strict=True):
            mlp = self.activation(self.hidden2(self.activation(first + of_items)))
            yield mlp @ of_mlp + item_gmf @ gmf + self.output.bias

    def losses(self, block: Tensor, user: int, keep: Tensor | None = None) -> Tensor:
        """Squared error of each of the user's ratings, shape ``(n_history,)``."""
        rows = self.action_slice(user)
        return (self.scores(block, user, self.items[rows]) - self.ratings[rows]) ** 2

    def penalty(self, block: Tensor) -> Tensor:
        """``weight_decay / 2 * block . block``."""
        return 0.5 * self.decay * block.square().sum()

    def item_block(self, item: int) -> Tensor:
        """The item's two embeddings, shape ``(2 * dim,)``."""
        return self.item_table.weight[item].detach()

    def item_losses(self, block: Tensor, item: int) -> Tensor:
        """Squared error of each training rating of the item, shape ``(n_ratings_of_item,)``."""
        rows = self._rows_of(item)
        return (self.rating(self.user_table(self.users[rows]), block) - self.ratings[rows]) ** 2

    def _rows_of(self, item):
        return self._by_item[self._item_starts[item] : self._item_starts[item + 1]]

    def raters(self, item: int) -> Tensor:
        """Users of the item's training ratings, shape ``(n_ratings_of_item,)``."""
        return self.users[self._rows_of(item)]

    def item_scores(self, blocks: Tensor, user: int) -> Tensor:
        """Predicted ratings of items by their ``blocks``, ``(n_items,)`` from ``(n_items, 2 * dim)``."""
        return self.rating(self.user_table.weight[user].detach(), blocks)

    @property
    def slopes(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]] | None:
        """Scores of pairs with their slopes in closed form (see `Recommender`), for ReLU."""
        return self._slopes if self.activation is torch.relu else None

    @torch.no_grad()
    def _slopes(self, users, items):
        user_block, item_block = self.user_table(users), self.item_table(items)
        first, second, scores = self._layers(user_block, item_block)
        of_mlp, of_gmf = self.output.weight[0].split([self.dim // 2, self.dim])
        by_first = ((second > 0) * of_mlp) @ self.hidden2.weight * (first > 0)
        by_user, by_item = (by_first @ self.hidden1.weight).split(self.dim, -1)
        of_user, of_item = (
            (block[..., self.dim :] * of_gmf).expand(by_first.shape) for block in (user_block, item_block)
        )
        return scores, torch.cat([by_user, of_item], -1), torch.cat([by_item, of_user], -1)

    # --- training

    def weight_decay(self) -> dict[str, float]:
        """All weights and embeddings decay, biases do not."""
        return {name: 0.0 if name.endswith("bias") else self.decay for name, _ in self.named_parameters()}

    def batches(self, batch_size: int, generator: torch.Generator | None) -> Iterator[Tensor]:
        """Rows of the training data; an incomplete last batch is dropped."""
        size = min(batch_size, self.n_actions)
        order = torch.arange(self.n_actions)
        if generator is not None:
            order = torch.randperm(self.n_actions, generator=generator)
        order = order.to(self.items.device)
        for start in range(0, self.n_actions - size + 1, size):
            yield order[start : start + size]

    def batch_loss(self, batch: Tensor, keep: Tensor | None = None) -> Tensor:
        """Mean squared error of a batch; removed rows count as zero, so that all worlds share batches."""
        loss = F.mse_loss(self(self.users[batch], self.items[batch]), self.ratings[batch], reduction="none")
        return (loss if keep is None else loss * keep[batch]).mean()

    @property
    def loops(self) -> Loops | None:
        """The faster and exact way of training (see `Recommender`), for ReLU and GELU on a CPU."""
        if self.activation not in (torch.relu, gelu) or self.dim % WIDTH or self.ratings.device.type != "cpu":
            return None
        return Loops(
            *(tensor.numpy() for tensor in (self.users, self.items, self.ratings)),
            ends=np.cumsum([parameter.numel() for parameter in self.parameters()]),
            decays=np.array(list(self.weight_decay().values())),
            shape=(self.n_users, self.n_items, self.dim),
            smooth=self.activation is gelu,
        )

    def data_loss(self, keep: Tensor | None = None) -> Tensor:
        """Mean squared error over all training rows."""
        return self.batch_loss(torch.arange(self.n_actions, device=self.items.device), keep)
