"""Training scenes, made on the device, as images and labels: the truth about places stays in here.

A batch is a pure function of the run's seed and the step, so a resumed run sees what an unbroken one would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from models.contract import SCENE_SIDE_PX
from scenes.digits import Digits, digits_like
from scenes.draw import draw
from scenes.frame import centre_in_frame
from scenes.presets import Preset, find_preset
from scenes.random import uniform
from scenes.render import render
from trainer.model import Windows

_SEEDS_PER_RUN = 2**40
_STEPS_PER_BLOCK = 8
_FIRST_WINDOW_STREAM = 101
_SECOND_WINDOW_STREAM = 102


class LabelledBatch(NamedTuple):
    """All that training ever gets to see of a batch."""

    scenes: Tensor  # [batch, 1, 100, 100], intensities in [0, 1]
    labels: Tensor  # [batch], classes


class TrainingScenes:
    """An endless stream of batches, mixed from scene presets in fixed shares.

    Args:
        mixture: share of each scene preset; the shares sum to 1.
        digits: the training digits, on NumPy.
        batch_size: scenes in a batch over all processes together.
        seed: the run's seed.
        device: where scenes are made.
        rank: this process among `world`; it gets every `world`-th scene of each batch.
        world: how many processes train together.

    Raises:
        ValueError: an unknown preset, shares that do not sum to 1, a batch that the processes cannot share.
    """

    def __init__(
        self,
        mixture: Mapping[str, float],
        digits: Digits,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if abs(sum(mixture.values()) - 1) > 1e-6:
            raise ValueError(f"mixture: expected shares that sum to 1, got {dict(mixture)}")
        if batch_size % world:
            raise ValueError(f"batch_size: expected a multiple of {world} processes, got {batch_size}")
        self._seed, self._batch_size, self._device = seed, batch_size, device
        self._mine = torch.arange(rank, batch_size, world, device=device)
        self._digits = digits_like(torch.zeros(0, device=device), digits)
        self._parts = _share_out(mixture, batch_size, rank, world)
        self._block: tuple[int, LabelledBatch] | None = None

    def batch(self, step: int) -> LabelledBatch:
        """The batch of that step, this process's scenes of it."""
        number, within = divmod(step, _STEPS_PER_BLOCK)
        if self._block is None or self._block[0] != number:
            self._block = number, self._render_block(number)
        scenes, labels = self._block[1]
        return LabelledBatch(scenes[within], labels[within])

    def windows(self, step: int) -> tuple[Windows, Windows]:
        """Random changes of the two glimpses' windows at that step.

        The first moves by up to 15 % of its side and scales by up to 15 %, so that the refiner learns to
        correct; the second by 5 % and 8 %, so that the classifier does not depend on a perfect box.
        """
        seeds = self._seeds(step, 1)[0, self._mine]
        return (
            _windows(uniform(seeds, _FIRST_WINDOW_STREAM, 3), shift=0.15, log_scale=0.15),
            _windows(uniform(seeds, _SECOND_WINDOW_STREAM, 3), shift=0.05, log_scale=0.08),
        )

    def _render_block(self, number: int) -> LabelledBatch:
        """Several steps' scenes at once, `[steps, batch, …]`: small batches cost more calls than work."""
        seeds = self._seeds(number * _STEPS_PER_BLOCK, _STEPS_PER_BLOCK)[:, self._mine]
        images, labels, start = [], [], 0
        for preset, count in self._parts:
            parameters = draw(preset, seeds[:, start : start + count].flatten(), self._digits)
            scenes = centre_in_frame(render(parameters, self._digits), SCENE_SIDE_PX)
            images.append(scenes.unflatten(0, (_STEPS_PER_BLOCK, count)))
            labels.append(parameters.label.unflatten(0, (_STEPS_PER_BLOCK, count)))
            start += count
        return LabelledBatch(torch.cat(images, dim=1)[:, :, None], torch.cat(labels, dim=1))

    def _seeds(self, step: int, steps: int) -> Tensor:
        """Seeds of whole batches: int64 `[steps, batch_size]`."""
        first = self._seed * _SEEDS_PER_RUN + step * self._batch_size
        count = steps * self._batch_size
        return torch.arange(first, first + count, device=self._device).view(steps, self._batch_size)


def _windows(u: Tensor, *, shift: float, log_scale: float) -> Windows:
    centred = 2 * u - 1
    return Windows(shift * centred[:, 0], shift * centred[:, 1], log_scale * centred[:, 2])


def _share_out(
    mixture: Mapping[str, float], batch_size: int, rank: int, world: int
) -> list[tuple[Preset, int]]:
    """How many scenes of each preset this process makes for a batch; each takes every `world`-th scene."""
    parts, share, start = [], 0.0, 0
    for name, fraction in mixture.items():
        share += fraction
        stop = round(share * batch_size)
        count = len(range(start + (rank - start) % world, stop, world))
        if count:
            parts.append((find_preset(name), count))
        start = stop
    return parts
