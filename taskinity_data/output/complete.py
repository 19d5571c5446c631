"""What a run has written before: parts already committed, and parts kept until it is resumed."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import ResumeError
from taskinity_data.output.staging import digest_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.output.manifest import Manifest, StoredPart
    from taskinity_data.output.parts import Part

__all__ = [
    "ALL_DONE",
    "RETYPED",
    "CommittedError",
    "Earlier",
    "KeptParts",
    "Mending",
    "kept_directory",
]

ALL_DONE = "COMPLETED"
"""The `status` in a manifest's facts of a run that left nothing out."""

RETYPED = "retyped"
"""In a manifest's facts: the checksums that files had before they got a type from other chunks."""


class CommittedError(ResumeError):
    """The newest run was killed after its commit, before its journal recorded it."""


@dataclass(frozen=True)
class Earlier:
    """The run that goes on.

    Attributes
    ----------
    run_id : str
    has_committed : bool
        Whether its journal records that its output was committed.
    goes_on : bool
        Whether it goes on where it has committed, too. Where only new inputs are taken of what is
        there, another run does as well.
    """

    run_id: str
    has_committed: bool = False
    goes_on: bool = True

    def find(self, target: str, manifest: Manifest) -> int | None:
        """Return which of the runs that wrote what `manifest` lists it is; None: none of them.

        Raises
        ------
        ResumeError
            It left nothing out; `CommittedError` where it does not go on.
        """
        ids = [meta.get("run_id") for meta in manifest.metas]
        if self.run_id not in ids:
            return None
        if not self.goes_on:
            raise CommittedError(f"run {self.run_id} has committed", run_id=self.run_id)
        number = ids.index(self.run_id)
        if manifest.metas[number].get("status", ALL_DONE) == ALL_DONE:
            raise ResumeError(
                f"run {self.run_id} has already written {target} completely; start another run",
                run_id=self.run_id,
            )
        return number

    def check_there(self, target: str) -> None:
        """Raise `ResumeError` if what it has committed was not found at `target`."""
        if self.has_committed:
            raise ResumeError(
                f"run {self.run_id} has written {target}, but it was removed or overwritten since "
                "and can't be completed; start another run",
                run_id=self.run_id,
            )

    def refuse(self, target: str, why: str) -> ResumeError:
        """Return the error of a commit that can't be replaced."""
        return ResumeError(
            f"run {self.run_id} can't be completed in {target}: {why}; start another run, into "
            "another output",
            run_id=self.run_id,
        )


class Mending:
    """What one run has committed: its parts, each given out once, and their place among others'.

    Parameters
    ----------
    whole : Manifest
        Of the whole output.
    number : int
        Of the run: 0 is the first, whose facts are `meta`, the others' are `added`.
    bring : callable
        (stored part, name) -> the name under which a commit finds it; `name` is where it was
        staged once.

    Attributes
    ----------
    parts : tuple of StoredPart
        Those of that run.
    meta : dict
        Its facts.
    others : sequence of dict
        The facts of the other runs whose parts it contains.
    """

    def __init__(
        self, whole: Manifest, number: int, bring: Callable[[StoredPart, str], str]
    ) -> None:
        self._first, self._end = whole.find_parts(number)
        self.parts = whole.parts[self._first : self._end]
        self.meta = whole.metas[number]
        self.others = (*whole.metas[:number], *whole.metas[number + 1 :])
        self._whole, self._number, self._bring = whole, number, bring
        self._left: dict[tuple[str, str], list[StoredPart]] = {}
        before = self.meta.get(RETYPED, {})
        for part in self.parts:
            key = os.path.dirname(part.path), before.get(part.path, part.checksum)
            self._left.setdefault(key, []).append(part)

    def put(self, manifest: Manifest) -> Manifest:
        """Return the manifest of all, with `manifest` in the place of the run's parts.

        Raises
        ------
        SchemaError
            Columns or types differ.
        """
        metas = list(self._whole.metas)
        metas[self._number] = manifest.meta
        schema = manifest.schema
        if len(metas) > 1:
            # The dataset's own hold: files of others can't take a type any more.
            schema = self._whole.joined(manifest).schema
        before, after = self._whole.parts[: self._first], self._whole.parts[self._end :]
        parts = (*before, *manifest.parts, *after)
        return replace(manifest, schema=schema, parts=parts, meta=metas[0], added=tuple(metas[1:]))

    @property
    def inputs(self) -> Sequence[Mapping[str, Any]]:
        """The files whose rows it contains, as the manifest lists them."""
        return tuple(self.meta.get("inputs", ()))

    def reclaim(self, part: Part) -> Part | None:
        """Return `part` with its current files, None if one is missing or changed.

        Content decides: files are known by their checksums and directories.
        """
        stored = []
        for file in part.files:
            left = self._left.get((file.directory, file.checksum))
            if not left:
                return None
            stored.append(left.pop(0))
        files = [
            replace(
                file,
                name=self._bring(part_there, file.name),
                nbytes=part_there.nbytes,
                checksum=part_there.checksum,
                written=file.checksum,
            )
            for file, part_there in zip(part.files, stored, strict=True)
        ]
        has_types = any(file.checksum != file.written for file in files)
        schema = self._whole.schema if has_types else part.schema
        return replace(part, schema=schema, files=tuple(files))


