"""Which files a source means, what they are, and each way in which it can be wrong."""

import builtins
import gzip
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, SourceNotFound
from taskinity_data.formats.detect import detect_format, implied_options
from taskinity_data.sources.find import find_files


def make(directory, *names, text="a,b\n1,2\n"):
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [str(directory / name) for name in names]


def names(source, base):
    return [os.path.relpath(file.path, base) for file in find_files(source)]


def test_a_file_by_text_path_object_and_url(tmp_path):
    (path,) = make(tmp_path, "a b.csv")
    url = (tmp_path / "a b.csv").as_uri()
    assert {find_files(one) for one in (path, tmp_path / "a b.csv", url)} == {find_files(path)}
    assert find_files("file://localhost" + path)[0].path == path


def test_a_relative_path_and_the_home_directory_become_absolute(tmp_path, monkeypatch):
    (path,) = make(tmp_path, "a.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [find_files(one)[0].path for one in ("a.csv", "./x/../a.csv", "~/a.csv")] == [path] * 3


def test_a_glob_is_sorted_by_name(tmp_path):
    make(tmp_path, "2.csv", "10.csv", "1.csv", "x.txt")
    assert names(str(tmp_path / "*.csv"), tmp_path) == ["1.csv", "10.csv", "2.csv"]


def test_a_glob_of_any_depth_takes_files_alone(tmp_path):
    make(tmp_path, "a.csv", "d/b.csv", "d/e/c.csv")
    assert names(str(tmp_path / "**"), tmp_path) == ["a.csv", "d/b.csv", "d/e/c.csv"]


def test_a_glob_of_directories_takes_what_is_in_them(tmp_path):
    make(tmp_path, "year=2013/a.csv", "year=2014/b.csv")
    files = find_files(str(tmp_path / "year=*"))
    assert [file.hive for file in files] == [(("year", "2013"),), (("year", "2014"),)]


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tmp_path):
    make(tmp_path, "a[1].csv", "a1.csv")
    assert names(str(tmp_path / "a[1].csv"), tmp_path) == ["a[1].csv"]


def test_a_directory_is_read_recursively_without_hidden_names(tmp_path):
    make(tmp_path, "b.csv", "a/c.csv", "_SUCCESS", ".crc", "_tmp/x.csv", ".git/y.csv", "a-b.csv")
    assert names(tmp_path, tmp_path) == ["a-b.csv", "a/c.csv", "b.csv"]


def test_hive_keys_are_read_from_directories_below_the_source_alone(tmp_path):
    (path,) = make(tmp_path, "x=1/year=2013/carrier=a%2Fb/part.csv")
    assert find_files(tmp_path / "x=1")[0].hive == (("year", "2013"), ("carrier", "a/b"))
    assert find_files(path)[0].hive == ()
    pattern = str(tmp_path / "x=1" / "year=*" / "carrier=*" / "*.csv")
    assert find_files(pattern)[0].hive == (("year", "2013"), ("carrier", "a/b"))


def test_hive_keys_that_differ_are_refused_with_the_file(tmp_path):
    make(tmp_path, "year=2013/a.csv", "b.csv")
    with pytest.raises(PlanError, match=r"hive keys are \['year'\].*must have the same"):
        find_files(tmp_path)


def test_a_list_keeps_its_order_and_a_file_named_twice_is_read_twice(tmp_path):
    one, two = make(tmp_path, "1.csv", "2.csv")
    files = find_files([two, one, two])
    assert [file.path for file in files] == [two, one, two]
    plan = open_dataset([two, one, two]).plan(chunk_size=1)
    assert plan.files == [two, one, two]
    assert plan[0].key == plan[2].key != plan[1].key


