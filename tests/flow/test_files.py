"""Flow files are read, written all at once, and listed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from taskinity_data.errors import FlowError, FlowSyntaxError, SourceNotFound
from taskinity_data.flow.files import list_flows, load_flow, save_flow
from taskinity_data.flow.language.parser import parse_flow

if TYPE_CHECKING:
    from pathlib import Path

FLOW = parse_flow('flow F:\n description: "ä \\n"\n A -> B[*] -> C')


@pytest.mark.parametrize("suffix", [".flow", ".dsl", ".taskinity", ".FLOW"])
def test_what_was_saved_is_loaded(tmp_path: Path, suffix: str) -> None:
    path = save_flow(FLOW, tmp_path / f"mine{suffix}")
    assert load_flow(path) == load_flow(str(path)) == FLOW
    assert os.listdir(tmp_path) == [path.name]


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.flow"
    path.write_bytes(b"\xef\xbb\xbf" + FLOW.to_text().replace("\n", "\r\n").encode())
    assert load_flow(path) == FLOW


def test_a_missing_file_is_told_with_a_close_name(tmp_path: Path) -> None:
    save_flow(FLOW, tmp_path / "flights.flow")
    with pytest.raises(SourceNotFound, match=r"Did you mean 'flights\.flow'") as caught:
        load_flow(tmp_path / "flight.flow")
    assert isinstance(caught.value, FileNotFoundError)


def test_a_mistake_names_the_file_and_the_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.flow"
    path.write_text("flow F:\n A ->")
    with pytest.raises(FlowSyntaxError) as caught:
        load_flow(path)
    assert str(caught.value).startswith(f"{path} has a problem")
    assert (caught.value.line, caught.value.column) == (2, 6)


def test_the_flow_files_of_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match=r"is a directory; it has no flow files$"):
        load_flow(tmp_path)
    for name in "abcdef":
        save_flow(FLOW, tmp_path / f"{name}.flow")
    with pytest.raises(FlowError, match=r"pass one of its flow files: a\.flow, .*e\.flow, …$"):
        load_flow(tmp_path)


@pytest.mark.parametrize("name", ["mine.txt", "mine", "mine.py"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FlowError, match=r"\*\.flow"):
        load_flow(tmp_path / name)
    with pytest.raises(FlowError, match=r"\*\.flow"):
        save_flow(FLOW, tmp_path / name)


@pytest.mark.parametrize(
    ("flow", "says"),
    [(FLOW.to_text(), r"not str: td\.parse_flow\(text\)"), (None, "the flow comes first")],
)
def test_what_is_no_flow_is_not_saved(tmp_path: Path, flow: object, says: str) -> None:
    with pytest.raises(FlowError, match=says):
        save_flow(flow, tmp_path / "mine.flow")  # type: ignore[arg-type]
    assert not os.listdir(tmp_path)


def test_what_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.flow").write_bytes(b"flow F:\n\xff")
    with pytest.raises(FlowError, match="byte 8 is not UTF-8"):
        load_flow(tmp_path / "binary.flow")
    (tmp_path / "folder.flow").mkdir()
    with pytest.raises(FlowError, match="is a directory"):
        load_flow(tmp_path / "folder.flow")


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_flow(FLOW, tmp_path / "mine.flow")
    before = path.read_bytes()

    def fail(_handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_flow(parse_flow("flow Other:\n A -> B"), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["mine.flow"]


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = save_flow(FLOW, tmp_path / "mine.flow")
    path.chmod(0o600)
    save_flow(FLOW, path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_flows_are_listed_by_name_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("b.flow", "a.dsl", "c.taskinity", "d.txt", ".hidden.flow"):
        (tmp_path / name).write_text("")
    (tmp_path / "e.flow").mkdir()
    assert [path.name for path in list_flows(tmp_path)] == ["a.dsl", "b.flow", "c.taskinity"]
    with pytest.raises(SourceNotFound, match="no such directory"):
        list_flows(tmp_path / "none")
