"""The slides: nothing that was chosen is missing, nothing of MyST is left, and no network is needed."""

import io
import json
import re
import unicodedata
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest

from accent_book import figures
from accent_book.figures.style import use_style
from accent_book.publish.plain import Book
from accent_book.publish.slides import SHOWN, collect, page, slides
from accent_book.publish.student import student_notebook
from accent_lib.errors import AccentError
from tests import test_browser
from tests.conftest import ROOT
from tests.test_book import broken_links, outside_requests, undescribed_images

browser = test_browser.browser
# The lecture of the teaching guide takes 90 minutes.
FEWEST, MOST = 25, 30
# What a slide may hold, so that the room listens and does not read, and how small a letter of a figure may
# be, in pixels of a screen of 1280 by 720: a fiftieth of its height.
WORDS, ROWS, LETTER = 40, 8, 14
# Words of two letters or more, also those of tables; neither the heading nor formulas and code, nor what the
# room does not see: notes, and the captions of figures.
COUNTED = """() => [...document.querySelectorAll('.slides section')].map(slide => {
    const seen = slide.cloneNode(true);
    const lines = [...seen.querySelectorAll('pre')].flatMap(pre => pre.textContent.split('\\n'));
    const rows = seen.querySelectorAll('tr, li').length + lines.filter(line => line.trim()).length;
    const aside = 'h1, h2, aside, .chapter, .caption, mjx-container, pre, style';
    seen.querySelectorAll(aside).forEach(part => part.replaceWith(' '));
    return [slide.querySelector('h1, h2').textContent, seen.textContent, rows];
})"""
DRAWN = """() => [...document.querySelectorAll('section.present img')].map(image => {
    const box = image.getBoundingClientRect();
    return Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
})"""


