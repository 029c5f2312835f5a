"""Run the notebooks of a profile in order, and skip what is up to date."""

import json
import os
import time

from accent_book.publish.page import publish_explorer
from accent_book.runner.account import ACCOUNT, publish_account
from accent_book.runner.kernel import execute, kernel
from accent_book.runner.plan import plan
from accent_book.runs import notebooks
from accent_book.runs.notebooks import read_json, short
from accent_book.runs.origin import provenance
from accent_lib.errors import AccentError
from accent_lib.files import atomic
from accent_lib.provenance import plain


def run(profile="sample", upto=None, force=False) -> list[str]:
    """Execute the notebooks of a profile into ``book/chapters``, but for those that are up to date.

    Parameters
    ----------
    profile : str
        Name of a file in ``notebooks/profiles``.
    upto : int, optional
        Number of the last notebook; all by default.
    force : bool
        Run all of them again. What is kept in the run folder by its own fingerprint is still not made twice.

    Returns
    -------
    list of str
        Names of the notebooks that were executed.

    Raises
    ------
    AccentError
        If the profile is wrong, or at the first cell that fails.
    """
    root = notebooks.project_root()
    chapters = plan(profile, upto, root)
    folder = chapters[0].folder
    _unpublish_others(root, folder)
    count = f"{len(chapters)} notebook" + "s" * (len(chapters) != 1)
    print(f"Profile {profile}: {count}, run folder {short(folder, root)}", flush=True)
    variables = {"ACCENT_RUNS": str(notebooks.runs_folder()), "ACCENT_RUNNER": "1"}
    if os.environ.get("ACCENT_DATA_HOME"):
        variables["ACCENT_DATA_HOME"] = notebooks.absolute(os.environ["ACCENT_DATA_HOME"])
    executed = []
    with kernel(variables) as kernel_name:
        for chapter in chapters:
            records = read_json(folder / "provenance.json") or {}
            reason = "forced" if force else chapter.outdated(records)
            if reason:
                print(f"  {chapter.name}: running ({reason})", flush=True)
                # Whatever happens from here on, this notebook and what follows from it are not up to date.
                records = {name: record for name, record in records.items() if name < chapter.name}
                _write_json(folder / "provenance.json", records)
                record = _execute(chapter, kernel_name, root, profile)
                _write_json(folder / "provenance.json", {**records, chapter.name: record})
                memory = record["peak_memory"] / 2**20
                print(f"  {chapter.name}: done in {record['seconds']:.1f} s, {memory:.0f} MiB", flush=True)
                executed.append(chapter.name)
            else:
                print(f"  {chapter.name}: up to date", flush=True)
            _publish(chapter)
    print(f"Executed notebooks are in {short(root / 'book' / 'chapters', root)}.", flush=True)
    publish_account(profile, root)
    publish_explorer(folder, root)
    return executed


def _execute(chapter, kernel_name, root, profile):
    """Execute one chapter into the run folder, and return its record."""
    defaults = {name: parameter.default for name, parameter in chapter.notebook.parameters.items()}
    injected = {name: value for name, value in chapter.settings.items() if value != defaults[name]}
    failed = chapter.folder / "failed" / f"{chapter.name}.ipynb"
    failed.unlink(missing_ok=True)
    start = time.perf_counter()
    try:
        with atomic(chapter.executed) as target:
            try:
                memory = execute(
                    chapter.notebook.path, target, injected, kernel_name, root, chapter.folder / "log.txt"
                )
            except AccentError:
                if target.exists():
                    failed.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(target, failed)
                raise
    except AccentError as error:
        saved = f"\n(the notebook as far as it got: {short(failed, root)})" if failed.exists() else ""
        raise AccentError(f"{error}{saved}") from None
    record = provenance(profile=profile)
    record.update(
        stamp=chapter.stamp,
        settings=chapter.settings,
        files=chapter.files(),
        seconds=round(time.perf_counter() - start, 1),
        peak_memory=memory,
    )
    return json.loads(json.dumps(record, default=plain))


def _publish(chapter):
    """Copy the run's executed notebook into the book, unless it is there."""
    content = chapter.executed.read_bytes()
    if not chapter.output.exists() or chapter.output.read_bytes() != content:
        with atomic(chapter.output) as file:
            file.write_bytes(content)


def _unpublish_others(root, folder):
    """Take chapters of another run out of the book: a book of two runs would contradict itself."""
    (root / ACCOUNT).unlink(missing_ok=True)  # it belongs to a run that went through
    for published in (root / "book" / "chapters").glob("*.ipynb"):
        own = folder / "chapters" / published.name
        if not own.exists() or own.read_bytes() != published.read_bytes():
            published.unlink()


def _write_json(path, content):
    with atomic(path) as file:
        file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
