"""What tells an object of a store apart, of all that the store says of it.

It knows nothing of how stores are asked; each names its tags and times in its own way.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.fingerprint import Fingerprint
from taskinity_data.chunks.tagged import clean_tag
from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["fingerprint_of"]

_TAGS = ("ETag", "etag", "generation", "md5Hash", "sha", "blob_id", "Content-MD5", "Digest")
_TIMES = (
    "LastModified",
    "last_modified",
    "Last-Modified",
    "mtime",
    "updated",
    "modified",
    "created",
)


def fingerprint_of(told: Mapping[str, Any], path: str) -> Fingerprint:
    """What tells the object apart, of what a store says of it: a tag, else a time; and its size.

    Raises
    ------
    PlanError
        The store tells no size.
    """
    nbytes = told.get("size")
    if nbytes is None:
        raise PlanError(
            f"{path}: the server does not tell how large the file is, so that it can't be cut; "
            "download it first and give the path"
        )
    # A listing tells times to the millisecond that a request for one object tells to the second.
    tag = next((clean_tag(str(told[key])) for key in _TAGS if told.get(key)), "")
    times = () if tag else (told[key] for key in _TIMES if told.get(key))
    return Fingerprint(int(nbytes), next((_to_ns(one) for one in times), 0), 0, tag or "-")


def _to_ns(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = parsedate_to_datetime(value)
        except ValueError:
            value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return round(float(value) * 1e9)
