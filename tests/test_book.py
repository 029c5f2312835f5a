"""The built book: no warning, nothing fetched from elsewhere, images described, links that lead somewhere."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from tests.conftest import ROOT, build, chapters, copy_sources

# Tags that make a browser fetch something, with the attributes that say what.
LOADING = {
    "script": ["src"],
    "img": ["src", "srcset"],
    "source": ["src", "srcset"],
    "iframe": ["src"],
    "embed": ["src"],
    "audio": ["src"],
    "video": ["src", "poster"],
    "track": ["src"],
    "object": ["data"],
    "input": ["src"],
    "image": ["href", "xlink:href"],
    "use": ["href", "xlink:href"],
}
# Links of these kinds only name an address.
NAMING = {
    "index",
    "search",
    "next",
    "prev",
    "author",
    "license",
    "canonical",
    "genindex",
    "help",
    "copyright",
    "top",
    "up",
}
# In an address https: may be left out; in a script or a style sheet two slashes alone are a comment.
OUTSIDE_ADDRESS = re.compile(r"(?:https?:)?//[\w.-]+", re.IGNORECASE)
OUTSIDE_CODE = re.compile(r"https?://[\w.-]+", re.IGNORECASE)
OUTSIDE_CSS = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[\w.-]+)", re.IGNORECASE)
NAMESPACES = ("http://www.w3.org",)
FILE_NAME = re.compile(r"\S+\.(png|svg|jpe?g|gif|webp)", re.IGNORECASE)


class Page(HTMLParser):
    """What a page loads, shows, and links to."""

    def __init__(self, html):
        super().__init__()
        self.outside, self.undescribed, self.links, self.anchors, self.headings = [], [], [], set(), []
        self._inside = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = {name: value or "" for name, value in attributes}
        self.anchors.update({found.get("id"), found.get("name")} - {None})
        self._inside = tag if tag in ("script", "style") else None
        loads = LOADING.get(tag, [])
        if tag == "link" and not set(found.get("rel", "").lower().split()) & NAMING:
            loads = ["href"]
        for name in loads:
            self._outside(OUTSIDE_ADDRESS, found.get(name, ""))
        self._outside(OUTSIDE_CSS, found.get("style", ""))
        if tag == "img":
            alt = found.get("alt", "").strip()
            # Without a description Sphinx puts the name of the file there.
            if not alt or FILE_NAME.fullmatch(alt):
                self.undescribed.append(found.get("src"))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            self._outside(OUTSIDE_CODE, data)
        if self._inside == "style":
            self._outside(OUTSIDE_CSS, data)

    def _outside(self, pattern, text):
        found = (match[match.lastindex or 0] for match in pattern.finditer(text))
        self.outside += [address for address in found if not address.startswith(NAMESPACES)]


def pages(folder):
    """Parse every page of a built book.

    Parameters
    ----------
    folder : Path
        The folder with ``index.html``.

    Returns
    -------
    dict of Path to Page
    """
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}


def outside_requests(folder):
    """Return (file, address) for all that the pages and style sheets of a built book load from elsewhere."""
    found = [
        (path.relative_to(folder), address)
        for path, page in pages(folder).items()
        for address in page.outside
    ]
    for path in sorted([*folder.rglob("*.css"), *folder.rglob("*.svg")]):
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [(path.relative_to(folder), match[1]) for match in OUTSIDE_CSS.finditer(text)]
    return found


def undescribed_images(folder):
    """Return (page, image) for every image of a built book without an alternative text worth the name."""
    return [
        (path.relative_to(folder), image)
        for path, page in pages(folder).items()
        for image in page.undescribed
    ]


def broken_links(folder):
    """Return (page, link) for every link of a built book to a page or a place in a page that is not there."""
    book, broken = pages(folder), []
    for path, page in book.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            anchor = unquote(address.fragment)
            if not target.exists() or (target in book and anchor and anchor not in book[target].anchors):
                broken.append((path.relative_to(folder), link))
    return broken


def without_caption(folder):
    """Return (chapter, image or table) for every one of a chapter that has no caption.

    Tables that are written in the text stand under the sentence that says what they are.
    """
    found = []
    for path in sorted(folder.glob("book/chapters/*.html")):
        text = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").article
        for image in text.find_all("img"):
            figure = image.find_parent("figure")
            if figure is None or figure.figcaption is None:
                found.append((path.stem, image.get("src")))
        for table in text.select(".cell_output table"):
            if table.caption is None:
                found.append((path.stem, table.get_text(" ", strip=True)[:60]))
    return found


def skipped_headings(folder):
    """Return the pages of a built book whose headings do not begin with one h1 or leave out a level."""
    wrong = []
    for path, page in pages(folder).items():
        steps = zip(page.headings, page.headings[1:], strict=False)
        if page.headings and (page.headings[0] != 1 or any(after > before + 1 for before, after in steps)):
            wrong.append(path.relative_to(folder))
    return wrong


def test_the_book_builds_without_a_warning(book):
    assert (book / "index.html").exists()
    assert all((book / f"{chapter}.html").exists() for chapter in chapters())


def test_no_page_fetches_anything_from_elsewhere(book):
    assert not outside_requests(book)


def test_no_page_tells_a_path_of_this_machine(book):
    pages = [path for path in book.rglob("*") if path.suffix in (".html", ".js", ".json")]
    assert [path.name for path in pages if str(ROOT) in path.read_text("utf-8")] == []


def test_mathematics_is_set_by_a_local_copy(book):
    page = (book / f"{chapters()[0]}.html").read_text(encoding="utf-8")
    (script,) = re.findall(r'src="([^"]*mathjax[^"]*)"', page)
    mathjax = (book / chapters()[0]).parent.joinpath(script).resolve()
    assert mathjax.exists()
    assert list(mathjax.parent.glob("output/chtml/fonts/**/*.woff"))


def test_every_image_is_described(book):
    assert not undescribed_images(book)


def test_every_figure_and_table_of_a_chapter_has_a_caption(book):
    assert not without_caption(book)


def test_links_within_the_book_lead_somewhere(book):
    assert not broken_links(book)


def test_headings_are_in_order(book):
    assert not skipped_headings(book)


def test_every_notebook_is_a_chapter():
    assert sorted(Path(chapter).name for chapter in chapters()) == sorted(
        path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")
    )


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/a.css">',
        '<link rel="preconnect" href="https://fonts.example.org">',
        '<img alt="A figure" src="http://example.org/a.png">',
        "<style>@import 'https://example.org/a.css';</style>",
        '<p style="background: url(https://example.org/a.png)">',
        '<script>const URL = "https://unpkg.example.org/thebe"</script>',
    ],
)
def test_an_outside_request_is_found(tmp_path, html):
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    assert len(outside_requests(tmp_path)) == 1


def test_a_link_for_the_reader_is_no_request(tmp_path):
    html = (
        '<a href="https://doi.org/10.1145/2827872">data</a><link rel="next" href="a.html"><img src="a.png">'
    )
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    assert not outside_requests(tmp_path)


@pytest.mark.parametrize("alt", ["", 'alt=""', 'alt="../_images/03_influence_12_0.png"'])
def test_an_image_without_description_is_found(tmp_path, alt):
    (tmp_path / "index.html").write_text(
        f'<img {alt} src="a.png"><img alt="Scores" src="b.png">', encoding="utf-8"
    )
    assert undescribed_images(tmp_path) == [(Path("index.html"), "a.png")]


def test_a_missing_caption_is_found(tmp_path):
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    page = tmp_path / "book" / "chapters" / "01_data.html"
    image = '<figure><img src="a.png"><figcaption>A</figcaption></figure><img src="b.png">'
    tables = "<table><caption>A</caption></table><table><tr><td>1</td></tr></table>"
    page.write_text(f'<article>{image}<div class="cell_output">{tables}</div></article>')
    assert without_caption(tmp_path) == [("01_data", "b.png"), ("01_data", "1")]


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "index.html").write_text(
        '<p id="a"><a href="#a"><a href="#b"><a href="c.html">', encoding="utf-8"
    )
    assert [link for _, link in broken_links(tmp_path)] == ["#b", "c.html"]


def test_a_skipped_heading_is_found(tmp_path):
    (tmp_path / "good.html").write_text("<h1>A</h1><h2>B</h2><h3>C</h3><h2>D</h2>", encoding="utf-8")
    (tmp_path / "bad.html").write_text("<h1>A</h1><h3>C</h3>", encoding="utf-8")
    assert skipped_headings(tmp_path) == [Path("bad.html")]


def test_a_warning_fails_the_build(tmp_path):
    copy_sources(tmp_path)
    toc = {"format": "jb-book", "root": "page"}
    (tmp_path / "_toc.yml").write_text(json.dumps(toc), encoding="utf-8")
    (tmp_path / "page.md").write_text("# Page\n\n[nowhere](nowhere.md)\n", encoding="utf-8")
    result = build(tmp_path)
    assert result.returncode != 0
    assert "nowhere" in result.stderr
