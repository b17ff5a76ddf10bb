"""What the OpenAPI document says in words only, for schemathesis: parts that depend on each other.

OpenAPI has no way to say that one parameter bounds another, nor what the bytes of a picture are. Where
schemathesis means a case to be right, this makes it right by the words as well; cases that are meant to be
wrong stay as they are.
"""

from __future__ import annotations

import io
import json
from contextlib import suppress
from functools import cache
from typing import Any

import schemathesis
from PIL import Image
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.core.parameters import ParameterLocation
from schemathesis.transport.serialization import Binary

from service.pictures.decode import ImageError, decode_grey

_SIDE = 100
_FILES = ("image", "images", "file")
_LENGTH_HEADER = "Inference-Header-Content-Length"


@schemathesis.hook
def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:
    """The case, made right where it is meant to be right."""
    meta = case.meta
    if meta is not None and meta.generation.mode is GenerationMode.POSITIVE:
        # What is changed would be checked anew, and schemathesis has no check for files.
        case.freeze_metadata()
        if case.path.startswith("/synthesize"):
            _mend_query(case.query)
        elif case.path.endswith("/infer"):
            _mend_inference(case)
        elif case.path.startswith("/predict"):
            _mend_pictures(case)
        meta.clear_dirty(ParameterLocation.BODY)
    return case


def _mend_query(query: dict[str, Any]) -> None:
    """Move the canvas into the scene."""
    # Numbers may stand there as strings by now.
    half = float(query.get("size") or 0) / 2
    for name in ("x", "y"):
        if query.get(name) is not None:
            query[name] = min(max(float(query[name]), half), _SIDE - half)


def _mend_pictures(case: Case[Any]) -> None:
    """Send pictures where random bytes stand: a binary string is all that OpenAPI can ask for."""
    body: Any = case.body
    if not isinstance(body, dict):
        case.body = _picture(body, case.media_type or "")
        return
    kinds = case.multipart_content_types or {}
    for name, field in body.items():
        if name not in _FILES:  # a text field beside them
            continue
        kind = kinds.get(name, "image/png")
        if isinstance(field, list):
            body[name] = [_picture(file, kind) for file in field]
        else:
            body[name] = _picture(field, kind)


def _mend_inference(case: Case[Any]) -> None:
    """Send a whole scene, as JSON or as bytes behind it, and ask for each output once."""
    case.headers.pop(_LENGTH_HEADER, None)
    scene = {"name": "scene", "datatype": "UINT8", "shape": [1, 1, _SIDE, _SIDE]}
    body: Any = case.body
    if isinstance(body, dict):
        body["inputs"] = [{**scene, "data": [0] * _SIDE**2}]
        if body.get("outputs"):
            body["outputs"] = list({wish["name"]: wish for wish in body["outputs"]}.values())
    else:
        binary = {**scene, "parameters": {"binary_data_size": _SIDE**2}}
        head = json.dumps({"inputs": [binary]}).encode()
        case.headers[_LENGTH_HEADER] = str(len(head))
        case.body = Binary(head + bytes(_SIDE**2))


def _picture(data: Any, media_type: str) -> Any:
    """What was drawn, where it is a picture already; else a file of that type."""
    with suppress(AttributeError, ImageError):
        decode_grey(data.data, _SIDE**2)
        return data
    return _file(media_type)


@cache
def _file(media_type: str) -> Binary:
    kind = media_type.removeprefix("image/") if media_type.startswith("image/") else "png"
    stream = io.BytesIO()
    Image.new("L", (30, 20), 200).save(stream, kind)
    return Binary(stream.getvalue())
