"""Make the built book work without a network: MathJax comes along, and nothing points a browser elsewhere.

MathJax is taken from the wheel of ``sphinx-mathjax-offline`` when the book is built, so it need not be
committed. Only what the pages can ask for is copied: the bundle, its fonts, TeX extensions and what screen
readers need.
"""

import importlib.util
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

MATHJAX_PARTS = ["tex-chtml.js", "output/chtml/fonts", "input/tex/extensions", "a11y", "ui"]
SPEECH_RULES = ["base.json", "en.json", "nemeth.json"]


def mathjax_folder():
    """Return the folder of MathJax 3 in the installed wheel."""
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None:
        raise ExtensionError(
            "MathJax is missing: install the package sphinx-mathjax-offline, which is in requirements.lock."
        )
    return Path(found.origin).parent / "static" / "mathjax"


def copy_mathjax(app, exception):
    """Put MathJax under ``_static`` of the finished book."""
    if exception is not None or app.builder.format != "html":
        return
    source = mathjax_folder()
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in MATHJAX_PARTS + [f"sre/mathmaps/{name}" for name in SPEECH_RULES]:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, target / part)


def drop_thebe(app, pagename, templatename, context, doctree):
    """Take out Thebe, which every page of a Jupyter Book prepares and which comes from a public server."""
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file for file in context[kind] if "thebe" not in f"{file.filename} {file.attributes}".lower()
        ]


def drop_thebe_settings(app, doctree, docname):
    """Take out the settings for Thebe, which stand in the text of every page."""
    for node in list(doctree.findall(nodes.raw)):
        if "text/x-thebe-config" in node.astext():
            node.parent.remove(node)


def setup(app):
    """Register all steps, those against Thebe after its own."""
    app.connect("doctree-resolved", drop_thebe_settings, priority=900)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
