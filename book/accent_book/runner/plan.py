"""What a profile would run: its chapters, and why each is up to date or not."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from accent_book.publish.launch import TAG as LAUNCH
from accent_book.runs import notebooks
from accent_book.runs.notebooks import read_json
from accent_book.runs.profiles import load_profile, run_name
from accent_book.runs.ratings import source_of
from accent_book.runs.sources import sources_of_notebooks
from accent_lib.errors import AccentError
from accent_lib.provenance import fingerprint


@dataclass(frozen=True)
class Chapter:
    """A notebook as a profile runs it, and the page of the book that comes of it.

    Attributes
    ----------
    notebook : Notebook
    settings : dict
        All of its parameters.
    stamp : str
        Tells whether the output is outdated: a fingerprint of all that it follows from.  That is its cells
        and settings, the sources that it may import, the committed tables if it reads them, and the stamps of
        the chapters whose files it takes.
    follows : frozenset of str
        Names of the chapters that have to be run before it.
    folder : Path
        The run folder.
    output : Path
        Its place in ``book/chapters``.
    """

    notebook: notebooks.Notebook
    settings: dict
    stamp: str
    follows: frozenset[str]
    folder: Path
    output: Path

    @property
    def name(self) -> str:
        """The notebook's name."""
        return self.notebook.name

    @property
    def executed(self) -> Path:
        """The run's own copy of the executed notebook: changing profiles back and forth costs nothing."""
        return self.folder / "chapters" / f"{self.name}.ipynb"

    def files(self) -> list[str]:
        """Files in the run folder that are of its making, sorted relative names."""
        paths = (path for pattern in self.notebook.makes for path in self.folder.glob(pattern))
        return sorted({path.relative_to(self.folder).as_posix() for path in paths})

    def outdated(self, records) -> str:
        """Say why it has to be run, or nothing if it is up to date.

        Parameters
        ----------
        records : dict
            ``provenance.json`` of the run folder.
        """
        record = records.get(self.name)
        if record is None or not self.executed.exists():
            return "not run yet, or not since an earlier notebook was"
        if record["settings"] != self.settings:
            return "its parameters changed"
        if record["stamp"] != self.stamp:
            return "it, the library, a committed table or a notebook before it changed"
        missing = [name for name in record["files"] if not (self.folder / name).exists()]
        if missing:
            return f"{missing[0]} is missing"
        by_hand = read_json(self.folder / "settings" / f"{self.name}.json")
        if by_hand and by_hand != self.settings:
            return "it was run by hand with other parameters"
        return ""


def plan(profile, upto=None, root=None) -> list[Chapter]:
    """Chapters of a profile, in order.

    Parameters
    ----------
    profile : str
        Its name.
    upto : int, optional
        Number of the last notebook; all by default.
    root : Path, optional
        The project's folder.

    Returns
    -------
    list of Chapter

    Raises
    ------
    AccentError
        If the profile does not exist or does not fit, or if no notebook has a number up to `upto`.
    """
    root = root or notebooks.project_root()
    settings = load_profile(profile, root)
    sources = sources_of_notebooks()
    folder = notebooks.runs_folder() / run_name(profile, root)
    models = next((own["models"] for own in settings.values() if "models" in own), None)
    chapters = {}
    # The tour, of number 0, needs nothing and makes nothing: whatever may fail comes before it.
    for notebook in sorted(notebooks.all_notebooks(root), key=lambda notebook: notebook.number == 0):
        if (upto is not None and notebook.number > upto) or not notebook.is_about(models):
            continue
        # The launch cell does nothing in a run, and the address in it may change.
        cells = [cell for cell in notebook.cells if LAUNCH not in cell[1]]
        parts = {"cells": cells, "settings": settings[notebook.name], "sources": sources}
        if "dataset" in notebook.parameters:
            parts["files"] = source_of(settings[notebook.name])["files"]
        if any("results_folder" in text for _, _, text in notebook.cells):
            parts["tables"] = _committed_tables(root / "data" / "results")
        if any("read_claims" in text for _, _, text in notebook.cells):
            parts["claims"] = hashlib.sha256((root / "book" / "claims.yml").read_bytes()).hexdigest()
        sources_before = [chapter.notebook for chapter in chapters.values()]
        before = [chapters[source.name] for source in notebooks.before(notebook, sources_before, models)]
        if notebook.needs and not before:
            raise AccentError(
                f"{notebook.name} takes the files of notebook {notebook.needs}, which is not before it."
            )
        stamp = fingerprint(**parts, before=[chapter.stamp for chapter in before])
        follows = frozenset().union(*(chapter.follows | {chapter.name} for chapter in before))
        output = root / "book" / "chapters" / notebook.path.name
        own = settings[notebook.name]
        chapters[notebook.name] = Chapter(notebook, own, stamp, follows, folder, output)
    if not chapters:
        raise AccentError(f"There is no notebook with a number up to {upto}.")
    return list(chapters.values())


def _committed_tables(folder):
    """Hashes of the committed tables, which one notebook reads; what is hidden is somebody's work."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
