"""What code takes by a text: modules that it imports by name, and names that only running it tells.

Read from bytecode; nothing is run or imported.
"""

from __future__ import annotations

import dis
import types
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Lookups", "codes_in", "find_lookups", "names_in", "texts_in"]

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
    """Return the text that stands there by itself: the call or index that takes it follows."""
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
