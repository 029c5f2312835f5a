"""Agreement of two ways of retraining, from a table small enough to count by hand."""

import numpy as np
import pandas as pd
import pytest

from accent_book.figures.agreement import agreement
from accent_lib.errors import AccentError


def table(setting, verdicts, influences, users=None, **more):
    users = range(len(verdicts)) if users is None else users
    columns = {"user": users, "counterfactual": verdicts, "true_gap_influence": influences}
    return pd.DataFrame(columns).assign(setting=setting, **{"study": "recipe", "status": "ok", **more})


LONG = table("long", [True, True, False, False], [1.0, 2.0, -1.0, 0.5], seconds_a_user=40.0)
SHORT = table("short", [True, False, False, False], [0.5, 1.0, -0.5, 0.25], seconds_a_user=4.0)
FEW = table("few", [True, True], [2.0, -1.0], [1, 2], seconds_a_user=9.0)


def test_agreement_counts_what_a_reader_would_count():
    compared = agreement(pd.concat([LONG, SHORT, FEW]), "recipe", "long").set_index("setting")
    assert list(compared.index) == ["long", "short", "few"]
    assert compared["pairs"].tolist() == [4, 4, 2]
    assert compared["same_percentage"].tolist() == [100, 75, 50]
    assert compared["cf_percentage"].tolist() == [50, 25, 100]
    assert compared["reference_cf_percentage"].tolist() == [50, 50, 50]
    assert compared["seconds"].tolist() == [40, 4, 9]
    np.testing.assert_allclose(compared["correlation"], 1)
    np.testing.assert_allclose(compared["slope"], [1, 0.5, 1])
    np.testing.assert_allclose(compared["rmse"], [0, np.sqrt((0.25 + 1 + 0.25 + 0.0625) / 4), 0])
    assert (compared["same_low"] <= compared["same_percentage"]).all()


def test_a_retraining_that_failed_counts_as_a_verdict_but_has_no_influence():
    failed = SHORT.assign(true_gap_influence=[np.nan, 1.0, -0.5, 0.25], setting="failed")
    failed.loc[0, "counterfactual"] = False
    compared = agreement(pd.concat([LONG, failed]), "recipe", "long").set_index("setting")
    assert compared.loc["failed", "same_percentage"] == 50  # of the two that held, none does
    assert compared.loc["failed", "slope"] == pytest.approx(0.5)


def test_tables_that_cannot_be_compared_are_refused():
    with pytest.raises(AccentError, match="There is no setting 'dear'; the study 'recipe' has: long, short"):
        agreement(pd.concat([LONG, SHORT]), "recipe", "dear")
    with pytest.raises(AccentError, match="lacks the column 'user'"):
        agreement(LONG.drop(columns="user"), "recipe", "long")
