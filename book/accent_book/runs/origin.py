"""Where a result comes from: a record of the code, the libraries and the machine that made it."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from accent_lib.provenance import PACKAGE

LIBRARIES = ("torch", "numpy", "pandas", "scipy", "statsmodels", "papermill")


def provenance(**extra) -> dict:
    """Describe the code, the libraries and the machine that make a result.

    Parameters
    ----------
    **extra
        Anything to be recorded beside them.

    Returns
    -------
    dict
        ``commit`` (``None`` outside a repository) and ``dirty`` (uncommitted changes, those of result tables
        apart; ``None`` if unknown),
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
        # A long run rewrites its own tables as it goes on.
        changed = git("status", "--porcelain", "--", ":/", ":(top,exclude)data/results")
        return git("rev-parse", "HEAD"), bool(changed)
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
