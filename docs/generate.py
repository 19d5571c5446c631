"""Write the parts of the reference that are generated from the package.

A page has a comment ``<!-- generate: NAME -->`` where the text of the function NAME goes, each time
that the page is read. Nothing is stored.
"""

import inspect
import re
from pathlib import Path

import click

from taskinity_data import errors, events
from taskinity_data.cli.group import commands
from taskinity_data.flow.keywords import KEYWORDS
from taskinity_data.settings import NAMES, load_settings, variable_of

# Without an underscore, since other modules of the package use them; not for users.
INTERNAL = {
    f"{kind}.{member}"
    for kind, members in {
        "Chunk": "failure index load mark pieces ranges reader refuse_unreadable",
        "ChunkPlan": "chunks extents forecast forecast_of is_given",
        "Dataset": "chunk_size cut divide encode expansion extent extents first_size group_nbytes "
        "iter_grains learner pick reader refuse_unreadable select sources",
        "Flow": "fallbacks last output upstreams",
        "Run": "bound explain_failure missing",
    }.items()
    for member in members.split()
}

PLACEHOLDER = re.compile(r"^<!-- generate: (\w+) -->$", re.MULTILINE)


def fill_page(_app, _name, source):
    """Replace the placeholders of a page, as Sphinx reads it."""
    source[0] = PLACEHOLDER.sub(lambda found: PAGES[found[1]](), source[0])


def shorten_signature(_app, what, name, *facts):
    """Leave out how classes are made, and the eighty options that `process` hands on."""
    _object, _options, signature, returned = facts
    if what == "class":
        return "", None
    if name.endswith(".process"):
        signature = re.sub(r"(?<=reduce=None), .*\)", ", **options)", signature)
    return signature, returned


def skip_internal(_app, _what, _name, member, _is_skipped, _options):
    """Leave out the members of public classes that are not for users."""
    function = getattr(member, "fget", None) or getattr(member, "func", None) or member
    return True if getattr(function, "__qualname__", None) in INTERNAL else None


def find_public_name(app, env, node, shown):
    """Link ``td.NAME`` to its page."""
    if not node.get("reftarget", "").startswith("td."):
        return None
    target = node["reftarget"].replace("td.", "taskinity_data.", 1)
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, shown)


def command_line():
    """Return a section for each command, with its own ``--help``."""
    top = _context(commands, "taskinity-data", None)
    return "\n\n".join([_literal(commands.get_help(top)), *_subcommands(commands, top, 2)])


def _subcommands(group, above, level):
    for name in group.list_commands(above):
        command = group.get_command(above, name)
        context = _context(command, name, above)
        yield f"{'#' * level} {name}\n\n{_literal(command.get_help(context))}"
        if isinstance(command, click.Group):
            yield from _subcommands(command, context, level + 1)


def _context(command, name, above):
    return click.Context(command, above, name, terminal_width=88, **commands.context_settings)


def _literal(text):
    return f"```text\n{click.unstyle(text).rstrip()}\n```"


def error_list():
    """Return a section for each error: cause, cure, attributes and the built-in that it is, too."""
    tree = re.search(r"^TaskinityDataError\n(?:[│├└ ].*\n)+", errors.__doc__, re.MULTILINE)
    names = re.findall(r"[├└]── (\w+)", tree[0])
    return "\n\n".join([_literal(tree[0]), *(_error(getattr(errors, name)) for name in names)])


def _error(kind):
    text = inspect.cleandoc(kind.__doc__)
    text, _, attributes = text.partition("\nAttributes\n----------\n")
    bases = [f"`{base.__name__}`" for base in kind.__bases__]
    lines = [
        f"## {kind.__name__}",
        f"Is a {' and a '.join(bases)}.",
        re.sub(r"\bCure:", "**Cure:**", text.strip()),
    ]
    if attributes:
        lines.append("Attributes:\n\n" + _list_attributes(attributes))
    return "\n\n".join(lines)


def _list_attributes(text):
    """Return numpydoc's attributes as a list."""
    names = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    items = []
    for entry in filter(None, names):
        name, _, description = entry.partition("\n")
        name, _, kind = name.partition(" : ")
        description = " ".join(description.split())
        items.append(
            f"- `{name}`" + (f" ({kind})" if kind else "") + f": {description}".rstrip(": ")
        )
    return "\n".join(items)


def event_list():
    """Return a list of the events of a run, in the order of their definition."""
    kinds = [getattr(events, name) for name in events.__all__ if name not in ("Event", "Observer")]
    kinds.sort(key=lambda kind: inspect.getsourcelines(kind)[1])
    rows = []
    for kind in kinds:
        when = " ".join(inspect.cleandoc(kind.__doc__).split())
        fields = ", ".join(f"`{name}`" for name in kind.__annotations__)
        rows.append(f"`{kind.__name__}`\n: {when}\n  Fields: {fields}.")
    return "\n\n".join(rows)


def setting_list():
    """Return a table of the settings with their defaults."""
    defaults = load_settings({}, Path("/"))
    rows = ["| variable | default |", "| --- | --- |"]
    for name in NAMES:
        default = getattr(defaults, name)
        rows.append(
            f"| `{variable_of(name)}` | {'not set' if default is None else f'`{default}`'} |"
        )
    return "\n".join(rows)


def task_keys():
    """Return a table of the keys of a task in the flow language."""
    rows = ["| key | value |", "| --- | --- |", "| `description` | a text in quotes |"]
    rows += [f"| `{key}` | {kind.expected} |" for key, kind in KEYWORDS.items() if kind.read]
    return "\n".join(rows)


PAGES = {
    function.__name__: function
    for function in (command_line, error_list, event_list, setting_list, task_keys)
}
