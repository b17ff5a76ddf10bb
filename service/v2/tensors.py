"""The wire format of the Open Inference Protocol: a body to scenes, outputs to a body; no HTTP in here.

JSON comes first; behind it may lie tensors as they are in memory: row by row, little-endian, without gaps.
Protocol: github.com/kserve/open-inference-protocol; binary tensors: `docs/protocol/extension_binary_data.md`
of github.com/triton-inference-server/server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import orjson

from models.contract import INPUTS, OUTPUTS, SCENE_SIDE_PX
from service.http.errors import RequestError
from service.queries import shorten

MAX_SCENES = 256
"""Most scenes of one request."""
MAX_JSON_BYTES = 4 * 2**20
"""Most JSON bytes of a request: parsed, they may take 25 times the memory. Binary tensors do not count."""
_MAX_BRACKETS = MAX_SCENES * (SCENE_SIDE_PX + 2) + 1000
"""More than nested data of `MAX_SCENES` scenes have: millions of empty lists would block for seconds."""

SCENE = INPUTS[0].name
OUTPUT_NAMES = tuple(output.name for output in OUTPUTS)
_Kind = TypeVar("_Kind")


class Wanted(NamedTuple):
    """A requested output."""

    name: str
    binary: bool


class InferenceRequest(NamedTuple):
    """The content of a request."""

    scenes: npt.NDArray[np.uint8]  # [n, 1, 100, 100]; a view of the body where that is binary
    outputs: tuple[Wanted, ...]  # in the order of the answer, each name once
    id: str | None


class Encoded(NamedTuple):
    """A body, and how many of its bytes are JSON; None if all are."""

    body: bytes
    json_bytes: int | None


def read_request(body: bytes, json_bytes: int | None) -> InferenceRequest:
    """Read the body of a request.

    Args:
        body: JSON and the binary tensor behind it, not compressed.
        json_bytes: length of the JSON as the header says it; None is all of the body, 0 is none of it: the
            body is then the scenes alone, and all outputs shall come back binary.

    Raises:
        RequestError: 413 if the JSON is too long, else 400; the message says what was expected and what came.
    """
    if json_bytes == 0:
        count, rest = divmod(len(body), SCENE_SIDE_PX**2)
        if rest:
            raise _refusal("body", f"scenes of {SCENE_SIDE_PX**2} bytes each", f"{len(body)} bytes")
        scenes = _from_bytes(memoryview(body), _check_shape([count, 1, SCENE_SIDE_PX, SCENE_SIDE_PX]))
        return InferenceRequest(scenes, tuple(Wanted(name, True) for name in OUTPUT_NAMES), None)
    end = len(body) if json_bytes is None else json_bytes
    if end > len(body):
        raise _refusal("Inference-Header-Content-Length", f"at most the body's {len(body)} bytes", str(end))
    if end > MAX_JSON_BYTES:
        raise RequestError(
            413, f"JSON: expected at most {MAX_JSON_BYTES} bytes, got {end}; binary tensors need little JSON"
        )
    header = _object(body, end)
    request_id = _get(header, "id", str, "id")
    parameters = _get(header, "parameters", dict, "parameters") or {}
    all_binary = _get(parameters, "binary_data_output", bool, "parameters.binary_data_output") or False
    outputs = _read_outputs(_get(header, "outputs", list, "outputs") or [], all_binary)
    scenes = _read_scenes(_get(header, "inputs", list, "inputs") or [], memoryview(body)[end:])
    return InferenceRequest(scenes, outputs, request_id)


def write_answer(
    outputs: Mapping[str, npt.NDArray[np.float32]], request: InferenceRequest, model_name: str, version: str
) -> Encoded:
    """The requested outputs as the body of an answer; arrays are `[n, ...]`."""
    entries: list[dict[str, Any]] = []
    tensors: list[memoryview] = []
    for name, binary in request.outputs:
        values = np.ascontiguousarray(outputs[name], np.float32)
        entry: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": values.shape}
        if binary:
            entry["parameters"] = {"binary_data_size": values.nbytes}
            tensors.append(values.astype("<f4", copy=False).data)
        else:
            entry["data"] = values.reshape(-1)
        entries.append(entry)
    answer: dict[str, Any] = {"model_name": model_name, "model_version": version, "outputs": entries}
    if request.id is not None:
        answer["id"] = request.id
    text = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return Encoded(b"".join([text, *tensors]), len(text)) if tensors else Encoded(text, None)


def read_index_request(body: bytes) -> bool:
    """Whether to list only models that are ready; the body may be empty.

    Raises:
        RequestError: 400 if the body is neither empty nor such a request, 413 if it is too long for one.
    """
    if len(body) > MAX_JSON_BYTES:
        raise RequestError(413, f"JSON: expected at most {MAX_JSON_BYTES} bytes, got {len(body)}")
    return _get(_object(body, len(body)), "ready", bool, "ready") or False if body else False


def _object(body: bytes, end: int) -> dict[str, Any]:
    brackets = body.count(b"[", 0, end) + body.count(b"{", 0, end)
    if brackets > _MAX_BRACKETS:
        raise _refusal("JSON", f"at most {_MAX_BRACKETS} lists and objects", str(brackets))
    try:
        value = orjson.loads(memoryview(body)[:end])
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"body: expected JSON in its first {end} bytes, but: {error}") from error
    if not isinstance(value, dict):
        raise _refusal("body", "a JSON object", _came(value))
    return value


def _read_outputs(entries: Sequence[Any], all_binary: bool) -> tuple[Wanted, ...]:
    wanted: dict[str, Wanted] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            raise _refusal("outputs", "objects with a name", _came(entry))
        name = _get(entry, "name", str, "outputs.name")
        if name not in OUTPUT_NAMES:
            raise _refusal("outputs", f"names among {', '.join(OUTPUT_NAMES)}", _came(name))
        if name in wanted:
            raise _refusal("outputs", "each name once", f"{name} twice")
        parameters = _get(entry, "parameters", dict, f"{name}.parameters") or {}
        if parameters.get("classification"):
            raise RequestError(400, f"{name}: classification is not offered; ask for probabilities instead")
        _refuse_shared_memory(parameters, name)
        binary = _get(parameters, "binary_data", bool, f"{name}.parameters.binary_data")
        wanted[name] = Wanted(name, all_binary if binary is None else binary)
    return tuple(wanted.values()) or tuple(Wanted(name, all_binary) for name in OUTPUT_NAMES)


def _read_scenes(entries: Sequence[Any], behind: memoryview) -> npt.NDArray[np.uint8]:
    if len(entries) != 1 or not isinstance(entries[0], dict):
        came = _came(entries[0]) if len(entries) == 1 else f"{len(entries)} inputs"
        raise _refusal("inputs", f"one object, the input {SCENE}", came)
    (entry,) = entries
    name = _get(entry, "name", str, "inputs.name")
    if name != SCENE:
        raise _refusal("inputs", f"the name {SCENE}", _came(name))
    datatype = _get(entry, "datatype", str, f"{SCENE}.datatype")
    if datatype != "UINT8":
        raise _refusal(f"{SCENE}.datatype", "UINT8", _came(datatype))
    shape = _check_shape(_get(entry, "shape", list, f"{SCENE}.shape") or [])
    parameters = _get(entry, "parameters", dict, f"{SCENE}.parameters") or {}
    _refuse_shared_memory(parameters, SCENE)
    size = _get(parameters, "binary_data_size", int, f"{SCENE}.parameters.binary_data_size")
    data = _get(entry, "data", list, f"{SCENE}.data")
    if (size is None) == (data is None):
        came = "neither" if data is None else "both"
        raise _refusal(SCENE, "either data or parameters.binary_data_size", came)
    if (size or 0) != len(behind):
        raise _refusal("body", f"{size or 0} bytes of binary data behind the JSON", str(len(behind)))
    return _from_bytes(behind, shape) if data is None else _from_json(data, shape)


def _refuse_shared_memory(parameters: dict[str, Any], name: str) -> None:
    if "shared_memory_region" in parameters:
        raise RequestError(400, f"{name}: shared memory is not offered; send and ask for binary data instead")


def _check_shape(shape: list[Any]) -> tuple[int, ...]:
    whole = all(type(size) is int for size in shape)
    if not whole or shape[1:] != [1, SCENE_SIDE_PX, SCENE_SIDE_PX] or not 1 <= shape[0] <= MAX_SCENES:
        expected = f"[n, 1, {SCENE_SIDE_PX}, {SCENE_SIDE_PX}] with n from 1 to {MAX_SCENES}"
        raise _refusal(f"{SCENE}.shape", expected, _came(shape))
    return tuple(shape)


def _from_bytes(data: memoryview, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    if len(data) != math.prod(shape):
        raise _refusal(SCENE, f"{math.prod(shape)} bytes for the shape {list(shape)}", str(len(data)))
    return np.frombuffer(data, np.uint8).reshape(shape)


def _from_json(data: list[Any], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    numbers = _flatten(data, shape)
    # By their exact type, since True is an int as well.
    if set(map(type, numbers)) != {int} or min(numbers) < 0 or max(numbers) > 255:
        wrong = next(number for number in numbers if type(number) is not int or not 0 <= number <= 255)
        raise _refusal(f"{SCENE}.data", "whole numbers from 0 to 255", _came(wrong))
    return np.frombuffer(bytes(numbers), np.uint8).reshape(shape)


def _flatten(data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Numbers row by row, from a flat list of them or from lists nested as the shape says."""
    sizes = shape if data and isinstance(data[0], list) else (math.prod(shape),)
    level: list[Any] = [data]
    for size in sizes:
        for part in level:
            if not isinstance(part, list) or len(part) != size:
                forms = (
                    f"a flat list of {math.prod(shape)} numbers or lists nested as the shape {list(shape)}"
                )
                raise _refusal(f"{SCENE}.data", forms, f"{_came(part)} in place of a list of {size}")
        level = list(chain.from_iterable(level))
    return level


def _get(holder: dict[str, Any], key: str, kind: type[_Kind], name: str) -> _Kind | None:
    """A field if it is there; null is not there, since some clients write out what they leave unsaid."""
    value = holder.get(key)
    if value is not None and type(value) is not kind:
        words = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
        raise _refusal(name, words.get(kind, "a whole number"), _came(value))
    return value


def _came(value: object) -> str:
    """A client's value for a message; lists and objects may be too long or too deep to be written out."""
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list) and (len(value) > 8 or any(isinstance(part, dict | list) for part in value)):
        return f"a list of {len(value)}"
    return "nothing" if value is None else shorten(value)


def _refusal(name: str, expected: str, came: str) -> RequestError:
    return RequestError(400, f"{name}: expected {expected}, got {came}")
