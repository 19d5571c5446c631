"""What a store refuses is told without a word of its library's, before work where that can be."""

import errno

import pytest
from store_frames import frame, same

import taskinity_data as td
from taskinity_data.errors import FlowFailed, PlanError
from taskinity_data.output.sink import open_sink
from taskinity_data.output.store.remote import explain

URL = "failing://bucket/out"
SECRET = "AKIA-hunter2"


class ClientError(Exception):
    def __init__(self, status, code):
        super().__init__(SECRET)
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class NoCredentialsError(Exception):
    pass


class ResponseError(Exception):
    status = 503


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (caused(PermissionError(SECRET), ClientError(403, "AccessDenied")), PermissionError,
         "does not let these credentials write or remove it (403 AccessDenied); give others"),
        (PermissionError(errno.EACCES, SECRET), PermissionError, "(PermissionError)"),
        (NoCredentialsError(SECRET), PermissionError, "no credentials were found"),
        (caused(FileNotFoundError(SECRET), ClientError(404, "NoSuchBucket")), FileNotFoundError,
         "no such bucket or container (404 NoSuchBucket); create it first"),
        (FileNotFoundError(SECRET), FileNotFoundError, "no such bucket or container"),
        (NotImplementedError(SECRET), OSError, "can be read, and not written to"),
        (OSError(errno.EROFS, SECRET), OSError, "(Read-only file system)"),
        (OSError(errno.ENOSPC, SECRET), OSError, "(No space left on device)"),
        (ResponseError(SECRET), OSError, "can't be written (503)"),
        (ConnectionResetError(SECRET), OSError, "can't be written (ConnectionResetError)"),
        (RuntimeError(SECRET), OSError, "can't be written (RuntimeError)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_words_of_our_own(error, kind, said):
    told = explain("s3://bucket/out", error)
    assert type(told) is kind
    assert said in str(told)
    assert str(told).startswith("s3://bucket/out: ")
    assert SECRET not in str(told)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, SECRET),
        ClientError(403, "AccessDenied"),
        NotImplementedError(SECRET),
        ConnectionResetError(SECRET),
    ],
)
def test_a_store_that_takes_nothing_is_found_before_any_chunk(failing, error):
    calls = []

    def refuse(what, path, function):
        if what in ("put", "remove"):
            raise error
        return function()

    failing.trouble = staticmethod(refuse)
    with pytest.raises(PlanError, match=f"^output='{URL}': ") as caught:
        td.process(frame(), calls.append, output=URL, scheduler="threads", progress=False)
    assert not calls
    assert SECRET not in str(caught.value)
    assert "_writing" not in str(caught.value)
    assert not failing.store


def test_a_store_that_fails_later_fails_the_run_and_is_told(failing):
    def cut(what, path, function):
        if what == "put" and "part-" in path:
            raise ConnectionResetError(SECRET)
        return function()

    failing.trouble = staticmethod(cut)
    with pytest.raises(
        FlowFailed, match=r"part-.*can't be written \(ConnectionResetError\)"
    ) as told:
        td.process(frame(), lambda c: c, output=URL, scheduler="threads", progress=False)
    assert SECRET not in str(told.value) + told.value.run.failures.to_string()
    assert not failing.store


def test_a_part_that_can_be_put_the_second_time_is_retried(failing):
    cuts = []

    def cut(what, path, function):
        if what == "put" and "part-" in path and not cuts:
            function()
            cuts.append(path)
            raise ConnectionResetError(SECRET)
        return function()

    failing.trouble = staticmethod(cut)
    td.process(
        frame(), lambda c: c, output=URL, scheduler="threads", retries=1, retry_delay=0,
        progress=False,
    )  # fmt: skip
    failing.trouble = None
    assert cuts[0] not in failing.store
    assert len(failing.store) == 2
    (chunk,) = td.open_dataset(URL).plan()
    same(chunk.read(), frame())


def test_what_cant_be_removed_is_told_to_the_log_and_left_to_the_next_run(failing, caplog):
    def keep(what, path, function):
        if what == "remove" and "part-" in path:
            raise PermissionError(SECRET)
        return function()

    with open_sink(URL) as sink:
        sink.commit([sink.writer.write("k", 0, frame())])
    failing.trouble = staticmethod(keep)
    with open_sink(URL, if_exists="overwrite") as sink:
        sink.commit([sink.writer.write("k", 0, frame(100))])
    assert "has committed, but left files" in caplog.text
    caplog.clear()
    open_sink(URL, if_exists="append").abort()
    assert "what an earlier run left stays there" in caplog.text
    failing.trouble = None
    open_sink(URL, if_exists="append").abort()
    (chunk,) = td.open_dataset(URL).plan()
    same(chunk.read(), frame(100))
