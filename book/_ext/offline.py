"""Make the built book work without a network: MathJax comes along, and nothing points a browser elsewhere."""

from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

from accent_book.publish import mathjax
from accent_lib.errors import AccentError


def copy_mathjax(app, exception):
    """Put MathJax under ``_static`` of the finished book."""
    if exception is not None or app.builder.format != "html":
        return
    try:
        mathjax.copy_mathjax(Path(app.outdir) / "_static" / "mathjax")
    except AccentError as error:
        raise ExtensionError(str(error)) from None


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
