"""A recipe, digits and a run that are small enough for a test, and a way to train in a process of its own."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from scenes.digits import Digits, make_digits
from trainer.data.batches import LabelledBatch
from trainer.data.training_scenes import TrainingScenes
from trainer.model import GlimpseModel
from trainer.runtime.distributed import Processes
from trainer.training.method import own_method
from trainer.training.presets import PRESETS, TrainingPreset

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300
Pictures = npt.NDArray[np.uint8]
ALONE = Processes(0, 1, torch.device("cpu"))

TINY = dataclasses.replace(
    PRESETS["smoke"], steps=6, batch_size=8, elastic=True, ramp=(1, 4), checkpoint_every=3, log_every=1
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, and nothing of a training run left behind in the process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def bar_digits(split: str = "train") -> Digits:
    """Digits that need no data set: a bar of its own slope for each class, at six places each."""
    images = np.zeros((60, 28, 28), np.uint8)
    rows, columns = np.mgrid[0:28, 0:28] - 13.5
    for index in range(60):
        angle = np.pi * (index % 10) / 10
        shift = (index // 10 - 2.5) / 2 + (0.2 if split == "validation" else 0)
        across = columns * np.cos(angle) + rows * np.sin(angle) - shift
        along = rows * np.cos(angle) - columns * np.sin(angle)
        ink = np.clip(2.5 - np.abs(across), 0, 1) * np.clip(9.5 - np.abs(along), 0, 1)
        images[index] = np.rint(255 * ink)
    return make_digits(images, np.arange(60) % 10)


def train_on_bars(patch: pytest.MonkeyPatch) -> None:
    """Let `train` need no data set, and look at few held-out scenes: one block for each figure."""
    patch.setattr("trainer.data.digits.load_digits", bar_digits)
    patch.setattr("trainer.data.digits.NON_DIGITS", 6)
    patch.setattr("trainer.data.digits.HELD_OUT_NON_DIGITS", 4)
    patch.setattr("trainer.training.validation._BATCH", 10)
    for module in ("trainer.training.validation", "trainer.training.calibrate"):
        patch.setattr(f"{module}._SCENES", 80)


def train_in_double(patch: pytest.MonkeyPatch) -> None:
    """Let `train` compute in double precision, in which rounding does not hide what differs otherwise."""
    batch = TrainingScenes.batch

    def double_batch(self: TrainingScenes, step: int) -> LabelledBatch:
        scenes, ink, labels = batch(self, step)
        return LabelledBatch(scenes.double(), ink.double(), labels)

    method = dataclasses.replace(own_method(), build=lambda: GlimpseModel().double())
    patch.setattr(TrainingScenes, "batch", double_batch)
    patch.setattr("trainer.training.step.own_method", lambda: method)
    patch.setattr(torch.Tensor, "float", torch.Tensor.double)  # the model asks for at least single precision


def run_script(
    text: str, folder: Path, *launcher: str, recipe: TrainingPreset = TINY
) -> subprocess.CompletedProcess[str]:
    """Run a Python text in a process of its own, with `train` on bar digits and `preset` as recipe."""
    script = folder / "script.py"
    changes = {
        name: getattr(recipe, name)
        for name in ("steps", "batch_size", "ramp", "without_digit", "checkpoint_every", "log_every")
    }
    script.write_text(
        "import dataclasses, os, signal, sys\n"
        "from pathlib import Path\n"
        "import torch\n"
        "import trainer.training.loop as loop\n"
        "import pytest\n"
        "from tests.trainer.tiny import TINY, train_on_bars\n"
        "torch.set_num_threads(1)\n"
        "train_on_bars(pytest.MonkeyPatch())\n"
        f"preset = dataclasses.replace(TINY, **{changes!r})\n"
        f"folder = Path({str(folder)!r})\n" + textwrap.dedent(text),
        encoding="utf-8",
    )
    command = [sys.executable, *launcher, str(script)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said, complained = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.terminate()  # torchrun takes its workers along, whom a kill would leave behind
            raise
    return subprocess.CompletedProcess(command, process.returncode, said, complained)
