"""Student notebooks: the notebooks with their solutions taken out, and checks that tell what is missing.

A notebook of ``notebooks/`` is the one source. In it an exercise and its solution stand between directives of
sphinx-exercise, each in a cell of its own. In a solution a code cell may have a tag: ``given`` is set-up that
the student gets, ``check`` holds asserts whose messages teach. All other cells are the answer.
"""

import ast
import hashlib
import re
from pathlib import Path

import nbformat
from nbformat import v4

from accent_book.publish.plain import Book, read_notebook
from accent_book.runs import notebooks
from accent_book.runs.notebooks import short
from accent_lib.errors import AccentError
from accent_lib.files import atomic

DIRECTIVE = re.compile(r"\{(exercise-start|exercise-end|solution-start|solution-end)\}")
# What the cells of an exercise or a solution may be: the directives of each in order.
START, END, WHOLE = ["solution-start"], ["solution-end"], ["solution-start", "solution-end"]
EXERCISE = ["exercise-start", "exercise-end"]
HINT = """> **Student notebook.** This is the chapter of the book, without the solutions of the exercises at
> its end. Write your answers into the cells that say *Your answer*. Where a check follows, run it: it stops
> with a hint, or says nothing if it finds nothing wrong. The numbers in the text are those of the run from
> which this notebook was made. If you change a parameter, believe the tables and figures, not the text."""


def student(to=None) -> list[Path]:
    """Write a student notebook for every notebook.

    Numbers in the text and parameters are those of the chapters in ``book/chapters``, which the last run left
    there. A student notebook in which somebody has written is left as it is.

    Parameters
    ----------
    to : path, optional
        The folder; ``_build/student`` by default.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    AccentError
        If there are no notebooks, or an exercise is not written as it has to be.
    """
    root = notebooks.project_root()
    folder = Path(to or root / "_build" / "student")
    paths = [source.path for source in notebooks.all_notebooks(root)]
    if not paths:
        raise AccentError(f"There are no notebooks in {root}; run this in the project's folder.")
    sources = {path.stem: read_notebook(path) for path in paths}
    book = Book.of(root, {name: source.cells for name, source in sources.items()})
    written, kept = [], []
    for name, source in sources.items():
        target = folder / f"{name}.ipynb"
        if target.exists() and _worked_on(target):
            kept.append(target)
            continue
        made = student_notebook(name, source, book, _injected(root / "book" / "chapters" / target.name))
        with atomic(target) as file:
            nbformat.write(made, file)
        written.append(target)
    print(f"Student notebooks: {len(written)} written to {short(folder.absolute(), root)}")
    for target in kept:
        print(f"  {target.name}: kept, because somebody has written in it; remove it to have it made anew")
    lacking = [name for name in sources if name not in book.glued]
    if lacking:
        print(f"  without numbers in the text, as these chapters were not run: {', '.join(lacking)}")
    return written


def student_notebook(name, source, book, injected=()) -> nbformat.NotebookNode:
    """Make one student notebook.

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
    cells = []
    for cell in student_cells(source.cells, name):
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


def student_cells(cells, name) -> list[nbformat.NotebookNode]:
    """Replace every solution by a cell for the answer, and its check if it has one.

    Parameters
    ----------
    cells : list of NotebookNode
    name : str
        Of the notebook, for errors.

    Returns
    -------
    list of NotebookNode
        Those outside of solutions are the ones given.
    """
    done, solution = [], None
    for number, cell in enumerate(cells):
        directives = DIRECTIVE.findall(cell.source) if cell.cell_type == "markdown" else []
        fits = directives in ([START, WHOLE, EXERCISE, []] if solution is None else [END, []])
        if not fits:
            raise AccentError(
                f"{name}: cell {number} has the directives {', '.join(directives)}; an exercise is a cell of "
                "its own, and so are the beginning and the end of its solution."
            )
        if directives in (START, WHOLE):
            solution = []
        if solution is None:
            done.append(cell)
            continue
        solution.append(cell)
        if directives in (END, WHOLE):
            done.extend(answer(solution, name))
            solution = None
    return done


def answer(solution, name) -> list[nbformat.NotebookNode]:
    """Make the cells that stand in a student notebook in place of a solution.

    Parameters
    ----------
    solution : list of NotebookNode
        All of its cells.
    name : str
        Of the notebook, for errors.

    Returns
    -------
    list of NotebookNode
        What is given, the blank, the check.
    """
    given, own, check = [], [], None
    for cell in solution:
        tags = cell.metadata.get("tags", ())
        if "given" in tags:
            given.append(cell)
        elif "check" in tags:
            check = cell
        elif cell.cell_type == "code" and check is None:
            own.append(cell.source)  # What comes after the check makes use of the answer.
    if check is None:
        return [*given, v4.new_code_cell("# Your answer") if own else v4.new_markdown_cell("*Your answer:*")]
    stub, names = blank("\n".join(own), check.source)
    if not stub:
        raise AccentError(f"{name}: a check looks at nothing that its solution defines:\n{check.source}")
    guards = [
        f'assert {n} is not ..., "{n} is still blank: write your answer into the cell above."' for n in names
    ]
    guarded = "\n".join(
        ["# Check: run this cell after your answer.", *guards, check.source.removeprefix("# Check\n")]
    )
    return [
        *given,
        v4.new_code_cell(f"# Your answer\n{stub}"),
        v4.new_code_cell(guarded, metadata={"tags": ["check"]}),
    ]


def blank(solution, check) -> tuple[str, list[str]]:
    """What is left of a solution when its author takes it away.

    Parameters
    ----------
    solution, check : str
        Their code.

    Returns
    -------
    stub : str
        One definition without content for each name that the check reads and the solution defines.
    names : list of str
        Those of them that are no functions, set to ``...`` in the stub.
    """
    check = ast.parse(check)
    # What the check sets itself, such as the name that its loop runs over, is its own.
    read = {node.id for node in ast.walk(check) if isinstance(node, ast.Name)} - set(_assigned(check))
    stubs = {}
    for statement in ast.parse(solution).body:
        if isinstance(statement, ast.FunctionDef):
            docstring = statement.body[: ast.get_docstring(statement) is not None]
            said = f"{statement.name} is still blank: write your answer in place of this line."
            # None may be a right answer, so a blank must not return it.
            statement.body = [*docstring, *ast.parse(f"raise AssertionError({said!r})").body]
            stubs[statement.name] = f"\n\n{ast.unparse(statement)}\n"
        else:
            stubs |= {name: f"{name} = ..." for name in _assigned(statement)}
    stubs = {name: stub for name, stub in stubs.items() if name in read}
    return "\n".join(stubs.values()).strip("\n"), [n for n, stub in stubs.items() if stub.endswith("= ...")]


def _assigned(statement):
    """Names that a statement sets in the scope it stands in, in order."""
    names, waiting = [], [statement]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        scopes = (
            ast.FunctionDef,
            ast.ClassDef,
            ast.Lambda,
            ast.ListComp,
            ast.SetComp,
            ast.DictComp,
            ast.GeneratorExp,
        )
        if not isinstance(node, scopes):
            waiting[:0] = ast.iter_child_nodes(node)
        elif isinstance(node, ast.ClassDef):
            names.append(node.name)
    return list(dict.fromkeys(names))


def _in_jupyter(cell, name, book):
    """Copy a cell without outputs, its text in plain Markdown, and what the book folds away folded away."""
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
