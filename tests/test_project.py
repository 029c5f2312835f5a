"""The repository itself: versions that agree, files that must be there, and none that must not."""

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import make
from accent_lib.datasets.fetch import FILES
from tests.test_make import TARGETS

ROOT = Path(__file__).parents[1]
MIB = 2**20
PROSE = sorted([*ROOT.glob("book/*.md"), *ROOT.glob("book/reference/*.md")])


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def project_files():
    """Return everything that is committed or would be: what git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def lock():
    lines = [line for line in read("requirements.lock").splitlines() if line and not line.startswith("#")]
    return [Requirement(line) for line in lines]


@pytest.fixture(scope="module")
def pins(lock):
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in lock}


@pytest.fixture(scope="module")
def projects():
    """What the two packages, method and book, say about themselves."""
    return [tomllib.loads(read(name))["project"] for name in ("pyproject.toml", "book/pyproject.toml")]


@pytest.fixture(scope="module")
def project(projects):
    return projects[0]


def test_lock_has_exact_versions_from_the_package_index(lock):
    for pin in lock:
        specifiers = list(pin.specifier)
        assert pin.url is None, f"{pin} names a place of its own"
        assert [specifier.operator for specifier in specifiers] == ["=="], f"{pin} is not an exact version"
        assert "+" not in specifiers[0].version, f"{pin} exists on some machines only"
    names = [canonicalize_name(pin.name) for pin in lock]
    assert names[0] == "torch"
    assert len(names) == len(set(names))


def test_lock_covers_what_the_packages_ask_for(projects, pins):
    own = {project["name"] for project in projects}
    for project in projects:
        extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "bench"}
        for line in sum(extras.values(), project["dependencies"]):
            wanted = Requirement(line)
            if wanted.name in own:
                continue
            version = pins.get(canonicalize_name(wanted.name))
            assert version is not None, f"requirements.lock lacks {wanted.name}"
            assert wanted.specifier.contains(version), (
                f"requirements.lock has {wanted.name} {version}, not {wanted}"
            )


def test_everything_names_the_same_versions_of_python(project):
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    (major, oldest), (_, newest) = make.OLDEST, make.NEWEST
    assert named == [f"{major}.{minor}" for minor in range(oldest, newest + 1)]
    assert project["requires-python"] == f">={named[0]}"
    (job,) = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == [named[0], named[-1]]
    assert f"With Python {named[0]} to {named[-1]} and `make`" in read("README.md")


def test_conda_environment_is_in_step_with_lock_and_pyproject(project):
    dependencies = yaml.safe_load(read("environment.yml"))["dependencies"]
    conda = [entry for entry in dependencies if isinstance(entry, str)]
    (pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    index = "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert pip == [index, "-r requirements.lock", "-e .", "-e book"], (
        "versions belong into requirements.lock only"
    )
    python = next(entry for entry in conda if entry.startswith("python="))
    assert Requirement(f"python{project['requires-python']}").specifier.contains(python.split("=")[1] + ".0")
    assert set(conda) == {python, "pip", "make"}


def test_pre_commit_runs_the_locked_versions(pins):
    revisions = {
        repo["repo"].split("/")[-1]: repo["rev"]
        for repo in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    }
    assert revisions == {"ruff-pre-commit": "v" + pins["ruff"], "nbstripout": pins["nbstripout"]}


def test_citation_and_changelog_know_the_version(projects):
    project, book = projects
    assert book["version"] == project["version"] and book["requires-python"] == project["requires-python"]
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    assert re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[1] == project["version"]


def test_licence_files_are_there():
    assert read("LICENSE").startswith("MIT License\n\nCopyright (c) 2026 The ACCENT book authors\n")
    assert "not be redistributed" in read("data/README.md")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"])
def test_links_between_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(page)):
        if not target.startswith("http"):
            assert (ROOT / page).parent.joinpath(target).exists(), (
                f"{page} links to {target}, which does not exist"
            )


def steps_of(workflow):
    jobs = yaml.safe_load(read(f".github/workflows/{workflow}.yml"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("workflow", ["test", "publish", "nightly"])
def test_workflows_call_make_with_targets_and_settings_that_exist(workflow):
    variables = {"PYTHON", *(name.replace("-", "_").upper() for name in make.OPTIONS)}
    profiles = {path.stem for path in (ROOT / "notebooks" / "profiles").glob("*.yaml")}
    commands = [step["run"] for step in steps_of(workflow) if "run" in step]
    assert commands
    for command in commands:
        program, target, *settings = command.split()
        settings = dict(setting.split("=", 1) for setting in settings)
        assert program == "make" and target in TARGETS
        assert set(settings) <= variables
        assert settings.get("PROFILE", "sample") in profiles


def test_published_are_the_chapters_and_nothing_of_the_run_folder():
    steps = steps_of("publish")
    kept = [step["with"]["path"].split() for step in steps if "actions/cache/" in step.get("uses", "")]
    assert kept == [["book/chapters", "book/_static/explorer.html"]] * 2, "a cache can be read by anybody"
    shown = [step["with"]["path"] for step in steps if "upload" in step.get("uses", "")]
    assert shown == ["_build/html"]
    (key,) = (step["with"]["key"] for step in steps if "cache/restore" in step.get("uses", ""))
    for pattern in re.findall(r"'([^']+)'", key):
        assert list(ROOT.glob(pattern)), f"nothing of the project is {pattern}"
    # The data that may be passed on comes first: its explorer is shown in the book of the other profile.
    runs = [step["run"] for step in steps if "make run" in step.get("run", "")]
    assert [re.search(r"PROFILE=(\S+)", command)[1] for command in runs] == ["ml-latest-small", "ml-100k"]


def test_ci_script_calls_make():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, ".ci/run is not executable"
    assert "\nmake test" in script.read_text(encoding="utf-8")


def test_notebooks_have_no_outputs():
    for path in project_files():
        if path.suffix != ".ipynb":
            continue
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"], start=1):
            if cell["cell_type"] == "code":
                clean = not cell["outputs"] and cell["execution_count"] is None
                assert clean, f"{path.name}, cell {number} has outputs: run `make format`"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_chapter_says_what_it_asks_and_what_it_taught(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    opening, text = prose[0], "\n".join(prose)
    assert re.match(r"# .+\n\n\*\*[^*]+\?\*\*\n", opening), "it opens with a question"
    assert len(re.findall(r"^- \*\*[A-Z]\w+\*\*", opening, re.MULTILINE)) >= 3, "objectives begin with a verb"
    assert re.search(r"^About \d+ minutes.*You need", opening, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[-3:] == ["Summary", "Exercises", "Further reading"]


def test_no_file_is_larger_than_one_mebibyte():
    large = {path.name: path.stat().st_size for path in project_files() if path.stat().st_size > MIB}
    assert not large


def test_nothing_of_movielens_is_in_the_project():
    names = {name.rsplit("/", 1)[-1] for name in FILES} | {"ml-100k.zip"}
    hashes = {pinned.sha256 for pinned in FILES.values()}
    for path in project_files():
        assert path.name not in names, f"{path} must not be passed on"
        assert hashlib.sha256(path.read_bytes()).hexdigest() not in hashes, f"{path} is a file of MovieLens"


def typed_numbers(markdown):
    """Return the decimals, and the numbers of three digits or more, that a page's prose types out."""
    text = re.sub(r"^(`{3,}|:{3,}).*?^\1\s*$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\{[\w:]+\}`[^`]*`|`[^`]*`|\$[^$]*\$|\]\([^)]*\)|<[^>]*>|CC BY 4\.0", "", text)
    return re.findall(r"\b\d+[.,]\d+\b|\b\d{3,}\b|\b\d+e-?\d+\b", text)


def test_typed_numbers_are_found():
    typed = "It is 0.57 or 452 or 61,054 or 1e-6"
    page = typed + ", not 3 of 20, `0.1`, {paper}`users`, $0.5$, MovieLens 100K.\n```\n999\n```\n"
    assert typed_numbers(page) == ["0.57", "452", "61,054", "1e-6"]


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.stem)
def test_prose_types_no_numbers(page):
    assert not typed_numbers(page.read_text(encoding="utf-8")), (
        "use glue, or {paper}`name` for the paper's figures"
    )


def test_the_tests_that_the_page_on_promises_names_are_there():
    named = re.findall(r"`(test_\w+)`", (ROOT / "book/reference/promises.md").read_text("utf-8"))
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / "tests" / f"{name}.py").exists()]
