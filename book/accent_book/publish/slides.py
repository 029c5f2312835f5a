"""Slides of a lecture, made from the executed chapters: one page that works without a network.

Which cells are shown, and how, stands in Jupyter's own metadata ``slideshow.slide_type``: ``slide`` and
``subslide`` begin a slide, ``-`` goes on with it, ``fragment`` appears at the next key, ``notes`` is for the
speaker, and cells without it are left out. A slide that does not begin with a heading gets that of its
section. A code cell shows its outputs; only one without any shows its code. The caption of a figure stands in
the print alone: in the room, the speaker says it. The speaker's notes begin with what the teaching guide says
about the slide in its table of the lecture.
"""

import html
import re
import shutil
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path

from accent_book.publish.mathjax import copy_mathjax, installed
from accent_book.publish.place import renewed
from accent_book.publish.plain import Book, glued, read_notebook, to_html
from accent_book.runs.notebooks import project_root, short
from accent_lib.errors import AccentError
from accent_lib.files import atomic

BEGINS = ("slide", "subslide")
SHOWN = (*BEGINS, "-", "fragment", "notes")
#: Files of reveal.js that the page asks for.
REVEAL = (
    "LICENSE",
    "dist/reset.css",
    "dist/reveal.css",
    "dist/reveal.js",
    "dist/theme/white.css",
    "dist/theme/fonts/source-sans-pro",
    "plugin/notes/notes.js",
)
FENCED = re.compile(r"^(`{3,}).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
#: A row of the lecture in the teaching guide: minutes, slides by their titles, what to say, what to ask.
OF_LECTURE = re.compile(r"^\| (\d+ to \d+) \|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
FOOTNOTE = re.compile(r"\[\^\w+\]")


@dataclass
class Slide:
    """One slide: the chapter it is from, its title if no cell brings one, and the HTML of its parts."""

    chapter: str
    title: str
    parts: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def slides(to=None, chapters=None) -> None:
    """Write the slides of the last run into a folder.

    Parameters
    ----------
    to : path, optional
        The folder to make or renew, ``_build/slides`` by default. Its ``index.html`` is opened in a browser.
    chapters : path, optional
        The folder of chapters; as a rule ``book/chapters``.

    Raises
    ------
    AccentError
        If there are no executed chapters, none of their cells belongs to a slide, or the folder holds
        something else.
    """
    root = project_root()
    to = Path(to or root / "_build" / "slides")
    with renewed(to) as place:
        made = collect(Path(chapters or root / "book" / "chapters"), place, root)
        for name in REVEAL:
            source = installed("sphinx_revealjs", "_static/revealjs") / name
            target = place / "reveal" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        copy_mathjax(place / "mathjax")
        (place / "index.html").write_text(page(made), "utf-8")
    print(f"{len(made) + 1} slides, to be opened in a browser: {short(to.absolute(), root)}/index.html")


def collect(folder, to, root) -> list[Slide]:
    """Make slides of the chapters in a folder; write their images.

    Parameters
    ----------
    folder : Path
        Where the chapters are.
    to : Path
        Folder that gets the images, under ``images``.
    root : Path
        The project's folder.

    Returns
    -------
    list of Slide

    Raises
    ------
    AccentError
        If there is nothing to show.
    """
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    if not paths:
        raise AccentError(f"There are no executed chapters in {folder}: run the notebooks first, `make run`.")
    chapters = {path.stem: read_notebook(path) for path in paths}
    book = Book.of(root, {stem: chapter.cells for stem, chapter in chapters.items()})
    book.glued = {stem: glued(chapter.cells) for stem, chapter in chapters.items()}
    made = []
    for stem, chapter in chapters.items():
        made += _of_chapter(stem, chapter.cells, book, to / "images")
    if not made:
        raise AccentError(
            f"No cell of the chapters in {folder} belongs to a slide: run the notebooks again, "
            "for these are older than the slides."
        )
    _add_guide(made, (root / "book" / "teaching.md").read_text("utf-8"), book)
    return made


def page(slides) -> str:
    """Return the page that shows slides, as HTML."""
    from jinja2 import Environment

    template = (Path(__file__).with_name("slides.html")).read_text("utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(slides=slides)
    )


# --- from cells to slides


def _add_guide(slides, guide, book):
    """Put what the guide's table of the lecture says about a slide before its notes."""
    guide = guide.partition("## The lecture")[2].partition("\n## ")[0]
    for minutes, names, say, ask in OF_LECTURE.findall(guide):
        text = f"**Minutes {minutes}.** {say.strip()}\n\n**Ask:** {ask.strip()}"
        note = _rendered(book.plain(FOOTNOTE.sub("", text), "teaching"))
        for name in re.findall(r"\*([^*]+)\*", names):
            start = name.removesuffix("…").rstrip()
            for slide in slides:
                title = _title(slide)
                if note not in slide.notes and (title.startswith(start) if name != start else title == name):
                    slide.notes.insert(0, note)


def _title(slide):
    own = re.search(r"<h2>(.*?)</h2>", slide.parts[0]) if slide.parts else None
    return slide.title or (html.unescape(re.sub("<[^>]*>", "", own[1])) if own else "")


def _of_chapter(stem, cells, book, images):
    def said(text):
        return _rendered(book.plain(text, stem))

    made, chapter, section = [], None, ""
    for cell in cells:
        headings = HEADING.findall(FENCED.sub("", cell.source)) if cell.cell_type == "markdown" else []
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind in SHOWN:
            if kind in BEGINS or not made:
                own = cell.cell_type == "markdown" and cell.source.startswith("#")
                made.append(Slide(chapter or stem, "" if own else book.plain(section, stem)))
            content = (
                said(cell.source)
                if cell.cell_type == "markdown"
                else _shown(cell, said, f"{stem}-{cell.id}", images)
            )
            if kind == "notes":
                made[-1].notes.append(content)
            else:
                looks = "part fragment" if kind == "fragment" else "part"
                made[-1].parts.append(f'<div class="{looks}" data-cell="{stem}:{cell.id}">{content}</div>')
        if headings:
            chapter = chapter or headings[0]
            section = headings[-1]
    return made


def _shown(cell, said, name, images):
    """Return what a code cell shows as HTML, its code if there is nothing else."""
    shown = [output for output in cell.outputs if "scrapbook" not in output.get("metadata", {})]
    if not shown:
        return _code(cell.source)
    about = cell.metadata.get("mystnb", {})
    texts = []
    for number, output in enumerate(shown):
        data = output.get("data", {"text/plain": output.get("text", "")})
        if "image/png" in data:
            file = images / f"{name}-{number}.png"
            with atomic(file) as part:
                part.write_bytes(b64decode(data["image/png"]))
            alt = html.escape(about.get("image", {}).get("alt", ""), quote=True)
            texts.append(f'<img src="images/{file.name}" alt="{alt}">')
        elif "text/html" in data:
            texts.append(data["text/html"])
        elif "text/markdown" in data:
            texts.append(said(data["text/markdown"]))
        else:
            texts.append(f"<pre>{html.escape(data['text/plain'].rstrip())}</pre>")
    caption = about.get("figure", {}).get("caption")
    if caption:
        texts.append(f'<div class="caption">{said(caption)}</div>')
    return "\n".join(texts)


def _code(source):
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return highlight(source, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True))


def _rendered(text):
    """Return plain Markdown as HTML."""
    # The headings of a chapter are its sections; on a slide they are its title, or a part of it.
    return re.sub(r"<(/?)h[12]>", r"<\1h2>", to_html(text))
