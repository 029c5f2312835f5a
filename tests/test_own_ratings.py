"""Ratings of one's own: a user is fitted into a trained NCF, and explained like any other."""

import copy
import io
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from accent_book.live.own_ratings import add_user, explain_ratings, read_ratings
from accent_lib import AccentError, AccentWarning
from accent_lib.explanations import closeup
from accent_lib.models import NCF, RCF
from accent_lib.training import Recipe, State, train


@pytest.fixture(scope="module")
def model(sample):
    model = NCF(sample, dim=8)
    (state,) = train(model, Recipe(1500, 1e-2, "linear", batch_size=256), [State.of(model)])
    return state.into(model)


def ratings_of(sample, user):
    train = sample.train[sample.rows(user)]
    return pd.DataFrame({"item": sample.item_ids[train["item"]], "stars": train["rating"]})


def csv(table):
    return io.StringIO(table.to_csv(index=False))


def objective(model, user):
    """The part of the training objective that a user's block can change."""
    block = model.block(user)
    return float((model.losses(block, user).sum() / model.n_actions + model.penalty(block)).detach())


@pytest.mark.parametrize("user", [3, 5])
def test_somebody_with_the_ratings_of_a_user_is_like_her(sample, model, user):
    own = explain_ratings(csv(ratings_of(sample, user)), model, sample, k=5)
    assert own.closeup.user == sample.n_users == own.model.n_users - 1
    before, hers = copy.deepcopy(model).double(), sample.rows(user)
    known = sample.train[hers].reset_index(drop=True)
    new = own.data.train[own.data.rows(sample.n_users)].reset_index(drop=True)
    columns = ["item", "rating", "positive"]
    pd.testing.assert_frame_equal(new[columns], known[columns], check_dtype=False)
    # The fit holds all else fixed and finds a block at least as good as what training found for her; with her
    # ratings a second time the mean is over a few more, which is all that sets the objectives apart.
    more = own.model.n_actions / before.n_actions
    assert objective(own.model, sample.n_users) <= objective(before, user)
    assert objective(own.model, sample.n_users) * more >= 0.9 * objective(before, user)
    with torch.no_grad():
        items = torch.arange(sample.n_items)
        ours = own.model.scores(own.model.block(sample.n_users), sample.n_users, items)
        theirs = before.scores(before.block(user), user, items)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9  # another minimum, as chapter 3 shows, but the same taste


def test_everybody_else_stays_as_she_was(sample, model):
    ratings = read_ratings(csv(ratings_of(sample, 3)), sample)
    ours, data = add_user(model, sample, ratings)
    for user in (0, 40, 90):
        np.testing.assert_array_equal(ours.actions(user), model.actions(user))
        assert torch.equal(ours.block(user).float(), model.block(user))
    pd.testing.assert_frame_equal(data.train[: len(sample.train)], sample.train, check_dtype=False)
    again, _ = add_user(model, sample, ratings)
    assert torch.equal(ours.block(sample.n_users), again.block(sample.n_users))


def test_the_explanation_is_the_librarys(sample, model):
    own = explain_ratings(csv(ratings_of(sample, 3)), model, sample, k=6, method="fia", variant="objective")
    seen = closeup(own.model, sample.n_users, 6, "fia", variant="objective")
    assert own.sentence == seen.sentence(sample.titles)
    assert own.slate()["film"].tolist() == sample.titles[seen.items].tolist()
    history = own.history()
    assert history["removed"].sum() == (len(seen.explanation) if seen.explanation else 0)
    assert history["on_gap"].is_monotonic_decreasing and len(history) == len(seen.history)
    assert 0 < own.rmse < 1


def unique_titles(sample, n):
    rated = set(sample.train["item"])
    names, counts = np.unique(sample.titles.astype(str), return_counts=True)
    alone = set(names[counts == 1])
    return [title for item, title in enumerate(sample.titles) if title in alone and item in rated][:n]


def test_titles_are_recognised_as_people_write_them(sample):
    titles = unique_titles(sample, 5)
    written = [title.upper().replace("’", "'") for title in titles]
    table = pd.DataFrame({"Title ": written, "rating": [5, 4, 3.5, 2, 1]})
    ratings = read_ratings(csv(table), sample, min_ratings=5)
    assert sample.titles[ratings["item"]].tolist() == titles
    assert ratings["rating"].tolist() == [5, 4, 3.5, 2, 1]


