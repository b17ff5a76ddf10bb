"""Clutter that is pasted in is nothing but more clutter: the picture before it is one that its preset draws.

The terms that fit the box to the ink see that picture, so it must not tell where the digit is: it is no mask.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

import trainer.data.training_scenes
from scenes.digits import digits_like
from scenes.draw import SceneParameters
from scenes.draw import draw as draw_scenes
from scenes.edit import remove_target
from scenes.frame import centre_in_frame
from scenes.presets import find_preset
from scenes.render import render as render_scenes
from tests.trainer.tiny import ALONE, bar_digits
from trainer.data.batches import LabelledBatch
from trainer.data.training_scenes import TrainingScenes

DIGITS = digits_like(torch.zeros(0), bar_digits())
PASTED = ["article", "wide", "cluttered-100", "cluttered-60"]
CROPS = ("crop_index", "crop_source_x", "crop_source_y", "crop_x_px", "crop_y_px")


def pasting(preset: str, scenes: int) -> LabelledBatch:
    """A batch of one preset, clutter pasted into every scene."""
    stream = TrainingScenes(
        {preset: 1.0}, bar_digits(), batch_size=scenes, seed=0, device=ALONE.device, copy_paste=1.0
    )
    return stream.batch(0)


def crowded(preset: str, scenes: int) -> SceneParameters:
    """What such scenes are drawn with, written out: four pieces more of the clutter that the preset has."""
    more = {
        "article": {"clutter": (4, 12)},
        "wide": {"clutter": (4, 20)},
        "cluttered-100": {"crops": 12},
        "cluttered-60": {"crops": 8},
    }[preset]
    return draw_scenes(
        dataclasses.replace(find_preset(preset), **more),  # type: ignore[arg-type]
        torch.arange(scenes),
        DIGITS,
    )


def frame(pictures: torch.Tensor) -> torch.Tensor:
    framed: torch.Tensor = centre_in_frame(pictures, 100)[:, None]
    return framed


@pytest.mark.parametrize("preset", ["article", "wide"])
def test_before_pasting_a_scene_is_the_one_that_its_preset_draws(preset: str) -> None:
    """It is no mask: the target, all of the preset's own clutter and all of the noise are in it."""
    plain = draw_scenes(find_preset(preset), torch.arange(40), DIGITS)
    assert plain.clutter_count.unique().numel() >= 8
    batch = pasting(preset, 40)
    assert torch.equal(batch.ink, frame(render_scenes(plain, DIGITS)))
    assert torch.equal(batch.labels, plain.label)
    # And the scene is drawn as others are, with four pieces more.
    drawn = crowded(preset, 40)
    assert torch.equal(drawn.clutter_count, plain.clutter_count + 4)
    assert torch.equal(batch.scenes, frame(render_scenes(drawn, DIGITS)))


@pytest.mark.parametrize(("preset", "own"), [("cluttered-100", 8), ("cluttered-60", 4)])
def test_before_pasting_a_scene_has_as_many_crops_as_its_preset(preset: str, own: int) -> None:
    """Of its 12 or 8 crops, all drawn alike, the first 8 or 4: again a whole scene and no mask."""
    digits, drawn = DIGITS, crowded(preset, 200)
    first = {name: getattr(drawn, name)[:, :own] for name in CROPS}
    batch = pasting(preset, 200)
    assert torch.equal(batch.scenes, frame(render_scenes(drawn, digits)))
    assert torch.equal(batch.ink, frame(render_scenes(drawn._replace(**first), digits)))
    # As bright as the preset's own scenes, within 5 standard errors of the mean.
    plain = frame(render_scenes(draw_scenes(find_preset(preset), torch.arange(200), digits), digits))
    found, expected, more = (pictures.sum(dim=(1, 2, 3)) for pictures in (batch.ink, plain, batch.scenes))
    error = 5 * expected.std() * (2 / 200) ** 0.5
    assert (found.mean() - expected.mean()).abs() < error
    assert more.mean() - expected.mean() > error


@pytest.mark.parametrize("preset", PASTED)
def test_the_two_pictures_differ_by_clutter_alone(preset: str) -> None:
    digits, drawn = DIGITS, crowded(preset, 40)
    last = {name: getattr(drawn, name)[:, -4:] for name in CROPS}
    if drawn.clutter_index.shape[1]:
        slots = drawn.clutter_count[:, None] - 4 + torch.arange(4)
        clutter = [name for name in SceneParameters._fields if name.startswith("clutter_")]
        last = {name: getattr(drawn, name).gather(1, slots) for name in clutter if name != "clutter_count"}
        last["clutter_count"] = torch.full_like(drawn.clutter_count, 4)
    alone = remove_target(
        drawn._replace(noise_sigma=torch.zeros_like(drawn.noise_sigma), **last),
        torch.ones(40, dtype=torch.bool),
    )
    pieces = frame(render_scenes(alone, digits))  # what is pasted in, by itself
    scenes, before, _ = pasting(preset, 40)
    difference = scenes - before
    assert not difference[pieces == 0].any()
    # It is added; where the sum is over 1, or was below 0 before, it is cut off.
    uncut = (scenes > 0) & (scenes < 1) & (before > 0)
    assert (difference > 0).sum() > 40 * 20
    torch.testing.assert_close(difference[uncut], pieces[uncut], rtol=0, atol=1e-6)
    assert difference.min() >= 0
    assert (difference <= pieces + 1e-6).all()


@pytest.mark.parametrize("preset", PASTED)
def test_where_the_two_pictures_differ_tells_nothing_of_the_digits_place_or_size(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes, before, _ = pasting(preset, 40)

    def elsewhere(*args: Any) -> SceneParameters:
        drawn = draw_scenes(*args)
        return drawn._replace(
            centre_x_px=drawn.side_px - drawn.centre_x_px,
            centre_y_px=torch.full_like(drawn.centre_y_px, drawn.side_px / 2),
            size_px=torch.full_like(drawn.size_px, 24.0),
        )

    monkeypatch.setattr(trainer.data.training_scenes, "draw", elsewhere)
    moved, moved_before, _ = pasting(preset, 40)
    assert (moved_before != before).flatten(1).any(1).all()
    uncut = torch.ones_like(scenes, dtype=torch.bool)
    for pictures in (scenes, before, moved, moved_before):
        uncut &= pictures < 1
    if preset in ("article", "wide"):  # noise may be below 0, which is cut off as well
        for pictures in (before, moved_before):
            uncut &= pictures > 0
    assert uncut.float().mean() > 0.4
    difference, moved_difference = scenes - before, moved - moved_before
    torch.testing.assert_close(difference[uncut], moved_difference[uncut], rtol=0, atol=1e-6)
    assert difference[uncut].count_nonzero() > 40 * 10
