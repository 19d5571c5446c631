"""Threads that hold each other up, whatever they do, as functions in plain Python make them."""

from __future__ import annotations

from taskinity_data.execution.worker.thread_time import LockWatch


def see_shared_lock(monkeypatch):
    """Let each run find at its first look that its threads share a lock."""

    def look(watch, now_s, *_, **__):
        watch.begun_s = watch.begun_s or now_s
        watch.runs_alone, watch.is_shared = False, True

    monkeypatch.setattr(LockWatch, "look", look)
