"""What the exercises of a chapter ask and are worth, and sheets of them to print."""

import re
from dataclasses import dataclass
from pathlib import Path

from accent_book.publish.mathjax import copy_mathjax
from accent_book.publish.place import renewed
from accent_book.publish.plain import to_html

LABEL = re.compile(r"^:label: (\S+)$", re.MULTILINE)
MINUTES = re.compile(r"^\*(\d+) minutes\.\*$", re.MULTILINE)
TITLE = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Exercise:
    """What is asked, and what it is worth.

    Attributes
    ----------
    label, text : str
        The text is the book's Markdown.
    points : int
        Its minutes; one that says none is open and has no points.
    """

    label: str
    text: str
    points: int

    @classmethod
    def of(cls, text) -> "Exercise":
        r"""Read the cell that holds an exercise.

        Examples
        --------
        >>> Exercise.of(":label: ex-film\nWhich film?\n*5 minutes.*").points
        5
        """
        label, minutes = LABEL.search(text), MINUTES.search(text)
        return cls(label[1] if label else "", text, int(minutes[1]) if minutes else 0)


def write_sheets(sources, book, folder) -> None:
    """Write a sheet for each chapter: its exercises without solutions, one page to print.

    Parameters
    ----------
    sources : dict
        Name of each notebook to the notebook.
    book : Book
    folder : path
        To make or renew; ``mathjax`` in it shows the formulas.

    Raises
    ------
    AccentError
        If the folder holds something else.
    """
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(__file__).with_name("sheet.html").read_text("utf-8")
    )
    with renewed(folder) as made:
        for name, source in sources.items():
            texts = [cell.source for cell in source.cells if cell.cell_type == "markdown"]
            asked = [Exercise.of(text) for text in texts if "{exercise-start}" in text]
            page = template.render(
                title=TITLE.search(texts[0])[1],
                exercises=[to_html(_headed(exercise, book.plain(exercise.text, name))) for exercise in asked],
                points=sum(exercise.points for exercise in asked),
            )
            (made / f"{name}.html").write_text(page, "utf-8")
        copy_mathjax(made / "mathjax")


def _headed(exercise, text):
    """An exercise in plain Markdown, its points in its heading."""
    worth = f"{exercise.points} points" if exercise.points else "open, no points"
    return TITLE.sub(rf"### \1 ({worth})", text, count=1)
