"""The built book in a browser: nothing goes wrong, nobody is shut out, and the explorer does what it says."""

import functools
import http.server
import re
import shutil
import threading

import pytest
import yaml

from accent_book import runs
from accent_book.figures import worth_a_look
from accent_book.publish.explorer import DECIMALS
from accent_lib.explanations import closeup
from tests.conftest import ROOT, do_without

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
EXPLORER = "_static/explorer.html"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site(book):
    """Serve the built book; its address."""
    handler = functools.partial(Quiet, directory=book)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """Start the system's Chromium; without it, fail in CI and skip elsewhere."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        do_without(f"This test needs playwright ({error}).", f"CI must install the extra test ({error}).")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        do_without("This test needs Chromium.", "CI must open the book in a browser: install chromium there.")
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container often lacks; only pages of our own are opened.
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, site):
    """An empty page that may ask for nothing but the book's files, and must have nothing to complain of."""
    context = browser.new_context(base_url=site, viewport={"width": 1280, "height": 900})
    complaints = []
    ours = (site, "data:", "blob:")
    context.route(lambda address: not address.startswith(ours), lambda route: route.abort())
    opened = context.new_page()
    opened.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda request: complaints.append(f"{request.url} failed"))
    opened.on("response", lambda answer: answer.status >= 400 and complaints.append(answer.url))
    opened.complaints = complaints
    yield opened
    context.close()
    assert not complaints


def violations(page):
    """What axe finds that shuts people out: rule, how bad, and an element."""
    from axe_playwright_python.sync_playwright import Axe

    # Without `preload`, which looks for imported style sheets in the wrong place.
    options = {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, options=options).response["violations"]
    return [
        (rule["id"], rule["impact"], len(rule["nodes"]), rule["nodes"][0]["html"][:200])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


# --- the book


def book_pages():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


@pytest.mark.parametrize("name", [*book_pages(), "genindex", "search"])
def test_a_page_opens_without_an_error(page, name):
    page.goto(f"{name}.html")
    assert page.locator("h1:visible").count() == 1
    if page.locator(".math").count():
        page.evaluate("MathJax.startup.promise")
        assert page.locator("mjx-container").count() >= page.locator(".math").count()
        assert page.locator("mjx-merror").count() == 0
    pictures = page.locator("article img")
    for alt in pictures.evaluate_all("images => images.map(image => image.alt.trim())"):
        assert len(alt) > 10, f"{name}: a figure's alternative text is {alt!r}"
    # Pictures are loaded as they come into view.
    pictures.evaluate_all("images => images.forEach(image => { image.loading = 'eager' })")
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth)")


# Parts of a page that may scroll in themselves where a screen is narrow.
WIDE = "table, mjx-container, .math, pre"
SIDEWAYS = """most => [...document.querySelectorAll("article *")]
    .filter(part => part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0)
    .filter(part => ["auto", "scroll"].includes(getComputedStyle(part).overflowX))
    .filter(part => !most || !(part.matches(most) || part.querySelector(most)))
    .map(part => part.innerText.trim().slice(0, 60))"""


@pytest.mark.parametrize("name", book_pages())
def test_no_page_scrolls_sideways(page, name):
    for width, may in ((1280, "table, mjx-container, .math"), (390, WIDE)):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{name}.html")
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(SIDEWAYS, may) == []


def test_the_start_page_leads_into_the_book(page):
    page.goto("index.html")
    page.wait_for_url("**/book/intro.html")


def test_search_finds_a_word(page):
    page.goto("search.html?q=damping")
    page.wait_for_selector("#search-results li a")
    assert "chapters/03_influence" in " ".join(
        page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
    )


@pytest.mark.parametrize(
    "name, theme",
    [
        *((name, "light") for name in [*book_pages(), "genindex", "search"]),
        ("book/chapters/00_tour", "dark"),
        ("book/chapters/05_verification", "dark"),
        ("book/explorer", "dark"),
    ],
)
def test_nobody_is_shut_out_of_a_page(page, name, theme):
    page.emulate_media(color_scheme=theme)
    page.goto(f"{name}.html")
    assert page.locator("html").get_attribute("data-theme") == theme
    assert not violations(page)


# --- the explorer


