"""The explorer shows what the library computes, in one file that loads nothing else."""

import json
import re
import shutil

import numpy as np
import pytest

from accent_book import runs
from accent_book.__main__ import main
from accent_book.figures import worth_a_look
from accent_book.publish import explorer as explorer_module
from accent_book.publish.explorer import TEMPLATE, explorer_data, explorer_page, withheld_page
from accent_book.publish.page import publish_explorer
from accent_lib import AccentError
from accent_lib.explanations import closeup
from tests.test_book import Page


@pytest.fixture(scope="module")
def explored(tiny_run):
    """The tiny run, and what the explorer shows of it."""
    folder, _ = tiny_run
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCENT_RUNS", str(folder))
        run = runs.Run("explorer", {"run": "tiny"})
        yield run, explorer_data(run)


def of_model(data, name):
    return next(model for model in data["models"] if model["model"] == name)


@pytest.mark.parametrize("name", ["ncf", "rcf"])
def test_data_is_what_the_library_computes(explored, name):
    run, data = explored
    interactions = runs.interactions(run)
    model = runs.trained_model(run, name, interactions)[0]
    shown, sets, lacking = of_model(data, name), 0, 0
    assert shown["methods"][0] == "accent" and [user["user"] for user in shown["users"]] == list(
        range(interactions.n_users)
    )
    assert ("attention" in shown["methods"]) == (name == "rcf")
    half = 0.51 / shown["parts"]  # rounded to whole parts
    for user in (0, 7, 40):
        of_user = shown["users"][user]
        variant = run.setting("04_explanations", f"{name}_variant")
        for method in shown["methods"]:
            for k, number in zip(shown["ks"], of_user["by_method"][method], strict=True):
                seen = closeup(model, user, k, method, variant=variant)
                assert of_user["slate"][:k] == seen.items.tolist()
                assert of_user["history"] == seen.history.tolist()
                np.testing.assert_allclose(
                    np.array(of_user["scores"][:k]) / shown["parts"], seen.scores, atol=half
                )
                influence = np.array(of_user["influence"][:k]) / shown["parts"]
                np.testing.assert_allclose(influence, seen.influence, atol=half)
                if number is None:
                    assert seen.explanation is None and of_user["none"] == seen.sentence(interactions.titles)
                    lacking += 1
                    continue
                found, sets = of_user["sets"][number], sets + 1
                assert found["sentence"] == seen.sentence(interactions.titles)
                assert found["removed"] == list(seen.explanation.removed)
                assert found["replacement"] == seen.explanation.replacement
                np.testing.assert_allclose(np.array(found["gaps"]) / shown["parts"], seen.gaps, atol=half)
                np.testing.assert_allclose(
                    np.array(found["after"][:k]) / shown["parts"], seen.explanation.predicted, atol=half
                )
    assert sets > 10


def test_what_retraining_showed_is_in_the_outcomes(explored):
    run, data = explored
    outcomes = run.read_csv("outcomes.csv")
    checked = 0
    for shown in data["models"]:
        table = outcomes[outcomes["model"] == shown["model"]]
        verified = set(table["user"])
        for user in shown["users"]:
            for found in user["sets"]:
                retrained = found["retrained"]
                if user["user"] not in verified:
                    assert retrained is None
                    continue
                own = f"{user['user']}:{' '.join(map(str, sorted(found['removed'])))}"
                rows = table[table["user"] == user["user"]]
                of_world = [own in world.split(";") for world in rows["world"]]
                (scores,) = rows["scores"][of_world].unique()
                gap = scores[0] - scores[found["replacement"]]
                assert retrained["gap"] / shown["parts"] == pytest.approx(gap, abs=0.51 / shown["parts"])
                assert retrained["holds"] == (gap < 0)
                checked += 1
    assert checked > 20


def test_a_control_that_is_not_expected_to_lead_claims_nothing(explored):
    _, data = explored
    controls = others = 0
    for user in (user for shown in data["models"] for user in shown["users"]):
        for method, numbers in user["by_method"].items():
            for found in (user["sets"][number] for number in numbers if number is not None):
                if found["gaps"][-1] > 0:
                    assert method == "random" and found["sentence"].startswith("Random set")
                    controls += 1
                elif found["gaps"][-1] < 0:
                    assert found["sentence"].startswith("Had you not rated")
                    others += 1
    assert controls > 5 and others > 20


def test_it_opens_with_a_set_of_two_or_three_actions(explored):
    run, data = explored
    start, table = data["start"], run.read_csv("explanations.csv")
    assert (start["model"], start["method"], start["k"]) == ("ncf", "accent", 6)
    row = table[(table[list(start)] == list(start.values())).all(axis=1)]
    assert row["size"].item() in (2, 3)
    assert start["user"] == worth_a_look(table[(table["model"] == "ncf") & (table["k"] == 6)])[0]


