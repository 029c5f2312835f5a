"""Five nets of one's own, wrapped, explained and verified on the sample.

``python -m accent_book.experiments.own_nets`` takes 20 users and explains each by ACCENT and by a random set
of the same size; both are verified in an order of the batches that training had not seen.  The table goes to
``data/results/own-nets.csv``.  Recipes have no part in that: ``--choose`` tries those of `GRID` for each net.
Of those that ``check`` has nothing to say about, the best has the lowest error on held-out ratings; or, of a
net without ratings, the most pairs in order of a held-out liked item and one without an interaction, the
latter drawn as often as it is liked, so that popularity alone earns nothing.
"""

import argparse
import copy
import itertools
import time
import warnings

import numpy as np
import pandas as pd
import torch
from torch import nn

import accent_lib as al
from accent_book import runs
from accent_book.experiments.command import write_about, write_table
from accent_book.experiments.nets import (
    BiasedFactors,
    FactorisationMachine,
    LightGCN,
    SelfAttentive,
    TwoTowers,
)
from accent_book.figures.tables import held_by_net
from accent_book.runs.notebooks import read_json
from accent_lib.datasets import load, prepare
from accent_lib.front.verified import FIRST_ORDER, put
from accent_lib.retraining.engine import observe, run_stack
from accent_lib.retraining.worlds import World, world_of
from accent_lib.training import Recipe

#: Size of slates, users, and what the users are drawn from.
K, USERS, SEED = 5, 20, 16
#: Worlds that are trained together, the control in front.
STACK = 21
METHODS = ["accent", "random"]
#: Weight decay, as a number of actions, and steps.
GRID = list(itertools.product((1, 4), (150, 300, 600)))


def seeded(net: type[nn.Module], data, **options) -> nn.Module:
    """A net with initial parameters of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return net(data, **options)


def annealed(steps: int) -> Recipe:
    """Adam at a rate that falls to zero."""
    return Recipe(steps, 0.02, "linear", batch_size=256)


def factors(data, decay=1, steps=600):
    """Biased matrix factorisation by BCE, with sampled negatives."""
    net, how = seeded(BiasedFactors, data), annealed(steps)
    decay = decay / data.train["positive"].sum()
    own = ["users.weight", "user_bias.weight"]
    return al.wrap(net, data, own, "bce", weight_decay=decay, recipe=how)


def towers(data, decay=4, steps=600):
    """Two towers with dropout, trained by :class:`OwnTraining`."""
    net, decay = seeded(TwoTowers, data, dropout=0.1), decay / len(data.train)
    fit = OwnTraining(net, data, decay, steps)
    how = {"weight_decay": {"users.weight": decay}, "fit": fit}
    return al.wrap(net, data, "users.weight", **how)


def machine(data, decay=4, steps=600):
    """A factorisation machine by squared error on ratings."""
    net, how = seeded(FactorisationMachine, data), annealed(steps)
    decay = decay / len(data.train)
    return al.wrap(net, data, "users.weight", weight_decay=decay, recipe=how)


def graph(data, decay=1, steps=600):
    """LightGCN, of one layer, by BPR."""
    net, how = seeded(LightGCN, data, layers=1), annealed(steps)
    decay = decay / data.train["positive"].sum()
    own, loss = "users.weight", "bpr"
    return al.wrap(net, data, own, loss, weight_decay=decay, recipe=how)


def attentive(data, decay=1, steps=600):
    """A small SASRec by BPR."""
    net, how = seeded(SelfAttentive, data), annealed(steps)
    decay = decay / data.train["positive"].sum()
    how = {"recipe": how, "length": 20, "weight_decay": decay}
    return al.wrap(net, data, None, "bpr", block="output.weight", **how)


NETS = {each.__name__: each for each in (factors, towers, machine, graph, attentive)}


class OwnTraining:
    """Somebody's loop: AdamW, and a penalty of its own on the vectors of users."""

    def __init__(self, net, data, decay, steps):
        self.net, self.decay, self.steps = copy.deepcopy(net), decay, steps
        self.users, self.items = (torch.tensor(data.train[name].to_numpy()) for name in ("user", "item"))
        self.ratings = torch.tensor(data.train["rating"].to_numpy(), dtype=torch.float32)

    def __call__(self, keep, seed):
        """Train anew, with actions weighted by ``keep``."""
        net, keep = copy.deepcopy(self.net).train(), torch.tensor(keep, dtype=torch.float32)
        of_users = net.users.weight
        others = [value for value in net.parameters() if value is not of_users]
        groups = [{"params": [of_users], "weight_decay": 0.0}, {"params": others, "weight_decay": 0.01}]
        optimizer = torch.optim.AdamW(groups, lr=0.02)
        rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.001, self.steps)
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # of batches and dropout
            for _ in range(self.steps):
                rows = torch.randint(len(keep), (256,))
                errors = (net(self.users[rows], self.items[rows]) - self.ratings[rows]) ** 2
                loss = (keep[rows] * errors).mean() + self.decay / 2 * of_users.square().sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                rate.step()
        return net.eval()


