"""API keys: requests without one get 401, except probes, metrics and the page's own files."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.errors import error_response
from service.http.guesses import Guesses
from service.http.headers import RawHeaders
from service.http.observe import KEY_NAME, client_address
from service.monitoring.metrics import Metrics
from service.settings import Settings, SettingsError, check_keys, split_key, split_words

# Open without a key: probes and metrics, and files that are public in the source code anyway.
OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"})
OPEN_FOLDERS = ("/page/", "/v2/health/")

_HOW = "expected one of the service's keys as the header X-API-Key or Authorization: Bearer"
_TOO_MANY = "key: expected fewer wrong keys from this address, got too many; try again later"


class Key(NamedTuple):
    """A valid key, and its name in the log."""

    name: str
    digests: tuple[bytes, ...]


class RequireKey:
    """Middleware that passes on requests that are open or carry a valid key."""

    def __init__(self, app: ASGIApp, keys: Iterable[Key], metrics: Metrics) -> None:
        """Take the app, the valid keys, and the metrics that count refusals."""
        self._app = app
        self._keys = [(digest, key.name) for key in keys for digest in key.digests]
        self._metrics = metrics
        self._guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before any of its body is read."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        given = [_digest(key) for key in _given(scope["headers"])]
        client = client_address(scope)
        refusal = self._refuse_guess(scope["path"], client, given)
        if refusal is None:
            for digest in given:
                name = self._name(digest)
                if name:
                    self._guesses.right(client, digest)
                    scope.setdefault("state", {})[KEY_NAME] = name
                    await self._app(scope, receive, send)
                    return
            refusal = self._refuse(scope["path"], client, given)
        await refusal(scope, receive, send)

    def _refuse_guess(self, path: str, client: str, given: list[bytes]) -> Response | None:
        """The answer to a client that has tried too many keys; None if its keys are checked."""
        wait_s = math.ceil(self._guesses.wait_s(client, given)) if given else 0
        if not wait_s:
            return None
        self._metrics.rejected("guesses")
        return error_response(path, 429, _TOO_MANY, {"Retry-After": str(wait_s)})

    def _refuse(self, path: str, client: str, given: list[bytes]) -> Response:
        if given:
            self._guesses.wrong(client, len(given))
        self._metrics.rejected("key")
        # The answer does not repeat the key: it may be a mistyped one.
        detail = f"key: {_HOW}, got {'another one' if given else 'none'}"
        return error_response(path, 401, detail, {"WWW-Authenticate": 'Bearer realm="glimpse"'})

    def _name(self, digest: bytes) -> str:
        """The name of a key; empty if the key is not valid."""
        # All digests are compared, and have one length, so the time reveals nothing about any key.
        found = [hmac.compare_digest(digest, known) for known, _ in self._keys]
        return self._keys[found.index(True)][1] if any(found) else ""


def read_keys(settings: Settings) -> tuple[Key, ...]:
    """The keys from the settings and from the file that they name; empty if neither is set.

    Raises:
        SettingsError: the file cannot be read, or holds no key or an invalid one.
    """
    words = [key.get_secret_value() for key in settings.api_keys]
    path = settings.api_keys_file
    if path is not None:
        try:
            found = split_words(path.read_text(encoding="utf-8"))
            check_keys(found)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SettingsError(f"setting GLIMPSE_API_KEYS_FILE: {path}: {reason}") from error
        words += found
    return tuple(_key(word, number) for number, word in enumerate(words, 1))


def _key(word: str, number: int) -> Key:
    """The key of one word of the settings; clients may send it with its name or without."""
    name, secret = split_key(word)
    sent = dict.fromkeys((secret, word))
    return Key(name or f"key-{number}", tuple(_digest(each.encode("ascii")) for each in sent))


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def _given(headers: RawHeaders) -> list[bytes]:
    """The keys of a request: at most one per header, so that one request cannot try many."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name == b"x-api-key":
            found.setdefault(name, value.strip())
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            found.setdefault(name, value[7:].strip())
    return list(found.values())


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
