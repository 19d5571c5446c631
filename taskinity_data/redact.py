"""Replace secrets in text by ``***``: those that a run knows, and what looks like a secret.

A run's secrets are a frozen value that is sent with its jobs; while a block of `hiding` runs,
`hide` knows them in that thread. Data is never searched.
"""

from __future__ import annotations

import json
import os
import re
import traceback
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

__all__ = [
    "URL_CHAIN",
    "WEB",
    "Secrets",
    "add_secrets",
    "clean_text",
    "clean_url",
    "hide",
    "hide_in_error",
    "hides_secrets",
    "hiding",
    "known_secrets",
    "secrets_in",
]

MASK = "***"

MIN_CHARS, MIN_PASSWORD_CHARS = 8, 4
"""Shorter values of options, and passwords of URLs, are not masked: they are parts of words."""

_MAX_DEPTH, _MAX_ITEMS, _MAX_INNER_ITEMS = 5, 1_000, 20

_MAX_SEARCHED = 1_000_000

_SECRET_KEY = re.compile(
    r"key|secret|token|passw|pwd|sas|sig|credential|conn(?:ection)?_?str", re.IGNORECASE
)
_STORE_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_", "GCS_", "FSSPEC_")
_SECRET_VARIABLE = re.compile(r"KEY|SECRET|TOKEN|PASSW|SAS|CONNECTION_STRING")

_NAME = re.compile(
    r"password|passwd|secret|signature|credential|token|(?:access|account|api)_?key"
    r"|(?:^|[_-])(?:sig|pwd)$",
    re.IGNORECASE,
)
# Only from the start of a word: the time grows with the length of a text, not with its square.
_ASSIGNED = re.compile(r"(?<![\w-])([\w-]+)=")
_VALUE = re.compile(r"'[^']+'|\"[^\"]+\"|[^\s'\"&<>,;)]+")
_IN_DICT = re.compile(r"(['\"]([\w-]+)['\"]\s*:\s*)(?:'[^']+'|\"[^\"]+\")")
_IN_URL = re.compile(r"//[^/\s'\"@]{1,256}:[^/\s'\"@]{1,256}@")
_HEADER = re.compile(
    r"(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:[\w-]+\s+)?|\bbearer\s+)"
    r"(?!bearer|basic)[A-Za-z0-9._~+/=-]{6,}",
    re.IGNORECASE,
)


WEB = ("http", "https")
"""Protocols without listings, whose URLs may carry a query."""

_CONTAINERS = ("az", "abfs", "abfss", "adl", "wasb", "wasbs")
"""Protocols that write a container and its account with an @ between them."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_CLEAN = re.compile(r"[^?@]*(?:\?hidden=[0-9a-f]{8}\W*)?")
URL_CHAIN = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*(?:://|::))")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Texts that must never be shown, in all the ways in which they are written."""

    texts: frozenset[str] = field(default=frozenset(), repr=False)

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets(self.texts | other.texts)


_NONE = Secrets()
_active: ContextVar[Secrets] = ContextVar("taskinity_data_secrets", default=_NONE)


@contextmanager
def hiding(secrets: Secrets) -> Iterator[None]:
    """Let `hide` know `secrets` too, in this thread, while the block runs."""
    token = _active.set(_active.get() | secrets)
    try:
        yield
    finally:
        _active.reset(token)


def add_secrets(secrets: Secrets) -> None:
    """Let `hide` know `secrets` too until the block of `hiding` ends."""
    _active.set(_active.get() | secrets)


def known_secrets() -> Secrets:
    """Return the secrets that `hide` knows here, to be sent to workers."""
    return Secrets(_active.get().texts | _of_environment())


def hide(text: str) -> str:
    """Return `text` with ``***`` for each secret.

    >>> hide("GET https://me:hunter2@example.org/a?X-Amz-Signature=8d1f0c&part=3")
    'GET https://***@example.org/a?X-Amz-Signature=***&part=3'
    >>> with hiding(secrets_in({"key": "AKIA12345"})):
    ...     hide("no bucket for AKIA12345")
    'no bucket for ***'
    """
    text = text if type(text) is str else str.__str__(text)
    for secret in sorted(known_secrets().texts, key=len, reverse=True):
        text = text.replace(secret, MASK)
    if len(text) > _MAX_SEARCHED:
        return text  # it is shortened before it is shown, and searched then
    if "//" in text:
        text = _IN_URL.sub(f"//{MASK}@", text)
    if "=" in text:
        text = _mask_assigned(text)
    if "':" in text or '":' in text:
        text = _IN_DICT.sub(_mask_item, text)
    lowered = text.lower()
    if "authorization" in lowered or "bearer" in lowered:
        text = _HEADER.sub(rf"\1{MASK}", text)
    return text


def _mask_assigned(text: str) -> str:
    parts: list[str] = []
    done = 0
    for match in _ASSIGNED.finditer(text):
        value = _VALUE.match(text, match.end()) if _NAME.search(match[1]) else None
        if value is not None and match.start() >= done:
            quoted = value[0][0] if value[0][0] in "'\"" else ""
            parts += [text[done : match.end()], quoted, MASK, quoted]
            done = value.end()
    return "".join((*parts, text[done:]))


def _mask_item(match: re.Match[str]) -> str:
    return f"{match[1]}'{MASK}'" if _NAME.search(match[2]) else match[0]


