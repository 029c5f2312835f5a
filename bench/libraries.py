"""Influence by a public library, dattri, beside this one: the same block, the same Hessian, the same numbers.

dattri 0.3 can state both of NCF's problems: a module whose only parameter is the block that may move,
``loss_func`` for the Hessian (of all points at once) and for the actions (of each alone), ``target_func`` for
the scores, ``regularization`` for the diagonal.

``objective``
    The block is the user's.  The loss is ``1/N`` times the sum of squared errors; weight decay and damping
    are the regularisation.  All items of a slate share one call, hence one Hessian.
``paper``
    The block is [user; item], so each item is a problem of its own.  The loss is the mean over the points of
    both, plus the penalty, which thus counts with every removed point; the result is divided by their number.

Every number must agree, or the run fails.  dattri's conjugate gradients run a fixed number of steps; they are
timed, too, with their error.  In dattri's favour all other parameters are frozen, embeddings that do not move
are looked up beforehand, and no progress bars are drawn.  RCF is left out: its scores and its Hessian change
with each action that leaves the history, which would take a task of dattri for each action, and the moved
block is put into the model again, which takes more than the inner product that dattri returns.

The other candidate was pyDVL.  Its ``DirectInfluence`` takes one loss for actions and targets alike, so a
score would have to be dressed up as a loss; and its latest release, 0.10.0, needs NumPy below 2, which this
project does not run on.
"""

import argparse
import json
import time
from functools import partial
from importlib import metadata

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from accent_book.runs import runs_folder
from accent_lib.datasets import load, prepare
from accent_lib.files import atomic
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, top_k
from accent_lib.provenance import provenance
from accent_lib.training import ANNEALED, State, train

try:
    from dattri.algorithm import base
    from dattri.algorithm.influence_function import IFAttributorCG, IFAttributorExplicit
    from dattri.task import AttributionTask
except ModuleNotFoundError:
    base = None

#: Steps of conjugate gradients: dattri's default, and as many as a user's block has numbers.
CG_STEPS = (10, 32)


class Block(nn.Module):
    """All that may move."""

    def __init__(self, values):
        super().__init__()
        self.block = nn.Parameter(values.clone())


def attribute(block, loss, score, points, actions, targets, solver, regularization):
    """Ask dattri for ``- gradient of an action . inverse Hessian . gradient of a score``.

    Parameters
    ----------
    block : Tensor, shape (p,)
    loss, score : callable
        Of a block and data, a scalar.
    points, actions, targets : tuple of Tensor
        Data of the Hessian, of the actions and of the scores, row by row.
    solver : type or callable
        Makes an attributor of dattri.
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


def objective(model, damping, user, items, solver):
    """Influence of the variant ``objective`` by dattri, ``(n_items, n_history)``."""
    rows, table = model.action_slice(user), model.item_table.weight.detach()

    def loss(block, item_blocks, ratings):
        return (model.rating(block, item_blocks) - ratings).square().sum() / model.n_actions

    def score(block, item_blocks):
        return model.rating(block, item_blocks).sum()  # dattri gives it one item at a time

    actions, targets = (table[model.items[rows]], model.ratings[rows]), (table[items],)
    block, diagonal = model.block(user), model.decay + damping
    return attribute(block, loss, score, actions, actions, targets, solver, diagonal)


def paper(model, damping, user, items, solver):
    """Influence of the variant ``paper`` by dattri, ``(n_items, n_history)``."""
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
        influences.append(attribute(block, loss, score, points, actions, target, solver, damping) / n)
    return np.concatenate(influences)


def compare(problem, model, users, k, repeats, solvers):
    """Time this library and dattri on the slates of some users.

    Returns
    -------
    list of dict
        One record for each way: ``problem``, ``way``, ``ms_user``, ``ratio`` to this library, and
        ``largest_disagreement`` with it, relative to the user's largest influence.
    """
    slates = {user: torch.tensor(top_k(model, user, k)[0]) for user in users}
    taken, errors = {}, {}
    for _ in range(repeats):
        analysis = fast_influence(model, problem.__name__)  # anew, because it remembers items
        ways = {"this library": lambda user, items, analysis=analysis: analysis(user, items).influence}
        for name, solver in solvers.items():
            ways[f"dattri, {name}"] = partial(problem, model, analysis.damping, solver=solver)
        seconds = dict.fromkeys(ways, 0.0)
        for user, items in slates.items():
            influences = {}
            for way, influence in ways.items():
                begin = time.perf_counter()
                influences[way] = influence(user, items)
                seconds[way] += time.perf_counter() - begin
            ours = influences["this library"]
            for way in ways:
                errors.setdefault(way, []).append(np.abs(influences[way] - ours).max() / np.abs(ours).max())
        for way in ways:
            taken.setdefault(way, []).append(1e3 * seconds[way] / len(slates))
    return [
        {
            "problem": problem.__name__,
            "way": way,
            "users": len(slates),
            "ms_user": float(np.median(taken[way])),
            "ratio": float(np.median(taken[way]) / np.median(taken["this library"])),
            "largest_disagreement": float(np.max(errors[way])),
        }
        for way in taken
    ]


def main():
    """Check that all numbers agree, time both libraries on the same users, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-100k", help="sample or ml-100k")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--paper-users", type=int, default=20, help="of these, for the slower problem")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if base is None:
        print("Skipped: this compares with the library dattri (pip install 'dattri>=0.3').")
        return
    base.tqdm = lambda batches, **_: batches

    torch.set_num_threads(1)
    data = prepare(load(arguments.dataset))
    model = NCF(data)
    (state,) = train(model, ANNEALED, [State.of(model)])
    torch.set_default_dtype(torch.float64)  # of the tables that dattri makes
    model = state.into(model).double().requires_grad_(False)  # all but the block

    users = np.random.default_rng(0).permutation(model.n_users)[: arguments.users].tolist()
    exact = {"exact": IFAttributorExplicit}
    steps = {f"{steps} CG steps": partial(IFAttributorCG, max_iter=steps) for steps in CG_STEPS}
    records = compare(objective, model, users, arguments.k, arguments.repeats, exact | steps)
    records += compare(paper, model, users[: arguments.paper_users], arguments.k, arguments.repeats, exact)
    worst = np.max([r["largest_disagreement"] for r in records if r["way"] == "dattri, exact"])
    if not worst <= 1e-8:  # nor NaN
        raise SystemExit(
            f"The two disagree by {worst:.1e} of the largest influence: the ratio means nothing."
        )

    result = {
        "dataset": arguments.dataset,
        "k": arguments.k,
        "records": records,
        "provenance": provenance(dattri=metadata.version("dattri")),
    }
    with atomic(runs_folder() / "bench" / "libraries.json") as path:
        path.write_text(json.dumps(result, indent=1, default=str))
    print(f"Influence of all actions on the top-{arguments.k} of {arguments.dataset}, one thread")
    for r in records:
        print(
            f"  {r['problem']:9} {r['way']:19} {r['ms_user']:8.2f} ms a user, {r['ratio']:6.1f} x"
            f" (disagreement at most {r['largest_disagreement']:.0e})"
        )


if __name__ == "__main__":
    main()
