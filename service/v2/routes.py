"""The Open Inference Protocol v2 over REST, under `/v2`, for KServe's and Triton's clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from models.contract import INPUTS, OUTPUTS, TensorContract
from service.http.errors import error_response
from service.http.problems import is_open_inference
from service.http.uploads import BodyLimits, read_body
from service.inference.errors import PredictorError
from service.queries import shorten
from service.v2.infer import Served, add_infer
from service.v2.schema import (
    IndexEntry,
    IndexRequestBody,
    LiveAnswer,
    ModelConfigAnswer,
    ModelMetadataAnswer,
    ModelReadyAnswer,
    ServerMetadataAnswer,
    ServerReadyAnswer,
    documented_errors,
    refer,
)
from service.v2.tensors import MAX_SCENES, read_index_request

_EXTENSIONS = ["binary_tensor_data", "model_configuration"]


def add_open_inference(
    app: FastAPI, model: Served, limits: BodyLimits, limiter: anyio.CapacityLimiter
) -> None:
    """Answer `/v2` and all calls below it.

    Args:
        app: where to answer; it has its error handlers already.
        model: what is served.
        limits: of a body, the bytes also once it is inflated.
        limiter: how many threads may read and write large bodies at a time.
    """
    _add_server(app, model)
    _add_index(app, model, limits)
    at = f"/v2/models/{model.name}"
    # The names of operations stay, whatever version the path names.
    for path, suffix in ((at, ""), (f"{at}/versions/{model.version}", "_of_version")):
        _add_model(app, path, model, suffix)
        add_infer(app, path, model, limits, limiter, suffix)
    _answer_unknown_calls(app, f"{at}[/versions/{model.version}]")


def _add_server(app: FastAPI, model: Served) -> None:
    @app.get(
        "/v2",
        operation_id="get_server",
        tags=["open-inference"],
        summary="Server metadata",
        response_model=ServerMetadataAnswer,
        response_description="The server's metadata.",
    )
    async def server() -> Response:
        """Returns name, version and extensions of the server."""
        return _json({"name": "glimpse", "version": app.version, "extensions": _EXTENSIONS})

    @app.get(
        "/v2/health/live",
        operation_id="get_server_liveness",
        tags=["open-inference"],
        summary="Is the process alive?",
        response_model=LiveAnswer,
        response_description="It is alive.",
    )
    async def live() -> Response:
        """Same as `/healthz`, for clients of the Open Inference Protocol."""
        return _json({"live": True})

    @app.get(
        "/v2/health/ready",
        operation_id="get_server_readiness",
        tags=["open-inference"],
        summary="Can it answer now?",
        response_model=ServerReadyAnswer,
        response_description="It is ready.",
        responses=documented_errors(503),
    )
    async def ready() -> Response:
        """Same as `/readyz`, for clients of the Open Inference Protocol."""
        model.check()
        return _json({"ready": True})


def _add_index(app: FastAPI, model: Served, limits: BodyLimits) -> None:
    @app.post(
        "/v2/repository/index",
        operation_id="list_models",
        tags=["open-inference"],
        summary="List of models",
        response_model=list[IndexEntry],
        response_description="The model.",
        responses=documented_errors(400, 408, 413, 415),
        openapi_extra={
            "requestBody": {
                "description": "May be empty.",
                "content": {"application/json": {"schema": refer(IndexRequestBody)}},
            }
        },
    )
    async def index(request: Request) -> Response:
        """Returns the list of models, for Triton's clients. Models cannot be loaded or unloaded."""
        only_ready = read_index_request(await read_body(request, limits))
        entry = {"name": model.name, "version": model.version, "state": "READY", "reason": ""}
        try:
            model.check()
        except PredictorError as error:
            entry |= {"state": "UNAVAILABLE", "reason": str(error)}
        return _json([] if only_ready and entry["state"] != "READY" else [entry])


def _add_model(app: FastAPI, path: str, model: Served, suffix: str) -> None:
    metadata: dict[str, Any] = {
        "name": model.name,
        "versions": [model.version],
        "platform": "onnx_onnxv1",
        "inputs": _metadata(INPUTS),
        "outputs": _metadata(OUTPUTS),
    }
    config: dict[str, Any] = {
        "name": model.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": MAX_SCENES,
        "input": _config(INPUTS),
        "output": _config(OUTPUTS),
    }

    @app.get(
        path,
        operation_id=f"get_model{suffix}",
        tags=["open-inference"],
        summary="Model metadata",
        response_model=ModelMetadataAnswer,
        response_description="The model's metadata.",
    )
    async def describe() -> Response:
        """Returns names, types and shapes of the model's inputs and outputs."""
        return _json(metadata)

    @app.get(
        f"{path}/config",
        operation_id=f"get_model_config{suffix}",
        tags=["open-inference"],
        summary="Model configuration",
        response_model=ModelConfigAnswer,
        response_description="The model's configuration.",
    )
    async def configuration() -> Response:
        """Returns the part of Triton's model configuration that applies to this server."""
        return _json(config)

    @app.get(
        f"{path}/ready",
        operation_id=f"get_model_readiness{suffix}",
        tags=["open-inference"],
        summary="Can the model answer now?",
        response_model=ModelReadyAnswer,
        response_description="It is ready.",
        responses=documented_errors(503),
    )
    async def ready() -> Response:
        """Same as `/readyz`, for clients of the Open Inference Protocol."""
        model.check()
        return _json({"name": model.name, "ready": True})


def _metadata(tensors: Sequence[TensorContract]) -> list[dict[str, Any]]:
    return [
        {
            "name": tensor.name,
            "datatype": _datatype(tensor),
            "shape": [size if isinstance(size, int) else -1 for size in tensor.shape],
        }
        for tensor in tensors
    ]


def _config(tensors: Sequence[TensorContract]) -> list[dict[str, Any]]:
    return [
        {"name": tensor.name, "data_type": f"TYPE_{_datatype(tensor)}", "dims": tensor.shape[1:]}
        for tensor in tensors
    ]


def _datatype(tensor: TensorContract) -> str:
    return {"float32": "FP32", "uint8": "UINT8", "int64": "INT64"}[tensor.dtype]


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _answer_unknown_calls(app: FastAPI, known: str) -> None:
    """Name the known calls where a call below `/v2` is unknown."""
    otherwise: Any = app.exception_handlers[HTTPException]

    async def answer(request: Request, error: HTTPException) -> Response:
        path = request.scope["path"]
        if error.status_code == 404 and is_open_inference(path):
            expected = f"one of /v2, /v2/health/…, /v2/repository/index, {known}[/config, /infer, /ready]"
            return error_response(path, 404, f"path: expected {expected}, got {shorten(path)}")
        response: Response = await otherwise(request, error)
        return response

    app.add_exception_handler(HTTPException, answer)  # type: ignore[arg-type]
