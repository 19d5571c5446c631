"""How modules are moved, joined and carved: names resolved by syntax tree, text changed by token."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

ROOT = "taskinity_data"


class Refused(Exception):
    """What the table must still say."""


def dotted(module: str) -> str:
    """``a/b`` as ``taskinity_data.a.b``; an ``__init__`` as its package."""
    module = module.removesuffix("__init__").rstrip("/")
    return ".".join([ROOT, *module.split("/")]) if module else ROOT


@dataclass
class Import:
    """One name of an import, of a module's head."""

    module: str  # dotted; "" for a plain import
    name: str
    asname: str | None
    comment: str = ""
    is_typing: bool = False

    @property
    def bound(self) -> str:
        return self.asname or (self.name if self.module else self.name.partition(".")[0])

    @property
    def key(self):
        return self.module, self.name, self.asname

    def text(self) -> str:
        named = self.name + (f" as {self.asname}" if self.asname else "")
        comment = f"  {self.comment}" if self.comment else ""
        return (f"from {self.module} import {named}" if self.module else f"import {named}") + comment


@dataclass
class Segment:
    """A statement of a module with the comments before it and the text that documents it."""

    names: tuple[str, ...]
    text: str
    uses: frozenset[str]
    gap: int = 2  # blank lines before it


@dataclass
class Module:
    """A module of the old layout, in parts."""

    name: str
    text: str
    doc: str | None = None
    has_future: bool = False
    imports: list[Import] = field(default_factory=list)
    exported: list[str] | None = None
    segments: list[Segment] = field(default_factory=list)

    @property
    def defined(self) -> set[str]:
        return {name for each in self.segments for name in each.names}


def bound_names(node: ast.stmt) -> tuple[str, ...]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return (node.name,)
    found = []
    targets = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets = [node.target]
    elif isinstance(node, (ast.If, ast.Try, ast.With)):
        for inner in ast.walk(node):
            if isinstance(inner, ast.stmt) and inner is not node:
                found += bound_names(inner)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        return tuple(a.asname or a.name.partition(".")[0] for a in node.names)
    for target in targets:
        found += [n.id for n in ast.walk(target) if isinstance(n, ast.Name)]
    return tuple(found)


def used_names(node: ast.AST) -> set[str]:
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            found.add(inner.id)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            if inner.value.isidentifier():
                found.add(inner.value)
    return found


def parse(name: str, text: str) -> Module:
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    module = Module(name, text)
    # Byte columns are never needed: statements of a module's body begin lines.
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string

    def take(node: ast.stmt, is_typing: bool) -> None:
        if isinstance(node, ast.ImportFrom):
            one_line = node.lineno == node.end_lineno
            for alias in node.names:
                comment = comments.get(node.lineno if one_line else alias.lineno, "")
                module.imports.append(
                    Import(node.module or "", alias.name, alias.asname, comment, is_typing)
                )
            if node.level:
                raise Refused(f"{name}:{node.lineno}: a relative import")
        else:
            for alias in node.names:
                module.imports.append(
                    Import("", alias.name, alias.asname, comments.get(node.lineno, ""), is_typing)
                )

    body = list(tree.body)
    place = 0
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        module.doc = ast.get_source_segment(text, body[0])
        place = body[0].end_lineno
        body = body[1:]
    skipping = False
    for number, node in enumerate(body):
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            module.has_future = True
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            between = "".join(lines[place : start - 1]).strip()
            if between:
                node_comment = between.replace("\n", " ")
                first = len(module.imports)
                take(node, False)
                for each in module.imports[first:]:
                    each.comment = each.comment or node_comment
                place = node.end_lineno
                continue
            take(node, False)
        elif (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
            and not node.orelse
            and all(isinstance(each, (ast.Import, ast.ImportFrom)) for each in node.body)
        ):
            for each in node.body:
                take(each, True)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "__all__"
        ):
            module.exported = [ast.literal_eval(each) for each in node.value.elts]
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and module.segments
            and isinstance(node.value.value, str)
        ):
            last = module.segments[-1]
            last.text += "".join(lines[place : node.end_lineno]).rstrip() + "\n"
        else:
            whole = "".join(lines[place : node.end_lineno])
            chunk = whole.strip("\n") + "\n"
            gap = len(whole) - len(whole.lstrip("\n"))
            names_ = bound_names(node)
            module.segments.append(Segment(names_, chunk, frozenset(used_names(node)), gap))
        place = node.end_lineno
    rest = "".join(lines[place:]).strip()
    if rest:
        module.segments[-1].text += "\n" + rest + "\n"
    return module


