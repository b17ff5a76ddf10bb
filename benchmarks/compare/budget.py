"""One budget for every method of a comparison, and runs that are trained once and loaded ever after."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from benchmarks.results import parser
from models.contract import SCENE_SIDE_PX
from trainer.data.digits import TrainingDigits, name_digits
from trainer.evaluation.flops import WHOLE, count_flops
from trainer.training.checkpoint import CHECKPOINT_NAME, averaged_weights, load_checkpoint
from trainer.training.loop import recipe_changes, train
from trainer.training.method import Method, method_of
from trainer.training.presets import Precision, TrainingPreset, find_training_preset

RUNS = Path("runs")
_STEPS_WORTH_COMPILING = 500


def comparison_options(
    module: str, doc: str | None, names: list[str], steps: int, scenes: int
) -> argparse.ArgumentParser:
    """The options of a comparison of methods or variants of these names."""
    options = parser(module, doc)
    options.add_argument("--only", nargs="+", choices=names, help="train these, measure nothing")
    options.add_argument("--seeds", nargs="+", type=int, default=[0])
    options.add_argument("--steps", type=int, default=steps, help="of training")
    options.add_argument("--scenes", type=int, default=scenes, help="in each draw")
    options.add_argument("--precision", choices=get_args(Precision), default="float32")
    options.add_argument("--threads", type=int, default=1)
    return options


def recipe(name: str, steps: int, precision: Precision = "float32") -> TrainingPreset:
    """The `cpu` preset, cut short; the learning rates fall to nothing within the fewer steps."""
    return dataclasses.replace(
        find_training_preset("cpu"),
        name=name,
        cost="see the result file",
        reach="see there",
        steps=steps,
        precision=precision,
        compiled=steps >= _STEPS_WORTH_COMPILING,
    )


def trained(
    method: Method[Any], preset: TrainingPreset, run: Path, seed: int, digits: TrainingDigits
) -> nn.Module:
    """The method's averaged model, trained by that recipe; a finished run is loaded, a killed one goes on.

    `digits` are what scenes are made of, as `train` has them.

    Raises:
        ValueError: the folder holds a run of another method, seed or recipe, or on other digits.
    """
    if not _finished(method, preset, run, seed, name_digits(digits)):
        train(preset, run, seed=seed, device="cpu", method=method, digits=digits)
    model = method.build()
    model.load_state_dict(averaged_weights(load_checkpoint(run)))
    return model.eval()


def run_folder(folder: Path, name: str, seed: int) -> Path:
    """Where a comparison's run of that name and seed is kept."""
    return folder / f"{name}-seed{seed}"


def made_at(run: Path) -> str:
    """The commit that a run was made at; the code of a loaded run may be older than what measures it."""
    commit: str = load_checkpoint(run)["about"]["commit"]
    return commit


def cost(model: nn.Module) -> dict[str, float]:
    """Parameters, and millions of floating-point operations for one scene, two for each multiply-add."""
    scene = torch.zeros(1, 1, SCENE_SIDE_PX, SCENE_SIDE_PX)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "mflops": round(count_flops(lambda: model(scene))[WHOLE] / 1e6, 1),
    }


def _finished(
    method: Method[Any], preset: TrainingPreset, run: Path, seed: int, digits: dict[str, str]
) -> bool:
    if not (run / CHECKPOINT_NAME).is_file():
        return False
    state = load_checkpoint(run)
    about = state["about"]
    changed = recipe_changes(about["recipe"], dataclasses.asdict(preset))
    if (learnt_from := about.get("digits")) != digits:
        changed.append(f"digits were {learnt_from}, expected {digits}")
    if changed or (method_of(about), about["seed"]) != (method.name, seed):
        raise ValueError(
            f"{run} holds a run of {method_of(about)}, seed {about['seed']}, expected {method.name}, seed "
            f"{seed}; {'; '.join(changed) or 'the recipe is the same'}; move it away to train anew"
        )
    return bool(state["step"] == preset.steps)
