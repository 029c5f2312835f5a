"""What the commands of this folder share: options, and tables beside which lies where they come from."""

import argparse
import json
from pathlib import Path

from accent_book.runs.manifest import kept
from accent_book.runs.origin import provenance
from accent_book.runs.sources import sources_of_notebooks
from accent_lib.retraining.cells import to_text


def parser_of(documentation: str, models=()) -> argparse.ArgumentParser:
    """A parser with the option ``--run``, and where a command is about one model, that and ``--workers``."""
    parser = argparse.ArgumentParser(description=documentation.splitlines()[0])
    if models:
        parser.add_argument("model", choices=list(models))
        parser.add_argument("--workers", type=positive, default=2)
    add_run(parser)
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the run folder from which a command takes models and tables."""
    parser.add_argument("--run", default="paper", help="run folder")


def positive(text: str) -> int:
    """A whole number of at least 1: the type of an option."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def write_table(path: Path, table) -> None:
    """Write a data frame, floats with six digits."""
    with kept(path) as file:
        to_text(table).to_csv(file, index=False, float_format="%.6g", lineterminator="\n")


def write_about(path: Path, facts: dict) -> None:
    """Write some facts, and what code and machine made the tables that they are about."""
    with kept(path) as file:
        about = {**facts, **provenance(sources=sources_of_notebooks())}
        file.write_text(json.dumps(about, indent=2) + "\n", "utf-8", newline="\n")