def test_a_list_may_hold_globs_and_directories(tmp_path):
    make(tmp_path, "d/1.csv", "2.csv")
    assert names([str(tmp_path / "*.csv"), tmp_path / "d"], tmp_path) == ["2.csv", "d/1.csv"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "list of files is empty"),
        ("", "path is empty"),
        (3, "of type int is not a source"),
        ({"a.csv"}, "of type set is not a source"),
        (b"a.csv", "of type bytes is not a source"),
        ([3], "3 in the list is not a path"),
        ("nowhere://bucket/a.csv", "fsspec has no protocol 'nowhere'"),
        ("tar://a.csv::memory://a.tar", "unpack or copy the file first"),
        ("zip://a.csv", "the archive is missing"),
        ("simplecache::memory://a.csv", "unpack or copy the file first"),
        ("https://example.org/*.csv", "a web server can't list files"),
        ("file://elsewhere/a.csv", "files of this machine"),
    ],
)
def test_what_is_no_source_is_refused(source, words):
    with pytest.raises(PlanError, match=words):
        find_files(source)


def test_a_missing_file_names_close_ones(tmp_path):
    make(tmp_path, "flights.csv")
    with pytest.raises(SourceNotFound, match=r"no such file in .*Did you mean 'flights.csv'"):
        find_files(tmp_path / "flihgts.csv")
    with pytest.raises(FileNotFoundError, match="Did you mean"):
        find_files(tmp_path / "flights.csvv")


def test_a_missing_directory_is_named_where_the_path_breaks_off(tmp_path):
    make(tmp_path, "flights/a.csv")
    with pytest.raises(SourceNotFound, match="Did you mean 'flights'"):
        find_files(tmp_path / "flight" / "a.csv")


def test_a_glob_without_a_match_says_what_is_there(tmp_path):
    make(tmp_path, "a.csv", "b.parquet")
    with pytest.raises(SourceNotFound, match=r"no file matches in .*end in \.csv, \.parquet"):
        find_files(str(tmp_path / "*.tsv"))
    with pytest.raises(SourceNotFound, match="no file matches"):
        find_files(str(tmp_path / "no*" / "*.tsv"))


def test_an_empty_directory_is_refused(tmp_path):
    make(tmp_path, "_SUCCESS")
    with pytest.raises(SourceNotFound, match="the directory holds no file"):
        find_files(tmp_path)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(PlanError, match="not a regular file"):
        find_files(tmp_path / "pipe.csv")


