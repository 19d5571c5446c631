"""The user's own files that code imports when it runs, found without importing them."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

from taskinity_data.user_code import is_user_file

__all__ = ["read_unloaded", "spell_modules"]


def spell_modules(name: str, package: str | None) -> list[str]:
    """Return what ``import name`` in a module of `package` may mean, relative imports among it."""
    inner = [f"{package}.{name}" if name else package] if package else []
    return [spelling for spelling in (name, *inner) if spelling]


def read_unloaded(name: str) -> dict[str, str]:
    """Return the texts of the module `name`, which is not loaded, and of those that it imports.

    Empty where it is not the user's own, or not there. Their packages are imported, as they would
    be by the import itself.
    """
    texts: dict[str, str] = {}
    todo = [name]
    while todo:
        module_name = todo.pop()
        path = _find(module_name)
        if module_name in texts or path is None:
            continue
        texts[module_name] = text = path.read_text(encoding="utf-8", errors="surrogateescape")
        todo += _imports_of(
            text, module_name if path.name == "__init__.py" else module_name.rpartition(".")[0]
        )
    return texts


def _find(name: str) -> Path | None:
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is not None:
        return Path(loaded) if is_user_file(loaded) else None
    # Looking for a module in a package imports the package: only the user's own ones.
    root = name.partition(".")[0]
    if root != name and _find(root) is None:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    origin = None if spec is None else spec.origin
    return Path(origin) if origin and is_user_file(origin) and Path(origin).is_file() else None


def _imports_of(text: str, package: str) -> list[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            start = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (start, node.module) if part)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names