def test_the_explorer_shows_the_conditions_of_its_data_where_there_are_any(page, book):
    page.goto(EXPLORER)
    assert not page.locator("#terms").is_visible()
    html = (book / EXPLORER).read_text("utf-8")
    assert html.count('"terms":""') == 1
    body = html.replace('"terms":""', '"terms":"No endorsement.\\nNo sale."')
    page.route("**/explorer.html", lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(EXPLORER)
    page.locator("#terms summary").click()
    assert page.locator("#terms p").inner_text() == "No endorsement.\nNo sale."


@pytest.fixture(scope="module")
def library(tiny_run):
    """What the library computes for a choice."""
    folder, _ = tiny_run
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCENT_RUNS", str(folder))
        run = runs.Run("browser", {"run": "tiny"})
        data = runs.interactions(run)
        models = {name: runs.trained_model(run, name, data)[0] for name in ("ncf", "rcf")}
        variants = {name: run.setting("04_explanations", f"{name}_variant") for name in models}
        found = run.read_csv("explanations.csv")
    return models, data, found, variants


def computed(library, name, user, k, method):
    models, data, _, variants = library
    return closeup(models[name], user, k, method, variant=variants[name]), data.titles


def numbers(page, table, column):
    """A column of a table, a minus as Python reads it; empty cells left out."""
    cells = page.locator(f"#{table} tbody tr td:nth-of-type({column})").all_inner_texts()
    return [float(text.replace("−", "-")) for text in cells if text]


def check(page, library, name, user, k, method):
    seen, titles = computed(library, name, user, k, method)
    assert page.locator("#sentence").inner_text() == seen.sentence(titles)
    half = 0.51 * 10 ** -DECIMALS[name]  # rounded to what is shown
    shown = numbers(page, "steps", 2)
    again = len(shown) - len(seen.gaps)  # retrained without the set and with nothing removed, where it was
    assert again in (0, 2)
    assert shown[: len(seen.gaps)] == pytest.approx(seen.gaps, abs=half)
    assert numbers(page, "slate", 1) == pytest.approx(seen.scores, abs=half)
    if seen.explanation:
        assert numbers(page, "slate", 2) == pytest.approx(seen.explanation.predicted, abs=half)
    stars = name == "ncf"
    on_gap = numbers(page, "history", 4 if stars else 3)
    assert on_gap == pytest.approx(sorted(seen.on_gap, reverse=True), abs=half)
    check_bars(page, seen, half)


def check_bars(page, seen, half):
    """Bars are as long as their numbers: gaps from zero on, all on one scale."""
    widths = page.locator("#steps tbody tr").evaluate_all(
        """rows => rows.map(row => {
            const bar = row.querySelector(".left, .ahead, .again").getBoundingClientRect();
            return bar.width / row.querySelector(".track").getBoundingClientRect().width;
        })"""
    )
    shown = numbers(page, "steps", 2)
    spread = max(0, *shown) - min(0, *shown)
    for width, value in zip(widths, shown, strict=True):
        assert width == pytest.approx(abs(value) / spread, abs=2 * half / spread + 0.01)


def users_with(library, name, method, k, low, high):
    found = library[2]
    rows = found[(found["model"] == name) & (found["method"] == method) & (found["k"] == k)]
    return rows[rows["size"].between(low, high)]["user"].tolist()


def opened_with(library):
    found = library[2]
    return worth_a_look(found[(found["model"] == "ncf") & (found["k"] == 6)])[0]


def test_another_user_and_k_change_sentence_and_bars_to_what_the_library_computes(page, library):
    page.goto(EXPLORER)
    found = library[2]
    first = opened_with(library)
    assert page.locator("#user").input_value() == str(first)
    check(page, library, "ncf", first, 6, "accent")
    sentence = page.locator("#sentence").inner_text()
    other = next(user for user in users_with(library, "ncf", "accent", 6, 2, 9) if user != first)
    page.select_option("#user", str(other))
    assert page.locator("#sentence").inner_text() != sentence
    check(page, library, "ncf", other, 6, "accent")
    page.get_by_label("3", exact=True).check()
    check(page, library, "ncf", other, 3, "accent")
    page.select_option("#method", "fia")
    check(page, library, "ncf", other, 3, "fia")
    page.select_option("#method", "random")
    check(page, library, "ncf", other, 3, "random")
    for nobody in found[(found["size"] == 0) & (found["method"] != "random")].head(1).itertuples():
        page.goto(f"{EXPLORER}#model={nobody.model}&user={nobody.user}&k={nobody.k}&method={nobody.method}")
        check(page, library, nobody.model, nobody.user, nobody.k, nobody.method)
        assert page.locator("#verdict").inner_text().startswith("This method finds none")


def test_the_other_recommender_has_methods_of_its_own(page, library):
    page.goto(EXPLORER)
    assert "attention" not in page.locator("#method option").all_inner_texts()
    page.get_by_label("RCF").check()
    user = int(page.locator("#user").input_value())
    check(page, library, "rcf", user, 6, "accent")
    for method in ("attention", "pure_attention"):
        page.select_option("#method", method)
        check(page, library, "rcf", user, 6, method)
    page.get_by_label("NCF").check()
    assert page.locator("#method").input_value() == "accent"


def test_what_retraining_showed_is_told(page, library):
    page.goto(EXPLORER)
    verdicts = set()
    for user in users_with(library, "ncf", "accent", 6, 1, 99)[:60]:
        page.select_option("#user", str(user))
        verdict = page.locator("#verdict").inner_text()
        verdicts.add(verdict.split()[1])
        rows = page.locator("#steps tbody th").all_inner_texts()
        assert any("retrained without" in row for row in rows) == verdict.startswith("Retraining")
    assert {"only:", "agrees"} <= verdicts or {"only:", "disagrees"} <= verdicts
    page.select_option("#method", "random")
    random_sets = 0
    for user in sorted(set(library[2]["user"])):
        page.select_option("#user", str(user))
        if page.locator("#sentence").inner_text().startswith("Random set"):  # it claims nothing
            assert not page.locator("#verdict").inner_text().startswith("Retraining")
            assert page.locator("#verdict").get_attribute("class") == "verdict"
            random_sets += 1
    assert random_sets > 5


def test_the_keyboard_is_enough(page, library):
    page.goto(EXPLORER)
    user = int(page.locator("#user").input_value())
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name || ''"))
    assert [one for one in reached if one][:8] == [
        "model", "previous", "user", "next", "k", "method", "rival", "order"
    ]  # fmt: skip
    page.locator("#next").focus()
    page.keyboard.press("Enter")
    check(page, library, "ncf", user + 1, 6, "accent")
    assert page.evaluate("document.activeElement.id") == "next"
    page.locator("input[name=k]:checked").focus()
    page.keyboard.press("ArrowLeft")
    check(page, library, "ncf", user + 1, 3, "accent")
    assert page.evaluate("document.activeElement.value") == "3"
    page.keyboard.press("ArrowRight")
    page.locator("#method").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") == "method"
    check(page, library, "ncf", user + 1, 6, page.locator("#method").input_value())


def test_history_by_time_and_for_another_gap(page, library):
    page.goto(EXPLORER)
    user = int(page.locator("#user").input_value())
    seen, titles = computed(library, "ncf", user, 6, "accent")
    page.get_by_label("by time").check()
    names = page.locator("#history tbody th").all_inner_texts()
    for name, item in zip(names, seen.history, strict=True):
        assert name.startswith(titles[item])
    page.select_option("#rival", "5")
    expected = seen.influence[0] - seen.influence[5]
    assert numbers(page, "history", 4) == pytest.approx(expected, abs=0.00051)


def test_the_address_says_what_is_shown(page, library):
    page.goto(f"{EXPLORER}#model=rcf&user=8&k=3&method=fia")
    check(page, library, "rcf", 8, 3, "fia")
    page.select_option("#user", "9")
    assert re.search("model=rcf&user=9&k=3&method=fia$", page.url)
    page.goto(f"{EXPLORER}#model=none&user=x&k=4&method=none")
    assert page.locator("#sentence").inner_text()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("choice", ["", "#model=rcf&user=3&k=6&method=pure_attention"])
def test_nobody_is_shut_out_of_the_explorer(page, width, choice):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(EXPLORER + choice)
    assert not violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_book_shows_all_of_it(page, library):
    page.goto("book/explorer.html")
    page.locator("iframe#explorer-frame").scroll_into_view_if_needed()
    inside = page.frame_locator("iframe#explorer-frame")
    inside.locator("#next").click()
    first = opened_with(library)
    seen, titles = computed(library, "ncf", first + 1, 6, "accent")
    assert inside.locator("#sentence").inner_text() == seen.sentence(titles)
    page.wait_for_function(
        """() => {
            const frame = document.getElementById("explorer-frame");
            return frame.clientHeight >= frame.contentDocument.documentElement.offsetHeight;
        }"""
    )
