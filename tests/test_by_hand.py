"""Figures that a reader changes by hand: they say what the library computes, by mouse and by keyboard."""

import re

import numpy as np
import pytest

import accent_lib as al
from accent_book.figures import gap_by_hand, one_parameter_by_hand
from accent_lib.front.settings import Setting
from accent_lib.training import Recipe, Round
from tests import test_browser

browser = test_browser.browser


@pytest.fixture(scope="module")
def explanation():
    """One with a set of more than one action."""
    recipe = Recipe(steps=600, learning_rate=0.01, batch_size=256)
    model = al.NCF(al.load("sample"), Setting({}, (Round(1, recipe),), recipe)).fit()
    sizes = al.explain_users(model, k=4).set_index("user")["size"]
    return al.explain(model, sizes.index[sizes.between(2, 4)][0], k=4)


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a figure on a telephone, which must have nothing to complain of."""
    contexts, said = [], []

    def open_figure(figure):
        path = tmp_path / "page.html"
        html = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>F</title>{figure.data}'
        path.write_text(html, "utf-8")
        contexts.append(browser.new_context(viewport={"width": 390, "height": 800}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_figure
    for context in contexts:
        context.close()
    assert not said


@pytest.fixture
def page(explanation, opened):
    return opened(gap_by_hand(explanation))


def gaps(page):
    """What the bars' numbers say."""
    return [float(text.replace("−", "-")) for text in page.locator(".gaps b").all_inner_texts()]


def test_what_is_left_of_each_gap_is_what_the_library_estimates(page, explanation):
    seen, boxes = explanation.closeup, page.get_by_role("checkbox")
    assert boxes.count() == len(seen.history)
    gone = [0, 3, *seen.explanation.removed]
    for action in dict.fromkeys(gone):
        boxes.nth(action).check()
    on_gap = explanation.model.differences_in_unit(seen.influence[:1] - seen.influence[1:])
    at_first = explanation.model.differences_in_unit(seen.scores[0] - seen.scores[1:])
    left = at_first - on_gap[:, list(dict.fromkeys(gone))].sum(1)
    np.testing.assert_allclose(gaps(page), left, atol=0.0051)
    page.get_by_role("button", name="Give all back").click()
    np.testing.assert_allclose(gaps(page), at_first, atol=0.0051)
    assert page.locator("input:checked").count() == 0


def test_its_sentence_is_that_of_the_explanation(page, explanation):
    told = page.get_by_role("status")
    recommended, *others = explanation.slate["title"]
    assert told.inner_text() == f"{recommended} is recommended. Fill one of its gaps."
    page.get_by_role("button", name="Show ACCENT’s set").click()
    ticked = page.locator("label:has(input:checked)").all_inner_texts()
    history = explanation.history
    titles = [text.strip().rpartition(",")[0] for text in ticked]
    assert titles == history.loc[history["removed"], "title"].tolist()
    lowest = others[int(np.argmin(gaps(page)))]
    size = len(explanation.removed)
    assert f"Filled with {size} ratings: of these films {lowest} would lead" in told.inner_text()
    assert told.inner_text().endswith("No set is smaller.")
    idle = int(history.loc[~history["removed"], "influence"].abs().idxmin())
    page.get_by_role("checkbox").nth(idle).check()
    assert re.search(rf"Filled with {size + 1} ratings: .* ACCENT needs {size}\.$", told.inner_text())


def test_it_needs_no_mouse_and_everything_has_a_name(page, explanation):
    titles = explanation.history["title"].tolist()
    page.keyboard.press("Tab")  # the list, which scrolls
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "checkbox"
    page.keyboard.press("Space")
    assert page.get_by_role("checkbox", name=titles[0]).is_checked()
    assert page.get_by_role("status").inner_text().startswith("Without 1 rating ")
    assert (
        page.get_by_role("group", name="Which of these ratings, with their stars, shall be gone?").count()
        == 1
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_titles_are_text_whatever_they_hold_and_two_of_them_live_on_one_page(explanation):
    class Titled:
        closeup, model, found = explanation.closeup, explanation.model, True
        slate = explanation.slate.assign(title=["</script><b>A", *"BCD"])
        history = explanation.history

    first, again, other = (gap_by_hand(each).data for each in (explanation, explanation, Titled))
    assert first == again
    assert "</script><b>" not in other and "\\u003c/script>" in other
    names = [re.search('id="([^"]*)"', html)[1] for html in (first, other)]
    assert names[0] != names[1]


@pytest.mark.parametrize(("x", "y"), [(2, 5), (0.5, 1), (3.5, 4.2), (0, 3)])
def test_sliders_show_truth_and_estimate_of_one_parameter(opened, x, y):
    page = opened(one_parameter_by_hand([1, 2, 2], [4, 5, 3], 1, 2 / 3))
    for name, value in (("x", x), ("y", y)):
        page.locator(f'input[data-name="{name}"]').fill(str(value))
    kept, curvature = (1 * 4 + 2 * 3, 1 + 4), 1 + 4 + x**2 + 1
    start, truth = (kept[0] + x * y) / curvature, kept[0] / (kept[1] + 1)
    told = page.get_by_role("status").inner_text()
    if x == 0:
        assert told.startswith(f"Without the rating the parameter stays at {truth:.2f}")
        return
    reached = start + (truth - start) * (1 - x**2 / curvature)
    numbers = re.search(r"from ([\d.]+) to ([\d.]+); the estimate says ([\d.]+), (\d+)% of", told).groups()
    np.testing.assert_allclose([float(n) for n in numbers[:3]], [start, truth, reached], atol=0.0051)
    assert abs(int(numbers[3]) - 100 * (1 - x**2 / curvature)) <= 0.51


def test_sliders_have_names_and_heed_the_keyboard(opened):
    page = opened(one_parameter_by_hand([1, 2, 2], [4, 5, 3], 1, 2 / 3))
    before = page.get_by_role("status").inner_text()
    page.get_by_role("slider", name="taste of the removed film").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("slider", name="taste of the removed film").input_value() == "2.1"
    assert page.get_by_role("status").inner_text() != before
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
