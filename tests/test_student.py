"""Student notebooks: blanks and checks, text in plain Markdown, and every exercise tried in the tiny run."""

import json
import re
from collections import Counter

import nbformat
import pytest
from nbformat import v4

from accent_book.__main__ import main
from accent_book.publish.plain import Book, labels_of
from accent_book.publish.student import answer, blank, student, student_cells, student_notebook
from accent_lib.errors import AccentError
from tests.conftest import ROOT, TINY
from tests.trial import checks

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


def test_a_blank_has_the_names_that_the_check_reads():
    solution = (
        "import os\ndef f(x, *, y=2):\n    'Doc.'\n    return x\ndef g(): pass\na, (b, c) = 1, (2, 3)\nd = 4"
    )
    stub, names = blank(solution, "assert f(1) == b\nassert d and os")
    raised = "raise AssertionError('f is still blank: write your answer in place of this line.')"
    assert stub == f'def f(x, *, y=2):\n    """Doc."""\n    {raised}\n\nb = ...\nd = ...'
    assert names == ["b", "d"]
    assert blank("for i in []: n = 1", "for i in range(n): assert i")[1] == ["n"]


def test_a_blank_looks_into_loops_and_not_into_functions():
    solution = """for i in range(3):
    with open("f") as file:
        total = [j for j in range(i)]
def f():
    inner = 1"""
    assert blank(solution, "total, file, i, j, inner")[1] == ["i", "file", "total"]


def test_an_answer_is_a_blank_with_its_check():
    solution = [v4.new_markdown_cell(START), code("seed = 1", "given"), code("n = 41 + seed")]
    solution += [code("assert n == 42", "check"), v4.new_markdown_cell(END)]
    given, stub, check = answer(solution, "01_data")
    assert given.source == "seed = 1"
    assert stub.source == "# Your answer\nn = ..."
    with pytest.raises(AssertionError, match="n is still blank: write your answer into the cell above."):
        exec(f"{given.source}\n{stub.source}\n{check.source}", {})
    exec(f"{given.source}\nn = 42\n{check.source}", {})


def test_a_blank_function_says_so_where_none_would_be_right():
    stub, check = answer([code("def f(x): return None"), code("assert f(1) is None", "check")], "01_data")
    with pytest.raises(AssertionError, match="f is still blank: write your answer in place of this line."):
        exec(f"{stub.source}\n{check.source}", {})


def test_an_answer_without_a_check_is_an_empty_cell_and_one_without_code_is_text():
    assert [c.source for c in answer([code("n = 1")], "01_data")] == ["# Your answer"]
    (text,) = answer([v4.new_markdown_cell("It is one.")], "01_data")
    assert (text.cell_type, text.source) == ("markdown", "*Your answer:*")


def test_a_check_of_nothing_is_an_error():
    with pytest.raises(AccentError, match="looks at nothing"):
        answer([code("n = 1"), code("assert 1 == 1", "check")], "01_data")
    with pytest.raises(AccentError, match="looks at nothing"):
        answer([code("assert n == 1", "check")], "01_data")


@pytest.mark.parametrize(
    "texts", [[EXERCISE + START, END], [EXERCISE, START, EXERCISE, END], [EXERCISE, END]]
)
def test_marks_in_disorder_are_an_error(texts):
    with pytest.raises(AccentError, match="an exercise is a cell of its own"):
        student_cells([v4.new_markdown_cell(text) for text in texts], "01_data")


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
    checked = [label for label, *_ in checks(chapters[name].cells)]
    assert len(set(checked)) == len(checked) >= CHECKED[name]


@pytest.mark.parametrize("name", TINY)
def test_a_student_notebook_is_plain_and_gives_nothing_away(chapters, lookup, name):
    made = student_notebook(name, chapters[name], lookup)
    nbformat.validate(made)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"^[`:]{3,}\{|\{[\w:]+\}`|^\(\S+\)=", cell.source, re.MULTILINE), cell.source
    text = "\n".join(cell.source for cell in made.cells)
    for _, solution, _, _ in checks(chapters[name].cells):
        assert solution not in text
    assert all(check.startswith("# Check\n") for *_, check, _ in checks(chapters[name].cells))
    figures = sum("figure" in cell.metadata.get("mystnb", {}) for cell in chapters[name].cells)
    assert len(re.findall(r"^\*Figure \d+\.\* ", text, re.MULTILINE)) == figures


@pytest.mark.parametrize("name", TINY)
def test_an_exercise_mentions_what_its_blank_is_called(chapters, name):
    exercises = {}
    for cell in chapters[name].cells:
        if found := re.search(r"\{exercise-start\}.*\n:label: (\S+)", cell.source):
            exercises[found[1]] = cell.source
    for label, solution, check, _ in checks(chapters[name].cells):
        stub, _ = blank(solution, check)
        names = re.findall(r"^(?:def )?(\w+)(?:\(| = \.\.\.)", stub, re.MULTILINE)
        assert names
        for one in names:
            assert re.search(rf"\b{one}\b", exercises[label]), f"{label} does not say what {one} is"


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
def test_solutions_pass_their_checks_and_wrong_answers_do_not(tiny_run, chapters, name):
    folder, finished = tiny_run
    # A check that fails stops the chapter.
    assert finished[name].returncode == 0, finished[name].stderr[-3000:]
    noted = json.loads((folder / "trials" / f"{name}.json").read_text(encoding="utf-8"))
    wrong = [(one["label"], one["said"]) for one in noted if one["kind"] == "wrong"]
    assert list(dict.fromkeys(label for label, _ in wrong)) == [
        label for label, *_ in checks(chapters[name].cells)
    ]
    for label, said in wrong:
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
    assert made.cells[-1].source == "*Your answer:*"
    assert "1 written" in capsys.readouterr().out


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
