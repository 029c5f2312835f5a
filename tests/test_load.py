"""What a chapter asks of its reader: minutes, words, cells, and lines that fit on the page.

What is folded away holds nothing that a reader would have to read: see ``hidden_work``.
"""

import ast
import json
import math
import re
import symtable

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
WIDTH, CELLS, WORDS, MINUTES = 79, 20, 3000, 45
FOLDED = {"remove-cell", "hide-input", "remove-input", "check"}
# Folded, and no part of the lesson: the way to Colab, the parameters, and what students fill in.
TOOLS = {"launch", "parameters", "blank", "hidden"}
# Code cells that the ten chapters of commit 9c379b7 showed, those of exercises included, and the share of
# them that is enough for what they taught.
SHOWN_BEFORE, ENOUGH = 392, 0.6
LATER = {"00_tour", "10_your_data"}  # chapters about what those ten did not teach
EXERCISE, END = "```{exercise-start}", "## Further reading"


def read(path):
    """Words, code cells that are seen, figures and tables of a chapter without exercises; all of its code."""
    words = cells = figures = 0
    exercises, code = False, []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        text, tags = "".join(cell["source"]), set(cell["metadata"].get("tags", ()))
        if cell["cell_type"] == "code":
            code += [] if "parameters" in tags else text.splitlines()
            figures += "figure" in cell["metadata"].get("mystnb", {})
            figures += not exercises and "hide-input" in tags and ".style" in text  # a table without its code
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


def code_cells(path):
    """Return source and tags of a chapter's code cells."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [
        ("".join(cell["source"]), set(cell["metadata"].get("tags", ())))
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def folded(tags):
    return bool(tags & {"remove-cell", "hide-input", "remove-input"})


def test_the_chapters_show_at_most_six_tenths_of_the_cells_that_they_had():
    shown = {
        path.stem: sum(not folded(tags) for _, tags in code_cells(path))
        for path in NOTEBOOKS
        if path.stem not in LATER
    }
    assert sum(shown.values()) <= ENOUGH * SHOWN_BEFORE, shown


# Names of the packages that a folded cell may call: it sets up, tells in words, writes, and shows.
PACKAGES = ("accent_lib", "torch", "accent_book.claims", "accent_book.runs")
MAY_CALL = {
    "AccentError",
    "export_outcomes",
    "explainers.sentence",
    "sentence",
    *(
        f"runs.{name}"
        for name in "begin interactions words own_file provenance source_of store_path results_folder".split()
    ),
    "torch.set_num_threads",
}
SHOWS = {"glue", "display", "print", "Markdown", "run.log", "run.write_csv", "run.write_json", "runs.begin"}


def imported_names(trees):
    """Names by which a notebook knows what it imports of PACKAGES."""
    names = set()
    for tree in trees:
        for node in ast.walk(tree):
            for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                module = getattr(node, "module", None)
                whole = f"{module}.{alias.name}" if module else alias.name
                if f"{whole}.".startswith(tuple(f"{package}." for package in PACKAGES)):
                    names.add(alias.asname or alias.name.split(".")[0])
    return names


def called(tree):
    """What a cell calls, by its dotted name as far as it has one: ``figures.starts`` of a call of it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            while isinstance(function, ast.Attribute) and not isinstance(function.value, ast.Name):
                function = function.value
                function = function.func if isinstance(function, ast.Call) else function
                function = function.value if isinstance(function, ast.Subscript) else function
            found.add(ast.unparse(function))
    return found


def names_of(statement):
    """Names that a statement binds at the top level, and those that it reads from there, in functions too."""
    tables, bound, read = [symtable.symtable(ast.unparse(statement), "cell", "exec")], set(), set()
    bound |= {name.get_name() for name in tables[0].get_symbols() if name.is_assigned() or name.is_imported()}
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for name in table.get_symbols():
            if name.is_referenced() and (name.is_global() or table.get_type() == "module"):
                read.add(name.get_name())
    return bound, read


def reads(tree):
    """Names that a cell reads before it has bound them itself, and all that it binds."""
    needed, own = set(), set()
    for statement in tree.body:
        bound, read = names_of(statement)
        # A loop reads what it binds; an assignment reads first, and its function reads what it is called.
        simple = isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign)
        needed |= read - own - (set() if simple else bound)
        own |= bound
    return needed, own


def hidden_work(cells):
    """What folded cells do that they must not, as (what, first line of the cell).

    A folded cell may import, take over parameters and set the notebook up, ``glue`` and log and write, and
    show: words, tables and figures of what visible cells have computed. So it calls nothing of the library,
    of PyTorch, or of what loads models and results (``PACKAGES``, but for ``MAY_CALL``), what it binds is
    read by no cell that is seen, and it shows something (``SHOWS``, ``figures``, or what it ends in).
    The set-up is the one cell with ``runs.begin``, which others may read.
    """
    cells = [(source, tags) for source, tags in cells if not tags & TOOLS]
    trees = [ast.parse(source) for source, _ in cells]
    library, found = imported_names(trees), []
    for number, ((source, tags), tree) in enumerate(zip(cells, trees, strict=True)):
        if not folded(tags):
            continue
        line = source.split("\n")[0]
        calls = called(tree)
        found += [
            (f"calls {name}", line)
            for name in sorted(calls - MAY_CALL)
            if name.split(".")[0] in library and not name.startswith("run.")
        ]
        last = tree.body[-1]
        if not calls & SHOWS and "figures." not in source and not isinstance(last, ast.Expr):
            found.append(("shows nothing", line))
        if "runs.begin" in calls:
            continue
        left = reads(tree)[1]
        for (_, others), other in zip(cells[number + 1 :], trees[number + 1 :], strict=True):
            needed, bound = reads(other)
            if not folded(others):
                found += [(f"makes {name}", line) for name in sorted(left & needed)]
            left -= bound
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_folded_cell_sets_up_or_shows_and_hides_no_work(path):
    assert hidden_work(code_cells(path)) == []


def test_work_that_is_folded_away_is_found():
    begin = ("from accent_lib.models import top_k\nrun = runs.begin('x', globals())", {"hide-input"})
    seen = ("slate = top_k(model, 0, 5)\nlength = len(slate)", set())
    shown = ("glue('length', length)", {"hide-input"})
    assert hidden_work([begin, seen, shown]) == []
    assert hidden_work([begin, (f"{seen[0]}\nglue('n', length)", {"remove-cell"})]) == [
        ("calls top_k", "slate = top_k(model, 0, 5)")
    ]
    twice = ("double = 2 * length\nprint(double)", {"hide-input"})
    assert hidden_work([begin, seen, twice]) == []
    assert hidden_work([begin, seen, twice, ("double + 1", set())]) == [
        ("makes double", "double = 2 * length")
    ]
    assert hidden_work([begin, seen, twice, ("double = 1", set()), ("double + 1", set())]) == []
    assert hidden_work([begin, ("half = 1 / 2", {"hide-input"})]) == [("shows nothing", "half = 1 / 2")]
