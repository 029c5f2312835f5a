"""A book of the sample is not built where what it says about the sample in words is not so.

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
    """Warn of each statement that does not hold, which stops `make book`."""
    path = Path(app.srcdir) / ACCOUNT
    about = read_json(path) if path.exists() else {}
    made = {chapter["name"]: chapter["changed"] for chapter in about.get("chapters", ())}
    if about.get("profile") == "sample" and all(made.get(name) == {} for name in CHAPTERS):
        for line in not_true(read_values(path.parent)):
            LOG.warning("this is not so in this run of the sample: %s", line)


def setup(app):
    """Sphinx's hook."""
    app.connect("builder-inited", check)
    return {"parallel_read_safe": True}
