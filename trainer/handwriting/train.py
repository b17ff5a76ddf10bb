"""Training in two stages: first codes to write digits from, then a prior to draw codes from.

Each stage writes a checkpoint. A stopped run continues with the first stage that has none.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.files import atomic_write
from scenes.mnist import load_digits
from trainer.handwriting.losses import divergence, reconstruction, velocity_error
from trainer.handwriting.model import Codes, Encoder, Flow, Gaussians, Writer
from trainer.handwriting.presets import WriterPreset
from trainer.runtime import provenance
from trainer.runtime.memory import keep_freed_memory
from trainer.runtime.torch_workarounds import backward, use_channels_last
from trainer.training.ema import average_weight, take_into_average

LAST_STAGE = "2-prior"
_WARM_UP = 300


class RealDigits(NamedTuple):
    """Real digits: uint8 `[m, 1, 28, 28]`, and their classes, int64 `[m]`."""

    pictures: Tensor
    classes: Tensor

    def batches(self, size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Intensities in [0, 1] and classes, each digit once an epoch, in a new order each time."""
        per_epoch = len(self.classes) // size
        order = torch.arange(len(self.classes))
        for step in range(steps):
            if step % per_epoch == 0:
                order = torch.randperm(len(self.classes))
            chosen = order[step % per_epoch * size :][:size]
            yield self.pictures[chosen].float() / 255, self.classes[chosen]


class WriterTrainer:
    """The state that both stages share: digits, encoder and writer."""

    def __init__(self, preset: WriterPreset, digits: RealDigits) -> None:
        self.preset = preset
        self.digits = digits
        self.encoder = Encoder()
        use_channels_last(self.encoder)
        self.writer = Writer(Flow() if preset.flow_steps else Gaussians())
        use_channels_last(self.writer.decoder)

    def learn_codes(self) -> None:
        """Train the encoder and the decoder as a variational autoencoder."""
        preset, decoder = self.preset, self.writer.decoder
        descent = _Descent([self.encoder, decoder], preset.learning_rate, preset.code_steps)
        for pictures, classes in descent.over(
            self.digits.batches(preset.batch_size, preset.code_steps), "codes"
        ):
            codes = self.encoder(pictures, classes)
            error = reconstruction(decoder(classes, codes.sample()), pictures)
            far = divergence(codes)
            descent.step(error + preset.divergence_weight * far, error=error, divergence=far)

    def learn_prior(self) -> None:
        """Learn the distribution of the codes of all digits."""
        codes = self._all_codes()
        if isinstance(self.writer.prior, Flow):
            self._learn_flow(self.writer.prior, codes)
        else:
            self.writer.prior.fit(codes.sample(), self.digits.classes)

    def _learn_flow(self, flow: Flow, codes: Codes) -> None:
        preset = self.preset
        average = copy.deepcopy(flow)
        descent = _Descent([flow], preset.learning_rate, preset.flow_steps)
        for step in descent.over(range(preset.flow_steps), "flow"):
            chosen = torch.randint(len(self.digits.classes), (preset.flow_batch_size,))
            drawn = Codes(codes.mean[chosen], codes.log_variance[chosen]).sample()
            error = velocity_error(flow, drawn, self.digits.classes[chosen])
            descent.step(error, error=error)
            take_into_average(average, flow, average_weight(step, preset.ema_decay))
        flow.load_state_dict(average.state_dict())

    @torch.no_grad()
    def _all_codes(self) -> Codes:
        """The codes of all digits: `[m, CODE_SIZE]`."""
        pairs = zip(*(torch.split(values, 1000) for values in self.digits), strict=True)
        parts = [self.encoder(pictures.float() / 255, classes) for pictures, classes in pairs]
        return Codes(*(torch.cat(part) for part in zip(*parts, strict=True)))


class _Descent:
    """An optimiser with its schedule: a short warm-up, then half a cosine down to 0."""

    def __init__(self, modules: list[nn.Module], rate: float, steps: int) -> None:
        self._weights = [weight for module in modules for weight in module.parameters()]
        self._optimiser = torch.optim.AdamW(self._weights, betas=(0.9, 0.99), weight_decay=1e-4)
        self._rate, self._steps, self._done = rate, steps, 0
        self._bar: tqdm[Any] | None = None

    def over(self, batches: Any, title: str) -> Iterator[Any]:
        """The batches, with a progress bar that shows the values given to `step`."""
        self._bar = tqdm(batches, desc=title, total=self._steps, unit="step")
        yield from self._bar

    def step(self, loss: Tensor, **shown: Tensor) -> None:
        """One optimiser step on a loss."""
        warm = min(1.0, (self._done + 1) / _WARM_UP)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * warm * 0.5 * (1 + math.cos(math.pi * self._done / self._steps))
        self._optimiser.zero_grad()
        backward(loss)
        nn.utils.clip_grad_norm_(self._weights, 5.0)
        self._optimiser.step()
        self._done += 1
        if self._bar is not None and self._done % 50 == 0:
            self._bar.set_postfix({name: f"{value.item():.3f}" for name, value in shown.items()})


def train(preset: WriterPreset, run: Path, *, seed: int = 0) -> Path:
    """Train a preset into the folder `run`.

    Raises:
        ValueError: the folder holds a run of another recipe or seed.
        scenes.mnist.DigitsUnavailableError: MNIST is not to be had.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()
    torch.manual_seed(seed)
    trainer = WriterTrainer(preset, load_real_digits())
    state = {**_describe(preset, seed), "seconds": 0.0}
    stages: dict[str, Callable[[], None]] = {
        "1-codes": trainer.learn_codes,
        LAST_STAGE: trainer.learn_prior,
    }
    run.mkdir(parents=True, exist_ok=True)
    for number, (name, learn) in enumerate(stages.items(), start=1):
        path = run / f"{name}.pt"
        if path.is_file():
            state = _resume(trainer, path, state)
        else:
            began = time.perf_counter()
            learn()
            state["seconds"] += time.perf_counter() - began
            state["encoder"] = trainer.encoder.state_dict()
            state["writer"] = trainer.writer.state_dict()
            with atomic_write(path) as temporary:
                torch.save(state, temporary)
        torch.manual_seed(seed + number)  # so that a resumed run is the same
    return run


def _resume(trainer: WriterTrainer, path: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Load the weights of a finished stage; returns its state."""
    state: dict[str, Any] = torch.load(path, weights_only=True)
    if (state["recipe"], state["about"]["seed"]) != (wanted["recipe"], wanted["about"]["seed"]):
        raise ValueError(f"{path} is of another recipe or seed; choose another --run")
    trainer.encoder.load_state_dict(state["encoder"])
    trainer.writer.load_state_dict(state["writer"])
    return state


def _describe(preset: WriterPreset, seed: int) -> dict[str, Any]:
    recipe = dataclasses.asdict(preset)
    for words in ("cost", "reach"):
        del recipe[words]
    about = {
        "preset": preset.name,
        "seed": seed,
        "commit": provenance.commit(),
        "command": provenance.command(),
        "hardware": provenance.hardware(torch.device("cpu"), torch.get_num_threads()),
        "versions": provenance.versions(),
    }
    return {"recipe": recipe, "about": about}


def load_real_digits() -> RealDigits:
    """MNIST's 60,000 training digits."""
    parts = [load_digits("train"), load_digits("validation")]
    pictures = np.concatenate([part.images for part in parts])[:, None]
    classes = np.concatenate([part.labels for part in parts])
    return RealDigits(torch.from_numpy(pictures), torch.from_numpy(classes))
