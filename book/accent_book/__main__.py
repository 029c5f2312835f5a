"""Command line: ``python -m accent_book run --profile sample``."""

import argparse
import importlib
import os
import sys

from accent_lib.errors import AccentError
from accent_lib.files import reason

#: Where a command's function is, which has its name. Modules are imported when they are needed.
PLACES = {
    "run": "runner.run",
    "ensure": "runs.earlier",
    "status": "runner.status",
    "export": "runs.results",
    "explorer": "publish.page",
    "launch": "publish.launch",
    "student": "publish.student",
    "exam": "publish.exam",
    "slides": "publish.slides",
    "pdf": "publish.pdf",
    "release": "publish.release",
    "seal": "runs.manifest",
}
#: Where commands write if nothing is said.
WRITES = {
    "student": "_build/student",
    "exam": "_build/exam",
    "slides": "_build/slides",
    "pdf": "_build/book.pdf",
    "release": "_build/accent-<version>.zip",
}


def main(arguments=None) -> int:
    """Run a command; return its exit status, 0 if all went well."""
    options = vars(parser().parse_args(arguments))
    if options["command"] == "ensure" and options["upto"] is None:
        options["upto"] = 3
    name = options.pop("command")
    try:
        os.getcwd()
    except OSError:
        print("error: the working directory is gone; go to one that is there", file=sys.stderr)
        return 1
    try:
        getattr(importlib.import_module(f"accent_book.{PLACES[name]}"), name)(**options)
    except AccentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # whatever no reader or writer turned into a sentence of its own
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{reason(error)}; make room, or name another place", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """What reads the command line: all commands, and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m accent_book", description="Run the notebooks of a profile."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, text in {
        "run": "execute the notebooks into book/chapters, but for those that are up to date",
        "ensure": "make what is missing of the first notebooks",
        "status": "tell what the run folder holds",
        "export": "copy the outcomes of the run folder, finished or not, to data/results",
        "explorer": "write a page that shows all explanations of a run folder, one file to open in a browser",
        "launch": "write the repository's address of _config.yml into the first cell of every notebook",
        "student": "write the notebooks without the solutions of their exercises, and sheets with these",
        "exam": "write an examination of twelve questions, and its key; the numbers of each seed are others",
        "slides": "write the slides of a lecture, from the executed chapters",
        "pdf": "print the built book into one PDF, with the system's Chromium",
        "release": "pack the wheels, the notebooks and what was made of them into one archive, with its hash",
        "seal": "write the hashes of all files below data, after files were copied or edited there",
    }.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "launch":
            continue
        if name == "seal":
            command.add_argument("--check", action="store_true", help="only see whether they are right")
            continue
        if name == "explorer":
            command.add_argument("--run", default="sample", help="folder in runs/ (default: sample)")
            command.add_argument("--to", default="explorer.html", metavar="FILE", help="the file to write")
            continue
        if name in WRITES:
            command.add_argument("--to", metavar="PATH", help=f"where to (default: {WRITES[name]})")
            if name == "exam":
                command.add_argument("--seed", type=int, default=0, help="of the numbers (default: 0)")
            if name == "student":
                command.add_argument(
                    "--instructor",
                    action="store_true",
                    help="a course for nbgrader, with solutions and hidden tests, in _build/instructor",
                )
            continue
        command.add_argument(
            "--profile",
            default="sample",
            help="a name in notebooks/profiles, or a path that ends in .yaml (default: sample)",
        )
        if name in ("run", "ensure"):
            command.add_argument("--upto", type=int, metavar="N", help="number of the last notebook")
        if name == "run":
            command.add_argument("--force", action="store_true", help="run also what is up to date")
    return parser


if __name__ == "__main__":
    sys.exit(main())
