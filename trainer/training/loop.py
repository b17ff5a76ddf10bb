"""A training run: steps from the start or from a checkpoint to the end, with logs and checkpoints.

Neither this file nor what it imports knows a true box (`tests/trainer/test_labels_only.py`).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from scenes.digits import Digits
from trainer.data.digits import TrainingDigits, mnist_digits, name_digits
from trainer.model import ForwardOutput, GlimpseModel
from trainer.runtime import provenance
from trainer.runtime.distributed import join_processes
from trainer.runtime.memory import keep_freed_memory
from trainer.training.calibrate import calibrate
from trainer.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from trainer.training.method import LossTerms, Method, ModelOutput, method_of
from trainer.training.monitor import Monitor
from trainer.training.presets import TrainingPreset
from trainer.training.snapshots import save_snapshot, snapshot_scenes, snapshot_steps
from trainer.training.start import describe_start
from trainer.training.step import Trainer
from trainer.training.validation import label_errors, watched_scenes

RUN_NAME = "run.json"
_BETWEEN_COMMITS = ", "


def train(
    preset: TrainingPreset,
    run: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    method: Method[Any] | None = None,
    digits: TrainingDigits | None = None,
    start: Path | None = None,
) -> Path:
    """Train a preset into the folder `run`, from its checkpoint if there is one.

    A finished run stays as it is.

    Args:
        preset: the recipe.
        run: the run's folder.
        seed: of the weights' start and of the scenes.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        method: what is trained by that recipe; None is the project's own.
        digits: what scenes are made of; None is MNIST's training digits, of which the last are held out.
        start: an exported model or a run whose weights to start from; None starts from random weights.

    Raises:
        FileNotFoundError: there is no such start.
        ValueError: the folder holds a run of another preset, method, seed or start or on other digits, or is
            not one folder for all processes; or the start is of another architecture.
        scenes.mnist.DigitsUnavailableError: MNIST is not to be had.
    """
    digits = digits or mnist_digits()
    origin = Origin(name_digits(digits), describe_start(start) if start is not None else None)
    with join_processes(device) as processes:
        torch.set_flush_denormal(True)
        keep_freed_memory()
        trainer = Trainer(preset, digits.train, seed=seed, processes=processes, method=method, start=start)
        earlier = resume(trainer, run, seed, origin)
        if trainer.step == preset.steps:
            return run
        if not processes.leads:
            _follow(trainer)
            return run
        run.mkdir(parents=True, exist_ok=True)
        _lead(trainer, run, describe(trainer, seed, earlier, origin), digits.held_out, earlier.seconds)
    return run


def _follow(trainer: Trainer) -> None:
    """Train to the end in a process that writes nothing."""
    while trainer.step < trainer.preset.steps:
        losses, output = trainer.advance()
        if _is_logged(trainer):
            trainer.processes.average(_values(losses, output))


def _lead(trainer: Trainer, run: Path, about: dict[str, Any], held_out: Digits, seconds: float) -> None:
    """Train to the end, writing metrics, pictures and checkpoints."""
    preset = trainer.preset
    (run / RUN_NAME).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    watched = watched_scenes(held_out, device=trainer.device)
    shown, kept = snapshot_scenes(held_out, device=trainer.device), snapshot_steps(preset.steps)
    began = time.perf_counter() - seconds
    with (
        Monitor(run, trainer.step) as monitor,
        tqdm(total=preset.steps, initial=trainer.step, unit="step", desc=f"train {preset.name}") as bar,
    ):
        while trainer.step < preset.steps:
            losses, output = trainer.advance()
            bar.update()
            step, last = trainer.step, trainer.step == preset.steps
            if _is_logged(trainer):
                values = trainer.processes.average(_values(losses, output))
                values["scenes_per_second"] = step * preset.batch_size / (time.perf_counter() - began)
                bar.set_postfix(loss=f"{values['total']:.3f}", label=f"{values['label']:.3f}")
                monitor.scalars(step, values)
                if isinstance(trainer.averaged, GlimpseModel):
                    monitor.watch(step, trainer.averaged, watched)
            if step in kept and isinstance(trainer.averaged, GlimpseModel):
                save_snapshot(run, step, trainer.averaged, shown)
            if last:
                calibrate(trainer.averaged, held_out, device=trainer.device)
            if step % preset.checkpoint_every == 0 or last:
                errors = label_errors(trainer.averaged, held_out, device=trainer.device)
                monitor.scalars(step, {f"validation_error/{name}": e for name, e in errors.items()})
                if isinstance(trainer.averaged, GlimpseModel):
                    monitor.pictures(step, trainer.averaged, trainer.scenes.batch(step))
                # Last: after a kill before this line the logs are written again, after it nothing is lost.
                state = {"about": about, "seconds": time.perf_counter() - began, **trainer.state()}
                save_checkpoint(state, run)


def _is_logged(trainer: Trainer) -> bool:
    """Whether the losses of the last step are logged."""
    return trainer.step % trainer.preset.log_every == 0 or trainer.step == trainer.preset.steps


def _values(losses: LossTerms, output: ModelOutput) -> dict[str, float]:
    """What is logged of a step, for this process's share of its batch."""
    values = {name: value.item() for name, value in losses._asdict().items()}
    if isinstance(output, ForwardOutput):
        values["box_width_px"] = output.gaussian.width_px.mean().item()
        values["box_height_px"] = output.gaussian.height_px.mean().item()
    return values


