"""LitServe, as https://lightning.ai/docs/litserve advises.

Chosen after its guides "Batching", "Autoscaling" and "Speed up serving by 200x": batching by `max_batch_size`
and `batch_timeout`; on a CPU as many `workers_per_device` as there are cores, as its reference says;
`fast_queue` (ZeroMQ), which it advises above a hundred requests a second; the default of one API process for
each worker. In its favour: the picture goes to the worker as raw bytes (a dependency reads the body, where
its examples use base64 in JSON), decoding is part of the batch, and the answer is encoded by orjson. The log
is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import litserve
from fastapi import Depends, Request, Response

from benchmarks.serving.peers.onnx_model import OnnxModel, read_settings, to_json


async def _read(request: Request) -> tuple[bytes, bool]:
    return await request.body(), request.query_params.get("maps") == "array"


# Not `request: …` of a deferred annotation: LitServe hands the annotation itself to FastAPI.
Posted = Annotated[Any, Depends(_read)]


class GlimpseAPI(litserve.LitAPI):
    """Decodes and runs a batch in a worker process."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe calls it with a device
        """Load the model."""
        self.model = OnnxModel(read_settings().threads)

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """Pass the posted bytes on."""
        return request

    decode_request.__annotations__["request"] = Posted

    def batch(self, inputs: Sequence[tuple[bytes, bool]]) -> Sequence[tuple[bytes, bool]]:
        """Leave the list as it is."""
        return inputs

    def predict(self, x: Sequence[tuple[bytes, bool]]) -> list[dict[str, Any]]:
        """One model call for all of the batch."""
        return self.model.answers([png for png, _ in x], maps=any(maps for _, maps in x))

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave the list as it is."""
        return output

    def encode_response(self, output: dict[str, Any]) -> Response:
        """Encode in the worker."""
        return Response(to_json(output), media_type="application/json")


if __name__ == "__main__":
    settings = read_settings()
    api = GlimpseAPI(max_batch_size=settings.batch, batch_timeout=settings.wait_ms / 1000)
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=settings.workers, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=settings.port,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
