"""The run folder as a notebook sees it: checked parameters in, files in and out."""

import contextlib
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accent_book.runs import notebooks, parameters
from accent_book.runs.earlier import ensure
from accent_book.runs.lock import ELSEWHERE, alone
from accent_book.runs.profiles import profile_of_run
from accent_book.runs.ratings import located_settings
from accent_book.runs.tables import read_table
from accent_lib import gate
from accent_lib.errors import AccentError
from accent_lib.files import atomic, reason
from accent_lib.provenance import plain

if TYPE_CHECKING:
    import pandas

#: What files hold that notebooks read of each other.
NEEDS = {
    "data.json": {"dataset": str, "settings": dict, "fingerprint": str},
    "verified.json": {"users": list},
    **dict.fromkeys(("ncf_training.json", "rcf_training.json", "recipes.json"), {}),
}


def begin(notebook, namespace) -> "Run":
    """Check a notebook's parameters and open its run folder; called by the code cell after the parameters.

    Parameters
    ----------
    notebook : str
        The notebook's name, such as ``"02_training"``.
    namespace : dict
        The notebook's ``globals()``. An integer given for a float becomes one there, and a relative
        path becomes absolute.

    Returns
    -------
    Run
        The folder, and everything to read and write in it.

    Raises
    ------
    AccentError
        If papermill passed an unknown name, if a value has the wrong type or is impossible, or if the runner
        is at work in the run folder.

    Notes
    -----
    Only the cell that papermill injects is searched for unknown names; variables of a live notebook are free.

    Examples
    --------
    >>> run = begin("01_data", {
    ...     "run": "mine", "dataset": "sample", "data_home": "", "items": "", "columns": "", "noun": "film",
    ...     "verb": "rated", "positive_at": 3, "min_positive": 10, "min_negative": 10, "min_ratings": 1,
    ...     "holdout": 0.2,
    ... })
    >>> run.settings["positive_at"], run.folder.name
    (3.0, 'mine')
    """
    declared, injected = _declared(notebook, namespace)
    for name in injected:
        if name not in declared:
            others = (other.name for other in notebooks.all_notebooks() if name in other.parameters)
            raise parameters.unknown(name, declared, notebook, next(others, ""))
    settings = {}
    for name, parameter in declared.items():
        if name not in namespace:
            raise AccentError(f"{notebook}: {name} is not set; run the parameters cell first.")
        value = namespace[name]
        if isinstance(getattr(value, "settings", None), dict):  # `run = begin(…)` run a second time
            value = value.settings.get(name, value)
        settings[name] = parameter.check(value, notebook)
        if settings[name] is not value:
            namespace[name] = settings[name]
    _absolute_paths(settings, namespace)
    if not os.environ.get("ACCENT_RUNNER"):  # by hand, and so not while the runner is at work in the folder
        folder = notebooks.run_folder(settings.get("run", "sample"), notebook)
        with alone(folder, f"begins {notebook}", elsewhere=ELSEWHERE):
            pass
    _display(parameters.described(declared, settings))
    return Run(notebook, settings)


def _display(table):
    """Show the parameters in the notebook that begins; elsewhere nothing."""
    shell = sys.modules.get("IPython")
    if shell is not None and shell.get_ipython() is not None:
        caption = "Parameters of this page, in the folded cell above, and what they are in this run."
        # Not as it is: the name and the address that pandas shows of it are others in every run.
        page = table.style.set_uuid("parameters").hide(axis="index").set_caption(caption).to_html()
        shell.display.display({"text/html": page, "text/plain": table.to_string(index=False)}, raw=True)


def _declared(notebook, namespace):
    """Parameters from the cell that was run, else from the notebook's file; the names papermill injected."""
    cells = [cell for cell in namespace.get("In", []) if isinstance(cell, str)]
    for position in range(len(cells) - 1, -1, -1):
        if "# type:" not in cells[position]:
            continue
        try:
            declared = parameters.parse(cells[position], notebook)
        except AccentError:
            continue  # another cell that happens to mention types
        injected = [cell for cell in cells[position + 1 :] if cell.startswith("# Parameters\n")]
        return declared, parameters.assigned(injected[-1]) if injected else []
    for candidate in notebooks.all_notebooks():
        if candidate.name == notebook and candidate.parameters:
            return candidate.parameters, []
    raise AccentError(f"{notebook}: no parameters cell was found; run the cell of parameters, then this one.")


def _absolute_paths(settings, namespace):
    """Notebooks run in other working directories: what was given relatively holds where it was given."""
    for name, path in located_settings(settings).items():
        settings[name] = namespace[name] = path
    for name in ("data_home", "certificates"):
        if settings.get(name):
            settings[name] = namespace[name] = notebooks.absolute(settings[name])
    if os.environ.get("ACCENT_DATA_HOME"):
        os.environ["ACCENT_DATA_HOME"] = notebooks.absolute(os.environ["ACCENT_DATA_HOME"])


