"""One call of `pandas.read_csv`, made by pandas and then in chunks, and what became of all."""

from __future__ import annotations

import inspect
import itertools
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from pandas.testing import assert_frame_equal, assert_index_equal

import taskinity_data as td

CHUNKS = (25, 3, 1)
"""Of about so many chunks is each way of cutting; of a text shorter than that, a record each."""

OPTIONS = {*inspect.signature(pd.read_csv).parameters}

PLACES = (
    "(0 bytes)",
    "archive",
    "[bytes ",
    "byte ",
    "character ",
    "column ",
    "header",
    "columns",
    "row",
)


VERDICTS = ("exact", "both refuse", "refused", "FAULT")
"""From the best to the worst: a call has the worst that one of its cuts has."""


@dataclass
class Comparison:
    """Counts the verdicts of all calls.

    Attributes
    ----------
    directory : Path
        Where texts of buffers are written to.
    test : str
        The test that is running.
    reason : str
        Why chunks refused last.
    """

    directory: Path
    test: str = ""
    reason: str = ""
    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    reasons: Counter = field(default_factory=Counter)
    numbers: itertools.count = field(default_factory=itertools.count)
    judged: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def functions(self):
        return {
            "read_csv": self._wrap(pd.read_csv, {}),
            "read_table": self._wrap(pd.read_table, {"sep": "\t"}),
        }

    def _wrap(self, function, defaults):
        def read(*args, **options):
            __tracebackhide__ = True
            path = self._to_file(args[0], options) if len(args) == 1 else None
            try:
                return function(*args, **options)
            finally:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if not {"sep", "delimiter"} & options.keys():
                        options = {**defaults, **options}
                    self._judge(path, options)

        # pandas blames the first caller outside of its folder for a warning: not this function.
        read.__code__ = read.__code__.replace(co_filename=pd.io.parsers.readers.__file__)
        return read

    def _to_file(self, source, options):
        """The path of a file that holds what `source` does, None where there is none."""
        if isinstance(source, str | Path):
            return source if Path(source).is_file() else None
        try:
            place = source.tell()
            data = source.read()
            source.seek(place)
            if isinstance(data, str):
                data = data.encode(options.get("encoding") or "utf-8")
        except (AttributeError, OSError, ValueError, LookupError, TypeError):
            return None
        path = self.directory / f"{next(self.numbers)}.csv"
        path.write_bytes(data)
        return path

    def _judge(self, path, options):
        if options.get("chunksize") is not None or options.get("iterator"):
            verdict = "aside: chunksize or iterator"
        elif options.get("float_precision") not in (None, "round_trip"):
            # Chunks refuse it; pandas has only warned of it since 3.1.
            verdict = "aside: float_precision, which changes nothing"
        elif path is None:
            verdict = "aside: no file can be made of it"
        elif options.get("engine", "c") != "c":
            verdict = "aside: another engine"
        else:
            same = {name: value for name, value in options.items() if name != "low_memory"}
            call = repr((Path(path).read_bytes(), Path(path).suffix, same))
            if call not in self.judged:
                self.judged[call] = self._judge_file(path, options)
            verdict, reason = self.judged[call]
            if verdict == "refused":
                self.reasons[reason] += 1
        self.counts[verdict] += 1

    def _judge_file(self, path, options):
        expected = read_whole(path, options)
        nbytes = Path(path).stat().st_size
        cuts = [nbytes // count + 1 for count in CHUNKS]
        dataset = open_chunked(path, options)
        verdicts = [self._compare(dataset, options, expected, cut) for cut in cuts]
        verdict = max(verdicts, key=VERDICTS.index)
        return verdict, self.reason

    def _compare(self, dataset, options, expected, cut):
        try:
            got, index_fault = read_chunks(dataset, options, cut)
        except td.errors.TaskinityDataError as error:
            if isinstance(expected, Exception):
                return "both refuse"
            message = str(error)
            self.reason = f"{explain(message, options)}, as in {self.test}"
            named = OPTIONS & set(re.findall(r"(\w+)=", message))
            if not named and not any(place in message for place in PLACES):
                return self._fault(options, cut, f"the refusal names nothing: {message}")
            return "refused"
        except Exception as error:
            return self._fault(options, cut, f"a bare {type(error).__name__}: {error}")
        if isinstance(expected, Exception):
            return self._fault(options, cut, f"read, but pandas refuses: {expected!r}\n{got}")
        if index_fault:
            return self._fault(options, cut, index_fault)
        try:
            assert_frame_equal(got, expected, check_exact=True)
        except AssertionError as error:
            return self._fault(options, cut, f"{error}\n{got}\nbut pandas\n{expected}")
        return "exact"

    def _fault(self, options, cut, what):
        self.faults.append(f"{self.test}\n  {options}, chunk_size={cut!r}\n  {what}\n")
        return "FAULT"

    def find_faults(self, max_refused):
        faults = list(self.faults)
        if not self.completed:
            faults.append("no call was compared")
        elif self.counts["refused"] > max_refused * self.completed:
            faults.append(f"more than {max_refused:.0%} of what pandas completes is refused")
        return faults

    @property
    def completed(self):
        """How many calls pandas completes."""
        return self.counts["exact"] + self.counts["refused"]

    def describe(self):
        yield from self.faults
        for reason, count in self.reasons.most_common():
            yield f"{count:6,}  refused: {reason}"
        for verdict, count in self.counts.most_common():
            yield f"{count:6,}  {verdict}"
        if self.completed:
            share = self.counts["refused"] / self.completed
            yield f"{share:.1%} of the {self.completed:,} calls that pandas completes are refused"


def explain(message, options):
    """The option that a refusal names, else its sentence without the path."""
    found = [f"{name}={value!r}"[:60] for name, value in options.items() if name in message[:80]]
    return found[0] if found else message[-140:]


def read_whole(path, options):
    """What pandas makes of the file, or its error."""
    keywords = {name: value for name, value in options.items() if name != "float_precision"}
    try:
        return pd.read_csv(path, **{**keywords, "engine": "c", "low_memory": False})
    except Exception as error:
        return error


def open_chunked(path, options):
    """The dataset, or its error."""
    try:
        return td.open_dataset(str(path), format="csv", **options)
    except Exception as error:
        return error


def read_chunks(dataset, options, cut):
    """The rows of all chunks as one frame, and what is wrong with a chunk's own index."""
    if isinstance(dataset, Exception):
        raise dataset
    chunks = [chunk.read() for chunk in dataset.plan(chunk_size=cut)]
    index_col = options.get("index_col")
    has_index = index_col is not None and index_col is not False
    if not has_index:
        for chunk in chunks:
            try:
                assert_index_equal(chunk.index, pd.RangeIndex(len(chunk)), exact=True)
            except AssertionError as error:
                return None, f"a chunk's index is {chunk.index!r}: {error}"
    frame = pd.concat(chunks, ignore_index=True)
    if has_index:
        frame.index = concat_indexes([chunk.index for chunk in chunks])
    return frame, None


def concat_indexes(indexes):
    """Indexes put together as they are: pandas.concat makes one of str of one of objects."""
    levels = []
    unnamed = [index.set_names([None] * index.nlevels) for index in indexes]
    for level in range(unnamed[0].nlevels):
        values = [pd.Series(index.get_level_values(level)) for index in unnamed]
        labels = pd.concat(values, ignore_index=True)
        levels.append(pd.Index(labels.array, dtype=labels.dtype))
    whole = levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)
    return whole.set_names(indexes[0].names)
