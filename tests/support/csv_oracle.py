"""Whole-file pandas against chunks: how the CSV tests judge the reader."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
from pandas.testing import assert_frame_equal

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.csv.open import open_csv
from taskinity_data.formats.detect import detect_conversions, implied_options, peek_files
from taskinity_data.sources.compression.unpack import unpack_files
from taskinity_data.sources.file import SourceFile
from taskinity_data.sources.fingerprint import Fingerprint


def as_source(path):
    return SourceFile(str(path), Fingerprint.of(str(path)))


def write(directory, text, name="data.csv"):
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return as_source(path)


def whole(file, options):
    """What `pandas.read_csv` makes of the file, or its error."""
    keywords = {key: value for key, value in options.items() if key != "newlines_in_values"}
    if keywords.get("on_bad_lines") == "quarantine":
        keywords["on_bad_lines"] = "skip"
    try:
        return pd.read_csv(file.path, low_memory=False, **keywords)
    except Exception as error:
        return error


def chunks_of(reader, files, nbytes):
    pieces = [piece for file in files for piece in reader.grains(reader.extent(file), nbytes)]
    return [Chunk(reader, (piece,), index) for index, piece in enumerate(pieces)]


def as_text(files, options):
    """The files and options with which `open_csv` is called: in UTF-8, or one byte a character."""
    conversions = detect_conversions(files, peek_files(files, "csv"), "infer", "csv", options)
    files = unpack_files(files, conversions)
    return files, implied_options(files, options)


def in_chunks(file, nbytes, options, as_="pandas", **keywords):
    """The chunks' rows put together, or the refusal."""
    try:
        (file,), options = as_text([file], options)
        reader = open_csv(
            [file],
            keywords.get("columns"),
            keywords.get("filters"),
            keywords.get("schema"),
            options,
        )
        chunks = chunks_of(reader, [file], nbytes)
        if chunks:
            assert chunks[0].start == reader.extent(file).start
            assert chunks[-1].stop == file.nbytes
            assert all(a.stop == b.start for a, b in pairwise(chunks))
        frames = [chunk.read() for chunk in chunks]
        if not frames:
            frames = [reader.read([reader.extent(file)], "pandas").data]
        return pd.concat(frames, ignore_index=True)
    except (PlanError, ReadError) as error:
        return error


def judge(file, nbytes, options, **keywords):
    """``"exact"``, ``"refused"``, ``"both refuse"``; AssertionError where chunks are wrong."""
    expected = whole(file, options)
    got = in_chunks(file, nbytes, options, **keywords)
    if isinstance(got, Exception):
        assert str(file.path) in str(got) or isinstance(got, PlanError), got
        return "both refuse" if isinstance(expected, Exception) else "refused"
    if isinstance(expected, Exception):
        raise AssertionError(f"pandas refuses ({expected!r}) what chunks read: {got!r}")
    assert_frame_equal(got, expected, check_exact=True)
    return "exact"
