"""How long a web server may be silent, and the error if it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["has_timed_out", "limit_silence", "silence_error"]

SILENCE_S = 20
"""aiohttp allows 300 s in all. fsspec asks for a file's size in two ways, so that an error comes
within a minute. s3fs has limits of its own (15 s)."""


def limit_silence(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` of an HTTP file system, with a time limit if they have none."""
    from aiohttp import ClientTimeout

    # No limit in all: a large range from a slow server may take its time.
    limit = ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
    return {**options, "client_kwargs": {"timeout": limit, **options.get("client_kwargs", {})}}


def has_timed_out(error: BaseException | None) -> bool:
    """Return whether a time limit was the cause of `error`."""
    while error is not None:
        if isinstance(error, TimeoutError):
            return True
        error = error.__cause__
    return False


def silence_error(path: str, options: Mapping[str, Any]) -> PlanError:
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
