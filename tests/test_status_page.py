"""The status page: what made the chapters and tables, and nothing that tells of a machine's folders."""

import importlib
import json
from types import SimpleNamespace

import pytest

from accent_book.runner.account import ACCOUNT, account, committed_tables
from accent_book.runs.origin import provenance
from accent_book.runs.parameters import Parameter
from tests.conftest import ROOT, build, copy_sources

PARAMETERS = {
    "run": Parameter("run", "str", "sample"),
    "seed": Parameter("seed", "int", 0),
    "data_home": Parameter("data_home", "str", ""),
    "scheduler": Parameter("scheduler", "str", ""),
}
SETTINGS = {"run": "mine", "seed": 7, "data_home": "/home/ann/data", "scheduler": "tcp://ann-desk:8786"}


@pytest.fixture
def made(tmp_path):
    """An account of one chapter, whose parameters name a folder and a host."""
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n", "utf-8")
    chapter = SimpleNamespace(
        name="02_training",
        folder=tmp_path / "runs" / "mine",
        settings=SETTINGS,
        notebook=SimpleNamespace(parameters=PARAMETERS),
    )
    record = {**provenance(), "seconds": 90.0, "peak_memory": 3 * 2**29, "settings": SETTINGS}
    record |= {"commit": "0123456789a7e5dc08eb2d97da7e3197bbfe923f", "dirty": True}
    return account("small", [chapter], {"02_training": record}, {"fingerprint": "4fba" * 16}, tmp_path)


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    return importlib.import_module("status_page")


def test_an_account_names_no_folder_and_no_host(made, tmp_path):
    text = json.dumps(made)
    for private in (str(tmp_path), "/home", "ann-desk", "data_home", "scheduler"):
        assert private not in text
    assert made["chapters"][0]["changed"] == {"run": "mine", "seed": 7}
    assert made["fingerprints"]["data"] == "4fba" * 4
    assert len(made["fingerprints"]["lock"]) == len(made["fingerprints"]["library"]) == 16


def test_the_page_shows_what_the_account_says(made, page):
    assert "| Profile | `small` |" in page.run(made)
    assert "90.0 s" in page.chapters(made) and "1,536 MiB" in page.chapters(made)
    assert "`0123456789`, changed" in page.chapters(made)
    assert "| 02_training | `seed` | `7` |" in page.parameters(made)
    assert "None" in page.parameters({"chapters": [{**made["chapters"][0], "changed": {}}]})
    other = {**made["chapters"][0], "versions": {**made["chapters"][0]["versions"], "torch": "0.1"}}
    assert ", 0.1 |" in page.versions({"chapters": [made["chapters"][0], other]})
    assert made["fingerprints"]["library"] in page.fingerprints(made)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "not recorded"), (6.26, "6.3 s"), (150, "2.5 min"), (9000, "2.5 h")]
)
def test_a_duration_has_the_unit_that_suits_it(page, seconds, shown):
    assert page.duration(seconds) == shown


def test_committed_tables_have_their_provenance(page):
    records = {table["name"]: table for table in committed_tables(ROOT / "data" / "results")}
    # Every table of outcomes is there, and every file that says where it comes from.
    tables = [path for path in ROOT.glob("data/results/*/*-[0-9].csv.gz")]
    assert tables and {f"{path.parent.name}/{path.name.removesuffix('.csv.gz')}" for path in tables} <= set(
        records
    )
    record = records["ncf-paper/outcomes-3"]
    assert record["seeds"] == [3] and record["rows"] == 1881 and record["seconds"] > 60 and record["commit"]
    assert records["bench/scaling"]["commit"]
    assert "`ncf-paper/outcomes-3`" in page.tables(ROOT / "data" / "results")


@pytest.mark.parametrize("by_runner", [True, False])
def test_the_built_page_tells_a_run_by_the_runner_from_one_by_hand(made, page, tmp_path, by_runner):
    source = tmp_path / "project"
    source.mkdir()
    copy_sources(source)
    (source / "_toc.yml").write_text(
        json.dumps(
            {
                "format": "jb-book",
                "root": "page",
                "chapters": [{"file": "book/reference/status"}, {"file": "book/chapters/02_training"}],
            }
        ),
        "utf-8",
    )
    (source / "page.md").write_text("# Page\n", "utf-8")
    chapters = source / ACCOUNT.parent
    chapters.mkdir(parents=True)
    cell = {"cell_type": "markdown", "metadata": {}, "source": ["# Training"]}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    (chapters / "02_training.ipynb").write_text(json.dumps(notebook), "utf-8")
    # The page refers to the library's page, which is not part of this small book.
    status = source / "book" / "reference" / "status.md"
    status.write_text(status.read_text("utf-8").replace("{py:func}", ""), "utf-8")
    if by_runner:
        (source / ACCOUNT).write_text(json.dumps(made), "utf-8")
    result = build(source)
    assert result.returncode == 0, result.stderr[-3000:]
    html = (source / "_build" / "html" / "book" / "reference" / "status.html").read_text("utf-8")
    assert ("run by hand" in html) == (not by_runner)
    assert ("0123456789" in html) == by_runner
    assert "ncf-paper/outcomes-3" in html
