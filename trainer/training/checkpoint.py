"""Checkpoints of a run: written whole or not at all, read back exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.files import atomic_write
from trainer.model import CORRECTIONS_SCALE, GlimpseModel
from trainer.training.method import OWN_METHOD, method_of
from trainer.training.old_names import with_current_names

CHECKPOINT_NAME = "checkpoint.pt"


def save_checkpoint(state: dict[str, Any], run: Path) -> None:
    """Replace the run's checkpoint. A process that is killed meanwhile leaves the former one."""
    with atomic_write(run / CHECKPOINT_NAME) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state that a checkpoint, or the checkpoint in a run's folder, holds.

    Raises:
        FileNotFoundError: there is none.
    """
    if path.is_dir():
        path = path / CHECKPOINT_NAME
    if not path.is_file():
        raise FileNotFoundError(f"expected a checkpoint at {path}, but there is none")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    recipe = with_current_names(state["about"]["recipe"])
    return {**state, "about": {**state["about"], "recipe": recipe}}


def load_trained_model(path: Path) -> GlimpseModel:
    """The model with a run's averaged weights, on the CPU, ready to predict.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: it is a run of another method.
    """
    state = load_checkpoint(path)
    method = method_of(state["about"])
    if method != OWN_METHOD:
        raise ValueError(f"{path} holds a run of the method {method}, expected one of {OWN_METHOD}")
    model = GlimpseModel()
    model.load_state_dict(averaged_weights(state))
    return model.eval()


def averaged_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint, under the names that the layers have today.

    Before model 0.6 the first Gaussian's corrections were in another layer, without an output scale.
    """
    weights = dict(state["averaged"])
    for name in ("weight", "bias"):
        if (before := weights.pop(f"attention_network.geometry.2.{name}", None)) is not None:
            weights[f"attention_network.corrections.{name}"] = before / CORRECTIONS_SCALE
    return weights
