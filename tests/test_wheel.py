"""The library alone: its wheel works where there is nothing but what the wheel asks for."""

import os
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

# What a clone has and a user of the library has not, though the tests' own environment does.
FOREIGN = [
    "accent_book",
    "bench",
    "matplotlib",
    "seaborn",
    "tqdm",
    "yaml",
    "nbformat",
    "ipywidgets",
    "distributed",
    "pyarrow",
]
SCRIPT = """
import importlib, importlib.util, pkgutil, sys
import accent_lib

assert accent_lib.__file__.startswith(sys.prefix), accent_lib.__file__
there = [name for name in {foreign!r} if importlib.util.find_spec(name)]
assert not there, there
modules = [one.name for one in pkgutil.walk_packages(accent_lib.__path__, "accent_lib.")]
for name in modules:
    importlib.import_module(name)
print(*modules)

from accent_lib.datasets import load, prepare
from accent_lib.explanations import explain
from accent_lib.models import NCF
from accent_lib.training import Recipe, State, train

data = prepare(load("sample"))
model = NCF(data)
recipe = Recipe(steps=300, learning_rate=0.01, schedule="linear", batch_size=256)
(state,) = train(model, recipe, [State.of(model)])
found = [explain(state.into(model), user=user, k=10) for user in range(3)]
assert any(found), found
for one in filter(None, found):
    assert one.removed and one.remaining_gap < 0
"""


def asked_for(requirements):
    """Installed distributions that these requirements lead to, by name."""
    found, todo = {}, [Requirement(line) for line in requirements]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if name not in found and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            found[name] = metadata.distribution(name)
            todo += [Requirement(line) for line in found[name].requires or ()]
    return found


def link(distribution, folder):
    """Put links to what a distribution installed beside each other into a folder."""
    for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
        place, target = Path(distribution.locate_file(top)), folder / top
        if not target.exists() and place.exists() and place.suffix != ".pth":
            target.symlink_to(place)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the library's wheel from its own files, in a copy: building leaves its traces."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "accent_lib", source / "accent_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


def clean_environment():
    """The environment without what leads Python to the project's own files."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_library_works_alone(wheel, tmp_path):
    place = tmp_path / "alone"
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    (site,) = place.glob("lib/python*/site-packages")
    (alone,) = metadata.distributions(path=[str(site)])
    for distribution in asked_for(alone.requires).values():
        link(distribution, site)
    environment = clean_environment()
    environment |= {"OMP_NUM_THREADS": "1", "HOME": str(tmp_path), "ACCENT_DATA_HOME": str(tmp_path)}
    result = subprocess.run(
        [python, "-c", SCRIPT.format(foreign=FOREIGN)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    files = {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "accent_lib").rglob("*.py")}
    names = {".".join(path.parts).removesuffix(".__init__") for path in files}
    assert {"accent_lib", *result.stdout.split()} == names, "the wheel holds other modules than the project"