def chosen():
    """Return (notebook, cell) of the sources' cells that belong to a slide, but for the speaker's notes."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            kind = cell["metadata"].get("slideshow", {}).get("slide_type")
            assert kind in (None, "skip", *SHOWN), (
                f"{path.name}, cell {cell['id']}: no kind of slide: {kind!r}"
            )
            if kind in SHOWN and kind != "notes":
                found.append(f"{path.stem}:{cell['id']}")
    return found


@pytest.fixture(scope="module")
def deck(tiny_run, tmp_path_factory):
    """Slides of the tiny run."""
    folder = tmp_path_factory.mktemp("slides")
    slides(folder, tiny_run[0])
    return folder


def test_every_chosen_cell_is_shown_in_order(deck):
    text = (deck / "index.html").read_text("utf-8")
    assert re.findall(r'data-cell="([^"]*)"', text) == chosen()
    assert FEWEST <= text.count("<section>") <= MOST
    assert text.count("<h1>") + text.count("<h2>") >= text.count("<section>"), "a slide without a title"


@pytest.fixture(scope="module")
def in_a_room(deck, browser):
    """The slides on a screen of 1280 by 720."""
    opened = browser.new_page(viewport={"width": 1280, "height": 720})
    opened.goto((deck / "index.html").as_uri())
    opened.wait_for_function("window.Reveal && Reveal.isReady()")
    yield opened
    opened.close()


def test_no_slide_holds_more_than_a_room_can_take_in(in_a_room):
    full = {}
    for title, text, rows in in_a_room.evaluate(COUNTED):
        words = re.findall(r"[^\W\d_]{2,}(?:['’-][^\W\d_]+)*", text)
        if len(words) > WORDS or rows > ROWS:
            full[title] = (len(words), rows)
    assert not full, "words and rows"


def smallest_letter():
    """The smallest text that a figure can have by the style and by what figures ask for, in points."""
    use_style()
    sizes = [
        float(size)
        for path in sorted(Path(figures.__file__).parent.glob("*.py"))
        for size in re.findall(r"fontsize\W+([\d.]+)", path.read_text("utf-8"))
        if path.name != "rcf.py"  # the map of attention, which is on no slide
    ]
    kinds = ("xtick.labelsize", "ytick.labelsize", "axes.labelsize", "axes.titlesize", "legend.fontsize")
    return min(*sizes, *(plt.rcParams[kind] for kind in (*kinds, "font.size")))


def test_a_figure_can_be_read_from_the_last_row(deck, in_a_room):
    letter, shown = smallest_letter() * plt.rcParams["figure.dpi"] / 72, 0
    for number in range(in_a_room.evaluate("Reveal.getTotalSlides()")):
        in_a_room.evaluate(f"Reveal.slide({number})")
        for scale in in_a_room.evaluate(DRAWN):
            shown += 1
            assert scale * letter >= LETTER, (number + 1, scale)
    assert shown > 8


def test_the_guide_names_every_slide_in_order(deck):
    guide = (
        (ROOT / "book" / "teaching.md").read_text("utf-8").split("## The lecture")[1].split("## The lab")[0]
    )
    named = [
        name.removesuffix("…").strip()
        for row in guide.split("\n")
        if re.match(r"\| \d+ to \d+ \|", row)
        for name, twice in re.findall(r"\*([^*]+)\*( \(twice\))?", row.split("|")[2])
        for _ in range(2 if twice else 1)
    ]
    titles = re.findall(r"<h2>(.*?)</h2>", (deck / "index.html").read_text("utf-8"))
    assert len(named) == len(titles)
    assert all(title.startswith(name) for title, name in zip(titles, named, strict=True)), (named, titles)


def test_nothing_of_myst_is_left(deck):
    text = (deck / "index.html").read_text("utf-8")
    assert not re.search(r"\{[\w:]+\}<code>|\{[\w:]+\}`|```|:::", text)
    assert "…:" not in text


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_missing(deck):
    assert not outside_requests(deck)
    assert not undescribed_images(deck)
    assert not broken_links(deck)
    text = (deck / "index.html").read_text("utf-8")
    for name in re.findall(r'(?:src|href)="([^"#:]+)"', text):
        assert (deck / name).is_file(), name


def test_what_only_a_slide_needs_is_in_no_student_notebook():
    paths = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    sources = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    book, found = Book.of(ROOT, {name: source.cells for name, source in sources.items()}), 0
    for name, source in sources.items():
        made = "\n".join(cell.source for cell in student_notebook(name, source, book).cells)
        for cell in source.cells:
            if "slideshow" in cell.metadata and "remove-cell" in cell.metadata.get("tags", ()):
                found += 1
                assert cell.source.split("\n")[0] not in made
    assert found


def test_slides_made_again_have_no_remains(deck, tiny_run):
    (deck / "images" / "old.png").write_bytes(b"")
    slides(deck, tiny_run[0])
    assert not (deck / "images" / "old.png").exists()


def test_in_a_browser_keys_lead_from_slide_to_slide(deck, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 760})
    complaints = []
    context.route(
        lambda address: not address.startswith(("file:", "data:", "blob:")), lambda way: way.abort()
    )
    opened = context.new_page()
    opened.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda request: complaints.append(f"{request.url} failed"))
    opened.goto((deck / "index.html").as_uri())
    opened.wait_for_function("window.Reveal && Reveal.isReady()")
    assert opened.locator("mjx-container").count() > 0 and opened.locator("mjx-merror").count() == 0
    opened.keyboard.press("ArrowRight")
    assert opened.evaluate("Reveal.getIndices().h") == 1
    assert opened.locator("section.present h2").inner_text() == "Why this film?"
    # Nothing may stand below the edge of a slide, or beside it, whatever font the hidden MathML is set in.
    opened.add_style_tag(content="mjx-assistive-mml math { font-size: 900% }")
    for number in range(opened.evaluate("Reveal.getTotalSlides()")):
        opened.evaluate("number => Reveal.slide(number)", number)
        opened.evaluate("document.querySelectorAll('.fragment').forEach(one => one.classList.add('visible'))")
        beyond = opened.evaluate(
            "(inside => [inside.scrollHeight - inside.clientHeight, inside.scrollWidth - inside.clientWidth])"
            "(document.querySelector('section.present .inside'))"
        )
        assert max(beyond) <= 0, f"slide {number + 1} has no room for its text"
    context.close()
    assert not complaints


def letters(text):
    """Letters and digits alone, for a print has ligatures, and other spaces."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text)))


