"""The explorer: one self-contained page that shows every explanation of a run, and what it goes by."""

import json
from html import escape
from pathlib import Path

import numpy as np

from accent_book import runs
from accent_book.figures.explanations import worth_a_look
from accent_book.figures.legend import METHOD_NAMES, UNITS, words
from accent_book.runs.ratings import PUBLIC
from accent_lib.errors import AccentError
from accent_lib.evaluation.judgement import judge
from accent_lib.explainers import Explanation, no_sentence, sentence
from accent_lib.explanations import BY_ATTENTION, Attention, gaps_of
from accent_lib.influence import fast_influence

# The page without data: styles, and the script that draws what is chosen. (With a colon the API page would
# show its path, which is the machine's.)
TEMPLATE = Path(__file__).with_name("explorer.html")
#: How finely scores and influences are kept: in parts of a star, or of a logit.
PARTS = {"ncf": 100_000, "rcf": 10_000}
#: How many decimals of them are shown.
DECIMALS = {"ncf": 3, "rcf": 2}


def explorer_data(run) -> dict:
    """All that the explorer shows of a run folder.

    Slates, explanations and outcomes are those of the run's tables; influences are computed anew from its
    models.

    Parameters
    ----------
    run : Run
        With the files of notebooks 01, 02 and 04; without those of 05, nothing is said of retraining.

    Returns
    -------
    dict
        Ready for JSON: ``run``, ``dataset``, ``words`` (what an item is called), ``private`` (whether the
        data may not be passed on), ``terms`` (on which it may, if there are any), ``films`` (titles by item),
        ``methods`` (names by method), ``start`` (what
        to show first) and ``models``, a list. Of each model ``users``, a list with the history, the slate and
        its scores, ``influence`` of shape ``(k_max, n_history)``, ``sets`` (each
        with ``removed``, ``replacement``, ``gaps`` before and after each removal, the scores ``after`` the
        last one, the ``sentence``, and what was ``retrained``) and ``by_method``, for each
        method the number in ``sets`` for each of the model's ``ks``, or None. Scores, gaps and influences are
        whole numbers of the ``parts`` that the model's unit is divided into.

    Raises
    ------
    AccentError
        If a file is missing, or the tables are not of the models beside them.
    """
    data = runs.interactions(run)
    slates, explanations = run.read_csv("slates.csv"), run.read_csv("explanations.csv")
    dataset, judged = run.read_json("data.json")["dataset"], None
    if (run.folder / "outcomes.csv").exists():
        judged = judge(explanations, slates, run.read_csv("outcomes.csv"), partial=True)
    used = [method for method in METHOD_NAMES if method in set(explanations["method"])]
    names = list(dict.fromkeys(explanations["model"]))
    return {
        "run": run.name,
        "dataset": data.name,
        "words": words()._asdict(),
        "private": dataset not in PUBLIC,
        "terms": PUBLIC.get(dataset, ""),
        "films": data.titles.tolist(),
        "methods": {method: METHOD_NAMES[method] for method in used},
        "start": _start(explanations, names[0]),
        "models": [_model(run, name, data, explanations, judged, used) for name in names],
    }


def _start(explanations, name):
    """The user of chapter 4, or the first with any set of the first method."""
    own = explanations[explanations["model"] == name]
    method = "accent" if (own["method"] == "accent").any() else own["method"].iloc[0]
    k = int(own["k"].max())
    own = own[own["k"] == k]
    sizes = own[own["method"] == method].set_index("user")["size"]
    looked_at = worth_a_look(own) if method == "accent" else []
    users = [*looked_at, *sizes[sizes > 0].index, *sizes.index]
    return {"model": name, "user": int(users[0]), "k": k, "method": method}


def _model(run, name, data, explanations, judged, methods):
    variant = run.setting("04_explanations", f"{name}_variant")
    analysis = fast_influence(runs.trained_model(run, name, data)[0].double(), variant=variant)
    own = explanations[explanations["model"] == name]
    ks = sorted(int(k) for k in own["k"].unique())
    return {
        "model": name,
        "name": name.upper(),
        "unit": UNITS[name],
        "decimals": DECIMALS[name],
        "parts": PARTS[name],
        "ks": ks,
        "methods": [method for method in methods if method in set(own["method"])],
        "users": [
            _user(analysis, int(user), items, data, own[own["user"] == user], judged, ks, PARTS[name])
            for user, items in runs.slates_of(run, name).items()
        ],
    }


