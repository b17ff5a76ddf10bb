"""A training run: steps from nothing or from its checkpoint to its end, with what it writes down on its way.

Nothing in here, nor in what it imports, knows a true box (`tests/trainer/test_labels_only.py`).
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
from trainer.model import GlimpseModel, Looks
from trainer.runtime import provenance
from trainer.runtime.distributed import join_processes
from trainer.runtime.memory import keep_freed_memory
from trainer.training.calibrate import calibrate
from trainer.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from trainer.training.method import Method, method_of
from trainer.training.monitor import Monitor
from trainer.training.presets import TrainingPreset
from trainer.training.snapshots import keep_moment, learning_scenes, moments
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
    method: Method | None = None,
    digits: TrainingDigits | None = None,
    start: Path | None = None,
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
        start: an exported model or a run whose weights are gone on from; none starts from random ones.

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
    shown, kept = learning_scenes(held_out, device=trainer.device), moments(preset.steps)
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
            if step in kept and isinstance(trainer.averaged, GlimpseModel):
                keep_moment(run, step, trainer.averaged, shown)
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


class Origin(NamedTuple):
    """What a run learns from: its digits, as `name_digits` names them, and where its weights started."""

    digits: dict[str, str]
    start: dict[str, str] | None = None


class Earlier(NamedTuple):
    """What a run was before this start: how often it was started, at which commits, how long it took."""

    commits: tuple[str, ...] = ()
    seconds: float = 0.0
    starts: int = 0


def resume(trainer: Trainer, run: Path, seed: int, origin: Origin) -> Earlier:
    """Load the run's checkpoint where there is one.

    Args:
        trainer: what goes on from there.
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

    What a recipe says of its cost and reach makes no difference; the order of a mixture does, for scenes get
    their seeds in that order.
    """
    return [
        f"{key} was {found.get(key, 'not there')}, expected {wanted.get(key, 'not there')}"
        for key in sorted((found.keys() | wanted.keys()) - {"cost", "reach"})
        if key not in found or key not in wanted or json.dumps(found[key]) != json.dumps(wanted[key])
    ]


def describe(trainer: Trainer, seed: int, earlier: Earlier, origin: Origin) -> dict[str, Any]:
    """What a run's files say of it: method, recipe, digits, start, code, machine and versions."""
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
