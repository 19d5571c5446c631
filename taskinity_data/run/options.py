"""The options of a run: one field each, with its default, its check and its flag.

`run_flow` and `process` make a `RunOptions`; the command line, what the journal keeps of a run's
options and what `redrive` repeats are derived from its fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.errors import PlanError, SettingsError
from taskinity_data.policy import parse_duration, parse_nbytes

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.chunks.plan import ChunkPlan

__all__ = [
    "Option",
    "RunOptions",
    "check_workers",
    "options_of_run",
    "parse_max_failures",
    "parse_memory",
    "parse_time",
    "repeated_options",
    "typed_options",
]

_MIN_MEMORY_NBYTES = 1 << 20


def parse_memory(memory: str | int | None) -> int | None:
    """Return the bytes that one worker may use, None if there is no limit.

    Raises
    ------
    SettingsError
        It is not a size, or too small for any worker.
    """
    nbytes = None if memory is None else parse_nbytes(memory)
    if nbytes is not None and nbytes < _MIN_MEMORY_NBYTES:
        raise SettingsError(
            f"{memory!r} is less than 1 MiB, which a worker needs at least; write e.g. 2GiB"
        )
    return nbytes


def check_workers(workers: int | None) -> int | None:
    """Return `workers` itself, if it is None or a whole number from 1 up."""
    if workers is not None and (
        isinstance(workers, bool) or not isinstance(workers, int) or workers < 1
    ):
        raise SettingsError(f"{workers!r} is not a whole number from 1 up, e.g. 4")
    return workers


def parse_max_failures(value: int | str | None) -> float | None:
    """Return a count as an int, a share as a float from 0 to 1."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal():
            return int(text)
        try:
            share = float(text.removesuffix("%")) / 100 if text.endswith("%") else -1.0
        except ValueError:
            share = -1.0
        if 0 <= share <= 1:
            return share
    raise SettingsError(f"{value!r} is neither a count such as 10 nor a share such as '1%'")


def _check_priority(priority: Any) -> None:
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise SettingsError(f"{priority!r} is not a whole number, e.g. 10")


def _check_chunk_size(chunk_size: Any) -> None:
    # Brings pandas, which the command line's help does without.
    from taskinity_data.chunks.cut import parse_chunk_size

    parse_chunk_size(chunk_size)


def parse_time(time: str | float | None) -> float | None:
    """Return the seconds of ``"10 min"`` or a number; None if there is no limit."""
    return None if time is None else parse_duration(time)


class Option(NamedTuple):
    """Details of an option in addition to its name, type and default.

    Attributes
    ----------
    metavar : str or None
        Name of its value on the command line; None if it takes none.
    help : str or None
        Of the command line; None if it is not an option there.
    flag : str or None
        Its name there, where that is not the field's.
    is_many : bool
        Whether it may be given many times there.
    min : int or None
        Of a whole number: the smallest.
    bare : str or None
        Its value if it is passed without one.
    is_anew : bool
        Whether `redrive` takes it, too, instead of what the run had.
    check : callable or None
        Raises where a value is invalid.
    is_of_output : bool
        Whether it says how an output is written, and needs one.
    is_journaled : bool
        Whether the journal keeps it for whoever compares runs.
    is_repeated : bool
        Whether `redrive` repeats what the journal keeps.
    """

    metavar: str | None = None
    help: str | None = None
    flag: str | None = None
    is_many: bool = False
    min: int | None = None
    bare: str | None = None
    is_anew: bool = False
    check: Callable[[Any], Any] | None = None
    is_of_output: bool = False
    is_journaled: bool = True
    is_repeated: bool = False