def test_a_dangling_link_is_a_missing_file(tmp_path):
    (tmp_path / "a.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(SourceNotFound, match=r"is a link to .*gone.csv"):
        find_files(tmp_path / "a.csv")


def detect(path, said=None, **options):
    return detect_format(find_files(path), said, options)


def parquet(path):
    pd.DataFrame({"a": [1, 2]}).to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.tsv", "a.tab"])
def test_text_is_known_by_its_suffix(tmp_path, name):
    make(tmp_path, name)
    assert detect(tmp_path / name) == "csv"


@pytest.mark.parametrize("name", ["a.parquet", "a.pq", "part-0000", "a.data"])
def test_parquet_is_known_by_suffix_or_content(tmp_path, name):
    assert detect(parquet(tmp_path / name)) == "parquet"


def test_tabs_are_implied_by_the_suffix_unless_the_user_says_otherwise(tmp_path):
    make(tmp_path, "a.tsv")
    files = find_files(tmp_path / "a.tsv")
    assert implied_options(files, {}) == {"sep": "\t"}
    assert implied_options(files, {"sep": ";"}) == {"sep": ";"}
    assert implied_options(files, {"delimiter": ";"}) == {"delimiter": ";"}


@pytest.mark.parametrize("option", ["sep", "delimiter"])
def test_a_separator_means_csv_where_nothing_else_tells_the_format(tmp_path, option):
    (tmp_path / "stations.txt").write_text("Hamburg;12.0\nBulawayo;8.9\n")
    dataset = open_dataset(tmp_path / "stations.txt", header=None, **{option: ";"})
    assert (dataset.reader.format, dataset.plan().rows) == ("csv", 2)
    with pytest.raises(PlanError, match="nor the first bytes show the format"):
        open_dataset(tmp_path / "stations.txt", header=None)
    (tmp_path / "lines.txt").write_text('{"a": 1}\n')
    with pytest.raises(PlanError, match=f"{option}="):
        open_dataset(tmp_path / "lines.txt", format="jsonl", **{option: ";"})


def test_the_format_given_beats_the_suffix(tmp_path):
    make(tmp_path, "a.dat")
    assert detect(tmp_path / "a.dat", "csv") == "csv"
    assert detect(parquet(tmp_path / "b.csv"), "parquet") == "parquet"


def refusal(path, said=None, **options):
    with pytest.raises(PlanError) as caught:
        detect(path, said, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_an_unknown_suffix_says_to_give_the_format(tmp_path):
    make(tmp_path, "a.dat")
    assert 'give format="csv"' in refusal(tmp_path / "a.dat")


def test_an_unknown_format_names_close_ones(tmp_path):
    make(tmp_path, "a.csv")
    with pytest.raises(PlanError, match="Did you mean 'parquet'"):
        detect(tmp_path / "a.csv", "parqet")


def test_a_file_of_no_bytes_is_refused(tmp_path):
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).touch()
        assert "empty (0 bytes)" in refusal(tmp_path / name)


def test_parquet_called_csv_and_csv_called_parquet_say_so(tmp_path):
    assert 'format="parquet"' in refusal(parquet(tmp_path / "a.csv"))
    make(tmp_path, "b.parquet")
    assert 'is it a CSV? give format="csv"' in refusal(tmp_path / "b.parquet")


def test_truncated_parquet_says_so(tmp_path):
    path = parquet(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    assert "truncated" in refusal(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(PlanError, match=r"a\.parquet"):
        open_dataset(path)


def test_encrypted_parquet_says_so(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PARE" + b"\0" * 40 + b"PARE")
    assert "encrypted" in refusal(path)


def test_binary_called_csv_is_refused_but_wide_encodings_are_not(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(bytes(range(256)) * 4)
    assert "binary file" in refusal(path)
    path.write_bytes("a,b\n1,2\n".encode("utf-16"))
    assert "encoding='utf-16'" in refusal(path)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.xlsx", "read_excel"),
        ("a.fwf", "read_fwf"),
        ("a.avro", "read_avro"),
    ],
)
def test_other_formats_are_refused_with_the_line_that_converts(tmp_path, name, line):
    make(tmp_path, name)
    message = refusal(tmp_path / name)
    assert line in message
    assert "not read in this version" in message


def test_gzip_that_was_not_unpacked_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" * 100))
    assert 'give compression="gzip"' in refusal(path)
    assert "gzip -dc" in refusal(path.rename(tmp_path / "a"))


def test_files_of_several_formats_are_refused_with_both(tmp_path):
    make(tmp_path, "a.csv")
    parquet(tmp_path / "b.parquet")
    with pytest.raises(PlanError, match=r"b\.parquet is parquet but .*a\.csv is csv"):
        detect(tmp_path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    (path,) = make(tmp_path, "a.csv")
    real = builtins.open

    def refuse(file, *args, **options):
        if str(file) == path:
            raise PermissionError(13, "Permission denied", path)
        return real(file, *args, **options)

    monkeypatch.setattr(builtins, "open", refuse)
    assert "may not be read by this user" in refusal(path)


def test_a_directory_that_may_not_be_listed_is_refused(tmp_path, monkeypatch):
    make(tmp_path, "d/a.csv")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("d"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PlanError, match="can't be listed: Permission denied"):
        find_files(tmp_path)


@pytest.mark.parametrize("use", ["directory", "glob", "url"])
def test_empty_files_among_others_are_left_out_with_a_warning_that_names_them(
    use, tmp_path, caplog
):
    for name, text in (("a.csv", "x\n1\n"), ("b.log", ""), ("c.csv", ""), ("d.csv", "x\n2\n")):
        (tmp_path / name).write_text(text)
    source = {"directory": tmp_path, "glob": tmp_path / "*", "url": f"file://{tmp_path}"}[use]
    files = find_files(str(source))
    assert re.search(r"2 of 4 files are empty .*b\.log, .*c\.csv; remove", caplog.text)
    assert [Path(file.path).name for file in files] == ["a.csv", "d.csv"]


def test_an_empty_file_that_is_named_itself_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(PlanError, match=r"b\.csv: the file is empty \(0 bytes\)"):
        open_dataset([tmp_path / "a.csv", tmp_path / "b.csv"]).plan()
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(PlanError, match=r"a\.csv: the file is empty \(0 bytes\)"):
        open_dataset(tmp_path)
