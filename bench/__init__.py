"""Benchmarks, `make bench`: speed as ratios measured side by side in one run; tests never time anything.

Ways of doing the same work take turns, so that a machine that slows down slows all of them.  A ratio is the
median of the turns' ratios, and its spread the smallest and the largest of them.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from accent_book.runs import runs_folder
from accent_book.runs.origin import provenance
from accent_lib.files import atomic

#: Turns of each way.
REPEATS = 5
#: Processors that others keep busy, and share of the time that the host takes, from which on timings are off.
BUSY, STOLEN = 0.1, 0.02


def in_turns(ways, repeats):
    """Seconds of each way, which take turns: ``{name: [seconds of each turn]}`` of ``{name: function}``."""
    seconds = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def ratio(seconds, reference):
    """How many times as long a way takes as the reference, turn by turn: the median and the spread."""
    ratios = np.divide(seconds, reference)
    return {"ratio": float(np.median(ratios)), "spread": [float(ratios.min()), float(ratios.max())]}


class Machine:
    """What else runs on the machine: watched for a second before a measurement, and during it."""

    def __init__(self):
        begin = _ticks()
        time.sleep(1)
        self._start = _ticks()
        self.before = _others(begin, self._start)

    def record(self):
        """Processors that others kept busy and the share that the host took, before and during."""
        during = _others(self._start, _ticks())
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        record = {"load_average": load, "before": self.before, "during": during, "warning": None}
        disturbed = [
            f"{when} it, others kept {watched['others']:.1f} processors busy and the host took"
            f" {watched['stolen']:.0%} of the time"
            for when, watched in (("before", self.before), ("during", during))
            if watched and (watched["others"] > BUSY or watched["stolen"] > STOLEN)
        ]
        if disturbed:
            record["warning"] = "The machine was busy: " + "; ".join(disturbed) + "."
        return record


def _ticks():
    """Seconds of all processors that were busy, that the host took, and of this process; and the time."""
    try:
        fields = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return None  # not on Linux
    user, nice, system, _, _, interrupts, soft, stolen = (int(f) / os.sysconf("SC_CLK_TCK") for f in fields)
    own = sum(os.times()[:4])
    return np.array([user + nice + system + interrupts + soft, stolen, own, time.perf_counter()])


def _others(begin, end):
    if begin is None:
        return None
    busy, stolen, own, seconds = end - begin
    return {"others": float(max(0, busy - own) / seconds), "stolen": float(stolen / seconds / os.cpu_count())}


def write(name, result, machine, **versions):
    """Write ``runs/bench/NAME.json`` with where it comes from, and warn where the machine was busy."""
    result = result | {"machine": machine.record(), "provenance": provenance(**versions)}
    with atomic(runs_folder() / "bench" / f"{name}.json") as path:
        path.write_text(json.dumps(result, indent=1, default=str))
    if result["machine"]["warning"]:
        print(f"Warning: {result['machine']['warning']} Measure again when it is idle.", file=sys.stderr)