def _user(analysis, user, items, data, rows, judged, ks, parts):
    """What is shown of one user; her rows of the table of explanations, in the order of the ``ks``."""
    model, estimate = analysis.model, analysis(user, items)
    history, recommendation = model.actions(user), data.titles[items[0]]
    attention = Attention(model, user, items) if set(rows["method"]) & set(BY_ATTENTION) else None
    sets, numbers = {}, {method: [None] * len(ks) for method in rows["method"]}
    for row in rows.sort_values("k", kind="stable").itertuples():
        if row.size == 0:
            continue
        removed, rival = row.removed, int(row.replacement_position)
        explanation = Explanation(removed, rival, np.array(row.predicted))
        gaps = gaps_of(
            estimate.scores, estimate.influence, explanation, attention if _by_attention(row) else None
        )
        if row.replacement != items[rival] or not np.isclose(gaps[-1], explanation.remaining_gap, atol=1e-6):
            raise AccentError(
                f"explanations.csv is not of the model beside it (user {user}, {row.method}, k = {row.k}): "
                "run notebook 04_explanations again."
            )
        titles = [data.titles[history[action]] for action in removed]
        shown = {
            "removed": list(removed),
            "replacement": rival,
            "gaps": _whole(gaps, parts),
            "sentence": sentence(
                titles,
                recommendation,
                data.titles[row.replacement],
                explanation.remaining_gap,
                words().verb,
            ),
            "retrained": None if judged is None else _retrained(judged.loc[row.Index], gaps[0], parts),
        }
        # Mostly several slates and methods agree; of their scores, those of the longest slate stay.
        content = json.dumps([_by_attention(row), shown])
        number = list(sets).index(content) if content in sets else len(sets)
        sets[content] = shown | {"after": _whole(explanation.predicted, parts)}
        numbers[row.method][ks.index(row.k)] = number
    reads_stars = not getattr(model, "reads_history", False)
    stars = data.train["rating"].to_numpy()[data.rows(user)] if reads_stars else ()
    return {
        "user": user,
        "history": history.tolist(),
        "stars": [float(star) for star in stars],
        "slate": items.tolist(),
        "scores": _whole(estimate.scores, parts),
        "influence": _whole(estimate.influence, parts),
        "none": no_sentence(recommendation),
        "sets": list(sets.values()),
        "by_method": numbers,
    }


def _by_attention(row):
    return row.method in BY_ATTENTION


def _retrained(judged, gap, parts):
    """What retraining showed of one set: gaps without it and in the control; None where it was not tried."""
    if judged["status"] != "ok":
        return {"failed": int(judged["failed_seeds"])} if judged["status"] == "failed" else None
    without = gap - judged["true_gap_influence_original"]
    control = without + judged["true_gap_influence"]
    return {
        "gap": _whole(without, parts),
        "control": _whole(control, parts) if np.isfinite(control) else None,
        "holds": bool(judged["counterfactual"]),
        "first": bool(judged["slate_top"]),
        "orders": int(judged["seeds"]),
        "others": int(judged["users_in_world"]) - 1,
    }


def _whole(values, parts):
    return np.rint(np.asarray(values) * parts).astype(int).tolist()


def explorer_page(data: dict) -> str:
    """The explorer as one HTML document that loads nothing else.

    Parameters
    ----------
    data : dict
        From :func:`explorer_data`.
    """
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A title must not end the script that it stands in.
    return TEMPLATE.read_text("utf-8").replace("{{data}}", text.replace("<", "\\u003c"))


def withheld_page(run: str, dataset: str, own: bool = False) -> str:
    """What stands in the explorer's place in a book of data that may not be passed on.

    Parameters
    ----------
    run : str
        Name of the run folder.
    dataset : str
    own : bool
        Whether it is a reader's own file.

    Examples
    --------
    >>> "The histories of ml-100k may not be published" in withheld_page("ml-100k", "ml-100k")
    True
    """
    why = "are a reader's own and stay on this machine" if own else "may not be published"
    command = f"python -m accent_book explorer --run {run} --to explorer.html"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Explorer</title>'
        "<style>body { font: 1rem/1.5 sans-serif; margin: 1rem; color: #000; background: #fff }</style>"
        "</head><body><h1>Explorer</h1><p>The histories of "
        f"{escape(dataset)} {why}, so this book goes without its explorer; make it for "
        f"yourself with <code>{escape(command)}</code>.</p>"
        "<script>parent.postMessage({ explorerHeight: document.documentElement.offsetHeight + 16 }, '*')"
        "</script></body></html>\n"
    )
