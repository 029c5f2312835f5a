"""Profiles: flat YAML files of ``parameter: value`` that set up all notebooks for one purpose."""

from accent_book.runs import notebooks, parameters
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
        Name of a file in ``notebooks/profiles``, without suffix.
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
    values = {"run": profile, **_read(profile, root)}
    sources = notebooks.all_notebooks(root)
    if not sources:
        raise AccentError(f"There are no notebooks in {root / 'notebooks'}; work in a clone of the project.")
    where = f"notebooks/profiles/{profile}.yaml"
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


def _read(profile, root):
    import yaml

    if profile not in profile_names(root):
        there_are = ", ".join(profile_names(root)) or "none"
        raise AccentError(f"There is no profile {profile!r} in notebooks/profiles; there are: {there_are}.")
    path = root / "notebooks" / "profiles" / f"{profile}.yaml"
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise AccentError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise AccentError(f"{path} must hold one `parameter: value` a line.")
    return values


def run_name(profile, root=None) -> str:
    """Name of the run folder that a profile fills: its parameter ``run``, else its own name."""
    return str(_read(profile, root or notebooks.project_root()).get("run", profile))


def profile_of_run(run) -> str | None:
    """Profile that fills a run folder, or ``None``."""
    for profile in profile_names():
        try:
            if run_name(profile) == run:
                return profile
        except AccentError:  # a profile that cannot be read does not hide the message about another
            continue
    return None
