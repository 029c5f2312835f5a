"""How far long work has come: lines of the log in a page that is rendered, a bar where somebody watches."""

import os
import sys
import time
from collections.abc import Callable


def watched() -> bool:
    """Whether a person sees the output as it appears: a terminal, or a notebook open in Jupyter."""
    # Jupyter's server sets this variable for a notebook's kernel; papermill starts kernels without a server.
    live = sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ
    return live and not os.environ.get("ACCENT_RUNNER")


def progress(run, what, bar=None) -> Callable[[int, int], None]:
    """Make a callback that shows how far some work has come.

    Parameters
    ----------
    run : Run
        Whose log gets a line at each call, if there is no bar.
    what : str
        What is counted, such as ``"retrainings"``.
    bar : bool, optional
        Whether to show a tqdm bar; by default where somebody is watching.

    Returns
    -------
    callable
        ``report(done, total)``. The first call tells what was there at the start; rate and time left count
        from it.
    """
    shown, begin, first = None, 0.0, None

    def report(done, total):
        nonlocal shown, begin, first
        if first is None:
            begin, first = time.perf_counter(), done
            if watched() if bar is None else bar:
                from tqdm import tqdm  # the plain one: its widget would need a script from the network

                shown = tqdm(total=total, initial=done, unit=f" {what}")
        if shown is not None:
            shown.update(done - shown.n)
            if done >= total:
                shown.close()
            return
        line = f"{done:,} of {total:,} {what}"
        if done > first:
            rate = (done - first) / (time.perf_counter() - begin)
            line += f", {rate:.1f} a second, {(total - done) / rate:.0f} s left"
        run.log(line)

    return report
