"""Commands, modules and files that are named in prose, notebooks and messages exist under that name."""

import importlib
import json
import re
import shlex
from importlib.util import find_spec

import pytest

from accent_book.__main__ import PLACES, parser
from tests.conftest import ROOT
from tests.test_make import TARGETS

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "data/results/README.md")),
    *sorted((ROOT / "book").glob("*.md")),
    *sorted((ROOT / "book" / "reference").glob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]
SOURCES = sorted(path for folder in ("accent_lib", "book", "bench") for path in (ROOT / folder).rglob("*.py"))
PACKAGES = "accent_lib|accent_book|bench"


def text_of(path):
    """What a page says; of a notebook the sources of its cells."""
    text = path.read_text("utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def commands_in(text):
    """Commands of Python's ``-m`` with their arguments, as far as these are written out."""
    return re.findall(r"\bpython3? -m ((?:accent_book|bench)\b[^`\"'#{\n()]*)", text)


def check_command(command, whole):
    """Stop if a module has no such name; of our own command line also if it does not take the arguments."""
    module, *arguments = shlex.split(command)
    assert find_spec(module), command
    if module == "accent_book" and whole and "--help" not in arguments:
        parser().parse_args(arguments)
    elif module == "accent_book" and arguments:
        assert arguments[0] in {*PLACES, "--help"}, command


def exists(dotted):
    """Whether a dotted name leads to a module, or to something in it."""
    names = dotted.split(".")
    place, known = None, 0
    for known in range(len(names), 0, -1):
        if find_spec(names[0]) and _spec(".".join(names[:known])):
            place = importlib.import_module(".".join(names[:known]))
            break
    for name in names[known:]:
        if not hasattr(place, name):
            return False
        place = getattr(place, name)
    return place is not None


def _spec(dotted):
    try:
        return find_spec(dotted)
    except ModuleNotFoundError:  # what stands before the last point is no package
        return None


def test_commands_are_found_and_wrong_ones_are_refused():
    text = "`python -m accent_book ensure --upto 5` and\n python -m accent_book.publish.pdf  # comment"
    assert commands_in(text) == ["accent_book ensure --upto 5", "accent_book.publish.pdf  "]
    for command in ("accent_book make", "accent_book run --where x"):
        with pytest.raises(SystemExit):
            check_command(command, whole=True)
    for command in ("accent_book.experiments.nothing", "bench.nothing"):
        with pytest.raises(AssertionError):
            check_command(command, whole=True)
    assert exists("accent_lib.datasets.load") and exists("accent_book.runs.folder")
    assert not exists("accent_lib.datasets.lode") and not exists("accent_lib.dataset")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_names_what_exists(page):
    text = text_of(page)
    for command in commands_in(text):
        check_command(command, whole=page.suffix == ".md")
    for target in re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE):
        assert target in TARGETS, f"make {target}"
    for dotted in re.findall(rf"(?<![\w/.-])((?:{PACKAGES})(?:\.[A-Za-z_]\w*)+)", text):
        assert exists(dotted), dotted
    for file in re.findall(rf"(?<![\w.-])((?:book/)?(?:{PACKAGES})/[\w/]+(?:\.\w+)?)", text):
        assert (ROOT / file).exists() or (ROOT / "book" / file).exists(), file


def test_all_pages_together_name_commands_of_both_kinds():
    commands = [command for page in PAGES for command in commands_in(text_of(page))]
    assert {command.split()[0] for command in commands} > {"accent_book", "accent_book.experiments.resume"}
    assert len(commands) > 15


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_message_or_a_docstring_names_what_exists(path):
    text = path.read_text("utf-8")
    for command in commands_in(text):
        check_command(command, whole=False)
    for dotted in re.findall(rf"`~?((?:{PACKAGES})(?:\.[A-Za-z_]\w*)+)", text):
        assert exists(dotted), dotted
