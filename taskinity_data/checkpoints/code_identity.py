"""Identify the user's code by digests that are the same in every process.

A function is its bytecode, constants, defaults, closure, and the globals that it reads, through all
code outside the installation; each global is a part of its own, so that it can be named when it
has changed. Line numbers, file names and comments are no part of it. It runs nothing of what it
looks at but `__reduce_ex__`, as pickle would.
"""

from __future__ import annotations

import copyreg
import dis
import functools
import pickle
import re
import sys
import types
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from taskinity_data.checkpoints.code_lookups import (
    codes_in,
    find_lookups,
    names_in,
    read_unloaded,
    spell_modules,
    texts_in,
)
from taskinity_data.checkpoints.values import NoExactForm, encode
from taskinity_data.flow.binding.signatures import MARK
from taskinity_data.flow.once import ONCE
from taskinity_data.user_code import is_user_file, is_user_module, is_user_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Identity", "identify", "list_changes"]

_MAX_DEPTH = 200

_BY_TYPE = {"_thread.lock", "_thread.RLock", "threading.Event", "threading.Condition"}
"""What has no state that a result could depend on."""

_LOOK_UP = {"eval", "exec", "getattr", "globals", "query", "vars"}
"""Who calls one of these names other things by texts, as in pandas' ``query("x > @LIMIT")``."""

_WORD = re.compile(r"[^\W\d]\w*")

