"""The release archive: what is in it, what is refused, and a chapter run from nothing but it, offline."""

import hashlib
import json
import os
import shutil
import subprocess
import venv
import zipfile
from importlib import metadata

import nbformat
import pytest
from packaging.utils import canonicalize_name

from accent_book.__main__ import main
from accent_book.publish.release import TRACKED
from tests.conftest import ROOT, chapters
from tests.test_wheel import clean_environment, link

OURS = {"accent-recommender", "accent-book"}
CHAPTER = "04_explanations"


@pytest.fixture(scope="module")
def project(tiny_run, book, tmp_path_factory):
    """What a clone holds when `make release` has made all but the archive; prints have tests of their own."""
    folder = tmp_path_factory.mktemp("project")
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for command in (["init", "-q"], ["add", "--all"]):
        subprocess.run(["git", "-C", folder, *command], check=True)
    for chapter in chapters():
        (folder / chapter).parent.mkdir(exist_ok=True)
        shutil.copy(tiny_run[0] / f"{(ROOT / chapter).name}.ipynb", (folder / chapter).parent)
    shutil.copytree(book, folder / "_build" / "html")
    (folder / "_build" / "book.pdf").write_bytes(b"%PDF-1.7")
    # What git does not keep: somebody's own profile, and data.
    (folder / "notebooks" / "profiles" / "mine.yaml").write_text("run: mine\n", "utf-8")
    (folder / "data" / "u.data").write_text("1\t2\t3\t4\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def archive(project):
    """The archive, made by the commands that `make release` ends with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for command in ("slides", "student", "release"):
            assert main([command]) == 0
    (made,) = (project / "_build").glob("*.zip")
    return made


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(archive, folder)
    (made,) = folder.iterdir()
    return made


def test_the_archive_holds_what_its_page_says_and_what_git_keeps(project, archive, unpacked):
    assert archive.name == f"{unpacked.name}.zip" == f"accent-{metadata.version('accent-recommender')}.zip"
    page = (ROOT / "book" / "release.md").read_text("utf-8")
    assert (unpacked / "README.md").read_text("utf-8") == page
    table = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert len(table) > 8 and all((unpacked / name).exists() for name in table)
    for name in ("book/html/index.html", "slides/index.html", f"student/{CHAPTER}.ipynb"):
        assert (unpacked / name).is_file()
    kept = subprocess.run(
        ["git", "-C", project, "ls-files", "-z", "--", *TRACKED], capture_output=True, text=True, check=True
    )
    names = set(filter(None, kept.stdout.split("\0")))
    assert {"notebooks/01_data.ipynb", "notebooks/profiles/sample.yaml", "book/paper.yml"} <= names
    assert all((unpacked / name).is_file() for name in names)
    assert not (unpacked / "notebooks" / "profiles" / "mine.yaml").exists()
    assert not (unpacked / "data" / "u.data").exists()
    modules = [name for path in (unpacked / "wheels").iterdir() for name in zipfile.ZipFile(path).namelist()]
    assert {"accent_lib/__init__.py", "accent_lib/datasets/films.csv", "accent_book/__main__.py"} <= set(
        modules
    )


def test_every_file_of_the_archive_has_its_hash_and_so_has_the_archive(archive, unpacked):
    lines = (unpacked / "SHA256SUMS").read_text("utf-8").splitlines()
    hashes = dict(reversed(line.split("  ", 1)) for line in lines)
    files = [path for path in unpacked.rglob("*") if path.is_file() and path != unpacked / "SHA256SUMS"]
    assert set(hashes) == {path.relative_to(unpacked).as_posix() for path in files}
    assert all(
        hashlib.sha256(path.read_bytes()).hexdigest() == hashes[str(path.relative_to(unpacked))]
        for path in files
    )
    said = archive.with_name(f"{archive.name}.sha256").read_text("utf-8")
    assert said == f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n"
    assert {"commit", "dirty", "versions"} <= set(json.loads((unpacked / "release.json").read_text("utf-8")))


def test_a_student_runs_a_chapter_from_the_archive_alone_without_a_network(archive, tmp_path):
    """All packages are there but ours; the first cell finds the archive, as on Colab after an upload."""
    place, folder = tmp_path / "environment", tmp_path / "content"
    venv.create(place, symlinks=True, with_pip=True)
    (site,) = place.glob("lib/python*/site-packages")
    for distribution in metadata.distributions():
        if canonicalize_name(distribution.name) not in OURS | {"pip"}:
            link(distribution, site)
    folder.mkdir()
    shutil.copy(archive, folder)
    with zipfile.ZipFile(archive) as packed:
        (folder / f"{CHAPTER}.ipynb").write_bytes(packed.read(f"{archive.stem}/student/{CHAPTER}.ipynb"))
    notebook = nbformat.read(folder / f"{CHAPTER}.ipynb", as_version=4)
    # The exercises are blank, and their checks say so: a student stops here. The archive of a release has the
    # parameters of the sample; this one has those of the tests' own run, which papermill replaces.
    end = next(n for n, cell in enumerate(notebook.cells) if cell.source.startswith("### Exercise"))
    notebook.cells = notebook.cells[:end]
    nbformat.write(notebook, folder / f"{CHAPTER}.ipynb")
    environment = clean_environment() | {"PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    environment = {name: value for name, value in environment.items() if not name.startswith("ACCENT")}
    command = [
        place / "bin" / "python",
        "-m",
        "papermill",
        f"{CHAPTER}.ipynb",
        "out.ipynb",
        "-p",
        "run",
        "sample",
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    made = folder / archive.stem / "runs" / "sample" / "explanations.csv"
    assert made.is_file()
    assert (site / "accent_lib").is_dir() and not (site / "accent_lib").is_symlink()


def test_what_is_missing_private_or_unknown_to_git_is_a_sentence(
    project, archive, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(project)
    thesis = tmp_path / "thesis.zip"
    thesis.write_bytes(b"mine")
    assert main(["release", "--to", str(thesis)]) == 1
    assert "is there, and not of this command's making" in capsys.readouterr().err
    assert thesis.read_bytes() == b"mine"
    (project / "_build" / "book.pdf").rename(tmp_path / "book.pdf")
    assert main(["release"]) == 1
    assert "The release lacks book.pdf (make pdf): `make release` makes all of it." in capsys.readouterr().err
    (tmp_path / "book.pdf").rename(project / "_build" / "book.pdf")
    chapter = project / "book" / "chapters" / "01_data.ipynb"
    notebook, before = nbformat.read(chapter, as_version=4), chapter.read_bytes()
    notebook.metadata["papermill"]["parameters"]["dataset"] = "ml-100k"
    nbformat.write(notebook, chapter)
    assert main(["release"]) == 1
    assert "01_data.ipynb was run on ml-100k, which may not be passed on" in capsys.readouterr().err
    chapter.write_bytes(before)
    (project / ".git").rename(tmp_path / "git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", os.fspath(project.parent))
    made = archive.read_bytes()
    assert main(["release"]) == 1
    assert "A release holds what git keeps, and git cannot tell for" in capsys.readouterr().err
    (tmp_path / "git").rename(project / ".git")
    assert archive.read_bytes() == made


def test_a_hash_of_another_making_is_not_replaced(tmp_path, capsys):
    (tmp_path / "a.zip.sha256").write_text("my notes", "utf-8")
    assert main(["release", "--to", str(tmp_path / "a.zip")]) == 1
    assert "a.zip.sha256 is there, and not of this command's making" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip.sha256"]
