"""A GPU beside the CPU: the same numbers, and how long the paper's recipes take; at most eight minutes.

    ACCENT_DATA_HOME=... python -m bench.gpu

Checks come first.  *The same function*: some steps in double precision must end in the same parameters.  *The
same verdicts*: 60 explanations are verified on the CPU by compiled loops and by tensor operations, and on the
GPU; its gaps between recommendation and replacement may differ from those of the loops as far as those of the
tensors on the CPU do, which add up in another order.  Then come times: a step for stacks of several sizes,
with and without recorded graphs; 120,000 steps of 512 NCFs; 50 epochs of 32 RCFs.  What does not fit into the
time is run in part, and the rest is estimated from the seconds a step of that part; the table says so.

What is known is written after each part, so that a run that is stopped leaves its results.  A failing check
makes the run fail, after everything was measured.  Needed are torch, numba, NumPy, SciPy, pandas and psutil,
no network.  With ``--device cpu --tiny`` the same code runs anywhere, by tensor operations.
"""

import argparse
import copy
import itertools
import json
import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from accent_book.runs.manifest import kept
from accent_book.runs.origin import provenance
from accent_lib.datasets import load, prepare
from accent_lib.explainers import accent
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, RCF, top_k
from accent_lib.parallel import executor
from accent_lib.retraining.engine import run_stack
from accent_lib.retraining.memory import stack_bytes
from accent_lib.retraining.worlds import World, world_of
from accent_lib.training import ANNEALED, PAPER, State, recipes, train
from accent_lib.training.recipes import NCF_RETRAINING, RCF_EPOCHS, for_epochs
from accent_lib.training.stack import WARM_UP, Recorded, Stack

KEPT = Path(__file__).parents[1] / "data" / "results"
TINY = {
    "worlds": 4, "steps": 60, "rcf_worlds": 2, "epochs": 1, "compared": 4, "reference": 2, "explained": 2,
    "base_steps": 300, "warm_steps": 40, "base_epochs": 1, "checked": 3, "timed": 30, "rcf_timed": 2,
    "workers": 1, "output": Path("gpu.json"),
}  # fmt: skip


class NCFByTensors(NCF):
    """NCF without loops of its own, so that it is trained by tensor operations on a CPU, too."""

    loops = None


class RCFByTensors(RCF):
    """RCF by tensor operations on a CPU, too."""

    by_tensors = True


class Subject:
    """A model, by loops and by tensors, and its recipes."""

    def __init__(self, name, data, arguments):
        self.name, ncf = name, name == "ncf"
        self.loops, self.tensors = (NCF(data), NCFByTensors(data)) if ncf else (RCF(data), RCFByTensors(data))
        self.start = State.of(self.loops)
        # A rate that single precision has exactly, so that both sides of a check use the same.
        self.check = replace(PAPER if ncf else recipes.RCF, steps=arguments.checked, learning_rate=2**-7)
        if ncf:
            self.copies, self.recipe = arguments.worlds, replace(PAPER, steps=arguments.steps)
            self.base = replace(ANNEALED, steps=arguments.base_steps)
            self.warm = replace(NCF_RETRAINING, steps=arguments.warm_steps)
            self.variant, self.timed = "paper", arguments.timed
        else:
            self.copies = arguments.rcf_worlds
            self.recipe = for_epochs(self.loops, recipes.RCF, arguments.epochs)
            self.base = for_epochs(self.loops, recipes.RCF, arguments.base_epochs)
            self.warm = for_epochs(self.loops, recipes.RCF, 1)
            self.variant, self.timed = "shared", arguments.rcf_timed

    def on(self, device):
        """The model that computes by tensors on a device."""
        return self.tensors if device == "cpu" else self.loops


def worlds(model, copies):
    """Weights of all actions in worlds, (copies, n_actions): in world w, but for w = 0, user w loses some."""
    keep = torch.ones(copies, model.n_actions, dtype=next(model.parameters()).dtype)
    for world in range(1, copies):
        first = model.action_slice(world % model.n_users).start
        keep[world, first : first + 5] = 0
    return keep


def flat(state):
    """All parameters as one vector."""
    return torch.cat([value.flatten() for value in state.parameters.values()])


