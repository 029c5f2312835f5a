"""Repair what keeps screen readers from a page, and what no setting reaches."""


def plain_citations(app, pagename, templatename, context, doctree):
    """Take the roles from the bibliography: as docutils writes them, its list holds what is no item."""
    if "body" in context:
        body = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )
        context["body"] = body.replace(' role="doc-biblioentry"', "")


def setup(app):
    """Register the repair."""
    app.connect("html-page-context", plain_citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
