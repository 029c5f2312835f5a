"""The panel for a live notebook shows what the library computes for what is chosen."""

import re
from datetime import UTC, datetime
from html import unescape

import pytest

from accent_book.live.panel import panel
from accent_lib.explanations import closeup
from accent_lib.models import NCF, RCF
from accent_lib.training import Recipe, State, train


@pytest.fixture(scope="module")
def model(sample):
    model = NCF(sample, dim=8)
    (state,) = train(model, Recipe(800, 1e-2, "linear", batch_size=256), [State.of(model)])
    return state.into(model)


def texts(html):
    """What is to be read, piece by piece."""
    return [unescape(piece).strip() for piece in re.split("<[^>]*>", html) if piece.strip()]


def check(shown, sample, seen):
    read = texts(shown)
    assert read[0] == seen.sentence(sample.titles)
    for gap in seen.gaps:
        assert f"{gap:+.3f}" in read
    strongest = seen.on_gap.argmax()
    at = [i for i, text in enumerate(read) if text.startswith(sample.titles[seen.history[strongest]])][-1]
    assert read[at + 2] == f"{seen.on_gap[strongest]:+.3f}"
    assert sum(text.endswith(" (removed)") for text in read) == len(seen.explanation or ())


def test_it_explains_whoever_is_chosen(sample, model):
    shown = panel(model, sample, user=4, k=5)
    check(shown.shown.value, sample, closeup(model, 4, 5))
    shown.user.value = 9
    shown.k.value = 8
    check(shown.shown.value, sample, closeup(model, 9, 8))
    shown.method.value, shown.variant.value = "pure_fia", "objective"
    check(shown.shown.value, sample, closeup(model, 9, 8, "pure_fia", variant="objective"))
    assert "application/vnd.jupyter.widget-view+json" in shown._repr_mimebundle_()


def test_it_offers_what_the_model_can_do(sample, model):
    ncf, rcf = panel(model, sample), panel(RCF(sample), sample)
    assert {name for _, name in rcf.method.options} - {name for _, name in ncf.method.options} == {
        "attention",
        "pure_attention",
    }
    assert (ncf.variant.options, rcf.variant.options) == (("paper", "objective"), ("shared", "paper"))
    assert ncf.user.max == sample.n_users - 1


def test_ratings_of_ones_own_make_the_last_user(sample, model, tmp_path):
    train = sample.train[sample.rows(7)]
    lines = [f"{sample.item_ids[row.item]},{row.rating}" for row in train.itertuples()]
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(["item,stars", *lines]), "utf-8")
    shown = panel(model, sample, k=5)
    shown.path.value = str(file)
    assert shown.user.value == shown.user.max == sample.n_users
    assert shown.closeup.history.tolist() == train["item"].tolist()
    by_path = shown.shown.value
    check(by_path, sample, shown.closeup)
    shown.user.value = 0
    check(shown.shown.value, sample, closeup(model, 0, 5))
    content = file.read_bytes()
    brought = {"name": "mine.csv", "type": "text/csv", "size": len(content), "content": memoryview(content)}
    shown.upload.value = (brought | {"last_modified": datetime.now(UTC)},)
    assert shown.shown.value == by_path and shown.user.max == sample.n_users


def test_a_mistake_is_told_where_the_explanation_stood(sample, model):
    shown = panel(model, sample)
    shown.path.value = "nothing.csv"
    assert 'role="alert"' in shown.shown.value and "No such file" in shown.shown.value
