"""Ended at any file operation, or with a full disk from there on, a command makes the same when run again.

What is done is counted once; then the command is ended at some of the operations, each time from the start.
Twenty kills and eight full disks are drawn by a seed, ``ACCENT_CRASH_SEED``; ``ACCENT_CRASH=all`` takes all.
"""

import ast
import json
import os
import pickle
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from accent_lib.models import NCF, top_k
from accent_lib.retraining.worlds import World
from accent_lib.training import Recipe, State, train
from tests.conftest import ROOT, SEARCH_PATH
from tests.crash.hook import GROWS
from tests.test_workflow import write_notebook

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc")
SEED = int(os.environ.get("ACCENT_CRASH_SEED", "17"))
FULL = 2  # of each command
SETTINGS = "notebooks/profiles/sample.yaml"
PATH = re.compile(r"'[^']*'")
#: Left by one that was killed: no pattern of the project fits, and the next one at work removes what it may.
LEFT = re.compile(r"\.accent-[0-9a-f]{32}\.(part|new)")
#: Where a record says when, how fast, by which process, and the hash of a table that says so.
PASSING = {"date", "seconds", "peak_memory", "began", "process", "commit", "dirty", "sha256"}
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d| +\d+\.\d s\b")


@dataclass(frozen=True)
class Command:
    """A command line, what makes the project that it is run in, and how often it is killed."""

    arguments: list
    prepare: Callable
    kills: int


def run_of_two(folder):
    """Two notebooks of which the second reads what the first made."""
    (folder / "notebooks").mkdir(exist_ok=True)
    make = "run.write_json('made.json', [1, 2])", "run.log('made')"
    write_notebook(folder / "notebooks" / "01_data.ipynb", *make)
    read = "run.write_json('read.json', run.read_json('made.json')[::-1])"
    write_notebook(folder / "notebooks" / "02_training.ipynb", "run.ensure(upto=1)", read)


def worlds_of_eight(folder):
    """A small NCF of the sample, and eight worlds."""
    from accent_lib.datasets import load, prepare

    model = NCF(prepare(load("sample")), dim=2)
    (state,) = train(model, Recipe(20, 1e-2, batch_size=256), [State.of(model)])
    worlds = [World(((user, (0, 1)),)) for user in range(8)]
    slates = {user: top_k(state.into(model), user, 3)[0] for user in range(9)}
    case = model, Recipe(5, 1e-3, batch_size=256), state, worlds, slates
    (folder / "case").write_bytes(pickle.dumps(case))


def verified(folder):
    """A run folder of two models with outcomes."""
    from accent_book import runs
    from accent_book.runs import results
    from accent_book.runs.folder import Run
    from accent_lib.retraining.store import Store
    from tests.test_results_folder import outcome

    os.environ["ACCENT_RUNS"] = str(folder / "runs")
    try:
        run = Run("05_verification", {"run": "sample"})
        for model in ("ncf", "rcf"):
            with Store(results.store_path(run, f"{model}-print"), f"{model}-print") as store:
                store.record(model, 0, [outcome("", 4, (1.5, 1.0), 7), outcome("4:0 2", 4, (0.5, 1.0), 9)])
            runs.describe_store(run, "outcomes", model, f"{model}-print", {"recipe": {"steps": 3}})
            run.write_json(f"{model}_training.json", {"objective": 0.5})
        for name in ("slates", "explanations"):
            table = pd.DataFrame({"model": ["ncf", "rcf"], "user": [4, 4], "removed": [(0, 2), (2, 0)]})
            if name == "slates":
                table = table.loc[[0, 0, 1, 1]].assign(position=[0, 1] * 2, item=[7, 9] * 2)
            run.write_csv(f"{name}.csv", table)
    finally:
        del os.environ["ACCENT_RUNS"]


def one_slide(folder):
    """A chapter with a slide."""
    chapters = folder / "book" / "chapters"
    chapters.mkdir(parents=True)
    for name in ("teaching.md", "paper.yml", "references.bib"):
        shutil.copy(ROOT / "book" / name, folder / "book")
    cell = nbformat.v4.new_markdown_cell
    cells = [cell("# A\n\ntext"), cell("## B\n\nmore", metadata={"slideshow": {"slide_type": "slide"}})]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), chapters / "01_data.ipynb")


CLI = ["-m", "accent_book"]
COMMANDS = {
    "run": Command([*CLI, "run"], run_of_two, 3),
    "verify": Command(["-m", "verification"], worlds_of_eight, 3),
    "export": Command([*CLI, "export"], verified, 7),
    "slides": Command([*CLI, "slides"], one_slide, 7),
}


