"""Buttons that open a chapter on Colab or Binder, made of the settings ``repository`` of ``_config.yml``.

The theme's own buttons would open ``book/chapters``, which is generated; these open ``notebooks``. Without an
address there are none.
"""

from pathlib import PurePosixPath

from accent_book.publish.launch import Repository, links

CHAPTERS = PurePosixPath("book/chapters")
LOGOS = {"Colab": "_static/images/logo_colab.png", "Binder": "_static/images/logo_binder.svg"}


def buttons(where, page):
    """Buttons for a page, in the form of the theme; none if it is no chapter or there is no address."""
    path = PurePosixPath(page)
    return [
        {"type": "link", "text": name, "tooltip": f"Open on {name}", "icon": LOGOS[name], "url": url}
        for name, url in (links(where, path.name) if path.parent == CHAPTERS else {}).items()
    ]


def add_buttons(app, pagename, templatename, context, doctree):
    """Add them to the header that the theme has begun."""
    options = app.config.html_theme_options
    url, branch = options.get("repository_url", ""), options.get("repository_branch", "")
    found = buttons(Repository(url.rstrip("/"), branch or "main"), pagename)
    if found:
        context["header_buttons"].append(
            {
                "type": "group",
                "tooltip": "Open this chapter where it can be run",
                "icon": "fas fa-rocket",
                "buttons": found,
                "label": "launch-buttons",
            }
        )


def setup(app):
    """Register the step, after the theme's own."""
    app.connect("html-page-context", add_buttons, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
