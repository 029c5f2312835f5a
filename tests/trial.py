"""Exercises tried within the tiny run: with blanks, as a student finds them, and with wrong answers.

The tiny run executes chapters with these trials in them and takes them out again, so that nothing is computed
twice. First come the exercises of the student notebook as they are; then those of the chapter, solved, and
after each check the same check with wrong answers. A trial notes what happened and lets the chapter go on.
"""

import ast
import inspect
import json

import nbformat
from nbformat import v4

from accent_book.publish.student import blank, student_cells

NOTE = "trial: "


def spoil(value):
    """Make a wrong answer of a right one, of the same kind."""
    if callable(value):
        return lambda *arguments: spoil(value(*arguments))
    if isinstance(value, dict):
        return {key: spoil(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(spoil(one) for one in value)
    return value if value is None else value + 1000


# Wrong answers where a spoilt number is none, or too easy to tell; each is tried.
WRONG = {
    # The lead of the chapter's own B, and the explanation that is no longer sure, or is none.
    "lead": ["lambda right: 1 / 10", *4 * ["lambda right: right"]],
    "explains": ["lambda right: right", *(f"lambda right: {films}" for films in ({2}, {1}, {1, 2, 3}, {3}))],
    # The mean of the ratings that are held out, and distances that are not squared.
    "overall": [
        "lambda right: float(held_out.std(ddof=0))",
        "lambda right: float((held_out - learned.mean()).abs().mean())",
    ],
    # Without the bias, and the row of another user.
    "by_hand": [
        "lambda right: right - float(tastes.bias.weight[column, 0])",
        "lambda right: right + float((tastes.users.weight[row - 1] - tastes.users.weight[row]) "
        "@ tastes.items.weight[column])",
    ],
    "expected": ['lambda right: {"w"}'],
    "read_without": ["spoil", "lambda right: lambda members: sum(right([z]) for z in members)"],
    "p_values": ["spoil", "lambda right: lambda *answers: right(*answers)[::-1]"],
    "one_versus_all": [
        "lambda right: lambda s, i: getattr(explainers.one_versus_all(s, i), 'removed', None)",
        "lambda right: lambda s, i: list(range(i.shape[1]))",
        "lambda right: lambda s, i: explainers.fill_gap(s[0] - s[1], i[0] - i[1])",
        "lambda right: lambda s, i: getattr(explainers.accent(s, i), 'removed', None)",
        "lambda right: lambda s, i: right(s, i) if len(s) == 2 else None",
    ],
}
TRY = """
import json as _json
try:
    exec({source!r}, globals())
    _said = ""
except Exception as _error:
    _said = f"{{type(_error).__name__}}: {{_error}}"
print({note!r} + _json.dumps(dict({facts!r}, said=_said)))
"""
SPOIL = """
{spoil}
_right = {{_name: globals()[_name] for _name in {names!r}}}
globals().update({{_name: {wrong}.get(_name, spoil)(_value) for _name, _value in _right.items()}})
{attempt}
globals().update(_right)
"""


def attempt(source, **facts):
    """Code that runs a cell and notes what it raises."""
    return TRY.format(source=source, note=NOTE, facts={"source": source, **facts})


def checks(cells):
    """The checks of a chapter: label, solution, check and its cell number."""
    found, label, code = [], None, []
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "{solution-start}" in cell.source:
            label, code = cell.source.split()[1], []
        elif cell.cell_type == "code" and label:
            tags = cell.metadata.get("tags", ())
            if "check" in tags:
                found.append((label, "\n".join(code), cell.source, number))
            elif "given" not in tags:
                code.append(cell.source)
        if cell.cell_type == "markdown" and "{solution-end}" in cell.source:
            label = None
    return found


def with_trials(source, target):
    """Write a chapter with trials in it."""
    notebook = nbformat.read(source, as_version=4)
    cells = notebook.cells
    start = next(number for number, cell in enumerate(cells) if "{exercise-start}" in cell.source)
    trials = {start: [], **{number + 1: [] for *_, number in checks(cells)}}
    for cell in student_cells(cells[start:], source.stem):
        if cell.cell_type == "code":
            kind = "check" if "check" in cell.metadata.get("tags", ()) else "cell"
            trials[start].append(attempt(cell.source, kind=kind))
    for label, solution, check, number in checks(cells):
        names = [statement.name for statement in ast.parse(solution).body if hasattr(statement, "name")]
        stub, variables = blank(solution, check)
        names = [name for name in names if f"def {name}(" in stub] + variables
        for turn in range(max(len(WRONG.get(name, "?")) for name in names)):
            mine = {name: WRONG[name][turn % len(WRONG[name])] for name in names if name in WRONG}
            wrong = "{" + ", ".join(f"{name!r}: {text}" for name, text in mine.items()) + "}"
            trials[number + 1].append(
                SPOIL.format(
                    spoil=inspect.getsource(spoil),
                    names=names,
                    wrong=wrong,
                    attempt=attempt(check, kind="wrong", label=label),
                )
            )
    for number in sorted(trials, reverse=True):
        made = [v4.new_code_cell(text, metadata={"tags": ["trial"]}) for text in trials[number]]
        cells[number:number] = made
    nbformat.write(notebook, target)


def take_out_trials(path):
    """Take the trials out of an executed chapter, and return what they noted."""
    notebook = nbformat.read(path, as_version=4)
    noted = []
    for cell in notebook.cells:
        if "trial" not in cell.metadata.get("tags", ()):
            continue
        printed = "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream")
        noted += [json.loads(line[len(NOTE) :]) for line in printed.splitlines() if line.startswith(NOTE)]
    notebook.cells = [cell for cell in notebook.cells if "trial" not in cell.metadata.get("tags", ())]
    nbformat.write(notebook, path)
    return noted
