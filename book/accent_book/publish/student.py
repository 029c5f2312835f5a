"""Student notebooks: the notebooks with their solutions taken out, and checks that tell what is missing.

A notebook of ``notebooks/`` is the one source. In it an exercise and its solution stand between directives of
sphinx-exercise, each in a cell of its own. In a solution a code cell may have a tag: ``given`` is set-up that
the student gets, ``check`` holds asserts whose messages teach, ``hidden`` those that only the grader has, and
``blank`` is what is left for the student where there is a check. All other cells are the answer.

The instructor's build has all of it, marked for nbgrader. A student notebook is that build without what
stands between the marks: nbgrader's own ``generate_assignment`` makes the same of it.
"""

import hashlib
import re
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import v4

from accent_book.publish.exercises import Exercise, write_sheets
from accent_book.publish.plain import Book, read_notebook
from accent_book.runs import notebooks
from accent_book.runs.notebooks import short
from accent_lib.errors import AccentError
from accent_lib.files import atomic

DIRECTIVE = re.compile(r"\{(exercise-start|exercise-end|solution-start|solution-end)\}")
# What the cells of an exercise or a solution may be: the directives of each in order.
START, END, WHOLE = ["solution-start"], ["solution-end"], ["solution-start", "solution-end"]
EXERCISE = ["exercise-start", "exercise-end"]
# What a student sets, of what a blank leaves open.
UNSET = re.compile(r"^(\w+) = \.\.\.", re.MULTILINE)
# Regions that nbgrader takes out.
SOLUTION, TESTS = "SOLUTION", "HIDDEN TESTS"
REGION = re.compile(rf"^### BEGIN ({SOLUTION}|{TESTS})\n.*?^### END \1(\n|\Z)", re.MULTILINE | re.DOTALL)
HINT = """> **Student notebook.** This is the chapter of the book, without the solutions of the exercises at
> its end. Write your answers into the cells that say *Your answer*. Where a check follows, run it: it stops
> with a hint, or says that it found nothing wrong. An exercise has as many points as minutes; an open one
> has none. The numbers in the text are those of the run from which this notebook was made. If you change a
> parameter, believe the tables and figures, not the text."""
CONFIG = """# A course of nbgrader: `nbgrader generate_assignment 01_data` makes what students get.
c = get_config()  # noqa: F821

# A blank stands before each solution, so nothing takes the solution's place.
c.ClearSolutions.code_stub = {"python": ""}
c.ClearSolutions.text_stub = ""
# Chapters train models, some for minutes.
c.Execute.timeout = 3600
"""


def student(to=None, instructor=False) -> list[Path]:
    """Write a student notebook for every notebook, and a sheet with its exercises.

    Numbers in the text and parameters are those of the chapters in ``book/chapters``, which the last run left
    there. A notebook in which somebody has written is left as it is.

    Parameters
    ----------
    to : path, optional
        The folder; ``_build/student`` or ``_build/instructor`` by default.
    instructor : bool
        Write a course folder for nbgrader instead: solutions and hidden tests are in it.

    Returns
    -------
    list of Path
        The notebooks that were written.

    Raises
    ------
    AccentError
        If there are no notebooks, or an exercise is not written as it has to be.
    """
    root = notebooks.project_root()
    folder = Path(to or root / "_build" / ("instructor" if instructor else "student"))
    paths = [source.path for source in notebooks.all_notebooks(root)]
    if not paths:
        raise AccentError(f"There are no notebooks in {root}; run this in the project's folder.")
    sources = {path.stem: read_notebook(path) for path in paths}
    book = Book.of(root, {name: source.cells for name, source in sources.items()})
    written, kept = [], []
    for name, source in sources.items():
        target = folder / "source" / name / f"{name}.ipynb" if instructor else folder / f"{name}.ipynb"
        if target.exists() and _worked_on(target):
            kept.append(target)
            continue
        make = instructor_notebook if instructor else student_notebook
        made = make(name, source, book, _injected(root / "book" / "chapters" / target.name))
        with atomic(target) as file:
            nbformat.write(made, file)
        written.append(target)
    if instructor:
        config = folder / "nbgrader_config.py"
        if not config.exists():  # else it is the lecturer's
            with atomic(config) as file:
                file.write_text(CONFIG, "utf-8")
    else:
        write_sheets(sources, book, folder / "sheets")
    kind = "Instructor's" if instructor else "Student"
    print(f"{kind} notebooks: {len(written)} written to {short(folder.absolute(), root)}")
    for target in kept:
        print(f"  {target.name}: kept, because somebody has written in it; remove it to have it made anew")
    lacking = [name for name in sources if name not in book.glued]
    if lacking:
        print(f"  without numbers in the text, as these chapters were not run: {', '.join(lacking)}")
    return written


