"""Processes that die, and stores that fail, at a chosen step: what the crash tests share."""

import builtins
import os
import threading
from contextlib import suppress

from taskinity_data.output.local import commit


class Killed(BaseException):
    """What no handler of the library catches."""


class Killer:
    """Counts steps that change the file system, and lets none happen from a chosen one on."""

    STEPS = ("mkdir", "rename", "replace", "remove", "unlink", "rmdir", "link")

    def __init__(self, monkeypatch):
        self.last, self.count, self.is_dead = None, 0, False
        for name in self.STEPS:
            monkeypatch.setattr(os, name, self.guard(getattr(os, name)))
        monkeypatch.setattr(os, "open", self.guard(os.open, self.creates))
        monkeypatch.setattr(builtins, "open", self.guard(open, self.writes))
        monkeypatch.setattr(commit, "exchange", self.guard(commit.exchange))

    def guard(self, step, is_step=lambda *args, **more: True):
        def guarded(*args, **more):
            if self.last is not None and is_step(*args, **more):
                self.count += 1
                if self.is_dead or self.count > self.last:
                    self.is_dead = True
                    raise Killed(step.__name__)
            return step(*args, **more)

        return guarded

    @staticmethod
    def creates(path, flags, *_, **__):
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    @staticmethod
    def writes(file, mode="r", *_, **__):
        return not isinstance(file, int) and set(mode) & set("wax+")

    def run(self, function, last):
        self.last, self.count, self.is_dead = last, 0, False
        try:
            function()
        except Killed:
            pass
        finally:
            self.last = None
        return self.is_dead


class Trouble:
    """Lets the calls before `last` happen; what comes then is as `how` says."""

    def __init__(self, last, how):
        self.last, self.how, self.count, self.calls = last, how, 0, []
        self.lock = threading.Lock()

    def __call__(self, what, path, function):
        with self.lock:
            self.count += 1
            place = self.count - self.last
            self.calls.append(what)
        if place <= 0 or (place > 1 and "once" in self.how):
            return function()
        if "answer lost" in self.how and place == 1:
            with suppress(FileNotFoundError):
                function()
        raise (Killed if "killed" in self.how else ConnectionError)("the network")

    @property
    def has_struck(self):
        return self.count > self.last
