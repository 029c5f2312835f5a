"""Student notebooks: blanks and checks, plain Markdown, sheets, and every exercise tried in the tiny run."""

import json
import re
from collections import Counter

import nbformat
import pytest
from nbformat import v4

from accent_book.__main__ import main
from accent_book.publish.exercises import Exercise
from accent_book.publish.plain import Book, labels_of
from accent_book.publish.student import (
    answer,
    instructor_notebook,
    released,
    student,
    student_notebook,
    with_answers,
)
from accent_lib.errors import AccentError
from tests.conftest import ROOT, TINY
from tests.trial import COPIED, checks

# How many exercises a chapter may have at most, and how many of them must be checked at least.
MOST = 6
CHECKED = dict.fromkeys(TINY, 1) | dict.fromkeys(["01_data", "02_training", "04_explanations"], 2)
SENTENCE = re.compile(r"[A-Z\w].{20,}[.?:]", re.DOTALL)
EXERCISE = "```{exercise-start}\n:label: ex-a\n```\nHow many?\n```{exercise-end}\n```"
START, END = "```{solution-start} ex-a\n:class: dropdown\n```", "```{solution-end}\n```"


@pytest.fixture(scope="module")
def chapters():
    paths = [ROOT / "notebooks" / f"{name}.ipynb" for name in TINY]
    return {path.stem: nbformat.read(path, as_version=4) for path in paths}


@pytest.fixture(scope="module")
def lookup(chapters):
    return Book.of(ROOT, {name: notebook.cells for name, notebook in chapters.items()})


def code(source, *tags):
    return v4.new_code_cell(source, metadata={"tags": list(tags)})


# What is left of a solution


ASKED = Exercise("ex-a", EXERCISE, 10)


def answered(*solution):
    """What stands in place of a solution, for the instructor and for students."""
    cells = answer(ASKED, solution, "01_data", Book(labels={"ex-a": ("01_data", "Exercise 7")}))
    return cells, [released(cell) for cell in cells]


def test_an_answer_is_a_blank_with_its_check():
    solution = [
        v4.new_markdown_cell(START),
        code("seed = 1", "given"),
        code("n = ...  # a number", "blank"),
        v4.new_markdown_cell("As $41 + 1$."),
        code("n = 41 + seed"),
        code("# Check\nassert n > 9", "check"),
        code("# Hidden\nassert n == 42, n", "hidden"),
        v4.new_markdown_cell(END),
    ]
    (_, whole, graded), (given, stub, check) = answered(*solution)
    marked = "### BEGIN SOLUTION\n# As $41 + 1$.\nn = 41 + seed\n### END SOLUTION"
    assert whole.source == f"# Your answer\nn = ...  # a number\n{marked}"
    assert given.source == "seed = 1"
    assert stub.source == "# Your answer\nn = ...  # a number\n"
    assert "42" not in check.source
    marks = [cell.metadata.nbgrader for cell in (given, stub, check)]
    assert [mark.grade_id for mark in marks] == ["ex-a-given-1", "ex-a-answer", "ex-a"]
    assert [(mark.grade, mark.solution, mark.locked) for mark in marks] == [
        (False, False, True),
        (False, True, False),
        (True, False, True),
    ]
    assert marks[2].points == 10
    with pytest.raises(AssertionError, match="n is still blank: write your answer into the cell above."):
        exec(f"{given.source}\n{stub.source}\n{check.source}", {})
    exec(f"{given.source}\nn = 10\n{check.source}", {})
    with pytest.raises(AssertionError, match="10"):
        exec(f"{given.source}\nn = 10\n{graded.source}", {})


def test_a_check_that_finds_nothing_says_so(capsys):
    *_, (_, check) = answered(code("n = ...", "blank"), code("n = 1"), code("assert n", "check"))
    exec(f"n = 1\n{check.source}", {})
    assert capsys.readouterr().out == "Exercise 7: the check found nothing wrong.\n"


