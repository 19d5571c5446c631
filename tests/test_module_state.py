"""What modules and classes hold that changes while a program runs is listed in the design notes."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "taskinity_data"

STATEFUL = {
    "Cache", "Condition", "ContextVar", "Counter", "Event", "LRU", "Lock", "OrderedDict", "Queue",
    "RLock", "Semaphore", "SimpleQueue", "WeakKeyDictionary", "WeakSet", "WeakValueDictionary",
    "count", "defaultdict", "deque", "local",
}  # fmt: skip
CONTAINERS = {"dict", "list", "set", "bytearray"}
CACHES = {"cache", "lru_cache"}
CHANGES = {
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse",
    "setdefault", "sort", "update",
}  # fmt: skip


def last_name(node):
    """`node` as it is called: ``b`` of ``a.b``, ``a.b(...)`` and ``a.b[...]``."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call():
            return last_name(node.func)
        case ast.Subscript():
            return last_name(node.value)
    return None


def is_state(value):
    """Whether `value` is made to be changed: a lock, a cache, an empty container."""
    if isinstance(value, ast.Call):
        name = last_name(value)
        return name in STATEFUL or (name in CONTAINERS and not value.args and not value.keywords)
    return (isinstance(value, ast.Dict) and not value.keys) or (
        isinstance(value, (ast.List, ast.Set)) and not value.elts
    )


def assigned(body):
    for node in body:
        if isinstance(node, ast.Assign):
            yield from ((last_name(target), node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield last_name(node.target), node.value


def changed_names(tree):
    """The names of modules' variables that functions change, or bind anew."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        match node:
            case ast.Global():
                yield from node.names
            case ast.Call(func=ast.Attribute(attr=attr, value=ast.Name(id=name))):
                if attr in CHANGES:
                    yield name
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                yield from (
                    one.value.id
                    for one in (part for target in targets for part in ast.walk(target))
                    if isinstance(one, ast.Subscript | ast.Attribute)
                    and isinstance(one.ctx, ast.Store | ast.Del)
                    and isinstance(one.value, ast.Name)
                )
            case ast.AugAssign(target=ast.Subscript(value=ast.Name(id=name))):
                yield name


def state_of(tree):
    """The names of a module's state, those of classes as ``Class.name``."""
    changed = set(changed_names(tree))
    homes = [("", tree.body)]
    homes += [
        (f"{node.name}.", node.body) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    for home, body in homes:
        own = {name for name, _ in assigned(body)}
        for name, value in assigned(body):
            if name != "__all__" and (is_state(value) or (name in changed and not home)):
                yield home + name
        for node in body:
            if isinstance(node, ast.FunctionDef):
                names = {last_name(one) for one in node.decorator_list}
                if names & CACHES:
                    yield home + node.name
                if home and node.decorator_list == []:
                    # ``cls.name = ...`` in a method binds what all instances share.
                    for inner in ast.walk(node):
                        if isinstance(inner, ast.Assign):
                            for target in inner.targets:
                                is_own = last_name(target) in own
                                if is_own and ast.unparse(target).startswith(home):
                                    yield home + last_name(target)


def found_state():
    return {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        for name in state_of(ast.parse(path.read_text(encoding="utf-8")))
    }


def listed_state():
    text = (ROOT / "docs" / "design" / "house.md").read_text(encoding="utf-8")
    table = text.partition("## State of modules")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([\w./]+)` \| `([\w.]+)` \| \S", table, re.MULTILINE))


def test_state_of_modules_is_listed_with_its_reason_and_there_is_no_other():
    assert found_state() == listed_state()


def test_locks_caches_and_what_functions_change_are_state_and_constants_are_not():
    tree = ast.parse(
        "import threading\n"
        "from functools import cache\n"
        "LOCK = threading.Lock()\n"
        "TABLE = {'a': 1}\n"
        "KNOWN = {'a': 1}\n"
        "count = 0\n"
        "seen: list[int] = []\n"
        "def enter(key):\n"
        "    global count\n"
        "    count += 1\n"
        "    KNOWN[key] = TABLE['a']\n"
        "@cache\n"
        "def look():\n"
        "    local = {}\n"
        "    local['a'] = 1\n"
        "class Reader:\n"
        "    keys = ('a',)\n"
        "    footers = {}\n"
    )
    assert set(state_of(tree)) == {"LOCK", "KNOWN", "count", "seen", "look", "Reader.footers"}
