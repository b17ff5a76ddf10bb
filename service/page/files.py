"""Serve the page: the files of `service/page/static/`, each with its type, its tag and strict headers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

PAGE_FOLDER = Path(__file__).resolve().parent / "static"

# The page loads only its own files and nothing inline. No string becomes HTML, whatever it contains. Pictures
# are data URIs from answers and blobs from the user.
PAGE_POLICY = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self'; "
    "img-src 'self' data: blob:; "
    "connect-src 'self'; "
    "base-uri 'none'; "
    "form-action 'none'; "
    "frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # browsers revalidate each time, and get 304
}
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class PageFile(NamedTuple):
    """A served file: its bytes, media type, and the tag (ETag) that changes with the bytes."""

    content: bytes
    media_type: str
    tag: str


def add_page(app: FastAPI) -> None:
    """Answer `/` with the page and `/page/…` with its files."""
    # Read once at start: a name from a request never becomes a path.
    files = {
        path.name: make_file(path.read_bytes(), path.suffix)
        for path in sorted(PAGE_FOLDER.iterdir())
        if path.suffix in _TYPES
    }

    @app.get(
        "/",
        operation_id="get_page",
        tags=["service"],
        summary="The page",
        response_class=HTMLResponse,
        response_description="The page.",
        responses={
            304: {"description": "The page has not changed since the copy that `If-None-Match` names."}
        },
    )
    async def page(request: Request) -> Response:
        """Returns a page to try the service in a browser. Its query describes the first scene."""
        return answer_file(request, files["index.html"])

    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return answer_file(request, files[name])

    app.get("/page/{name}", include_in_schema=False)(file)


def make_file(content: bytes, suffix: str) -> PageFile:
    """A file of these bytes, with the type of its suffix."""
    return PageFile(content, _TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def answer_file(request: Request, file: PageFile) -> Response:
    """The file with the page's headers, or 304 for a client that has it already."""
    headers = {**_HEADERS, "ETag": file.tag}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
