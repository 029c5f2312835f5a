"""Retraining many worlds at once, beside one model at a time: seconds a step for each model.

One model at a time is the loop that everybody writes: a forward pass, ``backward()``, a step of torch's
optimiser (the fused one, as in the library, so that no ratio comes from there).  `torch.compile` makes that
faster, where it finds a compiler.  The library trains a stack of copies, with loops of its own where the
model has them (NCF) and by ``torch.vmap`` where it has not.  All see the same batches, and in each world
other actions weigh zero.

The loops of NCF give the same bytes on every processor.  What that costs is told by the same loops with the
order of additions left to the compiler, and, with ``--loops-of``, by those of an earlier commit.  How far
they are from the least time that the machine allows, `bench/bound.py` computes.

All compute the same: after some steps in double precision the parameters must agree, or the run fails.
"""

import argparse
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from accent_lib.datasets import load, prepare
from accent_lib.models import NCF, RCF, gelu, ncf_loops
from accent_lib.training import ANNEALED, Recipe, State, recipes, train
from bench import REPEATS, Machine, in_turns, ratio, write
from bench.bound import least_time
from bench.rcf import Plain

#: Of NCF's worlds in the book, which start where the base model ended.
WARM = Recipe(steps=4_000, learning_rate=1e-3, schedule="linear")
#: NCF's loops: name, copies and threads.
LOOPS = ("stack, own loops", 16, 1)


class ByVmap(NCF):
    """NCF without loops of its own."""

    loops = None


class Compiled(NCF):
    """NCF whose loss and gradient `torch.compile` makes one function each."""

    def __init__(self, data):
        super().__init__(data)
        self.batch_loss = torch.compile(super().batch_loss)


def with_other_loops(name, source):
    """NCF whose loops are compiled from another source."""
    module = types.ModuleType(name)
    sys.modules[name] = module  # dataclasses look their module up
    exec(compile(source.replace("cache=True", "cache=False"), name, "exec"), vars(module))

    class Other(NCF):
        @property
        def loops(self):
            return module.Loops(**vars(super().loops))

    return Other


def reordered():
    """NCF with loops whose sums the compiler may take in any order, and fuse with products."""
    free = 'njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model'
    source = Path(ncf_loops.__file__).read_text("utf-8")
    assert "njit(error_model" in source
    return with_other_loops("reordered", source.replace("njit(error_model", free))


def of_commit(commit):
    """NCF with the loops of an earlier commit."""
    command = ["git", "show", f"{commit}:accent_lib/models/ncf_loops.py"]
    source = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return with_other_loops("earlier", source)


def one_at_a_time(model, recipe, states, keep):
    """As :func:`accent_lib.training.train`, one plain loop after the other."""
    return [_train_one(model, recipe, state, weights) for state, weights in zip(states, keep, strict=True)]


def _train_one(model, recipe, state, keep):
    parameters = dict(state.into(model).named_parameters())
    decays = model.weight_decay()
    groups = [
        {"params": [parameters[name] for name in decays if decays[name] == decay], "weight_decay": decay}
        for decay in set(decays.values())
    ]
    if recipe.optimizer == "adam":
        optimizer = torch.optim.Adam(groups, fused=True)
    else:
        optimizer = torch.optim.Adagrad(groups, initial_accumulator_value=1e-8)
    for name, moments in state.moments.items():
        optimizer.state[parameters[name]] = {key: value.clone() for key, value in moments.items()}
    model.train()
    generator, step = torch.Generator().manual_seed(0), 0
    while step < recipe.steps:
        for batch in model.batches(recipe.batch_size, generator):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            optimizer.zero_grad()
            model.batch_loss(batch, keep).backward()
            optimizer.step()
            step += 1
            if step == recipe.steps:
                break
    return State.of(model)


def worlds(model, copies):
    """Weights of all actions in worlds, (copies, n_actions): in world c, but for c = 0, user c loses some."""
    keep = torch.ones(copies, model.n_actions, dtype=next(model.parameters()).dtype)
    for copy in range(1, copies):
        first = model.action_slice(copy % model.n_users).start
        keep[copy, first : first + 5] = 0
    return keep


