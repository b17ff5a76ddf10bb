"""The committed model on one thread of a processor.

Scenes per second for each batch size, through onnxruntime, and the floating-point operations per second that
they amount to, two for each multiply-add, beside what the thread reaches on large matrix products.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.documents import table
from benchmarks.rates.peaks import peak_flops
from benchmarks.results import parser, publish
from models.contract import MODEL_PATH, load_contract
from scenes.draw import draw
from scenes.mnist import load_digits
from scenes.presets import find_preset
from trainer.evaluation.evaluate import Predict, load_predict, make_pictures

BATCHES = (1, 8, 32, 64)
ROUNDS, SECONDS = 7, 0.5


def main(arguments: Sequence[str]) -> None:
    """Measure, print, write the result file and the table."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--model", type=Path, default=MODEL_PATH)
    options = options_of.parse_args(arguments)
    torch.set_num_threads(1)
    digits = load_digits("validation")
    pictures = make_pictures(draw(find_preset("article"), np.arange(max(BATCHES)), digits), digits)
    predict, contract = load_predict(options.model, threads=1), load_contract(options.model)
    rates: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for _ in range(ROUNDS):  # one after another, so that a slow moment falls on all of them
        for batch, found in rates.items():
            found.append(scenes_per_second(predict, pictures[:batch]))
    content = {
        "model_sha256": contract.sha256,
        "mflops_per_scene": contract.mflops_per_scene,
        "peak_product_gflops": round(peak_flops(torch.device("cpu")) / 1e9, 1),
        "batches": {
            str(batch): rate_row(statistics.median(found), contract.mflops_per_scene)
            for batch, found in rates.items()
        },
    }
    if options.model.resolve() == MODEL_PATH.resolve():
        publish("inference_rate", content, markdown(content))
    else:
        print(markdown(content))


def scenes_per_second(predict: Predict, pictures: npt.NDArray[np.uint8]) -> float:
    """The rate of one batch after another, for half a second."""
    predict(pictures)
    began, scenes = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        predict(pictures)
        scenes += len(pictures)
    return scenes / (time.perf_counter() - began)


def rate_row(rate: float, mflops: float) -> dict[str, float]:
    """A rate of scenes, and what it amounts to in operations."""
    return {
        "scenes_per_second": round(rate),
        "ms_per_scene": round(1e3 / rate, 3),
        "gflops": round(rate * mflops / 1e3, 1),
    }


def markdown(content: dict[str, Any]) -> str:
    """A row for each batch size."""
    rows = [
        (batch, f"{row['scenes_per_second']:,}", row["ms_per_scene"], row["gflops"])
        for batch, row in content["batches"].items()
    ]
    return (
        table(("batch", "scenes/s", "ms per scene", "GFLOP/s"), rows)
        + f"\n\nOne thread, {content['mflops_per_scene']} MFLOPs a scene; a large product of float32 "
        f"matrices reaches {content['peak_product_gflops']} GFLOP/s on it."
    )
