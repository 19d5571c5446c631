"""Figures of the package's structure."""
import ast
import collections
import sys
from pathlib import Path

EXCEPTIONS = {
    ("flow/model", "execution/static_graph"), ("chunks/plan", "forecast/estimate"),
    ("flow/model", "execution/graph"), ("flow/flow", "execution/static_graph"),
}


def measure(root: Path) -> dict[str, int]:
    package = root / "taskinity_data"
    modules = {str(p.relative_to(package))[:-3]: p for p in package.rglob("*.py")}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules.items()}
    graph = collections.defaultdict(set)
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "taskinity_data":
                base = "/".join(node.module.split(".")[1:])
                for alias in node.names:
                    full = f"{base}/{alias.name}".lstrip("/")
                    target = full if full in modules else base if base in modules else f"{base}/__init__"
                    if target in modules and target != name and (name, target) not in EXCEPTIONS:
                        graph[name].add(target)
    # A module is in a circle where it reaches itself.
    index, low, stack, circles = {}, {}, [], []
    sys.setrecursionlimit(10_000)

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            found = []
            while not found or found[-1] != node:
                found.append(stack.pop())
            if len(found) > 1:
                circles.append(found)

    for name in modules:
        if name not in index:
            visit(name)
    folders = collections.Counter(str(Path(n).parent) for n in modules if not n.endswith("__init__"))
    longest = max(
        node.end_lineno - node.body[0].lineno + 1
        - (node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0)
        for tree in trees.values() for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    return {
        "modules": len(modules),
        "lines": sum(len(p.read_text(encoding="utf-8").splitlines()) for p in modules.values()),
        "fullest": max(folders.values()),
        "circles": sum(map(len, circles)),
        "longest": longest,
    }


if __name__ == "__main__":
    print(measure(Path(sys.argv[1])))
