"""How a run writes its rows, checked; who gets storage options; and which inputs are written.

It knows nothing of sinks, and of runs that go.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, SchemaError
from taskinity_data.flow.binding.wiring import wire
from taskinity_data.flow.stages import FanOutStage, Input, stages
from taskinity_data.output.inputs import InputRules
from taskinity_data.output.partitions import check_columns, check_partition_by
from taskinity_data.output.sink import is_in_store, read_facts
from taskinity_data.run.describe_run import clean_place
from taskinity_data.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.flow.model import Flow

__all__ = [
    "OutputOptions",
    "choose_files",
    "expect_rules",
    "is_in_memory",
    "locate",
    "share_options",
]


@dataclass(frozen=True)
class OutputOptions:
    """What `run_flow` was told of its output, under its names there."""

    output: Any = None
    output_format: str = "parquet"
    partition_by: str | Sequence[str] = ()
    if_exists: str = "error"
    only_new: bool = False
    allow_repeated: bool = False
    max_rows_per_file: int | None = None
    output_compression: str | None = None
    spreadsheet_safe: bool = False
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False)

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `PlanError` where rows of these columns can't be parted by `partition_by`."""
        try:
            check_columns(check_partition_by(self.partition_by), names, "the dataset")
        except SchemaError as error:
            raise PlanError(str(error), column=error.column) from error

    def shared_with(
        self, source: Any, output_dir: str | None
    ) -> tuple[OutputOptions, dict[str, Any]]:
        """These and the source's options, where `storage_options` are given for all URLs at once.

        Parameters
        ----------
        source : object
            What `process` was given.
        output_dir : str or None
            See `locate`.
        """
        if self.storage_options is None:
            return self, {}
        items = source if isinstance(source, (list, tuple)) else [source]
        is_for_output = is_in_store(locate(self.output, output_dir))
        is_for_source = any(map(is_in_store, items)) or not is_for_output
        options = {"storage_options": self.storage_options} if is_for_source else {}
        return (self if is_for_output else replace(self, storage_options=None)), options

    def told(self) -> dict[str, Any]:
        """How the output is written, as plain values: without where, and what may be secret."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.given().items()
            if name not in ("output", "storage_options")
        }

    def check(self) -> None:
        """Raise `PlanError` where something is said of an output that there is not."""
        given = self.given()
        if self.output is None and given:
            raise PlanError(
                f"{next(iter(given))}= says how output is written: say where with output="
            )
        for name in ("only_new", "allow_repeated"):
            if getattr(self, name) not in (False, True):
                raise PlanError(f"{name}={getattr(self, name)!r}: give True or False")
            if getattr(self, name) and self.if_exists != "append":
                raise PlanError(f"{name}=True goes with if_exists='append': say that too")
        if self.only_new and self.allow_repeated:
            raise PlanError(
                "only_new=True leaves out inputs that the output has, allow_repeated=True appends "
                "them again: say one of them"
            )

    def given(self) -> dict[str, Any]:
        """Those that are not the defaults."""
        return {
            name: value for name, value in vars(self).items() if value != getattr(type(self), name)
        }


def share_options(
    flow: Flow, written: OutputOptions, inputs: Mapping[str, Any]
) -> tuple[OutputOptions, dict[str, Any], Mapping[str, Any] | None]:
    """Who gets the `storage_options` of a flow's run, which stand for all its URLs at once.

    They go to an output in a store; and, where an input is a URL or nothing is written to a store,
    to tasks that have a parameter of that name, and to URLs that the run itself opens.

    Parameters
    ----------
    flow : Flow
    written : OutputOptions
        What was said of the output, with the `storage_options`.
    inputs : mapping
        Of the flow.

    Returns
    -------
    (OutputOptions, dict, mapping or None)
        Those of the output, the inputs, and the options of URLs that the run opens.

    Raises
    ------
    PlanError
        Nobody takes them.
    """
    given = dict(inputs)
    if written.storage_options is None:
        return written, given, None
    written, shared = written.shared_with(list(given.values()), load_settings().output_dir)
    options = shared.get("storage_options")
    if options is None:
        return written, given, None
    fills = wire(flow, {*given, "storage_options"}).fills.values()
    if any(Input("storage_options") in fill.sources() for fill in fills):
        given.setdefault("storage_options", dict(options))
    elif written.storage_options is None and not any(
        isinstance(stage, FanOutStage)
        and isinstance(stage.over, Input)
        and is_in_store(given.get(stage.over.name))
        for stage in stages(flow, tuple(given))
    ):
        raise PlanError(
            f"storage_options ({', '.join(sorted(options))}) reach no URL: the flow opens its data "
            "in a function; give that a parameter storage_options, and hand it to td.open_dataset"
        )
    return written, given, options


def choose_files(dataset: Dataset, rules: InputRules, say: Callable[[str], None]) -> Dataset:
    """Return `dataset` with those of its files alone that `rules` let a run write."""
    if is_in_memory(dataset.reader):
        rules.refuse_unlisted("a table in memory")
        return dataset
    chosen = rules.choose(dataset.sources, say)
    return dataset if chosen is dataset.sources else replace(dataset, sources=tuple(chosen))


def expect_rules(options: OutputOptions, say: Callable[[str], None]) -> InputRules:
    """Return what a run with `options` would do with inputs; its output is only looked at.

    Raises
    ------
    PlanError
        Options of an output that can't be, or an output that lists no fingerprints.
    """
    options.check()
    output = locate(options.output, load_settings().output_dir)
    facts: Sequence[Mapping[str, Any]] = ()
    if options.if_exists == "append":
        facts = read_facts(output, storage_options=options.storage_options)
    shown = clean_place(output) if is_in_store(output) else os.fsdecode(output or "")
    rules = InputRules(shown, facts, None, options.only_new, options.allow_repeated)
    rules.check_known(say)
    return rules


def locate(output: Any, output_dir: str | None) -> Any:
    """`output` itself, or, where it is a relative path, where it lies below `output_dir`.

    Parameters
    ----------
    output : path or None
    output_dir : str or None
        The setting: a folder or a URL.

    Raises
    ------
    PlanError
        It leads out of a URL.

    Examples
    --------
    >>> locate("clean/2013", "s3://bucket/results")
    's3://bucket/results/clean/2013'
    """
    if output_dir is None or not isinstance(output, (str, os.PathLike)):
        return output
    text = os.fsdecode(output)
    if not text or "://" in text or text.startswith(("/", "~")):
        return output
    if "://" not in output_dir:
        return os.path.join(output_dir, text)
    below = os.path.normpath(text)
    if below.partition("/")[0] in (".", ".."):
        raise PlanError(
            f"output={text!r} names no directory below TASKINITY_OUTPUT_DIR, which is a URL; give "
            "a name without .. or the whole URL"
        )
    return f"{output_dir.rstrip('/')}/{below}"


def is_in_memory(reader: Any) -> bool:
    """Return whether `reader` reads a table of this process, whose file no other run knows."""
    return getattr(reader, "keeper", None) is not None
