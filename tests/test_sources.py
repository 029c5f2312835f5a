"""The hash of sources covers what runs, and nothing else; by their folder they count for notebooks or not."""

import shutil

import pytest

from accent_book.runs import sources
from accent_book.runs.sources import source_hash, sources_of_notebooks
from accent_lib.errors import AccentError
from tests.conftest import ROOT

SOURCE = '''"""About numbers."""
import math


def area(radius):
    """Area of a circle."""
    # Euler would agree.
    return math.pi * radius**2


class Circle:
    """A circle."""
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# Euler would agree.", "# So would Archimedes.", True),
        ("Area of a circle.", "What a circle covers.", True),
        ("About numbers.", "About circles.", True),
        ("A circle.", "Round.", True),
        ("math.pi * radius**2", "(math.pi *\n            radius**2)", True),
        ("radius**2", "radius**3", False),
        ("radius**2", "radius**2.0", False),
    ],
)
def test_source_hash_leaves_out_comments_docstrings_and_layout(tmp_path, old, new, same):
    package = tmp_path / "package"
    (package / "models").mkdir(parents=True)
    module = package / "models" / "circle.py"
    module.write_text(SOURCE)
    before = source_hash(package, "models")
    assert old in SOURCE
    module.write_text(SOURCE.replace(old, new))
    assert (source_hash(package, "models") == before) is same


def test_source_hash_sees_names_but_not_where_the_package_lies(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("x = 1\n")
    (package / "b.py").write_text("y = 2\n")
    both = source_hash(package, "a.py", "b.py")
    assert both == source_hash(package, "b.py", "a.py") == source_hash(package)
    assert both != source_hash(package, "a.py")
    moved = shutil.copytree(package, tmp_path / "elsewhere")
    assert source_hash(moved) == both
    with pytest.raises(AccentError, match=r"There is no c\.py in package"):
        source_hash(package, "c.py")


def test_by_its_folder_a_source_makes_notebooks_outdated_or_not(tmp_path, monkeypatch):
    book = tmp_path / "accent_book"
    shutil.copytree(ROOT / "book" / "accent_book", book)
    monkeypatch.setattr(sources, "BOOK", book)
    # The library counts as a whole, and to read all of it each time would take a minute.
    monkeypatch.setattr(sources, "source_hash", lambda package, *p: source_hash(package, *p) if p else "")
    first, outdated = sources_of_notebooks(), set()
    folders = {path.parent for path in book.glob("*/*.py")}
    assert len(folders) == 6
    for folder in folders:
        path = max(folder.glob("*.py"))
        source = path.read_text("utf-8")
        path.write_text(source + "\n# a comment\n", "utf-8")
        assert sources_of_notebooks() == first
        path.write_text(source + "\nadded = 1\n", "utf-8")
        if sources_of_notebooks() != first:
            outdated.add(folder.name)
        path.write_text(source, "utf-8")
    assert outdated == {"runs", "figures"}