def test_the_page_is_one_small_file_that_loads_nothing(explored):
    _, data = explored
    html = explorer_page(data)
    page = Page(html)
    assert not page.outside and not re.search(r"https?:", html) and page.headings[0] == 1
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", html)
    # With slates of 20 films, as in the sample's book, it is twice as large.
    assert len(html.encode()) < 1_000_000
    (inside,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert json.loads(inside) == json.loads(json.dumps(data))


def test_a_title_cannot_end_the_script(explored):
    _, data = explored
    html = explorer_page({**data, "films": ["</script><h1>Film</h1>", *data["films"][1:]]})
    assert html.count("</script>") == TEMPLATE.read_text("utf-8").count("</script>")


def test_tables_of_another_model_are_refused(explored, monkeypatch):
    run, _ = explored
    table = run.read_csv("explanations.csv")
    rows = table["method"].eq("accent") & table["size"].gt(0)
    table.loc[rows, "predicted"] = [(9.0,) * k for k in table.loc[rows, "k"]]
    read = run.read_csv
    monkeypatch.setattr(run, "read_csv", lambda name: table if name == "explanations.csv" else read(name))
    with pytest.raises(AccentError, match="run notebook 04_explanations again"):
        explorer_data(run)


def test_a_run_without_outcomes_shows_estimates(explored, tmp_path, monkeypatch):
    run, data = explored
    left_out = shutil.ignore_patterns("outcomes.csv", "*.sqlite", "chapters")
    shutil.copytree(run.folder, tmp_path / "tiny", ignore=left_out)
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path))
    estimates = explorer_data(runs.Run("explorer", {"run": "tiny"}))
    assert all(
        found["retrained"] is None
        for model in estimates["models"]
        for user in model["users"]
        for found in user["sets"]
    )
    assert estimates["films"] == data["films"]


def test_the_book_of_other_data_says_why_it_has_none(tmp_path, capsys):
    folder, published = tmp_path / "runs" / "ml-100k", tmp_path / "book" / "_static" / "explorer.html"
    folder.mkdir(parents=True)
    (folder / "data.json").write_text('{"dataset": "ml-100k"}', "utf-8")
    (folder / "explanations.csv").write_text("", "utf-8")
    publish_explorer(folder, tmp_path)
    html = published.read_text("utf-8")
    assert html == withheld_page("ml-100k", "ml-100k") and Page(html).headings == [1]
    assert "may not be published" in html and "--run ml-100k --to explorer.html" in html
    (folder / "explanations.csv").unlink()
    publish_explorer(folder, tmp_path)
    assert not published.exists()


def test_the_book_of_other_data_has_that_of_data_that_may_be_passed_on(tmp_path):
    folder, published = tmp_path / "runs" / "ml-100k", tmp_path / "book" / "_static" / "explorer.html"
    folder.mkdir(parents=True)
    (folder / "data.json").write_text('{"dataset": "ml-100k"}', "utf-8")
    (folder / "explanations.csv").write_text("", "utf-8")
    for name in ("sample", "ml-latest-small"):
        (folder.parent / name).mkdir()
        (folder.parent / name / "explorer.html").write_text(f"that of {name}", "utf-8")
        publish_explorer(folder, tmp_path)
        assert published.read_text("utf-8") == f"that of {name}"


def test_the_book_gets_it_once(explored, tmp_path, monkeypatch):
    run, data = explored
    published = tmp_path / "book" / "_static" / "explorer.html"
    publish_explorer(run.folder, tmp_path)
    first = published.read_text("utf-8")
    assert first.startswith(explorer_page(data))
    monkeypatch.setattr(explorer_module, "explorer_data", lambda run: pytest.fail("made a second time"))
    published.unlink()
    publish_explorer(run.folder, tmp_path)
    assert published.read_text("utf-8") == first


def test_the_command_writes_it_or_says_what_is_wrong(explored, tmp_path, capsys):
    _, data = explored
    assert main(["explorer", "--run", "tiny", "--to", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text("utf-8") == explorer_page(data)
    assert main(["explorer", "--run", "nowhere"]) == 1
    assert "There is no run 'nowhere'" in capsys.readouterr().err
    (tmp_path / "file").write_text("", "utf-8")
    assert main(["explorer", "--run", "tiny", "--to", str(tmp_path / "file" / "page.html")]) == 1
    assert "cannot be written" in capsys.readouterr().err
