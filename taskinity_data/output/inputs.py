"""Which inputs an output lists, and which files of a run it holds the rows of already.

A file is recognised by its fingerprint, wherever it is now; one that has changed, by its path.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskinity_data.sources.file import SourceFile

__all__ = ["InputRules", "SortedInputs", "describe_input", "sort_inputs"]

_MAX_NAMED = 3
"""Files that a message names."""


def describe_input(file: SourceFile, left_out: int = 0) -> dict[str, Any]:
    """Return what a manifest lists of `file`, of which `left_out` chunks have no rows there."""
    entry = {"path": file.path, **_fingerprint(file)}
    real = _real_path(file)
    if real != file.path:
        entry["real_path"] = real
    if left_out:
        entry["left_out"] = left_out
    return entry


def _fingerprint(file: SourceFile) -> dict[str, Any]:
    print_ = file.fingerprint
    entry: dict[str, Any] = {"nbytes": print_.nbytes, "mtime_ns": print_.mtime_ns}
    entry |= {"tag": print_.tag} if print_.tag else {"inode": print_.inode}
    # The members of an archive share its fingerprint.
    return entry | ({"member": file.member} if file.member else {})


def _real_path(file: SourceFile) -> str:
    is_local = file.store is None and not file.member
    return os.path.realpath(file.path) if is_local else file.path


class _Key(NamedTuple):
    """What stays of a file that is moved or copied; `inode` only where it is moved on one disk."""

    nbytes: int
    mtime_ns: int
    tag: str
    member: str
    inode: int | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Key:
        rest = entry.get("tag", ""), entry.get("member", ""), entry.get("inode")
        return cls(entry["nbytes"], entry["mtime_ns"], *rest)

    @property
    def is_telling(self) -> bool:
        """Whether it says more than the size."""
        return bool(self.mtime_ns or self.tag.strip("-"))

    def without_inode(self) -> _Key:
        return self._replace(inode=None)


@dataclass
class SortedInputs:
    """The files of a run, by what the output has of them.

    Attributes
    ----------
    new : list of SourceFile
        Of which it has nothing.
    repeated : list of SourceFile
        Whose rows it has.
    changed : list of (SourceFile, dict)
        Those that were others when their rows were written, with what is listed.
    unsure : list of (SourceFile, dict)
        Those with the size and time, or the tag, of a listed file that is not an input now, at
        another path: perhaps a copy.
    """

    new: list[SourceFile] = field(default_factory=list)
    repeated: list[SourceFile] = field(default_factory=list)
    changed: list[tuple[SourceFile, dict[str, Any]]] = field(default_factory=list)
    unsure: list[tuple[SourceFile, dict[str, Any]]] = field(default_factory=list)


def sort_inputs(files: Iterable[SourceFile], listed: Sequence[dict[str, Any]]) -> SortedInputs:
    """Return `files` sorted by what an output that lists `listed` has of them.

    Notes
    -----
    Paths come first, so that two files of one content, which a store gives one tag, stay two. A
    file at its old place that has its old size and time is the same, though it was put back there.
    """
    by_path: dict[str, list[dict[str, Any]]] = {}
    for entry in listed:
        for path in _paths_of(entry):
            by_path.setdefault(path, []).append(entry)
    result = SortedInputs()
    elsewhere = []
    matched: set[int] = set()
    for file in files:
        there = [entry for path in _names_of(file) for entry in by_path.get(path, ())]
        if not there:
            elsewhere.append(file)
            continue
        matched.update(map(id, there))
        key = _Key.of(_fingerprint(file)).without_inode()
        if any(_Key.of(entry).without_inode() == key for entry in there):
            result.repeated.append(file)
        else:
            result.changed.append((file, there[-1]))
    _sort_moved(elsewhere, [entry for entry in listed if id(entry) not in matched], result)
    return result


def _paths_of(entry: Mapping[str, Any]) -> set[str]:
    return {entry["path"], entry.get("real_path", entry["path"])}


def _names_of(file: SourceFile) -> set[str]:
    return {file.path, _real_path(file)}


def _sort_moved(
    files: Sequence[SourceFile], missing: Sequence[dict[str, Any]], result: SortedInputs
) -> None:
    """Sort `files`, whose paths are not listed, by what is `missing` of those that are."""
    moved = Counter(_Key.of(entry) for entry in missing if entry.get("inode") is not None)
    alike = {_Key.of(entry).without_inode(): entry for entry in missing}
    for file in files:
        key = _Key.of(_fingerprint(file))
        if moved[key] > 0:
            moved[key] -= 1
            result.repeated.append(file)
        elif key.is_telling and key.without_inode() in alike:
            result.unsure.append((file, alike[key.without_inode()]))
        else:
            result.new.append(file)


@dataclass(frozen=True)
class InputRules:
    """What is done with inputs whose rows an output has already.

    Attributes
    ----------
    target : str
        For messages.
    others : sequence of dict
        The facts of the runs whose rows are there and stay.
    own_inputs : sequence of dict
        Of an output that is completed: the inputs that the run itself has listed.
    only_new, allow_repeated : bool
        See `run_flow`.
    """

    target: str
    others: Sequence[Mapping[str, Any]]
    own_inputs: Sequence[Mapping[str, Any]] | None = None
    only_new: bool = False
    allow_repeated: bool = False

    @property
    def listed(self) -> list[dict[str, Any]]:
        """The inputs of all other runs."""
        return [entry for meta in self.others for entry in meta.get("inputs", ())]

    def refuse_unlisted(self, source: str) -> None:
        """Raise `PlanError` if only new inputs are to be taken of `what`, which has no files."""
        if self.only_new:
            raise PlanError(
                f"only_new=True: {source} has no fingerprint, so the output can't list it; give "
                "files, or leave out only_new= to append all of it each time"
            )

    def choose(
        self, files: Sequence[SourceFile], say: Callable[[str], None]
    ) -> Sequence[SourceFile]:
        """Return those of `files` that are to be written.

        Raises
        ------
        PlanError
            The output holds rows of one, or of what it was, and nothing says what to do.
        """
        if self.allow_repeated or not self.others:
            return files
        self._report_left_out(say)
        own_paths = {path for entry in self.own_inputs or () for path in _paths_of(entry)}
        inputs = sort_inputs(
            [file for file in files if not own_paths & _names_of(file)], self.listed
        )
        if inputs.changed:
            raise PlanError(self._describe_changed(*inputs.changed[0]))
        if inputs.repeated and not self.only_new and self.own_inputs is None:
            raise PlanError(self._describe_repeated(inputs.repeated, len(files)))
        if inputs.unsure:
            raise PlanError(self._describe_unsure(*inputs.unsure[0]))
        if not inputs.repeated:
            return files
        gone = set(map(id, inputs.repeated))
        new = [file for file in files if id(file) not in gone]
        rest = "the rest is appended" if new else "nothing is new, and it stays as it is"
        say(f"{self.target} holds the rows of {len(gone):,} of these {len(files):,} inputs; {rest}")
        return new

    def _report_left_out(self, say: Callable[[str], None]) -> None:
        for meta in self.others:
            lacking = [entry["path"] for entry in meta.get("inputs", ()) if entry.get("left_out")]
            if lacking:
                run = meta.get("run_id")
                say(
                    f"{self.target} lacks rows of {_name(lacking)}, which run {run} left out: "
                    f'resume="{run}" (on the command line: redrive {run}) adds them, where its '
                    "journal was kept"
                )

    def _describe_repeated(self, repeated: Sequence[SourceFile], count: int) -> str:
        new = count - len(repeated)
        return (
            f"output={self.target!r} holds the rows of {_name(file.path for file in repeated)} "
            f"already ({len(repeated):,} of these {count:,} inputs): appended again they would "
            f"count twice. only_new=True appends the rest alone (here {new:,}), "
            "allow_repeated=True all of them, as results of another function; "
            "if_exists='overwrite' writes the output again"
        )

    def _describe_changed(self, file: SourceFile, entry: Mapping[str, Any]) -> str:
        return (
            f"output={self.target!r} holds rows of {file.path}, which has changed since "
            f"({entry['nbytes']:,} bytes then, {file.fingerprint} now): appended, old and new rows "
            "would both be in the output. Write the output again with if_exists='overwrite', leave "
            "the file out, or append all of it again with allow_repeated=True"
        )

    def _describe_unsure(self, file: SourceFile, entry: Mapping[str, Any]) -> str:
        properties = "the size and ETag" if entry.get("tag", "-") != "-" else "the size and time"
        return (
            f"output={self.target!r} holds the rows of {entry['path']}, of which {file.path} has "
            f"{properties}: it may be a copy. Leave it out if it is, else append it with "
            "allow_repeated=True"
        )


def _name(paths: Iterable[str]) -> str:
    """Return the first few of `paths`, and how many more there are."""
    every = list(paths)
    more = len(every) - _MAX_NAMED
    named = ", ".join(every[:_MAX_NAMED])
    return f"{named} and {more:,} more" if more > 0 else named
