"""Learn the foreground of a set of labelled pictures: the critic, then the map, then the check."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.task import Task
from trainer.data.picture_batches import PictureBatches
from trainer.folders.load import Pictures
from trainer.foreground import critic as critics
from trainer.foreground import map_network
from trainer.foreground.check import Check, check
from trainer.foreground.critic import Critic, filling, mixed, random_masks
from trainer.foreground.map_network import MapNetwork, map_losses
from trainer.model import NO_DIGIT
from trainer.runtime.torch_workarounds import backward, use_channels_last
from trainer.training.optimiser import Optimiser

Progress = Callable[[str, int, int], None]
"""Told a stage's name, its steps done, its steps in all."""


@dataclass(frozen=True)
class ForegroundRecipe:
    """How the foreground is learnt.

    `hide_from`: the step from which on the critic sees hidden parts. `area_weights`: of the map's area, tried
    in this order until the check passes; if none passes, the one whose map covers least beyond doubt is kept.
    """

    critic_steps: int = 2_500
    map_steps: int = 600
    batch_size: int = 32
    hide_from: int = 300
    area_ramp: int = 200
    area_weights: tuple[float, ...] = (0.5, 1.0, 0.25)
    learning_rate: float = 3e-3
    muon_learning_rate: float = 0.03
    weight_decay: float = 0.01
    mirror_from: float = 0.9
    """Pictures are mirrored if the critic names mirrored ones rightly at least this share as often."""


class Foreground(NamedTuple):
    """What was learnt: a map of each picture, and what labels say of the maps."""

    maps: Tensor  # uint8 [n, side / 4, side / 4], 0 to 255
    check: Check
    area_weight: float
    mirror: bool


def learn_foreground(
    train: Pictures,
    held_out: Pictures,
    task: Task,
    recipe: ForegroundRecipe,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> Foreground:
    """Learn which pixels are the object's. Neither boxes nor masks are asked for.

    Args:
        train: what is learnt from.
        held_out: what the check is made on.
        task: classes, side and colours of the pictures.
        recipe: how.
        seed: of weights and batches.
        device: where it is learnt.
        progress: told how far it is.
    """
    torch.manual_seed(seed)
    critic = _learn_critic(train, task, recipe, seed=seed, device=device, progress=progress)
    shown = held_out.labels != NO_DIGIT
    images, labels = held_out.images[shown], held_out.labels[shown]
    right, mirrored = (_accuracy(critic, some, labels, device) for some in (images, images.flip(-1)))
    mirror = mirrored >= recipe.mirror_from * right
    tried: list[tuple[Check, MapNetwork, float]] = []
    for weight in recipe.area_weights:
        torch.manual_seed(seed + 1)
        network = _learn_map(
            critic, train, task, recipe, weight, mirror=mirror, seed=seed, device=device, progress=progress
        )
        tried.append((check(network, critic, images, labels, device=device, seed=seed), network, weight))
        if tried[-1][0].localised:
            break
    found, network, weight = max(tried, key=lambda one: (one[0].localised, one[0].kept - one[0].left_out))
    return Foreground(_maps(network, train.images, device), found, weight, mirror)


def _learn_critic(
    train: Pictures,
    task: Task,
    recipe: ForegroundRecipe,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> Critic:
    critic = Critic(task).to(device)
    stream = _stream(train, task, recipe, mirror=False, seed=seed, device=device)
    random = torch.Generator().manual_seed(seed)
    half = recipe.batch_size // 2

    def loss(step: int) -> Tensor:
        batch = stream.batch(step)
        scenes = batch.scenes
        if step >= recipe.hide_from:
            kept = random_masks(half, task.side_px, random).to(device)
            hidden = mixed(scenes[:half], kept, filling(scenes[:half], random))
            scenes = torch.cat([hidden, scenes[half:]])
        return functional.cross_entropy(critic(scenes), batch.labels)

    _minimise(critic, critics.HEADS, loss, recipe, recipe.critic_steps, progress, "critic")
    return critic.eval().requires_grad_(requires_grad=False)


def _learn_map(
    critic: Critic,
    train: Pictures,
    task: Task,
    recipe: ForegroundRecipe,
    weight: float,
    *,
    mirror: bool,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> MapNetwork:
    network = MapNetwork(task).to(device)
    stream = _stream(train, task, recipe, mirror=mirror, seed=seed + 1, device=device)
    random = torch.Generator().manual_seed(seed + 1)

    def loss(step: int) -> Tensor:
        batch = stream.batch(step)
        ramped = weight * min(1.0, step / recipe.area_ramp)
        return map_losses(network, critic, batch.scenes, batch.labels, ramped, random).total

    _minimise(network, map_network.HEADS, loss, recipe, recipe.map_steps, progress, f"map {weight:g}")
    return network.eval().requires_grad_(requires_grad=False)


def _stream(
    train: Pictures, task: Task, recipe: ForegroundRecipe, *, mirror: bool, seed: int, device: torch.device
) -> PictureBatches:
    return PictureBatches(
        train,
        None,
        classes=len(task.classes),
        batch_size=recipe.batch_size,
        seed=seed,
        device=device,
        mirror=mirror,
        without_object=0.0,
    )


def _minimise(
    model: nn.Module,
    heads: tuple[str, ...],
    loss: Callable[[int], Tensor],
    recipe: ForegroundRecipe,
    steps: int,
    progress: Progress,
    stage: str,
) -> None:
    use_channels_last(model)
    optimiser = Optimiser(
        model,
        heads=heads,
        learning_rate=recipe.learning_rate,
        muon_learning_rate=recipe.muon_learning_rate,
        weight_decay=recipe.weight_decay,
    )
    model.train()
    for step in range(steps):
        optimiser.zero_grad()
        backward(loss(step))
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        factor = min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.step(torch.tensor(factor))
        progress(stage, step + 1, steps)


@torch.no_grad()
def _accuracy(critic: Critic, images: Tensor, labels: Tensor, device: torch.device) -> float:
    right = 0
    for some, expected in zip(torch.split(images, 64), torch.split(labels, 64), strict=True):
        right += int((critic(some.to(device).float() / 255).argmax(1).cpu() == expected).sum())
    return right / max(1, len(labels))


@torch.no_grad()
def _maps(network: MapNetwork, images: Tensor, device: torch.device) -> Tensor:
    found = [network(some.to(device).float() / 255)[0][:, 0].cpu() for some in torch.split(images, 64)]
    return (torch.cat(found) * 255).round().to(torch.uint8)


def as_dict(found: Foreground) -> dict[str, float]:
    """The check's figures, for the run's files and the sidecar."""
    return {
        **{name: round(value, 4) for name, value in found.check._asdict().items()},
        "area_weight": found.area_weight,
    }
