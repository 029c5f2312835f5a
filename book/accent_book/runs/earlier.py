"""Make what earlier notebooks make, for a notebook opened alone."""

import os
import subprocess
import sys

from accent_book.runs import notebooks
from accent_book.runs.profiles import run_name
from accent_lib.errors import AccentError


def ensure(profile="sample", upto=3, folder=None, models=None) -> None:
    """Make what is missing of notebooks 1 to `upto`, for a notebook opened alone.

    Nothing is done if the run folder holds every file that these notebooks make, or if the runner is at work.

    Parameters
    ----------
    profile : str
        Name of a file in ``notebooks/profiles``.
    upto : int
        Number of the last notebook whose files are needed.
    folder : str, optional
        Name of the run folder to look at; the profile's by default.
    models : list of str, optional
        Recommenders of the run; all by default.

    Raises
    ------
    AccentError
        If a notebook fails, or if no profile fills the run folder.
    """
    if os.environ.get("ACCENT_RUNNER"):
        return
    if profile is not None and profile.endswith(".yaml"):
        profile = notebooks.absolute(profile)
    name = folder or run_name(profile)
    folder = notebooks.runs_folder() / name
    sources = [notebook for notebook in notebooks.all_notebooks() if notebook.number <= upto]
    sources = [notebook for notebook in sources if notebook.is_about(models)]
    missing = [made for n in sources for made in n.makes if not any(folder.glob(made))]
    if sources and not missing:
        return
    if profile is None:
        begin = ""
        for first in [n.name for n in sources if set(n.makes) & set(missing)][:1]:
            begin = f", beginning with `papermill notebooks/{first}.ipynb out.ipynb -p run {name}`"
        raise AccentError(
            f"{missing[0] if missing else 'Everything'} is missing in {folder}, which no profile fills; "
            f"run the notebooks up to {upto} with papermill and -p run {name}{begin}."
        )
    # A process of its own: a live notebook's event loop is taken.
    command = [sys.executable, "-u", "-m", "accent_book", "run", "--profile", profile, "--upto", str(upto)]
    process = subprocess.Popen(
        command,
        cwd=notebooks.project_root(),
        env={**os.environ, "PYTHONPATH": notebooks.search_path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip() or last
    if process.wait():
        raise AccentError(f"The notebooks up to {upto} could not be run: {last}")
