"""The examples of the library's docstrings: each runs, and nothing that a reader may use is without one."""

import doctest
import importlib
import inspect
import pkgutil
import tempfile

import pytest

import accent_book
import accent_lib
from accent_lib.provenance import PACKAGE

# Modules that are not on the page of the library, and why.
INSIDE = {
    "accent_book.__main__": "the command line, which `--help` tells about",
    "accent_book.experiments": "commands, which `--help` tells about",
    "accent_book.figures": "on the page by what the package exports, and its tables",
    "accent_book.claims": "verdicts, for chapter 8",
    "accent_book.publish": "the inside of commands, but for the explorer",
    "accent_book.runner": "the inside of commands",
    "accent_book.runs": "on the page by what the package exports",
    "accent_lib.arguments": "the gate of public functions, whose errors are told there",
    "accent_lib.datasets.columns": "the inside of read_ratings()",
    "accent_lib.datasets.described": "the inside of read_ratings()",
    "accent_lib.datasets.fetch": "the inside of load()",
    "accent_lib.datasets.movielens": "the inside of load()",
    "accent_lib.datasets.ratings": "the inside of load(), but for what it returns",
    "accent_lib.datasets.reader": "on the page by what the package exports",
    "accent_lib.datasets.sample": "the inside of load()",
    "accent_lib.datasets.titles": "the inside of Ratings.with_user() and of own ratings",
    "accent_lib.datasets.tables": "the inside of read_ratings()",
    "accent_lib.datasets.values": "the inside of read_ratings()",
    "accent_lib.front.explained": "on the page by what the package exports",
    "accent_lib.front.fitted": "on the page by what the package exports",
    "accent_lib.front.settings": "on the page by what the package exports, but for settings by name",
    "accent_lib.front.verified": "on the page by what the package exports",
    "accent_lib.front.wrapping": "on the page by what the package exports",
    "accent_lib.influence.derivatives": "the inside of fast_influence()",
    "accent_lib.models.checks": "check() is on the page, the rest inside of the front",
    "accent_lib.models.given": "what functions ask of a model that they are given",
    "accent_lib.models.lanes": "the inside of NCF's loops",
    "accent_lib.models.rcf": "on the page by what the package exports",
    "accent_lib.models.rcf_curvature": "the inside of RCF",
    "accent_lib.models.rcf_tensors": "the inside of RCF",
    "accent_lib.models.wrapped": "on the page by what the package exports",
    "accent_lib.models.wrapped_data": "the inside of Wrapped",
    "accent_lib.models.wrapped_setup": "the inside of Wrapped",
    "accent_lib.training.alone": "the inside of train()",
    "accent_lib.training.stack": "the inside of train()",
    "accent_lib.training.steps": "the inside of train()",
}
# What is on the page without an example, and why.
EXCEPTIONS = {
    "datasets.relations.read_relation_triples": "needs MovieLens 100K",
    "errors.AccentWarning": "a warning",
    "figures.agreement.repeats": "needs a table of retrainings",
    "live.panel.Panel": "needs a live notebook",
    "live.panel.panel": "needs a live notebook",
    "models.rcf_entries.Entries": "the inside of RCF",
    "models.rcf_entries.Histories": "the inside of RCF",
    "models.rcf_loops.Attend": "the inside of RCF",
    "models.rcf_loops.Read": "the inside of RCF",
    "models.rcf_loops.Weigh": "the inside of RCF",
    "models.rcf_loops.attend": "the inside of RCF",
    "models.rcf_loops.exponentials": "the inside of RCF",
    "models.rcf_loops.read": "the inside of RCF",
    "models.rcf_loops.weigh": "the inside of RCF",
    "models.ncf_loops.Loops": "the inside of training NCF",
    "models.ncf_loops.adam_steps": "the inside of training NCF",
    "models.ncf_loops.add_gradient": "the inside of training NCF",
    "models.ncf_loops.objective": "the inside of training NCF",
    "parallel.end_with_parent": "ends this process",
    "publish.explorer.explorer_data": "needs a finished run",
    "publish.explorer.explorer_page": "needs a finished run",
    "runs.Retraining": "needs a finished run",
    "runs.ensure": "runs notebooks",
    "runs.export": "needs a finished run, and writes into the project",
    "runs.import_results": "needs a run that goes on",
    "runs.is_trained": "needs a run folder",
    "runs.interactions": "needs a finished run",
    "runs.outcomes_store": "needs a finished run",
    "runs.own_file": "needs a finished run",
    "runs.relation_triples": "needs a finished run",
    "runs.retrained_outcomes": "needs a finished run",
    "runs.retraining": "needs a finished run",
    "runs.slates_of": "needs a finished run",
    "runs.trained_model": "needs a finished run",
    "runs.untrained_model": "needs a finished run",
}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    """Import every module of both packages."""
    found = []
    for package in (accent_lib, accent_book):
        within = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        found += [package, *(importlib.import_module(one.name) for one in within)]
    return found


def short(name):
    """A dotted name without its package's, of which no part of the other begins alike."""
    return name.partition(".")[2]


EXAMPLES = [
    example for module in modules() for example in doctest.DocTestFinder().find(module) if example.examples
]


def exported(module):
    """Functions and classes that the page shows of a module, by name."""
    names = getattr(module, "__all__", None)
    own = [
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    ]
    found = {name: getattr(module, name) for name in names or own if not name.startswith("_")}
    return {name: value for name, value in found.items() if callable(value) and inspect.getdoc(value)}


def on_the_page():
    """What book/reference/api.md shows, by name."""
    page = (PACKAGE.parent / "book" / "reference" / "api.md").read_text(encoding="utf-8")
    listed = [line.split()[-1] for line in page.splitlines() if line.startswith(".. automodule::")]
    return {
        short(f"{name}.{member}"): value
        for name in listed
        for member, value in exported(importlib.import_module(name)).items()
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: short(example.name))
def test_an_example_shows_what_it_says(example, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=said.append)
    assert not said, "".join(said)


def test_everything_on_the_page_has_an_example():
    plots = {f"figures.{name}" for name in accent_book.figures.__all__}
    shown = {name: value for name, value in on_the_page().items() if name not in plots}
    without = {name for name, value in shown.items() if ">>>" not in inspect.getdoc(value)}
    assert without == set(EXCEPTIONS), "write an example, or a reason not to"


def test_a_wrong_example_is_found():
    finder, said = doctest.DocTestParser(), []
    wrong = finder.get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    doctest.DocTestRunner(optionflags=OPTIONS).run(wrong, out=said.append)
    assert said


def test_everything_that_a_reader_may_use_is_on_the_page():
    shown = {id(value) for value in on_the_page().values()}
    for module in modules():
        inside = any(f"{module.__name__}.".startswith(f"{name}.") for name in INSIDE)
        for name, value in ({} if inside else exported(module)).items():
            assert id(value) in shown, f"{module.__name__}.{name} is on no page: see book/reference/api.md"