def same_function(subject, arguments):
    """Parameters after some steps in double precision, and bytes of two runs in single precision."""
    device, ends = arguments.device, []
    state = State({name: value.double() for name, value in subject.start.parameters.items()})
    for model, where in ((subject.loops, "cpu"), (subject.on(device), device)):
        model.double()
        trained = train(model, subject.check, [state] * 3, keep=worlds(model, 3), device=where)
        ends.append(torch.stack([flat(one) for one in trained]))
        model.float()
    model = subject.on(device)
    first, second = (
        train(model, subject.check, [subject.start] * 3, keep=worlds(model, 3), device=device)
        for _ in range(2)
    )
    worst = float((ends[0] - ends[1]).abs().max())
    return {
        "steps": subject.check.steps,
        "largest_difference": worst,
        "largest_move": float((ends[0] - flat(state)).abs().max()),
        "equal_bytes_when_repeated": all(
            one.digest() == other.digest() for one, other in zip(first, second, strict=True)
        ),
        "passed": worst < 1e-8,  # nor NaN
    }


def explained(model, variant, wanted):
    """Explanations of some users by ACCENT: slates, worlds, and positions of the replacements."""
    slates, removals, replacements = {}, [], []
    analysis = fast_influence(model.double(), variant)
    for user in range(model.n_users):
        items, _ = top_k(model, user, 10)
        estimate = analysis(user, items)
        found = accent(estimate.scores, estimate.influence)
        if found is not None and len(found):
            slates[user] = items
            removals.append(world_of(user, found.removed))
            replacements.append(found.replacement)
        if len(removals) == wanted:
            break
    model.float()
    return slates, removals, np.array(replacements)


def spread(differences):
    """What is told of some absolute differences."""
    some = {"worlds": len(differences), "median": float(np.median(differences))}
    return some | {"mean": float(differences.mean()), "largest": float(differences.max())}


def same_verdicts(subject, arguments):
    """Gaps between recommendation and replacement after retraining, by three ways of computing."""
    device, model = arguments.device, subject.loops
    trains_on = "cpu" if subject.name == "ncf" else device
    (state,) = train(
        model if trains_on == "cpu" else subject.on(device), subject.base, [subject.start], device=trains_on
    )
    slates, removals, replacements = explained(state.into(model), subject.variant, arguments.compared)
    users = list(slates)
    subject.start.into(model)
    ways = {
        "loops": (model, "cpu", len(users), 4),
        "tensors": (subject.tensors, "cpu", arguments.reference, 4),
        "device": (subject.on(device), device, len(users), len(users)),
    }
    outcomes = {}
    with executor(arguments.workers) as processes:
        futures = {}
        for way, (of, where, n, size) in ways.items():
            parts = [removals[at : min(at + size, n)] for at in range(0, n, size)]
            for part in parts:
                stack, its = [World(), *part], [world.users[0] for world in part]
                call = (of, subject.warm, state, stack, {u: slates[u] for u in its}, 0, its, where)
                if where != "cpu" or processes is None:
                    outcomes.setdefault(way, []).extend(run_stack(*call))
                else:
                    futures.setdefault(way, []).append(processes.submit(run_stack, *call))
        for way, of_way in futures.items():
            outcomes[way] = [outcome for future in of_way for outcome in future.result()]

    def gaps(way, control=False):
        scores = {o.user: o.scores for o in outcomes[way] if (o.world == "") == control}
        pairs = zip(users, replacements, strict=True)
        return np.array([scores[u][0] - scores[u][r] for u, r in pairs if u in scores])

    there, here, other = gaps("device"), gaps("loops"), gaps("tensors")
    n = len(other)  # those that all three have
    effect = np.abs(here - gaps("loops", control=True)).mean()
    order, ours = np.abs(other - here[:n]), np.abs(there - here)
    return {
        "worlds": len(users),
        "steps": subject.warm.steps,
        "mean_effect_of_a_world": float(effect),
        "device_and_loops": spread(ours),
        "device_and_loops_of_these": spread(ours[:n]),
        "tensors_and_loops_of_these": spread(order),
        "same_verdict": int(((there < 0) == (here < 0)).sum()),
        "same_verdict_tensors": int(((other < 0) == (here[:n] < 0)).sum()),
        "replaced_by_loops": int((here < 0).sum()),
        "replaced_by_device": int((there < 0).sum()),
        # As far apart as two orders of sums are, but for the luck of the few worlds that tell.
        "passed": bool(np.median(ours[:n]) <= 3 * np.median(order) + 1e-6),
    }


