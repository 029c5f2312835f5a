"""Fingerprints cover what changes numbers, and nothing else; files are whole or not there."""

import subprocess
from pathlib import Path

import numpy
import pytest

from accent_book.runs.origin import provenance
from accent_lib.files import atomic
from accent_lib.provenance import fingerprint


def test_fingerprint_ignores_order_and_sees_every_value():
    base = fingerprint(seed=1, rate=1e-3, steps=[1, 2])
    assert base == fingerprint(steps=(1, 2), rate=0.001, seed=numpy.int64(1))
    assert len(base) == 16
    assert base != fingerprint(seed=2, rate=1e-3, steps=[1, 2])
    assert base != fingerprint(seed=1, rate=1e-3, steps=[2, 1])
    assert base != fingerprint(seed=1, rate=1e-3, steps=[1, 2], more=None)


def test_fingerprint_of_arrays_sees_content_type_and_shape():
    prints = {
        fingerprint(data=numpy.arange(6)),
        fingerprint(data=numpy.arange(6).reshape(2, 3)),
        fingerprint(data=numpy.arange(6, dtype="float64")),
        fingerprint(data=numpy.arange(6) + 1),
    }
    assert len(prints) == 4
    assert fingerprint(data=numpy.arange(6)[::-1]) == fingerprint(data=numpy.array([5, 4, 3, 2, 1, 0]))


def test_fingerprint_refuses_what_it_cannot_tell_apart():
    with pytest.raises(TypeError, match="a fingerprint cannot cover a object"):
        fingerprint(thing=object())
    with pytest.raises(TypeError, match="a fingerprint cannot cover"):
        fingerprint(data=numpy.array([object()]))


def test_provenance_records_versions_machine_and_extras():
    record = provenance(profile="sample")
    assert record["profile"] == "sample"
    assert record["versions"]["numpy"] == numpy.__version__
    assert {"python", "torch", "pandas"} <= set(record["versions"])
    assert record["cpu"]["count"] >= 1
    assert record["date"].endswith("+00:00")
    assert (record["commit"] is None) == (record["dirty"] is None)


def test_provenance_without_git(monkeypatch):
    def no_git(*arguments, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    record = provenance()
    assert record["commit"] is None
    assert record["dirty"] is None


def test_atomic_replaces_whole_files_only(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with atomic(path) as file:
        assert isinstance(file, Path)
        assert file.suffix == ".part"  # no pattern of the project fits it
        assert file.parent == path.parent
        file.write_text("first")
    with pytest.raises(RuntimeError, match="half-way"):
        with atomic(path) as file:
            file.write_text("sec")
            raise RuntimeError("half-way")
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]
