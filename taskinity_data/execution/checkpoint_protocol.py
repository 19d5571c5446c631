"""The interface through which a driver stores finished chunks, and finds those of earlier tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.chunks.cut_again import EarlierCuts
    from taskinity_data.chunks.cut_columns import CutColumns
    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.outcome import Outcome
    from taskinity_data.outcome_block import OutcomeBlock
    from taskinity_data.sources.file import SourceFile

__all__ = ["CheckpointKeeper", "Entered"]


class Entered(Protocol):
    """What is known of a fan-out that begins."""

    @property
    def cuts(self) -> EarlierCuts:
        """The cuts to repeat."""

    def name_file(self, file: SourceFile) -> str:
        """Return the name by which `cuts` know a file."""


class CheckpointKeeper(Protocol):
    """Stores the outcomes of items, and returns those of an earlier run."""

    def enter(self, job: Job, dataset: Dataset | None, cutting: str) -> Entered | None:
        """Begin a fan-out; `cutting` says how its dataset is to be cut. None: no cuts are known."""

    def recall(self, name: str, items: Sequence[Item], chunks: CutColumns) -> dict[int, Outcome]:
        """Return outcomes of an earlier run, by number, of `items` that are handed out now.

        `chunks` are all of the fan-out that were handed out, and those that will be.
        """

    def keep(self, name: str, items: Sequence[Item], ended: Outcome | OutcomeBlock) -> None:
        """Store the final outcome of an item, or of those of a block, before values are combined.

        The value of a part is left out: it is not a chunk of the plan, and a split chunk is run
        again. Rows of one that has no result are kept, too, and bad lines.
        """
