"""What the book says about the sample in words is said where it is looked for, and is so."""

import importlib
import json
import re
from types import SimpleNamespace

import pytest

from accent_book import runs
from accent_book.experiments.sample import settings
from accent_book.publish.statements import CHAPTERS, STATEMENTS, Values, not_true
from accent_book.runner.account import ACCOUNT
from tests.conftest import ROOT

PLACES = [place for places in STATEMENTS.values() for place in places]


@pytest.fixture(scope="module")
def kept():
    """What a run of the sample glued."""
    return json.loads((runs.results_folder() / "sample.json").read_text("utf-8"))


def text_of(page):
    """A page, or the Markdown cells of a notebook and what stands at its figures, with single spaces."""
    if "/" in page or page.endswith(".md"):
        return " ".join((ROOT / page).read_text("utf-8").split())
    cells = json.loads((ROOT / "notebooks" / f"{page}.ipynb").read_text("utf-8"))["cells"]
    shown = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    about = [cell["metadata"].get("mystnb", {}) for cell in cells]
    shown += [
        one.get("figure", {}).get("caption", "") + " " + one.get("image", {}).get("alt", "") for one in about
    ]
    return " ".join(" ".join(shown).split())


@pytest.mark.parametrize("page, sentence", PLACES, ids=lambda text: text[:40])
def test_what_is_computed_is_said(page, sentence, kept):
    chapter, _, name = page.partition("::")
    found = kept["values"][chapter][name] if name else text_of(page)
    assert " ".join(sentence.split()) in " ".join(found.split())


@pytest.mark.parametrize("check", STATEMENTS, ids=lambda check: check.__name__)
def test_what_is_said_is_so(check, kept):
    assert check(Values(kept["values"])), check.__doc__


def test_a_sentence_is_computed_once_and_there_are_enough():
    assert len(PLACES) == len(set(PLACES)) >= 40
    assert {page.partition("::")[0] for page, _ in PLACES} > set(CHAPTERS)


def test_the_readmes_explanation_is_the_samples_and_comes_true(kept):
    said, values = text_of("README.md"), Values(kept["values"])
    told = values("README", "sentence").removeprefix("Had you not ")
    first, second, replacement, recommendation = re.findall(r"([A-Z][\w ]*) \(", told)
    assert f'had she not rated "{first}" and "{second}",' in said
    assert f'she would have been recommended "{replacement}" instead of "{recommendation}"' in said
    full, one, two = values.numbers("README", "gaps")
    assert (
        f"{full} stars with the full history, {one} after one action is removed, closed and reversed" in said
    )
    control, without = values.numbers("README", "retrained")
    assert two < 0 and without < 0 < control
    assert "Retraining without the two ratings confirms it." in said


def test_the_lab_sees_what_the_guide_says_of_failures(kept):
    assert (
        "sets of NCF land close to the line, and the drift of the control decides; RCF's failures were"
        " estimated to land nearer to it than its other sets"
    ) in text_of("book/teaching.md")
    values = Values(kept["values"])
    assert max(values.of("failures", "ncf_holds", "ncf_fails")) < 0.05  # stars
    assert values("failures", "ncf_drift") > 0.5
    assert values("failures", "rcf_fails") < 0.5 * values("failures", "rcf_holds")


class Nothing(dict):
    """Values of a run that showed nothing: no number is one, no text says anything."""

    def __missing__(self, name):
        return Nothing() if name in CHAPTERS else "nan"


@pytest.mark.parametrize("check", STATEMENTS, ids=lambda check: check.__name__)
def test_no_check_holds_whatever_the_run(check):
    try:
        assert not check(Values(Nothing()))
    except (AttributeError, ValueError):  # a text in which a number was looked for
        pass


def test_the_kept_values_are_those_of_todays_sample(kept):
    """Else: make the book, then `python -m accent_book.experiments.sample`."""
    assert kept["settings"] == settings()
    assert set(kept["values"]) == {*CHAPTERS, "README", "failures"} and kept["commit"]


def test_the_build_of_a_book_of_the_sample_tells_what_is_not_so(kept, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    page, told = importlib.import_module("statements"), []
    monkeypatch.setattr(page.LOG, "info", lambda *said: told.append(said))
    wrong = json.loads(json.dumps(kept["values"])) | {
        "10_your_data": {"error": "2.0", "means": "1.0", "n_tops": "28"}
    }
    monkeypatch.setattr(page, "read_values", lambda folder: wrong)
    path = tmp_path / ACCOUNT
    path.parent.mkdir(parents=True)
    for changed in ({}, {"seed": 1}):
        about = {"profile": "sample", "chapters": [{"name": name, "changed": changed} for name in CHAPTERS]}
        path.write_text(json.dumps(about), "utf-8")
        page.check(SimpleNamespace(srcdir=str(tmp_path)))
    assert len(told) == 1 and "the_clubs_model_beats_means" in told[0][1]
    assert not_true(kept["values"]) == []
