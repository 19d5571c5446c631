"""What the driver asks of whoever keeps finished chunks, and knows those of an earlier try.

It knows nothing of how or where they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskinity_data.chunks.cut_again import EarlierCuts
    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.execution.worker.run_item import Item, Job
    from taskinity_data.outcome import Outcome
    from taskinity_data.sources.file import SourceFile

__all__ = ["CheckpointKeeper", "Entered"]


class Entered(Protocol):
    """What is known of a fan-out that begins."""

    @property
    def cuts(self) -> EarlierCuts:
        """The cuts to repeat."""

    def name_file(self, file: SourceFile) -> str:
        """As what `cuts` know a file."""


class CheckpointKeeper(Protocol):
    """Keeps what became of items, and tells what became of them before."""

    def enter(self, job: Job, dataset: Dataset | None, asked: str) -> Entered:
        """A fan-out begins; `asked` says how its dataset is to be cut."""

    def recall(self, name: str, item: Item) -> Outcome | None:
        """The outcome of an item of the fan-out `name`, which is handed out now, from before."""

    def keep(self, name: str, item: Item, outcome: Outcome) -> None:
        """Keep the last word on an item, before its value is combined.

        Of a part what became of it is kept alone: it is no chunk of the plan, and one that was
        split is run again.
        """

    def set_aside(self, name: str, item: Item, outcome: Outcome) -> None:
        """Keep the rows of an item, or of a part of one, that has no result, or bad lines."""
