"""Profiles: flat YAML files of ``parameter: value`` that set up all notebooks for one purpose."""

from pathlib import Path

from accent_book.runs import notebooks, parameters
from accent_book.runs.ratings import located
from accent_lib.errors import AccentError


def profile_names(root=None) -> list[str]:
    """Names of the profiles there are, sorted.

    Examples
    --------
    >>> "sample" in profile_names()
    True
    """
    folder = (root or notebooks.project_root()) / "notebooks" / "profiles"
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_profile(profile, root=None) -> dict[str, dict]:
    """Read a profile and check it against the notebooks' parameters.

    Parameters
    ----------
    profile : str
        Name of a file in ``notebooks/profiles``, without suffix, or path of any other that ends in ``.yaml``.
    root : Path, optional
        The project's folder.

    Returns
    -------
    dict of str to dict
        For each notebook's name all of its parameters, in the order of the notebooks: the profile's value,
        else the notebook's default.

    Raises
    ------
    AccentError
        If there is no such profile, if it is not a flat mapping, or if a name is unknown to every notebook or
        a value does not fit.

    Examples
    --------
    >>> load_profile("ml-100k")["01_data"]["dataset"]
    'ml-100k'
    """
    root = root or notebooks.project_root()
    path, values = _path(profile, root), _read(profile, root)
    values = {"run": run_name(profile, root), **values}
    for name in ("dataset", "items"):
        if isinstance(values.get(name), str):
            values[name] = located(values[name], path.parent, root)
    sources = notebooks.all_notebooks(root)
    if not sources:
        raise AccentError(f"There are no notebooks in {root / 'notebooks'}; work in a clone of the project.")
    where = notebooks.short(path, root)
    for source in sources:
        if "run" not in source.parameters:
            raise AccentError(f"{source.name}: the parameters cell lacks run, the name of the run folder.")
    known = {name for source in sources for name in source.parameters}
    for name in values:
        if name not in known:
            raise parameters.unknown(name, sorted(known), where)
    settings = {}
    for source in sources:
        settings[source.name] = {
            name: parameter.check(values[name], where) if name in values else parameter.default
            for name, parameter in source.parameters.items()
        }
    return settings


def _path(profile, root):
    """Where a profile lies: anywhere if it is given as a path, else among those of the project."""
    if profile.endswith(".yaml"):
        return Path(profile).expanduser().absolute()
    return root / "notebooks" / "profiles" / f"{profile}.yaml"


def _read(profile, root):
    import yaml

    path = _path(profile, root)
    if not path.is_file():
        there_are = ", ".join(profile_names(root)) or "none"
        where = "at that place" if profile.endswith(".yaml") else "in notebooks/profiles"
        raise AccentError(f"There is no profile {profile!r} {where}; there are: {there_are}.")
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise AccentError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise AccentError(f"{path} must hold one `parameter: value` a line.")
    return values


def run_name(profile, root=None) -> str:
    """Name of the run folder that a profile fills: its parameter ``run``, else its own name.

    Raises
    ------
    AccentError
        If the profile lies elsewhere and would fill the folder of one of the project's.
    """
    root = root or notebooks.project_root()
    path = _path(profile, root)
    name = str(_read(profile, root).get("run", path.stem))
    if path.parent != root / "notebooks" / "profiles" and name in profile_names(root):
        raise AccentError(
            f"{profile} would fill the run folder {name!r}, which is that of a profile of the project: give "
            "it another name, or say `run: another` in it."
        )
    return name


def profile_of_run(run) -> str | None:
    """Profile that fills a run folder, or ``None``; one that lies elsewhere is known from its last run."""
    for profile in profile_names():
        try:
            if run_name(profile) == run:
                return profile
        except AccentError:  # a profile that cannot be read does not hide the message about another
            continue
    records = notebooks.read_json(notebooks.runs_folder() / run / "provenance.json") or {}
    used = sorted({record.get("profile", "") for record in records.values()})
    return next((path for path in used if Path(path).is_absolute() and Path(path).is_file()), None)
