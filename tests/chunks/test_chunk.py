"""A chunk as a description: names, checks around its reading, splitting."""

import errno
import pickle
from dataclasses import dataclass, replace

import pandas as pd
import pytest

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.errors import PlanError, ReadError, SourceChanged
from taskinity_data.formats.reader import Reader, ReadResult
from taskinity_data.sources.file import Piece, SourceFile
from taskinity_data.sources.fingerprint import Fingerprint


@dataclass(frozen=True)
class Stub(Reader):
    """A reader that gives back a result, or raises it."""

    result: object = None
    unit: str = "bytes"

    def identity(self):
        return f"stub {self.unit}"

    def read(self, pieces, as_):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def split(self, piece):
        return None


@pytest.fixture
def piece(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n2\n")
    return Piece(SourceFile(str(path), Fingerprint.of(str(path))), 2, 6, 4, 2)


FRAME = pd.DataFrame({"a": [1, 2]})


def test_a_chunk_tells_where_it_lies(piece):
    more = replace(piece, start=6, stop=8, nbytes=2, rows=None)
    chunk = Chunk(Stub(), (piece, more))
    assert (chunk.path, chunk.start, chunk.stop, chunk.nbytes) == (piece.path, 2, 8, 6)
    assert chunk.rows is None
    assert str(chunk) == f"{piece.path} [bytes 2 to 6] and 1 more piece"
    assert repr(Chunk(Stub(), (piece,))) == f"Chunk({piece.path} [bytes 2 to 6], 4 bytes, 2 rows)"
    assert "unknown rows" in repr(chunk)


def test_rows_that_do_not_add_up_to_the_plan_are_an_error(piece):
    assert Chunk(Stub(ReadResult(FRAME, 2, 0)), (piece,)).load().rows == 2
    assert Chunk(Stub(ReadResult(FRAME, 1, 1)), (piece,)).load().filtered == 1
    assert Chunk(Stub(ReadResult(FRAME, 1, None)), (piece,)).load().filtered is None
    with pytest.raises(ReadError, match="2 rows were planned but 3 read"):
        Chunk(Stub(ReadResult(FRAME, 2, 1)), (piece,)).load()


def test_an_unknown_kind_is_refused(piece):
    with pytest.raises(PlanError, match=r"as_='numpy'.*pandas, arrow, polars"):
        Chunk(Stub(), (piece,)).read("numpy")


def test_an_error_of_the_system_names_the_chunk(piece):
    with pytest.raises(ReadError, match=r"can't be read.*Input/output") as caught:
        Chunk(Stub(OSError(errno.EIO, "Input/output error")), (piece,)).read()
    assert (caught.value.path, caught.value.start) == (piece.path, 2)


def test_a_file_that_changes_while_it_is_read_is_noticed(piece, tmp_path):
    class Touching(Stub):
        def read(self, pieces, as_):
            (tmp_path / "a.csv").write_text("other")
            return ReadResult(FRAME, 2, 0)

    with pytest.raises(SourceChanged, match="changed after it was planned"):
        Chunk(Touching(), (piece,)).read()


def test_keys_differ_by_reader_range_and_file_but_not_by_place(piece):
    chunk = Chunk(Stub(), (piece,))
    assert Chunk(Stub(), (piece,), index=7).key == chunk.key
    print_ = piece.file.fingerprint._replace(mtime_ns=1)
    others = [
        Chunk(Stub(unit="rows"), (piece,)),
        Chunk(Stub(), (replace(piece, stop=5),)),
        Chunk(Stub(), (replace(piece, file=replace(piece.file, fingerprint=print_)),)),
        Chunk(Stub(), (piece, piece)),
    ]
    assert len({chunk.key, *(other.key for other in others)}) == 5
    assert pickle.loads(pickle.dumps(chunk)).key == chunk.key
    assert chunk.__dask_tokenize__() == chunk.key


def test_names_that_are_no_text_have_keys_too(piece):
    odd = replace(piece, file=replace(piece.file, path="/\udcff.csv"))
    assert len(Chunk(Stub(), (odd,)).key) == 32


def test_pieces_join_only_where_one_follows_the_other(piece):
    after = replace(piece, start=6, stop=8, nbytes=2, rows=1)
    assert piece.joined(after) == replace(piece, stop=8, nbytes=6, rows=3)
    assert piece.joined(replace(after, rows=None)).rows is None
    assert piece.joined(replace(after, start=7)) is None
    assert piece.joined(replace(after, file=replace(after.file, path="/b"))) is None


def test_a_chunk_of_several_pieces_splits_between_them_and_one_record_does_not(piece):
    after = replace(piece, start=6, stop=8, nbytes=2, rows=1)
    parts = Chunk(Stub(), (piece, after, after)).split()
    assert [part.pieces for part in parts] == [(piece,), (after, after)]
    assert Chunk(Stub(), (piece,)).split() == (Chunk(Stub(), (piece,)),)
