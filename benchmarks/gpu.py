"""`python -m benchmarks.gpu`: everything that needs a GPU, in one call that is meant for nine minutes.

1. Of the committed model see where each node really runs, and compare the CUDA provider with the CPU's.
2. Train the `cuda` preset from nothing and time it; beside it the rates of steps started kernel by kernel,
   recorded, and compiled and recorded, with the seconds that each takes to get going.
3. Figures of what came out, one draw of test digits for each scene preset.
4. Export it; scenes per second and latency for each batch size: onnxruntime on CUDA and torch, against what
   the GPU's memory and arithmetic allow at best.

Writes `benchmarks/results/gpu.json` after each of them, and in the end the tables of `benchmarks/README.md`.
With `--trial` everything is tiny, runs on the CPU where there is no GPU, and nothing is written: it shows
that the command works.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from benchmarks.documents import fill_in
from benchmarks.results import circumstances, digits_or_exit, write_result
from models.contract import MODEL_PATH, OUTPUTS, SCENE_SIDE_PX, load_contract
from scenes.digits import Digits
from scenes.draw import draw
from scenes.presets import PRESETS
from trainer import provenance
from trainer.checkpoint import load_trained_model
from trainer.data import SCENES_PER_HANDWRITING
from trainer.distributed import Processes
from trainer.evaluate import COLUMNS, Predict, evaluate, make_pictures, onnx_predict, summarise, torch_predict
from trainer.export import count_mflops, differences, export
from trainer.model import GlimpseModel
from trainer.presets import TrainingPreset, find_training_preset
from trainer.steps import Trainer
from trainer.train import train

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
BATCHES = (1, 8, 32, 128, 512)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write the result file; what was measured before an error is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--steps", type=int, help="training steps of a trial")
    parser.add_argument(
        "--run", type=Path, help="a new folder that keeps the trained run (default: none does)"
    )
    parser.add_argument("--trial", action="store_true", help="tiny, on any device, writes nothing")
    options = parser.parse_args(arguments)
    if options.steps and not options.trial:
        parser.error("--steps: expected with --trial alone, since the page shows the preset's own steps")
    if not torch.cuda.is_available() and not options.trial:
        raise SystemExit(
            "error: expected a CUDA GPU that torch can use, but there is none; --trial needs none"
        )
    if options.run and options.run.exists():
        raise SystemExit(f"error: --run: expected a folder that is not there yet, got {options.run}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        onnxruntime.preload_dlls()
    preset = find_training_preset("smoke" if options.trial else "cuda")
    if options.steps:
        preset = dataclasses.replace(preset, steps=options.steps)
    digits = digits_or_exit("test")
    figures: dict[str, Any] = {}

    def keep(name: str, found: Any) -> None:
        figures[name] = found
        print(json.dumps({name: found}, indent=2), flush=True)
        if not options.trial:
            under = {**circumstances(1), "hardware": provenance.hardware(device, 1)}
            write_result("gpu", provenance.command(), figures, threads=1, measured_under=under)

    with tempfile.TemporaryDirectory() as folder:
        # Nothing compiled before may be found: "from nothing" includes the compiler.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "compiled")
        run, onnx_path = options.run or Path(folder) / "run", Path(folder) / MODEL_PATH.name
        keep("provider", measure_provider(digits, device, Path(folder)))
        keep("training", measure_training(preset, run, device))
        keep("test", measure_test(run, device, digits, scenes=100 if options.trial else 5_000))
        export(run, onnx_path, digits_or_exit("validation"))
        keep("serving", measure_serving(run, onnx_path, device, seconds=0.05 if options.trial else 1.0))
    if not options.trial:
        fill_in("gpu", markdown(figures))


def measure_training(preset: TrainingPreset, run: Path, device: torch.device) -> dict[str, Any]:
    """Seconds from nothing to a trained model, and the rates of steps by the ways to start their kernels."""
    digits = digits_or_exit("train")
    start = time.perf_counter()
    train(preset, run, device=device.type)
    seconds = time.perf_counter() - start
    ways = {
        "kernel by kernel": _rate_steps(preset, digits, device, recorded=False),
        "recorded": _rate_steps(preset, digits, device, recorded=True),
    }
    if device.type == "cuda":
        compiled = dataclasses.replace(preset, compiled=True)
        ways["compiled and recorded"] = _rate_steps(compiled, digits, device, recorded=True)
    flops = 3e6 * count_mflops(GlimpseModel()) * preset.batch_size  # backward costs twice the pass
    floor_s = flops / _peak_flops(device, getattr(torch, preset.precision))
    return {
        "preset": preset.name,
        "steps": preset.steps,
        "scenes": preset.steps * preset.batch_size,
        "seconds_from_nothing": round(seconds, 1),
        "steps_per_second_at_the_floor": round(1 / floor_s),
        "ways": ways,
    }


def _rate_steps(
    preset: TrainingPreset, digits: Digits, device: torch.device, *, recorded: bool
) -> dict[str, float]:
    """Steps per second once all is warm, and the seconds until it is."""
    start = time.perf_counter()
    trainer = Trainer(preset, digits, seed=0, processes=Processes(0, 1, device), recorded=recorded)
    # As many as one handwriting lasts, so that each way varies it once; what is recorded is so by then.
    steps = min(SCENES_PER_HANDWRITING // preset.batch_size, preset.steps)
    for _ in range(steps):
        trainer.advance()
    _wait(device)
    warm = time.perf_counter()
    for _ in range(steps):
        trainer.advance()
    _wait(device)
    return {
        "steps_per_second": round(steps / (time.perf_counter() - warm), 1),
        "seconds_until_warm": round(warm - start, 1),
    }


def measure_test(run: Path, device: torch.device, digits: Digits, *, scenes: int) -> dict[str, Any]:
    """The figures of the trained model for every scene preset, one draw each."""
    predict = torch_predict(load_trained_model(run).to(device))
    return {
        preset.name: summarise(evaluate(predict, preset, digits, draws=1, scenes=scenes))
        for preset in PRESETS.values()
    }


def measure_provider(digits: Digits, device: torch.device, folder: Path) -> dict[str, Any]:
    """Of the committed model: how many nodes each provider really runs, and how far CUDA is from the CPU.

    By default onnxruntime multiplies in TF32 on CUDA, 10 bits behind the point: measured with it and without.
    """
    pictures = make_pictures(draw(PRESETS["article"], np.arange(200), digits), digits)
    provider = CUDA if device.type == "cuda" else CPU
    found: dict[str, Any] = {
        "name": provider,
        "model_sha256": load_contract().sha256,
        "nodes": count_nodes(MODEL_PATH, provider, pictures, folder),
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


def count_nodes(
    onnx_path: Path, provider: str, pictures: npt.NDArray[np.uint8], folder: Path
) -> dict[str, int]:
    """How many nodes of the optimised graph each provider ran, from onnxruntime's own profile."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    # Here a fall-back to the CPU is allowed, so that it is seen.
    session = onnxruntime.InferenceSession(onnx_path, options, providers=list(dict.fromkeys([provider, CPU])))
    if session.get_providers()[0] != provider:
        raise SystemExit(f"error: expected {provider}, but onnxruntime uses {session.get_providers()[0]}")
    session.run(None, {"scene": pictures[:1]})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return dict(
        Counter(
            event["args"]["provider"]
            for event in events
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        )
    )


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
    flops, bytes_per_second = _peak_flops(device), _peak_bytes(device)
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


