"""PyTriton: Triton's own core and HTTP front end, the model in Python.

Chosen after its guide "Binding Configuration" (https://triton-inference-server.github.io/pytriton) and
Triton's "Batchers": dynamic batching up to `max_batch_size`, first without a delay, as Triton's guide says,
then with one; one or two instances of the function. The picture is posted as the protocol's binary extension,
which costs Triton less than base64 in JSON, and the answer is the protocol's JSON. In its favour: two models,
so that none computes maps that nobody wants, more HTTP threads than cores, no metrics. The wheel holds
Triton's Python backend only: onnxruntime runs in Python here as it does for every other peer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.serving.peers.onnx_model import MAP_DIGITS, MAPS, OnnxModel, read_settings

SETTINGS = read_settings()
NUMBERS = (
    Tensor(name="label", dtype=np.int64, shape=(1,)),
    Tensor(name="confidence", dtype=np.float32, shape=(1,)),
    Tensor(name="probabilities", dtype=np.float32, shape=(10,)),
    Tensor(name="digit_present", dtype=np.float32, shape=(1,)),
    Tensor(name="box", dtype=np.float32, shape=(4,)),
    Tensor(name="attention", dtype=np.float32, shape=(4,)),
)
PICTURES = (
    Tensor(name="attention_map", dtype=np.float32, shape=(100, 100)),
    Tensor(name="glimpse", dtype=np.float32, shape=(28, 28)),
)
Arrays = dict[str, npt.NDArray[Any]]


def make_function(*, maps: bool) -> Callable[..., Arrays]:
    """One instance with a session of its own."""
    model = OnnxModel(SETTINGS.threads)

    @batch
    def infer(image: npt.NDArray[np.object_]) -> Arrays:
        outputs: Arrays = dict(model.arrays([bytes(png) for png in image[:, 0]], maps=maps))
        probabilities = outputs["probabilities"]
        outputs["label"] = probabilities.argmax(axis=1)[:, None]
        outputs["confidence"] = probabilities.max(axis=1)[:, None]
        outputs["digit_present"] = outputs["digit_present"][:, None]
        for name in MAPS if maps else ():
            outputs[name] = outputs[name].round(MAP_DIGITS)
        return outputs

    return infer  # type: ignore[no-any-return]


def main() -> None:
    """Serve until told to stop."""
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=SETTINGS.port,
        http_thread_count=8,
        allow_grpc=False,
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config, workspace=os.environ["PEER_FOLDER"] + "/triton") as triton:
        for name, maps in (("glimpse", False), ("glimpse-maps", True)):
            triton.bind(
                model_name=name,
                infer_func=[make_function(maps=maps) for _ in range(SETTINGS.workers)],
                inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
                outputs=list(NUMBERS + PICTURES if maps else NUMBERS),
                config=ModelConfig(
                    batching=True,
                    max_batch_size=SETTINGS.batch,
                    batcher=DynamicBatcher(max_queue_delay_microseconds=round(SETTINGS.wait_ms * 1000)),
                ),
            )
        triton.serve()


if __name__ == "__main__":
    main()