def test_an_answer_without_a_check_is_an_empty_cell_that_somebody_grades():
    _, (cell,) = answered(code("n = 1"))
    assert cell.source == "# Your answer\n"
    (whole,), (text,) = answered(v4.new_markdown_cell("It is one."))
    assert whole.source == "*Your answer:*\n### BEGIN SOLUTION\nIt is one.\n### END SOLUTION"
    assert (text.cell_type, text.source) == ("markdown", "*Your answer:*\n")
    for mark in (cell.metadata.nbgrader, text.metadata.nbgrader):
        assert (mark.grade, mark.solution, mark.points, mark.grade_id) == (True, True, 10, "ex-a")


def test_a_check_without_a_blank_is_an_error():
    with pytest.raises(AccentError, match="the solution of ex-a has a check, but no cell tagged blank"):
        answered(code("n = 1"), code("assert n == 1", "check"))


def test_points_are_minutes_and_an_open_exercise_has_none():
    assert Exercise.of(":label: ex-a\nHow many?\n*25 minutes.*") == Exercise(
        "ex-a", ":label: ex-a\nHow many?\n*25 minutes.*", 25
    )
    assert Exercise.of(":label: ex-a\nHow many?\n*An afternoon, or more.*").points == 0


@pytest.mark.parametrize(
    "texts", [[EXERCISE + START, END], [EXERCISE, START, EXERCISE, END], [EXERCISE, END]]
)
def test_marks_in_disorder_are_an_error(texts):
    with pytest.raises(AccentError, match="an exercise is a cell of its own"):
        with_answers([v4.new_markdown_cell(text) for text in texts], "01_data", Book())


# Text in plain Markdown


@pytest.fixture(scope="module")
def little():
    return Book(
        glued={"01_data": {"n": "1234", "share": "0.256", "name": "'sample'"}},
        paper={"users": "452"},
        cited={"tran": ("Tran et al.", "2021", "https://doi.org/1"), "koh": ("Koh and Liang", "2017", "")},
        labels={
            "fig-a": ("01_data", "Figure 1"),
            "ex-a": ("01_data", "Exercise 1"),
            "thm": ("01_data", "Theorem 1"),
        },
    )


@pytest.mark.parametrize(
    "book_text, plain_text",
    [
        ("{glue:text}`n:,d` of {glue:text}`name`, {glue:text}`share:.1%`", "1,234 of sample, 25.6%"),
        ("{glue:text}`missing:.2f`", "…"),
        ("two {glue:text}`films`", "two films"),
        ("{paper}`users` users", "452 users"),
        ("{cite:t}`tran` show", "[Tran et al. (2021)](https://doi.org/1) show"),
        ("so {cite:p}`tran,koh`", "so ([Tran et al., 2021](https://doi.org/1); Koh and Liang, 2017)"),
        ("{numref}`fig-a`", "Figure 1"),
        ("{ref}`the exercise\nbefore <ex-a>`", "Exercise 1"),
        ("{ref}`the\nplot <fig-a>`", "the plot"),
        ("{prf:ref}`thm`", "Theorem 1"),
        ("{py:func}`accent_lib.explanations.explain`", "`accent_lib.explanations.explain`"),
        ("{py:class}`~accent_lib.models.NCF`", "`NCF`"),
        ("[Training](02_training)", "[Training](02_training.ipynb)"),
        ("[ours](../reference/protocol) and [below](films)", "ours and below"),
        ("[Dask](https://distributed.dask.org)", "[Dask](https://distributed.dask.org)"),
        ("`a[0](1)` and $[p](q)$", "`a[0](1)` and $[p](q)$"),
        ("(films)=\n## Films", "## Films"),
        ("```bash\nmake [a](b)\n```", "```bash\nmake [a](b)\n```"),
        (EXERCISE, "### Exercise 1\n\nHow many?"),
        ("```{admonition} Mind\n:class: tip\n{paper}`users`\n```", "> **Mind**\n>\n> 452"),
        ("```{math}\n:label: eq-a\nx\n```", "$$\nx\n$$"),
        ("```{figure} a.svg\n:alt: A\nA curve.\n```", "> **Figure**\n>\n> A curve."),
        ("````{prf:theorem} Greedy\n:label: thm\n\n$$\nx\n$$\n````", "**Theorem 1: Greedy**\n\n$$\nx\n$$"),
    ],
)
def test_the_books_markdown_becomes_plain(little, book_text, plain_text):
    assert little.plain(book_text, "01_data") == plain_text