def rename_tokens(text: str, names: dict[str, str]) -> str:
    """`text` with names (not attributes, not keywords of calls) renamed; and in backticks."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    lines = text.splitlines(keepends=True)
    changes = []
    for number, token in enumerate(tokens):
        if token.type == tokenize.NAME and token.string in names:
            before = tokens[number - 1].string if number else ""
            after = tokens[number + 1].string
            is_keyword = after == "=" and before in ("(", ",") and tokens[number - 1].type == tokenize.OP \
                and _depth(tokens, number) > 0
            if before == "." or is_keyword:
                continue
            changes.append((token.start, token.end, names[token.string]))
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            changed = token.string
            for old, new in names.items():
                changed = re.sub(rf"`{re.escape(old)}`", f"`{new}`", changed)
                changed = re.sub(rf"(>>> .*?)\b{re.escape(old)}\b", rf"\1{new}", changed)
            if changed != token.string:
                changes.append((token.start, token.end, changed))
    return apply_changes(lines, changes)


def _depth(tokens, number) -> int:
    depth = 0
    for token in tokens[:number]:
        if token.type == tokenize.OP:
            depth += token.string in "([{" and 1 or token.string in ")]}" and -1 or 0
    return depth


def apply_changes(lines, changes) -> str:
    for (row, column), (end_row, end_column), new in sorted(changes, reverse=True):
        head, tail = lines[row - 1][:column], lines[end_row - 1][end_column:]
        lines[row - 1 : end_row] = [head + new + tail]
    return "".join(lines)


_BACKTICKED = re.compile(r"`([a-z]\w*)(\.\w+)?(\.py)?`")


def rename_mentions(text: str, names: Names, old: str, whole: bool) -> str:
    """Modules that a docstring or comment names without their folder; all of them where `whole`."""

    folder = old.rpartition("/")[0]
    defined = names.modules[old].defined if old in names.modules else set()

    def change(found: re.Match[str]) -> str:
        word, inner, is_file = found[1], found[2] or "", found[3] or ""
        near = f"{folder}/{word}".lstrip("/")
        candidates = [m for m in names.moves if m.rpartition("/")[2] == word]
        target = near if near in names.moves else candidates[0] if len(candidates) == 1 else None
        if target is None or word in defined or target == old:
            return found[0]
        if inner and inner != ".py" and inner[1:] not in names.modules[target].defined:
            return found[0]
        if not inner and not is_file and not whole and not text[: found.start()].endswith("see "):
            return found[0]
        new = names.moves[target]
        if inner == ".py" or is_file:
            return f"`{new}.py`"
        return f"`{new.rpartition('/')[2]}{inner}`"

    def in_folder(found: re.Match[str]) -> str:
        near = f"{found[1]}/{found[2]}"
        if near not in names.moves:
            return found[0]
        return f"`{names.moves[near].replace('/', '.')}{found[3] or ''}`"

    text = re.sub(r"`([a-z]\w*)\.([a-z]\w*)(\.\w+)?`", in_folder, text)
    return _BACKTICKED.sub(change, text)


def rewrap(text: str, column: int, width: int = 100) -> str:
    """A text of several lines, the first from `column` on, with lines that became too long wrapped."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        used = (column if number == 0 else 0) + len(line)
        if used > width and len(lines) > 1 and not line.rstrip().endswith('"""'):
            cut = line.rfind(" ", 0, width - (column if number == 0 else 0))
            indent = len(line) - len(line.lstrip())
            if number == 0:
                indent = column
            if cut > indent:
                head, rest = line[:cut], line[cut + 1 :]
                lines[number] = head
                after = lines[number + 1] if number + 1 < len(lines) else ""
                same = after.strip() and len(after) - len(after.lstrip()) == indent
                if same and after.strip() != '"""':
                    lines[number + 1] = " " * indent + rest + " " + after.lstrip()
                else:
                    lines.insert(number + 1, " " * indent + rest)
        number += 1
    return "\n".join(lines)