class Scene:
    """A command's project as it was before, and what became of it undisturbed."""

    def __init__(self, command, server, folder):
        self.command, self.server, self.folder = command, server, folder
        self.before = folder / "before"
        (self.before / SETTINGS).parent.mkdir(parents=True)
        (self.before / SETTINGS).write_text("run: sample\n")
        command.prepare(self.before)
        project = self.fresh()
        self.log = self.run(project, 0)[-1]
        self.made = contents(project)

    def fresh(self):
        """A copy of the project, always at the same place."""
        project = self.folder / "a {strange} place"
        shutil.rmtree(project, ignore_errors=True)
        return Path(shutil.copytree(self.before, project))

    def run(self, project, at, fault="kill"):
        """Run the command with a fault, or without one at 0: its status, what it said, what it did."""
        log, *said = (self.folder / name for name in ("operations", "output", "errors"))
        for path in (log, *said):
            path.unlink(missing_ok=True)
        fault = {"below": str(project), "log": str(log), "at": at, "fault": fault}
        about = {"folder": str(project), "arguments": self.command.arguments, "said": list(map(str, said))}
        self.server.stdin.write(json.dumps({**about, "fault": fault}) + "\n")
        self.server.stdin.flush()
        status = int(self.server.stdout.readline())
        output = "".join(path.read_text() for path in said)
        assert at or status == 0, output
        return status, output, log.read_text().splitlines()


@pytest.fixture(scope="module")
def server():
    """A process that has imported everything, and forks for each command."""
    crash = Path(__file__).with_name("crash")
    search = {"PYTHONPATH": os.pathsep.join([SEARCH_PATH, str(crash)]), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**os.environ, **search, "OMP_NUM_THREADS": "1"}
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, crash / "server.py"], **options) as process:
        yield process
        process.stdin.close()


@pytest.fixture(scope="module", params=COMMANDS)
def scene(request, server, tmp_path_factory):
    return Scene(COMMANDS[request.param], server, tmp_path_factory.mktemp(request.param))


def contents(project):
    """What the files of a project say, by their names, without when and how fast."""
    found = {}
    for path in sorted(project.rglob("*")):
        name = str(path.relative_to(project))
        if path.is_dir() or path.name in (".writer", "log.txt") or LEFT.search(name):
            continue
        if path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as store:
                found[name] = pd.read_sql("SELECT * FROM outcomes", store).drop(columns="seconds").to_csv()
        elif path.suffix in (".json", ".ipynb"):
            found[name] = without_passing(json.loads(path.read_text("utf-8")))
        elif path.suffix == ".csv":
            found[name] = pd.read_csv(path).drop(columns="seconds", errors="ignore").to_csv()
        else:
            found[name] = path.read_bytes()
    return found


def without_passing(value):
    if isinstance(value, dict):
        return {
            key: without_passing(part)
            for key, part in value.items()
            if key not in PASSING and not key.startswith(("execution", "papermill", "start_", "end_"))
        }
    if isinstance(value, list):
        return list(map(without_passing, value))
    return TIME.sub("", value) if isinstance(value, str) else value


def drawn(scene, count, kinds=None):
    """Numbers of some operations, or of all; only of certain kinds, if they are named."""
    numbers = [n for n, line in enumerate(scene.log, 1) if kinds is None or line.split()[1] in kinds]
    if os.environ.get("ACCENT_CRASH") == "all":
        return numbers
    return sorted(np.random.default_rng(SEED).choice(numbers, count, replace=False).tolist())


def goes_on(scene, project, where):
    """Check that the command, run again, makes what it makes undisturbed, and leaves nothing that is read."""
    scene.run(project, 0)
    found = contents(project)
    other = {name: found.get(name) for name in found | scene.made if found.get(name) != scene.made.get(name)}
    assert not other, (where, {name: (scene.made.get(name), was) for name, was in other.items()})


def test_ended_at_any_operation_it_makes_the_same_when_run_again(scene):
    for at in drawn(scene, scene.command.kills):
        where, project = f"seed {SEED}, operation {at}: {scene.log[at - 1]}", scene.fresh()
        status, said, _ = scene.run(project, at)
        assert status == -signal.SIGKILL, (where, said)
        goes_on(scene, project, where)


def test_on_a_full_disk_it_says_so_and_makes_the_same_when_there_is_room(scene):
    for at in drawn(scene, FULL, GROWS):
        where, project = f"seed {SEED}, operation {at}: {scene.log[at - 1]}", scene.fresh()
        status, said, _ = scene.run(project, at, "full")
        assert status == 1 and "Traceback" not in said, (where, said)
        assert re.search(r"^error: .*No space left on device", said, re.M), (where, said)
        assert not [path for path in project.rglob(".accent-*") if path.is_file()], where
        goes_on(scene, project, where)


@pytest.mark.parametrize("scene", ["run", "verify", "export"], indirect=True)
def test_nothing_takes_its_name_before_the_disk_has_it(scene):
    """Of results, stores, checkpoints: flushed before the rename, and the folder after it."""
    done = [line.split(" ", 2)[1:] for line in scene.log]
    done = [(kind, [ast.literal_eval(path) for path in PATH.findall(paths)]) for kind, paths in done]
    renamed = [(place, *paths) for place, (kind, paths) in enumerate(done) if kind == "os.rename"]
    assert renamed
    for place, temporary, target in renamed:
        before = [kind for kind, paths in done[:place] if paths[0] == temporary]
        assert before[-1] == "fsync", (target, before)
        assert ("fsync", [os.path.dirname(target)]) in done[place:], target
