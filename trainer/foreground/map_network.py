"""The map network: which pixels are the object's, so that the critic can name what they show.

Three terms, from labels alone: −log p(label) of what the map keeps, −log(1 − p(label)) of what it leaves out,
and ½ log of its area. Without the second the map may be a part of the object, without the third it may be the
whole picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.task import Task
from trainer.foreground.critic import Critic, filling, mixed
from trainer.model import Trunk

HEADS = ("map", "classes")
_MERGED = 48
_LEAST_AREA = 0.02
_ALMOST_ONE = 1.001
"""Bounds −log(1 − p) where the critic is sure."""


class MapNetwork(Trunk):
    """The attention network's trunk with a map on top; a class head beside it keeps features that name."""

    def __init__(self, task: Task) -> None:
        super().__init__(task, _MERGED)
        self.map = nn.Conv2d(_MERGED, 1, 3, padding=1)
        self.classes = nn.Linear(_MERGED, len(task.classes))

    def forward(self, scenes: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures `[batch, channels, side, side]` to maps `[batch, 1, side / 4, side / 4]`, class logits."""
        features = self.merge(scenes)
        return torch.sigmoid(self.map(features)), self.classes(features.mean(dim=(2, 3)))


class MapLosses(NamedTuple):
    """The terms, unweighted, and their weighted sum; each a scalar."""

    total: Tensor
    kept: Tensor
    left_out: Tensor
    log_area: Tensor
    label: Tensor


def map_losses(
    network: MapNetwork,
    critic: Critic,
    scenes: Tensor,
    labels: Tensor,
    area_weight: float,
    random: torch.Generator,
) -> MapLosses:
    """The terms for one batch of pictures that all show an object.

    Args:
        network: what learns.
        critic: it judges and does not learn.
        scenes: intensities in [0, 1], `[batch, channels, side, side]`.
        labels: classes, int64 `[batch]`.
        area_weight: of the log of the map's area.
        random: of the filling.
    """
    maps, logits = network(scenes)
    shown = functional.interpolate(maps, size=scenes.shape[-2:], mode="bilinear", align_corners=False)
    fill = filling(scenes, random)
    kept = functional.cross_entropy(critic(mixed(scenes, shown, fill)), labels)
    others = critic(mixed(scenes, 1 - shown, fill)).softmax(dim=1).gather(1, labels[:, None])[:, 0]
    left_out = -torch.log(_ALMOST_ONE - others).mean()
    log_area = torch.log(maps.mean(dim=(1, 2, 3)) + _LEAST_AREA).mean()
    label = functional.cross_entropy(logits, labels)
    return MapLosses(kept + left_out + area_weight * log_area + label, kept, left_out, log_area, label)
