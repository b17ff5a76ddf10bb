"""`python -m benchmarks.inference_rate`: the committed model on one thread of a processor.

Scenes per second for each batch size, through onnxruntime, and the floating-point operations per second that
they amount to, two for each multiply-add, beside what the thread reaches on large matrix products. Writes
`benchmarks/results/inference_rate.json` and the table into `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.documents import fill_in
from benchmarks.results import sentence_or_exit, write_result
from benchmarks.train_rate import measure_peak
from models.contract import MODEL_PATH, load_contract
from scenes.draw import draw
from scenes.mnist import load_digits
from scenes.presets import find_preset
from trainer.evaluate import Predict, load_predict, make_pictures

BATCHES = (1, 8, 32, 64)
ROUNDS, SECONDS = 7, 0.5


@sentence_or_exit()
def main() -> None:
    """Measure, print, write the result file and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference_rate", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    options = parser.parse_args()
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
        "peak_product_gflops": round(measure_peak().product, 1),
        "batches": {
            str(batch): rate_row(statistics.median(found), contract.mflops_per_scene)
            for batch, found in rates.items()
        },
    }
    print(markdown(content))
    if options.model.resolve() == MODEL_PATH.resolve():
        command = "python -m benchmarks.inference_rate"
        print(f"wrote {write_result('inference_rate', command, content, threads=1)}")
        fill_in("inference_rate", markdown(content))


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
    lines = ["| batch | scenes/s | ms per scene | GFLOP/s |", "|---|---|---|---|"]
    lines += [
        f"| {batch} | {row['scenes_per_second']:,} | {row['ms_per_scene']} | {row['gflops']} |"
        for batch, row in content["batches"].items()
    ]
    lines.append(
        f"\nOne thread, {content['mflops_per_scene']} MFLOPs a scene; a large product of float32 matrices "
        f"reaches {content['peak_product_gflops']} GFLOP/s on it."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
