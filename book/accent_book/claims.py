"""Verdicts on the claims of ``book/claims.yml``, which says by which rules they are reached."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from accent_book.runs.notebooks import project_root
from accent_lib.errors import AccentError

if TYPE_CHECKING:
    import pandas as pd

#: Columns of :func:`~accent_lib.evaluation.judge` that the criteria stand for.
CRITERIA = {"replacement": "counterfactual", "slate": "slate_top", "catalogue": "catalogue_top"}
#: As many actions as ACCENT takes, by a rule: the last ones, the best rated, those on the most rated films.
RULES = ("recent", "best_rated", "popular")
VERDICTS = ("holds", "not detectable here", "does not hold")
#: Standard errors that a difference must have to be detected in 80% of experiments at a level of 5%.
DETECTABLE = 2.8


@cache
def read_claims() -> dict:
    """The file: ``margin``, ``level``, ``headline`` and ``claims``, a list.

    Examples
    --------
    >>> sorted({claim["kind"] for claim in read_claims()["claims"]})
    ['comparison', 'construction', 'estimate']
    """
    import yaml

    return yaml.safe_load((project_root() / "book" / "claims.yml").read_text("utf-8"))


def compare_shares(first, second, claim: str = "superior", margin: float = 2.0) -> dict:
    """Compare on how many of the same users two methods succeed, without the verdict.

    Parameters
    ----------
    first, second : array of bool, shape (n_users,)
    claim : {"superior", "equal"}
    margin : float
        Percentage points.

    Returns
    -------
    dict
        ``first``, ``second`` (percentages), ``difference`` in points, its intervals ``low95, high95, low90,
        high90`` by bootstrap over users, ``p`` (McNemar's, exact, two-sided; NaN for ``equal``, which is no
        test of a difference), ``detectable`` (points) and ``margin``.

    Examples
    --------
    >>> row = compare_shares([True] * 30 + [False] * 70, [False] * 100)
    >>> row["difference"], row["p"] < 1e-8
    (30.0, True)
    """
    from accent_lib.evaluation.significance import mcnemar

    first, second = np.asarray(first, bool), np.asarray(second, bool)
    gain, n_users = first.astype(float) - second, len(first)
    row = {"users": n_users, "first": 100 * first.mean(), "second": 100 * second.mean()}
    sums, share = np.column_stack([gain, np.ones(n_users)]), lambda s: s[0] / s[1]
    row |= _difference(sums, share, gain.std() / np.sqrt(n_users))
    row["p"] = mcnemar(first, second)["p_two_sided"] if claim == "superior" else float("nan")
    return {name: float(value) for name, value in row.items()} | {"claim": claim, "margin": margin}


def compare_groups(first, second, margin: float = 2.0) -> dict:
    """As :func:`compare_shares`, of two groups of different users; ``p`` is Fisher's exact, two-sided.

    Examples
    --------
    >>> row = compare_groups([True] * 8 + [False] * 2, [False] * 10)
    >>> row["difference"], round(row["p"], 4)
    (80.0, 0.0007)
    """
    from scipy.stats import fisher_exact

    first, second = np.asarray(first, bool), np.asarray(second, bool)
    row = {"users": len(first) + len(second), "first": 100 * first.mean(), "second": 100 * second.mean()}
    of_first, of_second = (np.column_stack([group, np.ones(len(group))]) for group in (first, second))
    sums = np.block([[of_first, np.zeros_like(of_first)], [np.zeros_like(of_second), of_second]])
    error = np.sqrt(first.var() / len(first) + second.var() / len(second))
    row |= _difference(sums, lambda s: s[0] / s[1] - s[2] / s[3], error)
    table = [[group.sum(), (~group).sum()] for group in (first, second)]
    row["p"] = fisher_exact(table).pvalue
    return {name: float(value) for name, value in row.items()} | {"claim": "superior", "margin": margin}


def _difference(sums, statistic, error):
    """The difference in points, its intervals, and the smallest that would be detected."""
    from accent_lib.evaluation.significance import bootstrap

    row = {"difference": 100 * statistic(sums.sum(axis=0))}
    for level in (95, 90):
        ends = bootstrap(sums, statistic, level / 100)
        row[f"low{level}"], row[f"high{level}"] = (100 * end for end in ends)
    return row | {"detectable": DETECTABLE * 100 * error}


def verdicts(rows: "pd.DataFrame", level: float = 0.05) -> "pd.Series":
    """Verdicts on rows of :func:`compare_shares`; their column ``family`` says which are tested together.

    Examples
    --------
    >>> import pandas as pd
    >>> better, worse, noise = ([True] * 30 + [False] * 70, [False] * 100, [True, False] * 50)
    >>> rows = pd.DataFrame([compare_shares(*pair) for pair in [(better, worse), (worse, better)]])
    >>> verdicts(rows.assign(family="methods")).tolist()
    ['holds', 'does not hold']
    """
    import pandas as pd

    from accent_lib.evaluation.significance import holm

    p = rows.groupby("family", sort=False)["p"].transform(holm)
    beyond, superior = p < level, rows["claim"] == "superior"
    needed = rows["first"] * rows["relative"] / 100 if "relative" in rows else 0
    holds = superior & beyond & (rows["difference"] > 0) & ~(rows["difference"] < needed)
    fails = superior & ((rows["high90"] < rows["margin"]) & ~holds | beyond & (rows["difference"] < 0))
    holds |= ~superior & (rows["low90"] > -rows["margin"]) & (rows["high90"] < rows["margin"])
    fails |= ~superior & ((rows["low95"] > rows["margin"]) | (rows["high95"] < -rows["margin"]))
    verdict = np.select([fails, holds], [VERDICTS[2], VERDICTS[0]], VERDICTS[1])
    return pd.Series(verdict, rows.index, object)


def compared(judged: "pd.DataFrame") -> "pd.DataFrame":
    """All comparisons between methods that the file asks for, with their verdicts.

    Parameters
    ----------
    judged : DataFrame
        From :func:`~accent_lib.evaluation.judge`, of one or both models.  What it lacks is left out: methods
        that were not run, or not at every k.

    Returns
    -------
    DataFrame
        ``id, text, model, k, first_method, second_method, family, verdict`` and what :func:`compare_shares`
        gives.
    """
    import pandas as pd

    rows, everything = [], read_claims()
    for claim in everything["claims"]:
        if claim["kind"] != "comparison" or claim.get("criterion") not in CRITERIA:
            continue
        column = CRITERIA[claim["criterion"]]
        for model, first, second, k in _pairs(claim):
            own = judged[(judged["model"] == model) & (judged["k"] == k)]
            by_method = own.pivot(index="user", columns="method", values=column)
            if not {first, second} <= set(by_method) or by_method[[first, second]].isna().any(axis=None):
                continue
            margin = claim.get("margin", everything["margin"])
            row = compare_shares(by_method[first], by_method[second], claim["claim"], margin)
            about = {"id": claim["id"], "text": claim["text"], "model": model, "k": k}
            about |= {"first_method": first, "second_method": second, "relative": claim.get("relative", 0.0)}
            # Where nothing is corrected together, a family of its own.
            family = claim["family"] if claim["family"] != "none" else f"{claim['id']} {model}"
            rows.append({**about, "family": family, **row})
    if not rows:
        raise AccentError("None of the methods that the claims compare is in the table.")
    table = pd.DataFrame(rows)
    return table.assign(verdict=verdicts(table, everything["level"]))


def compared_between(id: str, model: str, first, second, family: str | None = None) -> dict:
    """One comparison between two runs, or two slates, of the same users, with its verdict where it is alone.

    Parameters
    ----------
    id : str
        Of the claim.
    model : str
    first, second : array of bool, shape (n_users,)
        On whom each succeeds.
    family : str, optional
        Where others are tested with it: without a verdict, which :func:`verdicts` gives to all of them.
    """
    import pandas as pd

    everything = read_claims()
    (claim,) = (claim for claim in everything["claims"] if claim["id"] == id)
    row = compare_shares(first, second, claim["claim"], claim.get("margin", everything["margin"]))
    row = {"id": id, "text": claim["text"], "model": model, "family": family or f"{id} {model}", **row}
    if family is None:
        row["verdict"] = verdicts(pd.DataFrame([row]), everything["level"])[0]
    return row


def overshoot(explanations: "pd.DataFrame") -> "pd.Series":
    """How far each replacement was estimated to land beyond the recommendation; NaN where there is no set."""
    import pandas as pd

    places = explanations["replacement_position"]
    values = [
        scores[place] - scores[0] if len(scores) else float("nan")
        for scores, place in zip(explanations["predicted"], places, strict=True)
    ]
    return pd.Series(values, explanations.index, float)


def calibration(estimated, holds, parts: int = 5) -> "pd.DataFrame":
    """Share of sets that hold, by fifth of the overshoot that was estimated.

    Parameters
    ----------
    estimated : array of float, shape (n_sets,)
    holds : array of bool, shape (n_sets,)
    parts : int

    Returns
    -------
    DataFrame
        One row a part, the smallest overshoot first: ``sets``, ``overshoot`` (median), ``holds`` (percentage)
        and its 95% interval, ``low`` and ``high`` (Clopper and Pearson).

    Examples
    --------
    >>> calibration([0.1, 0.2, 0.3, 0.4], [False, False, False, True], parts=2)["holds"].tolist()
    [0.0, 50.0]
    """
    import pandas as pd
    from statsmodels.stats.proportion import proportion_confint

    estimated, holds = np.asarray(estimated, float), np.asarray(holds, bool)
    rows = []
    for part in np.array_split(np.argsort(estimated, kind="stable"), parts):
        low, high = proportion_confint(holds[part].sum(), len(part), method="beta")
        row = {"sets": len(part), "overshoot": float(np.median(estimated[part]))}
        rows.append(row | {"holds": 100 * holds[part].mean(), "low": 100 * low, "high": 100 * high})
    return pd.DataFrame(rows)


def overall(table: "pd.DataFrame") -> "pd.DataFrame":
    """One verdict a claim and model: it holds where all its comparisons hold, and fails where one fails."""
    worst = table["verdict"].map(VERDICTS.index).groupby([table["id"], table["model"]], sort=False).max()
    return worst.map(VERDICTS.__getitem__).rename("verdict").reset_index()


def _pairs(claim) -> Iterator[tuple[str, str, str, int]]:
    """Model, two methods and k of each comparison of a claim between methods."""
    if "pairs" in claim:
        pairs = [(model, *pair) for model, of_model in claim["pairs"].items() for pair in of_model]
    elif isinstance(claim.get("second"), dict):
        pairs = [(model, claim["first"], m) for model, others in claim["second"].items() for m in others]
    elif claim["second"] == "accent" and claim["first"] == "one_versus_all":
        pairs = [(model, claim["first"], claim["second"]) for model in ("ncf", "rcf")]
    else:  # between runs, not between methods
        pairs = []
    for model, first, second in pairs:
        for k in claim["ks"]:
            yield model, first, second, k
