"""RCF on MovieLens 100K: an epoch beside plain tensor code and its bound, and influence with all explainers.

Plain tensor code gathers the projections of each entry of a batch, and lets autograd scatter the gradients
back.  Both compute the same loss and gradients: they must agree on a batch, or the run fails.  The bound is
what a step's multiply-adds, divisions and reads of vectors take where the same processor does nothing else,
on tables that lie in its cache.
"""

import argparse
import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from accent_lib.datasets import load, prepare
from accent_lib.explanations import METHODS, explain_users
from accent_lib.influence import fast_influence
from accent_lib.models import RCF, top_k
from accent_lib.training import State, train
from accent_lib.training.recipes import RCF as RECIPE
from accent_lib.training.recipes import for_epochs
from bench import Machine, write


class Plain(RCF):
    """RCF with its sums over the history in plain tensor code."""

    by_tensors = True


def seconds_a_step(model, steps):
    """Median seconds of an optimiser step."""
    optimizer, times = torch.optim.Adagrad(model.parameters(), RECIPE.learning_rate), []
    batches = model.batches(RECIPE.batch_size, torch.Generator().manual_seed(0))
    for batch, _ in zip(batches, range(steps + 2), strict=False):
        begin = time.perf_counter()
        optimizer.zero_grad()
        model.batch_loss(batch).backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    return float(np.median(times[2:]))  # the first ones compile


def disagreement(model, plain):
    """Largest difference of two models' gradients on a batch, relative to the largest gradient."""
    gradients = []
    for each in (model, plain):
        each.load_state_dict(model.state_dict())
        batch = next(model.batches(64, torch.Generator().manual_seed(1)))
        parts = torch.autograd.grad(each.batch_loss(batch), list(each.parameters()))
        gradients.append(torch.cat([part.flatten() for part in parts]))
    return float((gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max())


def fastest(n_operations, work, *arguments, **options):
    """Seconds of one operation of many, at best."""
    times = []
    for _ in range(200):
        begin = time.perf_counter()
        work(*arguments, **options)
        times.append(time.perf_counter() - begin)
    return min(times) / n_operations


def bound(model, batch):
    """Seconds that a step's arithmetic takes at least on one thread, by kind."""
    entries = model._histories.entries(batch.users, batch.items)
    (n_types, width, dim), n_pairs = model.target_weight.shape, len(batch.users)
    of_types = n_pairs + model.n_items + len(batch.users.unique())
    outputs = of_types * n_types * width + len(model.value_table.weight) * width + n_pairs * dim
    a, b, c = torch.rand(1024, dim), torch.rand(dim, 128), torch.empty(1024, 128)
    x, y = torch.rand(2**13) + 1, torch.rand(2**13)
    table, other = torch.rand(2**16), torch.rand(2**16)
    numbers = len(entries.place) * dim  # of vectors of items, each time one is read
    return {
        # Forward once; back by the inputs and by the parameters; so the sums over histories, too.
        "multiply-adds": 3 * (outputs * dim + numbers) * fastest(a.numel() * 128, torch.mm, a, b, out=c),
        # Each sigmoid forward and back.
        "divisions": 2 * len(entries.place) * width * fastest(len(x), torch.reciprocal, x, out=y),
        # A vector is read forward and back, and its gradient is read and written; so is each in a copy.
        "memory": 4 * numbers * fastest(2 * len(table), other.copy_, table),
    }


def main():
    """Time epochs and explanations, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-100k", help="sample or ml-100k")
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps that are timed")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the model that is explained")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--paper-users", type=int, default=10, help="users explained by the variant paper")
    arguments = parser.parse_args()
    machine = Machine()

    torch.set_flush_denormal(True)
    data = prepare(load(arguments.dataset))
    model, plain = RCF(data), Plain(data)
    worst = disagreement(model, plain)
    if worst > 1e-4:  # single precision, sums in another order
        raise SystemExit(f"The two ways disagree by {worst:.1e} of the largest gradient: no ratio.")
    steps = math.ceil(model.n_actions / RECIPE.batch_size)
    epoch = {}
    for threads in (1, arguments.threads):
        torch.set_num_threads(threads)
        for name, timed in (("compiled", model), ("plain", plain)):
            epoch[f"{name}, {threads} thread(s)"] = steps * seconds_a_step(timed, arguments.steps)

    torch.set_num_threads(1)
    batch = next(model.batches(RECIPE.batch_size, torch.Generator().manual_seed(0)))
    least = {name: steps * seconds for name, seconds in bound(model, batch).items()}
    (state,) = train(model, for_epochs(model, RECIPE, arguments.epochs), [State.of(RCF(data))])
    model = state.into(model).double()
    explain_users("rcf", model, [0], [arguments.k], METHODS, variant="shared")  # compiles
    begin = time.perf_counter()
    with ThreadPoolExecutor(arguments.threads) as executor:
        users = range(model.n_users)
        explain_users("rcf", model, users, [5, 10, arguments.k], METHODS, executor, variant="shared")
    shared = time.perf_counter() - begin
    # Users spread evenly over the lengths of histories stand for all.
    lengths = [len(model.actions(user)) for user in users]
    chosen = np.argsort(lengths)[np.linspace(0, len(lengths) - 1, arguments.paper_users + 2).astype(int)][
        1:-1
    ]
    slates, analysis = {u: top_k(model, u, arguments.k)[0] for u in chosen}, fast_influence(model, "paper")
    begin = time.perf_counter()
    for user in chosen.tolist():
        analysis(user, slates[user])
    each = (time.perf_counter() - begin) / sum(lengths[user] for user in chosen)
    result = {
        "users": model.n_users,
        "k": arguments.k,
        "seconds_an_epoch": epoch,
        "seconds_bound": least,
        "disagreement": worst,
        "methods": list(METHODS),
        "threads": arguments.threads,
        "seconds_shared": shared,
        "paper_users": len(chosen),
        "seconds_paper_one_thread": each * sum(lengths),
    }
    write("rcf", result, machine)
    print(f"RCF on {arguments.dataset}, one epoch ({steps} steps)")
    for name, seconds in epoch.items():
        print(f"  {name}: {seconds:.2f} s")
    ratio = epoch["plain, 1 thread(s)"] / epoch["compiled, 1 thread(s)"]
    print(f"  ratio, one thread each: {ratio:.1f} x (gradients differ by at most {worst:.0e})")
    whole, least_of_all = epoch["compiled, 1 thread(s)"], sum(least.values())
    parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in least.items())
    print(f"  bound: {least_of_all:.2f} s ({parts}); compiled, 1 thread: {whole / least_of_all:.1f} x that")
    print(f"{model.n_users} users x top-{arguments.k}, slates, influence and {len(METHODS)} explainers")
    print(f"  variant shared, {arguments.threads} thread(s): {shared:.1f} s")
    print(
        f"  variant paper, influence alone, one thread: {each * sum(lengths):,.0f} s, estimated from"
        f" {len(chosen)} users"
    )


if __name__ == "__main__":
    main()
