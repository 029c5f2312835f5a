"""The parameters cell of a notebook: what it declares, and whether given values fit it.

A cell tagged ``parameters`` holds one plain assignment a line, with a type comment and a help comment, as
``papermill --help-notebook`` shows them. Help may begin with the allowed values in square brackets::

    dataset = "sample"    # type: str  [sample|ml-100k] which ratings
    n_starts = 64         # type: int  [1..] number of initialisations
    holdout = 0.2         # type: float  [0..<1] share of each user's ratings held out
    rate = 0.001          # type: float  [>0..] step size at the start
    ks = [5, 10, 20]      # type: list[int]  [2.. once] lengths of the slate, each once

(papermill cannot read a line with a second ``=``, so ``>=`` will not do.)
"""

import ast
import difflib
import io
import math
import os
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accent_lib.errors import AccentError

if TYPE_CHECKING:
    import pandas as pd

TYPES = {"int": int, "float": float, "str": str, "bool": bool}
IN_WORDS = {
    "int": ("a whole number", "whole numbers"),
    "float": ("a number", "numbers"),
    "str": ("text", "texts"),
    "bool": ("true or false", "true or false"),
}
TYPE = re.compile(r"(int|float|str|bool)|list\[(int|float|str|bool)\]")
COMMENT = re.compile(r"#\s*type:\s*(?P<type>\S+)\s*(\[(?P<allowed>[^\]]*)\])?\s*(?P<help>.*)")
RANGE = re.compile(r"(?P<above>>?)(?P<low>-?[\d.]*?)\.\.(?P<below><?)(?P<high>-?[\d.]*)")


@dataclass(frozen=True)
class Parameter:
    """A declared parameter: its name, type (``"int"``, ``"list[str]"``, …), default and allowed values."""

    name: str
    type: str
    default: object
    allowed: str = ""
    help: str = ""

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return self.type.startswith("list[")

    @property
    def distinct(self) -> bool:
        """Whether it is a list in which each stands once: of names always, else if its range says so."""
        return self.is_list and (self.element == "str" or self.allowed.endswith(" once"))

    @property
    def element(self) -> str:
        """Type of the value, or of each element if it is a list."""
        return self.type[5:-1] if self.is_list else self.type

    @property
    def possible(self) -> str:
        """The values that it may have, in words.

        Examples
        --------
        >>> Parameter("rate", "float", 0.1, ">0..1").possible
        'a number more than 0, at most 1'
        """
        each = IN_WORDS[self.element][1] if self.is_list else IN_WORDS[self.element][0]
        bounds = RANGE.fullmatch(self.allowed.removesuffix(" once"))
        if self.allowed and bounds is None:
            return ", ".join(self.allowed.split("|"))
        low, high = (bounds["low"], bounds["high"]) if bounds else ("", "")
        least = f"{'more than' if bounds['above'] else 'at least'} {low}" if low else ""
        most = f"{'less than' if bounds['below'] else 'at most'} {high}" if high else ""
        return f"{each} {', '.join(filter(None, [least, most]))}".strip()

    def check(self, value, where) -> Any:
        """Return the value, an integer made a float where one is declared.

        Parameters
        ----------
        value : object
            What a profile, papermill or a reader gave.
        where : str
            Place to name in the error, such as ``"02_training"``.

        Raises
        ------
        AccentError
            If the type is wrong or the value is impossible.
        """
        wanted = f"a list of {IN_WORDS[self.element][1]}" if self.is_list else IN_WORDS[self.type][0]
        if self.is_list != isinstance(value, list):
            hint = f' (papermill -y "{self.name}: [first, second]" passes a list)' if self.is_list else ""
            raise AccentError(f"{where}: {self.name} must be {wanted}, not {_shown(value)}{hint}.")
        for part in value if self.is_list else [value]:
            if not _fits(part, self.element):
                given = (
                    _shown(part) + (" in it" if self.is_list else "") + _hint(part, self.element, self.name)
                )
                raise AccentError(f"{where}: {self.name} must be {wanted}, not {given}.")
            complaint = self._complaint(part)
            if complaint:
                raise AccentError(f"{where}: {self.name} must be {complaint}, not {_shown(part)}.")
        if self.is_list and not value and self.default:
            raise AccentError(f"{where}: {self.name} must not be empty.")
        twice = next((part for part in value if value.count(part) > 1), None) if self.distinct else None
        if twice is not None:
            raise AccentError(f"{where}: {self.name} must name each once, but has {twice!r:.60} twice.")
        if self.element == "float":
            return [float(part) for part in value] if self.is_list else float(value)
        return value

    def _complaint(self, value):
        """Say what the value should have been, or return nothing if it is allowed."""
        if not self.allowed:
            return ""
        bounds = RANGE.fullmatch(self.allowed.removesuffix(" once"))
        if bounds is None:
            choices = self.allowed.split("|")
            return "" if str(value) in choices else "one of " + ", ".join(choices)
        low, high = bounds["low"], bounds["high"]
        if low and (value <= float(low) if bounds["above"] else value < float(low)):
            return f"more than {low}" if bounds["above"] else f"at least {low}"
        if high and (value >= float(high) if bounds["below"] else value > float(high)):
            return f"less than {high}" if bounds["below"] else f"at most {high}"
        return ""


