"""Tables of results as readers see them."""

import numpy as np
import pandas as pd

from accent_book.figures.paper import PAPER_TABLE1
from accent_book.figures.tables import figure_of, in_papers_layout, interval, named


def test_names_and_figures():
    table = pd.DataFrame({"model": ["ncf"], "method": ["pure_fia"], "first": ["accent"]})
    assert named(table).iloc[0].tolist() == ["NCF", "pure FIA", "ACCENT"]
    assert (figure_of(1.25), figure_of(np.nan), figure_of(2, 3)) == ("1.2", "–", "2.000")
    figures = pd.DataFrame({"value": [61.04, np.nan], "cf_low": [56.0, 1], "cf_high": [65.5, 2]})
    assert interval(figures, "value", "cf") == ["61.0 (56.0 to 65.5)", "–"]


def test_the_papers_layout_has_ours_above_the_papers_and_marks_only_ours():
    ours = PAPER_TABLE1[PAPER_TABLE1["model"] == "rcf"]
    control = ours[ours["method"] == "accent"].assign(method="random")  # the paper has none
    both = ours.assign(cf_percentage_paper=ours["cf_percentage"], set_size_paper=ours["set_size"])
    both = pd.concat([both.assign(cf_percentage=both["cf_percentage"] + 1), control])
    table = in_papers_layout(both, {("rcf", "fia", 10, "set_size"): " *"})
    assert table.loc[("RCF", "ACCENT", "here"), ("k = 5", "CF%")] == "82.9"
    assert table.loc[("RCF", "ACCENT", "paper"), ("k = 5", "CF%")] == "81.9"
    assert table.loc[("RCF", "FIA", "here"), ("k = 10", "size")] == "4.10 *"
    assert table.loc[("RCF", "FIA", "paper"), ("k = 10", "size")] == "4.10"
    assert ("RCF", "random", "here") in table.index and ("RCF", "random", "paper") not in table.index
    assert list(table.columns)[:2] == [("k = 5", "CF%"), ("k = 5", "size")]
