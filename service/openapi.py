"""The OpenAPI document: this file, and no other, adds what FastAPI cannot know by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from service.http.keys import is_open
from service.http.problems import PROBLEM, PROBLEM_SCHEMA, documented, is_open_inference, problem
from service.http.server.refusals import described_refusals
from service.http.uploads import IMAGE_TYPES, MULTIPART, OCTETS
from service.queries import UNDOCUMENTED
from service.schemas import Problem
from service.v2.schema import documented_errors, request_schemas

Document = dict[str, Any]

BINARY = {"type": "string", "format": "binary"}
ONE_IMAGE = {
    "required": True,
    "description": "A picture, as the multipart field `image` or `file`, or as the raw body. Other text "
    "fields are ignored.",
    "content": {
        MULTIPART: {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": BINARY},
            },
            "encoding": {"image": {"contentType": ", ".join(IMAGE_TYPES)}},
        },
        **{kind: {"schema": BINARY} for kind in (*IMAGE_TYPES, OCTETS)},
    },
}
DESCRIPTION = (
    "Finds, frames and reads a handwritten digit in a cluttered picture. Lengths are in px "
    "of the posted picture: x to the right, y down, origin at the top-left corner. Paths that are not "
    "listed get 404, methods that are not listed get 405, HEAD works wherever GET does. Errors are "
    "`application/problem+json` (RFC 9457), except those of the Open Inference Protocol. A request body "
    "may be compressed with `gzip` or `deflate`, named in `Content-Encoding`."
)
TAGS = [
    {"name": "predictions", "description": "Find and read digits in posted pictures."},
    {"name": "scenes", "description": "Make pictures to try the service with; their truth is known."},
    {"name": "service", "description": "State of the service, for probes and people."},
    {"name": "open-inference", "description": "The same model, for clients of Triton and KServe."},
]
_SCHEMES = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


def many_images(most: int) -> dict[str, object]:
    """The body of a request with at most so many pictures."""
    images = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": most}
    return {
        "required": True,
        "description": "Pictures, each as a multipart field `images` or `file`.",
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {"images": images},
                },
                "encoding": {"images": {"contentType": ", ".join(IMAGE_TYPES)}},
            }
        },
    }


def add_openapi(app: FastAPI, *, head_timeout_s: float, needs_key: bool) -> None:
    """Complete the app's OpenAPI document; it is written when it is first asked for.

    Args:
        app: has all of its routes by the time of the first request.
        head_timeout_s: how long a request's head may take, which a refusal names.
        needs_key: whether requests need an API key.
    """

    def completed() -> Document:
        if app.openapi_schema is None:
            document = FastAPI.openapi(app)
            _leave_out_undocumented(document)
            _add_refusals(document, head_timeout_s)
            if needs_key:
                _add_keys(document)
            # FastAPI knows only the bodies that it reads or writes itself.
            document["components"]["schemas"].update(request_schemas())
        return FastAPI.openapi(app)

    app.openapi = completed  # type: ignore[method-assign]


def _calls(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and description of every operation."""
    return ((path, call) for path, methods in document["paths"].items() for call in methods.values())


def _leave_out_undocumented(document: Document) -> None:
    """Remove the parameters that are read and marked as undocumented (queries.py)."""
    for _, call in _calls(document):
        if "parameters" in call:
            call["parameters"] = [
                parameter
                for parameter in call["parameters"]
                if not UNDOCUMENTED.items() <= parameter["schema"].items()
            ]


def _add_refusals(document: Document, head_timeout_s: float) -> None:
    """Say how the server refuses a request before it reaches the app.

    Where an operation has an error of the same status, the answer has either form.
    """
    document["components"]["schemas"].setdefault(
        Problem.__name__, Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    )
    for _, call in _calls(document):
        for status, (description, detail) in described_refusals(head_timeout_s).items():
            answer = call["responses"].setdefault(str(status), {"description": description, "content": {}})
            content = {"schema": PROBLEM_SCHEMA, "example": problem(status, detail)}
            answer["content"].setdefault(PROBLEM, content)
        call["responses"] = dict(sorted(call["responses"].items()))


def _add_keys(document: Document) -> None:
    """Say which operations need a key, and how the service refuses them without one."""
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for path, call in _calls(document):
        if is_open(path):
            continue
        own = documented_errors(401, 429) if is_open_inference(path) else documented(401, 429)
        call["security"] = [{name: []} for name in _SCHEMES]
        call["responses"].update({str(status): answer for status, answer in own.items()})
        call["responses"] = dict(sorted(call["responses"].items()))
