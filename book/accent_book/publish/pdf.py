"""The built book as one PDF: the system's Chromium prints every page, and the prints are joined. No LaTeX."""

import html
import io
import shutil

import yaml

from accent_book.publish.place import ours
from accent_book.runs.notebooks import project_root, short
from accent_lib.errors import AccentError
from accent_lib.files import atomic

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Pages that only work on a screen.
INTERACTIVE = ("book/explorer",)
# Solutions are printed, folded code is not. A link to another page would name a place on this machine.
PREPARE = """() => {
  document.documentElement.dataset.theme = "light";
  document.querySelectorAll("img").forEach(image => { image.loading = "eager" });
  document.querySelectorAll("details:not(.hide)").forEach(details => { details.open = true });
  document.querySelectorAll(".toggle-hidden").forEach(hidden => hidden.classList.remove("toggle-hidden"));
  document.querySelectorAll("a[href]").forEach(link => {
    const href = link.getAttribute("href");
    if (!/^(https?:|#)/.test(href)) link.removeAttribute("href");
  });
}"""
STYLE = """
  details.hide:not([open]), .toggle-button, .headerlink, .prev-next-area, .bd-sidebar-primary,
  .bd-sidebar-secondary, .bd-header-article, .bd-footer, #rtd-footer-container,
  button { display: none !important; }
  pre { white-space: pre-wrap; }
  img, tr, figure, mjx-container, .cell_input { break-inside: avoid; }
  figcaption, figcaption p { font-weight: 400; }
  h1, h2, h3 { break-after: avoid; }
"""
PAPER = {
    "format": "A4",
    "scale": 0.75,
    "margin": dict.fromkeys(("top", "bottom", "left", "right"), "15mm"),
    "print_background": True,
}
# The numbers are those that a reader of PDF files shows.
CONTENTS = """<style>
  body {{ font: 18px/1.5 sans-serif; }} table {{ width: 100%; }} td:last-child {{ text-align: right; }}
</style><h1>Contents</h1><table><tr><td></td><td>page of this file</td></tr>{rows}</table>"""
READY = "[...document.images].every(image => image.complete)"


def pdf(to=None) -> None:
    """Print the built book.

    Parameters
    ----------
    to : path, optional
        The file to make or replace; ``_build/book.pdf`` by default.

    Raises
    ------
    AccentError
        If the book has not been built, or there is no Chromium.
    """
    root = project_root()
    to = ours(to or root / "_build" / "book.pdf", b"%PDF")
    built = root / "_build" / "html"
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    names = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    pages = [built / f"{name}.html" for name in names if name not in INTERACTIVE]
    missing = [page.stem for page in pages if not page.exists()]
    if missing:
        raise AccentError(f"The built book lacks {', '.join(missing)}: run `make book` first.")
    try:
        from playwright.sync_api import sync_playwright
        from pypdf import PdfReader, PdfWriter
    except ImportError as error:
        text = f"To print the book takes the package {error.name}: install what is in requirements.lock."
        raise AccentError(text) from None
    writer = PdfWriter()
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container often lacks; only pages of our own are opened.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        prints = []
        for page in pages:
            title, printed = _print(browser, page)
            prints.append((title, PdfReader(io.BytesIO(printed))))
        prints.insert(1, ("Contents", PdfReader(io.BytesIO(_contents(browser, prints)))))
        browser.close()
    for title, printed in prints:
        start = len(writer.pages)
        writer.append(printed, import_outline=False)
        writer.add_outline_item(title, start)
    with atomic(to) as file:
        writer.write(file)
    print(f"{len(writer.pages)} pages of the book: {short(to.absolute(), root)}")


def chromium() -> str:
    """Return the path of the system's Chromium or Chrome.

    Raises
    ------
    AccentError
        If there is none.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise AccentError(
            "There is no Chromium or Chrome on this machine, which prints the pages: install one."
        )
    return browser


def _print(browser, path):
    """Return a page's title, and its print."""
    page = browser.new_page()
    page.goto(path.absolute().as_uri())
    page.evaluate("window.MathJax && MathJax.startup && MathJax.startup.promise")
    page.evaluate(PREPARE)
    page.add_style_tag(content=STYLE)
    page.wait_for_function(READY)
    title = page.locator("h1").first.inner_text().removesuffix("#").strip()
    printed = page.pdf(**PAPER)
    page.close()
    return title, printed


def _contents(browser, prints):
    """Return a print, one page, of where everything begins; it comes second."""
    rows, start = [], 1
    for number, (title, printed) in enumerate(prints):
        rows.append(f"<tr><td>{html.escape(title)}</td><td>{start}</td></tr>")
        start += len(printed.pages) + (number == 0)
    page = browser.new_page()
    page.set_content(CONTENTS.format(rows="".join(rows)))
    printed = page.pdf(**PAPER)
    page.close()
    return printed
