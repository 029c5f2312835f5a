"""The directive ``status``: what made chapters and tables, for ``book/reference/status.md``.

The runner leaves an account beside the chapters (``accent_book.runner.account``). Chapters that were run by
hand have none, and then the page says so.
"""

import json
from contextlib import ExitStack
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from accent_book.runner.account import ACCOUNT, committed_tables
from accent_book.runs import results_folder
from accent_book.runs.lock import alone
from accent_lib.errors import AccentError
from accent_lib.gate import read_json

BY_HAND = (
    "The chapters of this book were run by hand, one by one, so there is no account of them."
    " `python -m accent_book run` writes one."
)


def table(head, rows):
    """Write a Markdown table; no rows make none."""
    lines = [head, ["---"] * len(head), *rows] if rows else []
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def duration(seconds):
    """Seconds in the unit that suits them."""
    if seconds is None:
        return "not recorded"
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def moment(date):
    """A date as it is to be read."""
    return date[:16].replace("T", ", ")


def source(record):
    """The commit of a record, shortened, and whether there were changes that it lacks."""
    if not record["commit"]:
        return "no repository"
    return f"`{record['commit'][:10]}`" + (", changed" if record["dirty"] else "")


def machine(record):
    """The device of a record, and its processor if that is what computed."""
    if record["device"] != "cpu":
        return record["device"]
    cpu = record["cpu"]
    return f"{cpu['model']}, {cpu['count']} core{'s' * (cpu['count'] != 1)}"


def run(account):
    """The run as a whole."""
    chapters = account["chapters"]
    return table(
        ["what", "this run"],
        [
            ["Profile", f"`{account['profile']}`"],
            ["Run folder", f"`runs/{account['run']}`"],
            ["Chapters", len(chapters)],
            ["All chapters took", duration(sum(chapter["seconds"] for chapter in chapters))],
            ["Last run", moment(max(chapter["date"] for chapter in chapters)) + " UTC"],
            ["Machine", "; ".join(dict.fromkeys(machine(chapter) for chapter in chapters))],
        ],
    )


def chapters(account):
    """Time, memory, date and commit of each chapter."""
    rows = [
        [
            f"[{chapter['name']}](../chapters/{chapter['name']}.ipynb)",
            duration(chapter["seconds"]),
            f"{chapter['peak_memory'] / 2**20:,.0f} MiB",
            moment(chapter["date"]),
            source(chapter),
        ]
        for chapter in account["chapters"]
    ]
    return table(["chapter", "time", "memory at most", "date (UTC)", "commit"], rows)


def parameters(account):
    """Parameters that differ from the notebooks' defaults."""
    rows = [
        [chapter["name"], f"`{name}`", f"`{json.dumps(value)}`"]
        for chapter in account["chapters"]
        for name, value in chapter["changed"].items()
    ]
    return table(["chapter", "parameter", "value"], rows) or "None: every chapter ran with its own defaults."


def versions(account):
    """Versions of Python and of the libraries; several where chapters were run with several."""
    found = {}
    for chapter in account["chapters"]:
        for name, version in chapter["versions"].items():
            found.setdefault(name, {})[version or "none"] = None
    return table(["package", "version"], [[name, ", ".join(several)] for name, several in found.items()])


def fingerprints(account):
    """Fingerprints of the library, the data and the lock."""
    what = {
        "library": "sources that decide what a chapter shows, without comments and docstrings",
        "data": "the prepared interactions",
        "lock": "`requirements.lock`",
    }
    rows = [[name, f"`{account['fingerprints'][name] or 'none'}`", text] for name, text in what.items()]
    return table(["name", "fingerprint", "of what"], rows)


def tables(folder):
    """Provenance of the committed tables."""
    rows = [
        [
            f"`{found['name']}`",
            ", ".join(map(str, found["seeds"])),
            "" if found["rows"] is None else f"{found['rows']:,}",
            duration(found["seconds"]),
            found["date"][:10],
            source(found),
            machine(found),
        ]
        for found in committed_tables(folder)
    ]
    return table(["table", "seeds", "outcomes", "work", "date", "commit", "machine"], rows)


OF_THE_RUN = {part.__name__: part for part in (run, chapters, parameters, versions, fingerprints)}


class Status(SphinxDirective):
    """``{status} run`` and so on; ``{status} tables`` for the committed ones."""

    required_arguments = 1

    def run(self):
        """Write the part as Markdown and have it parsed."""
        part, path = self.arguments[0], Path(self.env.srcdir) / ACCOUNT
        if part != "tables" and part not in OF_THE_RUN:
            raise self.error(f"There is no status of '{part}'; there is {', '.join(OF_THE_RUN)} and tables.")
        self.env.note_dependency(str(path))
        if part == "tables":
            text = tables(results_folder())
        elif path.exists():
            text = OF_THE_RUN[part](read_json(path, {}, "run the notebooks again"))
        else:
            text = BY_HAND if part == "run" else "Not known."
        return self.parse_text_to_nodes(text)


def be_alone(app):
    """Nobody runs notebooks into the book while it is built, and it is not built while somebody does."""
    lock = ExitStack()
    try:
        lock.enter_context(alone(Path(app.srcdir) / "book", "builds the book"))
    except AccentError as error:
        raise ExtensionError(str(error)) from None
    app.connect("build-finished", lambda app, exception: lock.close())


def setup(app):
    """Register the directive, and the book's only writer."""
    app.add_directive("status", Status)
    app.connect("builder-inited", be_alone)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
