"""The bodies of the Open Inference Protocol for OpenAPI; `tensors` validates requests."""

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
    """Other fields are ignored, as by other servers of the protocol."""


class RequestParameters(_Request):
    """Parameters of all outputs; others, such as `priority`, are ignored."""

    binary_data_output: bool | None = Field(
        None, description="Whether outputs are binary, unless an output says otherwise."
    )


class InputParameters(_Request):
    """Parameters of the input."""

    binary_data_size: int | None = Field(
        None, ge=0, description="Bytes of the tensor. It then follows the JSON, in place of `data`."
    )


class OutputParameters(_Request):
    """Parameters of a requested output."""

    binary_data: bool | None = Field(None, description="Whether the output is binary and follows the JSON.")


class InputTensor(_Request):
    """The scenes to predict."""

    name: str = Field(pattern="^scene$", description="Always `scene`.")
    shape: list[Size] = Field(
        min_length=4, max_length=4, description=f"{_SHAPE}, where n is 1 to {MAX_SCENES}."
    )
    datatype: str = Field(pattern="^UINT8$", description="Always `UINT8`.")
    parameters: InputParameters | None = Field(None, description="Parameters of the tensor.")
    data: list[Pixel] | list[list[list[list[Pixel]]]] | None = Field(
        None,
        description="Grey intensities from 0 to 255, row by row: flat, or nested like the shape.",
    )


class OutputWish(_Request):
    """A requested output."""

    name: str = Field(
        json_schema_extra={"enum": list(OUTPUT_NAMES)},
        description="One of the model's outputs; each at most once.",
    )
    parameters: OutputParameters | None = Field(None, description="Parameters of the output.")


class InferenceRequestBody(_Request):
    """An inference request in JSON."""

    id: str | None = Field(None, description="Returned with the answer.")
    parameters: RequestParameters | None = Field(None, description="Parameters of all outputs.")
    inputs: list[InputTensor] = Field(
        min_length=1,
        max_length=1,
        description=f"The scenes. All JSON together has at most {MAX_JSON_BYTES} bytes.",
    )
    outputs: list[OutputWish] | None = Field(
        None, description="The requested outputs, in the order of the answer. Without it, all outputs."
    )


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class IndexRequestBody(_Request):
    """Which models to list."""

    ready: bool | None = Field(None, description="Whether to list only models that are ready.")


class LiveAnswer(_Answer):
    """The process is alive."""

    live: bool = Field(description="Always true.")


class ServerReadyAnswer(_Answer):
    """The model has just answered a test scene."""

    ready: bool = Field(description="Always true.")


class ModelReadyAnswer(_Answer):
    """The model has just answered a test scene."""

    name: str = Field(description="Name of the model.")
    ready: bool = Field(description="Always true.")


class ServerMetadataAnswer(_Answer):
    """The server's metadata."""

    name: str = Field(description="Always `glimpse`.")
    version: str = Field(description="Version of the model, which is also the server's.")
    extensions: list[str] = Field(description="Supported extensions of the protocol.")


class TensorMetadata(_Answer):
    """A tensor of the model."""

    name: str = Field(description="Name.")
    datatype: str = Field(description="Type of its elements.", examples=["FP32"])
    shape: list[int] = Field(description="Shape; -1 is the number of scenes.")


class ModelMetadataAnswer(_Answer):
    """The model's metadata."""

    name: str = Field(description="Name.")
    versions: list[str] = Field(description="Versions; there is one.")
    platform: str = Field(description="Always `onnx_onnxv1`: an ONNX model on ONNX Runtime.")
    inputs: list[TensorMetadata] = Field(description="Inputs.")
    outputs: list[TensorMetadata] = Field(description="Outputs.")


class IndexEntry(_Answer):
    """An entry of the list of models; there is one."""

    name: str = Field(description="Name.")
    version: str = Field(description="Version.")
    state: str = Field(
        json_schema_extra={"enum": ["READY", "UNAVAILABLE"]}, description="Whether the model can answer now."
    )
    reason: str = Field(description="Why it cannot answer; empty if it can.")


class TensorConfig(_Answer):
    """A tensor of the model."""

    name: str = Field(description="Name.")
    data_type: str = Field(description="Type of its elements.", examples=["TYPE_FP32"])
    dims: list[int] = Field(description="Shape for one scene.")


class ModelConfigAnswer(_Answer):
    """The part of Triton's model configuration that applies here."""

    name: str = Field(description="Name.")
    platform: str = Field(description="Always `onnxruntime_onnx`, Triton's name for this platform.")
    backend: str = Field(description="Always `onnxruntime`.")
    max_batch_size: int = Field(description="Most scenes in one request.")
    input: list[TensorConfig] = Field(description="Inputs.")
    output: list[TensorConfig] = Field(description="Outputs.")


class AnswerParameters(_Answer):
    """Parameters of an output in the answer."""

    binary_data_size: int = Field(ge=0, description="Bytes of the tensor that follows the JSON.")


class OutputTensor(_Answer):
    """An output of the model. Lengths are in px of the scene."""

    name: str = Field(description="Name.")
    datatype: str = Field(description="Always `FP32`.")
    shape: list[Size] = Field(description="Shape; its first number is the number of scenes.")
    parameters: AnswerParameters | None = Field(None, description="Only if the output is binary.")
    data: list[float] | None = Field(
        None, description="Elements, flat, row by row; absent if the output is binary."
    )


class InferenceAnswer(_Answer):
    """The outputs of the model."""

    model_name: str = Field(description="Name of the model.")
    model_version: str = Field(description="Version of the model.")
    id: str | None = Field(None, description="The id of the request, if it has one.")
    outputs: list[OutputTensor] = Field(description="The outputs, in the order of the request.")


class InferenceError(_Answer):
    """An error."""

    error: str = Field(description="What was wrong: the name, what was expected and what came.")


_EXAMPLES = {
    400: (
        "The request is invalid, or not valid HTTP.",
        f"scene.shape: expected [{_SHAPE}] with n from 1 to {MAX_SCENES}, got [1, 28, 28]",
    ),
    401: (
        "The service needs an API key, and the request has none that is valid.",
        "key: expected one of the service's keys as the header X-API-Key or Authorization: Bearer, got none",
    ),
    408: (
        "The head or the body did not arrive in time. The connection is closed.",
        "body: expected all of it within 20 s, got 4096 bytes of 10000",
    ),
    413: ("The body is over the limit.", "body: expected at most 16777216 bytes, got more"),
    415: (
        "The body's compression is not supported.",
        "content-encoding: expected gzip, deflate or identity, got 'br'",
    ),
    429: (
        "This address has sent too many wrong keys. `Retry-After` says when the next key is checked.",
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
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def request_schemas() -> dict[str, Any]:
    """The schemas of requests and errors, by the names that references use."""
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
