"""The role ``paper``: a figure of the paper, looked up so that prose types no number.

Settings come from ``book/paper.yml``, the rest from ``accent_book.publish.paper``, which says what names
there are.
"""

from pathlib import Path

import yaml
from docutils import nodes

from accent_book.publish.paper import paper_figures

SETTINGS = Path(__file__).parents[1] / "paper.yml"


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
    figures = paper_figures(yaml.safe_load(SETTINGS.read_text(encoding="utf-8")))
    app.add_config_value("paper_figures", figures, "env", [dict])
    app.add_role("paper", paper_role)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