def student_notebook(name, source, book, injected=()) -> nbformat.NotebookNode:
    """Make one student notebook, which is also what nbgrader would release.

    Parameters
    ----------
    name : str
        Of the notebook.
    source : NotebookNode
        The notebook.
    book : Book
    injected : sequence of NotebookNode
        Cells to put after the parameters: other values of them.

    Returns
    -------
    NotebookNode
    """
    made = instructor_notebook(name, source, book, injected)
    made.cells = [released(cell) for cell in made.cells]
    made.metadata["accent_student"] = _hash(made.cells)
    return made


def instructor_notebook(name, source, book, injected=()) -> nbformat.NotebookNode:
    """Make one notebook with solutions and hidden tests, of which nbgrader makes that of the students.

    Parameters
    ----------
    name, source, book, injected
        As for `student_notebook`.

    Returns
    -------
    NotebookNode
    """
    cells = []
    for cell in with_answers(source.cells, name, book):
        if "slideshow" in cell.metadata and "remove-cell" in cell.metadata.get("tags", ()):
            continue  # Only a slide needs it.
        cells.append(_in_jupyter(cell, name, book))
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if figure:
            title = book.labels.get(figure.get("name"), (name, "Figure"))[1]
            cells.append(v4.new_markdown_cell(f"*{title}.* {book.plain(figure.get('caption', ''), name)}"))
        if "parameters" in cell.metadata.get("tags", ()):
            cells.extend(injected)
    cells.insert(1, v4.new_markdown_cell(HINT))
    for number, cell in enumerate(cells):
        cell["id"] = f"student-{number:03d}"
    made = v4.new_notebook(cells=cells, metadata=dict(source.metadata))
    made.metadata["accent_student"] = _hash(cells)
    return made


def with_answers(cells, name, book) -> list[nbformat.NotebookNode]:
    """Replace every solution by a cell for the answer, and its check if it has one.

    Parameters
    ----------
    cells : list of NotebookNode
    name : str
        Of the notebook, for errors.
    book : Book
        For the text of solutions, and the numbers of exercises.

    Returns
    -------
    list of NotebookNode
        Those outside of solutions are the ones given.
    """
    done, solution, exercise = [], None, None
    for number, cell in enumerate(cells):
        directives = DIRECTIVE.findall(cell.source) if cell.cell_type == "markdown" else []
        fits = directives in ([START, WHOLE, EXERCISE, []] if solution is None else [END, []])
        if not fits:
            raise AccentError(
                f"{name}: cell {number} has the directives {', '.join(directives)}; an exercise is a cell of "
                "its own, and so are the beginning and the end of its solution."
            )
        if directives == EXERCISE:
            exercise = Exercise.of(cell.source)
        if directives in (START, WHOLE):
            solution = []
        if solution is None:
            done.append(cell)
            continue
        solution.append(cell)
        if directives in (END, WHOLE):
            done.extend(answer(exercise, solution, name, book))
            solution = None
    return done


