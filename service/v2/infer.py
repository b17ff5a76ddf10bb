"""The inference call of the Open Inference Protocol: `POST …/infer`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import anyio
import numpy as np
import numpy.typing as npt
from anyio import to_thread
from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers

from service.http.codings import accepted_coding, deflate
from service.http.errors import RequestError
from service.http.uploads import BodyLimits, read_body
from service.inference.predictor import Floats
from service.queries import shorten
from service.v2.schema import InferenceAnswer, InferenceRequestBody, documented_errors, refer
from service.v2.tensors import Encoded, InferenceRequest, read_request, write_answer

Infer = Callable[[npt.NDArray[np.uint8], tuple[str, ...]], Awaitable[Mapping[str, Floats]]]
"""Scenes `[n, 1, 100, 100]` and names of outputs to those outputs, each `[n, ...]`."""

JSON_LENGTH = "Inference-Header-Content-Length"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "description": "The scenes and the requested outputs; the content type is ignored. In binary form the "
    f"scenes follow the JSON, and the header `{JSON_LENGTH}` has the length of the JSON. The body may be "
    "compressed with `gzip` or `deflate`, named in `Content-Encoding`. The answer is compressed if "
    "`Accept-Encoding` names one of these alone.",
    "content": {
        "application/json": {"schema": refer(InferenceRequestBody)},
        "application/octet-stream": _BINARY,
    },
}
_LENGTH_PARAMETER = {
    "name": JSON_LENGTH,
    "in": "header",
    "required": False,
    "description": "Bytes of JSON at the beginning of the body. 0 means that the body holds only scenes, and "
    "that all outputs are binary. Without it the whole body is JSON.",
    "schema": {"type": "integer", "minimum": 0},
}

# Longer bodies are parsed and written in a thread, so that they do not block the event loop.
_SHORT_JSON_BYTES = 8 * 1024
_SHORT_BINARY_BYTES = 512 * 1024


class Served(NamedTuple):
    """A model as the protocol shows it: its name, and the functions that run and check it."""

    name: str
    version: str
    infer: Infer
    check: Callable[[], None]  # returns at once if the model can answer now, else raises PredictorError


def add_infer(
    app: FastAPI, path: str, model: Served, limits: BodyLimits, limiter: anyio.CapacityLimiter, suffix: str
) -> None:
    """Answer `POST {path}/infer`; the arguments are those of `routes.add_open_inference`.

    The operation is named `infer` with that suffix.
    """

    @app.post(
        f"{path}/infer",
        operation_id=f"infer{suffix}",
        tags=["open-inference"],
        summary="Run the model on scenes",
        response_model=InferenceAnswer,
        response_description="The outputs. Binary outputs follow the JSON, and the header "
        f"`{JSON_LENGTH}` has the length of the JSON.",
        responses={
            200: {"content": {"application/octet-stream": _BINARY}},
            **documented_errors(400, 408, 413, 415, 503),
        },
        openapi_extra={"requestBody": _BODY, "parameters": [_LENGTH_PARAMETER]},
    )
    async def infer(request: Request) -> Response:
        """Runs the model once on grey scenes of 100 x 100 px, for clients such as `tritonclient`.

        The model sees the scenes unchanged. For other pictures use `/predict`, which scales them and runs the
        model several times where needed.
        """
        json_bytes = _json_length(request.headers)
        body = await read_body(request, limits)

        def read() -> InferenceRequest:
            return read_request(body, json_bytes)

        short = (len(body) if json_bytes is None else json_bytes) <= _SHORT_JSON_BYTES
        asked = read() if short else await to_thread.run_sync(read, limiter=limiter)
        outputs = await model.infer(asked.scenes, tuple(wanted.name for wanted in asked.outputs))
        wished = accepted_coding(request.headers)

        def write() -> Encoded:
            answer = write_answer(outputs, asked, model.name, model.version)
            return answer._replace(body=deflate(answer.body, wished)) if wished else answer

        size = {False: 0, True: 0}
        for name, binary in asked.outputs:
            size[binary] += outputs[name].nbytes
        short = not wished and size[False] <= _SHORT_JSON_BYTES and size[True] <= _SHORT_BINARY_BYTES
        answer = write() if short else await to_thread.run_sync(write, limiter=limiter)
        return _respond(answer, wished)


def _respond(answer: Encoded, coding: str) -> Response:
    headers = {"Content-Encoding": coding} if coding else {}
    if answer.json_bytes is None:
        return Response(answer.body, media_type="application/json", headers=headers)
    headers[JSON_LENGTH] = str(answer.json_bytes)
    return Response(answer.body, media_type="application/octet-stream", headers=headers)


def _json_length(headers: Headers) -> int | None:
    given = headers.get(JSON_LENGTH)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= 18):
        raise RequestError(400, f"{JSON_LENGTH}: expected a number of bytes, got {shorten(given)}")
    return int(given)