def _option(
    default: Any,
    metavar: str | None = None,
    help: str | None = None,  # noqa: A002 - as click calls it
    *,
    is_shown: bool = True,
    **details: Any,
) -> Any:
    """Return the field of an option; `is_shown`: it holds no secrets."""
    option = Option(metavar, help, **details)
    return field(default=default, metadata={"option": option}, repr=is_shown)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunOptions:
    """The options of a run; `run_flow` describes each."""

    workers: int | None = _option(
        None,
        "N",
        "Number of workers. Default: TASKINITY_MAX_WORKERS, else one per core.",
        min=1,
        is_anew=True,
        check=check_workers,
    )
    memory: str | int | None = _option(
        None,
        "M",
        "Memory of one worker, e.g. 2GiB. Default: its share of the machine.",
        is_anew=True,
        check=parse_memory,
    )
    scheduler: Any = _option(
        None,
        "S",
        "synchronous, threads, processes, an address such as tcp://host:8786, or a scheduler "
        "file. Default: chosen by the measured time of the first chunks.",
        is_anew=True,
    )
    wait_for_workers: str | float | None = _option(
        None,
        "TIME",
        "How long to wait for workers of a Dask cluster: 10min, 1h. Default: while it reports that "
        "it is starting some, else 30 s.",
        is_anew=True,
        check=parse_time,
    )
    priority: int = _option(
        0,
        "N",
        "Priority of the run's tasks on a shared Dask cluster: higher goes first.",
        is_anew=True,
        check=_check_priority,
    )
    backups: bool = _option(
        False,
        None,
        "Start second copies of the last slow chunks, of tasks that are marked pure=True.",
    )
    chunk_size: str | int = _option(
        "auto",
        "S",
        'auto, or a fixed size: 64MiB, 64_000_000, "100_000 rows".',
        is_anew=True,
        check=_check_chunk_size,
        is_repeated=True,
    )
    max_failures: int | str | None = _option(
        None,
        "X",
        "Stop the run if more chunks fail: a count (10) or a share (1%).",
        is_anew=True,
        check=parse_max_failures,
        is_repeated=True,
    )
    run_timeout: str | float | None = _option(None, check=parse_time)
    plan: ChunkPlan | Mapping[str, ChunkPlan] | None = _option(None)
    check: bool = _option(False, is_journaled=False)
    output: str | os.PathLike[str] | None = _option(
        None,
        "DIR",
        "Write each chunk's table to a part file in DIR; all files appear in one step at the "
        "end. A directory, or a URL such as s3://BUCKET/NAME, with keys from the environment.",
        is_of_output=True,
    )
    output_format: str = _option(
        "parquet", "F", "parquet (default), csv, jsonl or arrow.", is_of_output=True
    )
    partition_by: str | Sequence[str] = _option(
        (),
        "COLUMN",
        "Divide parts into COLUMN=value directories; may be repeated.",
        is_many=True,
        is_of_output=True,
    )
    if_exists: str = _option(
        "error", "X", "If DIR exists: error (default), overwrite or append.", is_of_output=True
    )
    only_new: bool = _option(
        False,
        None,
        "With --if-exists append: process only input files that are not in DIR yet. If there are "
        "none, this is not an error.",
        is_of_output=True,
    )
    allow_repeated: bool = _option(
        False,
        None,
        "With --if-exists append: process all input files, even those already in DIR, e.g. for "
        "another function.",
        is_of_output=True,
    )
    max_rows_per_file: int | None = _option(
        None,
        "N",
        "Split larger results of chunks into files of at most N rows. Default: one file per chunk "
        "(and partition). 1000000 suits readers that load whole files.",
        min=1,
        is_of_output=True,
    )
    output_compression: str | None = _option(
        None,
        "C",
        "For parquet: snappy (default), zstd (smaller, slower), gzip, lz4, brotli, none; for "
        "arrow: none (default), lz4, zstd; csv and jsonl are not compressed.",
        is_of_output=True,
    )
    storage_options: Mapping[str, Any] | None = _option(
        None,
        "NAME=VALUE",
        "An option of the fsspec file system, for all URLs, e.g. anon=True, "
        "endpoint_url=http://127.0.0.1:9000. A function of the flow that opens data gets the "
        "options in its parameter storage_options, if it has one. They are never shown or "
        "stored, but other users of this machine can see the command line: pass keys in the "
        "environment. May be repeated.",
        flag="storage-option",
        is_many=True,
        is_anew=True,
        is_journaled=False,
        is_shown=False,
    )
    resume: bool | str | None = _option(
        None,
        "[RUN_ID]",
        "Resume that run, or the newest one of this flow and output: finished chunks with "
        "unchanged code, options and data are reused. Without an id, put it at the end of the "
        "line.",
        bare="",
        is_journaled=False,
    )
    run_dir: str | os.PathLike[str] | None = _option(None, is_journaled=False)
    progress: bool | None = _option(None, is_journaled=False)
    observers: Sequence[Any] = _option((), is_journaled=False)

    @property
    def cuts_here(self) -> bool:
        """Whether chunks are read in this process, with sizes that are learned, as far as known."""
        is_here = self.scheduler is None or self.scheduler in ("threads", "synchronous")
        return is_here and self.chunk_size == "auto" and self.plan is None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> RunOptions:
        """Return the options among the `arguments` of a call, which has all."""
        return cls(**{option.name: arguments[option.name] for option in fields(cls)})

    def check_values(self) -> None:
        """Raise if the value of an option is invalid.

        Raises
        ------
        PlanError, SettingsError
        """
        for name, option in options_of_run().items():
            try:
                if option.check is not None:
                    option.check(getattr(self, name))
            except SettingsError as error:
                raise SettingsError(f"{name}: {error}") from error

    def check_output(self) -> None:
        """Raise `PlanError` if options of an output contradict each other, or there is none."""
        options = self.of_output()
        if self.output is None and options:
            raise PlanError(f"{next(iter(options))}= requires output=, the directory to write to")
        for name in ("only_new", "allow_repeated"):
            if getattr(self, name) not in (False, True):
                raise PlanError(f"{name}={getattr(self, name)!r}: give True or False")
            if getattr(self, name) and self.if_exists != "append":
                raise PlanError(f"{name}=True requires if_exists='append'")
        if self.only_new and self.allow_repeated:
            raise PlanError(
                "only_new=True and allow_repeated=True exclude each other: give one of them"
            )

    def of_output(self) -> dict[str, Any]:
        """Return what is not the default of how an output is written."""
        return self._chosen(lambda option: option.is_of_output)

    def how_written(self) -> dict[str, Any]:
        """Return how the output is written as plain values: without where."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.of_output().items()
            if name != "output"
        }

    def journaled(self) -> dict[str, Any]:
        """Return what is not the default of what the journal keeps."""
        return self._chosen(lambda option: option.is_journaled)

    def _chosen(self, is_meant: Callable[[Option], bool]) -> dict[str, Any]:
        return {
            option.name: getattr(self, option.name)
            for option in fields(self)
            if is_meant(option.metadata["option"]) and getattr(self, option.name) != option.default
        }


def options_of_run() -> dict[str, Option]:
    """Return what is known of each option, by name."""
    return {option.name: option.metadata["option"] for option in fields(RunOptions)}


def typed_options(*, for_redrive: bool = False) -> dict[str, Option]:
    """Return the options that the command line has, `for_redrive` those that it takes."""
    return {
        name: option
        for name, option in options_of_run().items()
        if option.help is not None and (option.is_anew or not for_redrive)
    }


def repeated_options(head: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that `redrive` repeats, of the `head` of a run's journal."""
    stored = head.get("options", {})
    options = {
        name: stored.get(name) for name, option in options_of_run().items() if option.is_repeated
    }
    if head["output"]:
        options |= (head.get("written") or {}) | {"output": head["output"]}
    return {name: value for name, value in options.items() if value is not None}
