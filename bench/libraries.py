"""Influence by public libraries and by Newton-CG, beside this one: the same block, Hessian and numbers.

Both of NCF's problems can be stated for a library that takes a module and losses: the module's only parameter
is the block that may move, and there are losses of all points for the Hessian, of each action, and a score.

``objective``
    The block is the user's.  The loss is ``1/N`` times the sum of squared errors; weight decay and damping
    are the regularisation.  All items of a slate share one call, hence one Hessian.
``paper``
    The block is [user; item], so each item is a problem of its own.  The loss is the mean over the points of
    both, plus the penalty, which thus counts with every removed point; the result is divided by their number.

dattri 0.3 takes ``loss_func``, ``target_func`` for the scores, and ``regularization`` for the diagonal.  Its
conjugate gradients run a fixed number of steps; they are timed, too, with their error.  pyDVL 0.10 takes one
loss for actions and targets alike: so the module returns losses and scores itself, by a column of the data
that tells which is asked for, and the loss hands them on.  The plain way is that of the original Fast
Influence Analysis, `bench.influence.naive_influence`.

Every number must agree, or the run fails.  In favour of the libraries all other parameters are frozen,
embeddings that do not move are looked up beforehand, and no progress bars are drawn.  RCF is left out: its
scores and its Hessian change with each action that leaves the history, which would take a task of a library
for each action, and the moved block is put into the model again, which takes more than the inner product
that a library returns.

A library that is not installed is left out; CONTRIBUTING.md tells how to install both beside the project.
"""

import argparse
import sys
import time
import warnings
from functools import partial
from importlib import metadata

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from accent_lib.datasets import load, prepare
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, top_k
from accent_lib.training import ANNEALED, State, train
from bench import REPEATS, Machine, ratio, write
from bench.influence import naive_influence

try:
    from dattri.algorithm import base
    from dattri.algorithm.influence_function import IFAttributorCG, IFAttributorExplicit
    from dattri.task import AttributionTask
except ModuleNotFoundError:
    base = None
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        from pydvl.influence.torch import DirectInfluence
except ModuleNotFoundError:
    DirectInfluence = None

#: Steps of conjugate gradients: dattri's default, and as many as a user's block has numbers.
CG_STEPS = (10, 32)


class Block(nn.Module):
    """All that may move."""

    def __init__(self, values):
        super().__init__()
        self.block = nn.Parameter(values.clone())


def by_dattri(solver, block, loss, score, points, actions, targets, regularization):
    """Ask dattri for ``- gradient of an action . inverse Hessian . gradient of a score``.

    Parameters
    ----------
    solver : type or callable
        Makes an attributor of dattri.
    block : Tensor, shape (p,)
    loss, score : callable
        Of a block and data, a scalar.
    points, actions, targets : tuple of Tensor
        Data of the Hessian, of the actions and of the scores, row by row.
    regularization : float

    Returns
    -------
    ndarray, shape (n_targets, n_actions)
        The minus makes it the drop when an action leaves; dattri's sign is that of one added.
    """

    def by_name(function):
        return lambda parameters, data: function(parameters["block"], *data)

    def loader(tensors):
        return DataLoader(TensorDataset(*tensors), batch_size=len(tensors[0]))

    module = Block(block)
    task = AttributionTask(by_name(loss), module, module.state_dict(), target_func=by_name(score))
    attributor = solver(task, regularization=regularization)
    attributor.cache(loader(points))
    return -attributor.attribute(loader(actions), loader(targets)).detach().numpy().T


class Either(Block):
    """A row's loss, or its score where the last column of the rows says so."""

    def __init__(self, values, loss, score, points, n_target_columns):
        super().__init__(values)
        self.loss, self.score, self.points, self.n_target_columns = loss, score, points, n_target_columns

    def forward(self, rows):
        """One number for all rows."""
        *columns, is_score = rows.split([*(tensor[0].numel() for tensor in self.points), 1], -1)
        pairs = zip(columns, self.points, strict=True)
        columns = [column.reshape(-1, *like.shape[1:]).to(like.dtype) for column, like in pairs]
        share = is_score.mean()  # pyDVL asks for losses alone or for one row
        score = self.score(self.block, *columns[: self.n_target_columns])
        return (1 - share) * self.loss(self.block, *columns) + share * score


