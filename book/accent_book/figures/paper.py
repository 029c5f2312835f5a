"""The paper's own figures, and ours beside them.

Tran, Ghazimatin, Saha Roy: *Counterfactual Explanations for Neural Recommenders*, SIGIR 2021.
"""

import pandas as pd

from accent_lib.evaluation import summary

_ROWS = [
    # model, method, then CF percentage and CF set size for k = 5, 10, 20
    ("ncf", "pure_fia", 54.20, 9.08, 56.19, 9.46, 55.75, 9.50),
    ("ncf", "fia", 55.97, 7.98, 56.19, 7.80, 55.75, 7.84),
    ("ncf", "accent", 57.30, 4.73, 57.74, 4.69, 57.08, 4.62),
    ("rcf", "pure_attention", 73.01, 9.36, 73.45, 7.94, 74.34, 7.75),
    ("rcf", "attention", 76.99, 3.55, 76.99, 3.53, 76.99, 3.51),
    ("rcf", "pure_fia", 80.75, 4.85, 81.19, 4.62, 81.86, 4.72),
    ("rcf", "fia", 81.64, 4.15, 81.86, 4.10, 81.86, 4.10),
    ("rcf", "accent", 81.86, 2.83, 82.08, 2.75, 82.08, 2.74),
]

# Table 1: one row for each model, method and k. Percentages are of all users, sizes in actions.
PAPER_TABLE1 = pd.DataFrame(
    [
        (model, method, k, figures[2 * place], figures[2 * place + 1])
        for model, method, *figures in _ROWS
        for place, k in enumerate((5, 10, 20))
    ],
    columns=["model", "method", "k", "cf_percentage", "set_size"],
)

# Sections 4.2 and 4.3: estimated against true influence of sets, in score units (RCF: no correlation given).
PAPER_INFLUENCE = pd.DataFrame(
    {"rmse": [0.36, 1.17], "sd_true": [0.34, 3.7], "correlation": [0.77, float("nan")]},
    index=pd.Index(["ncf", "rcf"], name="model"),
)

# Section 4.3: what one-versus-all adds to ACCENT's CF percentage on RCF, in percentage points.
PAPER_ONE_VERSUS_ALL = 0.22

# Sections 3.2 and 4.1; the rest are the counts of RCF's training files in the authors' experiments.
PAPER_DATA = {
    "users": 452,
    "movies": 1654,
    "interactions": 61054,
    "relation_pairs": 97209,
    "training_triples": 48590,
    "held_out_pairs": 99342,
    "genre_triples": 48509,
    "director_triples": 17753,
    "actor_triples": 30947,
}
PAPER_SIGNIFICANCE_LEVEL = 0.05


def beside_paper(judged, definition="counterfactual", **bootstrap_options) -> pd.DataFrame:
    """Our figures, by its own definition of counterfactual or another one, beside the paper's.

    Returns
    -------
    DataFrame
        `summary`, and ``cf_percentage_paper``, ``set_size_paper`` and ours minus theirs as
        ``cf_percentage_difference``, ``set_size_difference``; NaN where the paper has no such row.

    Examples
    --------
    >>> judged = pd.DataFrame({
    ...     "model": "ncf", "method": "accent", "k": 5, "user": [0, 1], "status": "ok", "size": [1, 4],
    ...     "counterfactual": [True, False], "users_in_world": 1,
    ...     "slate_top": False, "catalogue_top": False, "majority": False,
    ... })
    >>> row = beside_paper(judged).iloc[0]
    >>> float(row["cf_percentage"]), float(row["cf_percentage_paper"])
    (50.0, 57.3)
    """
    ours = summary(judged, definition, **bootstrap_options)
    both = ours.merge(PAPER_TABLE1, on=["model", "method", "k"], how="left", suffixes=("", "_paper"))
    for measure in ("cf_percentage", "set_size"):
        both[f"{measure}_difference"] = both[measure] - both[f"{measure}_paper"]
    return both