class Names:
    """Where each old module, and each name of one, is in the new layout."""

    def __init__(self, moves, packages, carves, renames, aliases, modules) -> None:
        self.aliases = aliases        # (old module, imported name) -> name in the joined module
        self.moves = moves            # old module -> new module (both "a/b")
        self.packages = packages      # old folder -> new folder, for strings
        self.carves = carves          # (old module, name) -> new module
        self.renames = renames        # (old module, name) -> new name
        self.modules = modules        # name -> Module
        self.by_dotted = {dotted(old): old for old in moves}
        self.by_dotted.update({dotted(old): old for old in modules})
        self.notes = set()

    def home(self, old: str) -> str:
        if old in self.moves:
            return self.moves[old]
        raise Refused(f"no destination for {old}")

    def resolve(self, module: str, name: str) -> tuple[str, str]:
        """The module (dotted) to import from, and the name there, of ``from module import name``."""
        full = f"{module}.{name}"
        if full in self.by_dotted and not (
            module in self.by_dotted and name in self.modules[self.by_dotted[module]].defined
        ):
            new = dotted(self.home(self.by_dotted[full]))
            head, _, tail = new.rpartition(".")
            return head, tail
        if module in self.by_dotted:
            old = self.by_dotted[module]
            new = self.carves.get((old, name)) or self.home(old)
            return dotted(new), self.renames.get((old, name), name)
        if module == ROOT or module.removeprefix(ROOT + ".") in self.packages:
            new = self.packages.get(module.removeprefix(ROOT).lstrip("."), "")
            return dotted(new), name
        raise Refused(f"from {module} import {name}: no such module")

    def string(self, text: str) -> str:
        """A dotted name within a string, comment or document."""
        parts = text.split(".")
        for size in range(len(parts), 1, -1):
            head = ".".join(parts[:size])
            if head in self.by_dotted:
                old = self.by_dotted[head]
                rest = parts[size:]
                if rest:
                    new = dotted(self.carves.get((old, rest[0])) or self.home(old))
                    rest[0] = self.renames.get((old, rest[0]), rest[0])
                else:
                    new = dotted(self.home(old))
                return ".".join([new, *rest])
        if len(parts) > 1 and parts[1] in self.packages:
            new = self.packages[parts[1]]
            if new is None:
                self.notes.add(f"string {text!r} names a folder that ends")
                return text
            return ".".join([ROOT, *new.split("/"), *parts[2:]])
        return text


_FROM = re.compile(r"from (taskinity_data(?:\.\w+)*) import ((?:\w+(?: as \w+)?, )*\w+(?: as \w+)?)")
_DOTTED = re.compile(r"(?<![\w/.-])taskinity_data(?:\.[A-Za-z_]\w*)+")
_PATH = re.compile(r"(?<![\w.-])((?:taskinity_data/)?)((?:\w+/)*\w+)\.py\b")


def rewrite_string(text: str, names: Names) -> str:
    """Imports, dotted names and paths of modules within a text of any kind."""

    def imports(found: re.Match[str]) -> str:
        grouped: dict[str, list[str]] = {}
        for each in found[2].split(", "):
            name, _, asname = each.partition(" as ")
            module, new = names.resolve(found[1], name)
            bound = asname or name
            grouped.setdefault(module, []).append(new if new == bound else f"{new} as {bound}")
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        if text[found.end() : found.end() + 3] == '\\n"' and len(grouped) > 1:
            joint = '\\n"\n"'  # a line of code in a literal of several
        elif line.strip() in ("", ">>>"):
            joint = "\n" + line
        else:
            joint = "; "
        return joint.join(f"from {m} import {', '.join(n)}" for m, n in grouped.items())

    def path(found: re.Match[str]) -> str:
        old = found[2]
        if old in names.moves and ("/" in old or found[1]):
            return f"{found[1]}{names.moves[old]}.py"
        return found[0]

    # Imports first; what they became is left alone by what follows.
    out, place = [], 0
    for found in _FROM.finditer(text):
        out.append((text[place : found.start()], True))
        out.append((imports(found), False))
        place = found.end()
    out.append((text[place:], True))
    return "".join(
        _PATH.sub(path, _DOTTED.sub(lambda f: names.string(f[0]), part)) if is_free else part
        for part, is_free in out
    )


