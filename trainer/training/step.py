"""One training step: scenes and labels in, better weights and their average out.

Nothing in here, nor in what it imports, knows a true box (`tests/trainer/test_labels_only.py`).
"""

from __future__ import annotations

import copy
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map_only

from scenes.digits import Digits
from trainer.data.training_scenes import TrainingScenes
from trainer.errors import CompilerMissingError
from trainer.losses import compute_losses
from trainer.model import HEADS, GlimpseModel, Windows
from trainer.runtime.cuda_graph import Recorded
from trainer.runtime.distributed import Processes
from trainer.training.ema import average_weight, take_into_average
from trainer.training.method import OWN_METHOD, Method
from trainer.training.normalisation import share_normalisation
from trainer.training.optimiser import Optimiser
from trainer.training.presets import TrainingPreset
from trainer.training.start import load_start


def own_method() -> Method:
    """The project's own method, which is trained where no other is asked for."""
    return Method(OWN_METHOD, GlimpseModel, compute_losses, HEADS)


class _Given(NamedTuple):
    """What a step is given: tensors alone, so that a recorded step can be given others."""

    scenes: Tensor  # [batch, 1, 100, 100]
    before_pasting: Tensor  # likewise
    labels: Tensor  # [batch]
    first: Windows
    second: Windows
    learning_rate_factor: Tensor  # this and what follows are scalars
    ramp: Tensor
    average_weight: Tensor
    present: Tensor | None


class Trainer:
    """All that changes while training: weights, their average, the optimiser, the step.

    Args:
        preset: the recipe.
        digits: what scenes are made of.
        seed: of the weights' start and of the scenes.
        processes: this process's place and device.
        method: what is trained; none is the project's own.
        recorded: whether scenes and steps are recorded as CUDA graphs where one process trains on a GPU.
        start: a model to start from (`trainer.training.start`); none starts from random weights.
    """

    def __init__(
        self,
        preset: TrainingPreset,
        digits: Digits,
        *,
        seed: int,
        processes: Processes,
        method: Method | None = None,
        recorded: bool = True,
        start: Path | None = None,
    ) -> None:
        method = method or own_method()
        recorded = recorded and processes.device.type == "cuda" and processes.world == 1
        torch.manual_seed(seed)
        self.processes = processes
        self.preset = preset
        self.method = method.name
        self.device = processes.device
        self.step = 0
        self.model = method.build().to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if start is not None:
            load_start(self.model, start, self._scenes_to_start_on(digits))
        self.averaged = copy.deepcopy(self.model).eval()
        share_normalisation(self.model, processes)
        self._look, self._losses = _compile(
            _data_parallel(InPrecision(self.model, preset, self.device), processes),
            method.losses,
            preset,
            processes,
        )
        self._optimiser = Optimiser(
            self.model,
            heads=method.heads,
            learning_rate=preset.learning_rate,
            muon_learning_rate=preset.muon_learning_rate,
            weight_decay=preset.weight_decay,
        )
        self.scenes = TrainingScenes(
            preset.mixture,
            digits,
            batch_size=preset.batch_size,
            seed=seed,
            device=self.device,
            rank=processes.rank,
            world=processes.world,
            pasted=preset.pasted,
            without_digit=preset.without_digit,
            paper_without_digit=preset.paper_without_digit,
            warped=preset.warped,
            recorded=recorded,
        )
        self._learn = Recorded(self._learn_from) if recorded else self._learn_from

    def advance(self) -> tuple[Any, Any]:
        """Train on the next batch; returns its losses and the pass that they come from, as the method has it.

        Of the project's own these are `Losses` and `Looks`.
        """
        batch = self.scenes.batch(self.step)
        given = _Given(
            batch.scenes.contiguous(memory_format=torch.channels_last),
            batch.before_pasting,
            batch.labels,
            *self.scenes.windows(self.step),
            learning_rate_factor=self._scalar(self._learning_rate_factor()),
            ramp=self._scalar(self._ramp()),
            average_weight=self._scalar(average_weight(self.step, self.preset.ema_decay)),
            present=self.scenes.present(self.step),
        )
        learnt: tuple[Any, Any] = self._learn(given)
        self.step += 1
        return learnt

    def _learn_from(self, given: _Given) -> tuple[Any, Any]:
        """The step itself. It may depend on no number that changes (`trainer.runtime.cuda_graph`)."""
        self.model.train()
        looks = self._look(given.scenes, given.first, given.second)
        shared = () if given.present is None else (given.present,)
        losses = self._losses(
            looks, given.before_pasting, given.labels, self.preset.weights, given.ramp, *shared
        )
        self._optimiser.zero_grad()
        losses.total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.gradient_clip)
        self._optimiser.step(given.learning_rate_factor)
        take_into_average(self.averaged, self.model, given.average_weight)
        found: tuple[Any, Any] = tree_map_only(Tensor, Tensor.detach, (losses, looks))
        return found

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the training itself."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state` exactly as if there had been no stop."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])

    def _scenes_to_start_on(self, digits: Digits) -> Tensor:
        """Scenes of the recipe's mixture, alike for all seeds and processes: `[512, 1, 100, 100]`."""
        stream = TrainingScenes(self.preset.mixture, digits, batch_size=512, seed=0, device=self.device)
        return stream.batch(0).scenes

    def _learning_rate_factor(self) -> float:
        """Of the highest learning rates: linear warm-up, then half a cosine down to nothing."""
        done = self.step / self.preset.steps
        warm = min(1.0, (self.step + 1) / self.preset.warm_up)
        return warm * 0.5 * (1 + math.cos(math.pi * done))

    def _ramp(self) -> float:
        """How far the terms that shape the attention are switched on: 0 to 1."""
        start, stop = self.preset.ramp
        return min(1.0, max(0.0, (self.step - start) / (stop - start)))

    def _scalar(self, value: float) -> Tensor:
        """A tensor: of a number, a compiled or recorded step would take each new one for a new program."""
        return torch.full((), value, device=self.device)


class InPrecision(nn.Module):
    """The model's pass in the recipe's precision.

    Autocast lies within what is compiled. Around it, it would be that of the whole compiled backward pass,
    also of those parts whose pass the model keeps in float32.
    """

    def __init__(self, model: nn.Module, preset: TrainingPreset, device: torch.device) -> None:
        super().__init__()
        self.model = model
        self._device, self._enabled = device.type, preset.precision == "bfloat16"

    def forward(self, *inputs: Any) -> Any:
        """As the model's own."""
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._enabled):
            return self.model(*inputs)


def _data_parallel(model: nn.Module, processes: Processes) -> nn.Module:
    if processes.world == 1:
        return model
    devices = [processes.device] if processes.device.type == "cuda" else None
    # No buffers are sent about in each step: all processes have the same statistics.
    return DistributedDataParallel(model, device_ids=devices, forward_sync_buffers=False)


def _compile(
    model: nn.Module, losses: Callable[..., Any], preset: TrainingPreset, processes: Processes
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The model's pass and the losses, compiled where the preset asks for it.

    Raises:
        CompilerMissingError: there is no C++ compiler, which compiled training on a processor needs.
    """
    if not preset.compiled:
        return model, losses
    if processes.device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise CompilerMissingError(
            f"preset {preset.name} compiles its training steps: expected a C++ compiler (Debian's package "
            "g++, or CXX naming one), but there is none; --eager trains without, a little slower"
        )
    return torch.compile(model), torch.compile(losses)
