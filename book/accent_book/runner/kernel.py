"""Run one notebook with papermill, in this very interpreter whatever kernels the machine has."""

import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accent_book.runs.notebooks import search_path
from accent_lib.errors import AccentError

KERNEL = "accent-lib-run"


@contextmanager
def kernel(variables=None) -> Iterator[str]:
    """Make a kernel of this interpreter known to papermill for as long as the block lasts.

    Parameters
    ----------
    variables : dict of str to str, optional
        Environment variables of the notebooks, over those that every run sets: the packages importable, one
        thread a process, no user's IPython start-up files.

    Yields
    ------
    str
        The kernel's name.
    """
    with tempfile.TemporaryDirectory(prefix="accent-") as folder:
        environment = {
            "PYTHONPATH": search_path(),
            "OMP_NUM_THREADS": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "IPYTHONDIR": str(Path(folder) / "ipython"),
            **(variables or {}),
        }
        spec = Path(folder) / "kernels" / KERNEL
        spec.mkdir(parents=True)
        # Of an interruption the kernel logs a traceback, which is no error of its own.
        command = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--log-level=CRITICAL",
        ]
        spec.joinpath("kernel.json").write_text(
            json.dumps(
                {"argv": command, "display_name": "Python 3", "language": "python", "env": environment}
            ),
            "utf-8",
        )
        changed = {
            "JUPYTER_PATH": os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")])),
            "JUPYTER_RUNTIME_DIR": folder,  # where the home folder cannot be written
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield KERNEL
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def execute(source, target, parameters, kernel_name, root, log=None) -> int:
    """Execute a notebook.

    Parameters
    ----------
    source, target : Path
        The notebook, and where to write it executed; on an error, as far as it got.
    parameters : dict
        Values to inject; none: the notebook's own stand.
    kernel_name : str
        From `kernel`.
    root : Path
        Working directory of the notebook.
    log : Path, optional
        File whose new lines about this notebook are shown while it runs.

    Returns
    -------
    int
        Highest memory of the kernel and its children seen, in bytes.

    Raises
    ------
    AccentError
        If a cell fails or the kernel dies: notebook, cell, first line and error.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError

    # What fails comes as an exception. An interruption leaves tasks of nbclient that nobody waits for any
    # more; where the kernel died of it, they would be told with a traceback.
    for name in ("asyncio", "papermill"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="accent-") as folder, _watch(log, source.stem) as peak:
        # papermill takes braces in a path for parameters, so it gets short names of its own.
        given, made = Path(folder) / "in.ipynb", Path(folder) / "out.ipynb"
        given.write_bytes(source.read_bytes())
        failure = None
        try:
            papermill.execute_notebook(
                given,
                made,
                parameters=parameters,
                kernel_name=kernel_name,
                language="python",
                cwd=root,
                progress_bar=False,
            )
        except papermill.PapermillExecutionError as error:
            failure = _failure(error, source, bool(parameters))
        except DeadKernelError:
            failure = f"{source.stem}: the process that ran the notebook died, perhaps for want of memory."
        if made.exists():
            content = nbformat.read(made, as_version=4)
            _clean(content, source)
            nbformat.write(content, target)
    if failure:
        raise AccentError(failure)
    return peak[0]


def _failure(error, source, injected):
    """Say where it failed, counting cells as in the source, which has no injected one."""
    import nbformat

    first_line = next((line for line in error.source.splitlines() if line.strip()), "")
    cells = [cell.source for cell in nbformat.read(source, as_version=4).cells]
    number = cells.index(error.source) + 1 if error.source in cells else error.cell_index + 1 - injected
    return f"{source.stem}, cell {number} ({first_line.strip()!r}): {error.ename}: {error.evalue}"


def _clean(content, source):
    """Take this machine's paths out of the executed notebook, and let it open anywhere."""
    for name in ("input_path", "output_path", "environment_variables"):
        content.metadata.get("papermill", {}).pop(name, None)
    content.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}


@contextmanager
def _watch(log, notebook):
    """Echo what is logged about a notebook and sample the memory of this process's children, by a thread."""
    import psutil

    peak, stop = [0], threading.Event()
    position = log.stat().st_size if log and log.exists() else 0

    def look():
        nonlocal position
        used = 0
        for child in psutil.Process().children(recursive=True):
            try:
                used += child.memory_info().rss
            except psutil.Error:
                pass  # it has just ended
        peak[0] = max(peak[0], used)
        if log and log.exists():
            with open(log, encoding="utf-8", errors="replace") as file:
                file.seek(position)
                for line in file:
                    if f" {notebook}: " in line:
                        print("   ", line.rstrip(), flush=True)
                position = file.tell()

    def loop():
        while not stop.wait(0.5):
            look()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        look()
