"""The chapters on a reader's own file: a small table of points, without attributes and without times."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from accent_book import runs
from accent_book.publish.explorer import explorer_data, explorer_page
from accent_book.publish.page import publish_explorer
from accent_book.runner.plan import plan
from accent_book.runs.profiles import load_profile, profile_of_run, run_name
from accent_book.runs.ratings import load_ratings
from accent_book.runs.wording import words_of
from accent_lib.datasets import prepare
from accent_lib.errors import AccentError
from tests.conftest import ROOT, papermill

# Every notebook on the file, as small as it goes.
SMALLEST = {
    "00_tour": {"orders": 1},
    "01_data": {"columns": "rating=points", "noun": "book", "verb": "read"},
    "02_training": {
        "round_starts": [2, 1],
        "round_steps": [60, 200],
        "comparison_steps": 8,
    },
    "02b_rcf": {"rcf_epochs": 2},
    "03_influence": {"n_users": 4},
    "03b_trust": {
        "n_users": 4,
        "refit_users": 1,
        "refit_actions": 2,
        "gelu_steps": 20,
        "check_steps": 20,
    },
    "03c_rcf_influence": {"n_users": 4, "rcf_users": 1, "rcf_actions": 1, "workers": 1},
    "04_explanations": {"ks": [3, 20]},  # fewer books than that are left to recommend
    "04b_attention": {},
    "05_verification": {
        "n_users": 50,  # more than there are
        "retraining_steps": 20,
        "rcf_retraining_epochs": 2,
        "rcf_warm_epochs": 1,
        "workers": 1,
    },
    "06_analysis": {"resamples": 100},
    "07_scale": {"steps": 5, "copies": 2},
    "10_your_data": {"club_users": 1, "orders": 1},
    "11_own_model": {"steps": 200, "mf_users": 5, "mf_retraining_steps": 20},
}


def write_points(path, seed=7):
    """Three hundred ratings from 1 to 10: 20 readers of two tastes, 15 of 25 books each."""
    generator = np.random.default_rng(seed)
    taste, kind = generator.integers(0, 2, 20), generator.integers(0, 2, 25)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["reader", "book", "points"])
        for reader in range(20):
            for book in generator.choice(25, 15, replace=False):
                exact = 5.5 + (2.5 if taste[reader] == kind[book] else -2.5) + generator.normal(0, 1.2)
                points = int(np.clip(round(exact), 1, 10))
                table.writerow([f"reader {reader + 1}", f"Book {chr(65 + book)}", points])
    return path


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """Run the chapters that are about a run's data; the folder, and what papermill said by name."""
    folder, finished = tmp_path_factory.mktemp("own"), {}
    write_points(folder / "points.csv")
    for name, settings in SMALLEST.items():
        given = {"run": "own", **settings}
        if name == "01_data":
            given["dataset"] = str(folder / "points.csv")
        arguments = [part for key, value in given.items() for part in ("-y", f"{key}: {json.dumps(value)}")]
        finished[name] = papermill(name, folder, *arguments)
        if finished[name].returncode:
            break
    return folder, finished


def shown(folder, name):
    """All that an executed notebook shows and says as text."""
    cells = json.loads((folder / f"{name}.ipynb").read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    parts = [text for output in outputs for text in output.get("data", {}).values()]
    parts += [output.get("text", "") for output in outputs]
    return "\n".join(part if isinstance(part, str) else "".join(map(str, part)) for part in parts)


@pytest.mark.parametrize("name", SMALLEST)
def test_every_chapter_runs_on_a_file_without_attributes_and_times(own_run, name):
    _, finished = own_run
    assert name in finished, "a notebook before it failed"
    assert finished[name].returncode == 0, finished[name].stderr[-3000:]


def test_what_the_chapters_show_is_in_the_words_of_the_file(own_run, monkeypatch):
    folder, _ = own_run
    monkeypatch.setenv("ACCENT_RUNS", str(folder))
    record = json.loads((folder / "own" / "data.json").read_text("utf-8"))
    assert record["dataset"] == str(folder / "points.csv") and list(record["files"]) == [record["dataset"]]
    assert record["settings"]["positive_at"] == 5.5 and record["settings"]["min_positive"] < 10
    data = shown(folder, "01_data")
    assert "no time: the order of the rows" in data and "nothing is known of items" in data
    assert "the type “none” alone" in data and "books with at least one rating" in data
    assert "points" in shown(folder, "02_training")
    assert "Had you not read Book " in shown(folder, "05_verification")
    assert "slates have at most" in shown(folder, "04_explanations")
    verified = json.loads((folder / "own" / "verified.json").read_text("utf-8"))["users"]
    assert len(verified) == runs.interactions(runs.Run("test", {"run": "own"})).n_users


def test_the_explorer_has_own_titles_and_stays_on_this_machine(own_run, tmp_path, monkeypatch):
    folder, _ = own_run
    monkeypatch.setenv("ACCENT_RUNS", str(folder))
    data = explorer_data(runs.Run("explorer", {"run": "own"}))
    assert data["private"] and data["words"]["item"] == "book" and "Book A" in data["films"]
    sets = [found for model in data["models"] for user in model["users"] for found in user["sets"]]
    assert any("Had you not read Book " in found["sentence"] for found in sets)
    assert "not to be passed on" in explorer_page(data)
    publish_explorer(folder / "own", tmp_path)
    page = (tmp_path / "book" / "_static" / "explorer.html").read_text("utf-8")
    assert "are a reader's own and stay on this machine" in page and str(folder) not in page


def test_a_file_that_changed_is_not_mixed_with_old_results(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path))
    path = write_points(tmp_path / "points.csv")
    run = runs.Run("01_data", {"run": "own", "dataset": str(path), "columns": "rating=points"})
    ratings = load_ratings(str(path), columns="rating=points")
    data = prepare(ratings)
    record = {**runs.source_of(run.settings), "settings": data.settings, "fingerprint": data.fingerprint}
    run.write_json("data.json", record)
    assert runs.interactions(run).fingerprint == data.fingerprint
    write_points(path, seed=8)
    with pytest.raises(AccentError, match=r"points\.csv has changed since notebook 01_data read it"):
        runs.interactions(run)
    path.unlink()
    with pytest.raises(AccentError, match=r"points\.csv, which notebook 01_data read, is gone"):
        runs.interactions(run)


