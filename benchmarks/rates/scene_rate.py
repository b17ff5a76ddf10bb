"""Scenes made per second, 256 at a time, on one CPU thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.results import parser, publish
from scenes.backend import Array
from scenes.digits import Digits, digits_like
from scenes.draw import draw
from scenes.mnist import load_digits
from scenes.presets import PRESETS, Preset
from scenes.render import render
from trainer.runtime.memory import keep_freed_memory

BATCH = 256
ROUNDS = 7
BATCHES_PER_ROUND = 8


def main(arguments: Sequence[str]) -> None:
    """Measure NumPy and torch on every scene preset and write the result file."""
    parser(__name__, __doc__).parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    digits = load_digits("validation")
    figures = {}
    for preset in PRESETS.values():
        figures[preset.name] = {
            "torch": round(scenes_per_second(preset, digits, torch.arange)),
            "numpy": round(scenes_per_second(preset, digits, np.arange)),
        }
        print(f"{preset.name:>14}: " + ", ".join(f"{k} {v:,}/s" for k, v in figures[preset.name].items()))
    publish("scene_rate", figures)


def scenes_per_second(preset: Preset, digits: Digits, arange: Callable[[int, int], Array]) -> float:
    """Median over rounds of the rate at which batches are drawn and rendered; two batches warm up."""
    prepared = digits_like(arange(0, BATCH), digits)

    def make(first: int, batches: int) -> None:
        for i in range(batches):
            seeds = arange(first + i * BATCH, first + (i + 1) * BATCH)
            render(draw(preset, seeds, prepared), prepared)

    make(0, 2)
    rates = []
    for i in range(ROUNDS):
        began = time.perf_counter()
        make(i * BATCHES_PER_ROUND * BATCH, BATCHES_PER_ROUND)
        rates.append(BATCHES_PER_ROUND * BATCH / (time.perf_counter() - began))
    return statistics.median(rates)
