"""The build tells of what the book says about the sample in words, and what is not so in this run of it.

It does not stop: on another processor a close call may fall otherwise, and a reader shall have the book. The
tests hold the words against the run that is kept in ``data/results/sample.json``.

The runner's account tells whether the chapters are the sample's, by the defaults of the notebooks; of others
the book says nothing in words that would have to be computed here.
"""

from pathlib import Path

from sphinx.util import logging

from accent_book.publish.statements import CHAPTERS, not_true, read_values
from accent_book.runner.account import ACCOUNT
from accent_lib.gate import read_json

LOG = logging.getLogger(__name__)


def check(app):
    """Tell of each statement that does not hold."""
    path = Path(app.srcdir) / ACCOUNT
    about = read_json(path) if path.exists() else {}
    made = {chapter["name"]: chapter["changed"] for chapter in about.get("chapters", ())}
    if about.get("profile") == "sample" and all(made.get(name) == {} for name in CHAPTERS):
        for line in not_true(read_values(path.parent)):
            LOG.info("this is not so in this run of the sample: %s", line)


def setup(app):
    """Sphinx's hook."""
    app.connect("builder-inited", check)
    return {"parallel_read_safe": True}
