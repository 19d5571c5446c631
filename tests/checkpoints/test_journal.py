"""The valid part of a journal counts, and nothing else, wherever it was cut or changed."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

from taskinity_data.checkpoints import journal as module
from taskinity_data.checkpoints.journal import Journal, list_segments, read_segment
from taskinity_data.checkpoints.values import encode
from taskinity_data.file_lock import FileLock, Locked, who_holds

SAID = [("H", {"run": "r"}, None), ("K", ("a", [(1, 2)]), None), ("C", ("a", "id", 0), [1.5, "x"]),
        ("C", ("a", "id", 1), list(range(9))), ("E", {"status": "FAILED"}, None)]  # fmt: skip


@pytest.fixture
def segment(tmp_path):
    written = Journal(tmp_path, "run-1")
    for kind, details, value in SAID:
        written.add(kind, details, [] if value is None else encode(value))
    written.close()
    return written.path


def told(path, run_id="run-1"):
    return [
        (one.kind, one.details, one.load() if one.nbytes else None)
        for one in read_segment(path, run_id)[0]
    ]


def test_what_was_said_is_read_in_order(segment):
    assert told(segment) == SAID
    assert read_segment(segment, "run-1")[1] == 0
    assert segment.stat().st_mode & 0o077 == 0


def test_a_journal_cut_at_any_byte_is_read_up_to_its_valid_part(segment, tmp_path):
    data = segment.read_bytes()
    cut = tmp_path / "cut" / segment.name
    cut.parent.mkdir()
    before = 0
    for length in range(len(data) + 1):
        cut.write_bytes(data[:length])
        found = told(cut)
        assert found == SAID[: len(found)]
        assert len(found) >= before
        assert length < len(data) or len(found) == len(SAID)
        before = len(found)
        assert 0 <= read_segment(cut, "run-1")[1] <= length


def test_a_flipped_bit_anywhere_ends_the_valid_part(segment, tmp_path):
    data = bytearray(segment.read_bytes())
    other = tmp_path / "other" / segment.name
    other.parent.mkdir()
    for offset in range(len(data)):
        data[offset] ^= 1 << (offset % 8)
        other.write_bytes(data)
        found = told(other)
        assert found == SAID[: len(found)]
        assert len(found) < len(SAID)
        data[offset] ^= 1 << (offset % 8)


def test_records_taken_out_put_in_or_of_another_run_don_t_count(segment, tmp_path):
    assert told(segment, "run-2") == []
    renamed = tmp_path / "00007.journal"
    shutil.copy(segment, renamed)
    assert told(renamed) == []
    records, _ = read_segment(segment, "run-1")
    data = segment.read_bytes()
    # Without its second record: from the end of the first to where the third begins.
    ends = [one.offset + one.nbytes + 16 for one in records]
    segment.write_bytes(data[: ends[0]] + data[ends[1] :])
    assert told(segment) == SAID[:1]


def test_each_process_writes_a_segment_of_its_own(segment):
    second = Journal(segment.parent, "run-1")
    second.add("H", {"again": True})
    second.close()
    assert [one.name for one in list_segments(segment.parent)] == ["00000.journal", "00001.journal"]
    assert told(second.path) == [("H", {"again": True}, None)]
    assert told(segment) == SAID


def test_a_full_disk_is_an_error_and_what_was_written_stays_valid(tmp_path, monkeypatch):
    written = Journal(tmp_path, "run-1")
    written.add("H", {})
    real = os.writev

    def full(file, buffers):
        if file == written._file:
            real(file, [bytes(buffers[0])[:7]])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, buffers)

    monkeypatch.setattr(module.os, "writev", full)
    with pytest.raises(OSError, match="No space"):
        written.add("C", {"a": 1})
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space"):
        written.add("C", {"b": 1})
    written.close()
    assert told(written.path) == [("H", {}, None)]
    assert read_segment(written.path, "run-1")[1] == 7


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    real = os.writev
    monkeypatch.setattr(
        module.os, "writev", lambda file, buffers: real(file, [bytes(buffers[0])[:3]])
    )
    written = Journal(tmp_path, "run-1")
    written.add("C", {"a": 1}, encode(b"x" * 100))
    written.close()
    assert told(written.path) == [("C", {"a": 1}, b"x" * 100)]


def test_what_is_written_is_synced_in_the_background(tmp_path, monkeypatch):
    synced = []
    real = module._sync_data
    monkeypatch.setattr(module, "SYNC_S", 0.001)
    monkeypatch.setattr(module, "_sync_data", lambda file: (synced.append(file), real(file)))
    written = Journal(tmp_path, "run-1")
    written.add("H", {})
    while not synced:
        written._flusher.join(0.001)
    written.close()
    assert not written._flusher.is_alive()


def test_a_lock_is_one_process_s_and_ends_with_it(tmp_path):
    path = tmp_path / "lock"
    assert who_holds(path) is None
    lock = FileLock(path)
    with pytest.raises(Locked, match=f"process {os.getpid()} on "):
        FileLock(path)
    assert str(os.getpid()) in (who_holds(path) or "")
    lock.close()
    assert who_holds(path) is None
    code = (
        "import os, sys, pathlib\n"
        "from taskinity_data.file_lock import FileLock\n"
        "lock = FileLock(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert who_holds(path) is None
    FileLock(path).close()


def test_a_fork_of_a_dead_process_does_not_hold_its_lock(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import os, sys, pathlib\n"
        "from taskinity_data.file_lock import FileLock\n"
        "lock = FileLock(pathlib.Path(sys.argv[1]))\n"
        "alive, is_forked = os.pipe()\n"
        "if not os.fork():\n"
        "    os.write(is_forked, b'.')\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "os.read(alive, 1)\n"
        "os.kill(os.getpid(), 9)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE) as process:
        process.wait()
        assert who_holds(path) is None
        lock = FileLock(path)
        with pytest.raises(Locked, match=str(os.getpid())):
            FileLock(path)
        lock.close()
        process.stdin.close()  # and the fork ends
