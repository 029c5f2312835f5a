"""The role ``paper``: a figure of the paper, looked up so that prose types no number.

Settings come from ``book/paper.yml``, the rest from ``accent_lib.paper``: counts under the names of its
``PAPER_DATA``, the quality of influence as ``rmse_ncf``, ``sd_true_rcf`` and so on, the results as
``accent_ncf_20_cf_percentage`` and the like.
"""

from pathlib import Path

import yaml
from docutils import nodes

from accent_lib.paper import PAPER_DATA, PAPER_INFLUENCE, PAPER_TABLE1

SETTINGS = Path(__file__).parents[1] / "paper.yml"


def paper_figures():
    """Return all figures by name, written as they are to be read."""
    figures = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    figures |= {name: f"{count:,}" for name, count in PAPER_DATA.items()}
    for model, row in PAPER_INFLUENCE.iterrows():
        figures |= {f"{name}_{model}": f"{value:g}" for name, value in row.items()}
    for row in PAPER_TABLE1.itertuples():
        for name in ("cf_percentage", "set_size"):
            figures[f"{row.method}_{row.model}_{row.k}_{name}"] = f"{getattr(row, name):.2f}"
    return figures


def paper_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Return the figure called ``text``, or an error that fails the build."""
    figures = inliner.document.settings.env.config.paper_figures
    if text not in figures:
        message = inliner.reporter.error(
            f"The paper has no figure called '{text}'; see book/paper.yml.", line=lineno
        )
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    return [nodes.Text(figures[text])], []


def setup(app):
    """Register the role and the figures."""
    app.add_config_value("paper_figures", paper_figures(), "env", [dict])
    app.add_role("paper", paper_role)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
