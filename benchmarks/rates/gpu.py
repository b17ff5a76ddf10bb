"""Everything that needs a GPU, in one call that is meant for nine minutes.

1. Run the committed model on CUDA alone, no node on the processor, and compare it with the CPU's answers.
2. Train the `cuda` preset from nothing and time it; beside it the rates of steps started kernel by kernel,
   as CUDA graphs, and compiled and as CUDA graphs, with the seconds that each takes to get going.
3. Figures of what came out, one draw of test digits for each scene preset.
4. Export it; scenes per second and latency for each batch size: onnxruntime on CUDA and torch, against what
   the GPU's memory and arithmetic allow at best.

The result file is written after each of them. With `--trial` everything is tiny, runs on the CPU where there
is no GPU, and nothing is written: it shows that the command works.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from benchmarks.documents import table
from benchmarks.rates.gpu_answers import measure_provider, measure_serving
from benchmarks.rates.peaks import peak_flops, wait
from benchmarks.results import circumstances, parser, publish
from models.contract import MODEL_PATH
from scenes.digits import Digits
from scenes.mnist import load_digits
from scenes.presets import PRESETS
from trainer.data.training_scenes import SCENES_PER_AUGMENTATION
from trainer.evaluation.evaluate import COLUMNS, evaluate, summarise, torch_predict
from trainer.export import count_mflops, export
from trainer.model import GlimpseModel
from trainer.runtime.distributed import Processes
from trainer.training.checkpoint import load_trained_model
from trainer.training.loop import train
from trainer.training.presets import TrainingPreset, find_training_preset
from trainer.training.step import Trainer

_APART = ("probability", "box_px")


def main(arguments: Sequence[str]) -> None:
    """Measure, print, write the result file; what was measured before an error is kept."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--steps", type=int, help="training steps of a trial")
    options_of.add_argument("--run", type=Path, help="a new folder that keeps the run (default: none does)")
    options_of.add_argument("--trial", action="store_true", help="tiny, on any device, writes nothing")
    options = options_of.parse_args(arguments)
    if options.steps and not options.trial:
        options_of.error("--steps: expected with --trial alone, since the page shows the preset's own steps")
    if not torch.cuda.is_available() and not options.trial:
        raise ValueError("expected a CUDA GPU that torch can use, but there is none; --trial needs none")
    if options.run and options.run.exists():
        raise ValueError(f"--run: expected a folder that is not there yet, got {options.run}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        onnxruntime.preload_dlls()
    preset = find_training_preset("smoke" if options.trial else "cuda")
    if options.steps:
        preset = dataclasses.replace(preset, steps=options.steps)
    digits = load_digits("test")
    figures: dict[str, Any] = {}

    def keep(name: str, found: Any) -> None:
        figures[name] = found
        print(json.dumps({name: found}, indent=2), flush=True)
        if not options.trial:
            whole = markdown(figures) if name == "serving" else ""
            publish("gpu", figures, whole, under=circumstances(1, device))

    with tempfile.TemporaryDirectory() as folder:
        # Nothing compiled before may be found: "from nothing" includes the compiler.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "compiled")
        run, onnx_path = options.run or Path(folder) / "run", Path(folder) / MODEL_PATH.name
        keep("provider", measure_provider(digits, device))
        keep("training", measure_training(preset, run, device))
        keep("test", measure_test(run, device, digits, scenes=100 if options.trial else 5_000))
        export(run, onnx_path, load_digits("validation"))
        keep("serving", measure_serving(run, onnx_path, device, seconds=0.05 if options.trial else 1.0))


def measure_training(preset: TrainingPreset, run: Path, device: torch.device) -> dict[str, Any]:
    """Seconds from nothing to a trained model, and the rates of steps by the ways to start their kernels."""
    digits = load_digits("train")
    start = time.perf_counter()
    train(preset, run, device=device.type)
    seconds = time.perf_counter() - start
    ways = {
        "kernel by kernel": _rate_steps(preset, digits, device, cuda_graphs=False),
        "CUDA graph": _rate_steps(preset, digits, device, cuda_graphs=True),
    }
    if device.type == "cuda":
        compiled = dataclasses.replace(preset, compiled=True)
        ways["compiled, CUDA graph"] = _rate_steps(compiled, digits, device, cuda_graphs=True)
    flops = 3e6 * count_mflops(GlimpseModel()) * preset.batch_size  # backward costs twice the pass
    floor_s = flops / peak_flops(device, getattr(torch, preset.precision))
    return {
        "preset": preset.name,
        "steps": preset.steps,
        "scenes": preset.steps * preset.batch_size,
        "seconds_from_nothing": round(seconds, 1),
        "steps_per_second_at_the_floor": round(1 / floor_s),
        "ways": ways,
    }


def _rate_steps(
    preset: TrainingPreset, digits: Digits, device: torch.device, *, cuda_graphs: bool
) -> dict[str, float]:
    """Steps per second once all is warm, and the seconds until it is."""
    start = time.perf_counter()
    trainer = Trainer(preset, digits, seed=0, processes=Processes(0, 1, device), cuda_graphs=cuda_graphs)
    # As many as one handwriting lasts, so that each way varies it once; by then all CUDA graphs are captured.
    steps = min(SCENES_PER_AUGMENTATION // preset.batch_size, preset.steps)
    for _ in range(steps):
        trainer.advance()
    wait(device)
    warm = time.perf_counter()
    for _ in range(steps):
        trainer.advance()
    wait(device)
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


def markdown(figures: dict[str, Any]) -> str:
    """What was measured as Markdown: the training, its figures, the rates of steps, the answers."""
    training, columns = figures["training"], COLUMNS[:5]
    batch = training["scenes"] // training["steps"]
    title = (
        f"From nothing to a calibrated model: **{training['seconds_from_nothing']} seconds**, "
        f"{training['steps']:,} steps of {batch} scenes. What it reached on test digits:"
    )
    reached = [
        (f"`{name}`", *(column.show(summary) for column in columns))
        for name, summary in figures["test"].items()
    ]
    ways = [
        (way, rate["steps_per_second"], rate["seconds_until_warm"]) for way, rate in training["ways"].items()
    ]
    answers = [
        (row["batch"], row["way"], f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}",
         f"{row['scenes_per_second']:,}", f"{row['times_the_floor']:,.0f}")
        for row in figures["serving"]
    ]  # fmt: skip
    apart = [
        (
            precision,
            *(f"{figures['provider'][precision][f'largest_difference_of_a_{of}']:.1e}" for of in _APART),
        )
        for precision in ("tf32", "float32")
    ]
    parts = [
        title,
        table(["scenes", *(column.title for column in columns)], reached),
        table(("kernels of a step", "steps/s", "seconds until all is warm"), ways),
        f"At the floor it would be {training['steps_per_second_at_the_floor']:,} steps a second.",
        table(("batch", "by", "p50, ms", "p99, ms", "scenes/s", "times the floor"), answers),
        "How far the CUDA provider is from the CPU's, with the committed model, at most:",
        table(("products in", "probability", "box, px"), apart),
    ]
    return "\n\n".join(parts)
