"""Influence and explanation of all users on MovieLens 100K, beside the naive way.

The naive way is that of the original Fast Influence Analysis: for each pair of user and item, solve with the
Hessian of the block [user; item] by Newton-CG, every Hessian-vector product a double backward pass over the
points of the two, then one gradient for each action.  Here, one batched backward pass a user gives all.

Both compute the same numbers: with a tight tolerance they must agree on a few pairs, or the run fails.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.optimize import minimize

from accent_lib.datasets import load, prepare
from accent_lib.explanations import explain_users
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, top_k
from accent_lib.training import ANNEALED, State, train
from bench import Machine, write

#: Of the naive solve, as in the original.
TOLERANCE = 1e-3
METHODS_TIMED = ("accent", "fia", "pure_fia")


def naive_influence(model, user, item, damping, tolerance=TOLERANCE):
    """Influence of the user's actions on one score, by Newton-CG on the block [user; item], (n_history,)."""
    rows = torch.cat(
        [
            torch.arange(model.n_actions)[model.action_slice(user)],
            torch.nonzero(model.items == item).flatten(),
        ]
    )
    width = 2 * model.dim
    block = torch.cat([model.block(user), model.item_block(item)]).requires_grad_()

    def losses(block, rows):
        # The points of the user see her block, those of the item see the item's; nothing else moves.
        user_blocks = torch.where(
            (model.users[rows] == user)[:, None], block[:width], model.user_table(model.users[rows]).detach()
        )
        item_blocks = torch.where(
            (model.items[rows] == item)[:, None], block[width:], model.item_table(model.items[rows]).detach()
        )
        return (model.rating(user_blocks, item_blocks) - model.ratings[rows]) ** 2

    def objective(block):
        return losses(block, rows).mean() + model.penalty(block)

    def product(vector):
        (slope,) = torch.autograd.grad(objective(block), block, create_graph=True)
        (result,) = torch.autograd.grad(slope, block, torch.from_numpy(vector))
        return result.numpy() + damping * vector

    score = model.rating(block[:width], block[width:])
    target = torch.autograd.grad(score, block)[0].numpy()
    solved = minimize(
        lambda x: 0.5 * x @ product(x) - target @ x,
        np.zeros_like(target),
        jac=lambda x: product(x) - target,
        hessp=lambda _, p: product(p),
        method="Newton-CG",
        options={"xtol": tolerance},
    ).x
    influence = []
    for row in range(*model.action_slice(user).indices(model.n_actions)):
        point = losses(block, torch.tensor([row])).sum() + model.penalty(block)
        (gradient,) = torch.autograd.grad(point, block)
        influence.append(-float(gradient.numpy() @ solved) / len(rows))
    return np.array(influence)


def main():
    """Time both ways and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-100k", help="sample or ml-100k")
    parser.add_argument(
        "--pairs", type=int, default=20, help="pairs of user and item that the naive way explains"
    )
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    machine = Machine()

    data = prepare(load(arguments.dataset))
    model = NCF(data)
    (state,) = train(model, ANNEALED, [State.of(model)])
    model = state.into(model).double()
    users = range(model.n_users)
    slates = [top_k(model, user, arguments.k) for user in users]

    torch.set_num_threads(
        1
    )  # the tensors are small: threads over users help, threads within an operation do not
    seconds = {}
    for threads in (1, arguments.threads):
        times = []
        for _ in range(arguments.repeats):
            begin = time.perf_counter()
            with ThreadPoolExecutor(threads) as executor:
                explain_users("ncf", model, users, [arguments.k], METHODS_TIMED, executor, variant="paper")
            times.append(time.perf_counter() - begin)
        seconds[threads] = float(np.median(times))
    analysis = fast_influence(model, "paper")

    row = arguments.k // 2
    chosen = np.random.default_rng(0).choice(model.n_users, arguments.pairs, replace=False).tolist()
    begin = time.perf_counter()
    for user in chosen:
        naive_influence(model, user, int(slates[user][0][row]), analysis.damping)
    per_pair = (time.perf_counter() - begin) / arguments.pairs
    worst = 0.0
    for user in chosen[:3]:
        naive = naive_influence(model, user, int(slates[user][0][row]), analysis.damping, 1e-8)
        exact = analysis(user, slates[user][0]).influence[row]
        worst = max(worst, float(np.abs(naive - exact).max() / np.abs(exact).max()))
    if worst > 1e-4:
        raise SystemExit(
            f"The two ways disagree by {worst:.1e} of the largest influence: the ratio means nothing."
        )

    pairs = model.n_users * arguments.k
    result = {
        "users": model.n_users,
        "k": arguments.k,
        "methods": METHODS_TIMED,
        "threads": arguments.threads,
        "seconds": seconds[arguments.threads],
        "seconds_one_thread": seconds[1],
        "naive_seconds_per_pair": per_pair,
        "naive_seconds_for_all_pairs": per_pair * pairs,
        "ratio": per_pair * pairs / seconds[1],
        "largest_disagreement": worst,
    }
    write("influence", result, machine)
    print(f"{model.n_users} users x top-{arguments.k} x {len(METHODS_TIMED)} methods on {arguments.dataset}")
    for threads, taken in seconds.items():
        print(f"  slates, influence and explanations, {threads} thread(s): {taken:.2f} s")
    print(f"  naive, influence alone: {per_pair:.3f} s a pair, {per_pair * pairs:,.0f} s for all")
    print(f"  ratio, one thread each: {result['ratio']:,.0f} x (disagreement at most {worst:.1e})")


if __name__ == "__main__":
    main()
