"""One training step: scenes and labels in, better weights and their average out.

Neither this file nor what it imports knows a true box (`tests/trainer/test_labels_only.py`).
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
from trainer.model import Windows
from trainer.runtime.cuda_graph import CudaGraphCallable
from trainer.runtime.distributed import Processes
from trainer.runtime.torch_workarounds import backward, use_channels_last
from trainer.training.ema import average_weight, take_into_average
from trainer.training.method import LossFunction, LossTerms, Method, ModelOutput, own_method
from trainer.training.normalisation import share_normalisation
from trainer.training.optimiser import Optimiser
from trainer.training.presets import TrainingPreset
from trainer.training.start import load_start


class _StepInputs(NamedTuple):
    """What changes from step to step: tensors alone, so that a CUDA graph can read them."""

    scenes: Tensor  # [batch, 1, 100, 100]
    ink: Tensor  # likewise
    labels: Tensor  # [batch]
    first: Windows
    second: Windows
    learning_rate_factor: Tensor  # this and what follows are scalars
    ramp: Tensor
    average_weight: Tensor
    present: Tensor | None


class Trainer:
    """The state of a training: weights, their average, the optimiser, the step.

    Args:
        preset: the recipe.
        digits: what scenes are made of.
        seed: of the weights' start and of the scenes.
        processes: this process's place and device.
        method: what is trained; None is the project's own.
        cuda_graphs: whether scenes and steps run as CUDA graphs where one process trains on a GPU.
        start: a model to start from (`trainer.training.start`); None starts from random weights.
    """

    def __init__(
        self,
        preset: TrainingPreset,
        digits: Digits,
        *,
        seed: int,
        processes: Processes,
        method: Method[Any] | None = None,
        cuda_graphs: bool = True,
        start: Path | None = None,
    ) -> None:
        method = method or own_method()
        cuda_graphs = cuda_graphs and processes.device.type == "cuda" and processes.world == 1
        torch.manual_seed(seed)
        self.processes = processes
        self.preset = preset
        self.method = method.name
        self.device = processes.device
        self.step = 0
        self.model = method.build().to(self.device)
        use_channels_last(self.model)
        if start is not None:
            load_start(self.model, start, self._scenes_to_start_on(digits))
        self.averaged = copy.deepcopy(self.model).eval()
        share_normalisation(self.model, processes)
        self._forward, self._losses = _compile(
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
            copy_paste=preset.copy_paste,
            without_digit=preset.without_digit,
            paper_without_digit=preset.paper_without_digit,
            elastic=preset.elastic,
            cuda_graphs=cuda_graphs,
        )
        self._learn = CudaGraphCallable(self._step) if cuda_graphs else self._step

    def advance(self) -> tuple[LossTerms, ModelOutput]:
        """Train on the next batch; returns its losses and the model's output, detached.

        For the project's own method these are `Losses` and `ForwardOutput`.
        """
        batch = self.scenes.batch(self.step)
        inputs = _StepInputs(
            batch.scenes.contiguous(memory_format=torch.channels_last),
            batch.ink,
            batch.labels,
            *self.scenes.windows(self.step),
            learning_rate_factor=self._scalar(self._learning_rate_factor()),
            ramp=self._scalar(self._ramp()),
            average_weight=self._scalar(average_weight(self.step, self.preset.ema_decay)),
            present=self.scenes.present(self.step),
        )
        done = self._learn(inputs)
        self.step += 1
        return done

    def _step(self, inputs: _StepInputs) -> tuple[LossTerms, ModelOutput]:
        """The step itself. A CUDA graph: it may depend on no number that changes but the inputs."""
        self.model.train()
        output = self._forward(inputs.scenes, inputs.first, inputs.second)
        losses = self._losses(
            output, inputs.ink, inputs.labels, self.preset.weights, inputs.ramp, inputs.present
        )
        self._optimiser.zero_grad()
        backward(losses.total)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.gradient_clip)
        self._optimiser.step(inputs.learning_rate_factor)
        take_into_average(self.averaged, self.model, inputs.average_weight)
        detached: tuple[LossTerms, ModelOutput] = tree_map_only(Tensor, Tensor.detach, (losses, output))
        return detached

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the training itself."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state` exactly as if there had been no stop."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])

    def _scenes_to_start_on(self, digits: Digits) -> Tensor:
        """Scenes of the recipe's mixture, the same for all seeds and processes: `[512, 1, 100, 100]`."""
        stream = TrainingScenes(self.preset.mixture, digits, batch_size=512, seed=0, device=self.device)
        return stream.batch(0).scenes

    def _learning_rate_factor(self) -> float:
        """Factor of the highest learning rates: linear warm-up, then half a cosine down to 0."""
        done = self.step / self.preset.steps
        warm = min(1.0, (self.step + 1) / self.preset.warm_up)
        return warm * 0.5 * (1 + math.cos(math.pi * done))

    def _ramp(self) -> float:
        """How far the terms that shape the attention are switched on: 0 to 1."""
        start, stop = self.preset.ramp
        return min(1.0, max(0.0, (self.step - start) / (stop - start)))

    def _scalar(self, value: float) -> Tensor:
        """A number as a tensor. A compiled step or a CUDA graph would take each new number as a constant."""
        return torch.full((), value, device=self.device)


class InPrecision(nn.Module):
    """The model's forward pass in the recipe's precision.

    Autocast is inside what is compiled. Around it, autocast would also cover the whole compiled backward
    pass, including the parts whose forward pass the model keeps in float32.
    """

    def __init__(self, model: nn.Module, preset: TrainingPreset, device: torch.device) -> None:
        super().__init__()
        self.model = model
        self._device, self._enabled = device.type, preset.precision == "bfloat16"

    def forward(
        self, scenes: Tensor, first: Windows | None = None, second: Windows | None = None
    ) -> ModelOutput:
        """As the model's own."""
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._enabled):
            output: ModelOutput = self.model(scenes, first, second)
        return output


def _data_parallel(model: nn.Module, processes: Processes) -> nn.Module:
    if processes.world == 1:
        return model
    devices = [processes.device] if processes.device.type == "cuda" else None
    # No buffers are synchronised in a step: all processes have the same statistics.
    return DistributedDataParallel(model, device_ids=devices, forward_sync_buffers=False)


def _compile(
    model: nn.Module, losses: LossFunction[Any], preset: TrainingPreset, processes: Processes
) -> tuple[Callable[[Tensor, Windows, Windows], ModelOutput], LossFunction[Any]]:
    """The forward pass and the losses, compiled where the preset asks for it.

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
