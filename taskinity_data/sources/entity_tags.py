"""Ranges of an object, each with the entity tag that its answer carries.

It knows nothing of plans or files. fsspec hands over bytes alone, and to ask beside each reading
whether the object is still the same costs a request before and one after; S3, Azure and web servers
say it with every answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.sources.caches import Cache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["clean_tag", "is_seen_since", "read_tagged", "see", "tells_tags"]

_seen: Cache[float] = Cache(4096)
"""When an answer was last asked for that carried the tag, by name and tag of an object."""


def clean_tag(tag: str) -> str:
    """An entity tag without its quotes: listings and answers write them differently."""
    return tag.replace('"', "")


def tells_tags(kind: type[Any]) -> bool:
    """Whether `read_tagged` knows how a file system of fsspec of this class reads."""
    return _find(kind) is not None


def read_tagged(
    system: Any, name: str, ranges: Sequence[tuple[int, int]]
) -> list[tuple[bytes, str] | BaseException]:
    """The bytes of each range with the tag of its answer, or what went wrong; all asked at once.

    Parameters
    ----------
    system : fsspec.asyn.AsyncFileSystem
        Of a class for which `tells_tags`.
    name : str
    ranges : sequence of (int, int)
        None of them empty.

    Returns
    -------
    list
        The tag is empty where the answer has none.
    """
    from fsspec.asyn import _run_coros_in_chunks, sync

    get = _find(type(system))
    assert get is not None

    async def get_all() -> Any:
        asked = [get(system, name, start, stop) for start, stop in ranges]
        return await _run_coros_in_chunks(
            asked, batch_size=system.batch_size, nofiles=True, return_exceptions=True
        )

    found: list[tuple[bytes, str] | BaseException] = sync(system.loop, get_all)
    return found


def see(path: str, tag: str, when: float) -> None:
    """Remember that the object `path` had the entity tag `tag` at `when` or later."""
    _seen.put((path, tag), when)


def is_seen_since(path: str, tag: str, since: float) -> bool:
    """Whether an answer that was asked for at `since` (of `time.monotonic`) or later had `tag`."""
    when = _seen.get((path, tag))
    return when is not None and since <= when


async def _get_from_s3(system: Any, name: str, start: int, stop: int) -> tuple[bytes, str]:
    """As ``S3FileSystem._cat_file``, which drops all of the answer but its bytes."""
    from s3fs.core import _error_wrapper

    bucket, key, version = system.split_path(name)
    which = {"VersionId": version} if version else {}

    async def get() -> tuple[bytes, str]:
        answer = await system._call_s3(  # noqa: SLF001 - fsspec's own way
            "get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{stop - 1}", **which
        )
        async with answer["Body"] as body:
            return await body.read(), clean_tag(answer.get("ETag") or "")

    got: tuple[bytes, str] = await _error_wrapper(get, retries=system.retries)
    return got


async def _get_from_web(system: Any, name: str, start: int, stop: int) -> tuple[bytes, str]:
    """As ``HTTPFileSystem._cat_file``, which drops all of the answer but its bytes."""
    options = dict(system.kwargs)
    headers = {**options.pop("headers", {}), "Range": f"bytes={start}-{stop - 1}"}
    session = await system.set_session()
    async with session.get(system.encode_url(name), headers=headers, **options) as answer:
        data = await answer.read()
        system._raise_not_found_for_status(answer, name)  # noqa: SLF001 - fsspec's own way
        return data, clean_tag(answer.headers.get("ETag") or "")


async def _get_from_azure(system: Any, name: str, start: int, stop: int) -> tuple[bytes, str]:
    """As ``AzureBlobFileSystem._cat_file``, which drops all of the answer but its bytes."""
    container, blob, version = system.split_path(name)
    async with system.service_client.get_blob_client(container=container, blob=blob) as client:
        answer = await client.download_blob(
            offset=start,
            length=stop - start,
            version_id=version,
            **system._timeout_kwargs,  # noqa: SLF001
        )
        return await answer.readall(), clean_tag(answer.properties.etag or "")


_READERS: dict[str, Callable[[Any, str, int, int], Awaitable[tuple[bytes, str]]]] = {
    "s3fs.core.S3FileSystem": _get_from_s3,
    "fsspec.implementations.http.HTTPFileSystem": _get_from_web,
    "adlfs.spec.AzureBlobFileSystem": _get_from_azure,
}


def _find(kind: type[Any]) -> Callable[[Any, str, int, int], Awaitable[tuple[bytes, str]]] | None:
    # By name: no package is loaded for anyone who has no such store.
    names = (f"{one.__module__}.{one.__qualname__}" for one in kind.__mro__)
    return next((_READERS[name] for name in names if name in _READERS), None)