def in_order(model) -> float:
    """Share of the pairs of a held-out liked item and one without an interaction that scores put in order."""
    train, test, network, shares = model.data.train, model.data.test, model.network, []
    likes = np.bincount(train["item"][train["positive"]], minlength=model.data.n_items)
    for user, own in test.groupby("user"):
        others = np.setdiff1d(network.candidates(user), own["item"])
        block, liked = network.block(user), own.loc[own["positive"], "item"].to_numpy()
        with torch.no_grad():
            good, bad = (network.scores(block, user, torch.tensor(items)) for items in (liked, others))
        before = (good[:, None] > bad).numpy()
        shares.extend(np.average(before, axis=1, weights=likes[others]).tolist())
    return float(np.mean(shares))


def choose(data, names) -> None:
    """Print how each recipe of the grid does."""
    for name in names:
        for decay, steps in GRID:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they are printed
                model = NETS[name](data, decay, steps).fit()
            quality = model.facts.get("held_out_rmse") or in_order(model)
            print(f"{name:10} {decay} {steps:4} {quality:.4f}", *al.check(model), flush=True)


def users_of(data) -> list[int]:
    """Positions of the users, who have no part in the choice of a recipe."""
    return sorted(np.random.default_rng(SEED).choice(data.n_users, USERS, replace=False).tolist())


def outcomes_of(model, worlds, slates):
    """What training anew shows in each world, and of all users in the control, in an unseen order."""
    network = model.network
    if model.own_fit is not None:
        for world in [World(), *worlds]:
            trained = put(model.own_fit(world.keep(network), FIRST_ORDER), network)
            yield from observe(trained, world, world.users or slates, slates)
        return
    for first in range(0, len(worlds), STACK - 1):
        stack = [World(), *worlds[first : first + STACK - 1]]
        controlled = () if first else slates
        yield from run_stack(
            network, model.setting.retraining, model.start, stack, slates, FIRST_ORDER, controlled
        )


def table_of(name: str, model) -> pd.DataFrame:
    """One row for each user and method: size of the set, what is left of the gap without it, what of it in
    the control, and whether the set held (where there is none, it did not) and the replacement led.
    """
    data, rows = model.data, []
    users = data.user_ids[users_of(data)]
    explained = [al.explain(model, user, K, method) for user in users for method in METHODS]
    closeups = [explanation.closeup for explanation in explained]
    worlds = [world_of(each.user, each.explanation.removed) for each in closeups if each.explanation]
    slates = {each.user: each.items for each in closeups}
    outcomes = {
        (each.world, each.user): each for each in outcomes_of(model, list(dict.fromkeys(worlds)), slates)
    }
    for explanation, seen in zip(explained, closeups, strict=True):
        row = {"net": name, "user": explanation.user, "method": explanation.method, "size": 0}
        row |= {"gap": np.nan, "control_gap": np.nan, "held": False, "led": False}
        if explanation.found:
            world, control = (
                outcomes[key, seen.user] for key in (world_of(seen.user, seen.explanation.removed).key, "")
            )
            row["size"], row["led"] = len(explanation.removed), world.top == seen.items[seen.rival]
            row["gap"], row["control_gap"] = (
                each.scores[0] - each.scores[seen.rival] for each in (world, control)
            )
            row["held"] = row["gap"] < 0
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Fit, explain and verify each net, and put it into the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", action="append", choices=list(NETS), help="default: all")
    parser.add_argument("--choose", action="store_true", help="compare recipes instead")
    arguments = parser.parse_args()
    names = arguments.net or list(NETS)
    torch.set_num_threads(1)
    data, path = prepare(load("sample")), runs.results_folder() / "own-nets.csv"
    about = read_json(path.with_suffix(".json")) or {}
    facts = {"k": K, "users_seed": SEED, "order": FIRST_ORDER, "nets": about.get("nets", {})}
    if arguments.choose:
        return choose(data, names)
    for name in names:
        begin = time.thread_time()
        model = NETS[name](data).fit()
        told = al.check(model)
        tables = {name: table_of(name, model)}
        if path.exists():
            tables = dict(list(pd.read_csv(path).groupby("net"))) | tables
        table = pd.concat([tables[each] for each in NETS if each in tables])
        write_table(path, table)
        seconds = round(time.thread_time() - begin, 1)
        facts["nets"][name] = {"check": told, "seconds": seconds, **model.facts}
        write_about(path.with_suffix(".json"), facts)
        print(held_by_net(table).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
