"""Run command lines in forks of this process, which has imported what takes long."""

import importlib
import json
import os
import runpy
import sys
import traceback

import hook

PRELOADED = [
    "papermill",
    "torch",
    "accent_book.publish.slides",
    "accent_book.runner.run",
    "accent_book.runs.results",
    "accent_lib.retraining.verification",
]


def become(task):
    """In a fork: go to a folder, count operations there, and be the command line."""
    os.chdir(task["folder"])
    for number, path in enumerate((os.devnull, *task["said"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.environ["ACCENT_FAULT"] = json.dumps(task["fault"])
    hook.install(**task["fault"])
    _, *sys.argv = task["arguments"]  # -m
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1


def serve():
    """Do one task after another, as lines of JSON, and answer each with its exit status."""
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = become(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
