"""An account of a run for the book's status page: what made the chapters, without this machine's paths."""

import hashlib
import json
from pathlib import Path

from accent_book.runner.plan import plan
from accent_book.runs.notebooks import read_json, read_records
from accent_book.runs.sources import sources_of_notebooks
from accent_lib.files import atomic
from accent_lib.gate import read_csv

#: Lies beside the chapters, so that the book knows whose they are.
ACCOUNT = Path("book", "chapters", "account.json")
#: Parameters that may name a folder or a host of the machine.
PRIVATE = ("data_home", "scheduler", "certificates")
OF_A_CHAPTER = ("date", "commit", "dirty", "device", "cpu", "versions", "seconds", "peak_memory")


def publish_account(profile, root) -> None:
    """Write beside the chapters of the book what made them.

    Parameters
    ----------
    profile : str
        Its name; what of it is in the book is looked up.
    root : Path
        The project's folder.
    """
    chapters = plan(profile, root=root)
    folder = chapters[0].folder
    records, data = read_records(folder), read_json(folder / "data.json", {"fingerprint": str}) or {}
    done = [chapter for chapter in chapters if chapter.name in records and chapter.output.exists()]
    content = account(profile, done, records, data, root)
    with atomic(root / ACCOUNT) as file:
        file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def account(profile, chapters, records, data, root) -> dict:
    """Gather what the status page tells of a run.

    Parameters
    ----------
    profile : str
    chapters : list of Chapter
        Those in the book, at least one.
    records : dict
        ``provenance.json`` of the run folder.
    data : dict
        ``data.json`` of the run folder, empty if there is none.
    root : Path
        The project's folder, which holds ``requirements.lock``.

    Returns
    -------
    dict
        ``profile``, ``run``, ``fingerprints`` and ``chapters``, each with its time, memory, versions, commit,
        and the parameters that differ from the notebook's defaults.
    """
    lock = root / "requirements.lock"
    return {
        "profile": Path(profile).stem if profile.endswith(".yaml") else profile,
        "run": chapters[0].folder.name,
        "fingerprints": {
            "library": sources_of_notebooks(),
            "data": data.get("fingerprint", "")[:16],
            "lock": hashlib.sha256(lock.read_bytes()).hexdigest()[:16] if lock.exists() else "",
        },
        "chapters": [
            {
                "name": chapter.name,
                **{name: records[chapter.name][name] for name in OF_A_CHAPTER},
                "changed": {
                    name: _without_folder(chapter.settings[name])
                    for name, parameter in chapter.notebook.parameters.items()
                    if name not in PRIVATE and chapter.settings[name] != parameter.default
                },
            }
            for chapter in chapters
        ],
    }


def _without_folder(value):
    """A file of the reader's own says no more than its name."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def committed_tables(folder) -> list[dict]:
    """Provenance of the committed tables.

    Parameters
    ----------
    folder : Path
        Such as ``data/results``.

    Returns
    -------
    list of dict
        ``name`` (``"ncf-paper/outcomes-0"``), ``seeds`` (list), ``rows`` and ``seconds`` of work (``None``
        where they were not recorded), ``commit``, ``dirty``, ``date``, ``device`` and ``cpu``, one for each
        table that has a provenance.
    """
    tables = []
    for path in sorted(folder.glob("*/*.json")):
        about = read_json(path)
        made = about.get("provenance", about) if isinstance(about, dict) else {}
        if not isinstance(made, dict) or not made.keys() >= {"commit", "dirty", "date", "device", "cpu"}:
            continue
        tables.append(
            {
                "name": path.relative_to(folder).with_suffix("").as_posix(),
                "seeds": about.get("seeds", []),
                "rows": about.get("rows"),
                "seconds": _seconds(path, about),
                **{name: made[name] for name in ("commit", "dirty", "date", "device", "cpu")},
            }
        )
    return tables


def _seconds(path, about):
    """Work behind a table: what its program noted, else the sum over its retrainings."""
    noted = about.get("seconds", about.get("seconds_of_this_command"))
    table = path.with_suffix(".csv.gz")
    if noted is not None or not table.exists():
        return noted
    return float(read_csv(table, {"seconds": "number"}, ["seconds"], "export it again")["seconds"].sum())