def _shown(value):
    kinds = {str: "the text ", bool: "the truth value ", list: "the list "}
    try:
        return f"{kinds.get(type(value), '')}{value!r:.60}"
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def _fits(value, kind):
    if isinstance(value, bool):  # which Python takes for an integer
        return kind == "bool"
    if isinstance(value, int) and abs(value) >= 2**63:
        return False  # which no array holds
    if kind == "float":
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, TYPES[kind])


def _hint(value, kind, name):
    """Name the traps on the way from a command line or a YAML file."""
    if kind == "str" and isinstance(value, int | float) and not isinstance(value, bool):
        return f" (papermill -r {name} {value!r:.60} passes it as text, and so do quotation marks in YAML)"
    if kind == "bool" and isinstance(value, str):
        return " (papermill -p passes true and false as text unless they are written True and False)"
    if kind == "float" and isinstance(value, str) and re.fullmatch(r"[+-]?[\d.]+[eE][+-]?\d+", value):
        return " (YAML reads a number with an exponent only when it has a point and a sign: 1.0e-3)"
    return ""


def parse(source, where) -> dict[str, Parameter]:
    """Read a parameters cell.

    Parameters
    ----------
    source : str
        The cell's text.
    where : str
        Place to name in an error.

    Returns
    -------
    dict of str to Parameter

    Raises
    ------
    AccentError
        If a line is not a plain assignment with a type comment.
    """
    try:
        statements = ast.parse(source).body
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError) as error:
        raise AccentError(f"{where}: the parameters cell is not Python: {error}.") from None
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    declared = {}
    for statement in statements:
        if not _is_assignment(statement):
            line = ast.unparse(statement).splitlines()[0]
            raise AccentError(f"{where}: the parameters cell holds plain assignments only, not {line!r}.")
        name = statement.targets[0].id
        comment = COMMENT.fullmatch(comments.get(statement.end_lineno, "").strip())
        if comment is None or not TYPE.fullmatch(comment["type"]):
            raise AccentError(
                f"{where}: {name} needs its type and help, such as # type: int  [1..] number of …"
            )
        try:
            default = ast.literal_eval(statement.value)
        except ValueError:  # a reader's own expression in a live notebook, such as 2 * 8
            default = None
        declared[name] = Parameter(name, comment["type"], default, comment["allowed"] or "", comment["help"])
    return declared


def described(declared, settings) -> "pd.DataFrame":
    """A table of parameters for the reader: name, value in this run, possible values, meaning.

    Of a path the last part is shown: the rest is the machine's.

    Parameters
    ----------
    declared : dict of str to Parameter
    settings : dict
        Their values.

    Examples
    --------
    >>> declared = parse("k = 10  # type: int  [2..] size of the slate", "04_explanations")
    >>> described(declared, {"k": 5}).iloc[0].tolist()
    ['k', '5', 'a whole number at least 2', 'size of the slate']
    """
    import pandas as pd

    rows = []
    for name, parameter in declared.items():
        value = settings[name]
        if isinstance(value, list):
            shown = ", ".join(map(str, value))
        else:
            shown = Path(value).name if isinstance(value, str) and os.sep in value else str(value)
        rows.append((name, shown or "(empty)", parameter.possible, parameter.help))
    return pd.DataFrame(rows, columns=["parameter", "in this run", "possible", "meaning"])


def _is_assignment(statement):
    return (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Name)
    )


def assigned(source) -> list[str]:
    """Names that a cell of plain assignments sets, in order; none if the cell holds anything else."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return []
    return [s.targets[0].id for s in statements] if all(map(_is_assignment, statements)) else []


def unknown(name, known, where, elsewhere="") -> AccentError:
    """Make the error for a name that no parameter has.

    Parameters
    ----------
    name : str
        What was given.
    known : iterable of str
        The names there are.
    where, elsewhere : str
        The notebook that lacks the parameter, and the one that has it, if any.

    Returns
    -------
    AccentError
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    if elsewhere:
        advice = f"{elsewhere} has one of that name."
    elif close:
        advice = f"did you mean {close[0]}?"
    else:
        advice = f"there are {', '.join(known)}."
    return AccentError(f"{where}: there is no parameter {name}; {advice}")