def test_a_print_has_every_figure_and_caption(deck, browser):
    pypdf = pytest.importorskip("pypdf")
    opened = browser.new_page()
    opened.goto((deck / "index.html").as_uri() + "?print-pdf")
    opened.wait_for_function("window.Reveal && Reveal.isReady() && document.querySelector('.pdf-page')")
    captions = "[...one.querySelectorAll('.caption, .chapter')].map(text => text.textContent)"
    expected = opened.evaluate(
        "[...document.querySelectorAll('.slides section')].map(one =>"
        f" [one.querySelectorAll('img').length, {captions}])"
    )
    printed = pypdf.PdfReader(io.BytesIO(opened.pdf(prefer_css_page_size=True)))
    opened.close()
    assert len(printed.pages) == len(expected) and sum(images for images, _ in expected) > 8
    for number, (sheet, (images, texts)) in enumerate(zip(printed.pages, expected, strict=True), start=1):
        assert len(sheet.images) == images, f"page {number} lacks its figure"
        text = letters(sheet.extract_text())
        assert all(letters(one) in text for one in texts), f"page {number} lacks {texts}"


def test_every_slide_has_what_the_guide_says_about_it_in_its_notes(deck):
    _, *shown = (deck / "index.html").read_text("utf-8").split("<section>")[1:]
    for slide in shown:
        (notes,) = re.findall(r'<aside class="notes">(.*?)</aside>', slide, re.DOTALL)
        assert notes.count("Minutes") == notes.count("Ask:") == 1 and "[^" not in notes


# --- how cells become slides


def cell(source, kind=None, outputs=None, **metadata):
    make = nbformat.v4.new_markdown_cell if outputs is None else nbformat.v4.new_code_cell
    made = make(source, metadata=metadata | ({"slideshow": {"slide_type": kind}} if kind else {}))
    if outputs is not None:
        made.outputs = [nbformat.v4.new_output(**output) for output in outputs]
    return made


def made_of(tmp_path, *cells):
    chapters = tmp_path / "chapters"
    chapters.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), chapters / "01_a.ipynb")
    return collect(chapters, tmp_path / "to", ROOT)


def test_a_slide_without_a_heading_gets_that_of_its_section(tmp_path):
    stream = {"output_type": "stream", "text": "a < b"}
    first, second = made_of(
        tmp_path,
        cell("# The chapter\n\ntext"),
        cell("## A section\n\n```\n# no heading\n```"),
        cell("print(1)", "slide", [stream]),
        cell("more", "-"),
        cell("said", "notes"),
        cell("## Own\n\ntext", "subslide"),
        cell("f = 1", "fragment", []),
    )
    assert (first.chapter, first.title, len(first.parts)) == ("The chapter", "A section", 2)
    assert "a &lt; b" in first.parts[0] and "print" not in first.parts[0]
    assert first.notes == ["<p>said</p>\n"]
    assert second.title == "" and "<h2>Own</h2>" in second.parts[0]
    assert "fragment" in second.parts[1] and "<pre" in second.parts[1]
    assert page([first, second]).count("<section>") == 3


def test_formulas_and_values_are_kept(tmp_path):
    about = {"scrapbook": {"name": "share", "mime_prefix": "application/papermill.record/"}}
    value = {
        "output_type": "display_data",
        "metadata": about,
        "data": {"application/papermill.record/text/plain": "0.25"},
    }
    (slide,) = made_of(
        tmp_path,
        cell("", outputs=[value]),
        cell("## T\n\n{glue:text}`share:.0%` of $a_i < b_j$\n\n$$\n\\hat y < 1\n$$", "slide"),
    )
    text = re.sub("<[^>]*>", "", slide.parts[0])
    assert "25% of \\(a_i &lt; b_j\\)" in text
    assert "\\[\\hat y &lt; 1\\]" in text


def test_without_chapters_or_slides_it_stops_with_a_sentence(tmp_path):
    with pytest.raises(AccentError, match="make run"):
        collect(tmp_path, tmp_path, ROOT)
    with pytest.raises(AccentError, match="belongs to a slide"):
        made_of(tmp_path, cell("# A\n\ntext"))
