"""Attributes that threads compute at the same time."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from taskinity_data import reducers
from taskinity_data.reducers.cached_property import cached_property


class Column:
    def __init__(self, meeting):
        self.meeting, self.count = meeting, 0

    @cached_property
    def total(self):
        """The total."""
        self.count += 1
        self.meeting.wait(60)
        return self.count


def test_two_threads_compute_attributes_of_two_objects_at_the_same_time():
    meeting = Barrier(2)
    columns = [Column(meeting), Column(meeting)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda column: column.total, columns)) == [1, 1]


def test_an_attribute_is_computed_once_and_can_be_set():
    column = Column(Barrier(1))
    assert (column.total, column.total, column.count) == (1, 1, 1)
    column.total = 7
    assert column.total == 7
    assert Column.total.__doc__ == "The total."


def test_no_reducer_uses_the_one_with_a_lock():
    used = [
        path.name
        for path in Path(reducers.__file__).parent.rglob("*.py")
        if re.search(r"from functools import .*\bcached_property\b", path.read_text())
    ]
    assert used == []