def rewrite(text: str, names: Names, own: str | None = None, old: str | None = None) -> str:
    """A Python text with its imports, and its strings and comments, in the new layout.

    `own`: the new module (dotted) that it is part of, from which it needs no import.
    """
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    comments = {}
    strings = []
    fstring = getattr(tokenize, "FSTRING_MIDDLE", None)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string
        if token.type in (tokenize.STRING, tokenize.COMMENT, fstring):
            strings.append(token)
    changes = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == ROOT:
            indent = " " * node.col_offset
            one_line = node.lineno == node.end_lineno
            grouped: dict[str, list[tuple[str, str]]] = {}
            extra = []
            for alias in node.names:
                module, new = names.resolve(node.module, alias.name)
                bound = alias.asname or alias.name
                if module == own:
                    if new != bound:
                        extra.append(f"{bound} = {new}")
                    continue
                named = new if new == bound else f"{new} as {bound}"
                comment = "" if one_line else comments.get(alias.lineno, "")
                grouped.setdefault(module, []).append((named, comment))
            out = []
            for module, members in grouped.items():
                if any(comment for _, comment in members):
                    inner = "".join(
                        f"{indent}    {named},{'  ' + comment if comment else ''}\n"
                        for named, comment in members
                    )
                    out.append(f"from {module} import (\n{inner}{indent})")
                else:
                    out.append(f"from {module} import " + ", ".join(n for n, _ in members))
                    if len(indent + out[-1]) > 100:
                        inner = "".join(f"{indent}    {n},\n" for n, _ in members)
                        out[-1] = f"from {module} import (\n{inner}{indent})"
            out += extra
            new_text = f"\n{indent}".join(out)
            if not out:
                parent_only = _is_alone(tree, node)
                new_text = "pass" if parent_only else ""
            changes.append(
                ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset), new_text)
            )
        elif isinstance(node, ast.Import):
            if not any(alias.name.split(".")[0] == ROOT for alias in node.names):
                continue
            parts = []
            for alias in node.names:
                new = alias.name
                if alias.name.startswith(ROOT + "."):
                    new = names.string(alias.name)
                    if alias.asname is None and new != alias.name and names.by_dotted.get(alias.name) not in ("run",):
                        raise Refused(f"import {alias.name} without a name: {own}")
                parts.append(new + (f" as {alias.asname}" if alias.asname else ""))
            changes.append(
                ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset),
                 "import " + ", ".join(parts))
            )
    taken = [(c[0], c[1]) for c in changes]
    for token in strings:
        if any(start <= token.start and token.end <= end for start, end in taken):
            continue
        new_text = rewrite_string(token.string, names)
        if old is not None:
            new_text = rename_mentions(new_text, names, old, whole=token.start[0] == 1)
            if new_text != token.string and token.type == tokenize.STRING:
                new_text = rewrap(new_text, token.start[1])
        if new_text != token.string:
            changes.append((token.start, token.end, new_text))
    return apply_changes(_to_chars(lines, changes), changes)


def _to_chars(lines, changes):
    for (row, _), _, _ in changes:
        if not lines[row - 1].isascii():
            # Columns of the syntax tree count bytes; lines of imports are ASCII before them.
            pass
    return lines


def _is_alone(tree, node) -> bool:
    for parent in ast.walk(tree):
        for body in ("body", "orelse", "finalbody"):
            inside = getattr(parent, body, None)
            if isinstance(inside, list) and node in inside and not isinstance(parent, ast.Module):
                return len(inside) == 1
    return False


