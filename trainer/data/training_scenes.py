"""Training scenes, made on the device, as images and labels. Where the digits are stays in here.

A batch is a pure function of the run's seed and the step. So a resumed run sees the batches of an unbroken
one.

Copy-paste augmentation adds clutter to some scenes. The network sees the scene with it; the losses that fit
the box to the ink see the plain scene. So the network learns to leave out what was pasted, and with it the
clutter of the scene, which looks the same. Likewise the network sees some scenes as pictures of paper, while
the ink is measured in the plain scene. Some scenes have no digit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from models.contract import SCENE_SIDE_PX
from scenes.digits import Digits, digits_like
from scenes.draw import SceneParameters, draw
from scenes.edit import remove_clutter, remove_paper, remove_target, replace_by_non_digits
from scenes.frame import centre_in_frame
from scenes.presets import Preset, find_preset
from scenes.random import uniform
from scenes.render import render
from trainer.data.batches import LabelledBatch
from trainer.data.elastic import augment_digits
from trainer.data.last_value import LastValue
from trainer.model import NO_DIGIT, Windows
from trainer.runtime.cuda_graph import CudaGraphCallable

SEEDS_PER_RUN = 2**40
"""Scene i of a run with seed s has the seed s · 2⁴⁰ + i."""
_STEPS_PER_BLOCK = 8
_SCENES_PER_GRAPH_BLOCK = 16_384
"""A GPU makes so many scenes at once almost as fast as a few. They take about 4 GB of its memory."""
SCENES_PER_AUGMENTATION = 65_536
"""Digits are augmented anew after so many scenes. Each digit is the target in about one of them, and one core
needs five seconds to augment all digits."""
_FIRST_WINDOW_STREAM = 101
_SECOND_WINDOW_STREAM = 102
_NO_DIGIT_STREAM = 103
_BLANK_STREAM = 105
_BLANK = 0.2
"""Share of the pictures of paper without a digit that have nothing in its place."""
COPY_PASTE_PIECES = 4
"""How many clutter digits or crops are pasted into a scene."""


class _Part(NamedTuple):
    """A part of each batch: the scenes from `start` to `stop` are of one preset."""

    preset: Preset
    copy_paste: bool
    start: int
    stop: int

    def share_of(self, rank: int, world: int) -> int:
        """How many of them a process makes: each makes every `world`-th scene of the batch."""
        return len(range(self.start + (rank - self.start) % world, self.stop, world))


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
        copy_paste: share of the scenes into which clutter is pasted.
        without_digit: share of the scenes that have no digit.
        paper_without_digit: the same of pictures of paper; None is `without_digit`.
        elastic: whether digits are augmented, anew every 65,536 scenes.
        cuda_graphs: whether scenes are made by CUDA graphs; the next block overwrites the last one.

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
        copy_paste: float = 0.0,
        without_digit: float = 0.0,
        paper_without_digit: float | None = None,
        elastic: bool = False,
        cuda_graphs: bool = False,
    ) -> None:
        if abs(sum(mixture.values()) - 1) > 1e-6:
            raise ValueError(f"mixture: expected shares that sum to 1, got {dict(mixture)}")
        if batch_size % world:
            raise ValueError(f"batch_size: expected a multiple of {world} processes, got {batch_size}")
        self._seed, self._batch_size, self._device = seed, batch_size, device
        self._rank, self._world = rank, world
        self._mine = torch.arange(rank, batch_size, world, device=device)
        self._parts = list(_share_out(mixture, copy_paste, batch_size))
        on_paper = without_digit if paper_without_digit is None else paper_without_digit
        self._without_digit = torch.cat(
            [
                torch.full(
                    (part.stop - part.start,),
                    on_paper if part.preset.on_paper else without_digit,
                    device=device,
                )
                for part in self._parts
            ]
        )
        self._elastic = elastic
        self._original_digits = digits_like(torch.zeros(0, device=device), digits)
        self.steps_per_block, self._blocks_per_augmentation = _share_steps(batch_size, cuda_graphs)
        self._render = CudaGraphCallable(self._render_block) if cuda_graphs else self._render_block
        self._draw_windows = CudaGraphCallable(_draw_windows) if cuda_graphs else _draw_windows
        self._digits = LastValue(self._digits_of_augmentation)
        self._block = LastValue(self._scenes_of_block)
        self._windows = LastValue(self._windows_of_block)

    def batch(self, step: int) -> LabelledBatch:
        """The batch of that step, this process's scenes of it."""
        number, within = divmod(step, self.steps_per_block)
        return LabelledBatch(*(values[within] for values in self._block(number)))

    def windows(self, step: int) -> tuple[Windows, Windows]:
        """Random changes of the two glimpses' windows at that step.

        The first moves by up to 15 % of its side and scales by up to 15 %, so that the refiner learns to
        correct. The second moves by up to 5 % and scales by up to 8 %, so that the classifier does not
        depend on a perfect box.
        """
        number, within = divmod(step, self.steps_per_block)
        first, second = (Windows(*(values[within] for values in each)) for each in self._windows(number))
        return first, second

    def present(self, step: int) -> Tensor | None:
        """The mean number of scenes with a digit in a process's share at that step; None for one process.

        A pure function of the whole batch's seeds, so that no process needs to ask the others. At least one
        scene is counted in the whole batch.
        """
        if self._world == 1:
            return None
        with_digit = ~_are_absent(self._seeds(step, 1), self._without_digit)[0]
        return with_digit.sum().clamp(min=1) / self._world

    def _digits_of_augmentation(self, number: int) -> Digits:
        """The digits that targets and clutter are made of."""
        if not self._elastic:
            return self._original_digits
        count = self._original_digits.images.shape[0]
        first = self._seed * SEEDS_PER_RUN + number * count
        return augment_digits(self._original_digits, torch.arange(first, first + count, device=self._device))

    def _scenes_of_block(self, number: int) -> LabelledBatch:
        """The scenes of several steps, `[steps, share of the batch, …]`: small batches are slow to make."""
        digits = self._digits(number // self._blocks_per_augmentation)
        return self._render(self._seeds_of_block(number), digits)

    def _windows_of_block(self, number: int) -> tuple[Windows, Windows]:
        return self._draw_windows(self._seeds_of_block(number))

    def _render_block(self, seeds: Tensor, digits: Digits) -> LabelledBatch:
        """Scenes of seeds `[steps, share of the batch]`. A CUDA graph, so digits are an argument."""
        absent = _are_absent(seeds, self._without_digit[self._mine])
        made, start = [], 0
        for part in self._parts:
            stop = start + part.share_of(self._rank, self._world)
            if stop > start:
                some = _render_part(
                    part, seeds[:, start:stop].flatten(), absent[:, start:stop].flatten(), digits
                )
                shape = (self.steps_per_block, stop - start)
                made.append([values.view(*shape, *values.shape[1:]) for values in some])
            start = stop
        return LabelledBatch(*(torch.cat(values, dim=1) for values in zip(*made, strict=True)))

    def _seeds_of_block(self, number: int) -> Tensor:
        """This process's seeds: int64 `[steps, share of the batch]`."""
        return self._seeds(number * self.steps_per_block, self.steps_per_block)[:, self._mine]

    def _seeds(self, step: int, steps: int) -> Tensor:
        """Seeds of whole batches: int64 `[steps, batch_size]`."""
        first = self._seed * SEEDS_PER_RUN + step * self._batch_size
        count = steps * self._batch_size
        return torch.arange(first, first + count, device=self._device).view(steps, self._batch_size)


def _render_part(part: _Part, seeds: Tensor, absent: Tensor, digits: Digits) -> LabelledBatch:
    """Scenes of one preset, `[n, …]`; those that are `absent`, bool `[n]`, have no digit."""
    drawn = draw(part.preset, seeds, digits)
    labels = torch.where(absent, NO_DIGIT, drawn.label)
    if part.preset.on_paper and digits.images.shape[0] > digits.labels.shape[0]:
        drawn = replace_by_non_digits(drawn, absent, digits)
        absent = absent & (uniform(seeds, _BLANK_STREAM, 1)[:, 0] < _BLANK)
    drawn = remove_target(drawn, absent)
    scenes = _frame(drawn, digits)
    if not (part.copy_paste or part.preset.on_paper):
        return LabelledBatch(scenes, scenes, labels)
    plain = remove_clutter(drawn, COPY_PASTE_PIECES) if part.copy_paste else drawn
    if part.preset.on_paper:
        plain = remove_paper(plain)
    return LabelledBatch(scenes, _frame(plain, digits), labels)


def _frame(drawn: SceneParameters, digits: Digits) -> Tensor:
    """Render scenes into the model's frame: `[n, 1, 100, 100]`."""
    framed: Tensor = centre_in_frame(render(drawn, digits), SCENE_SIDE_PX)[:, None]
    return framed


def _draw_windows(seeds: Tensor) -> tuple[Windows, Windows]:
    """Changes of both glimpses' windows, each field of the shape of the seeds."""

    def change(stream: int, shift: float, log_scale: float) -> Windows:
        u = 2 * uniform(seeds.flatten(), stream, 3).view(*seeds.shape, 3) - 1
        return Windows(shift * u[..., 0], shift * u[..., 1], log_scale * u[..., 2])

    return (
        change(_FIRST_WINDOW_STREAM, shift=0.15, log_scale=0.15),
        change(_SECOND_WINDOW_STREAM, shift=0.05, log_scale=0.08),
    )


def _share_steps(batch_size: int, cuda_graphs: bool) -> tuple[int, int]:
    """How many steps' scenes are made at once, and how many such blocks share their augmented digits.

    Digits are augmented at the same steps with CUDA graphs and without.
    """
    blocks = max(1, SCENES_PER_AUGMENTATION // (batch_size * _STEPS_PER_BLOCK))
    together = max(1, _SCENES_PER_GRAPH_BLOCK // (batch_size * _STEPS_PER_BLOCK)) if cuda_graphs else 1
    together = math.gcd(blocks, together)
    return _STEPS_PER_BLOCK * together, blocks // together


def _share_out(mixture: Mapping[str, float], copy_paste: float, batch_size: int) -> Iterator[_Part]:
    """The parts of a batch, one behind the other."""
    share, start = 0.0, 0
    for name, fraction in mixture.items():
        preset = find_preset(name)
        crowded = _with_more_clutter(preset)
        pasted = copy_paste if crowded != preset else 0.0  # a preset without clutter gets none
        for chosen, portion in ((preset, 1 - pasted), (crowded, pasted)):
            share += fraction * portion
            stop = round(share * batch_size)
            if stop > start:
                yield _Part(chosen, chosen is crowded, start, stop)
            start = stop


def _are_absent(seeds: Tensor, shares: Tensor) -> Tensor:
    """Whether scenes have no digit: bool `[steps, batch]`, by the share of such scenes at each index."""
    chance = uniform(seeds.flatten(), _NO_DIGIT_STREAM, 1)[:, 0].view(seeds.shape)
    absent: Tensor = chance < shares
    return absent


def _with_more_clutter(preset: Preset) -> Preset:
    """The preset with more pieces of its own kind of clutter."""
    fewest, most = preset.clutter
    return dataclasses.replace(
        preset,
        clutter=(fewest + COPY_PASTE_PIECES, most + COPY_PASTE_PIECES) if most else preset.clutter,
        crops=preset.crops + COPY_PASTE_PIECES if preset.crops else 0,
    )
