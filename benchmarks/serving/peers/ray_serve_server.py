"""Ray Serve, as https://docs.ray.io/en/latest/serve advises.

Chosen after its guides "Dynamic Request Batching" and "Performance Tuning": `serve.batch` with a size and a
short wait, `max_ongoing_requests` above the batch times two, so that the next one can gather meanwhile, one
replica for each core, `RAY_SERVE_THROUGHPUT_OPTIMIZED=1`, no dashboard. In its favour: the model runs in a
thread, so that the replica's loop goes on taking requests, and the answer is encoded by orjson. The access
log is off.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.serving.peers.onnx_model import OnnxModel, read_settings, to_json

SETTINGS = read_settings()


@serve.deployment(
    num_replicas=SETTINGS.workers,
    max_ongoing_requests=max(256, 4 * SETTINGS.batch),
    ray_actor_options={"num_cpus": 0},  # the machine has two cores, and the proxy wants some of them as well
    logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
)
class Glimpse:
    """One replica."""

    def __init__(self) -> None:
        self._model = OnnxModel(SETTINGS.threads)

    @serve.batch(max_batch_size=SETTINGS.batch, batch_wait_timeout_s=SETTINGS.wait_ms / 1000)
    async def predict(self, posted: list[tuple[bytes, bool]]) -> list[bytes]:
        """One model call for all of the batch."""

        def work() -> list[bytes]:
            answers = self._model.answers([png for png, _ in posted], maps=any(maps for _, maps in posted))
            return [to_json(answer) for answer in answers]

        return await asyncio.to_thread(work)

    async def __call__(self, request: Request) -> Response:
        """Answer a POST."""
        maps = request.query_params.get("maps") == "array"
        body: Any = await self.predict((await request.body(), maps))
        return Response(body, media_type="application/json")


if __name__ == "__main__":
    ray.init(
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=os.environ.get("PEER_FOLDER"),
    )
    serve.start(
        http_options=HTTPOptions(host="127.0.0.1", port=SETTINGS.port),
        logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
    )
    application = Glimpse.bind()  # type: ignore[attr-defined]  # the decorator adds it
    serve.run(application, route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
