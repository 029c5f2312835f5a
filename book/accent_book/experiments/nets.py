"""Nets as users of the library write them: they know nothing of it."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class BiasedFactors(nn.Module):
    """Matrix factorisation with biases."""

    def __init__(self, data, dim=8):
        super().__init__()
        self.users, self.items = nn.Embedding(data.n_users, dim), nn.Embedding(data.n_items, dim)
        self.user_bias, self.item_bias = nn.Embedding(data.n_users, 1), nn.Embedding(data.n_items, 1)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.3)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)

    def forward(self, users, items):
        """Scores of pairs, ``(n,)``."""
        dot = (self.users(users) * self.items(items)).sum(-1)
        return dot + (self.user_bias(users) + self.item_bias(items)).squeeze(-1)


class TwoTowers(nn.Module):
    """Two multilayer perceptrons with dropout, one for users and one for items, and their inner product."""

    def __init__(self, data, dim=16, dropout=0.2, normed=False):
        super().__init__()
        self.users, self.items = nn.Embedding(data.n_users, dim), nn.Embedding(data.n_items, dim)

        def tower():
            first = [nn.Linear(dim, dim, bias=not normed), *([nn.BatchNorm1d(dim)] if normed else [])]
            return nn.Sequential(*first, nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, dim))

        self.of_users, self.of_items = tower(), tower()
        self.mean = nn.Parameter(torch.tensor(float(data.train["rating"].mean())))

    def forward(self, users, items):
        """Scores of pairs, ``(n,)``."""
        of_users, of_items = self.of_users(self.users(users)), self.of_items(self.items(items))
        return (of_users * of_items).sum(-1) + self.mean


class FactorisationMachine(nn.Module):
    """User, item and the item's genres as features, with all their interactions of the second order."""

    def __init__(self, data, dim=8):
        super().__init__()
        genres = sorted({genre for of_item in data.genres for genre in of_item})
        has = [[genre in of_item for genre in genres] for of_item in data.genres]
        self.register_buffer("has", torch.tensor(has, dtype=torch.get_default_dtype()))
        self.users, self.items = nn.Embedding(data.n_users, dim + 1), nn.Embedding(data.n_items, dim + 1)
        self.genres = nn.Embedding(len(genres), dim + 1)  # a row is [vector, linear weight]
        for table in (self.users, self.items, self.genres):
            nn.init.normal_(table.weight, std=0.1)
        self.mean = nn.Parameter(torch.tensor(float(data.train["rating"].mean())))

    def forward(self, users, items):
        """Scores of pairs, ``(n,)``."""
        has = self.has[items]
        genres = has @ self.genres.weight / has.sum(1, keepdim=True).clamp(min=1)
        parts = torch.stack([self.users(users), self.items(items), genres])
        total, squares = parts.sum(0), (parts**2).sum(0)
        return self.mean + total[:, -1] + (total[:, :-1] ** 2 - squares[:, :-1]).sum(-1) / 2


class LightGCN(nn.Module):
    """Vectors that are averaged over the graph of users and the items that they liked."""

    def __init__(self, data, dim=16, layers=2):
        super().__init__()
        liked, self.layers = data.train[data.train["positive"]], layers
        self.users, self.items = nn.Embedding(data.n_users, dim), nn.Embedding(data.n_items, dim)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)
        self.register_buffer("heads", torch.tensor(liked["user"].to_numpy()))
        self.register_buffer("tails", torch.tensor(liked["item"].to_numpy()))

    def forward(self, users, items, keep):
        """Scores of pairs, ``(n,)``, in a graph with weights of its edges."""
        of_users, of_items = self.users.weight, self.items.weight
        n_users, n_items = (
            table.new_zeros(len(table)).index_add(0, ends, keep).clamp(min=1e-9).rsqrt()
            for table, ends in ((of_users, self.heads), (of_items, self.tails))
        )
        weights = (keep * n_users[self.heads] * n_items[self.tails])[:, None]
        sums = [of_users, of_items]
        for _ in range(self.layers):
            of_users, of_items = (
                torch.zeros_like(of_users).index_add(0, self.heads, weights * of_items[self.tails]),
                torch.zeros_like(of_items).index_add(0, self.tails, weights * of_users[self.heads]),
            )
            sums = [sums[0] + of_users, sums[1] + of_items]
        return (sums[0][users] * sums[1][items]).sum(-1) / (1 + self.layers) ** 2


class Recurrent(nn.Module):
    """A GRU over the last items, and a last layer that turns its state into a user's vector."""

    def __init__(self, data, dim=16):
        super().__init__()
        self.items = nn.Embedding(data.n_items + 1, dim, padding_idx=data.n_items)
        self.gru, self.output = nn.GRU(dim, dim, batch_first=True), nn.Linear(dim, dim)

    def forward(self, histories, items):
        """Scores of items ``(n, m)`` after sequences ``(n, length)``."""
        _, state = self.gru(self.items(histories))
        return (self.output(state[0])[:, None] * self.items(items)).sum(-1)


class SelfAttentive(nn.Module):
    """One head of causal self-attention over the last items (SASRec, small)."""

    def __init__(self, data, dim=16, length=20):
        super().__init__()
        self.padding = data.n_items
        self.items = nn.Embedding(data.n_items + 1, dim, padding_idx=data.n_items)
        self.positions = nn.Embedding(length, dim)
        self.query, self.value, self.output = (nn.Linear(dim, dim) for _ in range(3))
        self.key = nn.Linear(dim, dim, bias=False)  # softmax would not see one
        with torch.no_grad():
            for table in (self.items, self.positions):
                table.weight.mul_(0.1)  # the padding's zeros stay

    def forward(self, histories, items):
        """Scores of items ``(n, m)`` after sequences ``(n, length)``."""
        there = histories != self.padding
        x = self.items(histories) + self.positions.weight[-histories.shape[1] :]
        of_last = (self.query(x[:, -1:]) * self.key(x)).sum(-1) / math.sqrt(x.shape[-1])
        weights = torch.softmax(of_last.masked_fill(~there, -1e9), -1) * there
        read = x[:, -1] * there[:, -1:] + (weights[..., None] * self.value(x)).sum(1)
        user = read + self.output(F.gelu(read))
        return (user[:, None] * self.items(items)).sum(-1)