def disagreement(subject):
    """Largest difference of a parameter between one at a time and the other ways, in double precision."""
    state = State(
        {name: value.double() for name, value in subject.state.parameters.items()},
        {  # the count of steps stays as torch keeps it
            name: {key: value.double() if value.dim() else value for key, value in moments.items()}
            for name, moments in subject.state.moments.items()
        },
    )
    recipe, ends = replace(subject.recipe, steps=subject.checked), []
    for run, model in {name: (run, model) for name, run, model, _, _ in subject.ways}.values():
        model.double()
        trained = run(model, recipe, [state] * 3, keep=worlds(model, 3))
        ends.append(torch.stack([torch.cat([p.flatten() for p in s.parameters.values()]) for s in trained]))
        model.float()
    return float(torch.stack([(end - ends[0]).abs().max() for end in ends[1:]]).max())


def drift(subject):
    """How far scores differ in single precision between a stack and one at a time, beside what a world does.

    Returns
    -------
    dict
        Largest and mean difference of all scores, and the mean change of the scores of those users who lost
        actions from the world in which nobody did.
    """
    model, recipe = subject.model, replace(subject.recipe, steps=2 * subject.steps)
    keep, start = worlds(model, subject.compared), [subject.state] * subject.compared
    stacked, single = (
        np.stack([subject.score(state.into(model)) for state in run(trained, recipe, start, keep=keep)])
        for run, trained in ((train, model), (one_at_a_time, subject.plain))
    )
    difference = np.abs(stacked - single)
    return {
        "steps": recipe.steps,
        "copies": subject.compared,
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "mean_effect": float(np.mean([np.abs(stacked[c] - stacked[0])[c] for c in range(1, len(stacked))])),
    }


def seconds_a_step(subject, repeats):
    """Seconds of a step of each of the ways, turn by turn."""
    recipe = replace(subject.recipe, steps=subject.steps)

    def way(run, model, copies, threads):
        def train_stack():
            torch.set_num_threads(threads)
            run(model, recipe, [subject.state] * copies, keep=keep)

        keep = worlds(model, copies)
        run(model, replace(recipe, steps=1), [subject.state], keep=worlds(model, 1))  # compiles
        return train_stack

    ways = {
        (name, copies, threads): way(run, model, copies, threads)
        for name, run, model, copies, threads in subject.ways
    }
    seconds = in_turns(ways, repeats)
    torch.set_num_threads(1)
    return {key: np.divide(taken, recipe.steps) for key, taken in seconds.items()}


def ncf_scores(model):
    """Scores of all pairs, (n_users, n_items)."""
    with torch.no_grad():
        everything = torch.arange(model.n_items)
        return np.stack([model.scores(model.block(u), u, everything).numpy() for u in range(model.n_users)])


def rcf_scores(model):
    """Scores of five items for each user, (n_users, 5)."""
    users = torch.arange(model.n_users).repeat_interleave(5)
    with torch.no_grad():
        return model(users, torch.arange(len(users)) * 37 % model.n_items).unflatten(0, (-1, 5)).numpy()


class Subject(NamedTuple):
    """A model to be retrained, and how."""

    name: str
    model: NCF | RCF
    plain: NCF | RCF  # the same in plain tensor code
    recipe: Recipe
    state: State
    steps: int  # timed in each turn
    checked: int  # steps after which all ways must agree
    compared: int  # copies whose scores are compared in single precision
    score: Callable
    ways: list  # (name, function, model, copies, threads)
    reference: tuple  # name, copies and threads of the library's way
    close: float = 1e-9  # how far parameters of the ways may differ in double precision


def ncf(data, arguments):
    """NCF, warm-started as in the book."""
    model, plain, by_vmap = NCF(data), NCF(data), ByVmap(data)
    (state,) = train(model, ANNEALED, [State.of(model)])
    ways = [("one at a time", one_at_a_time, plain, 1, threads) for threads in (1, 2)]
    if shutil.which("c++"):
        ways += [("torch.compile", one_at_a_time, Compiled(data), 1, 1)]
    ways += [("stack, own loops", train, model, copies, 1) for copies in arguments.copies]
    ways += [("any order of sums", train, reordered()(data), 16, 1)]
    if arguments.loops_of:
        ways += [("loops of " + arguments.loops_of, train, of_commit(arguments.loops_of)(data), 16, 1)]
    ways += [("stack, vmap", train, by_vmap, copies, 1) for copies in arguments.copies]
    return Subject("ncf", model, plain, WARM, state, arguments.steps, 20, 16, ncf_scores, ways, LOOPS)


