"""Tell what a run folder holds."""

import platform
import sqlite3
from contextlib import closing

import psutil

from accent_book.runner.plan import plan
from accent_book.runs import notebooks
from accent_book.runs.notebooks import read_records, short
from accent_book.runs.profiles import profile_names


def status(profile="sample") -> None:
    """Print what the run folder of a profile holds.

    Parameters
    ----------
    profile : str
        Name of a file in ``notebooks/profiles``.

    Raises
    ------
    AccentError
        If there is no such profile.
    """
    root = notebooks.project_root()
    chapters = plan(profile, root=root)
    folder = chapters[0].folder
    print(f"Profile {profile}, run folder {short(folder, root)}, profiles: {', '.join(profile_names(root))}")
    records = read_records(folder)
    stale = set()
    for chapter in chapters:
        reason = chapter.outdated(records)
        if reason:
            line = reason
        elif chapter.follows & stale:
            line = "done, but a notebook before it will run again"
        else:
            record = records[chapter.name]
            line = f"done {record['date'][:16]} in {record['seconds']:.1f} s"
        if reason:
            stale.add(chapter.name)
        print(f"  {chapter.name:<24} {line}")
        for name in chapter.files():
            print(f"    {name:<28} {_size(folder / name)}")
    for store in sorted(folder.glob("worlds*.sqlite")):
        _store_progress(store)


def _store_progress(path):
    """Tell how far the retraining is that fills a store, and whether it is under way."""
    from accent_lib.retraining.store import WORK

    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            rows = store.execute(f"SELECT {', '.join(WORK)} FROM work").fetchall()
        if not all(isinstance(number, int | float) for row in rows for number in row[1:5]):
            raise sqlite3.DatabaseError("it is damaged")
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        cut = (
            " (its last write was cut short; the same command repairs it)" if "readonly" in str(error) else ""
        )
        print(f"  {path.name} cannot be read: {error}{cut}")
        return
    for row in rows:
        work = dict(zip(WORK, row, strict=True))
        left = work["total"] - work["done"]
        line = f"{work['done']:,} of {work['total']:,} retrainings of {work['model']} done"
        if left and _is_alive(work["driver"]):
            line += f", {work['running']:,} under way, {left - work['running']:,} waiting"
            if work["rate"]:
                line += f", about {left / work['rate'] / 60:.0f} minutes left"
        elif left:
            line += f", {left:,} left, not running; the same command goes on"
        print(f"  {path.name}: {line}")


def _is_alive(driver):
    """Whether the process that noted the work still runs; of another machine's there is no telling."""
    machine, _, process = str(driver).rpartition(":")
    return machine != platform.node() or (process.isdecimal() and psutil.pid_exists(int(process)))


def _size(path):
    size = path.stat().st_size
    power = min(size.bit_length() // 10, 3) if size else 0
    return f"{size / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
