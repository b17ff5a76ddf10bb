"""Headers that every answer carries, errors included; the pages set a policy of their own (page/files.py)."""

from __future__ import annotations

RawHeaders = list[tuple[bytes, bytes]]

# Answers are data: a browser that is led to one shows it, and runs, loads and frames nothing.
API_POLICY = "default-src 'none'; frame-ancestors 'none'"

PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""For a picture that a browser opens by itself: it centres it by styles of its own."""


def security_headers(*, shared: bool) -> RawHeaders:
    """The headers, as ASGI has them; `shared` where other origins may read the answers (CORS)."""
    return [
        (b"content-security-policy", API_POLICY.encode()),
        (b"cross-origin-resource-policy", b"cross-origin" if shared else b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    ]


def completed(headers: RawHeaders, defaults: RawHeaders) -> RawHeaders:
    """The headers of an answer with those of `defaults` that it does not set itself."""
    given = {name for name, _ in headers}
    return [*headers, *[header for header in defaults if header[0] not in given]]