@pytest.mark.parametrize(
    "book_text, unknown",
    [
        ("```{mermaid}\na --> b\n```", "the directive {mermaid}"),
        (":::{note}\nMind.\n:::", "the directive {note}"),
        ("~~~{code-block} python\n1\n~~~", "the directive {code-block}"),
        ("```{list table}\n```", "the directive {list table}"),
        ("````{admonition} Mind\n```{tip}\nIt.\n```\n````", "the directive {tip}"),
        ("- a list\n  ```{admonition} Mind\n  It.\n  ```", "the directive {admonition}, as it is indented,"),
        ("so {eq}`eq-a`", "{eq}`eq-a`"),
        ("so {kbd-x}`a`", "{kbd-x}`a`"),
        ("so {glue:figure}`n`", "{glue:figure}`n`"),
        ("so {cite:year}`tran`", "{cite:year}`tran`"),
        ("so {cite:p}`tran, nobody`", "{cite:p}`tran, nobody`"),
        ("{paper}`usres` users", "{paper}`usres`"),
        ("[all {abbr}`x`](02_training)", "{abbr}`x`"),
        ("```{admonition} Mind\nso {sub}`x`\n```", "{sub}`x`"),
    ],
)
def test_what_has_no_plain_form_is_told_with_its_place(little, book_text, unknown):
    with pytest.raises(AccentError) as error:
        little.plain(f"## Films\n\n{book_text}", "01_data")
    begin = "01_data, the cell or caption that begins with '## Films': "
    assert str(error.value).startswith(f"{begin}{unknown} has no form in plain Markdown; ")


@pytest.mark.parametrize(
    "text",
    ["`{kbd}` and $\\mathrm{a}$", "```python\nf'{x}`'\n```", "- a\n  ```\n  {eq}`b`\n  ```", "{x} `y`"],
)
def test_braces_in_code_and_formulas_are_no_roles(little, text):
    assert little.plain(text, "01_data") == text


def test_a_label_of_another_chapter_becomes_a_link(little):
    assert little.plain("{numref}`fig-a`", "02_training") == "[Figure 1](01_data.ipynb)"
    assert little.plain("{glue:text}`../chapters/01_data.ipynb::n:d`", "02_training") == "1234"


def test_labels_are_numbered_by_kind():
    figure = v4.new_code_cell("", metadata={"mystnb": {"figure": {"name": "fig-a", "caption": "A."}}})
    texts = [
        "(here)=\n## Here",
        EXERCISE,
        "```{prf:theorem}\n:label: thm\nSo.\n```",
        EXERCISE.replace("ex-a", "ex-b"),
    ]
    found = labels_of([figure, *map(v4.new_markdown_cell, texts)], Counter(Figure=2))
    numbers = {
        "fig-a": "Figure 3",
        "ex-a": "Exercise 1",
        "ex-b": "Exercise 2",
        "thm": "Theorem 1",
        "here": "Here",
    }
    assert found == numbers


# The chapters


@pytest.mark.parametrize("name", TINY)
def test_a_chapter_has_exercises_with_one_solution_each(chapters, name):
    texts = [cell.source for cell in chapters[name].cells if cell.cell_type == "markdown"]
    labels = [label for text in texts for label in re.findall(r"^:label: (ex-\S+)", text, re.MULTILINE)]
    solved = [label for text in texts for label in re.findall(r"\{solution-start\} (\S+)", text)]
    assert len(set(labels)) == len(labels) and solved == labels
    assert 2 <= len(labels) <= MOST
    checked = checks(chapters[name].cells)
    assert len({one.label for one in checked}) == len(checked) >= CHECKED[name]
    for one in checked:
        assert one.check.startswith("# Check\n") and one.hidden.startswith("# Hidden\n"), one.label
        assert one.names, f"the blank of {one.label} asks for nothing"