def test_a_number_decides_where_a_title_does_not(sample):
    # No two films of the sample have one title, as some of MovieLens do.
    items, all_titles = [3, sample.n_items - 1], sample.titles.copy()
    all_titles[items[1]] = twice = all_titles[items[0]]
    sample = replace(sample, titles=all_titles)
    titles = [*unique_titles(sample, 5), twice]
    with pytest.raises(AccentError, match=r"^Line 7: .* may be any of 2 films"):
        read_ratings(csv(pd.DataFrame({"title": titles, "stars": 3})), sample)
    table = pd.DataFrame({"title": titles, "stars": 3, "item": [""] * 5 + [sample.item_ids[items[0]]]})
    assert read_ratings(csv(table), sample, 5)["item"].tolist()[-1] == items[0]


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            lambda lines: [*lines, "Nothing of the Kind,4"],
            "Line 8: sample has no film with the title 'Nothing",
        ),
        (lambda lines: [*lines, lines[1][:5] + "x" + lines[1][5:]], "did you mean "),
        (lambda lines: [*lines, lines[1]], "Line 8: .* is rated a second time"),
        (lambda lines: [*lines[:-1], lines[-1][:-1] + "6"], "Line 7: the stars are '6'"),
        (lambda lines: [*lines[:-1], lines[-1][:-1] + "0.5"], "Line 7: the stars are '0.5'"),
        (lambda lines: [*lines[:-1], lines[-1][:-1] + "good"], "Line 7: the stars are 'good'"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "Line 7: the stars are ''"),
        (lambda lines: lines[:4], "3 ratings are too few: bring at least 5"),
        (lambda lines: ["film,stars", *lines[1:]], "need the columns title .* but have film, stars"),
        (lambda lines: [], "cannot be read as a table"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(sample, change, sentence):
    lines = ["title,stars", *(f'"{title}",{3}' for title in unique_titles(sample, 6))]
    with pytest.raises(AccentError, match=sentence):
        read_ratings(io.StringIO("\n".join(change(lines))), sample, min_ratings=5)


@pytest.mark.parametrize(
    "table, sentence",
    [
        ("title,stars\n{old} (1890),4", "has no film with the title .*1890.*; did you mean"),
        (
            "title,year,stars\n{old},1890,4",
            r"Line 2: .* is of {year}, but the year is '1890'; correct the year",
        ),
        ("title,year,stars\n{old},soon,4", r"Line 2: .* is of {year}, but the year is 'soon'"),
        (
            "item,title,stars\n{item},{other},4",
            r"Line 2: item '{item}' is .*, but the title is .*, which is \d+",
        ),
        (
            "item,title,stars\n{item},Nothing,4",
            r"Line 2: item '{item}' is .*, but the title is 'Nothing'; corr",
        ),
        ("title,stars,rating\n{old},4,1", "The columns stars and rating may both be the stars; keep one"),
        ("title,stars,stars\n{old},4,1", "The columns stars and stars may both be the stars"),
        ("title,title,stars\n{old},{old},1", "The columns title and title may both be the title"),
        ("title,stars\n{old},4,seen", "Line 2 has 3 fields, but the first line names 2"),
        ("title,stars\n\n\n{old},4,,", "Line 4 has 4 fields, but the first line names 2"),
        ("title,stars\n{old}", "Line 2 has 1 fields, but the first line names 2"),
        ("title,stars\n\n{old},8", "Line 3: the stars are '8', but must be a number from 1 to 5"),
        ("title,stars\n{old},8/10", "Line 2: the stars are '8/10', but must be a number"),
        ("title,stars\n{old},0_4", "Line 2: the stars are '0_4', but must be a number"),
        ("title,stars\n{old},nan", "Line 2: the stars are 'nan', but must be a number"),
        ('title,stars\n"{old},4', "The ratings, line 2: a quotation mark is not closed"),
        (
            "title,stars\n" + 10**6 * "x" + ",4",
            "The ratings, line 2: a field has more than 131,072 characters",
        ),
        ("title,stars\n" + 10**5 * "x" + ",4", "has no film with the title 'x{{58}}…"),
        (10**6 * "column,", "need the columns title .* but have column"),
    ],
    ids=lambda case: case[:30],
)
def test_what_contradicts_itself_is_no_rating(sample, table, sentence):
    known = [item for item in sample.train["item"].unique() if sample.years[item] is not pd.NA]
    one, other = known[:2]
    bare = sample.titles[one].rpartition(" (")[0]
    words = {"old": f'"{bare}"', "item": sample.item_ids[one], "year": sample.years[one]}
    text = table.format(**words, other=f'"{sample.titles[other]}"').replace('" (1890)', ' (1890)"')
    with pytest.raises(AccentError, match=sentence.format(**words)) as error:
        read_ratings(io.StringIO(text), sample, min_ratings=1)
    assert len(str(error.value)) < 500


def test_stars_of_a_shorter_scale_are_noticed(sample):
    rated = pd.DataFrame({"item": sample.item_ids[sample.train["item"].unique()[:3]], "stars": [5, 4.5, 2]})
    with pytest.warns(
        AccentWarning, match="None of the ratings is above 5, though the scale goes from 0 to 10"
    ):
        read_ratings(csv(rated), replace(sample, scale=(0, 10)), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AccentWarning)
        assert read_ratings(csv(rated), sample, 3)["rating"].tolist() == [5, 4.5, 2]


def test_a_year_of_its_own_decimal_commas_and_empty_lines_are_fine(sample):
    item = next(item for item in sample.train["item"].unique() if sample.years[item] is not pd.NA)
    bare, year = sample.titles[item].rpartition(" (")[0], sample.years[item]
    for line in (f'"{bare}",{year},"4,5"', f'"{bare}",{year + 1},4.5', f'"{bare} ({year})",,4.5'):
        text = f"\ufeffTitle, Year, Stars\n\n{line}\n , ,\n"
        found = read_ratings(io.StringIO(text), sample, 1)
        assert found.values.tolist() == [[item, 4.5]]


@pytest.mark.parametrize(
    "items, stars, says",
    [
        ([5, 5], [4, 4], "rate an item twice"),
        ([], [], "`ratings` are none"),
        ([5, -1], [4, 4], r"`item\[1\]` is -1"),
        ([5, 10**6], [4, 4], r"`item\[1\]` is 1000000"),
        ([5, 6], [4, 9], "`rating` is 9, but must be a finite number from 1 to 5"),
        ([5, 6], [4, np.nan], "`rating` is nan"),
    ],
)
def test_a_user_is_made_of_ratings_that_there_can_be(sample, model, items, stars, says):
    with pytest.raises(AccentError, match=says):
        add_user(model, sample, pd.DataFrame({"item": items, "rating": stars}))


def test_other_models_and_other_data_are_refused(sample, model, tmp_path):
    ratings = csv(ratings_of(sample, 3))
    with pytest.raises(AccentError, match="need an NCF"):
        explain_ratings(ratings, RCF(sample), sample)
    with pytest.raises(AccentError, match="cannot be read as a table with commas .No such file"):
        explain_ratings(tmp_path / "nothing.csv", model, sample)
    ours, _ = add_user(model, sample, read_ratings(csv(ratings_of(sample, 3)), sample))
    with pytest.raises(AccentError, match="trained on other data"):
        explain_ratings(csv(ratings_of(sample, 3)), ours, sample)


def test_a_film_that_nobody_rated_is_told(sample):
    without = replace(sample, train=sample.train[sample.train["item"] != 7])
    with pytest.raises(AccentError, match="Line 2: nobody rated"):
        read_ratings(csv(pd.DataFrame({"item": [sample.item_ids[7]], "stars": 4})), without)


def test_ratings_are_on_the_scale_of_the_data_set(sample):
    rated = pd.DataFrame({"item": sample.item_ids[sample.train["item"].unique()[:3]], "rating": [0.5, 10, 7]})
    other = replace(sample, scale=(0.5, 10))
    assert read_ratings(csv(rated), other, 3)["rating"].tolist() == [0.5, 10, 7]
    with pytest.raises(AccentError, match="Line 2: the stars are '0.5', but must be a number from 1 to 5"):
        read_ratings(csv(rated), sample, 3)
    with pytest.raises(
        AccentError, match="Line 3: the stars are '10.5', but must be a number from 0.5 to 10"
    ):
        read_ratings(csv(rated.replace(10, 10.5)), other, 3)
