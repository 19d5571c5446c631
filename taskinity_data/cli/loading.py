"""Find a flow and its functions in the files that the user names.

No function is called; importing a file runs its top level, as any import does.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import BindError, SourceNotFound
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from types import ModuleType

    from taskinity_data.flow.flow import Flow

__all__ = ["import_file", "is_flow_path", "open_flow"]


def is_flow_path(path: str) -> bool:
    """Return whether `path` names a flow's text or a script, and not data."""
    from taskinity_data.flow.files import SUFFIXES

    return Path(path).suffix.lower() in (*SUFFIXES, ".py")


def open_flow(path: str, tasks_path: str | None = None, *, is_drawn: bool = False) -> Flow:
    """Open the flow of a text or a script, bound if there are functions to bind.

    Parameters
    ----------
    path : str
        A flow's text, or a ``.py`` file that names its flow ``flow`` and holds its tasks.
    tasks_path : str or None
        The Python file with the functions. None: a script's own; a text stays unbound.
    is_drawn : bool
        A script's flow may stay unbound too, as only its names and edges are wanted.

    Raises
    ------
    SourceNotFound
        There is no such file.
    BindError
        A script without a flow, a file that can't be imported, functions that don't fit.
    FlowSyntaxError, FlowError
        The text is not a flow.
    """
    from taskinity_data.flow.files import load_flow

    if Path(path).suffix.lower() != ".py":
        flow = load_flow(path)
        return flow if tasks_path is None else flow.bind(import_file(tasks_path))
    script = import_file(path)
    flow = _flow_of(script, path)
    if tasks_path is not None:
        return flow.bind(import_file(tasks_path))
    return flow if flow.is_bound or is_drawn else flow.bind(script)


def import_file(path: str) -> ModuleType:
    """Import the Python file `path` as a module that this process and its workers can find.

    Its folder comes first on ``sys.path``, as for ``python FILE``, so that it may import its
    neighbours. It is called as the file is; where an installed module has that name,
    ``<name>_tasks``.

    Raises
    ------
    SourceNotFound
        There is no such file.
    BindError
        It is not a Python file, or importing it fails; the message holds the user's own frames.
    """
    file = Path(path)
    if file.suffix.lower() != ".py":
        raise BindError(f"{path}: functions are read from a Python file (*.py)", path=path)
    if not file.is_file():
        scripts = file.parent.glob("*.py") if file.parent.is_dir() else ()
        neighbours = [script.name for script in scripts]
        raise SourceNotFound(f"{path}: no such file.{suggest(file.name, neighbours)}", path=path)
    file = file.resolve()
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = _module_name(file)
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise BindError(
            f"{path} can't be imported:\n{_own_traceback(error, file)}", path=path
        ) from error
    return module


def _module_name(file: Path) -> str:
    name = file.stem if file.stem.isidentifier() else "tasks"
    for candidate in (name, f"{name}_tasks"):
        loaded = sys.modules.get(candidate)
        if loaded is not None:
            is_taken = getattr(loaded, "__file__", None) != str(file)
        else:
            spec = importlib.util.find_spec(candidate)
            is_taken = spec is not None and spec.origin != str(file)
        if not is_taken:
            return candidate
    return f"{name}_tasks_{abs(hash(str(file))):x}"


def _own_traceback(error: BaseException, file: Path) -> str:
    """Return the traceback from the user's file on, without the frames that imported it."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != str(file):
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    return "".join(lines).rstrip()


def _flow_of(script: Any, path: str) -> Flow:
    from taskinity_data.flow.flow import Flow

    flow = getattr(script, "flow", None)
    if isinstance(flow, Flow):
        return flow
    others = [name for name, value in vars(script).items() if isinstance(value, Flow)]
    if others:
        hint = f"it has a flow called {others[0]}; add flow = {others[0]} at its end"
    else:
        hint = 'write flow = td.load_flow("….flow") in it, or decorate a function with @td.flow'
    raise BindError(f"{path}: a script needs a variable `flow`; {hint}", path=path)
