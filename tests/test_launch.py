"""A notebook opened alone: links that lead to it, and a first cell that fetches the project."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import nbformat
import pytest
from nbformat import v4

from accent_book.__main__ import main
from accent_book.publish.launch import TAG, Repository, cell, links, put, repository
from accent_lib.errors import AccentError
from tests.conftest import ROOT, build, chapters, copy_sources

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WHERE = Repository("https://github.com/ann/accent", "main")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_begins_with_the_cell_of_the_setting(path):
    code = [one for one in nbformat.read(path, as_version=4).cells if one.cell_type == "code"]
    first, second = code[:2]
    assert first.metadata["tags"] == ["remove-cell", TAG]
    assert second.metadata["tags"] == ["parameters", "hide-input"]
    assert first.source == cell(repository(ROOT)), "run `make format`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_to_the_notebook(path):
    addresses, place = links(WHERE, path.stem), f"notebooks/{path.name}"
    assert (ROOT / place).exists()
    assert addresses == {
        "Colab": f"https://colab.research.google.com/github/ann/accent/blob/main/{place}",
        "Binder": f"https://mybinder.org/v2/gh/ann/accent/main?urlpath=lab/tree/{place}",
    }


def test_without_an_address_there_are_no_links_and_a_strange_one_is_refused():
    assert links(Repository("", "main"), "01_data") == {}
    assert links(Repository("https://github.com/ann/accent.git", "dev"), "01_data")["Colab"].endswith(
        "/github/ann/accent/blob/dev/notebooks/01_data.ipynb"
    )
    with pytest.raises(AccentError, match="must be https://github.com/<owner>/<name>, not 'https://example"):
        links(Repository("https://example.org", "main"), "01_data")


@pytest.mark.parametrize("url", ["", WHERE.url + "/"])
def test_chapters_have_buttons_where_there_is_an_address(tmp_path, url):
    copy_sources(tmp_path)
    config = (tmp_path / "_config.yml").read_text("utf-8")
    changed = re.sub(r'^  url: ".*"$', f'  url: "{url}"', config, flags=re.MULTILINE)
    (tmp_path / "_config.yml").write_text(changed, "utf-8")
    assert repository(tmp_path) == Repository(url.rstrip("/"), "main")
    toc = {"format": "jb-book", "root": "page", "chapters": [{"file": chapters()[3]}]}
    (tmp_path / "_toc.yml").write_text(json.dumps(toc), "utf-8")
    (tmp_path / "page.md").write_text("# Page\n", "utf-8")
    chapter = tmp_path / f"{chapters()[3]}.ipynb"
    chapter.parent.mkdir()
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell("# Chapter")]), chapter)
    result = build(tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    html = tmp_path / "_build" / "html"
    page = (html / f"{chapters()[3]}.html").read_text("utf-8")
    shown = [link for link in re.findall(r'href="([^"]+)"', page) if "colab" in link or "mybinder" in link]
    assert shown == (list(links(WHERE, chapter.stem).values()) if url else [])
    assert "colab" not in (html / "page.html").read_text("utf-8")


def test_the_cell_does_nothing_where_the_library_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it did something"))
    for where in (WHERE, Repository("", "main")):
        exec(cell(where), {})
    assert os.getcwd() == str(tmp_path)


def test_the_cell_fetches_the_project_and_goes_into_it(tmp_path, monkeypatch):
    origin, alone, called, run = tmp_path / "accent.git", tmp_path / "alone", [], subprocess.run
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(origin)]
    for command in (["init", "-q", "-b", "dev"], ["commit", "-q", "--allow-empty", "-m", "all"]):
        origin.mkdir(exist_ok=True)
        run([*git, *command], check=True)
    alone.mkdir()
    monkeypatch.chdir(alone)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(
        subprocess, "run", lambda c, **o: run(c, **o) if c[0] == "git" else called.append((c, o))
    )
    for _ in range(2):  # a second time after a restart: what is there is not fetched again
        os.chdir(alone)
        exec(cell(Repository(str(origin), "dev")), {})
        assert os.getcwd() == sys.path[0] == str(alone / "accent")
        assert sys.path[1] == str(alone / "accent" / "book")
    ((command, options), _) = called
    assert options == {"check": True} and command[:2] == [sys.executable, "-m"]
    assert command[2:5] == ["pip", "install", "-q"]
    assert command[5:] == ["-e", str(alone / "accent"), "-e", f"{alone / 'accent' / 'book'}[notebooks]"]


def test_the_cell_says_what_to_do_where_there_is_no_address(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="Put the release archive, accent-.*set up the project as"):
        exec(cell(Repository("", "main")), {})


def test_what_the_cell_installs_leaves_torch_and_the_kernel_alone():
    project = tomllib.loads((ROOT / "book" / "pyproject.toml").read_text("utf-8"))["project"]
    extra = project["optional-dependencies"]["notebooks"]
    assert not [line for line in extra if line.startswith(("torch", "ipykernel", "jupyter"))]


def test_the_cell_is_put_in_once_and_renewed(tmp_path, monkeypatch, capsys):
    cells = [v4.new_markdown_cell("# Chapter"), v4.new_code_cell("x = 1")]
    assert put(cells, "a\nb") and [one["cell_type"] for one in cells] == ["markdown", "code", "code"]
    assert not put(cells, "a\nb") and put(cells, "c") and len(cells) == 3
    assert cells[1]["source"] == ["c"]

    (tmp_path / "notebooks" / "profiles").mkdir(parents=True)
    (tmp_path / "_config.yml").write_text(f"repository: {{url: '{WHERE.url}/', branch: main}}\n", "utf-8")
    path = tmp_path / "notebooks" / "01_x.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("x = 'ü'")]), path)
    monkeypatch.chdir(tmp_path)
    assert main(["launch"]) == 0
    assert "01_x.ipynb" in capsys.readouterr().out
    written = nbformat.read(path, as_version=4)
    nbformat.validate(written)
    assert [one.source for one in written.cells] == [cell(WHERE), "x = 'ü'"]
    assert main(["launch"]) == 0 and capsys.readouterr().out == ""


def test_buttons_are_of_chapters_only(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    extension = importlib.import_module("launch_buttons")
    assert [button["text"] for button in extension.buttons(WHERE, "book/chapters/01_data")] == [
        "Colab",
        "Binder",
    ]
    assert extension.buttons(WHERE, "book/intro") == []
    app = SimpleNamespace(config=SimpleNamespace(html_theme_options={"repository_url": ""}))
    context = {"header_buttons": []}
    extension.add_buttons(app, "book/chapters/01_data", "page.html", context, None)
    assert context == {"header_buttons": []}
