"""The examples of the library's docstrings: each runs, and nothing that a reader may use is without one."""

import doctest
import importlib
import inspect
import pkgutil
import tempfile

import pytest

import accent_lib
from accent_lib.provenance import PACKAGE

# Modules that are not on the page of the library, and why.
INSIDE = {
    "accent_lib.__main__": "the command line, which `--help` tells about",
    "accent_lib.datasets.fetch": "the inside of load()",
    "accent_lib.datasets.movielens": "the inside of load()",
    "accent_lib.datasets.ratings": "the inside of load(), but for what it returns",
    "accent_lib.datasets.sample": "the inside of load()",
    "accent_lib.mathjax": "the inside of book and slides",
    "accent_lib.evaluation.legend": "names and colours, for figures and tables",
    "accent_lib.evaluation.paper": "figures of the paper, for the chapters",
    "accent_lib.models.rcf": "on the page by what the package exports",
    "accent_lib.plotting": "on the page by what the package exports",
    "accent_lib.workflow": "on the page by what the package exports",
}
# What is on the page without an example, and why.
EXCEPTIONS = {
    "errors.AccentError": "an error",
    "datasets.relations.read_relation_triples": "needs MovieLens 100K",
    "explorer.explorer_data": "needs a finished run",
    "explorer.explorer_page": "needs a finished run",
    "models.attention.Attend": "the inside of RCF",
    "models.attention.Histories": "the inside of RCF",
    "models.attention.Weigh": "the inside of RCF",
    "models.attention.attend_plainly": "the inside of RCF",
    "models.stacked.adam_steps": "the inside of training NCF",
    "models.stacked.add_gradient": "the inside of training NCF",
    "live.panel.Panel": "needs a live notebook",
    "live.panel.panel": "needs a live notebook",
    "workflow.ensure": "runs notebooks",
    "workflow.explorer": "needs a finished run",
    "workflow.export": "needs a finished run, and writes into the project",
    "workflow.import_results": "needs a run that goes on",
    "workflow.interactions": "needs a finished run",
    "workflow.launch": "writes into the notebooks",
    "workflow.relation_triples": "needs a finished run",
    "workflow.run": "runs notebooks",
    "workflow.slates_of": "needs a finished run",
    "workflow.status": "reads a run",
    "workflow.store_mark": "needs a finished run",
    "workflow.trained_model": "needs a finished run",
    "workflow.untrained_model": "needs a finished run",
}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    """Import every module of the package."""
    found = pkgutil.walk_packages(accent_lib.__path__, "accent_lib.")
    return [accent_lib, *(importlib.import_module(one.name) for one in found if "__main__" not in one.name)]


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
        f"{name}.{member}".removeprefix("accent_lib."): value
        for name in listed
        for member, value in exported(importlib.import_module(name)).items()
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name.removeprefix("accent_lib."))
def test_an_example_shows_what_it_says(example, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=said.append)
    assert not said, "".join(said)


def test_everything_on_the_page_has_an_example():
    shown = {name: value for name, value in on_the_page().items() if not name.startswith("plotting.")}
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