def by_pydvl(block, loss, score, points, actions, targets, regularization):
    """As `by_dattri`, by pyDVL's `DirectInfluence`."""

    def rows(tensors, is_score):
        columns = [tensor.reshape(len(tensor), -1).to(block.dtype) for tensor in tensors]
        filled = torch.zeros(len(columns[0]), width + 1, dtype=block.dtype)
        filled[:, : sum(column.shape[1] for column in columns)] = torch.cat(columns, -1)
        filled[:, -1] = is_score
        return filled, filled[:, :1]  # the second one stands for labels

    width = sum(tensor[0].numel() for tensor in points)
    module = Either(block, loss, score, points, len(targets))
    solver = DirectInfluence(module, lambda value, _: value, regularization=regularization)
    solver.fit(DataLoader(TensorDataset(*rows(points, 0)), batch_size=len(points[0])))
    return -solver.influences(*rows(targets, 1), *rows(actions, 0)).detach().numpy()


def objective(model, damping, user, items, attribute):
    """Influence of the variant ``objective`` by a library, ``(n_items, n_history)``."""
    rows, table = model.action_slice(user), model.item_table.weight.detach()

    def loss(block, item_blocks, ratings):
        return (model.rating(block, item_blocks) - ratings).square().sum() / model.n_actions

    def score(block, item_blocks):
        return model.rating(block, item_blocks).sum()  # a library gives it one item at a time

    actions, targets = (table[model.items[rows]], model.ratings[rows]), (table[items],)
    block, diagonal = model.block(user), model.decay + damping
    return attribute(block, loss, score, actions, actions, targets, diagonal)


def paper(model, damping, user, items, attribute):
    """Influence of the variant ``paper`` by a library, ``(n_items, n_history)``."""
    user_table, item_table = model.user_table.weight.detach(), model.item_table.weight.detach()
    of_user = torch.arange(model.n_actions)[model.action_slice(user)]
    influences = []
    for item in items.tolist():
        rows = torch.cat([of_user, torch.nonzero(model.items == item).flatten()])
        moves_item = (model.items[rows] == item)[:, None]  # no point has both: the item is a candidate
        others = torch.where(moves_item, user_table[model.users[rows]], item_table[model.items[rows]])

        def loss(block, moves_item, others, ratings):
            user_block, item_block = block.chunk(2)
            user_blocks = torch.where(moves_item, others, user_block)
            item_blocks = torch.where(moves_item, item_block, others)
            errors = model.rating(user_blocks, item_blocks) - ratings
            return errors.square().mean() + model.penalty(block)

        def score(block, _):
            return model.rating(*block.chunk(2))

        points, n = (moves_item, others, model.ratings[rows]), len(rows)
        actions, target = tuple(column[: len(of_user)] for column in points), (torch.zeros(1, 1),)
        block = torch.cat([model.block(user), model.item_block(item)])
        influences.append(attribute(block, loss, score, points, actions, target, damping) / n)
    return np.concatenate(influences)


def newton_cg(model, damping, user, items):
    """Influence of the variant ``paper`` on two items of the slate, ``(2, n_history)``; more take long."""
    return np.stack([naive_influence(model, user, item, damping) for item in items[:2].tolist()])


