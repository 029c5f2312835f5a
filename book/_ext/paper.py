"""The role ``paper``: a figure of the paper, read from ``book/paper.yml``, so that prose types no number."""

from pathlib import Path

import yaml
from docutils import nodes

FILE = Path(__file__).parents[1] / "paper.yml"


def paper_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Return the figure called ``text``, or an error that fails the build."""
    figures = inliner.document.settings.env.config.paper_figures
    if text not in figures:
        message = inliner.reporter.error(f"book/paper.yml has no figure called '{text}'.", line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    inliner.document.settings.env.note_dependency(str(FILE))
    return [nodes.Text(str(figures[text]))], []


def setup(app):
    """Register the role and the figures."""
    figures = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    app.add_config_value("paper_figures", figures, "env", [dict])
    app.add_role("paper", paper_role)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