_OWNER_FILE = ".run"
"""The file next to kept parts that records the machine and directory of their run."""


def kept_directory(output: Any, run_id: str) -> Path | None:
    """Return where the parts of a stopped run are; None if the output is not a local directory."""
    if not isinstance(output, (str, os.PathLike)):
        return None
    text = os.fsdecode(output).removeprefix("file://")
    if "://" in text or "\0" in text or not text:
        return None
    target = Path(os.path.realpath(os.path.expanduser(text)))
    return target.parent / f".{target.name[:150]}.kept-{run_id}"


class KeptParts:
    """The kept parts of the run `run_id`, which writes `output`.

    Parameters
    ----------
    output : path
    run_id : str
    run_dir : pathlib.Path
        Where runs are kept: without its directory there the run can't go on.
    say : callable
        Takes what the user should know.
    """

    def __init__(self, output: Any, run_id: str, run_dir: Path, say: Callable[[str], None]) -> None:
        self._directory = kept_directory(output, run_id)
        self._owner = f"{socket.gethostname()}\n{run_dir / run_id}\n"
        self._say = say

    def take(self, staging: str) -> None:
        """Keep what was written in `staging`, a directory of a try that has ended.

        Where that is not possible, `say` gets a message.
        """
        if self._directory is None or not os.path.isdir(staging):
            return
        try:
            self._take(self._directory, staging)
        except OSError as error:
            self._say(
                f"the parts that were written can't be kept: {error.strerror or error} "
                f"({error.filename}); their chunks run again when the run is resumed"
            )

    def _take(self, directory: Path, staging: str) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        owner_file = directory / _OWNER_FILE
        if not owner_file.exists():
            try:
                owner_file.write_text(self._owner, encoding="utf-8")
            except OSError:
                self.remove()  # nobody would know whose it is
                raise
        for entry in os.scandir(staging):
            if entry.is_file(follow_symlinks=False):
                Path(entry.path).replace(directory / entry.name)

    def give_back(self, part: Part, staging: str | None) -> bool:
        """Move the files of `part` to `staging` and return True, if all are here as written."""
        if not part.files:
            return True
        if self._directory is None or staging is None:
            return False
        for file in part.files:
            path = self._directory / file.name
            if not path.is_file() or digest_file(str(path)) != (file.nbytes, file.checksum):
                return False
        for file in part.files:
            (self._directory / file.name).replace(Path(staging) / file.name)
        return True

    def remove(self) -> None:
        """Remove them: they are needed no more."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def remove_orphans(self) -> None:
        """Remove the parts of other runs of this output whose directories are gone.

        The output must be locked. Runs of other machines, whose files may not be seen here, are
        left alone.
        """
        if self._directory is None:
            return
        start = f"{self._directory.name.rpartition('.kept-')[0]}.kept-"
        try:
            entries = list(os.scandir(self._directory.parent))
        except OSError:
            return
        for entry in entries:
            if not entry.name.startswith(start) or not entry.is_dir(follow_symlinks=False):
                continue
            try:
                host, run = Path(entry.path, _OWNER_FILE).read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError):
                continue  # not known whose
            if host == socket.gethostname() and not os.path.isdir(run):
                shutil.rmtree(entry.path, ignore_errors=True)
