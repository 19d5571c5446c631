"""A description of a run for its journal: inputs, options, functions; plain values, no secrets."""

from __future__ import annotations

import inspect
import os
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.flow.binding.signatures import is_reducer
from taskinity_data.redact import clean_url
from taskinity_data.version import versions_here

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.flow.flow import Flow

__all__ = [
    "CallFacts",
    "clean_place",
    "describe_run",
    "digest_code",
    "label_tasks",
    "name_subject",
    "plain_options",
]

_SECRET = re.compile("pass|pwd|secret|token|key|credential|auth|storage_options", re.IGNORECASE)
"""Names of inputs that are not kept, whatever they hold."""


class CallFacts(NamedTuple):
    """What a run was called with in addition to its options, as far as its journal stores it.

    Attributes
    ----------
    subject : str
        What `process` was called with: runs of the same are alike. Empty for `run_flow`, whose
        runs of one flow are.
    inputs : mapping
        What `replay` needs again, as far as it can be kept.
    labels : mapping
        What to show for the names of a flow that nobody wrote, that of `process`.
    asks : tuple of str
        Names of storage options, whose values are not kept.
    """

    subject: str
    inputs: Mapping[str, Any]
    labels: Mapping[str, str]
    asks: tuple[str, ...] = ()


_MAX_BITS = 4_096
"""Of an integer that is kept: one of 4,300 digits (14,000 bits) has no decimal form in JSON."""


def describe_run(
    flow: Flow, run_id: str, subject: str, output: str | None, call: CallFacts
) -> dict[str, Any]:
    """Return the first record of a journal: who runs what, and what a replay needs."""
    return {
        "run_id": run_id,
        "flow": flow.name,
        "subject": subject,
        "output": output,
        "started_s": time.time(),
        "versions": versions_here(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "functions": {task.name: _locate_function(task.function) for task in flow.tasks},
        "inputs": {
            name: value
            for name, value in call.inputs.items()
            if _is_plain(value) and not _SECRET.search(name)
        },
        "asked": list(call.inputs),
        "asks": list(call.asks),
        "labels": dict(call.labels),
        "is_process": bool(call.subject),
        "is_wired": any(task.arguments is not None for task in flow.tasks),
        "reducers": [task.name for task in flow.tasks if is_reducer(task.function)],
    }


def digest_code(flow: Flow) -> dict[str, str]:
    """Return digests of the functions of single tasks, and of globals that they read, by name.

    Those of fan-outs come with these: they are digested there, and what they hold may be large.
    """
    from taskinity_data.checkpoints.code_identity import identify

    identity = identify(
        {f"task {task.name}": task.function for task in flow.tasks if task.width is None}
    )
    return {name: part for name, part in identity.parts.items() if name not in identity.unstable}


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that were given: as they are where they can be kept, else what they are."""
    return {
        name: value if _is_plain(value) else f"a {type(value).__name__}"
        for name, value in options.items()
        if value is not None and not _SECRET.search(name)
    }


def _locate_function(function: Any) -> list[str] | None:
    """Return module, name and file of a function that can be found by them."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        file = None
    return [module, name, str(Path(file).absolute()) if file else ""]


def _is_plain(value: Any) -> bool:
    """Return whether an input may be kept: a plain value, and no URL with secrets."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return "://" not in value or clean_url(value) == value
    if type(value) is int:
        return value.bit_length() <= _MAX_BITS
    return value is None or type(value) in (bool, float)


def clean_place(path: Any) -> str:
    """Return a path made absolute, or a URL without its secrets."""
    text = os.fsdecode(path)
    return clean_url(text) if "://" in text else str(Path(os.path.expanduser(text)).absolute())


def label_tasks(function: Any, reduce: Any, task: str | None) -> dict[str, str]:
    """Return what the flow of `process` and its tasks are shown as: by the user's functions."""
    reducer = _name_function(reduce)
    label = task or (reducer if function is None else _name_function(function))
    return {"Process": label, task or "ProcessChunk": label, "AggregateResults": reducer}


def _name_function(function: Any) -> str:
    while not (name := getattr(function, "__name__", getattr(function, "name", None))):
        if not hasattr(function, "func"):  # as functools.partial has it
            return type(function).__name__
        function = function.func
    return str(name)[:_MAX_NAME]


_MAX_NAME = 100


def name_subject(source: Any, function: Any) -> str:
    """Return what `process` was called with, in words."""
    if isinstance(source, (str, os.PathLike)):
        label = clean_place(source)
    elif isinstance(source, (list, tuple)) and source:
        label = f"{name_subject(source[0], None)} and others"
    else:
        label = f"a {type(source).__name__}"
    location = _locate_function(function)
    return label if function is None else f"{label} by {location[1] if location else 'a function'}"