def build(new: str, parts, doc: str, names: Names, drop=lambda segment: False) -> str:
    """The text of the new module out of `parts`: (Module, the names taken or None for the rest)."""
    own = dotted(new)
    has_future = any(module.has_future for module, _ in parts)
    imports: list[Import] = []
    exported: list[str] | None = None
    bodies: list[tuple[str, list[Segment], dict[str, str]]] = []
    for module, wanted in parts:
        if wanted is None:
            kept = [
                each for each in module.segments
                if not any((module.name, name) in names.carves for name in each.names)
            ]
        else:
            kept = [each for each in module.segments if set(each.names) & set(wanted)]
            missing = set(wanted) - {n for each in kept for n in each.names}
            if missing:
                raise Refused(f"{module.name}: nothing named {sorted(missing)} to be carved out")
        kept = [each for each in kept if not drop(each)]
        here = {name for each in kept for name in each.names}
        used = {name for each in kept for name in each.uses}
        renaming = {
            name: names.renames[module.name, name]
            for name in here if (module.name, name) in names.renames
        }
        mine = [Import(*i.key, i.comment, i.is_typing) for i in module.imports
                if wanted is None or i.bound in used]
        # What the module defines, but elsewhere now.
        for name in sorted((module.defined - here) & used):
            mine.append(Import(dotted(module.name), name, None))
        for each in mine:
            if each.module.split(".")[0] == ROOT or (not each.module and each.name.startswith(ROOT)):
                if not each.module:
                    raise Refused(f"{module.name}: import {each.name}")
                bound = each.bound
                each.module, target = names.resolve(each.module, each.name)
                each.name = target
                each.asname = None if target == bound else bound
                if each.module == own:
                    if target != bound:
                        renaming[bound] = target
                    continue
            alias = names.aliases.get((module.name, each.bound))
            if alias:
                renaming[each.bound] = alias
                each.asname = alias
            imports.append(each)
        handed_on = {each.bound for each in module.imports}
        if module.exported is not None:
            exported = (exported or []) + [
                names.renames.get((module.name, name), name)
                for name in module.exported
                if name in here or (wanted is None and name in handed_on)
            ]
        bodies.append((module.name, kept, renaming))
    # Imports, once each; what is needed when the module is loaded is no matter of types alone.
    loaded = {each.key for each in imports if not each.is_typing}
    once: dict[tuple, Import] = {}
    for each in imports:
        if each.is_typing and each.key in loaded:
            continue
        if each.key in once:
            once[each.key].comment = once[each.key].comment or each.comment
        else:
            once[each.key] = each
    imports = list(once.values())
    by_bound: dict[str, set] = {}
    for each in imports:
        by_bound.setdefault(each.bound, set()).add(each.key)
    clashes = [f"{own}: {n} is imported as {sorted(map(str, k))}" for n, k in by_bound.items()
               if len(k) > 1 and any(x[0] for x in k)]
    seen: dict[str, tuple[str, str]] = {}
    body = []
    for name, segments, renaming in bodies:
        for each in segments:
            bound = tuple(renaming.get(n, n) for n in each.names)
            text = rename_tokens(each.text, renaming) if renaming else each.text
            same = [n for n in bound if n in seen]
            if same and all(seen[n][0] == text for n in bound):
                continue
            for n in same:
                if seen[n][1] != name and n != "_":
                    clashes.append(f"{own}: {n} is in {seen[n][1]} and in {name}")
            for n in bound:
                if n in by_bound:
                    clashes.append(f"{own}: {n} is imported and in {name}")
                seen.setdefault(n, (text, name))
            if name in names.modules:
                text = rewrite(text, names, own, name)
            body.append("\n" * (2 if body and each is segments[0] else each.gap) + text)
    if clashes:
        raise Refused("\n".join(clashes))
    out = [doc, "\n"]
    if has_future:
        out.append("\nfrom __future__ import annotations\n")
    out.append("\n")
    typing = [each for each in imports if each.is_typing]
    if typing and not any(i.key == ("typing", "TYPE_CHECKING", None) for i in imports):
        imports.append(Import("typing", "TYPE_CHECKING", None))
    out += [each.text() + "\n" for each in imports if not each.is_typing]
    if typing:
        out.append("\nif TYPE_CHECKING:\n")
        out += [f"    {each.text()}\n" for each in typing]
    if exported is not None:
        out.append("\n__all__ = [\n")
        out += [f'    "{name}",\n' for name in sorted(set(exported))]
        out.append("]\n")
    text = "".join(out)
    # Only what stands in functions, strings and comments is left to be rewritten.
    lower = "".join(body)
    compile(text + lower, new, "exec")
    return text + lower