class Run:
    """A run folder, seen from one notebook.

    Parameters
    ----------
    notebook : str
        The notebook's name.
    settings : dict
        Its parameters; ``settings["run"]`` names the folder (``"sample"`` if there is none).

    Attributes
    ----------
    name, notebook : str
        Of the run and of the notebook.
    folder : Path
        ``runs/<name>``, made if need be.
    settings : dict
        The notebook's parameters, also written to ``settings/<notebook>.json`` in the folder.

    Raises
    ------
    AccentError
        If the run's name is not a plain name or its folder cannot be written.

    Examples
    --------
    >>> run = Run("01_data", {"run": "mine"})
    >>> run.write_json("notes.json", {"dataset": "sample"})
    >>> run.read_json("notes.json")
    {'dataset': 'sample'}
    >>> run.need("ncf.npz")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: ncf.npz is missing in the run folder ...: notebook 02_training makes it...
    """

    def __init__(self, notebook, settings):
        self.notebook = notebook
        self.settings = settings
        self.name = settings.get("run", "sample")
        self.folder = notebooks.run_folder(self.name, notebook)
        self._start = time.perf_counter()
        try:
            self.write_json(f"settings/{notebook}.json", settings)
        except AccentError as error:
            raise AccentError(
                f"The run folder {self.folder} cannot be written ({reason(error.__cause__)}); {ELSEWHERE}."
            ) from None

    def __repr__(self):
        return f"Run({self.name!r}, notebook={self.notebook!r})"

    def path(self, name) -> Path:
        """Where to make a file, in a folder that exists; write it through `accent_lib.files.atomic`."""
        path = notebooks.inside(self.folder, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AccentError(f"{path.parent} cannot be written ({reason(error)}); {ELSEWHERE}.") from error
        return path

    def need(self, name) -> Path:
        """Where a file made by an earlier notebook lies.

        Raises
        ------
        AccentError
            If it is missing: names the notebook that makes it and the command.
        """
        path = notebooks.inside(self.folder, name)
        if path.exists():
            return path
        maker = notebooks.maker(name)
        if maker is None:
            raise AccentError(f"{name} is missing in the run folder {self.folder}, and no notebook makes it.")
        raise AccentError(f"{name} is missing in the run folder {self.folder}: {self._advice(maker)}")

    def _advice(self, maker):
        profile = profile_of_run(self.name)
        if profile:
            how = f"python -m accent_book run --profile {profile} --upto {maker.number}"
        else:
            how = f"papermill notebooks/{maker.name}.ipynb out.ipynb -p run {self.name}"
        return f"notebook {maker.name} makes it; run `{how}` in the project's folder."

    def setting(self, notebook, name) -> Any:
        """Value that a parameter of an earlier notebook of this run had.

        Raises
        ------
        AccentError
            If that notebook has not been run, or has no such parameter.
        """
        path = self.folder / "settings" / f"{notebook}.json"
        if not path.exists():
            makers = [n for n in notebooks.all_notebooks() if n.name == notebook]
            advice = self._advice(makers[0]) if makers else f"there is no notebook {notebook}."
            raise AccentError(f"The settings of {notebook} are missing in {self.folder}: {advice}")
        settings = self.read_json(f"settings/{notebook}.json")
        if name not in settings:
            raise parameters.unknown(name, settings, notebook)
        return settings[name]

    def ensure(self, upto) -> None:
        """Make what is missing in this folder of notebooks 1 to `upto`; see `accent_book.runs.ensure`."""
        ensure(profile_of_run(self.name), upto, folder=self.name, models=self._models())

    def _models(self):
        """Recommenders that this notebook needs: its own, those that it is asked for, or those of the run."""
        for source in notebooks.all_notebooks():
            if source.name == self.notebook and source.model:
                return [source.model]
        settings = [self.settings, *map(self.read_json, self._recorded())]
        return next((own["models"] for own in settings if "models" in own), None)

    def _recorded(self):
        return sorted(f"settings/{path.name}" for path in (self.folder / "settings").glob("[0-9]*.json"))

    def log(self, message) -> None:
        """Print a line with the seconds since the notebook began, and append it to ``log.txt``."""
        print(f"{time.perf_counter() - self._start:8.1f} s  {message}", flush=True)
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {self.notebook}: {message}\n"
        # A full disk is told of by what cannot be done without.
        with contextlib.suppress(OSError), open(self.path("log.txt"), "a", encoding="utf-8") as log:
            log.write(line)

    def write_json(self, name, content) -> None:
        """Write JSON atomically; NumPy scalars become numbers."""
        with atomic(self.path(name)) as file:
            file.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=plain) + "\n", "utf-8")

    def read_json(self, name) -> Any:
        """Read JSON that an earlier notebook wrote; a missing file is the error of `need`."""
        needs = NEEDS.get(name, {} if name.startswith("settings/") else None)
        return gate.read_json(self.need(name), needs, "run the notebook that makes it again")

    def kept(self, name, fingerprint, make) -> list:
        """Read the rows of a JSON file; with another fingerprint, or without the file, make and keep them.

        Parameters
        ----------
        name : str
            File in the run folder.
        fingerprint : str
            Of everything that the rows depend on.
        make : callable
            Returns the rows.
        """
        found = self.read_json(name) if self.path(name).exists() else {}
        if found.get("fingerprint") != fingerprint or "rows" not in found:
            found = {"fingerprint": fingerprint, "rows": list(make())}
            self.write_json(name, found)
        return found["rows"]

    def write_csv(self, name, frame) -> None:
        """Write a data frame atomically, without its index; floats read back exactly."""
        from accent_lib.retraining.cells import to_text

        with atomic(self.path(name)) as file:
            to_text(frame).to_csv(file, index=False)

    def read_csv(self, name) -> "pandas.DataFrame":
        """Read a table that an earlier notebook wrote; a missing file is the error of `need`.

        Parameters
        ----------
        name : str
            File in the run folder.

        Returns
        -------
        DataFrame
            With sets and scores as tuples; ``world`` and ``reason`` are text, where nothing is an empty one.
        """
        return read_table(self.need(name))
