"""Figures that the reader changes: pages of HTML that need no network, no kernel and no mouse."""

import hashlib
import json
from pathlib import Path

import numpy as np
from IPython.display import HTML

from accent_lib.influence import gap_influence


def gap_by_hand(explanation, unit: str = "stars", decimals: int = 2) -> HTML:
    """Let the reader fill a user's gaps: a list of her ratings to tick, and a bar for each candidate.

    The gaps are sums of influences, as ACCENT's are.

    Parameters
    ----------
    explanation : accent_lib.front.explained.Counterfactual
        By ACCENT. Where no set was found, none is shown.
    unit : str
        Of the scores.
    decimals : int
        Of the gaps that are shown; they are reckoned with three more.
    """
    closeup, model = explanation.closeup, explanation.model
    exact = decimals + 3
    on_gap = [
        model.differences_in_unit(gap_influence(closeup.influence, 0, rival)).round(exact).tolist()
        for rival in range(1, len(closeup.items))
    ]
    gaps = model.differences_in_unit(closeup.scores[0] - closeup.scores[1:])
    titles, history = explanation.slate["title"].tolist(), explanation.history
    rated = model.data.train["rating"][model.data.rows(closeup.user)]
    return _filled(
        "gap_by_hand",
        recommendation=titles[0],
        candidates=titles[1:],
        gaps=np.round(gaps, exact).tolist(),
        actions=[f"{title}, {stars:g}" for title, stars in zip(history["title"], rated, strict=True)],
        influence=on_gap,
        set=list(closeup.explanation.removed) if explanation.found else [],
        unit=unit,
        decimals=decimals,
    )


def one_parameter_by_hand(x, y, removed: int, decay: float) -> HTML:
    """:func:`one_parameter` with sliders for the removed point.

    Parameters
    ----------
    x, y, removed, decay
        As for :func:`one_parameter`, to begin with.
    """
    x, y = ([float(value) for value in values] for values in (x, y))
    numbers = {"removed": removed, "decay": float(decay), "low": 0.0, "high": 4.0, "span": 8.0}
    return _filled("one_parameter_by_hand", x=x, y=y, **numbers)


def _filled(template, **data):
    """A template with its data, and a name of its own: the same bytes for the same data."""
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    name = f"{template.replace('_', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    html = Path(__file__).with_name(f"{template}.html").read_text("utf-8")
    return HTML(html.replace("{{id}}", name).replace("{{data}}", text))
