"""Find in bytecode what code looks up by a string, and the user's files that it imports that way.

Neither is run for it: modules that it imports by name, names that only running it tells.
"""

from __future__ import annotations

import ast
import dis
import importlib.util
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.user_code import is_user_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Lookups",
    "codes_in",
    "find_lookups",
    "names_in",
    "read_unloaded",
    "spell_modules",
    "texts_in",
]

_IMPORTS = ("import_module", "__import__")
_NAMESPACES = ("globals", "vars")
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD", "LOAD_DEREF")
_BETWEEN = ("PUSH_NULL", "PRECALL", "KW_NAMES", "CACHE", "RESUME")


class Lookups(NamedTuple):
    """`modules` are imported by texts of the code; `computed` says what is taken by other texts."""

    modules: tuple[str, ...]
    computed: tuple[str, ...]


def find_lookups(code: types.CodeType, is_user_module: Callable[[Any], bool]) -> Lookups:
    """Return what `code` itself looks up; `is_user_module` takes the name of a global.

    >>> find_lookups(compile("import_module('a').x; vars()[y]", "", "exec"), bool)
    Lookups(modules=('a',), computed=('names from vars()',))
    """
    modules: list[str] = []
    computed: list[str] = []
    instructions = [
        instruction
        for instruction in dis.get_instructions(code)
        if instruction.opname not in _BETWEEN
    ]
    for number, instruction in enumerate(instructions):
        if instruction.opname not in _LOADS:
            continue
        if instruction.argval in _IMPORTS:
            text = _text_at(instructions, number + 1)
            if text is None:
                computed.append(f"modules by {instruction.argval}()")
            else:
                modules.append(text)
        elif instruction.argval in _NAMESPACES and instruction.opname in (
            "LOAD_GLOBAL",
            "LOAD_NAME",
        ):
            if not _is_read_by_text(instructions, number + 1):
                computed.append(f"names from {instruction.argval}()")
        elif instruction.argval == "getattr" and number + 2 < len(instructions):
            owner = instructions[number + 1]
            is_module = owner.opname in ("LOAD_GLOBAL", "LOAD_NAME") and is_user_module(
                owner.argval
            )
            if is_module and _text_at(instructions, number + 2) is None:
                computed.append(f"names of {owner.argval} by getattr()")
    return Lookups(tuple(dict.fromkeys(modules)), tuple(dict.fromkeys(computed)))


def _text_at(instructions: list[dis.Instruction], number: int) -> str | None:
    """Return the text that is loaded there: the call or index that takes it follows."""
    if number >= len(instructions):
        return None
    first, *after = instructions[number : number + 3]
    if first.opname != "LOAD_CONST" or not isinstance(first.argval, str):
        return None
    # Another argument may follow, as a package; what is computed would come next.
    takes = after[1:] if after and after[0].opname.startswith("LOAD_") else after
    is_taken = bool(takes) and (
        takes[0].opname.startswith(("CALL", "BINARY_SUBSCR")) or takes[0].argrepr == "[]"
    )
    return first.argval if is_taken else None


def _is_read_by_text(instructions: list[dis.Instruction], number: int) -> bool:
    """Return whether what follows is ``()["name"]`` or ``().get("name")``."""
    after = [instruction.argval for instruction in instructions[number : number + 2]]
    return _text_at(instructions, number + (2 if after[1:] == ["get"] else 1)) is not None


def codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield `code` and all code within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


def texts_in(code: types.CodeType) -> Iterator[str]:
    """Yield the texts in `code`, to whatever depth."""
    for inner in codes_in(code):
        yield from (text for text in inner.co_consts if isinstance(text, str))


def names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names that `code` reads, to whatever depth."""
    for inner in codes_in(code):
        yield from inner.co_names


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
