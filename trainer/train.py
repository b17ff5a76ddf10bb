"""The training loop: scenes and labels in, a checkpoint with averaged weights out.

Nothing in here, nor in what it imports, knows a true box (`tests/trainer/test_labels_only.py`).
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map_only
from tqdm import tqdm

from scenes.digits import Digits
from scenes.mnist import load_digits
from trainer import provenance
from trainer.averaging import renewal, take_into_average
from trainer.calibrate import calibrate
from trainer.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from trainer.distributed import Processes, join_processes
from trainer.losses import compute_losses
from trainer.memory import keep_freed_memory
from trainer.method import OWN_METHOD, Method, method_of
from trainer.model import HEADS, GlimpseModel, Looks, Windows
from trainer.monitor import Monitor
from trainer.normalisation import share_normalisation
from trainer.optimiser import Optimiser
from trainer.presets import TrainingPreset
from trainer.recording import Recorded
from trainer.validation import label_errors, watched_scenes

RUN_NAME = "run.json"
_BETWEEN_COMMITS = ", "


class CompilerMissingError(RuntimeError):
    """A preset asks for compiled steps, but there is nothing to compile them with."""


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
    pace: Tensor  # of the learning rate; these four are scalars
    ramp: Tensor
    renewal: Tensor
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
        self.scenes = method.scenes(
            preset.mixture,
            digits,
            batch_size=preset.batch_size,
            seed=seed,
            device=self.device,
            rank=processes.rank,
            world=processes.world,
            pasted=preset.pasted,
            without_digit=preset.without_digit,
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
            pace=self._scalar(self._pace()),
            ramp=self._scalar(self._ramp()),
            renewal=self._scalar(renewal(self.step, self.preset.averaging)),
            present=self.scenes.present(self.step),
        )
        learnt: tuple[Any, Any] = self._learn(given)
        self.step += 1
        return learnt

    def _learn_from(self, given: _Given) -> tuple[Any, Any]:
        """The step itself: nothing in here may depend on a number that changes (`trainer.recording`)."""
        self.model.train()
        looks = self._look(given.scenes, given.first, given.second)
        shared = () if given.present is None else (given.present,)
        losses = self._losses(
            looks, given.before_pasting, given.labels, self.preset.weights, given.ramp, *shared
        )
        self._optimiser.zero_grad()
        losses.total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.gradient_clip)
        self._optimiser.step(given.pace)
        take_into_average(self.averaged, self.model, given.renewal)
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

    def _pace(self) -> float:
        """Of the learning rate: linear warm-up, then half a cosine down to nothing."""
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


class TrainingDigits(NamedTuple):
    """What scenes are made of: of `train` to learn from, of `held_out` to watch a run and to calibrate."""

    train: Digits
    held_out: Digits


def train(
    preset: TrainingPreset,
    run: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    method: Method | None = None,
    digits: TrainingDigits | None = None,
) -> Path:
    """Train a preset into the folder `run`, going on from its checkpoint where there is one.

    A run that has come to its end is left as it is.

    Args:
        preset: the recipe.
        run: the run's folder.
        seed: of the weights' start and of the scenes.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        method: what is trained by that recipe; none is the project's own.
        digits: what scenes are made of; none are MNIST's training digits, of which the last are held out.

    Raises:
        ValueError: the folder holds a run of another preset, method or seed, or is not one folder for all
            processes.
        scenes.mnist.DigitsUnavailableError: MNIST is not to be had.
    """
    digits = digits or TrainingDigits(load_digits("train"), load_digits("validation"))
    with join_processes(device) as processes:
        torch.set_flush_denormal(True)
        keep_freed_memory()
        trainer = Trainer(preset, digits.train, seed=seed, processes=processes, method=method)
        earlier = resume(trainer, run, seed)
        if trainer.step == preset.steps:
            return run
        if not processes.leads:
            _follow(trainer)
            return run
        run.mkdir(parents=True, exist_ok=True)
        _lead(trainer, run, describe(trainer, seed, earlier), digits.held_out, earlier.seconds)
    return run


def _follow(trainer: Trainer) -> None:
    """Train to the end beside the process that leads and writes."""
    while trainer.step < trainer.preset.steps:
        losses, looks = trainer.advance()
        if _tells(trainer):
            trainer.processes.average(_values(losses, looks))


def _lead(trainer: Trainer, run: Path, about: dict[str, Any], held_out: Digits, seconds: float) -> None:
    """Train to the end, writing metrics, pictures and checkpoints."""
    preset = trainer.preset
    (run / RUN_NAME).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    watched = watched_scenes(held_out, device=trainer.device)
    began = time.perf_counter() - seconds
    with (
        Monitor(run, trainer.step) as monitor,
        tqdm(total=preset.steps, initial=trainer.step, unit="step", desc=f"train {preset.name}") as bar,
    ):
        while trainer.step < preset.steps:
            losses, looks = trainer.advance()
            bar.update()
            step, last = trainer.step, trainer.step == preset.steps
            if _tells(trainer):
                values = trainer.processes.average(_values(losses, looks))
                values["scenes_per_second"] = step * preset.batch_size / (time.perf_counter() - began)
                bar.set_postfix(loss=f"{values['total']:.3f}", label=f"{values['label']:.3f}")
                monitor.scalars(step, values)
                if isinstance(trainer.averaged, GlimpseModel):
                    monitor.watch(step, trainer.averaged, watched)
            if last:
                calibrate(trainer.averaged, held_out, device=trainer.device)
            if step % preset.checkpoint_every == 0 or last:
                errors = label_errors(trainer.averaged, held_out, device=trainer.device)
                monitor.scalars(step, {f"validation_error/{name}": e for name, e in errors.items()})
                if isinstance(trainer.averaged, GlimpseModel):
                    monitor.pictures(step, trainer.averaged, trainer.scenes.batch(step))
                # Last, so that a kill before it repeats what was told, and a kill after it loses nothing.
                state = {"about": about, "seconds": time.perf_counter() - began, **trainer.state()}
                save_checkpoint(state, run)


def _tells(trainer: Trainer) -> bool:
    """Whether the step that was just made is one whose losses are written down."""
    return trainer.step % trainer.preset.log_every == 0 or trainer.step == trainer.preset.steps


def _values(losses: Any, looks: Any) -> dict[str, float]:
    """What is written down of a step, of this process's share of its batch."""
    values = {name: value.item() for name, value in losses._asdict().items()}
    if isinstance(looks, Looks):
        values["box_width_px"] = looks.gaussian.width_px.mean().item()
        values["box_height_px"] = looks.gaussian.height_px.mean().item()
    return values


