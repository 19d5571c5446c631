"""``taskinity-data plan``: the chunks of a dataset, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from taskinity_data.cli.options import (
    as_json_option,
    examples,
    input_option,
    parse_inputs,
    parse_reader_options,
    parse_run_options,
    run_options,
    tasks_option,
)
from taskinity_data.cli.output import answering, lay_out
from taskinity_data.errors import BindError, SettingsError
from taskinity_data.run.options import typed_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.forecast.forecast import Forecast

__all__ = ["plan"]

_PLANNING = ("storage_options", "workers", "memory", "chunk_size")
"""The options of a run that decide how data is cut."""


@click.command(
    short_help="Show how a dataset, or a flow's data, is cut.",
    epilog=examples(
        'plan "flights/*.csv"',
        "plan stations.txt --option sep=';' --option header=None --workers 2 --memory 1GiB",
        "plan flights/ --chunk-size 8MiB --chunks",
        'plan delays.flow --tasks my_tasks.py --input data="flights/*.csv"',
        'plan "flights/*.csv" --tasks my_tasks.py --estimate',
    ),
)
@click.argument(
    "sources",
    metavar="SOURCE | FLOW",
    nargs=-1,
    required=True,
    type=click.Path(),
)
@click.option(
    "--option",
    "option_texts",
    multiple=True,
    metavar="NAME=VALUE",
    help="A reader option, as in pandas.read_csv or open_dataset: header=None, dtype=\"{'a': "
    "'str'}\". May be repeated.",
)
@tasks_option
@input_option
@run_options({name: typed_options()[name] for name in _PLANNING})
@click.option("--chunks", "with_chunks", is_flag=True, help="List every chunk.")
@click.option(
    "--estimate",
    "is_estimated",
    is_flag=True,
    help="Try the functions of --tasks on a few slices, for some seconds, and forecast time, "
    "memory and output. With a dataset, these are process_chunk and aggregate_results, or one of "
    "them.",
)
@as_json_option
def plan(
    sources: tuple[str, ...],
    option_texts: tuple[str, ...],
    tasks_path: str | None,
    input_texts: tuple[str, ...],
    with_chunks: bool,
    is_estimated: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show the chunks of SOURCE (a file, a folder, a glob, or several), or those of a FLOW.

    Functions of a flow that return the data to be cut are called; no chunk is processed.
    """
    from taskinity_data.cli.commands.preview import preview
    from taskinity_data.cli.loading import is_flow_path, open_flow

    with answering(as_json) as answer:
        sizes = parse_run_options(options)
        reader_options = parse_reader_options(option_texts)
        if len(sources) == 1 and is_flow_path(sources[0]):
            if reader_options:
                raise SettingsError(
                    "a flow opens its own data: pass reader options in its functions"
                )
            flow = open_flow(sources[0], tasks_path)
            if not flow.is_bound:
                raise BindError(f"{sources[0]}: pass its functions with --tasks FILE.py")
            preview(
                flow,
                parse_inputs(input_texts),
                sizes,
                answer,
                is_printed=not as_json,
                is_estimated=is_estimated,
                with_chunks=with_chunks,
            )
            return
        if input_texts:
            raise SettingsError("--input is for a flow, not for a dataset")
        if (tasks_path is not None) is not is_estimated:
            raise SettingsError(
                "with a dataset, --tasks FILE.py and --estimate go together: its process_chunk and "
                "aggregate_results are tried on a few slices"
            )
        for shown in _plan_dataset(
            sources, reader_options, sizes, tasks_path, answer, with_chunks=with_chunks
        ):
            if not as_json:
                click.echo(shown)


def _plan_dataset(
    sources: tuple[str, ...],
    reader_options: dict[str, Any],
    sizes: dict[str, Any],
    tasks_path: str | None,
    answer: dict[str, Any],
    *,
    with_chunks: bool,
) -> Iterator[str]:
    """Plan `sources` into `answer`, with a forecast where there are tasks; yield what is shown."""
    from taskinity_data.chunks.open_dataset import open_dataset
    from taskinity_data.cli.commands.preview import choose_sizes, describe_forecast, describe_plan

    source = sources[0] if len(sources) == 1 else list(sources)
    storage_options = sizes.pop("storage_options", None)
    dataset = open_dataset(source, **reader_options, storage_options=storage_options)
    sizes = choose_sizes(dataset, sizes)
    planned = dataset.plan(**sizes)
    answer.update(describe_plan(planned, with_chunks=with_chunks))
    yield repr(planned)
    if with_chunks:
        yield lay_out(planned.to_frame(), has_index=True)
    if tasks_path is not None:
        forecast = _estimate(planned, tasks_path, sizes)
        answer["forecast"] = describe_forecast(forecast)
        yield repr(forecast)


def _estimate(planned: ChunkPlan, tasks_path: str, sizes: dict[str, Any]) -> Forecast:
    from taskinity_data.cli.loading import import_file

    module = import_file(tasks_path)
    function = getattr(module, "process_chunk", None)
    reduce = getattr(module, "aggregate_results", None)
    if function is None and reduce is None:
        raise BindError(
            f"{tasks_path}: there is neither process_chunk nor aggregate_results to try"
        )
    return planned.estimate(function, reduce, workers=sizes["workers"], memory=sizes["memory"])
