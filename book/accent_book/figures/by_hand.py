"""The gap filled by hand: the reader takes ratings out, and sees what influence says becomes of each gap."""

import hashlib
import json
from html import escape
from pathlib import Path

import numpy as np
from IPython.display import HTML

from accent_lib.influence import gap_influence

TEMPLATE = Path(__file__).with_name("by_hand.html")


def gap_by_hand(explanation, unit: str = "stars", decimals: int = 2) -> HTML:
    """Let the reader fill a user's gaps: a list of her ratings to tick, and a bar for each candidate.

    It works without a network, by mouse and by keyboard. The gaps are sums of influences, as ACCENT's are.

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
    titles = explanation.slate["title"].tolist()
    data = {
        "recommendation": titles[0],
        "candidates": titles[1:],
        "gaps": np.round(gaps, exact).tolist(),
        "actions": explanation.history["title"].tolist(),
        "influence": on_gap,
        "set": list(closeup.explanation.removed) if explanation.found else [],
        "unit": unit,
        "decimals": decimals,
    }
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    # The same bytes each time, and another name for another user on one page.
    name = "by-hand-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    return HTML(TEMPLATE.read_text("utf-8").replace("{{id}}", escape(name)).replace("{{data}}", text))
