"""What import-linter's contracts, which `make test` checks too, can't say."""

import ast
import graphlib
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "taskinity_data"
MODULES = sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [
                (node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}")
                for alias in node.names
            ]
    return found


def test_a_module_imports_submodules_and_never_the_package_root():
    submodules = {each.stem for each in PACKAGE.iterdir()}
    for path in MODULES:
        for line, name in _imports(path):
            head, _, rest = name.partition(".")
            assert head, f"{path}:{line}: a relative import"
            if head == "taskinity_data" and path != PACKAGE / "__init__.py":
                first = rest.partition(".")[0]
                assert first in submodules, f"{path}:{line}: {name} is imported from the root"


def test_every_module_has_a_docstring():
    bare = [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_bytes()))]
    assert bare == []


def test_every_folder_and_file_of_the_package_has_a_layer():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    layers = {
        name.strip(" ()") for layer in contracts[0]["layers"] for name in layer.split("|")
    } | set(contracts[0]["exhaustive_ignores"])
    there = {
        path.stem
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }
    assert there <= layers


def test_the_exceptions_to_the_layers_are_those_of_the_published_methods():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    assert contracts[0]["ignore_imports"] == [
        "taskinity_data.flow.flow -> taskinity_data.execution.static_graph",
        "taskinity_data.chunks.plan -> taskinity_data.forecast.estimate",
    ]


def test_no_module_imports_itself_by_way_of_others():
    """Imports in functions and for type checkers count; only the published methods may."""
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in MODULES
    }
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    exceptions = {tuple(line.split(" -> ")) for line in contracts[0]["ignore_imports"]}
    graph = {
        name: {
            home
            for _, target in _imports(path)
            for home in (target if target in names else target.rpartition(".")[0],)
            if home in names and (name, home) not in exceptions
        }
        for name, path in names.items()
    }
    graphlib.TopologicalSorter(graph).prepare()
