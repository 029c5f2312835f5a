"""The frame of the benchmarks and their page: what is computed from the times, not the times."""

import json
import sys

import numpy as np
import pytest

import bench
from accent_book.figures.comparison import comparison
from bench import bound, page


def test_ways_take_turns_and_ratios_are_those_of_a_turn():
    calls = []
    seconds = bench.in_turns({name: lambda name=name: calls.append(name) for name in "ab"}, 3)
    assert "".join(calls) == "ababab" and [len(turns) for turns in seconds.values()] == [3, 3]
    # The second turn was twice as slow for both: medians of times would not tell.
    assert bench.ratio([1.0, 4.0, 3.0], [1.0, 2.0, 1.0]) == {"ratio": 2.0, "spread": [1.0, 3.0]}


@pytest.mark.parametrize(
    ("ticks", "warning"),
    [
        # busy seconds of all processors, stolen by the host, of this process; time
        ([(0, 0, 0, 0), (0.05, 0, 0, 1), (10.1, 0, 10, 11)], None),
        ([(0, 0, 0, 0), (0, 0, 0, 1), (25, 0, 10, 11)], "during it, others kept 1.5 processors busy"),
        ([(0, 0, 0, 0), (1.2, 0, 0, 1), (11, 0, 10, 11)], "before it, others kept 1.2 processors busy"),
        ([(0, 0, 0, 0), (0, 0, 0, 1), (10, 2, 10, 11)], "the host took 10% of the time"),
        ([None, None, None], None),  # not on Linux
    ],
)
def test_a_busy_machine_is_told(ticks, warning, monkeypatch):
    moments = iter(ticks)
    monkeypatch.setattr(bench, "_ticks", lambda: (lambda t: t and np.array(t, float))(next(moments)))
    monkeypatch.setattr(bench.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(bench.os, "cpu_count", lambda: 2)
    record = bench.Machine().record()
    assert (record["warning"] is None) if warning is None else (warning in record["warning"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_own_work_is_not_that_of_others(monkeypatch):
    monkeypatch.setattr(bench.os, "times", lambda: (1e9,) * 5)
    assert bench._others(np.array([0, 0, 0, 0.0]), bench._ticks())["others"] == 0


def test_the_least_time_counts_products_that_are_not_fused():
    """A fused product would round once; the chains also must not be left out as the same or unused."""
    x = np.linspace(0.5, 0.9, 112).astype(np.float32)
    chains = x[16:].copy()
    for _ in range(50):
        chains = chains * np.tile(x[:8], 12) + np.tile(x[8:16], 12)
    bound._multiply_add(x, 50)
    assert x[16:].tolist() == chains.tolist()


@pytest.fixture
def measured(tmp_path):
    """A folder with what two benchmarks wrote."""
    made = {"cpu": {"model": "Abacus", "count": 2}, "commit": "c0ffee", "date": "today"}
    made |= {"versions": {"numpy": "2.4"}, "libraries": {"dattri": "0.3.0"}}
    common = {"repeats": 5, "provenance": made, "machine": {"warning": None}}
    one = {"threads": 1, "ratio": 1.0, "spread": [1.0, 1.0]}
    other = {"threads": 1, "ratio": 2.5, "spread": [2.25, 3.0]}
    libraries = [
        {"problem": "paper", "way": "this library", "ms_user": 4.0, **one},
        {"problem": "paper", "way": "dattri, exact", "ms_user": 10.0, **other},
    ]
    retraining = [
        {"model": "ncf", "way": "stack, own loops", "copies": 16, "ms_step_each": 0.1, **one},
        {"model": "ncf", "way": "one at a time", "copies": 1, "ms_step_each": 0.25, **other},
    ]
    least = {"least_ms": 0.08, "network": 0.05, "gathers": 0.01, "adam": 0.02, "ms": 0.1, "ratio": 1.25}
    (tmp_path / "libraries.json").write_text(json.dumps(common | {"records": libraries}))
    (tmp_path / "retraining.json").write_text(json.dumps(common | {"records": retraining, "least": least}))
    return tmp_path


def test_the_page_has_every_way_with_its_spread(measured):
    table = comparison(measured)
    assert table["way"].tolist() == [
        "this library",
        "dattri, exact",
        "stack, own loops, 16 copies",
        "one at a time",
    ]
    assert table["milliseconds"].tolist() == [4.0, 10.0, 0.1, 0.25]
    text = page.page(measured)
    assert "| influence, paper | dattri, exact | 1 | 10 | 2.50 (2.25 to 3.00) |" in text
    assert "Abacus, 2 processors; today; commit c0ffee; numpy 2.4, dattri 0.3.0." in text
    assert "1.25 times that" in text and "busy" not in text


def test_the_page_warns_and_is_of_one_machine(measured):
    path = measured / "libraries.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"machine": {"warning": "The machine was busy: so it was."}}))
    assert "**The machine was busy: so it was.**" in page.page(measured)
    record["provenance"]["cpu"] = {"model": "Slide rule", "count": 1}
    path.write_text(json.dumps(record))
    with pytest.raises(SystemExit, match="two machines"):
        page.page(measured)
