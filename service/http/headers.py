"""Headers of every answer, errors included; the pages have their own policy (page/files.py)."""

from __future__ import annotations

RawHeaders = list[tuple[bytes, bytes]]

# Answers are data: a browser that opens one must not run, load or frame anything.
API_POLICY = "default-src 'none'; frame-ancestors 'none'"

PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""For a picture that a browser opens directly: the browser centres it with inline styles."""


def security_headers(*, shared: bool) -> RawHeaders:
    """The headers in ASGI's form; `shared` says that other origins may read the answers (CORS)."""
    return [
        (b"content-security-policy", API_POLICY.encode()),
        (b"cross-origin-resource-policy", b"cross-origin" if shared else b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    ]


def completed(headers: RawHeaders, defaults: RawHeaders) -> RawHeaders:
    """The headers of an answer, with the `defaults` that it does not set itself."""
    given = {name for name, _ in headers}
    return [*headers, *[header for header in defaults if header[0] not in given]]
