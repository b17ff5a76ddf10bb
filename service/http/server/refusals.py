"""Requests that the server refuses before they reach the app: the reasons and the answers."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

import orjson

from service.http.headers import RawHeaders, security_headers
from service.http.problems import PROBLEM, problem
from service.http.server.framing import MAX_FRAMING_BYTES, MAX_FRAMING_LINES

# RFC 3986, 3.2.2: a name or an IPv4 address, or an IPv6 address in brackets; then the port.
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


class Refusal(NamedTuple):
    """Why a request is refused."""

    status: HTTPStatus
    detail: str

    def answer(self) -> bytes:
        """The whole answer; the server closes the connection after it."""
        body = orjson.dumps(problem(self.status.value, self.detail))
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\ncontent-type: {PROBLEM}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n{_DEFAULT_HEADERS}\r\n"
        )
        return head.encode("ascii") + body


# The app adds the same headers to its own answers.
_DEFAULT_HEADERS = "".join(
    f"{name.decode()}: {value.decode()}\r\n" for name, value in security_headers(shared=False)
)

NO_HTTP = Refusal(HTTPStatus.BAD_REQUEST, "request: expected HTTP/1.1, got what cannot be read as such")
TOO_LARGE = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"request: expected at most {MAX_FRAMING_BYTES} bytes and {MAX_FRAMING_LINES} lines of address, headers, "
    "chunk sizes and trailers, got more",
)
_VERSION = Refusal(
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "request: expected HTTP/1.1 or HTTP/1.0, got another version"
)
_CODING = Refusal(
    HTTPStatus.NOT_IMPLEMENTED, "transfer-encoding: expected chunked and no other coding, got another one"
)
_METHOD = Refusal(HTTPStatus.NOT_IMPLEMENTED, "request: expected a method that is no proxy's, got CONNECT")
_HOSTS = Refusal(HTTPStatus.BAD_REQUEST, "host: expected one header with a host and its port, got another")
_OLD_CODING = Refusal(
    HTTPStatus.BAD_REQUEST, "transfer-encoding: expected none in HTTP/1.0, which does not know it, got one"
)


def late_head(timeout_s: float) -> Refusal:
    """The refusal of a head that did not arrive in time."""
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, f"request: expected its head within {timeout_s:g} s")


def refuse_head(method: bytes, version: str, headers: RawHeaders) -> Refusal | None:
    """Refuse what HTTP forbids in a head and the parser lets through (RFC 9112, 2.3, 3.2 and 6.1).

    Args:
        method: the method.
        version: major and minor number, such as 1.1.
        headers: names in lower case, and values.
    """
    if version not in ("1.1", "1.0"):
        return _VERSION
    if method == b"CONNECT":
        return _METHOD
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == "1.1") or not all(map(_HOST.fullmatch, hosts)):
        return _HOSTS
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if not codings:
        return None
    if version == "1.0":
        return _OLD_CODING
    names = {name.strip().lower() for name in b",".join(codings).split(b",")}
    return None if names <= {b"chunked", b""} else _CODING


def described_refusals(timeout_s: float) -> dict[int, tuple[str, str]]:
    """For OpenAPI: of each status with which the server refuses requests, what it means and an example."""
    return {
        400: ("The request is not valid HTTP. The connection is closed.", NO_HTTP.detail),
        408: (
            "The request's head did not arrive in time. The connection is closed.",
            late_head(timeout_s).detail,
        ),
        431: ("The address and the headers are too long. The connection is closed.", TOO_LARGE.detail),
        501: ("The service does not support the transfer coding or the method.", _CODING.detail),
        505: (
            "The service does not support this version of HTTP. The connection is closed.",
            _VERSION.detail,
        ),
    }
