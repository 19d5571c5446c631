"""Text of any encoding as UTF-8: a stream, decoded exactly as pandas decodes a file."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from taskinity_data.sources.codecs import BadText

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["transcode"]


def transcode(blocks: Iterable[bytes], encoding: str, errors: str) -> Iterator[bytes]:
    """Yield text in `encoding` as UTF-8; `errors` is what is done with bytes that are no text.

    Raises
    ------
    BadText
        Bytes that are no text in that encoding; no byte order mark where it needs one.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    end = 0
    try:
        for block in blocks:
            end += len(block)
            yield decoder.decode(block).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeDecodeError as error:
        # What was decoded ends there, and begins with what was left of the block before.
        raise BadText(
            f"this is not valid {encoding} text; repair the file, or give its encoding=",
            end - len(error.object) + error.start,
        ) from error
    except UnicodeError as error:
        raise BadText(
            f"this is not valid {encoding} text ({error}); give the encoding with its byte order, "
            "such as 'utf-16-le' or 'utf-16-be'",
            0,
        ) from error
