"""Decide which results of chunks are stored, by their size, and write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.checkpoints.values import TooLarge, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.checkpoints.fan_out_record import FanOutRecord

__all__ = ["ValueBudget"]

_MAX_ANSWER_NBYTES = 16 << 20

_MAX_PARTIAL_NBYTES = 64 << 20
"""A larger partial is not kept: to write it takes about as long as to read a chunk again."""

MAX_UNASKED_NBYTES = 1 << 30
"""All that is kept of a run whose user did not ask for it: a disk is filled only on demand."""

FREE_NBYTES = 1 << 20
_WRITTEN_PER_S = 500e6
MAX_UNASKED_SHARE = 0.1
"""Of such a run a result above 1 MiB is kept where that takes a tenth of the time that it took to
compute, at most: 500 MB are summed and written in a second. With a run's first millions of groups
all that work would be for nothing."""


class ValueBudget:
    """Encodes the results that are kept.

    Parameters
    ----------
    report : callable
        Takes what the user should know.
    is_asked : bool
        Whether the user asked for the run to be kept.
    """

    def __init__(self, report: Callable[[str], None], *, is_asked: bool) -> None:
        self._report = report
        self._is_asked = is_asked
        self._kept_nbytes = 0
        self._has_reported = False

    def encode(
        self, fan: FanOutRecord, values: Sequence[Any], duration_s: float
    ) -> list[bytes | memoryview]:
        """Return `values`, which took `duration_s`, as bytes; none where not all are kept."""
        try:
            buffers = encode(fan.dump(values), self._max_nbytes(duration_s))
            self._kept_nbytes += sum(map(len, buffers))
            return buffers
        except TooLarge:
            self._report_large(fan.name)
        except Exception as error:  # noqa: BLE001 - what users' values do must not cost the run
            if not fan.is_reported:
                fan.is_reported = True
                self._report(
                    f"{fan.name}: its results hold {error}, which can't be stored exactly, so its "
                    "chunks are run again when this run is resumed (a reducer may bring dump= and "
                    "load=)"
                )
        return []

    def encode_answer(self, value: Any) -> list[bytes | memoryview]:
        """Return the answer of the run as bytes; none where it is not kept for `load_run`."""
        try:
            return encode(value, _MAX_ANSWER_NBYTES)
        except Exception:  # noqa: BLE001 - then load_run has no value
            return []

    def _max_nbytes(self, duration_s: float) -> int:
        if self._is_asked:
            return _MAX_PARTIAL_NBYTES
        worth = int(duration_s * MAX_UNASKED_SHARE * _WRITTEN_PER_S)
        left = MAX_UNASKED_NBYTES - self._kept_nbytes
        return min(_MAX_PARTIAL_NBYTES, max(FREE_NBYTES, worth), left)

    def _report_large(self, name: str) -> None:
        if self._has_reported:
            return
        self._has_reported = True
        if self._is_asked:
            how = f" than read ({_MAX_PARTIAL_NBYTES >> 20} MiB each at most)"
        else:
            how = "; with run_dir= or TASKINITY_RUN_DIR more of them are"
        self._report(
            f"{name}: not all results are kept, as large ones are sooner computed again{how}"
        )
