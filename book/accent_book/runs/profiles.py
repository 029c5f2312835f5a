"""Profiles: flat YAML files of ``parameter: value`` that set up all notebooks for one purpose."""

import functools
from collections import Counter
from pathlib import Path

from accent_book.runs import notebooks, parameters
from accent_book.runs.ratings import located
from accent_lib.errors import AccentError, shown
from accent_lib.files import shown_path
from accent_lib.gate import read_bytes


def profile_names(root=None) -> list[str]:
    """Names of the profiles there are, sorted.

    Examples
    --------
    >>> "sample" in profile_names()
    True
    """
    folder = (root or notebooks.project_root()) / "notebooks" / "profiles"
    return sorted(path.stem for path in folder.glob("[!.]*.yaml") if path.is_file())


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
        return Path(notebooks.absolute(profile))
    return notebooks.inside(root / "notebooks" / "profiles", f"{profile}.yaml")


def _read(profile, root):
    import yaml

    path = _path(profile, root)
    if not path.is_file():
        there_are = ", ".join(profile_names(root)) or "none"
        where = "at that place" if profile.endswith(".yaml") else "in notebooks/profiles"
        raise AccentError(f"There is no profile '{shown_path(profile)}' {where}; there are: {there_are}.")
    content = read_bytes(path, "a profile has one `parameter: value` a line", 2**16)
    try:
        values = yaml.load(content.decode("utf-8"), _loader())  # noqa: S506, a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        told = " ".join(str(error).split()) if isinstance(error, yaml.YAMLError) else "a value makes no sense"
        raise AccentError(f"{path} is not YAML: {told:.300}.") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise AccentError(f"{path} must hold one `parameter: value` a line.")
    return values


@functools.cache
def _loader():
    """What reads a profile: YAML without what a profile has no use for, and what may be read in two ways."""
    import yaml

    class Plain(yaml.SafeLoader):
        def fetch_flow_collection_start(self, token):
            if self.flow_level > 20:  # of a thousand it takes seconds to see that they do not end
                raise ValueError("lists in lists")
            super().fetch_flow_collection_start(token)

        def compose_node(self, parent, index):
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent):  # some lines of them unfold to millions
                raise yaml.composer.ComposerError(None, None, "it refers to another value", event.start_mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node, deep=False):
            names = [name for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
            times = Counter(name.value for name in names)
            for name in names:
                if times[name.value] > 1:
                    told = f"{shown(name.value)} is there twice"
                    raise yaml.constructor.ConstructorError(None, None, told, name.start_mark)
            return super().construct_mapping(node, deep)

    # A date is text, which no parameter takes for anything else.
    Plain.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Plain


def run_name(profile, root=None) -> str:
    """Name of the run folder that a profile fills: its parameter ``run``, else its own name.

    Raises
    ------
    AccentError
        If it is no plain name, or the profile lies elsewhere and would fill the folder of one of the
        project's.
    """
    root = root or notebooks.project_root()
    path = _path(profile, root)
    name = _read(profile, root).get("run", path.stem)
    notebooks.run_folder(name, notebooks.short(path, root))
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
    records = notebooks.read_records(notebooks.run_folder(run))
    used = sorted({str(record.get("profile", "")) for record in records.values()})
    return next((path for path in used if Path(path).is_absolute() and Path(path).is_file()), None)