_NOT_STATE = {
    "__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__", "__orig_bases__",
    "__static_attributes__", "__annotate__", "__annotate_func__", "__annotations_cache__", MARK,
    "__abstractmethods__", "_abc_impl", "__match_args__", "__dataclass_params__",
    "__dataclass_fields__", "__parameters__",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """The digests of what a computation is made of, by name.

    Attributes
    ----------
    parts : dict of str to str
        A digest of each root and of each global of the user's own code that they read.
    unstable : dict of str to str
        By part, what in it has no identity that another process would find again.
    computed : tuple of str
        What code takes by texts that are made while it runs: nobody knows it before.
    """

    parts: dict[str, str]
    unstable: dict[str, str]
    computed: tuple[str, ...]

    @property
    def digest(self) -> str | None:
        """Of all parts together; None if one of them has no identity."""
        if self.unstable:
            return None
        whole = blake2b(digest_size=16)
        for name, digest in sorted(self.parts.items()):
            whole.update(f"{name}\0{digest}\0".encode("utf-8", "surrogatepass"))
        return whole.hexdigest()


def identify(roots: Mapping[str, Any]) -> Identity:
    """Return what `roots`, functions and values by name, are.

    Notes
    -----
    Frames and tables are digested whole, at about 1 GB/s.
    """
    walk = _Walk()
    for name, value in roots.items():
        walk.add(name, value)
    return walk.finish()


def list_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of parts that differ."""
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


class _Unstable(Exception):  # noqa: N818 - says what is the matter
    """Something without an identity."""


class _Walk:
    """Goes through values, and keeps a list of the globals that are still to be looked at."""

    def __init__(self) -> None:
        self._todo: list[tuple[str, Any]] = []
        self._named: set[str] = set()
        self._parts: dict[str, str] = {}
        self._unstable: dict[str, str] = {}
        self._above: dict[int, int] = {}
        self._reduced_values: list[Any] = []
        self._names: set[str] = set()
        self._modules: dict[str, types.ModuleType] = {}
        self._computed: dict[str, None] = {}

    def add(self, name: str, value: Any) -> None:
        """Look at `value`, once, as the part called `name`."""
        if name not in self._named:
            self._named.add(name)
            self._todo.append((name, value))

    def finish(self) -> Identity:
        while self._todo or self._reach():
            name, value = self._todo.pop(0)
            digest = blake2b(digest_size=16)
            self._above.clear()
            try:
                self._look(value, digest)
            except (_Unstable, NoExactForm) as error:
                self._unstable[name] = str(error)
            except RecursionError:
                self._unstable[name] = "a value that is nested too deeply"
            except Exception as error:  # noqa: BLE001 - a user's objects may do anything
                self._unstable[name] = f"{type(error).__name__}: {error}"
            self._parts[name] = digest.hexdigest()
        return Identity(self._parts, self._unstable, tuple(self._computed))

    def _reach(self) -> bool:
        """Queue what all code together may take of own modules; return whether there is more."""
        for module in list(self._modules.values()):
            namespace = vars(module)
            for name in sorted(self._names & namespace.keys()):
                if not name.startswith("__"):
                    self._global(namespace, name)
            if "__getattr__" in namespace:
                self._module_getattr(module, namespace)
        return bool(self._todo)

    def _module_getattr(self, module: types.ModuleType, namespace: Mapping[str, Any]) -> None:
        """Queue what a module's ``__getattr__`` may give: its file, and submodules by name."""
        self._global(namespace, "__getattr__")
        self._file_of(namespace)
        if "__path__" in namespace:
            for name in sorted(self._names - namespace.keys()):
                self._import(f"{module.__name__}.{name}", {})

    def _file_of(self, namespace: Mapping[str, Any]) -> None:
        """Queue the whole text of a module in which code can't be followed name by name."""
        path = namespace.get("__file__")
        if isinstance(path, str) and is_user_file(path):
            text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
            self.add(f"the file of {namespace.get('__name__')}", text)

    # -- values --------------------------------------------------------------------------------

    def _look(self, value: Any, out: Any) -> None:
        if id(value) in self._above:
            # In itself: described by how far up, so that two processes agree.
            out.update(b"again %d" % (len(self._above) - self._above[id(value)]))
            return
        if len(self._above) > _MAX_DEPTH:
            raise RecursionError
        self._above[id(value)] = len(self._above)
        try:
            self._look_at(value, out)
        finally:
            del self._above[id(value)]

    def _look_at(self, value: Any, out: Any) -> None:
        kind = type(value)
        if isinstance(value, types.FunctionType):
            self._function(value, out)
        elif isinstance(value, type):
            self._class(value, out)
        elif isinstance(value, types.ModuleType):
            out.update(f"module {value.__name__}".encode())
            self._module(value)
        elif isinstance(value, types.CodeType):
            self._code(value, out)
        elif isinstance(value, types.BuiltinFunctionType):
            self._builtin(value, out)
        elif (parts := _parts_of(value)) is not None:
            self._all(kind.__name__.encode(), parts, out)
        elif isinstance(value, PurePath):
            out.update(f"path {value}".encode("utf-8", "surrogateescape"))
        elif kind in (tuple, list):
            self._all(kind.__name__.encode(), value, out)
        elif kind in (dict, types.MappingProxyType):
            self._all(b"dict", (element for pair in value.items() for element in pair), out)
        elif kind in (set, frozenset):
            out.update(kind.__name__.encode())
            for digest in sorted(self._digest(element) for element in value):
                out.update(digest)
        else:
            self._other(value, out)

    def _all(self, label: bytes, values: Any, out: Any) -> None:
        out.update(b"(" + label)
        for value in values:
            out.update(b",")
            self._look(value, out)
        out.update(b")")

    def _digest(self, value: Any) -> bytes:
        digest = blake2b(digest_size=16)
        self._look(value, digest)
        return digest.digest()

    def _builtin(self, value: Any, out: Any) -> None:
        owner = getattr(value, "__self__", None)
        out.update(f"builtin {value.__module__}.{value.__qualname__}".encode())
        if owner is not None and not isinstance(owner, (types.ModuleType, type)):
            self._look(owner, out)

    def _other(self, value: Any, out: Any) -> None:
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _BY_TYPE:
            out.update(name.encode())
            return
        try:
            for buffer in encode(value):
                out.update(buffer)
            return
        except NoExactForm:
            pass
        wrapped = getattr(value, "__wrapped__", None)
        if kind.__module__ == "functools" and wrapped is not None:
            self._all(b"wrapped", (wrapped,), out)
            return
        self._reduced(value, out)

    def _reduced(self, value: Any, out: Any) -> None:
        """Digest an object by what pickle would take of it."""
        kind = type(value)
        reduce = copyreg.dispatch_table.get(kind)
        try:
            parts = reduce(value) if reduce is not None else value.__reduce_ex__(4)
            if isinstance(parts, str):
                pickle.dumps(value)  # raises where this name is not the one of `value`
        except Exception as error:
            raise _Unstable(f"{kind.__module__}.{kind.__qualname__}: {error}") from error
        self._reduced_values.append(parts)  # so that no id is reused
        if isinstance(parts, str):
            out.update(f"named {kind.__module__}.{parts}".encode())
            return
        made, args, state, items, pairs = (*parts, None, None, None)[:5]
        self._all(b"object", (made, args), out)
        if state is not None:
            self._look(state, out)
        for more in (items, pairs):
            if more is not None:
                self._all(b"items", more, out)

    # -- code ----------------------------------------------------------------------------------

    def _function(self, function: types.FunctionType, out: Any) -> None:
        if not is_user_name(function.__module__):
            out.update(f"function {function.__module__}.{function.__qualname__}".encode())
            # What a library's decorator holds on to may be the user's.
            has_more = function.__closure__ or hasattr(function, "__wrapped__")
            home = sys.modules.get(function.__module__)
            if not has_more or getattr(home, function.__name__, None) is function:
                return
        cells = []
        for cell in function.__closure__ or ():
            try:
                cells.append(cell.cell_contents)
            except ValueError:
                cells.append("empty cell")
        out.update(b"function")
        self._code(function.__code__, out)
        self._all(b"defaults", (function.__defaults__, function.__kwdefaults__), out)
        self._all(b"cells", cells, out)
        if is_user_name(function.__module__):
            self._attributes(function, out)
            self._globals(function.__code__, function.__globals__)

    def _attributes(self, function: types.FunctionType, out: Any) -> None:
        """Digest what the user has set on a function; a task has its mark and its `map`."""
        attributes = vars(function)
        not_state = {MARK, "map"} if MARK in attributes else {ONCE}
        for name in sorted(attributes.keys() - not_state - {"__wrapped__"}):
            out.update(b"attribute " + name.encode())
            self._look(attributes[name], out)

    def _code(self, code: types.CodeType, out: Any) -> None:
        fields = (
            code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars,
            code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags,
            code.co_exceptiontable,
        )  # fmt: skip
        self._all(b"code", fields, out)
        self._all(b"constants", code.co_consts, out)

    def _globals(self, code: types.CodeType, namespace: Mapping[str, Any]) -> None:
        """Queue what `code` reads by name: globals, and own modules, which `_reach` looks into."""
        names = set(names_in(code))
        if names & _LOOK_UP:
            read = (namespace[name] for name in names & namespace.keys())
            for text in (*texts_in(code), *(value for value in read if isinstance(value, str))):
                names.update(_WORD.findall(text))
            for name in sorted(names & namespace.keys()):
                self._global(namespace, name)
        self._names |= names
        for reached in codes_in(code):
            self._look_up(reached, namespace)
            imported = ""
            for instruction in dis.get_instructions(reached):
                if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                    name = str(instruction.argval)
                    if name in namespace:
                        self._global(namespace, name)
                elif instruction.opname == "IMPORT_NAME":
                    imported = str(instruction.argval or "")
                    self._import(imported, namespace)
                elif instruction.opname == "IMPORT_FROM":
                    inner = f"{imported}.{instruction.argval}".lstrip(".")
                    self._import(inner, namespace)

    def _look_up(self, code: types.CodeType, namespace: Mapping[str, Any]) -> None:
        """Follow what `code` takes by texts; where they are made while it runs, its file counts."""
        lookups = find_lookups(code, lambda name: isinstance(namespace.get(name), types.ModuleType)
                             and is_user_module(namespace[name]))  # fmt: skip
        for name in lookups.modules:
            self._import(name.lstrip("."), namespace)
        for lookup in lookups.computed:
            self._computed[f"{lookup} in {namespace.get('__name__')}.{code.co_qualname}"] = None
            self._file_of(namespace)

    def _import(self, name: str, namespace: Mapping[str, Any]) -> None:
        """Queue what code imports when it runs: loaded modules by what is taken, others whole."""
        for spelt in spell_modules(name, namespace.get("__package__")):
            module = sys.modules.get(spelt)
            if module is not None:
                self._module(module)
                continue
            for module_name, text in read_unloaded(spelt).items():
                self.add(f"the file of {module_name}", text)

    def _global(self, namespace: Mapping[str, Any], name: str) -> None:
        value = namespace[name]
        home = namespace.get("__name__", "__main__")
        if isinstance(value, (types.FunctionType, type)) and is_user_name(value.__module__):
            if "<locals>" in value.__qualname__ or value.__name__ == "<lambda>":
                name = f"{value.__qualname__} as global"
            else:
                home, name = value.__module__, value.__qualname__
        self.add(f"{home}.{name}", value)

    def _module(self, module: types.ModuleType) -> None:
        if is_user_module(module):
            self._modules[module.__name__] = module

    def _class(self, kind: type, out: Any) -> None:
        out.update(f"class {kind.__module__}.{kind.__qualname__}".encode())
        if not is_user_name(kind.__module__):
            return
        for base in (*kind.__bases__, type(kind)):
            self._look(base, out)
        for name, value in sorted(vars(kind).items()):
            is_slot = isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType))
            if name not in _NOT_STATE and not is_slot:
                out.update(name.encode())
                self._look(value, out)


def _parts_of(value: Any) -> tuple[Any, ...] | None:
    """Return the parts of a wrapped function, None for any other value.

    Wrappers are bound methods, partials, static and class methods, and properties.
    """
    if isinstance(value, types.MethodType):
        return value.__func__, value.__self__
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, (staticmethod, classmethod)):
        return (value.__func__,)
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    return None
