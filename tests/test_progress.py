"""Long work tells how far it has come, once a step."""

from types import SimpleNamespace

from accent_book.runs.progress import progress, watched


def test_lines_tell_rate_and_time_left_from_what_was_there_at_the_start():
    lines = []
    report = progress(SimpleNamespace(log=lines.append), "worlds", bar=False)
    for done in (100, 116, 1200):
        report(done, 1200)
    assert lines[0] == "100 of 1,200 worlds"
    assert lines[1].startswith("116 of 1,200 worlds, ") and lines[1].endswith(" s left")
    assert lines[2].endswith(", 0 s left")


def test_a_bar_takes_the_place_of_the_lines(capsys):
    lines = []
    report = progress(SimpleNamespace(log=lines.append), "worlds", bar=True)
    report(0, 2)
    report(2, 2)
    assert not lines
    assert "2/2" in capsys.readouterr().err


def test_the_runner_is_not_watched(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    monkeypatch.delenv("ACCENT_RUNNER", raising=False)
    assert watched()
    monkeypatch.setenv("ACCENT_RUNNER", "1")
    assert not watched()
