"""Check whether an existing output may be overwritten or appended to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskinity_data.errors import PlanError
from taskinity_data.output.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskinity_data.output.manifest import Manifest

__all__ = ["check_all_ours", "check_all_there", "check_allowed", "check_same", "is_hidden"]


def check_allowed(target: str, if_exists: str, existing: Manifest | None) -> Manifest:
    """Return `existing`, if `if_exists` allows a run to write to the existing `target`.

    Raises
    ------
    PlanError
        It does not; no earlier run wrote the files, so that they can't be overwritten or extended.
    """
    if if_exists == "error":
        ways = "" if existing is None else ", or set if_exists='overwrite' or if_exists='append'"
        raise PlanError(
            f"output={target!r} already exists and is not empty; choose another directory{ways}"
        )
    if existing is None:
        raise PlanError(
            f"output={target!r} contains files that this library did not write (no {MANIFEST}), "
            f"which if_exists={if_exists!r} does not change; choose another directory"
        )
    return existing


def check_all_ours(
    target: str, existing: Manifest, files: Iterable[str], if_exists: str = "overwrite"
) -> None:
    """Raise `PlanError` if one of `files`, relative to `target`, is not the manifest's."""
    ours = {part.path for part in existing.parts}
    for name in files:
        if not is_hidden(name) and name not in ours:
            why = (
                "overwriting would remove it"
                if if_exists == "overwrite"
                else "readers would take it for a part"
            )
            raise PlanError(
                f"output={target!r} contains {name}, which no run wrote; {why}: move it, or choose "
                "another directory"
            )


def check_all_there(target: str, existing: Manifest, sizes: Mapping[str, int | None]) -> None:
    """Raise `PlanError` if a part that the manifest lists is gone, or of another size.

    Parameters
    ----------
    target : str
    existing : Manifest
    sizes : mapping
        Bytes of each file that is there, by its path relative to `target`; None if unknown.
    """
    for part in existing.parts:
        nbytes = sizes.get(part.path, -1)
        if nbytes not in (None, part.nbytes):
            state = "is gone" if nbytes == -1 else f"has {nbytes:,} bytes, not {part.nbytes:,}"
            raise PlanError(
                f"output={target!r}: {MANIFEST} lists {part.path}, which {state}; an incomplete "
                "output can't be appended to: restore the file, or write the output again with "
                "if_exists='overwrite'"
            )


def check_same(target: str, existing: Manifest, format_: str, names: Sequence[str]) -> None:
    """Raise `PlanError` if parts of that format can't be added to those of `existing`."""
    for option, there, requested in (
        ("output_format", existing.format, format_),
        ("partition_by", list(existing.partition_by), list(names)),
    ):
        if there != requested:
            had, has = (
                f"with {option}={value!r}" if value else f"without {option}="
                for value in (there, requested)
            )
            way = f"say {option}={there!r}" if there else f"leave {option}= out"
            raise PlanError(
                f"output={target!r} was written {had}, and parts {has} can't be added to it; "
                f"{way}, or choose another directory"
            )


def is_hidden(relative: str) -> bool:
    """Return whether readers of the directory leave the file out."""
    return any(name.startswith((".", "_")) for name in relative.split("/"))