def markdown(figures: dict[str, Any]) -> str:
    """What was measured as Markdown: the training, its figures, the rates of steps, the answers."""
    training, columns = figures["training"], COLUMNS[:5]
    batch = training["scenes"] // training["steps"]
    title = (
        f"From nothing to a calibrated model: **{training['seconds_from_nothing']} seconds**, "
        f"{training['steps']:,} steps of {batch} scenes. What it reached on test digits:"
    )
    lines = [
        title,
        "",
        "| scenes | " + " | ".join(column.title for column in columns) + " |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for name, reached in figures["test"].items():
        lines.append(f"| `{name}` | " + " | ".join(column.show(reached) for column in columns) + " |")
    lines += ["", "| kernels of a step | steps/s | seconds until all is warm |", "|---|---|---|"]
    for way, rate in training["ways"].items():
        lines.append(f"| {way} | {rate['steps_per_second']} | {rate['seconds_until_warm']} |")
    lines += ["", f"At the floor it would be {training['steps_per_second_at_the_floor']:,} steps a second."]
    lines += ["", "| batch | by | p50, ms | p99, ms | scenes/s | times the floor |", "|---" * 6 + "|"]
    for row in figures["serving"]:
        lines.append(
            f"| {row['batch']} | {row['way']} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} "
            f"| {row['scenes_per_second']:,} | {row['times_the_floor']:,.0f} |"
        )
    lines += ["", "How far the CUDA provider is from the CPU's, with the committed model, at most:", ""]
    lines += ["| products in | probability | box, px |", "|---|---|---|"]
    for precision in ("tf32", "float32"):
        apart = figures["provider"][precision]
        probability = apart["largest_difference_of_a_probability"]
        lines.append(f"| {precision} | {probability:.1e} | {apart['largest_difference_of_a_box_px']:.1e} |")
    return "\n".join(lines)


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
        raise SystemExit(f"error: expected {provider}, but onnxruntime uses {session.get_providers()[0]}")
    return session


def _peak_flops(device: torch.device, precision: torch.dtype = torch.float32) -> float:
    """What a large product of matrices reaches, in floating-point operations a second.

    Of float32 in TF32 where the GPU has it, since convolutions and onnxruntime use it there.
    """
    side = 8192 if device.type == "cuda" else 1024
    a, b = torch.randn(2, side, side, device=device, dtype=precision)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return 2.0 * side**3 / _best(lambda: a @ b, device)
    finally:
        torch.set_float32_matmul_precision(before)


def _peak_bytes(device: torch.device) -> float:
    """What copying a large array reaches, in bytes a second read and written."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**24, device=device)
    target = torch.empty_like(source)
    return 2.0 * source.numel() * 4 / _best(lambda: target.copy_(source), device)


def _best(call: Callable[[], object], device: torch.device) -> float:
    took = []
    for _ in range(8):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        took.append(time.perf_counter() - start)
    return min(took)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
