"""The bodies of the Open Inference Protocol as OpenAPI has them; what is read is checked in `tensors`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from models.contract import SCENE_SIDE_PX
from service.v2.tensors import MAX_JSON_BYTES, MAX_SCENES, OUTPUT_NAMES

Size = Annotated[int, Field(ge=1)]
Pixel = Annotated[int, Field(ge=0, le=255)]
_SHAPE = f"n, 1, {SCENE_SIDE_PX}, {SCENE_SIDE_PX}"


class _Request(BaseModel):
    """Fields beyond these are passed over, as other servers of the protocol do."""


class RequestParameters(_Request):
    """What holds for all outputs; other parameters, such as `priority`, are passed over."""

    binary_data_output: bool | None = Field(
        None, description="Whether outputs come back binary where they do not say otherwise themselves."
    )


class InputParameters(_Request):
    """How the input is sent."""

    binary_data_size: int | None = Field(
        None, ge=0, description="Bytes of the tensor, which then stands behind the JSON instead of `data`."
    )


class OutputParameters(_Request):
    """How an output is to come back."""

    binary_data: bool | None = Field(None, description="Whether it comes back binary behind the JSON.")


class InputTensor(_Request):
    """The scenes that are sent."""

    name: str = Field(pattern="^scene$", description="Always `scene`.")
    shape: list[Size] = Field(
        min_length=4, max_length=4, description=f"{_SHAPE}, where n is 1 to {MAX_SCENES}."
    )
    datatype: str = Field(pattern="^UINT8$", description="Always `UINT8`.")
    parameters: InputParameters | None = Field(None, description="How the tensor is sent.")
    data: list[Pixel] | list[list[list[list[Pixel]]]] | None = Field(
        None,
        description="Intensities of grey pictures as they are, row by row: flat, or nested as the shape.",
    )


class OutputWish(_Request):
    """An output that is asked for."""

    name: str = Field(
        json_schema_extra={"enum": list(OUTPUT_NAMES)}, description="One of the model's outputs, each once."
    )
    parameters: OutputParameters | None = Field(None, description="How it is to come back.")


class InferenceRequestBody(_Request):
    """What the model is asked, in JSON."""

    id: str | None = Field(None, description="Comes back with the answer.")
    parameters: RequestParameters | None = Field(None, description="What holds for all outputs.")
    inputs: list[InputTensor] = Field(
        min_length=1, max_length=1, description=f"The scenes; in JSON at most {MAX_JSON_BYTES} bytes in all."
    )
    outputs: list[OutputWish] | None = Field(
        None, description="What is wanted, in the order in which it shall come; without any, all outputs."
    )


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class IndexRequestBody(_Request):
    """Which models to list."""

    ready: bool | None = Field(None, description="Whether to list only those that can answer now.")


class LiveAnswer(_Answer):
    """The process answers."""

    live: bool = Field(description="Always true.")


class ServerReadyAnswer(_Answer):
    """The model has just answered a test scene."""

    ready: bool = Field(description="Always true.")


class ModelReadyAnswer(_Answer):
    """The model has just answered a test scene."""

    name: str = Field(description="Name of the model.")
    ready: bool = Field(description="Always true.")


class ServerMetadataAnswer(_Answer):
    """The server."""

    name: str = Field(description="Always `glimpse`.")
    version: str = Field(description="The model's version, by which the server goes.")
    extensions: list[str] = Field(description="What it speaks beyond the protocol itself.")


class TensorMetadata(_Answer):
    """A tensor of the model."""

    name: str = Field(description="Its name.")
    datatype: str = Field(description="Type of its elements.", examples=["FP32"])
    shape: list[int] = Field(description="Its shape; -1 is the number of scenes.")


class ModelMetadataAnswer(_Answer):
    """The model."""

    name: str = Field(description="Its name.")
    versions: list[str] = Field(description="Its versions, of which there is one.")
    platform: str = Field(description="Always `onnx_onnxv1`: an ONNX model on ONNX Runtime.")
    inputs: list[TensorMetadata] = Field(description="What it takes.")
    outputs: list[TensorMetadata] = Field(description="What it gives.")


class IndexEntry(_Answer):
    """A model that this server has; there is one."""

    name: str = Field(description="Its name.")
    version: str = Field(description="Its version.")
    state: str = Field(
        json_schema_extra={"enum": ["READY", "UNAVAILABLE"]}, description="Whether it can answer now."
    )
    reason: str = Field(description="Why not; empty if it can.")


class TensorConfig(_Answer):
    """A tensor of the model."""

    name: str = Field(description="Its name.")
    data_type: str = Field(description="Type of its elements.", examples=["TYPE_FP32"])
    dims: list[int] = Field(description="Its shape for one scene.")


class ModelConfigAnswer(_Answer):
    """The model as Triton's clients ask for it."""

    name: str = Field(description="Its name.")
    platform: str = Field(description="Triton's name for it, always `onnxruntime_onnx`.")
    backend: str = Field(description="Always `onnxruntime`.")
    max_batch_size: int = Field(description="Most scenes of one request.")
    input: list[TensorConfig] = Field(description="What it takes.")
    output: list[TensorConfig] = Field(description="What it gives.")


