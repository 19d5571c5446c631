"""One file under several names: what a list names twice is read twice, what a directory has twice
is refused; and the keys of chunks are those of the path, however it is spelled.
"""

import os
from pathlib import Path

import fsspec
import pytest

import taskinity_data as td
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    file = tmp_path / "d" / "a.csv"
    file.write_text("a\n1\n2\n")
    return file


def values(source, **options):
    dataset = open_dataset(source, **options)
    return [value for chunk in dataset.plan(chunk_size=1) for value in chunk.read()["a"].tolist()]


def keys(source):
    return [chunk.key for chunk in open_dataset(source).plan(chunk_size=1)]


def test_a_list_is_taken_as_given_whatever_the_spelling(path):
    (path.parent / "link.csv").symlink_to(path)
    spellings = [
        path,
        str(path),
        "d/a.csv",
        "./d/../d//a.csv",
        path.as_uri(),
        f"file://localhost{path}",
        "d/link.csv",
        "d/a*",
    ]
    assert values(spellings) == [1, 2] * len(spellings)


@pytest.mark.parametrize("chunk_size", ["auto", "3 rows", "1 rows"])
def test_a_run_reads_what_a_list_names_twice_twice(path, chunk_size):
    run = td.process([path, path], reduce=td.sum("a"), chunk_size=chunk_size, progress=False)
    assert (run.value, run.ledger.at["processed", "rows"]) == (6, 4)


def test_the_spellings_of_one_path_have_the_same_keys(path):
    spellings = ["d/a.csv", "./d/../d//a.csv", path.as_uri(), f"/{path}", "d/a*", Path("d/a.csv")]
    for spelled in spellings:
        assert keys(spelled) == keys(path), spelled
    for spelled in ("d", "d/", "d//", f"{path.parent.as_uri()}/"):
        assert keys(spelled) == keys(path.parent) == keys(path), spelled


def test_a_link_is_another_name_with_keys_of_its_own(path):
    (path.parent.parent / "link.csv").symlink_to(path)
    (path.parent.parent / "e").symlink_to(path.parent)
    assert values("link.csv") == values("e/a.csv") == [1, 2]
    assert len({keys(path)[0], keys("link.csv")[0], keys("e/a.csv")[0]}) == 3


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("source", ["d", "d/*", "d/**/*.csv", "*"])
def test_a_directory_or_glob_that_has_a_file_twice_is_refused_with_both_names(path, link, source):
    (path.parent / "sub").mkdir()
    link(path, path.parent / "sub" / "b.csv")
    if source == "d/*":
        link(path, path.parent / "c.csv")
    with pytest.raises(
        PlanError, match=r"(sub/b|d/c)\.csv: is a link to the same file as .*d/a\.csv"
    ):
        open_dataset(source)
    assert values([path, path.parent / "sub" / "b.csv"]) == [1, 2, 1, 2]


def test_files_of_the_same_bytes_are_two_files(path):
    (path.parent / "b.csv").write_bytes(path.read_bytes())
    os.utime(path.parent / "b.csv", ns=(0, path.stat().st_mtime_ns))
    assert values("d") == [1, 2, 1, 2]


def test_urls_of_stores_in_a_list_are_taken_as_given():
    system = fsspec.filesystem("memory")
    system.pipe("/same/a.csv", b"a\n1\n2\n")
    try:
        urls = ["memory://same/a.csv", "memory:///same/a.csv", "memory://same/*", "memory://same/"]
        assert values(urls) == [1, 2] * 4
        assert keys(urls[0]) == keys(urls[2]) == keys(urls[3])
        assert keys(urls[0]) != keys(urls[1])  # a URL is the name, as it was written
    finally:
        system.rm("/same", recursive=True)
