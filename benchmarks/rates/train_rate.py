"""Training steps per second on the CPU, against the floor of their floating-point operations.

The floor is the time that a step's floating-point operations would take at the machine's measured peak: the
best rate of large matrix products and of a large convolution. A step counts three forward passes, as a
backward pass takes two products for each of the forward pass. Scenes, normalisation, losses and the optimiser
are not in the floor; they are what a step costs beyond it, beside convolutions too small for the peak.
In bfloat16 the refiner's and the classifier's operations count at that precision's peak, all others at that
of float32, in which they stay. Varying the handwriting, once in 1,024 steps, and looking at held-out digits,
once in 500, are not in the rates: they take a few minutes of a whole run. With
`GLIBC_TUNABLES=glibc.malloc.hugetlb=0` before the command huge pages are not asked for.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

import torch

from benchmarks.rates.peaks import peak_convolution, peak_flops
from benchmarks.results import parser, publish
from models.contract import SCENE_SIDE_PX
from scenes.digits import Digits
from scenes.mnist import load_digits
from trainer.errors import CompilerMissingError
from trainer.evaluation.flops import WHOLE, count_flops
from trainer.model import GlimpseModel
from trainer.runtime.distributed import Processes
from trainer.runtime.memory import keep_freed_memory
from trainer.training.presets import Precision, find_training_preset
from trainer.training.step import Trainer

STEPS, ROUNDS, WARM_UP = 24, 9, 8
_PASSES = 3


class Peak(NamedTuple):
    """Rates of this machine at some number of threads, in GFLOP/s, two for each multiply-add."""

    product: float
    convolution: float


class Kind(NamedTuple):
    """What steps are timed: in which precision, and whether "eager" or "compiled"."""

    precision: Precision
    how: str


class Work(NamedTuple):
    """A step's operations, in GFLOP: those that stay in float32 and those that a precision changes."""

    always_float32: float
    in_precision: float


def main(arguments: Sequence[str]) -> None:
    """Measure eager and compiled steps on one and two threads and write the result file."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    options = options_of.parse_args(arguments)
    digits = load_digits("train")
    keep_freed_memory()
    torch.set_flush_denormal(True)
    batch = find_training_preset("cpu").batch_size
    work = count_work(batch)
    figures = {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        peaks = {precision: measure_peak(getattr(torch, precision)) for precision in get_args(Precision)}
        rates = steps_per_second(digits)
        rows = {precision: against_floor(rates, precision, peaks, work) for precision in peaks}
        figures[f"{threads} threads"] = rows
        print(f"{threads} threads: {rows}")
    content = {
        "gflop_per_step": round(work.always_float32 + work.in_precision, 2),
        "of_which_always_float32": round(work.always_float32, 2),
        "batch_size": batch,
        "glibc_tunables": os.environ.get("GLIBC_TUNABLES", ""),
        **figures,
    }
    publish("train_rate", content, threads=max(options.threads))


def count_work(batch: int) -> Work:
    """The floating-point operations of a step of `batch` scenes."""
    model, scene = GlimpseModel().eval(), torch.zeros(1, 1, SCENE_SIDE_PX, SCENE_SIDE_PX)
    flops = count_flops(lambda: model(scene))
    changing = sum(flops[f"{GlimpseModel.__name__}.{part}.features"] for part in ("refiner", "classifier"))
    gflop = _PASSES * batch / 1e9
    return Work(gflop * (flops[WHOLE] - changing), gflop * changing)


def against_floor(
    rates: Mapping[Kind, float], precision: Precision, peaks: Mapping[Precision, Peak], work: Work
) -> dict[str, float]:
    """Rates of eager and compiled steps in one precision, and its floor."""
    peak = peaks[precision]
    floor = 1 / (work.always_float32 / max(peaks["float32"]) + work.in_precision / max(peak))
    row = {
        "peak_product_gflops": round(peak.product, 1),
        "peak_convolution_gflops": round(peak.convolution, 1),
        "floor_steps_per_second": round(floor, 2),
    }
    for kind, rate in rates.items():
        if kind.precision == precision:
            row[f"{kind.how}_steps_per_second"] = round(rate, 2)
            row[f"{kind.how}_share_of_floor"] = round(rate / floor, 3)
    return row


def steps_per_second(digits: Digits) -> dict[Kind, float]:
    """Median over rounds of the rate of whole steps of the `cpu` preset, scenes included.

    The kinds take turns within each round, since a machine that others share is faster at one time than at
    another.
    """
    trainers = {}
    for kind in (Kind(precision, how) for precision in get_args(Precision) for how in ("eager", "compiled")):
        try:
            trainers[kind] = warmed_up(kind, digits)
        except CompilerMissingError as error:
            print(f"{kind.how}: not measured: {error}")
    rates: dict[Kind, list[float]] = {kind: [] for kind in trainers}
    for _ in range(ROUNDS):
        for kind, trainer in trainers.items():
            began = time.perf_counter()
            for _ in range(STEPS):
                trainer.advance()
            rates[kind].append(STEPS / (time.perf_counter() - began))
    return {kind: statistics.median(found) for kind, found in rates.items()}


def warmed_up(kind: Kind, digits: Digits) -> Trainer:
    """A trainer that has made its first steps: it has compiled, where it does, and made a block of scenes."""
    preset = find_training_preset("cpu")
    preset = dataclasses.replace(preset, compiled=kind.how == "compiled", precision=kind.precision)
    trainer = Trainer(preset, digits, seed=0, processes=Processes(0, 1, torch.device("cpu")))
    for _ in range(WARM_UP):
        trainer.advance()
    return trainer


def measure_peak(dtype: torch.dtype = torch.float32) -> Peak:
    """The best rates that are reached on large operands: of a matrix product and of a 3×3 convolution."""
    return Peak(peak_flops(precision=dtype) / 1e9, peak_convolution(dtype) / 1e9)