class AnswerParameters(_Answer):
    """How an output has come back."""

    binary_data_size: int = Field(ge=0, description="Bytes of the tensor behind the JSON.")


class OutputTensor(_Answer):
    """An output of the model; lengths are in px of the scene."""

    name: str = Field(description="Its name.")
    datatype: str = Field(description="Always `FP32`.")
    shape: list[Size] = Field(description="Its shape, of which the first is the number of scenes.")
    parameters: AnswerParameters | None = Field(None, description="Only where it is binary.")
    data: list[float] | None = Field(None, description="Its elements, flat, row by row; not where binary.")


class InferenceAnswer(_Answer):
    """What the model says of the scenes."""

    model_name: str = Field(description="Name of the model.")
    model_version: str = Field(description="Version of the model.")
    id: str | None = Field(None, description="The request's, where it has one.")
    outputs: list[OutputTensor] = Field(description="In the order of the request.")


class InferenceError(_Answer):
    """Why there is no answer."""

    error: str = Field(description="What was wrong: its name, what was expected and what came.")


_EXAMPLES = {
    400: (
        "The request is not as expected, or cannot be read as HTTP.",
        f"scene.shape: expected [{_SHAPE}] with n from 1 to {MAX_SCENES}, got [1, 28, 28]",
    ),
    401: (
        "The service asks for a key, and none of its own came.",
        "key: expected one of the service's keys as the header X-API-Key or Authorization: Bearer, got none",
    ),
    408: (
        "The head or the body did not come in time; the connection is closed.",
        "body: expected all of it within 20 s, got 4096 bytes of 10000",
    ),
    413: ("The body is over the limit.", "body: expected at most 16777216 bytes, got more"),
    415: (
        "The body's compression is not one that is spoken.",
        "content-encoding: expected gzip, deflate or identity, got 'br'",
    ),
    429: (
        "This address has sent too many wrong keys; `Retry-After` says when the next is looked at.",
        "key: expected fewer wrong keys from this address, got too many; try again later",
    ),
    503: ("The service cannot answer now.", "the model did not run on CUDAExecutionProvider: …"),
}


def documented_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's descriptions of the errors 400, 401, 408, 413, 415, 429 and 503."""
    return {
        status: {
            "description": _EXAMPLES[status][0],
            "content": {
                "application/json": {
                    "schema": refer(InferenceError),
                    "example": {"error": _EXAMPLES[status][1]},
                }
            },
        }
        for status in statuses
    }


def refer(model: type[BaseModel]) -> dict[str, str]:
    """A schema that stands among those of the document."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def request_schemas() -> dict[str, Any]:
    """The schemas of requests and errors, by the name that a document refers to them."""
    _, found = models_json_schema(
        [
            (InferenceRequestBody, "validation"),
            (IndexRequestBody, "validation"),
            (InferenceError, "serialization"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = found["$defs"]
    return schemas
