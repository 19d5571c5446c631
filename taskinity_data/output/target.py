"""What a sink asks of the place that it writes to: a directory on a disk, or one in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from taskinity_data.output.complete import Earlier, Mending
    from taskinity_data.output.manifest import Manifest, StoredPart
    from taskinity_data.output.parts import Part
    from taskinity_data.output.staging import Staging
    from taskinity_data.output.write_formats import Format

__all__ = ["Target"]


class Target(Protocol):
    """A place that is locked for one run, and how it becomes what the run wrote.

    `shown` is its name, without secrets; `is_in_process` says that only threads can write to it.
    """

    shown: str
    is_in_process: bool

    @property
    def mending(self) -> Mending | None:
        """What a run that goes on has committed, which the next commit takes the place of."""

    @property
    def staging(self) -> Staging:
        """Takes the files of parts; known from `look` on."""

    def look(self, if_exists: str, earlier: Earlier | None = None) -> Manifest | None:
        """Clean up, and the manifest of what stands there; `PlanError` where it may not.

        What `earlier` has committed is looked for first, and becomes `mending`.
        """

    def holds(self, path: str) -> bool:
        """Return whether the file or URL `path` lies in it."""

    def gather(
        self,
        parts: Sequence[Part],
        schema: pa.Schema | None,
        format_: Format,
        partition_by: Sequence[str],
    ) -> tuple[StoredPart, ...]:
        """Return the files of `parts`, checked; rewrite those that lack a type of `schema`."""

    def write_empty(
        self, schema: pa.Schema, format_: Format, partition_by: Sequence[str]
    ) -> StoredPart:
        """Write a file without rows, from which readers know the columns."""

    def publish(self, manifest: Manifest, existing: Manifest | None, if_exists: str) -> None:
        """Make what was gathered visible at once."""

    def leave(self) -> None:
        """Drop what was not published, and unlock."""