def speed(model, recipe, state, copies, steps, device):
    """Seconds that training takes before its first steps and after the last, and seconds a step."""
    first, begin, marks = 2 * WARM_UP + 2, time.perf_counter(), []

    def mark(done):
        if done in (first, first + steps):
            if device != "cpu":
                torch.cuda.synchronize()
            marks.append(time.perf_counter())

    recipe = replace(recipe, steps=first + steps)
    train(model, recipe, [state] * copies, keep=worlds(model, copies), device=device, progress=mark)
    each = (marks[1] - marks[0]) / steps
    return time.perf_counter() - begin - (marks[1] - marks[0]), each


def loops_speed(model, recipe, state, copies, steps):
    """Seconds a step of all copies, by loops on one core."""
    taken = []
    for n in (1, steps):  # the first compiles
        begin = time.perf_counter()
        train(model, replace(recipe, steps=n), [state] * copies, keep=worlds(model, copies))
        taken.append(time.perf_counter() - begin)
    return taken[1] / steps


def steps_timed(subject, arguments):
    """Milliseconds a step for stacks of several sizes, with recorded graphs and without; the CPU's loops."""
    device, rows = arguments.device, []
    sizes = [n for n in (1, 8, 32, 128, 512) if n < subject.copies] + [subject.copies]
    record = Recorded.__call__
    for copies in sizes:
        for recorded in (True, False) if device != "cpu" else (False,):
            if not recorded:
                Recorded.__call__ = lambda self, batch: self.function(batch)
            try:
                if device != "cpu":
                    torch.cuda.reset_peak_memory_stats()
                model = subject.on(device)
                setup, each = speed(model, subject.recipe, subject.start, copies, subject.timed, device)
            finally:
                Recorded.__call__ = record
            row = {"copies": copies, "graphs": recorded, "setup_seconds": setup, "ms_a_step": 1e3 * each}
            if device != "cpu":
                row["peak_bytes"] = torch.cuda.max_memory_allocated()
                row["bound_bytes"] = stack_bytes(model, subject.recipe, copies, device)
            rows.append(row | {"ms_a_step_and_copy": 1e3 * each / copies})
    loops = 1e3 / 4 * loops_speed(subject.loops, subject.recipe, subject.start, 4, subject.timed)
    best = min(row["ms_a_step_and_copy"] for row in rows)
    passed = all(row.get("peak_bytes", 0) <= row.get("bound_bytes", 0) for row in rows)
    return {
        "stacks": rows,
        "loops_one_core_ms_a_step_and_copy": loops,
        "ratio": loops / best,
        "passed": passed,
    }


def whole_recipe(subject, arguments):
    """Time the paper's recipe for a stack, or as much of it as the model's share of the time allows."""
    seconds = (arguments.left() - 10) / (len(arguments.models) - arguments.models.index(subject.name))
    model, copies, recipe = subject.on(arguments.device), subject.copies, subject.recipe
    setup, each = speed(model, recipe, subject.start, copies, subject.timed, arguments.device)
    fit = int((seconds - 2 * setup) / each * 0.9)
    steps, begin = min(recipe.steps, max(fit, 1)), time.perf_counter()
    keep, states = worlds(model, copies), [subject.start] * copies
    train(model, replace(recipe, steps=steps), states, keep=keep, device=arguments.device)
    taken = time.perf_counter() - begin
    result = {
        "copies": copies,
        "steps": recipe.steps,
        "steps_run": steps,
        "seconds_run": taken,
        "extrapolated": steps < recipe.steps,
        "seconds": taken + each * (recipe.steps - steps),
    }
    table = KEPT / f"{subject.name}-paper" / "outcomes-0.csv.gz"
    if arguments.dataset == "ml-100k" and table.exists():
        import pandas as pd

        n = pd.read_csv(table, usecols=["world"], keep_default_na=False)["world"].nunique() - 1
        result |= {"worlds_of_the_table": n, "minutes_for_them": result["seconds"] * n / (copies - 1) / 60}
    return result


def explanations(subject, arguments):
    """Influence of some users, by the model on the CPU and on the device."""
    found, seconds = [], []
    for device in ("cpu", arguments.device):
        model = copy.deepcopy(subject.on(device) if found else subject.loops).double().to(device)
        slates = {user: top_k(model, user, 10)[0] for user in range(arguments.explained)}
        analysis = fast_influence(model, subject.variant)
        analysis(0, slates[0])  # compiles
        begin = time.perf_counter()
        found.append([analysis(user, items).influence for user, items in slates.items()])
        seconds.append(time.perf_counter() - begin)
    differences = [float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(*found, strict=True)]
    return {
        "users": arguments.explained,
        "largest_relative_difference": max(differences),
        "seconds_cpu": seconds[0],
        "seconds_device": seconds[1],
        "passed": max(differences) < 1e-6,
    }