@pytest.mark.parametrize("name", TINY)
def test_a_student_notebook_is_plain_and_gives_nothing_away(chapters, lookup, name):
    made = student_notebook(name, chapters[name], lookup)
    nbformat.validate(made)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"^[`:]{3,}\{|\{[\w:]+\}`|^\(\S+\)=", cell.source, re.MULTILINE), cell.source
    text = "\n".join(cell.source for cell in made.cells)
    whole = "\n".join(cell.source for cell in instructor_notebook(name, chapters[name], lookup).cells)
    for one in checks(chapters[name].cells):
        for secret in (one.solution, one.hidden.removeprefix("# Hidden\n")):
            assert secret.strip() in whole and secret.strip() not in text
    figures = sum("figure" in cell.metadata.get("mystnb", {}) for cell in chapters[name].cells)
    assert len(re.findall(r"^\*Figure \d+\.\* ", text, re.MULTILINE)) == figures


@pytest.mark.parametrize("name", TINY)
def test_an_exercise_mentions_what_its_blank_is_called(chapters, name):
    exercises = {}
    for cell in chapters[name].cells:
        if found := re.search(r"\{exercise-start\}.*\n:label: (\S+)", cell.source):
            exercises[found[1]] = cell.source
    for one in checks(chapters[name].cells):
        for asked in one.names:
            told = re.search(rf"\b{asked}\b", exercises[one.label])
            assert told, f"{one.label} does not say what {asked} is"


@pytest.mark.parametrize("name", TINY)
def test_figures_and_exercises_have_the_numbers_of_the_book(book, lookup, name):
    page = (book / "book" / "chapters" / f"{name}.html").read_text(encoding="utf-8")
    for label, (place, text) in lookup.labels.items():
        if place == name and re.fullmatch(r"(Figure|Exercise|Theorem|Algorithm|Definition) \d+", text):
            shown = re.search(rf'id="{label}".*?caption-number">([^<]*)', page, re.DOTALL)[1]
            assert shown.replace("Fig.", "Figure").strip() == text


@pytest.mark.parametrize("name", TINY)
def test_blanks_fail_their_checks_with_a_sentence_and_break_nothing_else(tiny_run, name):
    noted = json.loads((tiny_run[0] / "trials" / f"{name}.json").read_text(encoding="utf-8"))
    tried = [one for one in noted if one["kind"] == "check"]
    assert len(tried) >= CHECKED[name]
    for one in tried:
        kind, _, said = one["said"].partition(": ")
        assert kind == "AssertionError" and SENTENCE.fullmatch(said), one
    broken = [one for one in noted if one["kind"] == "cell" and one["said"]]
    assert not broken


@pytest.mark.parametrize("name", TINY)
def test_solutions_pass_their_checks_and_wrong_or_copied_answers_do_not(tiny_run, chapters, name):
    folder, finished = tiny_run
    # A check that fails stops the chapter.
    assert finished[name].returncode == 0, finished[name].stderr[-3000:]
    noted = json.loads((folder / "trials" / f"{name}.json").read_text(encoding="utf-8"))
    wrong = [(one["label"], one["said"]) for one in noted if one["kind"] == "wrong"]
    assert list(dict.fromkeys(label for label, _ in wrong)) == [
        one.label for one in checks(chapters[name].cells)
    ]
    copied = [(one["label"], one["said"]) for one in noted if one["kind"] == "copied"]
    assert [label for label, _ in copied] == [
        one.label for one in checks(chapters[name].cells) if one.is_of_a_function or one.label in COPIED
    ]
    for label, said in wrong + copied:
        kind, _, said = said.partition(": ")
        assert kind == "AssertionError" and SENTENCE.fullmatch(said), (label, kind, said)