def test_a_profile_may_lie_anywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    path = write_points(tmp_path / "points.csv")
    profile = tmp_path / "mine.yaml"
    values = {"dataset": "points.csv", "columns": "rating=points", "noun": "book", "verb": "read"}
    profile.write_text(yaml.safe_dump(values), "utf-8")
    settings = load_profile(str(profile))
    assert settings["01_data"]["dataset"] == str(path) and settings["01_data"]["noun"] == "book"
    assert run_name(str(profile)) == "mine" == settings["07_scale"]["run"]
    chapter = plan(str(profile), upto=1)[0]
    assert chapter.folder == tmp_path / "runs" / "mine"
    write_points(path, seed=8)
    assert plan(str(profile), upto=1)[0].stamp != chapter.stamp, "a changed file outdates the chapters"
    assert profile_of_run("mine") is None
    run = runs.Run("01_data", {"run": "mine"})
    record = {"stamp": "", "settings": {}, "files": [], "date": "", "seconds": 1, "profile": str(profile)}
    run.write_json("provenance.json", {"01_data": record})
    assert profile_of_run("mine") == str(profile)
    with pytest.raises(AccentError, match=r"There is no profile '.*other\.yaml' at that place"):
        load_profile(str(tmp_path / "other.yaml"))
    taken = tmp_path / "sample.yaml"
    taken.write_text("dataset: points.csv\n", "utf-8")
    with pytest.raises(AccentError, match="that of a profile of the project"):
        load_profile(str(taken))


def test_files_are_found_from_where_one_is_and_from_the_project(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path / "runs"))
    defaults = {name: setting for name, setting in load_profile("sample")["01_data"].items()}
    write_points(tmp_path / "points.csv")
    monkeypatch.chdir(tmp_path)
    here = runs.begin("01_data", {**defaults, "run": "own", "dataset": "points.csv"})
    assert here.settings["dataset"] == str(tmp_path / "points.csv")
    club = runs.begin("01_data", {**defaults, "run": "own", "dataset": "data/club/club.csv"})
    assert Path(club.settings["dataset"]) == ROOT / "data" / "club" / "club.csv"


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"dataset": "nowhere.csv"}, r"dataset is 'nowhere\.csv', but there is no such file; known sets are"),
        ({"dataset": "ml-1b"}, "dataset is 'ml-1b', but there is no such file; known sets are sample"),
        ({"dataset": "points.csv", "items": "books.csv"}, r"items is 'books\.csv', but there is no such"),
        ({"dataset": "sample", "items": "books.csv"}, "but sample is a known set"),
        ({"dataset": "points.csv", "columns": "points"}, "columns is 'points', but must name user, item"),
        ({"dataset": "points.csv", "columns": "stars=points"}, "columns is 'stars=points', but must"),
        ({"dataset": "points.csv", "columns": "rating=a, rating=b"}, "at most once each"),
        ({"dataset": "points.csv", "columns": "item="}, "columns leaves item empty"),
        ({"dataset": "points.csv", "columns": "rating=stars"}, "no column 'stars'"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path, monkeypatch, arguments, sentence):
    write_points(tmp_path / "points.csv")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AccentError, match=sentence):
        load_ratings(**arguments)


def test_columns_are_names_positions_or_missing(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("1,a,4,100\n1,b,2,50\n2,a,5,70\n", "utf-8")
    ratings = load_ratings(str(path), columns="user=0, item=1, rating=2, time=")
    assert ratings.ratings["timestamp"].tolist() == [0, 1, 2]


def test_words_of_a_data_set():
    assert words_of() == ("film", "films", "rated", "stars")
    assert words_of("book", "read", (0.5, 5)).unit == "stars" and words_of(scale=(1, 10)).unit == "points"
    assert words_of("story,  stories").items == "stories" and words_of("song").items == "songs"


def test_the_first_chapter_reads_the_small_set_of_movielens_by_its_files(latest_small, tmp_path):
    # Written anew in its own form, for the set may lie in a data home or in the cache.
    titles = ("userId", "movieId", "rating", "timestamp")
    latest_small.ratings.set_axis(titles, axis=1).to_csv(tmp_path / "ratings.csv", index=False)
    movies = latest_small.items[["title", "genres"]].rename_axis("movieId").reset_index()
    movies["genres"] = movies["genres"].map("|".join)
    movies.to_csv(tmp_path / "movies.csv", index=False)
    given = ["-p", "dataset", str(tmp_path / "ratings.csv"), "-p", "items", str(tmp_path / "movies.csv")]
    finished = papermill("01_data", tmp_path, "-p", "run", "small", *given)
    assert finished.returncode == 0, finished.stderr[-3000:]
    record = json.loads((tmp_path / "small" / "data.json").read_text("utf-8"))
    assert len(record["files"]) == 2 and record["settings"]["positive_at"] == 2.75
    assert "by genre" in shown(tmp_path, "01_data")
