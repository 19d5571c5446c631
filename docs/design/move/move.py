"""Move taskinity_data from the old layout into the house.

    python move.py REPOSITORY            the moves, in the work tree (staged by git mv)
    python move.py words REPOSITORY      the classes' new names, after the moves
    python move.py check REPOSITORY      what of main has no destination yet; changes nothing
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import engine  # noqa: E402
import table  # noqa: E402
from measures import measure  # noqa: E402
from engine import Module, Names, Refused, build, dotted, parse, rewrite, rewrite_string  # noqa: E402


def read_moves(text: str) -> dict[str, list[str]]:
    found = {}
    for line in text.splitlines():
        new, arrow, olds = line.partition("<-")
        if arrow:
            if new.strip() in found:
                raise Refused(f"the table has {new} twice")
            found[new.strip()] = [old.strip() for old in olds.split("+")]
    return found


class House:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root / "taskinity_data"
        self.notes: list[str] = []
        if (self.package / "formats").exists():
            raise Refused(f"{root} is in the new layout already")
        self.targets = read_moves(table.MOVES)
        self.moves = {old: new for new, olds in self.targets.items() for old in olds}
        self.old = {
            str(path.relative_to(self.package))[:-3]: path.read_text(encoding="utf-8")
            for path in sorted(self.package.rglob("*.py"))
        }
        self.check()
        self.patch_old()
        for old, new in self.moves.items():
            deeper = new.count("/") - old.count("/")
            if deeper:
                self.old[old] = self.deepen(self.old[old], deeper, new)
        self.modules = {name: parse(name, text) for name, text in self.old.items()}
        self.carved = {
            (old, name): new for old, names, new in table.CARVES for name in names.split()
        }
        self.follow()
        moves = dict(self.moves)
        moves["aggregation/__init__"] = "reducers/__init__"
        moves["flow/__init__"] = "flow/__init__"
        moves["cli/__init__"] = "cli/__init__"
        moves["__init__"] = "__init__"
        moves["chunks/describe"] = "wording"
        moves["chunks/csv_misfit"] = "formats/reader"
        self.names = Names(moves, table.FOLDERS, self.carved, table.RENAMES, table.IMPORT_ALIASES, self.modules)
        for each in ("checks", "chunks", "execution", "forecast", "records", "report"):
            self.names.by_dotted.pop(f"taskinity_data.{each}")
        for each in ("aggregation", "flow", "cli", "testing"):
            self.names.by_dotted[f"taskinity_data.{each}"] = f"{each}/__init__"
        self.names.by_dotted["taskinity_data"] = "__init__"

    # -- before anything is changed

    def check(self) -> None:
        lost = [old for old in self.moves if old not in self.old]
        ended = {old for old, names, _ in table.CARVES}
        unplaced = [
            old for old in self.old
            if old not in self.moves and not old.endswith("__init__")
            and old not in table.ENDED
        ]
        packages = [
            old for old in self.old
            if old.endswith("/__init__") and old.partition("/")[0] not in table.FOLDERS
        ]
        trouble = [f"no destination: taskinity_data/{old}.py" for old in unplaced + packages]
        trouble += [f"not there any more: taskinity_data/{old}.py" for old in lost]
        tests = read_moves(table.TESTS)
        known = {old for olds in tests.values() for old in olds}
        for path in sorted((self.root / "tests").rglob("*")):
            name = str(path.relative_to(self.root / "tests"))
            if not path.is_file() or name.startswith("corpus/") or "__pycache__" in name:
                continue
            if name not in known and name.startswith(table.TEST_FOLDERS_END):
                new = self.default_test(name)
                if new is None:
                    trouble.append(f"no destination: tests/{name}")
                else:
                    self.notes.append(f"tests/{name} goes to tests/{new}, which the table does not say")
                    table.TESTS += f"\n{new} <- {name}\n"
        for old in known:
            if not (self.root / "tests" / old).exists():
                trouble.append(f"not there any more: tests/{old}")
        if trouble:
            raise Refused("\n".join(trouble))

    @staticmethod
    def default_test(name: str) -> str | None:
        """Where a new test goes of which the table says nothing."""
        folder, _, file = name.rpartition("/")
        found = re.fullmatch(r"test_(csv|json|parquet)_(\w+\.py)", file)
        if folder == "chunks" and found:
            return f"formats/{found[1]}/test_{found[2]}"
        if folder == "chunks" and file.startswith("test_"):
            return f"chunks/{file}"
        if folder == "aggregation" and file.startswith("test_"):
            return f"reducers/{file}"
        if folder == "records" and file.startswith("test_"):
            return f"output/{file}"
        return None if file.startswith("test_") or "/" in folder else f"support/{file}"

    def patch_old(self) -> None:
        trouble = []
        for old, pairs in table.PATCHES.items():
            text = self.old[old]
            for before, after in pairs:
                if text.count(before) < 1:
                    trouble.append(f"patch of taskinity_data/{old}.py finds nothing:\n{before}")
                text = text.replace(before, after)
            self.old[old] = text
        if trouble:
            raise Refused("\n".join(trouble))

    def follow(self) -> None:
        """What only carved definitions of a module use goes where they go."""
        changed = True
        while changed:
            changed = False
            for old in {old for old, _ in self.carved}:
                segments = self.modules[old].segments
                for each in segments:
                    for name in each.names:
                        if (old, name) in self.carved or name in (self.modules[old].exported or ()):
                            continue
                        homes = {
                            self.carved.get((old, other.names[0])) if other.names else None
                            for other in segments if name in other.uses and other is not each
                        }
                        if len(homes) == 1 and None not in homes:
                            self.carved[old, name] = homes.pop()
                            changed = True

    # -- the package

    def order(self, olds: list[str]) -> list[str]:
        """`olds` so that each comes after those that it needs when it is loaded."""
        needs = {
            old: {
                other for other in olds if other != old and any(
                    not i.is_typing and (
                        i.module == dotted(other) or f"{i.module}.{i.name}" == dotted(other)
                    )
                    for i in self.modules[old].imports
                )
            }
            for old in olds
        }
        out: list[str] = []
        while len(out) < len(olds):
            ready = [old for old in olds if old not in out and needs[old] <= set(out)]
            if not ready:
                raise Refused(f"{olds} need each other")
            out.append(ready[0])
        return out

    def texts(self) -> dict[str, str]:
        """Every module of the new layout."""
        out = {}
        takes: dict[str, list[tuple[str, list[str]]]] = {}
        by_home: dict[tuple[str, str], list[str]] = {}
        for (old, name), new in self.carved.items():
            by_home.setdefault((old, new), []).append(name)
        for (old, new), names in by_home.items():
            takes.setdefault(new, []).append((old, names))
        gives = {old for old, _, _ in table.CARVES}
        trouble = []
        for new, olds in {**self.targets, **{n: [] for n in table.NEW_DOCS}}.items():
            try:
                if len(olds) == 1 and new not in takes and not gives & set(olds):
                    out[new] = rewrite(self.old[olds[0]], self.names, dotted(new), olds[0])
                    continue
                parts: list[tuple[Module, list[str] | None]] = [
                    (self.modules[old], None) for old in self.order(olds)
                ]
                lead = [(self.modules[old], names) for old, names in takes.get(new, [])]
                # Constants first; functions behind.
                parts = [p for p in lead if p[0].name in table.CARVED_FIRST] + parts + [
                    p for p in lead if p[0].name not in table.CARVED_FIRST
                ]
                if new in table.NEW_DOCS:
                    doc = f'"""{table.NEW_DOCS[new]}"""'
                elif new in table.DOCS:
                    doc = f'"""{table.DOCS[new]}"""'
                elif len(olds) == 1:
                    doc = rewrite_string(self.modules[olds[0]].doc or "", self.names)
                    doc = engine.rewrap(
                        engine.rename_mentions(doc, self.names, olds[0], whole=True), 0
                    )
                else:
                    raise Refused(f"{new}: several modules become one, and DOCS has no sentence")
                out[new] = build(new, parts, doc, self.names)
            except Refused as refused:
                trouble.append(str(refused))
        if trouble:
            raise Refused("\n".join(trouble))
        for old in ("__init__", "aggregation/__init__", "flow/__init__", "cli/__init__"):
            new = self.names.moves[old]
            out[new] = rewrite(self.old[old], self.names, dotted(new))
        out["__init__"] = self.homes(out["__init__"], "")
        out["reducers/__init__"] = self.homes(out["reducers/__init__"], "aggregation/")
        for package, doc in table.PACKAGES.items():
            if f"{package}/__init__" in out:
                continue
            if doc is None:
                doc = ast.get_docstring(ast.parse(self.old[f"{package}/__init__"]))
            out[f"{package}/__init__"] = f'"""{doc}"""\n'
        for new, pairs in table.PATCHES_NEW.items():
            for before, after in pairs:
                if before not in out[new]:
                    trouble.append(f"patch of {new}.py finds nothing:\n{before}")
                out[new] = out[new].replace(before, after)
        for old in table.ENDED:
            left = [
                name for each in self.modules[old].segments for name in each.names
                if (old, name) not in self.carved
            ]
            if left:
                trouble.append(f"{old} ends, but CARVES has no place for {left}")
        trouble += self.find_lost(out)
        if trouble:
            raise Refused("\n".join(trouble))
        return out

    @staticmethod
    def find_lost(texts: dict[str, str]) -> list[str]:
        """Imports of what is not there."""
        trees = {new: ast.parse(text) for new, text in texts.items()}
        bound = {}
        for new, tree in trees.items():
            found = set()
            for node in tree.body:
                found.update(engine.bound_names(node))
            bound[new] = found
        bound["__init__"].update(["errors", "__version__"])
        trouble = []
        for new, tree in trees.items():
            for node in ast.walk(tree):
                if not isinstance(node, ast.ImportFrom):
                    continue
                parts = (node.module or "").split(".")
                if parts[0] != "taskinity_data":
                    continue
                base = "/".join(parts[1:])
                home = base if base in texts else f"{base}/__init__".lstrip("/")
                for alias in node.names:
                    full = f"{base}/{alias.name}".lstrip("/")
                    if full in texts or f"{full}/__init__" in texts or "*" == alias.name:
                        continue
                    if home not in texts or (
                        alias.name not in bound[home] and "__getattr__" not in bound[home]
                    ):
                        trouble.append(f"{new}.py imports {alias.name} from {node.module}: not there")
        return trouble

    def homes(self, text: str, base: str) -> str:
        """The table of a lazy `__init__`: ``"name": "module"`` or ``"name": "module.name"``."""

        def change(found: re.Match[str]) -> str:
            name, home = found[1], found[2]
            if base:
                module, _, inner = home.partition(".")
                old = base + module
            else:
                old, inner = home.replace(".", "/"), ""
            if old + "/__init__" in self.old:
                new = self.names.packages[old]
            else:
                inner_name = inner or name
                new = self.carved.get((old, inner_name)) or self.moves[old]
            new = new.removeprefix("reducers/") if base else new
            return f'    "{name}": "{new.replace("/", ".")}{"." + inner if inner else ""}",'

        head, mark, table_text = text.partition("_HOMES = {\n")
        if not mark:
            raise Refused("an __init__ has no _HOMES any more: lazy imports are kept otherwise now")
        inside, mark2, rest = table_text.partition("\n}")
        inside = re.sub(r'    "(\w+)": "([\w.]+)",', change, inside)
        return head + mark + inside + mark2 + rest

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True
        ).stdout

    def write_package(self, texts: dict[str, str]) -> None:
        moved = {}
        for new, olds in self.targets.items():
            moved[f"{olds[0]}.py"] = f"{new}.py"
        moved["aggregation/__init__.py"] = "reducers/__init__.py"
        moved["report/html_page.jinja"] = "report/html/page.jinja"
        for old, new in table.DATA_MOVES.items():
            moved[old] = new
        gone = [
            f"{old}.py" for old in self.old if f"{old}.py" not in moved and old not in texts
        ]
        self.git("rm", "-q", *[f"taskinity_data/{each}" for each in gone])
        # By way of names that nobody has: dataset.py goes where opened.py was.
        changed = {old: new for old, new in moved.items() if old != new}
        for number, old in enumerate(changed):
            self.git("mv", f"taskinity_data/{old}", f"taskinity_data/.moving-{number}")
        for number, new in enumerate(changed.values()):
            (self.package / new).parent.mkdir(parents=True, exist_ok=True)
            self.git("mv", f"taskinity_data/.moving-{number}", f"taskinity_data/{new}")
        for new, text in texts.items():
            path = self.package / f"{new}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for folder in sorted(self.package.rglob("*"), reverse=True):
            if folder.is_dir() and not [e for e in folder.iterdir() if e.name != "__pycache__"]:
                subprocess.run(["rm", "-r", folder], check=True)

    # -- tests

    def move_tests(self) -> None:
        tests = self.root / "tests"
        moves = read_moves(table.TESTS)
        joined = {new: olds for new, olds in moves.items() if len(olds) > 1}
        kept = {
            old: (tests / old).read_text(encoding="utf-8")
            for olds in joined.values() for old in olds
        }
        changed = {olds[0]: new for new, olds in moves.items() if olds[0] != new}
        for number, old in enumerate(changed):
            self.git("mv", f"tests/{old}", f"tests/.moving-{number}")
        for olds in joined.values():
            self.git("rm", "-q", *[f"tests/{old}" for old in olds[1:]])
        for number, new in enumerate(changed.values()):
            (tests / new).parent.mkdir(parents=True, exist_ok=True)
            self.git("mv", f"tests/.moving-{number}", f"tests/{new}")
        for old, new in changed.items():
            deeper = new.count("/") - old.count("/")
            path = tests / new
            if deeper and path.suffix == ".py":
                text = path.read_text(encoding="utf-8")
                path.write_text(self.deepen(text, deeper, new), encoding="utf-8")
        for new, olds in joined.items():
            modules = [parse(old, kept[old]) for old in olds]
            doc = f'"""{table.TEST_DOCS[new]}"""'
            text = build(new, [(m, None) for m in modules], doc, self.names,
                         drop=lambda s: s.text.strip().split("\n")[-1].startswith("sys.path"))
            head, mark, tail = text.partition("\n\n\n") if "\n\n\n" in text else (text, "", "")
            text = self.after_imports(text, table.TEST_HEADS.get(new, ""))
            (tests / new).write_text(text, encoding="utf-8")
        for name, wanted, new, doc in table.TEST_CARVES:
            text = (tests / name).read_text(encoding="utf-8")
            segment = next(s for s in parse(name, text).segments if wanted in s.names)
            if segment.text not in text:
                raise Refused(f"tests/{name}: {wanted} can't be carved out")
            text = text.replace(segment.text, "")
            import_ = f"from {Path(new).stem} import {wanted}\n"
            (tests / name).write_text(self.after_imports(text, import_.rstrip()), encoding="utf-8")
            (tests / new).write_text(f'"""{doc}"""\n\n{segment.text}', encoding="utf-8")
        for folder in sorted(tests.rglob("*"), reverse=True):
            if folder.is_dir() and not [e for e in folder.iterdir() if e.name != "__pycache__"]:
                subprocess.run(["rm", "-r", folder], check=True)

    @staticmethod
    def after_imports(text: str, more: str) -> str:
        if not more:
            return text
        tree = ast.parse(text)
        last = max(n.end_lineno for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)))
        lines = text.splitlines(keepends=True)
        return "".join(lines[:last]) + "\n" + more + "\n" + "".join(lines[last:])

    def deepen(self, text: str, by: int, name: str) -> str:
        def parents(found: re.Match[str]) -> str:
            return f"{found[1]}.parents[{int(found[2]) + by}]"

        text = re.sub(r"(Path\(__file__\)(?:\.resolve\(\))?)\.parents\[(\d+)\]", parents, text)

        def chain(found: re.Match[str]) -> str:
            count = found[2].count(".parent")
            return f"{found[1]}.parents[{count - 1 + by}]"

        return re.sub(r"(Path\(__file__\)(?:\.resolve\(\))?)((?:\.parent\b(?!s)){2,})", chain, text)

    # -- everything else that names modules

    def rewrite_others(self) -> None:
        trouble = []
        listed = self.git("ls-files", "-co", "--exclude-standard").splitlines()
        joined = {f"tests/{new}" for new, olds in read_moves(table.TESTS).items() if len(olds) > 1}
        for name in sorted(set(listed)):
            path = self.root / name
            if name.startswith(("taskinity_data/", "tests/corpus/")) or not path.is_file():
                continue
            if path.is_symlink() or name in joined:
                continue
            try:
                if path.suffix == ".py":
                    text = path.read_text(encoding="utf-8")
                    new = rewrite(text, self.names)
                elif path.suffix in (".md", ".toml", ".flow", ".txt", ".jinja", ".json") or path.name in (
                    "Makefile", ".gitignore"
                ) or name.startswith(".ci/"):
                    text = path.read_text(encoding="utf-8")
                    new = text if name in table.TEXTS_STAY else rewrite_string(text, self.names)
                    if name.startswith("docs/design/"):
                        new = engine.rename_mentions(new, self.names, "", whole=False)
                elif path.suffix == ".ipynb":
                    text = path.read_text(encoding="utf-8")
                    new = self.notebook(text)
                else:
                    continue
            except Refused as refused:
                trouble.append(f"{name}: {refused}")
                continue
            new = self.test_paths(new)
            for before, after in table.TEXT_PATCHES.get(name, []):
                if before not in new:
                    trouble.append(f"patch of {name} finds nothing:\n{before}")
                new = new.replace(before, after)
            if new != text:
                path.write_text(new, encoding="utf-8")
        if trouble:
            raise Refused("\n".join(trouble))

    def notebook(self, text: str) -> str:
        book = json.loads(text)
        changed = False
        for cell in book["cells"]:
            lines = "".join(cell["source"])
            new = rewrite_string(lines, self.names)
            if new != lines:
                changed = True
                cell["source"] = new.splitlines(keepends=True)
        return json.dumps(book, indent=1, ensure_ascii=False) + "\n" if changed else text

    def test_paths(self, text: str) -> str:
        for new, olds in read_moves(table.TESTS).items():
            for old in olds:
                text = re.sub(rf"\btests/{re.escape(old)}(?![\w/])", f"tests/{new}", text)
        return text

    def write_pyproject(self) -> None:
        path = self.root / "pyproject.toml"
        text = path.read_text(encoding="utf-8")
        start = text.index("[tool.importlinter]")
        end_match = re.search(r"\n\[(?!\[?tool\.importlinter)", text[start:])
        end = start + end_match.start() if end_match else len(text)
        text = text[:start] + (HERE / "importlinter.toml").read_text() + text[end:]
        path.write_text(text, encoding="utf-8")

    def place_documents(self) -> None:
        for source in sorted((HERE / "place").rglob("*")):
            if source.is_file() and "__pycache__" not in str(source):
                target = self.root / source.relative_to(HERE / "place")
                if target.exists():
                    raise Refused(f"{target} is there already")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        section = (HERE / "contributing_section.txt").read_text(encoding="utf-8")
        path = self.root / "CONTRIBUTING.md"
        text = path.read_text(encoding="utf-8")
        start, end = text.index("## Where things are"), text.index("## How code reads here")
        path.write_text(text[:start] + section + text[end:], encoding="utf-8")
        house = (HERE / "house.txt").read_text(encoding="utf-8")
        house = house.replace("@CHANGES@", section[section.index("| change |") :].rstrip() + "\n")
        after = measure(self.root)
        for name, value in self.before.items():
            house = house.replace(f"@{name}@", f"{value:,} | {after[name]:,}")
        (self.root / "docs/design/house.md").write_text(house, encoding="utf-8")
        path = self.root / "CHANGELOG.md"
        text = path.read_text(encoding="utf-8").rstrip("\n") + "\n"
        line = (
            "- Run directories have a format number. A run that an earlier version began is listed, shown and\n"
            "  compared, but not resumed: its code has other names.\n"
        )
        if "### Changed\n" in text:
            head, mark, tail = text.partition("### Changed\n")
            inside, next_, rest = tail.partition("\n#")
            text = head + mark + inside.rstrip("\n") + "\n" + line + ("\n#" + rest if next_ else "")
        else:
            text += "\n### Changed\n" + line
        path.write_text(text, encoding="utf-8")

    def check_documents(self) -> None:
        known = (HERE / "house_known.txt").read_text(encoding="utf-8").splitlines()
        now = (self.root / "docs/design/house.md").read_text(encoding="utf-8").splitlines()
        new = [line for line in now if line not in known]
        if new:
            raise Refused("docs/design/house.md says what the prepared text does not:\n" + "\n".join(new)
                          + "\n(add it to house.txt and to house_known.txt)")

    def lost_attributes(self) -> None:
        """Attributes of our modules that tests use or patch, and that are not there now."""
        texts = {
            str(p.relative_to(self.package))[:-3]: p.read_text(encoding="utf-8")
            for p in self.package.rglob("*.py")
        }
        bound = {}
        for new, text in texts.items():
            bound[new] = {n for s in ast.parse(text).body for n in engine.bound_names(s)}
            for node in ast.parse(text).body:  # what is imported for types alone
                if isinstance(node, ast.If):
                    bound[new] |= set(engine.bound_names(node))
        for path in [*(self.root / "tests").rglob("*.py"), *(self.root / "benchmarks").rglob("*.py")]:
            if "corpus" in path.parts:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            aliases = {}
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskinity_data"):
                    for alias in node.names:
                        full = "/".join([*node.module.split(".")[1:], alias.name])
                        if full in texts:
                            aliases[alias.asname or alias.name] = full
            for node in ast.walk(tree):
                used = None
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    used = node.value.id, node.attr
                elif (
                    isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr"
                    and len(node.args) > 1 and isinstance(node.args[0], ast.Name)
                    and isinstance(node.args[1], ast.Constant)
                ):
                    used = node.args[0].id, node.args[1].value
                if used and not used[1].startswith("__") and used[0] in aliases and used[1] not in bound[aliases[used[0]]]:
                    self.notes.append(
                        f"LOST: {path.relative_to(self.root)}:{node.lineno}: {used[1]} is not in "
                        f"{aliases[used[0]]}.py: add a line to TEXT_PATCHES"
                    )

    def lost_mentions(self) -> None:
        files = {p.name for p in self.root.rglob("*.py") if ".venv" not in p.parts}
        for path in sorted((self.root / "docs").rglob("*.md")):
            for name in re.findall(r"`(?:[\w-]+/)*(\w+\.py)`", path.read_text(encoding="utf-8")):
                if name not in files:
                    self.notes.append(f"{path.relative_to(self.root)} names {name}, which is no more")

    def run(self) -> None:
        self.check_documents()
        self.before = measure(self.root)
        texts = self.texts()
        self.write_package(texts)
        self.move_tests()
        self.rewrite_others()
        self.write_pyproject()
        self.tidy()
        self.place_documents()
        self.lost_mentions()
        self.lost_attributes()
        self.tidy()
        self.git("add", "-A")
        self.report(texts)

    def tidy(self) -> None:
        ruff = [str(HERE / ".venv/bin/ruff") if (HERE / ".venv").exists() else "ruff"]
        for arguments in (
            ["check", "-q", "--select", "I,F401,F811,RUF022", "--fix", "--exit-zero", "."],
            ["format", "-q", "."],
            ["check", "-q", "--select", "I,F401,TC001,TC002,TC003,TC004,TC005", "--fix", "--unsafe-fixes", "--exit-zero",
             "taskinity_data"],
            ["format", "-q", "."],
        ):
            subprocess.run([*ruff, *arguments], cwd=self.root, check=True)

    def report(self, texts) -> None:
        counts: dict[str, int] = {}
        for new in texts:
            path = self.package / f"{new}.py"
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > 400:
                olds = self.targets.get(new, [])
                word = "JOIN OVER 400" if len(olds) > 1 else "over 400"
                print(f"{word}: {new}.py has {lines} lines", olds)
            if not new.endswith("__init__"):
                folder = new.rpartition("/")[0]
                counts[folder] = counts.get(folder, 0) + 1
        for folder, count in counts.items():
            if count > 16:
                print(f"FULL: {folder} has {count} files")
        for note in [*self.notes, *sorted(self.names.notes)]:
            print("note:", note)


def main() -> None:
    began = time.monotonic()
    arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] == "words":
            import words

            words.run(Path(arguments[1]).resolve())
        elif arguments and arguments[0] == "check":
            house = House(Path(arguments[1]).resolve())
            house.check_documents()
            house.texts()
            print("every module has a destination, every patch applies")
        else:
            House(Path(arguments[0]).resolve()).run()
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)
    print(f"{time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
