"""Which URLs get a run's storage options, where its output is, and which inputs it writes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, SchemaError
from taskinity_data.flow.binding.wiring import Wiring
from taskinity_data.flow.stages import FanOutStage, Input, stages
from taskinity_data.run.describe_run import clean_place
from taskinity_data.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.flow.flow import Flow
    from taskinity_data.output.inputs import InputRules
    from taskinity_data.run.options import RunOptions

__all__ = [
    "check_partition_columns",
    "choose_files",
    "expect_rules",
    "locate",
    "share_options",
    "share_with_source",
]


def check_partition_columns(options: RunOptions, names: Sequence[str]) -> None:
    """Raise `PlanError` if rows of these columns can't be parted by ``partition_by``."""
    from taskinity_data.output.partitions import check_columns, check_partition_by

    try:
        check_columns(check_partition_by(options.partition_by), names, "the dataset")
    except SchemaError as error:
        raise PlanError(str(error), column=error.column) from error


def share_with_source(
    options: RunOptions, source: Any, output_dir: str | None
) -> tuple[RunOptions, dict[str, Any]]:
    """Return the options of the output and those of `source`, of ``storage_options`` of all URLs.

    Parameters
    ----------
    options : RunOptions
    source : object
        What `process` was given.
    output_dir : str or None
        See `locate`.
    """
    if options.storage_options is None:
        return options, {}
    from taskinity_data.output.sink import is_in_store

    items = source if isinstance(source, (list, tuple)) else [source]
    is_for_output = is_in_store(locate(options.output, output_dir))
    is_for_source = any(map(is_in_store, items)) or not is_for_output
    shared = {"storage_options": options.storage_options} if is_for_source else {}
    return (options if is_for_output else replace(options, storage_options=None)), shared


def share_options(
    flow: Flow, options: RunOptions, inputs: Mapping[str, Any]
) -> tuple[RunOptions, dict[str, Any], Mapping[str, Any] | None]:
    """Return who gets the `storage_options` of a flow's run, which are for all its URLs.

    They go to an output in a store; and, where an input is a URL or nothing is written to a store,
    to tasks that have a parameter of that name, and to URLs that the run itself opens.

    Parameters
    ----------
    flow : Flow
    options : RunOptions
    inputs : mapping
        Of the flow.

    Returns
    -------
    (RunOptions, dict, mapping or None)
        `options` with those of the output's store, the inputs, and the options of URLs that the
        run opens.

    Raises
    ------
    PlanError
        Nobody takes them.
    """
    flow_inputs = dict(inputs)
    if options.storage_options is None:
        return options, flow_inputs, None
    from taskinity_data.output.sink import is_in_store

    written, shared = share_with_source(
        options, list(flow_inputs.values()), load_settings().output_dir
    )
    stored = shared.get("storage_options")
    if stored is None:
        return written, flow_inputs, None
    fills = Wiring(flow, {*flow_inputs, "storage_options"}).fills.values()
    if any(Input("storage_options") in fill.sources() for fill in fills):
        flow_inputs.setdefault("storage_options", dict(stored))
    elif written.storage_options is None and not any(
        isinstance(stage, FanOutStage)
        and isinstance(stage.over, Input)
        and is_in_store(flow_inputs.get(stage.over.name))
        for stage in stages(flow, tuple(flow_inputs))
    ):
        raise PlanError(
            f"storage_options ({', '.join(sorted(stored))}) are not used: the flow opens its data "
            "in a function; give it a parameter storage_options, and pass that to td.open_dataset"
        )
    return written, flow_inputs, stored


def choose_files(dataset: Dataset, rules: InputRules, say: Callable[[str], None]) -> Dataset:
    """Return `dataset` with those of its files alone that `rules` let a run write."""
    if dataset.reader.is_in_memory:
        rules.refuse_unlisted("a table in memory")
        return dataset
    chosen = rules.choose(dataset.sources, say)
    return dataset if chosen is dataset.sources else replace(dataset, sources=tuple(chosen))


def expect_rules(options: RunOptions) -> InputRules:
    """Return what a run with `options` would do with inputs; its output is only looked at.

    Raises
    ------
    PlanError
        Options of an output that can't be.
    """
    from taskinity_data.output.inputs import InputRules
    from taskinity_data.output.sink import is_in_store, read_facts

    options.check_output()
    output = locate(options.output, load_settings().output_dir)
    listed: Sequence[Mapping[str, Any]] = ()
    if options.if_exists == "append":
        listed = read_facts(output, storage_options=options.storage_options)
    shown = clean_place(output) if is_in_store(output) else os.fsdecode(output or "")
    return InputRules(shown, listed, None, options.only_new, options.allow_repeated)


def locate(output: Any, output_dir: str | None) -> Any:
    """Return `output` itself, or, where it is a relative path, where it lies below `output_dir`.

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
            f"output={text!r} is not below TASKINITY_OUTPUT_DIR, which is a URL; give a name "
            "without .. or a full URL"
        )
    return f"{output_dir.rstrip('/')}/{below}"
