"""Parameters are checked, run folders tell what is missing, the runner does what is needed and no more."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pandas
import papermill
import pytest
from nbformat import v4

from accent_book import runs
from accent_book.__main__ import main
from accent_book.publish.launch import put
from accent_book.runner.kernel import kernel
from accent_book.runner.plan import plan
from accent_book.runner.run import run as run_notebooks
from accent_book.runner.status import status
from accent_book.runs import parameters
from accent_lib.errors import AccentError
from tests.conftest import ROOT, SEARCH_PATH

PARAMETERS = """run = "sample"  # type: str  name of the run folder
n_starts = 64  # type: int  [1..] number of initialisations
rate = 0.001  # type: float  [>0..1] step size
plot = True  # type: bool  whether to draw
dataset = "sample"  # type: str  [sample|ml-100k] which ratings
ks = [5, 10, 20]  # type: list[int]  [2..] lengths of the slate"""
VALUES = {
    "run": "sample",
    "n_starts": 64,
    "rate": 0.001,
    "plot": True,
    "dataset": "sample",
    "ks": [5, 10, 20],
}


def write_notebook(path, *cells, own="run = 'sample'  # type: str  name of the run folder"):
    begin = f"from accent_book import runs\nrun = runs.begin({path.stem!r}, globals())"
    sources = [v4.new_code_cell(source) for source in (own, begin, *cells)]
    sources[0].metadata["tags"] = ["parameters"]
    # A kernel that no machine has: the runner must bring its own.
    kernelspec = {"name": "nowhere", "language": "python", "display_name": "Nowhere"}
    nbformat.write(v4.new_notebook(cells=sources, metadata={"kernelspec": kernelspec}), path)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two notebooks: the first makes ``made.json`` and ``ncf.npz``, the second reads and divides."""
    folder = tmp_path / "a {strange} place"
    (folder / "notebooks" / "profiles").mkdir(parents=True)
    write_notebook(
        folder / "notebooks" / "01_data.ipynb",
        "import os, sys\nmodel = 'ncf'",
        "run.write_json('made.json', [n_starts, sys.executable, os.getcwd(), os.environ['OMP_NUM_THREADS']])",
        'run.path(f"{model}.npz").write_text("weights")\nrun.log("trained")',
        own=PARAMETERS,
    )
    write_notebook(
        folder / "notebooks" / "02_training.ipynb",
        "run.ensure(upto=1)\nstarts = run.read_json('made.json')[0]\n"
        "assert starts == run.setting('01_data', 'n_starts')",
        "# the cell that may fail\n100 // (starts - 13)",
        own=PARAMETERS.splitlines()[0] + "\nsteps = 10  # type: int  [0..] how long",
    )
    (folder / "notebooks" / "profiles" / "sample.yaml").write_text("run: sample\n")
    (folder / "notebooks" / "profiles" / "other.yaml").write_text("n_starts: 7\nsteps: 20\n")
    for name in ("ACCENT_RUNS", "ACCENT_RUNNER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", SEARCH_PATH)
    monkeypatch.chdir(folder)
    return folder


def namespace(*injected, **changes):
    """Globals of a kernel that has run the parameters cell, perhaps an injected one, and `begin`."""
    return {"In": ["", PARAMETERS, *injected, "run = runs.begin(...)"], **VALUES, **changes}


# Parameters


def test_parameters_are_papermills_own_form(project):
    shown = papermill.inspect_notebook("notebooks/01_data.ipynb")
    assert shown["ks"]["inferred_type_name"] == "list[int]"
    assert shown["n_starts"]["help"] == "[1..] number of initialisations"
    assert list(shown) == list(VALUES)


def test_begin_returns_the_run_and_saves_the_settings(project):
    run = runs.begin("01_data", namespace())
    assert run.settings == VALUES
    assert run.folder == project / "runs" / "sample"
    assert json.loads((run.folder / "settings" / "01_data.json").read_text()) == VALUES


def test_begin_reads_the_notebook_where_there_is_no_kernel(project):
    assert runs.begin("01_data", dict(VALUES)).settings == VALUES
    with pytest.raises(
        AccentError, match=r"^02_training: steps is not set; run the parameters cell first\.$"
    ):
        runs.begin("02_training", {"run": "sample"})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_starts": "64"}, "n_starts must be a whole number, not the text '64'."),
        ({"n_starts": 6.4}, "n_starts must be a whole number, not 6.4."),
        ({"n_starts": True}, "n_starts must be a whole number, not the truth value True."),
        ({"n_starts": 0}, "n_starts must be at least 1, not 0."),
        ({"rate": 0}, "rate must be more than 0, not 0."),
        ({"rate": 1.5}, "rate must be at most 1, not 1.5."),
        ({"rate": float("nan")}, "rate must be a number, not nan."),
        (
            {"rate": "1e-3"},
            "rate must be a number, not the text '1e-3' (YAML reads a number with an exponent",
        ),
        ({"plot": "false"}, "plot must be true or false, not the text 'false' (papermill -p passes true and"),
        ({"plot": 1}, "plot must be true or false, not 1."),
        ({"dataset": "ml-1m"}, "dataset must be one of sample, ml-100k, not the text 'ml-1m'."),
        ({"ks": 5}, "ks must be a list of whole numbers, not 5 (papermill -y"),
        ({"ks": [5, "10"]}, "ks must be a list of whole numbers, not the text '10' in it."),
        ({"ks": [5, 1]}, "ks must be at least 2, not 1."),
        ({"ks": []}, "ks must not be empty."),
        ({"run": "../elsewhere"}, "run must be a folder's plain name"),
    ],
)
def test_impossible_values_stop_with_a_sentence(project, changes, sentence):
    with pytest.raises(AccentError) as error:
        runs.begin("01_data", namespace(**changes))
    assert str(error.value).startswith("01_data: " + sentence)


def test_unknown_names_stop_with_a_sentence(project):
    with pytest.raises(
        AccentError, match=r"^01_data: there is no parameter n_strats; did you mean n_starts\?$"
    ):
        runs.begin("01_data", namespace("# Parameters\nn_strats = 3\n", n_strats=3))
    with pytest.raises(AccentError, match=r"no parameter steps; 02_training has one of that name\.$"):
        runs.begin("01_data", namespace("# Parameters\nsteps = 3\n", steps=3))


def test_a_live_notebook_may_have_any_variable_and_run_cells_again(project):
    live = namespace(n_strats=3, frame=object(), rate=1)
    live["run"] = runs.begin("01_data", live)
    assert live["rate"] == 1.0
    assert isinstance(live["rate"], float)
    live["In"] += ["n_users = 3", "for ks_ in ks:  # type: ignore\n    pass", "begin(...)"]
    live["n_starts"] = 3
    assert runs.begin("01_data", live).settings == {**VALUES, "n_starts": 3, "rate": 1.0}


def test_relative_data_homes_become_absolute(project, monkeypatch):
    monkeypatch.setenv("ACCENT_DATA_HOME", "data")
    cell = PARAMETERS + '\ndata_home = ""  # type: str  where the ratings lie'
    live = {"In": [cell], **VALUES, "data_home": "mine"}
    assert runs.begin("01_data", live).settings["data_home"] == str(project / "mine") == live["data_home"]
    assert os.environ["ACCENT_DATA_HOME"] == str(project / "data")


@pytest.mark.parametrize(
    "line", ["x = 1", "x = 1  # number", "x = 1  # type: number  n", "x: int = 1", "print(1)"]
)
def test_parameters_cells_of_another_form_are_refused(line):
    with pytest.raises(AccentError, match=r"^03_x: "):
        parameters.parse(line, "03_x")


# Run folders


def test_missing_inputs_name_the_notebook_and_the_command(project):
    run = runs.begin("02_training", {"run": "sample", "steps": 1})
    for missing in ("made.json", "ncf.npz"):
        with pytest.raises(AccentError) as error:
            run.need(missing)
        assert str(error.value) == (
            f"{missing} is missing in the run folder {run.folder}: notebook 01_data makes it; "
            "run `python -m accent_book run --profile sample --upto 1` in the project's folder."
        )
    with pytest.raises(AccentError, match="The settings of 01_data are missing"):
        run.setting("01_data", "ks")
    mine = runs.begin("02_training", {"run": "mine", "steps": 1})
    with pytest.raises(AccentError, match=r"run `papermill notebooks/01_data\.ipynb out\.ipynb -p run mine`"):
        mine.read_json("made.json")
    with pytest.raises(AccentError, match="no notebook makes it"):
        mine.need("moon.csv")


def test_tables_read_back_as_they_were_written(project, capsys):
    run = runs.begin("01_data", namespace())
    frame = pandas.DataFrame(
        {"user": [0, 1], "removed": [(3,), ()], "predicted": [(4.1,), ()], "score": [0.1, 1 / 3]}
    )
    run.write_csv("tables/sets.csv", frame)
    pandas.testing.assert_frame_equal(run.read_csv("tables/sets.csv"), frame, check_exact=True)
    run.log("one step")
    assert "one step" in capsys.readouterr().out
    assert (run.folder / "log.txt").read_text().endswith("01_data: one step\n")
    assert not list(run.folder.rglob("*.tmp*"))


def test_an_unwritable_place_for_runs_stops_with_a_sentence(project, monkeypatch):
    (project / "file").write_text("")
    monkeypatch.setenv("ACCENT_RUNS", str(project / "file"))
    with pytest.raises(AccentError, match="cannot be written .*; set ACCENT_RUNS to a folder that can"):
        runs.begin("01_data", namespace())


# Profiles


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("n_strats: 3", "there is no parameter n_strats; did you mean n_starts?"),
        ("rate: 1e-3", "rate must be a number, not the text '1e-3' (YAML reads"),
        ("ks: 5", "ks must be a list of whole numbers, not 5"),
        ("- 3", "must hold one `parameter: value` a line."),
        ("run: [", "is not YAML"),
        ("", "must hold one `parameter: value` a line."),
    ],
)
def test_wrong_profiles_stop_with_a_sentence(project, text, sentence):
    (project / "notebooks" / "profiles" / "wrong.yaml").write_text(text)
    with pytest.raises(AccentError) as error:
        runs.load_profile("wrong")
    assert "wrong.yaml" in str(error.value)
    assert sentence in str(error.value)


def test_unknown_profiles_and_damaged_notebooks_stop_the_command_line(project, capsys):
    assert main(["run", "--profile", "nix"]) == 1
    assert (
        "There is no profile 'nix' in notebooks/profiles; there are: other, sample."
        in capsys.readouterr().err
    )
    (project / "notebooks" / "03_x.ipynb").write_text("{}")
    assert main(["status"]) == 1
    assert "03_x.ipynb cannot be read as a notebook" in capsys.readouterr().err


def test_every_profile_fits_the_notebooks_and_sample_is_their_default():
    assert {"sample", "ml-100k", "paper"} <= set(runs.profile_names(ROOT))
    for profile in runs.profile_names(ROOT):
        settings = runs.load_profile(profile, ROOT)
        assert {values["run"] for values in settings.values()} == {profile}
    for notebook in runs.notebooks.all_notebooks(ROOT):
        defaults = {name: parameter.default for name, parameter in notebook.parameters.items()}
        assert runs.load_profile("sample", ROOT)[notebook.name] == defaults


# Runner


def test_the_runner_skips_what_is_up_to_date_and_runs_from_what_changed(project, capfd):
    chapters = project / "book" / "chapters"
    assert run_notebooks() == ["01_data", "02_training"]
    made = json.loads((project / "runs" / "sample" / "made.json").read_text())
    assert made == [64, sys.executable, str(project), "1"]
    assert "01_data: trained" in capfd.readouterr().out
    published = (chapters / "01_data.ipynb").read_bytes()
    assert str(project).encode() not in published.replace(json.dumps(made).encode(), b"")
    assert run_notebooks() == []

    # Another profile has outputs of its own; going back costs nothing.
    assert run_notebooks("other", upto=1) == ["01_data"]
    assert [p.name for p in chapters.glob("*.ipynb")] == ["01_data.ipynb"]
    assert b"n_starts = 7" in (chapters / "01_data.ipynb").read_bytes()
    (account,) = json.loads((chapters / "account.json").read_text())["chapters"]
    assert account["changed"] == {"run": "other", "n_starts": 7} and account["seconds"] > 0
    assert run_notebooks() == []
    assert (chapters / "01_data.ipynb").read_bytes() == published
    account = json.loads((chapters / "account.json").read_text())
    assert (account["profile"], len(account["chapters"])) == ("sample", 2)
    assert len(list(chapters.glob("*.ipynb"))) == 2

    # A changed parameter runs its notebook; a missing file the notebook that makes it and all that follow.
    (project / "notebooks" / "profiles" / "sample.yaml").write_text("steps: 11\n")
    assert run_notebooks() == ["02_training"]
    (project / "runs" / "sample" / "ncf.npz").unlink()
    status()
    shown = capfd.readouterr().out
    assert "ncf.npz is missing" in shown
    assert "made.json" in shown
    assert run_notebooks() == ["01_data", "02_training"]
    provenance = json.loads((project / "runs" / "sample" / "provenance.json").read_text())
    assert provenance["01_data"]["files"] == ["made.json", "ncf.npz"]
    assert provenance["01_data"]["peak_memory"] > 0


def test_what_makes_a_notebook_outdated(project):
    def stamps():
        return [chapter.stamp for chapter in plan("sample")]

    first = stamps()
    content = json.loads((project / "notebooks" / "01_data.ipynb").read_text("utf-8"))
    assert put(content["cells"], "address = 'https://example.org'")
    (project / "notebooks" / "01_data.ipynb").write_text(json.dumps(content), "utf-8")
    assert stamps() == first, "the launch cell does nothing in a run"
    (project / "notebooks" / "profiles" / "sample.yaml").write_text("rate: 0.5\n")
    second = stamps()
    assert first[0] != second[0]
    assert first[1] != second[1]
    write_notebook(project / "notebooks" / "02_training.ipynb", own="run = 'a'  # type: str  folder")
    assert stamps()[0] == second[0]
    assert stamps()[1] != second[1]


def test_notebooks_that_do_not_follow_from_each_other_run_side_by_side(project):
    wait = "import pathlib, time\nwhile not (run.folder / {!r}).exists():\n    time.sleep(0.05)"
    for number, mine, other in ((3, "third", "fourth"), (4, "fourth", "third")):
        write_notebook(
            project / "notebooks" / f"{number:02}_{mine}.ipynb",
            f"run.ensure(upto=1)\nrun.path({mine!r}).touch()",
            wait.format(other),
        )
    first, second, *others = plan("sample")
    assert [sorted(chapter.follows) for chapter in (first, second, *others)] == [[], *[["01_data"]] * 3]
    assert run_notebooks()[0] == "01_data"
    (project / "notebooks" / "profiles" / "sample.yaml").write_text("steps: 11\n")
    assert run_notebooks() == ["02_training"], "the others do not follow from it"


def test_chapters_about_a_recommender_belong_to_runs_of_it(project):
    own = "run = 'sample'  # type: str  name of the run folder"
    asked = own + "\nmodels = ['ncf', 'rcf']  # type: list[str]  [ncf|rcf] which"
    trains = "run.ensure(upto=1)\nrun.path('rcf.npz').touch()"
    for name, model, cells in (("02b_rcf", "rcf", trains), ("02c_ncf", "ncf", trains.replace("rcf", "gmf"))):
        path = write_notebook(project / "notebooks" / f"{name}.ipynb", cells)
        notebook = nbformat.read(path, 4)
        notebook.metadata["accent"] = {"model": model}
        notebook.cells.insert(0, v4.new_markdown_cell(f"# All about {model}"))
        nbformat.write(notebook, path)
    write_notebook(
        project / "notebooks" / "03_last.ipynb", "run.ensure(upto=2)\nrun.path('end').touch()", own=asked
    )
    (project / "notebooks" / "profiles" / "sample.yaml").write_text("n_starts: 64\n")
    follows = {chapter.name: chapter.follows for chapter in plan("sample")}
    assert list(follows) == ["01_data", "02_training", "02b_rcf", "02c_ncf", "03_last"]
    assert follows["03_last"] == {"01_data", "02b_rcf", "02c_ncf"}, "02_training makes no file"

    (project / "notebooks" / "profiles" / "sample.yaml").write_text("models: [ncf]\n")
    assert sorted(run_notebooks()) == ["01_data", "02_training", "02c_ncf", "03_last"]
    assert not (project / "runs" / "sample" / "rcf.npz").exists()
    (note,) = nbformat.read(project / "book" / "chapters" / "02b_rcf.ipynb", 4).cells
    assert note.source == "# All about rcf\n\nThis run (`sample`) leaves RCF out of its `models`."
    run = runs.begin("03_last", {"run": "sample", "models": ["ncf"]})
    run.ensure(upto=2)  # nothing is missing that it asks for
    (project / "notebooks" / "profiles" / "sample.yaml").write_text("models: [ncf, rcf]\n")
    assert "02b_rcf" in run_notebooks()


def test_a_notebook_follows_from_those_before_it_only(project):
    write_notebook(project / "notebooks" / "03_third.ipynb", "run.ensure(upto=4)")
    with pytest.raises(AccentError, match="03_third takes the files of notebook 4, which is not before it"):
        plan("sample")


def test_a_failure_stops_the_run_and_names_notebook_cell_and_error(project, capsys):
    (project / "notebooks" / "profiles" / "other.yaml").write_text("n_starts: 13\n")
    assert main(["run", "--profile", "other"]) == 1
    message = capsys.readouterr().err
    assert "error: 02_training, cell 4 ('# the cell that may fail'): ZeroDivisionError: " in message
    assert "runs/other/failed/02_training.ipynb" in message
    assert (project / "runs" / "other" / "failed" / "02_training.ipynb").exists()
    assert [p.name for p in (project / "book" / "chapters").iterdir()] == ["01_data.ipynb"]
    assert [p.name for p in (project / "runs" / "other" / "chapters").iterdir()] == ["01_data.ipynb"]


def test_a_killed_run_leaves_no_half_output_and_goes_on(project):
    write_notebook(
        project / "notebooks" / "02_training.ipynb",
        "import pathlib, time\nrun.ensure(upto=1)\nrun.path('started').touch()",
        "while not pathlib.Path('go').exists():\n    time.sleep(0.1)",
    )
    (project / "notebooks" / "profiles" / "other.yaml").unlink()
    runner = subprocess.Popen([sys.executable, "-m", "accent_book", "run"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (project / "runs" / "sample" / "started").exists():
        assert runner.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    assert [p.name for p in (project / "book" / "chapters").iterdir()] == ["01_data.ipynb"]
    nbformat.validate(nbformat.read(project / "book" / "chapters" / "01_data.ipynb", as_version=4))
    (project / "go").touch()
    assert run_notebooks() == ["02_training"]


def test_an_interrupted_run_says_so_and_shows_no_traceback(project):
    write_notebook(
        project / "notebooks" / "02_training.ipynb",
        "import time\nrun.ensure(upto=1)\nrun.path('started').touch()\ntime.sleep(300)",
    )
    (project / "notebooks" / "profiles" / "other.yaml").unlink()
    command = [sys.executable, "-m", "accent_book", "run"]
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "start_new_session": True,
        # Where the tests run in the background, a shell has them ignore an interruption.
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    }
    runner = subprocess.Popen(command, **options)
    while not (project / "runs" / "sample" / "started").exists():
        assert runner.poll() is None
        time.sleep(0.05)
    with pytest.raises(
        AccentError, match=f"Process {runner.pid} on .* runs the profile sample in .*: wait for"
    ):
        runs.begin("01_data", namespace())
    with pytest.raises(
        AccentError, match=f"Process {runner.pid} on .* runs the profile sample in .*: wait for"
    ):
        run_notebooks("sample", force=True)
    os.killpg(runner.pid, signal.SIGINT)  # as a terminal does, to all of them
    said = runner.communicate(timeout=60)[0]
    assert runner.returncode == 130 and "Traceback" not in said and "Error" not in said, said
    assert said.rstrip().endswith("stopped; run the same command again to go on")


def test_papermill_alone_checks_parameters(project):
    def error_of(**given):
        with kernel() as name, pytest.raises(papermill.PapermillExecutionError) as error:
            papermill.execute_notebook(
                "notebooks/01_data.ipynb",
                "out.ipynb",
                given,
                kernel_name=name,
                language="python",
                progress_bar=False,
            )
        return f"{error.value.ename}: {error.value.evalue}"

    assert (
        error_of(n_strats=3) == "AccentError: 01_data: there is no parameter n_strats; did you mean n_starts?"
    )
    assert error_of(plot="false").startswith(
        "AccentError: 01_data: plot must be true or false, not the text 'false'"
    )


def test_ensure_makes_what_is_missing_once(project, capsys, monkeypatch):
    run = runs.begin("02_training", {"run": "sample", "steps": 1})
    run.ensure(upto=1)
    assert "01_data: done" in capsys.readouterr().out
    assert run.read_json("made.json")[0] == 64
    runs.ensure("sample", upto=1)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("ACCENT_RUNNER", "1")
    runs.ensure("nix", upto=1)
    monkeypatch.delenv("ACCENT_RUNNER")
    with pytest.raises(AccentError, match="which no profile fills"):
        runs.begin("02_training", {"run": "mine", "steps": 1}).ensure(upto=1)