def compiled(subject, arguments):
    """Milliseconds a step where `torch.compile` fuses the loss's operations, anew for each shape of batch."""
    made = Stack.__init__

    def fused(stack, *inputs):
        made(stack, *inputs)
        stack._losses = torch.compile(stack._losses, dynamic=False)

    Stack.__init__ = fused
    try:
        model = subject.on(arguments.device)
        setup, each = speed(
            model, subject.recipe, subject.start, subject.copies, subject.timed, arguments.device
        )
    finally:
        Stack.__init__ = made
    return {"copies": subject.copies, "setup_seconds": setup, "ms_a_step": 1e3 * each}


#: In the order in which they run.
PARTS = (same_function, same_verdicts, explanations, steps_timed, whole_recipe, compiled)


def main():
    """Check, time, and write the table after each part."""
    parser, parts = argparse.ArgumentParser(description=__doc__.splitlines()[0]), [p.__name__ for p in PARTS]
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    parser.add_argument("--dataset", default="ml-100k", help="sample or ml-100k")
    parser.add_argument("--seconds", type=float, default=450, help="for everything")
    parser.add_argument("--models", nargs="+", default=["ncf", "rcf"])
    parser.add_argument(
        "--parts", nargs="+", choices=parts, default=parts[:-1], help="default: all but the last"
    )
    parser.add_argument("--worlds", type=int, default=512, help="NCFs in the timed stack")
    parser.add_argument("--steps", type=int, default=PAPER.steps, help="of NCF's whole recipe")
    parser.add_argument("--rcf-worlds", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=RCF_EPOCHS, help="of RCF's whole recipe")
    parser.add_argument("--compared", type=int, default=60, help="explanations whose verdicts are compared")
    parser.add_argument("--reference", type=int, default=16, help="of them, by tensors on the CPU, too")
    parser.add_argument("--explained", type=int, default=20, help="users whose influence is compared")
    parser.add_argument("--checked", type=int, default=20, help="steps in double precision")
    parser.add_argument("--base-steps", type=int, default=ANNEALED.steps)
    parser.add_argument("--warm-steps", type=int, default=NCF_RETRAINING.steps)
    parser.add_argument("--base-epochs", type=int, default=20)
    parser.add_argument("--timed", type=int, default=200, help="steps of NCF for each size of stack")
    parser.add_argument("--rcf-timed", type=int, default=30, help="steps of RCF, likewise")
    parser.add_argument("--workers", type=int, default=max(len(os.sched_getaffinity(0)) - 1, 1))
    parser.add_argument("--output", type=Path, default=KEPT / "bench" / "gpu.json")
    parser.add_argument(
        "--tiny", action="store_true", help="sizes that try the script, unless they are given"
    )
    if parser.parse_known_args()[0].tiny:
        parser.set_defaults(**TINY)
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # what the CPU computes is compared a core
    begin, settings = time.perf_counter(), {**vars(arguments), "output": arguments.output.name}
    arguments.data = prepare(load(arguments.dataset))
    result = {"settings": settings, "parts": {}, "provenance": provenance()}
    arguments.left = lambda: arguments.seconds - (time.perf_counter() - begin)
    subjects = [Subject(name, arguments.data, arguments) for name in arguments.models]
    for part, subject in itertools.product(PARTS, subjects):
        if part.__name__ not in arguments.parts:
            continue
        name, since = f"{subject.name}: {part.__name__}", time.perf_counter()
        if arguments.left() < 20:
            record = {"skipped": f"only {arguments.left():.0f} s were left"}
        else:
            try:
                record = part(subject, arguments)
            except Exception as error:  # the other parts are worth having
                record = {"passed": False, "error": repr(error), "where": traceback.format_exc(limit=-3)}
        record["part_seconds"] = time.perf_counter() - since
        result["parts"][name] = record
        result["seconds"] = time.perf_counter() - begin
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        with kept(arguments.output) as path:
            path.write_text(json.dumps(result, indent=1, default=str) + "\n", encoding="utf-8")
        print(f"{name} ({record['part_seconds']:.0f} s)", flush=True)
        for key, value in record.items():
            print(f"    {key}: {value}", flush=True)
    failed = [name for name, record in result["parts"].items() if not record.get("passed", True)]
    if failed:
        sys.exit(f"These checks failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
