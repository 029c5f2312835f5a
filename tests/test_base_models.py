"""The tables of independent base models: complete, independent, and true to what is proved of them."""

import csv
import gzip
import json
from collections import defaultdict

import pytest

from accent_book.experiments.base_models import GENERALISING_NAMES, KS, METHODS, NAMES
from accent_book.runs import results_folder
from accent_lib.training.halving import POOL

FOLDER, GENERALISING = results_folder() / "ncf-bases", results_folder() / "ncf-generalising"


def rows_of(folder):
    return list(csv.DictReader((folder / "bases.csv").read_text().splitlines()))


BASES = rows_of(FOLDER)


def sizes(folder):
    """Set sizes by base, method and k, then user; 0 where there is no set."""
    table = defaultdict(dict)
    with gzip.open(folder / "sizes.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            table[row["base"], row["method"], int(row["k"])][int(row["user"])] = int(row["size"])
    return table


def test_no_two_bases_have_a_start_or_a_state_in_common():
    assert len({row["start"] for row in BASES}) == len({row["digest"] for row in BASES}) == len(BASES)
    for row in BASES:
        kind, seed = row["base"].split("-")
        first = int(seed) if kind == "paper" else POOL * int(seed)
        pool = (
            1 if kind == "paper" else json.loads((FOLDER / "bases.json").read_text())["search"][0]["starts"]
        )
        assert first <= int(row["start"]) < first + pool
    starts = [int(name.split("-")[1]) for name in NAMES if name.startswith("paper")]
    pools = [POOL * int(name.split("-")[1]) for name in NAMES if name.startswith("search")]
    assert max(starts) < min(pools) and len({*starts, *pools}) == len(NAMES)


@pytest.mark.parametrize("folder", [FOLDER, GENERALISING])
def test_each_base_is_explained_for_everybody(folder):
    table, bases = sizes(folder), rows_of(folder)
    assert set(table) == {(row["base"], method, k) for row in bases for method in METHODS for k in KS}
    assert {frozenset(of_users) for of_users in table.values()} == {frozenset(range(452))}


def test_bases_that_generalise_are_independent_and_one_is_better_than_means():
    bases = rows_of(GENERALISING)
    assert [row["base"] for row in bases] == GENERALISING_NAMES
    starts = {int(row["start"]) for row in bases}
    assert len(starts) == len(bases) and not starts & {int(row["start"]) for row in BASES}
    least = min(float(row["held_out_rmse"]) for row in bases)
    for folder in (FOLDER, GENERALISING):
        assert least < json.loads((folder / "bases.json").read_text())["baseline_rmse"]


@pytest.mark.parametrize("folder", [FOLDER, GENERALISING])
def test_what_is_proved_is_so_in_every_table(folder):
    """A set of ACCENT's is never larger than FIA's or pure FIA's, and does not grow with the slate."""
    table = sizes(folder)
    for row in rows_of(folder):
        for k in KS:
            accent = table[row["base"], "accent", k]
            for method in METHODS[1:]:
                of_method = table[row["base"], method, k]
                assert all(0 < accent[user] <= size for user, size in of_method.items() if size)
        for shorter, longer in zip(KS, KS[1:], strict=False):
            first, then = (table[row["base"], "accent", k] for k in (shorter, longer))
            assert all(0 < then[user] <= size for user, size in first.items() if size)
