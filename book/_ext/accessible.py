"""Repair what keeps screen readers from a page, and what no setting reaches."""

from docutils import nodes


def plain_citations(app, pagename, templatename, context, doctree):
    """Take the roles from the bibliography: as docutils writes them, its list holds what is no item."""
    if "body" in context:
        body = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )
        context["body"] = body.replace(' role="doc-biblioentry"', "")


def described_images(app, doctree, docname):
    """A figure that is glued from another page has no description of its own: it takes the text below it."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt"):
            text = image.next_node(nodes.paragraph, ascend=True)
            if text is not None:
                image["alt"] = text.astext()


def setup(app):
    """Register the repairs."""
    app.connect("html-page-context", plain_citations)
    app.connect("doctree-resolved", described_images)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
