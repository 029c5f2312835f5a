"""Exercises tried within the tiny run: with blanks, as a student finds them, and with wrong answers.

The tiny run executes chapters with these trials in them and takes them out again, so that nothing is computed
twice. First come the exercises of the student notebook as they are; then those of the chapter, solved, and
after each check the same check with wrong answers, and hidden tests with answers that only pass the check. A
trial notes what happened and lets the chapter go on.
"""

import functools
import inspect
import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import v4

from accent_book.publish.plain import Book
from accent_book.publish.student import released, with_answers

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
# Answers that pass the check and are wrong all the same. Of functions, those of the check itself are copied.
COPIED = {
    "ex-data-threshold": "stricter_at = positive_at\nusers_left = data.n_users",
    "ex-perfect-fit": "moves4 = [moves4[0], *(move / 2 for move in moves4[1:])]",
    "ex-failures-margin": "least_margin = 0.13",
    "ex-yours-means": "overall = -overall",
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


COPY = """
{copy}
_right = {{_name: globals()[_name] for _name in {names!r}}}
_seen = {{}}
globals().update({{_name: recorded(_name, _value, _seen) for _name, _value in _right.items()}})
exec({check!r}, globals())
globals().update({{_name: copied(_name, _value, _seen) for _name, _value in _right.items()}})
exec({answer!r}, globals())
exec({check!r}, globals())
{attempt}
globals().update(_right)
exec({check!r}, globals())
"""


def recorded(name, value, seen):
    """A function that also writes down what it was asked and what it said; other values as they are."""
    if not callable(value):
        return value

    def ask(*arguments):
        said = seen[name, repr(arguments)] = value(*arguments)
        return said

    return ask


def copied(name, value, seen):
    """A function that knows what was written down, and says the first of it where it was asked otherwise."""
    if not callable(value):
        return value
    first = next(said for (one, _), said in seen.items() if one == name)
    return lambda *arguments: seen.get((name, repr(arguments)), first)


def attempt(source, **facts):
    """Code that runs a cell and notes what it raises."""
    return TRY.format(source=source, note=NOTE, facts={"source": source, **facts})


@dataclass
class Checked:
    """A checked exercise of a chapter: its label, the code of its solution and of its tagged cells.

    ``number`` is that of the last cell that looks at the answer.
    """

    label: str
    solution: str = ""
    blank: str = ""
    check: str = ""
    hidden: str = ""
    number: int = 0

    @property
    def names(self):
        """What the student has to write."""
        return re.findall(r"^(?:def )?(\w+)(?:\(| = \.\.\.)", self.blank, re.MULTILINE)

    @property
    def is_of_a_function(self):
        return "def " in self.blank


def checks(cells):
    """The checked exercises of a chapter, in order."""
    found, one = [], None
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "{solution-start}" in cell.source:
            one = Checked(cell.source.split()[1])
        elif cell.cell_type == "code" and one:
            tags = {"blank", "check", "hidden"} & set(cell.metadata.get("tags", ()))
            for tag in tags:
                setattr(one, tag, cell.source)
            if tags & {"check", "hidden"}:
                one.number = number
            elif not tags and not one.check and "given" not in cell.metadata.get("tags", ()):
                one.solution += cell.source + "\n"
        if cell.cell_type == "markdown" and "{solution-end}" in cell.source:
            found += [one] if one.check else []
            one = None
    return found


@functools.cache
def lookup():
    """What the roles in all chapters refer to."""
    root = Path(__file__).parents[1]
    paths = sorted((root / "notebooks").glob("[0-9]*.ipynb"))
    return Book.of(root, {path.stem: nbformat.read(path, as_version=4).cells for path in paths})


def with_trials(source, target):
    """Write a chapter with trials in it."""
    notebook = nbformat.read(source, as_version=4)
    cells = notebook.cells
    start = next(number for number, cell in enumerate(cells) if "{exercise-start}" in cell.source)
    trials = {start: [], **{one.number + 1: [] for one in checks(cells)}}
    for cell in map(released, with_answers(cells[start:], source.stem, lookup())):
        if cell.cell_type == "code":
            kind = "check" if "check" in cell.metadata.get("tags", ()) else "cell"
            trials[start].append(attempt(cell.source, kind=kind))
    for one in checks(cells):
        mine = trials[one.number + 1]
        for turn in range(max(len(WRONG.get(name, "?")) for name in one.names)):
            wrong = {name: WRONG[name][turn % len(WRONG[name])] for name in one.names if name in WRONG}
            mine.append(
                SPOIL.format(
                    spoil=inspect.getsource(spoil),
                    names=one.names,
                    wrong="{" + ", ".join(f"{name!r}: {text}" for name, text in wrong.items()) + "}",
                    attempt=attempt(one.check, kind="wrong", label=one.label),
                )
            )
        if one.is_of_a_function or one.label in COPIED:
            mine.append(
                COPY.format(
                    copy=inspect.getsource(recorded) + inspect.getsource(copied),
                    names=one.names,
                    check=one.check,
                    answer=COPIED.get(one.label, ""),
                    attempt=attempt(one.hidden, kind="copied", label=one.label),
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
