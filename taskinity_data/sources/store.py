"""Remote stores by fsspec: their files, and ranges of bytes.

Secrets in URLs and options are never shown: a file's `path` is its URL without them, and errors are
written again, since those of libraries quote what they sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, ReadError, SourceNotFound
from taskinity_data.redact import URL_CHAIN, WEB, clean_url
from taskinity_data.sources.fingerprint import fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskinity_data.sources.fingerprint import Fingerprint

__all__ = ["Store", "find_cause", "open_store"]


PART_NBYTES = 8 << 20
"""A longer range is requested in parts of this size, several at a time: S3 gives one request about
as much as 100 MB/s."""

_SILENCE_S = 20
"""aiohttp allows 300 s in all. fsspec asks for a file's size in two ways, so that an error comes
within a minute. s3fs has limits of its own (15 s)."""

_DATABASES = ("duckdb", "mariadb", "mssql", "mysql", "oracle", "postgres", "postgresql", "sqlite")
_EXTRAS = {"s3a": "s3", "https": "http", "gcs": "gs", "abfs": "az", "abfss": "az"}
_EXTRAS |= {name: name for name in ("s3", "http", "gs", "az")}
_ARCHIVES = ("zip", "tar", "libarchive", "reference", "dir", "generic", "data")


_MISSING, _DENIED = (404,), (401, 403)
_DENIED_NAMES = ("NoCredentialsError", "PartialCredentialsError", "PermissionError")


@dataclass(frozen=True)
class Store:
    """How a store is reached: a file system of fsspec and its arguments, which are secrets.

    Pickles; whoever holds one gets the file system of his own process, for which fsspec keeps one
    instance.

    Attributes
    ----------
    protocol : str
    prefix : str
        The shown URL up to an object's name.
    """

    protocol: str
    prefix: str
    _kind: type[Any] = field(repr=False)
    _options: Mapping[str, Any] = field(repr=False, hash=False)

    def _find_secrets(self) -> Iterator[Any]:
        """Yield what may hold secrets: its options."""
        yield self._options

    @property
    def system(self) -> Any:
        """The file system: made in this process, or taken from fsspec's cache."""
        return self._kind(**self._options)

    def show(self, name: str) -> str:
        """Return the URL of the object `name`, without secrets."""
        return clean_url(name) if self.protocol in WEB else self.prefix + name.lstrip("/")

    def look_up(self, name: str, path: str) -> dict[str, Any]:
        """Return what the store reports now about the object `name`, shown as `path`.

        Raises
        ------
        SourceNotFound, PlanError
            It is not there; it may not be seen, or the store can't be reached.
        """
        return self._list(name, path, lambda system: system.info(name))

    def find(self, name: str, path: str) -> dict[str, dict[str, Any]]:
        """Return all objects below the directory `name`, by name, each with what is reported."""
        return self._list(name, path, lambda system: system.find(name, detail=True))

    def glob(self, pattern: str, path: str) -> dict[str, dict[str, Any]]:
        """Return the objects and directories that match, by name, each with what is reported."""
        return self._list(
            pattern, path, lambda system: system.glob(pattern, detail=True), is_pattern=True
        )

    def _list(
        self,
        name: str,
        path: str,
        request: Callable[[Any], dict[str, Any]],
        *,
        is_pattern: bool = False,
    ) -> dict[str, Any]:
        try:
            system = self.system
            system.invalidate_cache(None if is_pattern else name)
            return request(system)
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            raise self._explain(name, path, error) from None

    def check(self, name: str, path: str, planned: Fingerprint, start: int) -> None:
        """Raise `SourceChanged` if the object is no longer the one that was planned.

        Notes
        -----
        One request, past all caches of listings.
        """
        try:
            now = fingerprint_of(self.look_up(name, path), path)
        except SourceNotFound:
            now = None
        except PlanError as error:
            raise ReadError(str(error), path=path, start=start) from error
        planned.check_same(now, path, start)

    def check_ranges(self, name: str, path: str, nbytes: int) -> None:
        """Raise `PlanError` if an HTTP server gives no ranges of a file of `nbytes`."""
        if nbytes < 2:
            return
        try:
            with self.system.open(name, "rb", size=nbytes, cache_type="none") as file:
                file.seek(nbytes - 1)
                last_byte = file.read(1)
        except ValueError:
            last_byte = b""
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            raise self._explain(name, path, error) from None
        if len(last_byte) != 1:
            raise PlanError(
                f"{path}: the server does not support range requests, so chunks can't be read; "
                "download the file and give the path"
            )

    def read(self, name: str, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each range, requested at the same time if the store allows that.

        Raises
        ------
        ReadError
            The connection broke, the answer has another length, or the store refused.
        """
        parts_of = [list(_divide(start, stop)) for start, stop in ranges]
        parts = [part for divided in parts_of for part in divided]
        starts, stops = [start for start, _ in parts], [stop for _, stop in parts]
        try:
            answers = self.system.cat_ranges([name] * len(parts), starts, stops, on_error="return")
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            answers = [error] * len(parts)
        for (start, stop), answer in zip(parts, answers, strict=True):
            if isinstance(answer, BaseException):
                why = str(self._explain(name, path, answer))
                raise ReadError(
                    f"{why} (bytes {start:,} to {stop:,})",
                    path=path,
                    start=start,
                    has_timed_out=_has_timed_out(answer),
                ) from None
            if len(answer) != stop - start:
                raise ReadError(
                    f"{path}: {stop - start:,} bytes were requested at byte {start:,}, but "
                    f"{len(answer):,} received; run again",
                    path=path,
                    start=start,
                )
        texts = iter(answers)
        return [_join([next(texts) for _ in divided]) for divided in parts_of]

    def _explain(self, name: str, path: str, error: BaseException) -> PlanError:
        kind, status, _ = find_cause(error)
        if kind == "FileNotFoundError" or status in _MISSING:
            return SourceNotFound(
                f"{path}: there is no such file, directory or bucket in the store"
            )
        if kind in _DENIED_NAMES or status in _DENIED:
            return PlanError(
                f"{path}: the store refuses to show it ({status or kind}); give credentials that "
                "may read it in storage_options, or in the environment"
            )
        if self.protocol in WEB and _has_timed_out(error):
            return _silence_error(path, self._options)
        text = "" if status is None else f" {status}"
        is_plain = isinstance(error, OSError) and self.protocol not in WEB
        why = self._scrub(str(error), name, path) if is_plain else ""
        because = f": {why}" if why else ""
        return PlanError(
            f"{path}: the store can't be read ({kind}{text}{because}); see whether it can be "
            "reached, then run again"
        )

    def _scrub(self, text: str, name: str, path: str) -> str:
        text = text.replace(name, path)
        for secret in _texts(self._options):
            text = text.replace(secret, "***")
        return text


def open_store(url: str, options: Mapping[str, Any]) -> tuple[Store, str]:
    """Return the store of `url`, and its name there.

    Parameters
    ----------
    url : str
        ``PROTOCOL://...``, of any protocol that fsspec knows.
    options : mapping
        `storage_options`: what fsspec's file system of that protocol takes.

    Raises
    ------
    PlanError
        An unknown protocol, a package that is missing, options that it does not take, an archive
        or a chain of protocols.
    """
    shown = clean_url(url)
    protocol = url.partition("://")[0].lower()
    if URL_CHAIN.search(url) or protocol in _ARCHIVES:
        raise PlanError(
            f"{shown}: archives (except zip://MEMBER::ARCHIVE) and chained URLs are not supported; "
            "unpack or copy the file first and give its own path"
        )
    import fsspec
    from fsspec.core import strip_protocol, url_to_fs

    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        if protocol.partition("+")[0] in _DATABASES:
            raise PlanError(
                f"{shown}: a database is read by pandas, in chunks: "
                "td.process(pandas.read_sql(query, connection, chunksize=100_000), "
                "function)"
            ) from None
        raise PlanError(
            f"{shown}: fsspec has no protocol {protocol!r}; write s3://, gs://, az://, https:// "
            "or a path"
        ) from None
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        hint = str(error) if extra is None else f"pip install 'taskinity-data[{extra}]'"
        raise PlanError(f"{shown}: {protocol}:// needs a package: {hint}") from None
    arguments = dict(options)
    if protocol in WEB:
        # In a compressed response, ranges would not be those of the file.
        arguments["headers"] = {"Accept-Encoding": "identity", **arguments.get("headers", {})}
        arguments = _limit_silence(arguments)
    url = protocol + url[len(protocol) :]
    try:
        # A name may hold "::", which is no chain here.
        system, _ = url_to_fs(url.partition("::")[0], **arguments)
        name: str = strip_protocol(url)
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        raise PlanError(
            f"{shown}: the store can't be opened ({type(error).__name__}); check storage_options "
            f"({', '.join(sorted(options)) or 'none arguments'})"
        ) from None
    whole, end = shown.rstrip("/"), name.strip("/")
    prefix = whole.removesuffix(end) if end and whole.endswith(end) else f"{protocol}://"
    return Store(protocol, prefix, type(system), system.storage_options), name


def _divide(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for begin in range(start, stop, PART_NBYTES):
        yield begin, min(begin + PART_NBYTES, stop)


def _join(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def find_cause(error: BaseException) -> tuple[str, int | None, str]:
    """Return the name of what went wrong first, the HTTP status and the store's word for it."""
    while error.__cause__ is not None:
        error = error.__cause__
    codes = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    status = next((code for code in codes if isinstance(code, int)), None)
    word = ""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        word = str(response.get("Error", {}).get("Code", ""))
    if status is None and str(error).startswith("Forbidden:"):
        status = 403  # gcsfs gives it no other form
    return type(error).__name__, status, word


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts within options that are long enough to be secrets."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif len(str(value)) > 3:
        yield str(value)


def _limit_silence(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` of an HTTP file system, with a time limit if they have none."""
    from aiohttp import ClientTimeout

    # No limit in all: a large range from a slow server may take its time.
    limit = ClientTimeout(total=None, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
    return {**options, "client_kwargs": {"timeout": limit, **options.get("client_kwargs", {})}}


def _has_timed_out(error: BaseException | None) -> bool:
    """Return whether a time limit was the cause of `error`."""
    while error is not None:
        if isinstance(error, TimeoutError):
            return True
        error = error.__cause__
    return False


def _silence_error(path: str, options: Mapping[str, Any]) -> PlanError:
    """Return the error for `path` if the time limit in `options` was reached."""
    limit = options["client_kwargs"]["timeout"]
    times = [getattr(limit, name, None) for name in ("sock_read", "sock_connect", "total")]
    shortest = min((time for time in times if time), default=None)
    span = "too long" if shortest is None else f"{shortest:g} s, the time limit"
    return PlanError(
        f"{path}: the server was silent for {span}; see whether it answers, then run again, or "
        'wait longer: storage_options={"client_kwargs": {"timeout": aiohttp.ClientTimeout('
        "sock_connect=SECONDS, sock_read=SECONDS)}}"
    )