class Earlier(NamedTuple):
    """What a run was before this start: the commits of its former starts, and the seconds that they took."""

    commits: tuple[str, ...] = ()
    seconds: float = 0.0


def resume(trainer: Trainer, run: Path, seed: int) -> Earlier:
    """Load the run's checkpoint where there is one.

    Raises:
        ValueError: it is of another preset, seed, method or recipe, or not all processes found the same.
    """
    earlier = _load(trainer, run, seed)
    steps = trainer.processes.gather(trainer.step)
    if len(set(steps)) > 1:
        raise ValueError(
            f"{run}: expected one folder that all processes share, but they found it at steps {steps}"
        )
    return earlier


def _load(trainer: Trainer, run: Path, seed: int) -> Earlier:
    if not (run / CHECKPOINT_NAME).is_file():
        return Earlier()
    state = load_checkpoint(run)
    about = state["about"]
    found = (about["preset"], about["seed"])
    wanted = (trainer.preset.name, seed)
    if found != wanted:
        raise ValueError(
            f"{run} holds a run of preset and seed {found}, expected {wanted}; choose another --run"
        )
    if method_of(about) != trainer.method:
        raise ValueError(
            f"{run} holds a run of the method {method_of(about)}, expected {trainer.method}; "
            "choose another --run"
        )
    changed = recipe_changes(about["recipe"], dataclasses.asdict(trainer.preset))
    if changed:
        raise ValueError(f"{run} holds a run of another recipe: {'; '.join(changed)}. Choose another --run")
    try:
        trainer.load_state(state)
    except RuntimeError as error:  # torch names the layers
        raise ValueError(
            f"{run} holds a run of a model as it was before; choose another --run ({error})"
        ) from error
    return Earlier(tuple(about["commit"].split(_BETWEEN_COMMITS)), float(state["seconds"]))


def recipe_changes(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What makes a run's recipe another one than the wanted, a sentence for each field that differs.

    What a recipe says of its cost and reach makes no difference; the order of a mixture does, for scenes get
    their seeds in that order.
    """
    return [
        f"{key} was {found.get(key, 'not there')}, expected {wanted.get(key, 'not there')}"
        for key in sorted((found.keys() | wanted.keys()) - {"cost", "reach"})
        if key not in found or key not in wanted or json.dumps(found[key]) != json.dumps(wanted[key])
    ]


def describe(trainer: Trainer, seed: int, earlier: Earlier) -> dict[str, Any]:
    """What a run's files say of it: method, recipe, code, machine and versions."""
    processes = trainer.processes
    return {
        "method": trainer.method,
        "preset": trainer.preset.name,
        "seed": seed,
        "commit": _BETWEEN_COMMITS.join(dict.fromkeys([*earlier.commits, provenance.commit()])),
        "command": provenance.command(),
        "hardware": provenance.hardware(processes.device, torch.get_num_threads()),
        "processes": processes.world,
        "versions": provenance.versions(),
        "recipe": dataclasses.asdict(trainer.preset),
    }


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
