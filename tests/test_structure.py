"""Modules import in one direction, and a notebook imports only what counts for its output."""

import ast
import json
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from accent_book.runs.sources import FOR_NOTEBOOKS
from tests.conftest import ROOT

PACKAGES = {"accent_lib": ROOT / "accent_lib", "accent_book": ROOT / "book" / "accent_book"}
# In the order of the data; the modules at the root that none of these names are tools, and come before all.
LAYERS = {
    "accent_lib": (
        "datasets",
        "models",
        "training",
        "influence",
        "explainers",
        "explanations",
        "retraining",
        "evaluation",
        "front",
    ),
    "accent_book": ("runs", "claims", "figures", "publish", "live", "runner", "experiments", "__main__"),
}


def modules_of(name, folder):
    """Dotted names and files of a package; a package's own name is that of its ``__init__``."""
    modules = {}
    for path in sorted(Path(folder).rglob("*.py")):
        parts = [name, *path.relative_to(folder).with_suffix("").parts]
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def imported(source, known):
    """Modules among the known ones that a source imports, anywhere in it but where only types are checked."""
    imports = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole way"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                imports.update({module if module in known else node.module} & known.keys())
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return imports


def graph_of(modules):
    """What each module imports of the others."""
    return {name: imported(path.read_text("utf-8"), modules) for name, path in modules.items()}


def circle(graph):
    """One circle of a graph of imports, written as a chain; nothing if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


@pytest.fixture(scope="module")
def graph():
    return graph_of({k: v for name, folder in PACKAGES.items() for k, v in modules_of(name, folder).items()})


def test_no_module_imports_itself_round_a_corner(graph):
    assert len(graph) > 50
    assert not circle(graph)


def test_a_circle_is_found_wherever_it_is_imported(tmp_path):
    sources = {
        "__init__": "",
        "a": "from p import b\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.d",
        "b": "def f():\n    from p.c import x",
        "c": "import os, p.a",
        "d": "import p.a",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source, "utf-8")
    graph = graph_of(modules_of("p", tmp_path))
    assert graph["p.b"] == {"p.c"} and graph["p.a"] == {"p.b"}
    assert set(circle(graph).split(" <- ")) == {"p.a", "p.b", "p.c"}
    graph["p.c"] = set()
    assert not circle(graph)


def test_the_method_knows_nothing_of_the_book(graph):
    for name, others in graph.items():
        if name.startswith("accent_lib"):
            assert not [other for other in others if other.startswith("accent_book")], name


def layer_of(module):
    package, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    return LAYERS[package].index(name) if name in LAYERS[package] else -1


@pytest.mark.parametrize("package", LAYERS)
def test_imports_go_with_the_order_of_the_layers(graph, package):
    assert {layer_of(name) for name in graph if name.startswith(package)} >= set(range(len(LAYERS[package])))
    for name, others in graph.items():
        for other in others:
            if name.startswith(package) and other.startswith(package):
                assert layer_of(other) <= layer_of(name), f"{name} imports {other}"


def test_a_notebook_imports_the_library_and_what_the_rule_names(graph):
    """`accent_book.runs.sources` covers these parts; an import beside them would go unnoticed."""
    allowed = {part.removesuffix(".py") for part in FOR_NOTEBOOKS}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        own = imported(code, graph)
        assert own
        for module in own:
            package, _, rest = module.partition(".")
            assert package == "accent_lib" or rest.partition(".")[0] in allowed, f"{path}: {module}"


def defined(source):
    """Names that a module binds at its top: imports, definitions and assignments."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            names |= {(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add((node.name, ""))
        elif isinstance(node, ast.Assign):
            names |= {(target.id, "") for target in node.targets if isinstance(target, ast.Name)}
    return names


def shadowed(modules):
    """Modules that cannot be reached by their name, because their package has something else of that name."""
    hidden = set()
    for name, path in modules.items():
        if path.name == "__init__.py":
            for own, origin in defined(path.read_text("utf-8")):
                module = f"{name}.{own}"
                if module in modules and origin != module:
                    hidden.add(module)
    return hidden


def test_no_name_of_a_package_hides_a_module():
    modules = {k: v for name, folder in PACKAGES.items() for k, v in modules_of(name, folder).items()}
    assert not shadowed(modules)
