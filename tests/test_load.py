"""What a chapter asks of its reader: minutes, words, cells, and lines that fit on the page."""

import json
import math
import re

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
WIDTH, CELLS, WORDS, MINUTES = 79, 30, 3000, 45
FOLDED = {"remove-cell", "hide-input", "remove-input", "check"}
EXERCISE, END = "```{exercise-start}", "## Further reading"


def read(path):
    """Words, code cells that are seen, and figures of a chapter without exercises; all of its code."""
    words = cells = figures = 0
    exercises, code = False, []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        text, tags = "".join(cell["source"]), set(cell["metadata"].get("tags", ()))
        if cell["cell_type"] == "code":
            code += [] if "parameters" in tags else text.splitlines()
            figures += "figure" in cell["metadata"].get("mystnb", {})
            cells += not exercises and not tags & FOLDED
        elif "remove-cell" not in tags:
            exercises = (exercises or EXERCISE in text) and END not in text
            words += 0 if exercises else len(text.split())
    return words, cells, figures, code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_takes_the_minutes_that_it_says_and_no_more_than_a_lesson(path):
    words, cells, figures, _ = read(path)
    assert words <= WORDS and cells <= CELLS
    minutes = 5 * math.ceil((words / 150 + cells + figures / 2) / 5)
    assert minutes <= MINUTES
    (said,) = re.findall(r"About (\d+) minutes without the exercises\.", path.read_text("utf-8"))
    assert int(said) == minutes


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_line_of_code_is_wider_than_the_page(path):
    assert [line for line in read(path)[3] if len(line) > WIDTH] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_are_folded_and_what_begins_a_notebook_is_too(path):
    tags = [
        set(cell["metadata"]["tags"])
        for cell in json.loads(path.read_text("utf-8"))["cells"]
        if cell["cell_type"] == "code"
        and ("parameters" in cell["metadata"].get("tags", ()) or "runs.begin(" in "".join(cell["source"]))
    ]
    assert len(tags) == 2 and all("hide-input" in each for each in tags)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_says_its_minutes(path):
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"]]
    exercises = [text for text in cells if text.startswith(EXERCISE)]
    assert exercises
    for text in exercises:
        assert re.search(
            r"^\*(\d+ minutes|An afternoon, or more)\.\*\n```\{exercise-end\}$", text, re.MULTILINE
        )