class Origin(NamedTuple):
    """What a run learns from: its digits, as `name_digits` names them, and its first weights."""

    digits: dict[str, str]
    start: dict[str, str] | None = None


class Earlier(NamedTuple):
    """The former starts of a run: their number, commits and time."""

    commits: tuple[str, ...] = ()
    seconds: float = 0.0
    starts: int = 0


def resume(trainer: Trainer, run: Path, seed: int, origin: Origin) -> Earlier:
    """Load the run's checkpoint where there is one.

    Args:
        trainer: what continues from there.
        run: the run's folder.
        seed: of the run.
        origin: what the run learns from.

    Raises:
        ValueError: it is of another preset, seed, method, recipe or start or on other digits, or not all
            processes found the same.
    """
    earlier = _load(trainer, run, seed, origin)
    steps = trainer.processes.gather(trainer.step)
    if len(set(steps)) > 1:
        raise ValueError(
            f"{run}: expected one folder that all processes share, but they found it at steps {steps}"
        )
    return earlier


def _load(trainer: Trainer, run: Path, seed: int, origin: Origin) -> Earlier:
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
    for name, expected in origin._asdict().items():
        if (learnt_from := about.get(name)) != expected:
            raise ValueError(
                f"{run} holds a run of other {name}: {learnt_from}, expected {expected}; choose another --run"
            )
    try:
        trainer.load_state(state)
    except RuntimeError as error:  # torch names the layers
        raise ValueError(
            f"{run} holds a run of a model as it was before; choose another --run ({error})"
        ) from error
    commits = tuple(about["commit"].split(_BETWEEN_COMMITS))
    return Earlier(commits, float(state["seconds"]), about.get("starts", 1))


def recipe_changes(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What makes a run's recipe another one than the wanted, a sentence for each field that differs.

    Cost and reach make no difference. The order of a mixture does: scenes get their seeds in that order.
    """
    return [
        f"{key} was {found.get(key, 'not there')}, expected {wanted.get(key, 'not there')}"
        for key in sorted((found.keys() | wanted.keys()) - {"cost", "reach"})
        if key not in found or key not in wanted or json.dumps(found[key]) != json.dumps(wanted[key])
    ]


def describe(trainer: Trainer, seed: int, earlier: Earlier, origin: Origin) -> dict[str, Any]:
    """The description of a run in its files: method, recipe, digits, start, code, machine and versions."""
    processes = trainer.processes
    return {
        "method": trainer.method,
        "preset": trainer.preset.name,
        "seed": seed,
        **origin._asdict(),
        "commit": _BETWEEN_COMMITS.join(dict.fromkeys([*earlier.commits, provenance.commit()])),
        "command": provenance.command(),
        "hardware": provenance.hardware(processes.device, torch.get_num_threads()),
        "processes": processes.world,
        "starts": earlier.starts + 1,
        "versions": provenance.versions(),
        "recipe": dataclasses.asdict(trainer.preset),
    }
