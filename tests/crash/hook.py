"""What is done to files below a folder, by this process and its children: noted, and ended at one of them.

Python's audit events tell of opening, renaming, removing and making folders before they happen; ``os.fsync``
and ``sqlite3.connect`` are wrapped, for SQLite says each statement that it begins.  What it does within one
is its own.
"""

import errno
import os
import signal
import sqlite3
import sys
import threading

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Positions of the paths in the arguments of an audit event, and of the folders that they are relative to.
EVENTS = {
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.truncate": ((0, None),),
}
#: What needs room on the disk.
GROWS = ("open", "os.mkdir", "fsync")


def install(below: str, log: str, at: int = 0, fault: str = "kill") -> None:
    """Note operations in a log, one a line; at that of number `at`, from 1, the fault.

    ``kill`` ends this process and all that descend from the one that began, as a power cut does. ``full``
    lets nothing grow from there on.
    """
    file = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    first = int(os.environ.setdefault("ACCENT_FAULT_FIRST", str(os.getpid())))
    lock, inside = threading.Lock(), threading.local()

    def note(kind, *paths):
        paths = [os.path.abspath(os.fsdecode(path)) for path in paths]
        if not any(path.startswith(below) for path in paths):
            return
        with lock:  # the file's position after writing is the end of this very line
            os.write(file, (" ".join([str(os.getpid()), kind, *map(repr, paths)]) + "\n").encode())
            end = os.lseek(file, 0, os.SEEK_CUR)
        number = os.pread(file, end, 0).count(b"\n")
        if fault == "kill" and number == at:
            end_all(first)
        if fault == "full" and at and number >= at and kind in GROWS:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), paths[-1])

    def hook(event, arguments):
        if getattr(inside, "busy", False):
            return
        inside.busy = True
        try:
            if event == "open":
                path, mode, flags = arguments
                if isinstance(path, str | bytes | os.PathLike) and flags & WRITES:
                    note("open", path)
            elif event in EVENTS:
                note(event, *(whole(arguments, *places) for places in EVENTS[event]))
        finally:
            inside.busy = False

    def begun(path, statement):
        if statement.split()[0] not in ("SELECT", "PRAGMA"):
            note(f"sqlite:{statement.split()[0]}", path)

    fsync = os.fsync

    def noted_fsync(opened):
        inside.busy = True
        try:
            note("fsync", path_of(opened))
        finally:
            inside.busy = False
        fsync(opened)

    connect = sqlite3.connect

    def noted_connect(path, *arguments, **options):
        connection = connect(path, *arguments, **options)
        connection.set_trace_callback(lambda statement: begun(path, statement))
        return connection

    os.fsync, sqlite3.connect = noted_fsync, noted_connect
    sys.addaudithook(hook)


def whole(arguments, place, folder):
    """A path of an audit event, with the folder that it is relative to."""
    path = arguments[place] if not isinstance(arguments[place], int) else path_of(arguments[place])
    opened = -1 if folder is None else arguments[folder]
    return path if opened == -1 else os.path.join(path_of(opened), os.fsdecode(path))


def path_of(opened):
    """Path of an open file or folder."""
    return os.readlink(f"/proc/self/fd/{opened}")


def end_all(first: int) -> None:
    """Kill the process that began, and its descendants, this one last."""
    children, everybody = {}, [first]
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                children.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(name))
        except OSError:
            pass
    for process in everybody:
        everybody += children.get(process, [])
    for process in everybody:
        if process != os.getpid():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
    os.kill(os.getpid(), signal.SIGKILL)