# The command


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one chapter, executed with another parameter."""
    (tmp_path / "notebooks" / "profiles").mkdir(parents=True)
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    for name in ("paper.yml", "references.bib"):
        (tmp_path / "book" / name).write_text((ROOT / "book" / name).read_text("utf-8"), "utf-8")
    cells = [
        v4.new_markdown_cell("# Data\n\nIt has {glue:text}`n:,d`."),
        code('run = "sample"  # type: str  name', "parameters"),
        v4.new_markdown_cell(EXERCISE),
        *map(v4.new_markdown_cell, (START, END)),
    ]
    notebook = v4.new_notebook(cells=cells)
    nbformat.write(notebook, tmp_path / "notebooks" / "01_data.ipynb")
    scrap = {"scrapbook": {"name": "n", "mime_prefix": "application/papermill.record/"}}
    output = v4.new_output(
        "display_data", {"application/papermill.record/text/plain": "1234"}, metadata=scrap
    )
    injected = code('# Parameters\nrun = "mine"', "injected-parameters")
    injected.outputs = [output]
    notebook.cells = [*cells[:2], injected, *cells[2:]]
    nbformat.write(notebook, tmp_path / "book" / "chapters" / "01_data.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_notebooks_with_numbers_and_parameters_of_the_last_run(project, capsys):
    assert main(["student"]) == 0
    made = nbformat.read(project / "_build" / "student" / "01_data.ipynb", as_version=4)
    nbformat.validate(made)
    assert [cell.source for cell in made.cells if cell.cell_type == "code"] == [
        'run = "sample"  # type: str  name',
        '# Parameters\nrun = "mine"',
    ]
    assert made.cells[0].source == "# Data\n\nIt has 1,234."
    assert made.cells[-1].source == "*Your answer:*\n"
    assert "1 written" in capsys.readouterr().out


def test_sheets_have_the_exercises_and_no_solutions(project):
    student()
    page = (project / "_build" / "student" / "sheets" / "01_data.html").read_text("utf-8")
    assert "<h3>Exercise 1 (open, no points)</h3>\n<p>How many?</p>" in page
    assert "solution" not in page and "Your answer" not in page
    assert (project / "_build" / "student" / "sheets" / "mathjax" / "tex-chtml.js").exists()


def test_the_instructors_build_is_a_course_of_nbgrader(project, capsys):
    assert main(["student", "--instructor"]) == 0
    course = project / "_build" / "instructor"
    made = nbformat.read(course / "source" / "01_data" / "01_data.ipynb", as_version=4)
    assert "### BEGIN SOLUTION" in made.cells[-1].source
    config = course / "nbgrader_config.py"
    assert "ClearSolutions" in config.read_text("utf-8")
    config.write_text("# mine", "utf-8")
    assert main(["student", "--instructor"]) == 0
    assert config.read_text("utf-8") == "# mine"
    assert "Instructor's notebooks: 1 written" in capsys.readouterr().out


def test_without_a_run_numbers_are_left_open(project, capsys):
    (project / "book" / "chapters" / "01_data.ipynb").unlink()
    (made,) = student(project / "elsewhere")
    assert nbformat.read(made, as_version=4).cells[0].source == "# Data\n\nIt has …."
    assert "these chapters were not run: 01_data" in capsys.readouterr().out


def test_what_a_student_wrote_is_kept_and_what_nobody_touched_is_made_anew(project, capsys):
    (path,) = student()
    made = nbformat.read(path, as_version=4)
    made.cells[2].execution_count = 3  # run, not written in
    nbformat.write(made, path)
    assert student() == [path]
    made.cells[-1].source = "It is three."
    nbformat.write(made, path)
    assert student() == []
    assert "somebody has written in it" in capsys.readouterr().out
    assert nbformat.read(path, as_version=4).cells[-1].source == "It is three."


def test_no_notebooks_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("accent_book.runs.notebooks.project_root", lambda: tmp_path)
    assert main(["student"]) == 1
    assert "There are no notebooks in" in capsys.readouterr().err