def answer(exercise, solution, name, book) -> list[nbformat.NotebookNode]:
    """Make the cells that stand in place of a solution.

    Parameters
    ----------
    exercise : Exercise
    solution : list of NotebookNode
        All of its cells.
    name : str
        Of the notebook, for errors.
    book : Book

    Returns
    -------
    list of NotebookNode
        What is given, the blank with the solution behind it, the check with the hidden tests.

    Raises
    ------
    AccentError
        If there is a check and no blank.
    """
    label, points, said, parts, given = exercise.label, exercise.points, [], {}, []
    for cell in solution:
        tagged = {"given", "blank", "check", "hidden"} & set(cell.metadata.get("tags", ()))
        if tagged == {"given"}:
            mark = _mark(f"{label}-given-{len(given) + 1}", locked=True)
            given.append(v4.new_code_cell(cell.source, metadata={"tags": ["given"], **mark}))
        elif tagged:
            parts[tagged.pop()] = re.sub(r"^# (Check|Hidden)\n", "", cell.source)
        elif cell.cell_type == "code" or book.plain(cell.source, name):
            said.append(cell)
    computed = "check" in parts or any(cell.cell_type == "code" for cell in said)
    texts = [_said(cell, computed, name, book) for cell in said]
    if "check" not in parts:
        mark = _mark(label, points, grade=True, solution=True)
        if computed:
            return [*given, v4.new_code_cell(_with("# Your answer", SOLUTION, texts), metadata=mark)]
        return [*given, v4.new_markdown_cell(_with("*Your answer:*", SOLUTION, texts), metadata=mark)]
    if "blank" not in parts:
        raise AccentError(
            f"{name}: the solution of {label} has a check, but no cell tagged blank: write into one, before "
            "the solution's code, what is left for the student."
        )
    guards = [
        f'assert {n} is not ..., "{n} is still blank: write your answer into the cell above."'
        for n in UNSET.findall(parts["blank"])
    ]
    check = "\n".join(["# Check: run this cell after your answer.", *guards, parts["check"]])
    if "hidden" in parts:
        check = _with(check, TESTS, [parts["hidden"]])
    number = book.labels.get(label, (name, label))[1]
    return [
        *given,
        v4.new_code_cell(
            _with(f"# Your answer\n{parts['blank']}", SOLUTION, texts),
            metadata=_mark(f"{label}-answer", solution=True),
        ),
        v4.new_code_cell(
            f'{check}\nprint("{number}: the check found nothing wrong.")',
            metadata={"tags": ["check"], **_mark(label, points, grade=True, locked=True)},
        ),
    ]


def released(cell) -> nbformat.NotebookNode:
    """A cell of the instructor's build as students get it.

    Without what stands between nbgrader's marks, not to be deleted if the grader needs it, and with the
    checksum by which nbgrader knows whether it was changed.
    """
    cell = deepcopy(cell)
    cell.source = REGION.sub("", cell.source)
    mark = cell.metadata.get("nbgrader")
    if mark:
        cell.metadata["deletable"] = False
        if mark["locked"]:
            cell.metadata["editable"] = False
        flags = [str(mark[flag]) for flag in ("grade", "solution", "locked")]
        worth = [str(float(mark["points"]))] if mark["grade"] else []
        told = "".join([cell.source, cell.cell_type, *flags, mark["grade_id"], *worth])
        mark["cell_type"] = cell.cell_type
        mark["checksum"] = hashlib.md5(told.encode(), usedforsecurity=False).hexdigest()
    return cell


def _mark(grade_id, points=None, grade=False, solution=False, locked=False):
    """What nbgrader wants to know of a cell, as metadata."""
    worth = {} if points is None else {"points": points}
    flags = {"grade": grade, "solution": solution, "locked": locked, "task": False}
    return {"nbgrader": {"schema_version": 3, "grade_id": grade_id, **flags, **worth}}


def _with(text, region, texts):
    """Put a region for nbgrader behind a text."""
    return "\n".join([text, f"### BEGIN {region}", *texts, f"### END {region}"])


def _said(cell, computed, name, book):
    """What a cell of a solution says: its code, or its text, which is a comment where there is code."""
    if cell.cell_type == "code":
        return cell.source
    text = book.plain(cell.source, name)
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines()) if computed else text


def _in_jupyter(cell, name, book):
    """Copy a cell without outputs, its text in plain Markdown, and what the book folds away folded away."""
    if "nbgrader" in cell.metadata:  # It was made for Jupyter.
        return cell
    if cell.cell_type == "markdown":
        return v4.new_markdown_cell(book.plain(cell.source, name))
    tags = cell.metadata.get("tags", [])
    metadata = {"tags": list(tags)} if tags else {}
    if {"hide-input", "remove-cell", "remove-input"} & set(tags) and "parameters" not in tags:
        metadata["jupyter"] = {"source_hidden": True}
    return v4.new_code_cell(cell.source, metadata=metadata)


def _injected(executed):
    """The parameters with which a notebook was executed, as a list of at most one cell."""
    if not executed.exists():
        return []
    cells = read_notebook(executed).cells
    sources = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", ())]
    return [v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]}) for source in sources]


def _hash(cells):
    """Fingerprint of what a notebook says, whatever it has put out."""
    said = "\0".join(f"{cell['cell_type']}\0{cell['source']}" for cell in cells)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _worked_on(path):
    """Whether a student notebook is not as it was written, or is none of ours."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception:  # whatever it is, it is not ours to replace
        return True
    return notebook.metadata.get("accent_student") != _hash(notebook.cells)