def smooth_ncf(data, arguments):
    """NCF with GELU, whose tanh is a quotient of polynomials in the loops."""
    model, plain = NCF(data, activation=gelu), NCF(data, activation=gelu)
    (state,) = train(model, ANNEALED, [State.of(model)])
    ways = [("one at a time", one_at_a_time, plain, 1, 1), ("stack, own loops", train, model, 16, 1)]
    return Subject(
        "ncf, gelu", model, plain, WARM, state, arguments.steps, 20, 16, ncf_scores, ways, LOOPS, 1e-5
    )


def rcf(data, arguments):
    """RCF after some steps; its stacks go through vmap, which reaches compiled code for the histories."""
    model, plain = RCF(data), Plain(data)
    (state,) = train(model, replace(recipes.RCF, steps=100), [State.of(model)])
    ways = [("one at a time", one_at_a_time, plain, 1, 1)]
    ways += [("stack, vmap", train, model, copies, 1) for copies in arguments.copies if copies <= 4]
    return Subject(
        "rcf",
        model,
        plain,
        recipes.RCF,
        state,
        arguments.rcf_steps,
        3,
        2,
        rcf_scores,
        ways,
        ("stack, vmap", 1, 1),
    )


def main():
    """Check that all ways agree, time them in turns, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-100k", help="sample or ml-100k")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=98, help="of NCF in each turn")
    parser.add_argument("--rcf-steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="turns")
    parser.add_argument("--loops-of", metavar="COMMIT", help="time NCF's loops of this commit, too")
    arguments = parser.parse_args()

    machine = Machine()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data = prepare(load(arguments.dataset))
    records, differences = [], []
    for make in (ncf, smooth_ncf, rcf):
        subject = make(data, arguments)
        worst = disagreement(subject)
        if not worst <= subject.close:  # nor NaN
            raise SystemExit(f"{subject.name}: the ways disagree by {worst:.1e}: the ratios mean nothing.")
        differences.append({"model": subject.name, "double_precision": worst, **drift(subject)})
        seconds = seconds_a_step(subject, arguments.repeats)
        reference = seconds[subject.reference] / subject.reference[1]
        for (way, copies, threads), taken in seconds.items():
            step = 1e3 * float(np.median(taken))
            record = {
                "model": subject.name,
                "way": way,
                "threads": threads,
                "copies": copies,
                "ms_step": step,
            }
            records.append(record | {"ms_step_each": step / copies, **ratio(taken / copies, reference)})
        if subject.name == "ncf":
            size = min(subject.recipe.batch_size, subject.model.n_actions)
            least = least_time(subject.state.into(subject.model), size)
    result = {"dataset": arguments.dataset, "repeats": arguments.repeats, "records": records}
    write("retraining", result | {"least": least, "differences": differences}, machine)
    print(
        f"Retraining on {arguments.dataset}: a step, and how many times as long as the library a copy takes"
    )
    for r in records:
        low, high = r["spread"]
        print(
            f"  {r['model']} {r['way']:17} {r['threads']} thread(s) {r['copies']:3} copies:"
            f" {r['ms_step']:8.2f} ms, {r['ms_step_each']:6.3f} ms each,"
            f" {r['ratio']:6.2f} x ({low:.2f} to {high:.2f})"
        )
    print(
        f"  ncf: a step and copy takes at least {least['least_ms']:.3f} ms (network {least['network']:.3f},"
        f" gathers {least['gathers']:.3f}, Adam {least['adam']:.3f});\n"
        f"    the loops take {least['ms']:.3f} ms at best, {least['ratio']:.2f} times that"
    )
    for d in differences:
        print(
            f"  {d['model']}: parameters differ by at most {d['double_precision']:.0e} in double precision;\n"
            f"    after {d['steps']} steps in single precision scores differ by {d['mean_difference']:.1e} on"
            f" average (at most {d['largest_difference']:.1e}),\n"
            f"    where a world changes those of its user by {d['mean_effect']:.1e}"
        )


if __name__ == "__main__":
    main()
