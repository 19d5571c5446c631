"""Give classes and functions their new names, by token, wherever they are imported.

A name is renamed in the module that defines it, in each file that imports it from there (or from a
module that hands it on), behind each alias of that module, in `__all__`, in texts in backticks of
those files, and in dotted strings.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from pathlib import Path

from engine import Refused, apply_changes

HERE = Path(__file__).resolve().parent

# (module in the new layout, name): new name.
WORDS = {
    ("flow/stages", "FanOut"): "FanOutStage",
    ("execution/fan_out", "FanOut"): "RunningFanOut",
    ("flow/stages", "Step"): "ChainStep",
    ("execution/checkpoint_protocol", "Checkpoints"): "CheckpointKeeper",
    ("execution/jobs", "Output"): "OutputTarget",
    ("execution/stop_rules", "Limits"): "StopRules",
    ("machine", "Limits"): "MachineLimits",
    ("run/journal", "Notices"): "NoticeBoard",
    ("flow/fan_outs", "Place"): "FlowNode",
    ("flow/fan_outs", "find_places"): "find_nodes",
    ("output/local/place", "Place"): "WorkPlace",
    ("formats/csv/records/blocks", "Block"): "RecordBlock",
    ("formats/stream", "Block"): "StreamBlock",
    ("output/staging", "Attempt"): "WriteAttempt",
    ("execution/worker/child_process", "Nursery"): "ChildPool",
    ("execution/attempts", "Judge"): "Attempts",
    ("execution/choose_scheduler", "Chooser"): "SchedulerChoice",
    ("execution/worker/log_capture", "Heard"): "CapturedLogs",
    ("execution/worker/log_capture", "hearing"): "capture_logs",
    ("execution/worker/log_capture", "lowered"): "lower_level",
    ("run/session", "OneRun"): "RunSession",
    ("run/session", "carry_out"): "run_session",
    # Not in HOUSE.md's list, so that no class name stands for two things.
    ("flow/language/parser", "Block"): "TaskText",
    ("formats/file_layouts/ipc_messages", "Block"): "MessageRange",
    ("formats/file_layouts/ipc_messages", "Footer"): "IpcFooter",
    ("sources/compression/bz2_blocks", "Block"): "Bz2Block",
    ("sources/compression/unpack_parts", "Part"): "PackedRange",
    ("reducers/spilling/spilled", "Block"): "SpilledBlock",
    ("reducers/spilling/spilled", "Column"): "SpilledColumn",
    ("reducers/spilling/spilled", "State"): "SpilledState",
    ("reducers/spilling/scratch", "Scratch"): "SpillFile",
    ("cli/output", "Answer"): "JsonAnswer",
    ("reducers/columns", "ApproxDistinct"): "ApproxDistinctReducer",
    ("flow/binding/match_arguments", "Given"): "FlowInputs",
    ("formats/json/types", "Given"): "NamedType",
    ("formats/json/cuts", "Grain"): "JsonGrain",
    ("cli/commands/bench_measure", "Job"): "BenchJob",
    ("formats/json/cuts", "Layout"): "RecordLayout",
    ("formats/tables", "Layout"): "TableLayout",
    ("formats/json/exact", "Misfit"): "JsonMisfit",
    ("formats/json/sample", "Seen"): "SampleFacts",
    ("formats/schema", "Seen"): "ColumnFacts",
    ("flow/diagram/layout", "Size"): "NodeSize",
    ("formats/json/exact", "Trouble"): "BadRecord",
    ("forecast/forecast", "Work"): "RunSeconds",
    ("execution/worker/run_item", "Writer"): "ResultWriter",
    ("output/parts", "Writer"): "PartWriter",
}


def run(root: Path) -> None:
    package = root / "taskinity_data"
    modules = {
        ".".join(("taskinity_data", *path.relative_to(package).with_suffix("").parts)): path
        for path in sorted(package.rglob("*.py"))
    }
    targets = {}
    for (module, name), new in WORDS.items():
        dotted = "taskinity_data." + module.replace("/", ".")
        if dotted not in modules:
            raise Refused(f"there is no module {module}")
        if not re.search(rf"^(class|def) {name}\b", modules[dotted].read_text(), re.MULTILINE):
            raise Refused(f"{module} has no {name}")
        targets[dotted, name] = new
    # Modules that hand a name on, by importing it and listing it in __all__.
    for dotted, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        exported = {
            e.value for n in tree.body if isinstance(n, ast.Assign)
            and getattr(n.targets[0], "id", "") == "__all__" for e in n.value.elts
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    key = (node.module, alias.name)
                    if key in targets and alias.name in exported and alias.asname is None:
                        targets[dotted, alias.name] = targets[key]
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, check=True,
        capture_output=True, text=True,
    ).stdout.splitlines()
    trouble = []
    by_path = {path: dotted for dotted, path in modules.items()}
    for name in sorted(set(listed)):
        path = root / name
        if path.suffix != ".py" or not path.is_file() or path.is_symlink():
            continue
        text = path.read_text(encoding="utf-8")
        try:
            new = change(text, by_path.get(path), targets, set(modules))
        except Refused as refused:
            trouble.append(f"{name}: {refused}")
            continue
        if new != text:
            path.write_text(new, encoding="utf-8")
    if trouble:
        raise Refused("\n".join(trouble))
    documents(root, listed)
    for arguments in (["check", "-q", "--select", "I,RUF022,PLC0414", "--fix", "--unsafe-fixes",
                       "--exit-zero", "."],
                      ["format", "-q", "."]):
        subprocess.run([str(HERE / ".venv/bin/ruff") if (HERE / ".venv").exists() else "ruff", *arguments], cwd=root, check=True)


def change(text: str, own: str | None, targets, modules) -> str:
    tree = ast.parse(text)
    local: dict[str, str] = {}      # a bare name -> its new name
    imported: dict[tuple[int, str], str] = {}  # (line of an import, name there) -> its new name
    aliases: dict[str, str] = {}    # a name that a module is bound to -> the module
    for (module, name), new in targets.items():
        if module == own:
            local[name] = new
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                key = (node.module, alias.name)
                if f"{node.module}.{alias.name}" in modules:
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                elif key in targets:
                    imported[node.lineno, alias.name] = targets[key]
                    if alias.asname is None:
                        if local.get(alias.name, targets[key]) != targets[key]:
                            raise Refused(f"{alias.name} means two things")
                        local[alias.name] = targets[key]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname and alias.name in modules:
                    aliases[alias.asname] = alias.name
    if own is not None:
        # A name that is defined here, too, in a class or function, is another.
        for old in list(local):
            if (own, old) in targets:
                continue
    dotted = {f"{module}.{name}": f"{module}.{new}" for (module, name), new in targets.items()}
    bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {
        n.name for n in ast.walk(tree) if isinstance(n, (ast.ClassDef, ast.FunctionDef))
    }
    clashes = [f"{old} -> {new}" for old, new in local.items() if new in bound]
    if clashes:
        raise Refused(f"there already: {clashes}")
    # Which line belongs to which import.
    spans = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for line in range(node.lineno, node.end_lineno + 1):
                spans[line] = node.lineno
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    changes = []
    depth = 0
    for number, token in enumerate(tokens):
        if token.type == tokenize.OP:
            depth += 1 if token.string in "([{" else -1 if token.string in ")]}" else 0
        elif token.type == tokenize.NAME:
            before = tokens[number - 1].string if number else ""
            after = tokens[number + 1].string if number + 1 < len(tokens) else ""
            if token.start[0] in spans:
                new = imported.get((spans[token.start[0]], token.string))
                if new and before != "as":
                    changes.append((token.start, token.end, new))
                    continue
            if before == ".":
                holder = tokens[number - 2].string
                key = (aliases.get(holder), token.string)
                if key in targets and tokens[number - 3].string != ".":
                    changes.append((token.start, token.end, targets[key]))
            elif token.string in local and not (
                after == "=" and depth > 0 and before in ("(", ",")
            ) and not (spans.get(token.start[0]) and before != "as" and False):
                if token.start[0] in spans:
                    continue
                changes.append((token.start, token.end, local[token.string]))
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            new = token.string
            for old, word in local.items():
                new = re.sub(rf"`{old}(?=[`.(])", f"`{word}", new)
                new = re.sub(rf"(>>> .*?)\b{old}\b", rf"\1{word}", new)
                if new in (f'"{old}"', f"'{old}'"):
                    new = new.replace(old, word)
                # Types in numpydoc, and code in strings that imports the name.
                new = re.sub(rf"(?m)^(\s+\w+ : .*?)\b{old}\b", rf"\1{word}", new)
            for old, word in dotted.items():
                new = re.sub(rf"(?<![\w.]){re.escape(old)}\b", word, new)
            for (module, old), word in targets.items():
                if f"from {module} import" in new:
                    new = re.sub(rf"\b{old}\b", word, new)
            if new != token.string:
                changes.append((token.start, token.end, new))
    return apply_changes(text.splitlines(keepends=True), changes)


def documents(root: Path, listed) -> None:
    """Names that nothing else has are renamed in the documents; the others are listed."""
    news: dict[str, set[str]] = {}
    for (_, old), new in WORDS.items():
        news.setdefault(old, set()).add(new)
    left = "\n".join(
        (root / name).read_text(encoding="utf-8") for name in listed
        if name.startswith("taskinity_data/") and name.endswith(".py") and (root / name).is_file()
    )
    for name in sorted(set(listed)):
        path = root / name
        if path.suffix != ".md" or name == "CHANGELOG.md" or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        for old, words in news.items():
            found = re.findall(rf"`(?:[\w.]+\.)?{old}\b[^`]*`", text)
            if not found:
                continue
            is_clear = len(words) == 1 and not re.search(rf"^(class|def) {old}\b", left, re.MULTILINE)
            if is_clear:
                word = next(iter(words))
                text = re.sub(rf"(`(?:[\w.]+\.)?){old}\b", rf"\g<1>{word}", text)
            else:
                print(f"look at {name}: {sorted(set(found))}: which of {sorted(words)}?")
        path.write_text(text, encoding="utf-8")
