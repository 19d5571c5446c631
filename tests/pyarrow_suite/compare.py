"""One reading of a Parquet file, by pyarrow and then in chunks, and what became of both."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pandas.testing import assert_frame_equal
from pyarrow import fs
from pyarrow.parquet import core

import taskinity_data as td

CHUNKS = (100, 3, 1)
"""Of about so many chunks is each way of cutting; of fewer rows than that, a row each."""

SAME_ROWS = {"use_threads", "memory_map", "pre_buffer", "buffer_size", "use_pandas_metadata"}
"""Options that change no row, so that chunks need not know them."""

LIMITS = {
    "page_checksum_verification",
    "schema_depth_limit",
    "thrift_container_size_limit",
    "thrift_string_size_limit",
}
"""Options that only make pyarrow refuse: where it does not, they change no row either."""

OURS = {"columns", "filters", "schema"}

APART = {"test_basic.py::test_read_table_without_dataset"}
"""It takes a part of pyarrow away, so that pyarrow refuses what the file and the call allow."""

KEPT = {name: getattr(core, name) for name in ("read_table", "ParquetFile")}


@dataclass
class Comparison:
    """Counts the verdicts of all readings.

    Attributes
    ----------
    directory : Path
        Where the files of buffers are written to.
    test : str
        The test that is running.
    """

    directory: Path
    test: str = ""
    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    _is_inside: bool = False
    _numbers: itertools.count = field(default_factory=itertools.count)

    def wrap_read_table(self):
        """`pyarrow.parquet.read_table`, compared."""
        original = core.read_table

        @functools.wraps(original)
        def read_table(source, *args, **options):
            __tracebackhide__ = True
            bound = inspect.signature(original).bind(source, *args, **options).arguments
            given = {name: value for name, value in bound.items() if name != "source"}
            given |= given.pop("kwargs", {})
            return self._compare(source, given, lambda: original(source, *args, **options))

        return read_table

    def wrap_file(self):
        """`ParquetFile.__init__` and `.read`, the second compared."""
        init, read = core.ParquetFile.__init__, core.ParquetFile.read
        comparison = self

        @functools.wraps(init)
        def __init__(file, source, *args, **options):
            file._told = None
            if not comparison._is_inside:
                bound = inspect.signature(init).bind(file, source, *args, **options).arguments
                given = {one: bound[one] for one in bound if one not in ("self", "source")}
                given.pop("metadata", None)
                file._told = comparison._to_path(source, given.pop("filesystem", None)), given
            init(file, source, *args, **options)

        @functools.wraps(read)
        def read_(file, *args, **options):
            __tracebackhide__ = True
            if file._told is None:
                return read(file, *args, **options)
            path, given = file._told
            bound = inspect.signature(read).bind(file, *args, **options).arguments
            given = given | {name: bound[name] for name in bound if name != "self"}
            return comparison._compare(path, given, lambda: read(file, *args, **options))

        return __init__, read_

    # -- one reading ---------------------------------------------------------------------------

    def _compare(self, source, options, read):
        __tracebackhide__ = True
        if self._is_inside:
            return read()
        self._is_inside = True
        path = self._to_path(source, options.pop("filesystem", None))
        try:
            result = read()
        except BaseException:
            self._judge(path, options, None)
            raise
        else:
            self._judge(path, options, result)
            return result
        finally:
            self._is_inside = False

    def _to_path(self, source, filesystem):
        """The local file or directory that `source` is, or is written to; None: neither."""
        if isinstance(filesystem, fs.SubTreeFileSystem) and isinstance(
            filesystem.base_fs, fs.LocalFileSystem
        ):
            source, filesystem = os.path.join(filesystem.base_path, str(source)), None
        if filesystem is not None and not isinstance(filesystem, fs.LocalFileSystem):
            return None
        if isinstance(source, (str, os.PathLike)):
            text = os.fsdecode(source).removeprefix("file://")
            return text if Path(text).exists() else None
        data = _read_all(source)
        if data is None:
            return None
        path = self.directory / f"{next(self._numbers)}.parquet"
        path.write_bytes(data)
        return str(path)

    def _judge(self, path, options, result):
        if path is None:
            self.counts["left out: no local file"] += 1
            return
        if options.get("decryption_properties") is not None:
            # A key is an object of this process, which neither pickles nor can be kept.
            self.counts["left out: encrypted, which chunks never read"] += 1
            return
        if self.test in APART:
            return
        options = {name: value for name, value in options.items() if value is not None}
        drops = SAME_ROWS if result is None else SAME_ROWS | LIMITS
        options = {name: value for name, value in options.items() if name not in drops}
        defaults = inspect.signature(KEPT["read_table"]).parameters
        options = {
            name: value
            for name, value in options.items()
            if name in OURS or name not in defaults or value is not defaults[name].default
        }
        self.counts["refused by pyarrow" if result is None else "read by pyarrow"] += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._read_in_chunks(path, options, result)
            except td.errors.TaskinityDataError as error:
                if result is not None:
                    self._note_refusal(path, options, error)
            except AssertionError as error:
                self._fault("wrong", options, error)
            except Exception as error:  # any of them is a fault
                self._fault(f"{type(error).__name__}", options, error)
            else:
                if result is None:
                    self._fault("taken, though pyarrow refuses", options, path)

    def _read_in_chunks(self, path, options, result):
        dataset = td.open_dataset(path, format="parquet", **options)
        rows = dataset.extent.rows
        sizes = sorted({max(1, -(-rows // count)) for count in CHUNKS})
        plans = [dataset.plan(chunk_size=f"{size} rows") for size in sizes]
        tables = [pa.concat_tables([one.read("arrow") for one in plan]) for plan in plans]
        if result is None:
            return
        expected = _expect(path, options, result)
        for table in tables:
            assert_same_table(table, expected)
        try:
            whole = to_frame(expected)
        except (pa.ArrowException, ValueError):
            self.counts["compared as Arrow alone"] += 1
            return
        for plan in plans:
            frames = [chunk.read() for chunk in plan]
            filled = [frame for frame in frames if len(frame)] or frames[:1]
            assert_frame_equal(pd.concat(filled, ignore_index=True), whole)

    # -- verdicts ------------------------------------------------------------------------------

    def _note_refusal(self, path, options, error):
        text = str(error)
        names = [*options, *(str(one) for one in options.get("columns", ()))]
        if not (path in text or any(name in text for name in names)):
            self._fault("refused without an option or a place", options, error)
        self.counts["refused in chunks"] += 1
        self.refusals.append((self.test, text))

    def _fault(self, kind, options, what):
        self.counts[kind] += 1
        self.faults.append(f"{self.test}: {kind}: {options}: {str(what)[:600]}")

    def find_faults(self, max_refused):
        """What must not be, in words."""
        found = list(self.faults)
        refused, completed = self.counts["refused in chunks"], self.counts["read by pyarrow"]
        if not completed:
            found.append("nothing was compared")
        elif refused > max_refused * completed:
            found.append(f"{refused} of {completed} readings refused, more than {max_refused:.0%}")
        return found

    def describe(self, max_refused):
        """The account, line by line."""
        yield "; ".join(f"{count:,} {what}" for what, count in sorted(self.counts.items()))
        for text, count in Counter(_shorten(text) for _, text in self.refusals).most_common():
            yield f"  refused {count} times: {text}"
        yield from (f"FAULT {fault}" for fault in self.find_faults(max_refused))


def _read_all(source):
    if isinstance(source, (bytes, pa.Buffer)):
        return bytes(memoryview(source))
    try:
        place = source.tell()
        source.seek(0)
        data = source.read()
        source.seek(place)
    except Exception:  # a test's own double may do anything
        return None
    return data if isinstance(data, bytes) else None


def _expect(path, options, result):
    """The rows by pyarrow, with the columns that chunks have.

    An index that pandas stored is not one of chunks: an unnamed one is left out unless selected.
    """
    known = {name: options[name] for name in options if name != "decryption_properties"}
    table = KEPT["read_table"](path, **known) if isinstance(result, pa.Table) else result
    asked = options.get("columns")
    if asked is not None:
        return table.select([name for name in asked if name in table.schema.names])
    hidden = [name for name in table.schema.names if name.startswith("__index_level_")]
    return table.drop_columns(hidden)


def to_frame(table):
    """`table` as pandas has it, with a fresh index."""
    metadata = dict(table.schema.metadata or {})
    frame = table.to_pandas()
    if isinstance(frame.index, pd.RangeIndex) and frame.index.name is None:
        return frame.reset_index(drop=True)
    metadata.pop(b"pandas", None)
    plain = table.replace_schema_metadata(metadata).to_pandas()
    stored = [name for name in frame.index.names if name in table.schema.names]
    restored = frame.reset_index()
    columns = {}
    for name in table.schema.names:
        columns[name] = (restored if name in stored or name in frame else plain)[name]
    return pd.DataFrame(columns).reset_index(drop=True)


def assert_same_table(found, expected):
    assert found.schema.names == expected.schema.names, (found.schema, expected.schema)
    assert found.num_rows == expected.num_rows
    for name in found.schema.names:
        left, right = found[name], expected[name]
        if left.type != right.type:
            is_encoded = pa.types.is_dictionary(left.type) and pa.types.is_dictionary(right.type)
            assert is_encoded, f"{name}: {left.type}, not {right.type}"
            left, right = (one.cast(one.type.value_type) for one in (left, right))
        same = left.equals(right) or repr(left.to_pylist()) == repr(right.to_pylist())
        assert same, f"{name}: {left}, not {right}"


def _shorten(text):
    """A refusal without the path, the numbers and the rest of a long list."""
    line = " ".join(word for word in text.split() if "/" not in word)
    return "".join("0" if one.isdigit() else one for one in line)[:150]
