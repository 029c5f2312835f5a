"""Tell what a run folder holds."""

import sqlite3

from accent_lib.workflow import notebooks
from accent_lib.workflow.plan import plan, read_json, short
from accent_lib.workflow.profiles import profile_names


def status(profile="sample"):
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
    records = read_json(folder / "provenance.json") or {}
    stale = False
    for chapter in chapters:
        reason = chapter.outdated(records)
        if reason:
            line = reason
        elif stale:
            line = "done, but an earlier notebook will run again"
        else:
            record = records[chapter.name]
            line = f"done {record['date'][:16]} in {record['seconds']:.1f} s"
        stale = stale or bool(reason)
        print(f"  {chapter.name:<24} {line}")
        for name in chapter.files():
            print(f"    {name:<28} {_size(folder / name)}")
    for store in sorted(folder.glob("worlds*.sqlite")):
        _store_progress(store)


def _store_progress(path):
    """Count what the store of retrained worlds holds, whatever its tables are called."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
            tables = [row[0] for row in store.execute("select name from sqlite_master where type = 'table'")]
            for table in tables:
                rows = store.execute(f'select count(*) from "{table}"').fetchone()[0]
                print(f"  {path.name}: {rows:,} rows in {table}")
    except sqlite3.Error as error:
        print(f"  {path.name} cannot be read: {error}")


def _size(path):
    size = path.stat().st_size
    power = min(size.bit_length() // 10, 3) if size else 0
    return f"{size / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
