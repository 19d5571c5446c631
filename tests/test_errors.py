import copy
import importlib
import inspect
import pickle
import pkgutil
import re

import cloudpickle
import pytest

import taskinity_data
from taskinity_data import errors
from taskinity_data.errors import TaskinityDataError
from taskinity_data.wording import suggest

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, TaskinityDataError)
]
NAME = "taskinity_data."
FACTS = {"path": "flights.csv", "start": 7, "row": 3, "column": "dep_delay", "value": "N/A"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("carry", [pickle, cloudpickle])
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_every_error_survives_pickling_with_message_and_facts(kind, carry, protocol):
    error = kind("what, where, next step", **FACTS)
    again = pickle.loads(carry.dumps(error, protocol))
    assert type(again) is kind
    assert str(again) == "what, where, next step"
    assert {name: getattr(again, name) for name in FACTS} == FACTS


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_copying(kind):
    again = copy.copy(kind("text", line=3))
    assert (str(again), again.line) == ("text", 3)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not TaskinityDataError])
def test_every_error_is_also_the_built_in_that_fits(kind):
    built_in = [
        base
        for base in kind.__mro__
        if base.__module__ == "builtins" and base not in (Exception, BaseException, object)
    ]
    assert built_in, f"{kind.__name__} can't be caught as any built-in error"


def test_a_missing_source_is_caught_as_a_missing_file():
    with pytest.raises(FileNotFoundError, match="nothing there"):
        raise errors.SourceNotFound("nothing there", path="x.csv")


def test_the_exported_names_are_all_the_errors_there_are():
    assert set(errors.__all__) == {kind.__name__ for kind in KINDS} | {"hides_frames", "shorten"}
    assert errors.__all__ == sorted(errors.__all__)


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    parents: list[tuple[int, str]] = []
    drawn = {}
    for line in errors.__doc__.splitlines():
        found = re.match(r"([│├└─ ]*)([A-Z]\w+)(?: \((\w+)\))?", line)
        if found is None or found[2] not in errors.__all__:
            continue
        depth = len(found[1])
        parents = [(at, name) for at, name in parents if at < depth]
        drawn[found[2]] = (parents[-1][1] if parents else None, found[3])
        parents.append((depth, found[2]))
    assert set(drawn) == {kind.__name__ for kind in KINDS}
    for name, (parent, built_in) in drawn.items():
        bases = {base.__name__ for base in getattr(errors, name).__bases__}
        assert bases == {parent or "Exception", *([built_in] if built_in else [])}, name


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("retires", ["retries", "timeout"], " Did you mean 'retries'?"),
        ("zzz", ["retries", "timeout"], ""),
        ("a", [], ""),
        ("mean1", ["mean", "mean2"], " Did you mean 'mean' or 'mean2'?"),
    ],
)
def test_close_names_are_suggested_and_far_ones_are_not(name, known, says):
    assert suggest(name, iter(known)) == says


def test_every_exception_of_the_package_can_be_pickled_as_a_cause():
    # Where Dask is loaded, tblib pickles what an error came from together with it; classes that are
    # made later than it was loaded as Python does.
    for module in pkgutil.walk_packages(taskinity_data.__path__, NAME):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    kinds = [
        kind for kind in _subclasses(Exception) if kind.__module__.startswith("taskinity_data.")
    ]
    assert {"BadRecord", "Mistake"} <= {kind.__name__ for kind in kinds}
    for kind in kinds:
        named = list(inspect.signature(kind.__init__).parameters.values())[1:]
        needed = [p for p in named if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
        error = kind(*(f"value {number}" for number in range(len(needed))))
        make, arguments, *state = error.__reduce__()
        again = make(*arguments)
        vars(again).update(*state)
        assert (str(again), vars(again)) == (str(error), vars(error))


def _subclasses(kind):
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)
