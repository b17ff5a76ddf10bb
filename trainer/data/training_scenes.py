"""Training scenes, made on the device, as images and labels: the truth about places stays in here.

A batch is a pure function of the run's seed and the step, so a resumed run sees what an unbroken one would.

Some scenes get more clutter pasted in before the network sees them. It sees the crowded picture; the terms
that fit the box to the ink see the picture before pasting: it learns that what was pasted does not belong to
the digit, and clutter that was there from the start looks just alike. Likewise some scenes are shown to it as
pictures of paper, while the ink is measured on the scene as it was. Some scenes have no digit at all.
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
from scenes.edit import remove_target, replace_by_others, take_off_paper, thin_out
from scenes.frame import centre_in_frame
from scenes.presets import Preset, find_preset
from scenes.random import uniform
from scenes.render import render
from trainer.data.elastic import vary_handwriting
from trainer.model import NO_DIGIT, Windows
from trainer.runtime.cuda_graph import Recorded

SEEDS_PER_RUN = 2**40
"""Scene i of a run with seed s has the seed s · 2⁴⁰ + i."""
_STEPS_PER_BLOCK = 8
_SCENES_PER_RECORDED_BLOCK = 16_384
"""A GPU makes so many scenes at once little slower than a few; they take about 4 GB of its memory."""
SCENES_PER_HANDWRITING = 65_536
"""How long digits stay as they were varied: in so many scenes a digit is the target about once, and to vary
all of them takes a core five seconds."""
_FIRST_WINDOW_STREAM = 101
_SECOND_WINDOW_STREAM = 102
_NO_DIGIT_STREAM = 103
_BLANK_STREAM = 105
_BLANK = 0.3
"""Share of the pictures of paper without a digit where nothing is in its place."""
PASTED_PIECES = 4
"""How many clutter digits or crops are pasted into a scene that is crowded."""


class LabelledBatch(NamedTuple):
    """All that training ever gets to see of a batch."""

    scenes: Tensor  # [batch, 1, 100, 100], intensities in [0, 1]
    before_pasting: Tensor  # likewise, before clutter was pasted in and before they lay on paper
    labels: Tensor  # [batch], classes; `NO_DIGIT` where there is none


class _Part(NamedTuple):
    """A part of each batch: which of its scenes are of a preset, with clutter pasted in or without."""

    preset: Preset
    pasted: bool
    start: int
    stop: int

    def share_of(self, rank: int, world: int) -> int:
        """How many of them a process makes; each takes every `world`-th scene of the batch."""
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
        pasted: share of the scenes into which clutter is pasted.
        without_digit: share of the scenes that have no digit.
        paper_without_digit: the same of pictures of paper; none is the same.
        warped: whether handwriting is varied, anew every 65,536 scenes.
        recorded: whether making scenes is recorded as a CUDA graph; the next block overwrites the last one's.

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
        pasted: float = 0.0,
        without_digit: float = 0.0,
        paper_without_digit: float | None = None,
        warped: bool = False,
        recorded: bool = False,
    ) -> None:
        if abs(sum(mixture.values()) - 1) > 1e-6:
            raise ValueError(f"mixture: expected shares that sum to 1, got {dict(mixture)}")
        if batch_size % world:
            raise ValueError(f"batch_size: expected a multiple of {world} processes, got {batch_size}")
        self._seed, self._batch_size, self._device = seed, batch_size, device
        self._mine, self._world = torch.arange(rank, batch_size, world, device=device), world
        self._as_written = self._digits = digits_like(torch.zeros(0, device=device), digits)
        self._has_others = digits.images.shape[0] > digits.labels.shape[0]
        self._parts = list(_share_out(mixture, pasted, batch_size))
        self._rank, self._warped = rank, warped
        self._without_digit = torch.cat(
            [
                torch.full(
                    (part.stop - part.start,),
                    without_digit
                    if paper_without_digit is None or not part.preset.on_paper
                    else paper_without_digit,
                    device=device,
                )
                for part in self._parts
            ]
        )
        self.steps_per_block, self._blocks_per_handwriting = _share_steps(batch_size, recorded)
        self._handwriting: int | None = None
        self._block: tuple[int, LabelledBatch] | None = None
        self._moves: tuple[int, tuple[Windows, Windows]] | None = None
        self._render = Recorded(self._render_block) if recorded else self._render_block
        self._move = Recorded(_move_windows) if recorded else _move_windows

    def batch(self, step: int) -> LabelledBatch:
        """The batch of that step, this process's scenes of it."""
        number, within = divmod(step, self.steps_per_block)
        if self._block is None or self._block[0] != number:
            self._vary_handwriting(number // self._blocks_per_handwriting)
            self._block = number, self._render(self._seeds_of_block(number))
        return LabelledBatch(*(values[within] for values in self._block[1]))

    def windows(self, step: int) -> tuple[Windows, Windows]:
        """Random changes of the two glimpses' windows at that step.

        The first moves by up to 15 % of its side and scales by up to 15 %, so that the refiner learns to
        correct; the second by 5 % and 8 %, so that the classifier does not depend on a perfect box.
        """
        number, within = divmod(step, self.steps_per_block)
        if self._moves is None or self._moves[0] != number:
            self._moves = number, self._move(self._seeds_of_block(number))
        first, second = (Windows(*(values[within] for values in each)) for each in self._moves[1])
        return first, second

    def present(self, step: int) -> Tensor | None:
        """How many scenes with a digit a process has at that step, on average over processes; None alone.

        A pure function of the whole batch's seeds, so that no process need ask the others. At least one scene
        is counted in the whole batch.
        """
        if self._world == 1:
            return None
        with_digit = ~_are_absent(self._seeds(step, 1), self._without_digit)[0]
        return with_digit.sum().clamp(min=1) / self._world

    def _render_block(self, seeds: Tensor) -> LabelledBatch:
        """Several steps' scenes at once, `[steps, batch, …]`: small batches cost more calls than work."""
        absent = _are_absent(seeds, self._without_digit[self._mine])
        made, start = [], 0
        for part in self._parts:
            stop = start + part.share_of(self._rank, self._world)
            if stop > start:
                some = self._render_part(
                    part, seeds[:, start:stop].flatten(), absent[:, start:stop].flatten()
                )
                shape = (self.steps_per_block, stop - start)
                made.append([values.view(*shape, *values.shape[1:]) for values in some])
            start = stop
        return LabelledBatch(*(torch.cat(values, dim=1) for values in zip(*made, strict=True)))

    def _vary_handwriting(self, number: int) -> None:
        """Vary the digits, once for all steps that have this number: targets and clutter are made of them."""
        if not self._warped or self._handwriting == number:
            return
        count = self._as_written.images.shape[0]
        first = self._seed * SEEDS_PER_RUN + number * count
        seeds = torch.arange(first, first + count, device=self._device)
        varied = vary_handwriting(self._as_written, seeds)
        if self._handwriting is None:
            self._digits = varied
        else:  # in place, for what was recorded reads the digits where they lie
            self._digits.images.copy_(varied.images)
            self._digits.softened.copy_(varied.softened)
        self._handwriting = number

    def _render_part(self, part: _Part, seeds: Tensor, absent: Tensor) -> LabelledBatch:
        drawn = draw(part.preset, seeds, self._digits)
        labels = torch.where(absent, NO_DIGIT, drawn.label)
        if part.preset.on_paper and self._has_others:
            drawn = replace_by_others(drawn, absent, self._digits)
            absent = absent & (uniform(seeds, _BLANK_STREAM, 1)[:, 0] < _BLANK)
        drawn = remove_target(drawn, absent)
        scenes = _frame(drawn, self._digits)
        if not (part.pasted or part.preset.on_paper):
            return LabelledBatch(scenes, scenes, labels)
        before = thin_out(drawn, PASTED_PIECES) if part.pasted else drawn
        if part.preset.on_paper:
            before = take_off_paper(before)
        return LabelledBatch(scenes, _frame(before, self._digits), labels)

    def _seeds_of_block(self, number: int) -> Tensor:
        """This process's seeds: int64 `[steps, share of the batch]`."""
        return self._seeds(number * self.steps_per_block, self.steps_per_block)[:, self._mine]

    def _seeds(self, step: int, steps: int) -> Tensor:
        """Seeds of whole batches: int64 `[steps, batch_size]`."""
        first = self._seed * SEEDS_PER_RUN + step * self._batch_size
        count = steps * self._batch_size
        return torch.arange(first, first + count, device=self._device).view(steps, self._batch_size)


def _frame(drawn: SceneParameters, digits: Digits) -> Tensor:
    """Render scenes into the model's frame: `[n, 1, 100, 100]`."""
    framed: Tensor = centre_in_frame(render(drawn, digits), SCENE_SIDE_PX)[:, None]
    return framed


def _move_windows(seeds: Tensor) -> tuple[Windows, Windows]:
    """Changes of both glimpses' windows, each field of the shape of the seeds."""

    def change(stream: int, shift: float, log_scale: float) -> Windows:
        u = 2 * uniform(seeds.flatten(), stream, 3).view(*seeds.shape, 3) - 1
        return Windows(shift * u[..., 0], shift * u[..., 1], log_scale * u[..., 2])

    return (
        change(_FIRST_WINDOW_STREAM, shift=0.15, log_scale=0.15),
        change(_SECOND_WINDOW_STREAM, shift=0.05, log_scale=0.08),
    )


def _share_steps(batch_size: int, recorded: bool) -> tuple[int, int]:
    """How many steps' scenes are made at once, and how many such blocks have one handwriting.

    Handwriting changes at the same steps whether blocks are recorded or not.
    """
    blocks = max(1, SCENES_PER_HANDWRITING // (batch_size * _STEPS_PER_BLOCK))
    together = max(1, _SCENES_PER_RECORDED_BLOCK // (batch_size * _STEPS_PER_BLOCK)) if recorded else 1
    together = math.gcd(blocks, together)
    return _STEPS_PER_BLOCK * together, blocks // together


def _share_out(mixture: Mapping[str, float], pasted: float, batch_size: int) -> Iterator[_Part]:
    """The parts of a batch, one behind the other."""
    share, start = 0.0, 0
    for name, fraction in mixture.items():
        preset = find_preset(name)
        crowded = _crowd(preset)
        within = pasted if crowded != preset else 0.0  # where there is no clutter, none is pasted
        for chosen, portion in ((preset, 1 - within), (crowded, within)):
            share += fraction * portion
            stop = round(share * batch_size)
            if stop > start:
                yield _Part(chosen, chosen is crowded, start, stop)
            start = stop


def _are_absent(seeds: Tensor, shares: Tensor) -> Tensor:
    """Whether scenes have no digit, by the share of such scenes at each place: bool `[steps, batch]`."""
    chance = uniform(seeds.flatten(), _NO_DIGIT_STREAM, 1)[:, 0].view(seeds.shape)
    absent: Tensor = chance < shares
    return absent


def _crowd(preset: Preset) -> Preset:
    """The preset with more pieces of the clutter that it has."""
    fewest, most = preset.clutter
    return dataclasses.replace(
        preset,
        clutter=(fewest + PASTED_PIECES, most + PASTED_PIECES) if most else preset.clutter,
        crops=preset.crops + PASTED_PIECES if preset.crops else 0,
    )
