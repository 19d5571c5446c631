"""What a worker process is set to before it runs items."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from taskinity_data.execution.worker.batches import keep_freed_memory


@pytest.mark.parametrize(("trims", "count"), [("65536", 2), ("1000000", 0), (None, 0)])
def test_freed_memory_is_kept_where_dask_has_set_otherwise_and_not_where_the_user_has(
    monkeypatch, trims, count
):
    options = {}
    libc = SimpleNamespace(mallopt=lambda name, value: not options.update({name: value}))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    if trims is not None:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", trims)
    assert keep_freed_memory.__wrapped__() is (count > 0)
    assert len(options) == count


def test_without_glibc_memory_is_freed_as_it_was(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert keep_freed_memory.__wrapped__() is False