def hides_secrets(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap `function` so that secrets in its arguments are masked in what it raises and logs."""

    @wraps(function)
    def with_secrets(*args: P.args, **kwargs: P.kwargs) -> T:
        with hiding(secrets_in(args, kwargs)):
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if not hide_in_error(error):
                    error.__cause__, error.__suppress_context__ = None, True
                raise

    return with_secrets


def hide_in_error(error: BaseException) -> bool:
    """Replace secrets in the texts of `error` and its causes; return False if some can't be."""
    visited: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if id(current) in visited:
            continue
        visited.add(id(current))
        try:
            if any(type(arg) is str and hide(arg) != arg for arg in current.args):
                current.args = tuple(hide(arg) if type(arg) is str else arg for arg in current.args)
            if notes := getattr(current, "__notes__", None):
                current.__notes__ = [hide(note) for note in notes]
            text = str(current)
            lines = [frame.line or "" for frame in traceback.extract_tb(current.__traceback__, -64)]
            if any(hide(shown) != shown for shown in (text, *lines)):
                return False
        except Exception:  # noqa: BLE001 - a user's exception may do anything
            return False
        causes = (current.__cause__, current.__context__, *getattr(current, "exceptions", ()))
        waiting += [cause for cause in causes if isinstance(cause, BaseException)]
    return True


def secrets_in(*values: Any) -> Secrets:
    """Return the secrets in options, inputs and URLs: passwords, and values of keys that name one.

    Datasets, their files and stores return theirs from a method `_find_secrets`.
    """
    texts: set[str] = set()
    for value in values:
        _search_within(value, texts, -1)
    return Secrets(frozenset(form for text in texts for form in _spellings(text)))


def _search(value: Any, texts: set[str], depth: int) -> None:
    if isinstance(value, (str, os.PathLike)):
        _search_url(os.fspath(value), texts)
    elif depth > _MAX_DEPTH:
        return
    elif isinstance(value, Mapping):
        for key, item in islice(value.items(), _MAX_ITEMS):
            if isinstance(key, str) and isinstance(item, str) and _SECRET_KEY.search(key):
                _add(item, texts)
            _search_within(item, texts, depth)
    elif isinstance(value, (list, tuple)):
        for item in value[: _MAX_ITEMS if depth < 2 else _MAX_INNER_ITEMS]:
            _search_within(item, texts, depth)
    elif callable(find := getattr(type(value), "_find_secrets", None)):
        for item in find(value):
            _search_within(item, texts, depth)


def _search_within(value: Any, texts: set[str], depth: int) -> None:
    with suppress(Exception):  # a user's object may do anything
        _search(value, texts, depth + 1)


def _search_url(text: str | bytes, texts: set[str]) -> None:
    if not isinstance(text, str) or "://" not in text:
        return
    for url in text.split("::"):
        try:
            parts = urlsplit(url)
        except ValueError:
            continue
        login = parts.netloc.rpartition("@")[0]
        password = login.partition(":")[2]
        if len(password) >= MIN_PASSWORD_CHARS:
            texts |= {password, unquote(password)}
        for key, value in parse_qsl(parts.query):
            if _SECRET_KEY.search(key):
                _add(value, texts)


def _add(secret: str, texts: set[str]) -> None:
    """Add `secret`, and the secrets in it if it is a connection string."""
    if len(secret) >= MIN_CHARS:
        texts.add(secret)
    for part in re.split(r"[;&?]", secret):
        key, equals, value = part.partition("=")
        if equals and len(value) >= MIN_CHARS and _SECRET_KEY.search(key):
            texts.add(value)


def _spellings(secret: str) -> set[str]:
    """Return the ways in which messages of libraries and `repr` write a text."""
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
    }


def _of_environment() -> frozenset[str]:
    """Return the secrets in environment variables that stores read."""
    names = [name for name in os.environ if name.startswith(_STORE_VARIABLES)]
    return _spell_all(tuple(os.environ.get(name, "") for name in names if _is_secret(name)))


def _is_secret(variable: str) -> bool:
    return _SECRET_VARIABLE.search(variable) is not None


@lru_cache(maxsize=4)
def _spell_all(values: tuple[str, ...]) -> frozenset[str]:
    texts: set[str] = set()
    for value in values:
        _add(value, texts)
    return frozenset(form for text in texts for form in _spellings(text))


def clean_url(url: str) -> str:
    """Return `url` as it may be shown: without user and password, a digest for its query.

    Examples
    --------
    >>> clean_url("https://me:secret@example.org/a.csv?token=1")
    'https://example.org/a.csv?hidden=d6cfdd24'
    """
    chain = URL_CHAIN.split(url)
    if len(chain) > 1:
        return "::".join(clean_url(link) if "://" in link else link for link in chain)
    scheme = url.partition("://")[0].lower()
    parts = urlsplit(url) if scheme in WEB else None
    if parts is None:
        host, slash, rest = url[len(scheme) + 3 :].partition("/")
        shown = host if scheme in _CONTAINERS and ":" not in host else host.rpartition("@")[2]
        return f"{scheme}://{shown}{slash}{rest}"
    query = ""
    if parts.query:
        query = f"hidden={blake2b(parts.query.encode(), digest_size=4).hexdigest()}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((scheme, host, parts.path, query, ""))


def clean_text(text: str) -> str:
    """Return `text` with its URLs as they may be shown, and without known secrets: see `clean_url`.

    Examples
    --------
    >>> clean_text("no answer from 'https://me:secret@example.org/a?sig=1' (s3://k:x@b/c)")
    "no answer from 'https://example.org/a?hidden=c3c8d5a6' (s3://b/c)"
    """
    text = _URL.sub(lambda match: _clean_found(match[0]), text) if "://" in text else text
    return hide(text)


def _clean_found(url: str) -> str:
    if _CLEAN.fullmatch(url):
        return url
    try:
        return clean_url(url)
    except ValueError:  # no URL after all
        return f"{url.partition('://')[0]}://…"
