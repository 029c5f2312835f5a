"""The book as one PDF: all pages, in order, and nothing that only works on a screen."""

import os
import shutil
import subprocess
import sys

import pytest

from accent_book.publish.pdf import BROWSERS
from tests.conftest import SEARCH_PATH, do_without

TOC = """
format: jb-book
root: book/intro
parts:
  - chapters:
    - file: book/explorer
    - file: book/one
"""
PAGE = """<!doctype html><html><body><h1>{title}</h1><p>Seen on paper.</p>
<details><summary>Solution</summary><p>A solution.</p></details>
<details class="hide"><summary>Code</summary><p>Folded code.</p></details>
<a href="one.html">next</a> <a href="https://doi.org/1">outside</a> <button>Copy</button></body></html>"""


@pytest.fixture
def project(tmp_path):
    """A project with a built book of three pages."""
    html = tmp_path / "_build" / "html" / "book"
    html.mkdir(parents=True)
    (tmp_path / "notebooks" / "profiles").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text(TOC)
    for name in ("intro", "explorer", "one"):
        (html / f"{name}.html").write_text(PAGE.format(title=f"The {name}"))
    return tmp_path


def printed(project):
    command = [sys.executable, "-m", "accent_book", "pdf"]
    environment = os.environ | {"PYTHONPATH": SEARCH_PATH}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


def test_the_book_is_printed(project):
    pypdf = pytest.importorskip("pypdf")
    pytest.importorskip("playwright")
    if not any(map(shutil.which, BROWSERS)):
        do_without("This test needs Chromium.", "CI must print the book: install chromium there.")
    finished = printed(project)
    assert finished.returncode == 0, finished.stderr
    book = pypdf.PdfReader(project / "_build" / "book.pdf")
    assert [(entry.title, book.get_destination_page_number(entry)) for entry in book.outline] == [
        ("The intro", 0),
        ("Contents", 1),
        ("The one", 2),
    ]
    assert book.pages[1].extract_text().split("\n")[-2:] == ["The intro 1", "The one 3"]
    text = book.pages[0].extract_text()
    assert "Seen on paper" in text and "A solution" in text
    assert "Folded code" not in text and "Copy" not in text
    links = [link.get_object()["/A"].get("/URI") for link in book.pages[0].get("/Annots", [])]
    assert links == ["https://doi.org/1"]


def test_without_a_built_book_it_stops_with_a_sentence(project):
    (project / "_build" / "html" / "book" / "one.html").unlink()
    finished = printed(project)
    assert finished.returncode == 1
    assert finished.stderr == "error: The built book lacks one: run `make book` first.\n"
