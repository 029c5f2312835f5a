"""Run the notebooks of a profile, each when those that it follows are done, and skip what is up to date."""

import json
import multiprocessing
import os
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import nbformat

from accent_book.publish.page import publish_explorer
from accent_book.runner.account import ACCOUNT, publish_account
from accent_book.runner.kernel import execute, kernel
from accent_book.runner.plan import plan
from accent_book.runs import notebooks
from accent_book.runs.lock import ELSEWHERE, alone
from accent_book.runs.notebooks import read_records, short
from accent_book.runs.origin import provenance
from accent_lib.errors import AccentError
from accent_lib.files import atomic
from accent_lib.parallel import end_with_parent
from accent_lib.provenance import plain

#: Notebooks that are run side by side, where one does not follow from another.
LANES = 2


def run(profile="sample", upto=None, force=False) -> list[str]:
    """Execute the notebooks of a profile into ``book/chapters``, but for those that are up to date.

    Parameters
    ----------
    profile : str
        Name of a file in ``notebooks/profiles``, or a path that ends in ``.yaml``.
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
        If the profile is wrong, another process is at work in the book or the run folder, or at the first
        cell that fails.
    """
    root = notebooks.project_root()
    if profile.endswith(".yaml"):  # which later finds it, from whatever folder
        profile = notebooks.absolute(profile)
    chapters = plan(profile, upto, root)
    folder, work = chapters[0].folder, f"runs the profile {profile}"
    with alone(root / "book", work), alone(folder, work, elsewhere=ELSEWHERE):
        return _run(chapters, profile, force, root)


def _run(chapters, profile, force, root):
    folder = chapters[0].folder
    _unpublish_others(root, folder)
    count = f"{len(chapters)} notebook" + "s" * (len(chapters) != 1)
    print(f"Profile {profile}: {count}, run folder {short(folder, root)}", flush=True)
    variables = {"ACCENT_RUNS": str(notebooks.runs_folder()), "ACCENT_RUNNER": "1"}
    if os.environ.get("ACCENT_DATA_HOME"):
        variables["ACCENT_DATA_HOME"] = notebooks.absolute(os.environ["ACCENT_DATA_HOME"])
    executed = []
    with kernel(variables) as kernel_name, _lanes(len(chapters)) as executor:
        waiting, running, done, failure = list(chapters), {}, set(), None
        while waiting or running:
            ready = [chapter for chapter in waiting if chapter.follows <= done]
            for chapter in ready[: LANES - len(running)]:
                waiting.remove(chapter)
                records = read_records(folder)
                reason = "forced" if force else chapter.outdated(records)
                if not reason:
                    print(f"  {chapter.name}: up to date", flush=True)
                    _publish(chapter)
                    done.add(chapter.name)
                    continue
                print(f"  {chapter.name}: running ({reason})", flush=True)
                # Whatever happens from here on, this notebook and what follows from it are not up to date.
                stale = {c.name for c in chapters if chapter.name in {c.name, *c.follows}}
                records = {name: record for name, record in records.items() if name not in stale}
                _write_json(folder / "provenance.json", records)
                running[executor.submit(_execute, chapter, kernel_name, root, profile)] = chapter
            for finished in wait(running, return_when=FIRST_COMPLETED).done:
                chapter = running.pop(finished)
                try:
                    record = finished.result()
                except (AccentError, BrokenProcessPool) as error:
                    # What runs beside it may end; nothing else is begun.
                    failure, waiting = failure or _sentence(error, chapter), []
                    continue
                records = read_records(folder)
                _write_json(folder / "provenance.json", {**records, chapter.name: record})
                memory = record["peak_memory"] / 2**20
                print(f"  {chapter.name}: done in {record['seconds']:.1f} s, {memory:.0f} MiB", flush=True)
                executed.append(chapter.name)
                done.add(chapter.name)
                _publish(chapter)
    if failure:
        raise failure
    print(f"Executed notebooks are in {short(root / 'book' / 'chapters', root)}.", flush=True)
    _publish_left_out(profile, root)
    publish_account(profile, root)
    publish_explorer(folder, root)
    return executed


def _lanes(chapters):
    """Processes in each of which one notebook after the other is run."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(min(LANES, chapters), spawn, initializer=end_with_parent)


def _sentence(error, chapter):
    if isinstance(error, AccentError):
        return error
    return AccentError(f"{chapter.name}: the process that ran the notebook was killed.")


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


def _publish_left_out(profile, root):
    """In the place of chapters about a recommender that the run is without: that it is."""
    run = {chapter.name for chapter in plan(profile, root=root)}
    for notebook in notebooks.all_notebooks(root):
        if notebook.name not in run:
            title = next(text for kind, _, text in notebook.cells if kind == "markdown").partition("\n")[0]
            text = f"{title}\n\nThis run (`{profile}`) leaves {notebook.model.upper()} out of its `models`."
            page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
            with atomic(root / "book" / "chapters" / notebook.path.name) as file:
                nbformat.write(page, file)


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
