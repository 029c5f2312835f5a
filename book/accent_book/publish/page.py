"""The explorer's page of a run: on its own, and in the book."""

import hashlib
from pathlib import Path

from accent_book.publish.place import ours
from accent_book.runs import notebooks
from accent_book.runs.folder import Run
from accent_book.runs.notebooks import read_json, short
from accent_book.runs.ratings import PUBLIC
from accent_book.runs.sources import BOOK, source_hash, sources_of_notebooks
from accent_lib.errors import AccentError
from accent_lib.files import atomic
from accent_lib.provenance import fingerprint


def explorer(run="sample", to="explorer.html") -> None:
    """Write the explorer of a run folder as one self-contained file.

    Parameters
    ----------
    run : str
        Name of the run folder.
    to : path
        The file to make or replace.

    Raises
    ------
    AccentError
        If the run folder lacks a file, or the page cannot be written.
    """
    from accent_book.publish.explorer import explorer_data, explorer_page

    if not notebooks.run_folder(run, "explorer").is_dir():
        raise AccentError(
            f"There is no run {run!r} in {notebooks.runs_folder()}; make one with the notebooks."
        )
    to = ours(to, b"<!DOCTYPE html>")
    opened = Run("explorer", {"run": run})
    data, about = explorer_data(opened), opened.read_json("data.json")
    with atomic(to) as file:
        file.write_text(explorer_page(data), "utf-8")
    print(f"The explorer of {run}, one file that needs no network: {to}")
    if about.get("files"):
        print(f"It holds histories of {data['dataset']}, a file of your own: it stays on this machine.")
    elif data["private"]:
        print(f"It holds histories of {data['dataset']}, which may not be passed on.")


def publish_explorer(folder, root) -> None:
    """Put the explorer of a run into the book.

    For data that may not be published, it is that of a run whose data may, if there is one, else a page that
    says so.

    The run folder keeps a copy, which is made again only when something changed that it shows. A run without
    explanations has no explorer; then none is left in the book.

    Parameters
    ----------
    folder : Path
        The run folder.
    root : Path
        The project's folder.
    """
    published, kept = root / "book" / "_static" / "explorer.html", folder / "explorer.html"
    explorers = [folder.with_name(name) / kept.name for name in PUBLIC]
    about = read_json(folder / "data.json", {"dataset": str})
    if about is None or not (folder / "explanations.csv").exists():
        published.unlink(missing_ok=True)
        return
    if about["dataset"] in PUBLIC:
        stamp = f"<!-- {_stamp(folder)} -->"
        if not kept.exists() or not kept.read_text("utf-8").endswith(stamp):
            from accent_book.publish.explorer import explorer_data, explorer_page

            page = explorer_page(explorer_data(Run("explorer", {"run": folder.name})))
            with atomic(kept) as file:
                file.write_text(page + stamp, "utf-8")
        page = kept.read_text("utf-8")
    elif public := [path for path in explorers if path.exists()]:
        page = public[0].read_text("utf-8")
    else:
        from accent_book.publish.explorer import withheld_page

        own = bool(about.get("files"))
        page = withheld_page(folder.name, about.get("name", "") if own else about["dataset"], own)
    if not published.exists() or published.read_text("utf-8") != page:
        with atomic(published) as file:
            file.write_text(page, "utf-8")
    print(f"The explorer is in {short(published, root)}.", flush=True)


def _hash(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stamp(folder):
    """Fingerprint of all that the page shows."""
    files = ["slates.csv", "explanations.csv", "outcomes.csv", *sorted(p.name for p in folder.glob("*.npz"))]
    return fingerprint(
        sources=sources_of_notebooks(),
        page=source_hash(BOOK, "publish/explorer.py"),
        template=Path(__file__).with_name("explorer.html").read_text("utf-8"),
        files={name: _hash(folder / name) for name in files if (folder / name).exists()},
    )