def compare(problem, model, users, k, repeats, libraries):
    """Time this library and others on the slates of some users.

    Returns
    -------
    list of dict
        One record for each way: ``problem``, ``way``, ``ms_user``, ``ratio`` to this library and its
        ``spread``, and ``largest_disagreement`` with it, relative to the user's largest influence.
    """
    slates = {user: torch.tensor(top_k(model, user, k)[0]) for user in users}
    taken, errors = {}, {}
    for _ in range(repeats):
        analysis = fast_influence(model, problem.__name__)  # anew, because it remembers items
        ways = {"this library": lambda user, items, analysis=analysis: analysis(user, items).influence}
        for name, attribute in libraries.items():
            ways[name] = partial(problem, model, analysis.damping, attribute=attribute)
        if problem is paper:
            ways["Newton-CG"] = partial(newton_cg, model, analysis.damping)
        seconds = dict.fromkeys(ways, 0.0)
        for user, items in slates.items():
            influences = {}
            for way, influence in ways.items():
                begin = time.perf_counter()
                influences[way] = influence(user, items)
                each = (time.perf_counter() - begin) / len(influences[way])
                seconds[way] += each * k
            ours = influences["this library"]
            for way in ways:
                apart = np.abs(influences[way] - ours[: len(influences[way])]).max()
                errors.setdefault(way, []).append(apart / np.abs(ours).max())
        for way in ways:
            taken.setdefault(way, []).append(1e3 * seconds[way] / len(slates))
    return [
        {
            "problem": problem.__name__,
            "way": way,
            "users": len(slates),
            "threads": 1,
            "ms_user": float(np.median(taken[way])),
            **ratio(taken[way], taken["this library"]),
            "largest_disagreement": float(np.max(errors[way])),
        }
        for way in taken
    ]


def main():
    """Check that all numbers agree, time all ways on the same users, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-100k", help="sample or ml-100k")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--paper-users", type=int, default=10, help="of these, for the slower problem")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="turns")
    arguments = parser.parse_args()
    exact, steps, versions = {}, {}, {}
    if base is not None:
        base.tqdm = lambda batches, **_: batches
        exact["dattri, exact"] = partial(by_dattri, IFAttributorExplicit)
        for number in CG_STEPS:
            solver = partial(IFAttributorCG, max_iter=number)
            steps[f"dattri, {number} CG steps"] = partial(by_dattri, solver)
        versions["dattri"] = metadata.version("dattri")
    if DirectInfluence is not None:
        exact["pyDVL, exact"] = by_pydvl
        versions["pyDVL"] = metadata.version("pyDVL")
    for library in {"dattri", "pyDVL"} - set(versions):
        print(
            f"{library} is not installed and left out: CONTRIBUTING.md tells how to add it.", file=sys.stderr
        )

    machine = Machine()
    torch.set_num_threads(1)
    data = prepare(load(arguments.dataset))
    model = NCF(data)
    (state,) = train(model, ANNEALED, [State.of(model)])
    torch.set_default_dtype(torch.float64)  # of the tables that dattri makes
    model = state.into(model).double().requires_grad_(False)  # all but the block

    users = np.random.default_rng(0).permutation(model.n_users)[: arguments.users].tolist()
    records = compare(objective, model, users, arguments.k, arguments.repeats, exact | steps)
    records += compare(paper, model, users[: arguments.paper_users], arguments.k, arguments.repeats, exact)
    worst = np.max([0.0, *(r["largest_disagreement"] for r in records if r["way"] in exact)])
    if not worst <= 1e-8:  # nor NaN
        raise SystemExit(
            f"The ways disagree by {worst:.1e} of the largest influence: the ratio means nothing."
        )

    result = {"dataset": arguments.dataset, "k": arguments.k, "repeats": arguments.repeats}
    write("libraries", result | {"records": records}, machine, libraries=versions)
    print(f"Influence of all actions on the top-{arguments.k} of {arguments.dataset}, one thread")
    for r in records:
        low, high = r["spread"]
        print(
            f"  {r['problem']:9} {r['way']:19} {r['ms_user']:8.2f} ms a user,"
            f" {r['ratio']:6.1f} x ({low:.1f} to {high:.1f}; disagreement at most"
            f" {r['largest_disagreement']:.0e})"
        )


if __name__ == "__main__":
    main()
