"""MLServer, as https://docs.seldon.ai/mlserver advises.

Chosen after its guides "Adaptive Batching" and "Parallel Inference": `max_batch_size` and `max_batch_time`,
inference workers by `parallel_workers` (0 runs the model in the server's own process, which its guide advises
for light models). Its interface is the Open Inference Protocol: the picture is base64 in JSON, the answer
named tensors. In its favour: no compression of answers on the way to the same machine, no debug, no log of
requests, and two models, so that none computes maps that nobody wants. Its inference workers do not start
with uvloop 0.22 and later (they ask for an event loop where there is none yet), so its environment holds an
earlier one.
"""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from typing import Any

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import install_uvloop_event_loop

from benchmarks.serving.peers.onnx_model import MAP_DIGITS, MAPS, OnnxModel, read_settings

SETTINGS = read_settings()


class Glimpse(MLModel):
    """One model, with maps or without."""

    async def load(self) -> bool:
        """Load it in the process that runs it."""
        self._maps = self.name == "glimpse-maps"
        self._model = OnnxModel(SETTINGS.threads)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a batch that MLServer has gathered."""
        pngs = Base64Codec.decode_input(payload.inputs[0])
        # In a thread, so that this process's loop goes on gathering.
        outputs: dict[str, Any] = await asyncio.to_thread(self._model.arrays, pngs, maps=self._maps)
        for name in MAPS if self._maps else ():
            outputs[name] = np.round(outputs[name], MAP_DIGITS)
        outputs["label"] = outputs["probabilities"].argmax(axis=1)
        outputs["confidence"] = outputs["probabilities"].max(axis=1)
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, values) for name, values in outputs.items()],
        )


async def main() -> None:
    """Serve until told to stop."""
    server = MLServer(
        Settings(
            debug=False,
            host="127.0.0.1",
            http_port=SETTINGS.port,
            grpc_port=int(os.environ["PEER_SECOND_PORT"]),
            metrics_port=int(os.environ["PEER_THIRD_PORT"]),
            metrics_dir=os.environ["PEER_FOLDER"],
            parallel_workers=SETTINGS.workers,
            gzip_enabled=False,
            load_models_at_startup=False,
        )
    )
    models = [
        ModelSettings(
            name=name,
            implementation=Glimpse,
            max_batch_size=SETTINGS.batch,
            max_batch_time=SETTINGS.wait_ms / 1000,
            parameters=ModelParameters(version="1"),
        )
        for name in ("glimpse", "glimpse-maps")
    ]
    await server.start(models)


if __name__ == "__main__":
    install_uvloop_event_loop()  # as its own command does
    # By the module's own name, under which worker processes find the class.
    asyncio.run(import_module(__spec__.name).main())
