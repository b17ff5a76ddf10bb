"""Answers on a GPU, for `benchmarks gpu`: how far from the CPU's they are, and how fast."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.rates.peaks import peak_bytes, peak_flops
from models.contract import MODEL_PATH, OUTPUTS, SCENE_SIDE_PX, load_contract
from scenes.digits import Digits
from scenes.draw import draw
from scenes.presets import PRESETS
from trainer.evaluation.evaluate import Predict, make_pictures, onnx_predict, torch_predict
from trainer.export import count_mflops, differences
from trainer.training.checkpoint import load_trained_model

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
BATCHES = (1, 8, 32, 128, 512)


def measure_provider(digits: Digits, device: torch.device) -> dict[str, Any]:
    """How far the committed model on CUDA is from the CPU; a node that cannot run on CUDA is an error.

    By default onnxruntime multiplies in TF32 on CUDA, 10 bits behind the point: measured with it and without.
    """
    pictures = make_pictures(draw(PRESETS["article"], np.arange(200), digits), digits)
    provider = CUDA if device.type == "cuda" else CPU
    found: dict[str, Any] = {
        "name": provider,
        "model_sha256": load_contract().sha256,
    }
    on_cpu = onnx_predict(_session(MODEL_PATH, CPU))
    for name, use_tf32 in (("tf32", "1"), ("float32", "0")):
        session = _session(MODEL_PATH, provider, **({"use_tf32": use_tf32} if provider == CUDA else {}))
        apart = differences(onnx_predict(session), on_cpu, pictures)
        found[name] = {
            "largest_difference_of_a_probability": apart.probability,
            "largest_difference_of_a_box_px": apart.box_px,
        }
    return found


def measure_serving(
    run: Path, onnx_path: Path, device: torch.device, *, seconds: float
) -> list[dict[str, Any]]:
    """Latency and scenes per second for each batch size, and the shares of what the device allows."""
    model = load_trained_model(run)
    scene_flops = count_mflops(model) * 1e6
    model.to(device)
    provider = CUDA if device.type == "cuda" else CPU
    ways: dict[str, Predict] = {
        "onnxruntime": onnx_predict(_session(onnx_path, provider)),
        "torch": torch_predict(model),
    }
    flops, bytes_per_second = peak_flops(device), peak_bytes(device)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    numbers = sum(math.prod(size for size in output.shape if isinstance(size, int)) for output in OUTPUTS)
    scene_bytes = SCENE_SIDE_PX**2 + 4 * numbers
    rows = []
    for batch in BATCHES:
        pictures = np.random.default_rng(0).integers(0, 256, (batch, 1, 100, 100), np.uint8)
        floor_s = max(
            scene_flops * batch / flops,
            (weights + scene_bytes * batch) / bytes_per_second,
        )
        for name, predict in ways.items():
            took = _time(partial(predict, pictures), seconds)
            median = float(np.median(took))
            rows.append(
                {
                    "way": name,
                    "batch": batch,
                    "p50_ms": round(1e3 * median, 3),
                    "p99_ms": round(1e3 * float(np.quantile(took, 0.99)), 3),
                    "scenes_per_second": round(batch / median),
                    "times_the_floor": round(median / floor_s, 1),
                }
            )
    return rows


def _time(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call; answers are on the CPU when a call returns, so nothing is left to wait for."""
    for _ in range(5):
        call()
    took: list[float] = []
    while sum(took) < seconds:
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return took


def _session(onnx_path: Path, provider: str, **settings: str) -> onnxruntime.InferenceSession:
    """A session on that provider alone: a node that cannot run there is an error, not the CPU's."""
    options = onnxruntime.SessionOptions()
    if provider == CUDA:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = onnxruntime.InferenceSession(onnx_path, options, providers=[(provider, settings)])
    if session.get_providers()[0] != provider:
        raise ValueError(f"expected {provider}, but onnxruntime uses {session.get_providers()[0]}")
    return session
