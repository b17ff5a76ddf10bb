"""Batches of labelled pictures, augmented: another stream than that of scenes, for pictures of one's own."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainer.data.batches import LabelledBatch
from trainer.folders.load import Pictures
from trainer.model import NO_DIGIT, Windows

WITHOUT_OBJECT = 1 / 8
"""Share of the pictures of `none/`, where there are any."""
_SHIFT = 0.12
_LOG_SCALE = 0.2
_BRIGHTNESS, _LOG_CONTRAST, _CAST = 0.1, 0.2, 0.05
_NUMBERS = 10
_BATCHES_PER_SEED = 2**32


class Augmentation(NamedTuple):
    """Random changes of n pictures, each `[n]`."""

    shift_x: Tensor  # in sides of the picture
    shift_y: Tensor
    log_scale: Tensor
    mirrored: Tensor  # −1 or 1
    brightness: Tensor
    log_contrast: Tensor
    cast: Tensor  # [n, 3], of red, green, blue


class PictureBatches:
    """An endless stream of batches in which each class is as frequent as the others.

    Args:
        pictures: what is learnt from.
        ink: the foreground of each picture in [0, 1], uint8 `[n, h, w]` of 0 to 255; None while it is not
            learnt yet: the batches' ink is then 0.
        classes: how many there are.
        batch_size: pictures in a batch.
        seed: the run's seed.
        device: where batches are made.
        mirror: whether half of the pictures are mirrored.
        without_object: share of the pictures without an object, where there are any.
    """

    def __init__(
        self,
        pictures: Pictures,
        ink: Tensor | None,
        *,
        classes: int,
        batch_size: int,
        seed: int,
        device: torch.device,
        mirror: bool = False,
        without_object: float = WITHOUT_OBJECT,
    ) -> None:
        self._pictures, self._ink = pictures, ink
        self._of_class = [(pictures.labels == label).nonzero()[:, 0] for label in range(classes)]
        self._others = (pictures.labels == NO_DIGIT).nonzero()[:, 0]
        self._without_object = without_object if len(self._others) else 0.0
        self._batch_size, self._seed, self._device, self._mirror = batch_size, seed, device, mirror

    def batch(self, step: int) -> LabelledBatch:
        """The batch of that step."""
        random = torch.Generator().manual_seed(self._seed * _BATCHES_PER_SEED + step)
        index = self._choose(random)
        u = torch.rand(self._batch_size, _NUMBERS, generator=random).to(self._device)
        images = self._pictures.images[index].to(self._device).float() / 255
        ink = torch.zeros_like(images[:, :1]) if self._ink is None else self._enlarged(index, images)
        change = self._draw(u)
        return LabelledBatch(
            _recolour(_move(images, change), change),
            _move(ink, change),
            self._pictures.labels[index].to(self._device),
        )

    def windows(self, step: int) -> tuple[Windows, Windows]:
        """Random changes of the two glimpses' windows: as of scenes (`TrainingScenes.windows`)."""
        random = torch.Generator().manual_seed(self._seed * _BATCHES_PER_SEED + step + _BATCHES_PER_SEED // 2)
        u = (2 * torch.rand(2, 3, self._batch_size, generator=random) - 1).to(self._device)
        return (
            Windows(0.15 * u[0, 0], 0.15 * u[0, 1], 0.15 * u[0, 2]),
            Windows(0.05 * u[1, 0], 0.05 * u[1, 1], 0.08 * u[1, 2]),
        )

    def present(self, step: int) -> Tensor | None:  # noqa: ARG002
        """None: pictures are learnt from in one process."""
        return None

    def _choose(self, random: torch.Generator) -> Tensor:
        """Indices of a batch's pictures: a class, then a picture of it, each as probable as the others."""
        u = torch.rand(2, self._batch_size, generator=random)
        absent = torch.rand(self._batch_size, generator=random) < self._without_object
        label = (u[0] * len(self._of_class)).long().clamp(max=len(self._of_class) - 1)
        chosen = torch.empty(self._batch_size, dtype=torch.int64)
        for i in range(self._batch_size):
            members = self._others if absent[i] else self._of_class[int(label[i])]
            chosen[i] = members[int(u[1, i] * len(members))]
        return chosen

    def _enlarged(self, index: Tensor, images: Tensor) -> Tensor:
        assert self._ink is not None
        ink = self._ink[index, None].to(self._device).float() / 255
        return functional.interpolate(ink, size=images.shape[-2:], mode="bilinear", align_corners=False)

    def _draw(self, u: Tensor) -> Augmentation:
        signed = 2 * u - 1
        one = torch.ones_like(u[:, 0])
        return Augmentation(
            shift_x=_SHIFT * signed[:, 0],
            shift_y=_SHIFT * signed[:, 1],
            log_scale=_LOG_SCALE * signed[:, 2],
            mirrored=torch.where(u[:, 3] < 0.5, -one, one) if self._mirror else one,
            brightness=_BRIGHTNESS * signed[:, 4],
            log_contrast=_LOG_CONTRAST * signed[:, 5],
            cast=_CAST * signed[:, 6:9],
        )


def _move(images: Tensor, change: Augmentation) -> Tensor:
    """Pictures `[n, c, h, w]` moved, scaled, mirrored; beyond their edges they are reflected."""
    scale, nothing = torch.exp(-change.log_scale), torch.zeros_like(change.log_scale)
    theta = torch.stack(
        [
            torch.stack([scale * change.mirrored, nothing, 2 * change.shift_x], dim=1),
            torch.stack([nothing, scale, 2 * change.shift_y], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _recolour(images: Tensor, change: Augmentation) -> Tensor:
    """Pictures of other brightness and contrast, and of a slight colour cast."""
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast, shift = torch.exp(change.log_contrast), change.brightness
    cast = change.cast[:, : images.shape[1], None, None] if images.shape[1] > 1 else 0.0
    changed = (images - middle) * contrast[:, None, None, None] + middle + shift[:, None, None, None] + cast
    return changed.clamp(0.0, 1.0)
