"""Where numbers come from: fingerprints of what makes them, and a record of what made them."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
LIBRARIES = ("torch", "numpy", "pandas", "scipy", "statsmodels", "papermill")


def fingerprint(**parts) -> str:
    """Short name of everything that a result depends on.

    Parameters
    ----------
    **parts
        Numbers, text, booleans, ``None``, paths, NumPy arrays and scalars, and lists, tuples, sets and
        dictionaries of these. A tuple counts as a list; ``1`` and ``1.0`` differ.

    Returns
    -------
    str
        The first 16 hexadecimal digits of the SHA-256 of the parts as canonical JSON.

    Raises
    ------
    TypeError
        If a part is of another type, whose content could not be told apart reliably.

    Examples
    --------
    >>> fingerprint(seed=1, steps=100) == fingerprint(steps=100, seed=1)
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=plain)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def plain(part) -> str | float | list | dict:
    """Turn what JSON cannot hold into what it can: the ``default`` of ``json.dumps``.

    A path becomes text, a set a sorted list, a NumPy scalar a number, an array its type, shape and hash.

    Examples
    --------
    >>> plain(Path("runs") / "sample"), plain({3, 1})
    ('runs/sample', [1, 3])
    """
    if isinstance(part, Path):
        return part.as_posix()
    if isinstance(part, set | frozenset):
        return sorted(part)
    if hasattr(part, "tobytes") and not part.dtype.hasobject:  # an array or a scalar of NumPy
        if part.ndim == 0:
            return part.item()
        return {"array": [str(part.dtype), list(part.shape), hashlib.sha256(part.tobytes()).hexdigest()]}
    raise TypeError(f"a fingerprint cannot cover a {type(part).__name__}: {part!r:.80}")


def provenance(**extra) -> dict:
    """Describe the code, the libraries and the machine that make a result.

    Parameters
    ----------
    **extra
        Anything to be recorded beside them.

    Returns
    -------
    dict
        ``commit`` (``None`` outside a repository) and ``dirty`` (uncommitted changes; ``None`` if unknown),
        ``date`` (UTC, ISO 8601), ``versions``, ``device``, ``cpu`` (``model``, ``count``), then `extra`.

    Examples
    --------
    >>> made = provenance(seed=7)
    >>> made["seed"], made["versions"]["python"] == platform.python_version()
    (7, True)
    """
    commit, dirty = _commit()
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = None
    return {
        "commit": commit,
        "dirty": dirty,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "device": _device(),
        "cpu": {"model": _cpu_model(), "count": _cpu_count()},
        **extra,
    }


def _commit():
    def git(*arguments):
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()

    try:
        # An installed copy may lie inside somebody else's repository, whose commit says nothing about it.
        if not git("ls-files", "errors.py"):
            return None, None
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _device():
    torch = sys.modules.get("torch")  # whoever has not imported it has not computed on anything but the CPU
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "cpu"


def _cpu_model():
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cpu_count():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
