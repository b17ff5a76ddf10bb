"""Scenes with less in them: what is taken away goes, and nothing else changes by a bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from scenes.digits import Digits, digits_like
from scenes.draw import SceneParameters, draw
from scenes.edit import remove_clutter, remove_target
from scenes.presets import PRESETS, Preset
from scenes.render import render, render_ink
from scenes.truth import ink_boxes
from tests.scenes.banks import all_fields, bank, block, speckled_bank

SPECKLED = speckled_bank()
SEEDS = np.arange(40)
LISTED = Preset("listed", "rotated digits and crops at once, for tests", clutter=(2, 6), crops=5)
CROPS = ("crop_index", "crop_source_x", "crop_source_y", "crop_x_px", "crop_y_px")


@pytest.fixture(params=[np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def as_array(request: pytest.FixtureRequest) -> Callable[[np.ndarray], Any]:
    convert: Callable[[np.ndarray], Any] = request.param
    return convert


def as_numpy(parameters: SceneParameters) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in all_fields(parameters).items()}


def assert_same_but_for(found: SceneParameters, before: SceneParameters, *names: str) -> None:
    expected, edited = as_numpy(before), as_numpy(found)
    changed = {name for name, value in edited.items() if not np.array_equal(value, expected[name])}
    assert changed == set(names)
    for name, value in edited.items():
        assert value.dtype == expected[name].dtype


def test_pieces_go_from_the_end_of_the_list(as_array: Callable[[np.ndarray], Any]) -> None:
    digits = digits_like(as_array(SEEDS), SPECKLED)
    drawn = draw(LISTED, as_array(SEEDS), digits)
    thinned = remove_clutter(drawn, 3)
    # 2 to 6 digits less 3, but never fewer than none; of 5 crops the first two.
    counts = np.asarray(drawn.clutter_count).tolist()
    assert set(counts) == {2, 3, 4, 5, 6}
    left = {2: 0, 3: 0, 4: 1, 5: 2, 6: 3}
    assert np.asarray(thinned.clutter_count).tolist() == [left[count] for count in counts]
    assert_same_but_for(thinned, drawn, "clutter_count", *CROPS)
    for name in CROPS:
        expected = np.asarray(getattr(drawn, name))[:, :2]
        assert np.array_equal(np.asarray(getattr(thinned, name)), expected)


def test_taking_none_away_changes_nothing(as_array: Callable[[np.ndarray], Any]) -> None:
    drawn = draw(LISTED, as_array(SEEDS), digits_like(as_array(SEEDS), SPECKLED))
    assert_same_but_for(remove_clutter(drawn, 0), drawn)
    assert_same_but_for(remove_target(drawn, as_array(np.zeros(40, np.bool_))), drawn)


def test_where_there_are_fewer_than_are_taken_none_is_left(as_array: Callable[[np.ndarray], Any]) -> None:
    digits = digits_like(as_array(SEEDS), SPECKLED)
    drawn = draw(LISTED, as_array(SEEDS), digits)
    thinned = remove_clutter(drawn, 7)
    assert not np.asarray(thinned.clutter_count).any()
    assert [getattr(thinned, name).shape for name in CROPS] == [(40, 0)] * 5
    bare = draw(Preset("bare", "the same without clutter"), as_array(SEEDS), digits)
    assert np.array_equal(np.asarray(render(thinned, digits)), np.asarray(render(bare, digits)))


def scene_of_crops() -> tuple[SceneParameters, Digits]:
    """A dark target and two crops of one digit, whose canvas is 0.2 to the left and 1 to the right."""
    digits = bank({3: block(0, 28, 0, 14, 51) + block(0, 28, 14, 28)})
    drawn = draw(Preset("two", "two crops of 8 px", crops=2), np.array([0]), digits, digit=0)
    placed = drawn._replace(
        crop_index=np.array([[3, 3]]),
        crop_source_x=np.array([[2, 16]]),
        crop_source_y=np.array([[5, 5]]),
        crop_x_px=np.array([[10, 60]]),
        crop_y_px=np.array([[20, 70]]),
    )
    return placed, digits


def test_the_last_crop_is_not_in_the_picture_of_one_less() -> None:
    placed, digits = scene_of_crops()
    expected = np.zeros((1, 100, 100), np.float32)
    expected[0, 20:28, 10:18] = np.float32(51) / 255
    assert np.array_equal(render(remove_clutter(placed, 1), digits), expected)
    expected[0, 70:78, 60:68] = 1
    assert np.array_equal(render(placed, digits), expected)
    assert not render(remove_clutter(placed, 2), digits).any()


def test_the_last_digit_is_not_in_the_picture_of_one_less() -> None:
    digits = bank({3: block(8, 20, 8, 20)})
    drawn = draw(PRESETS["article"], np.array([0]), digits, digit=0, clutter=2, noise=0, digit_noise=0)
    placed = drawn._replace(
        clutter_index=np.full_like(drawn.clutter_index, 3),
        clutter_size_px=np.full_like(drawn.clutter_size_px, 14),
        clutter_centre_x_px=np.array([[20.0, 70.0]], np.float32),
        clutter_centre_y_px=np.array([[30.0, 60.0]], np.float32),
        clutter_angle_rad=np.zeros_like(drawn.clutter_angle_rad),
    )

    def lit(parameters: SceneParameters) -> list[bool]:
        (scene,) = render(parameters, digits)
        return [bool(scene[30, 20] > 0.9), bool(scene[60, 70] > 0.9)]

    assert lit(placed) == [True, True]
    assert lit(remove_clutter(placed, 1)) == [True, False]
    # The second digit, 6 px wide and softened, is all that goes.
    gone = render(placed, digits)[0] - render(remove_clutter(placed, 1), digits)[0]
    rows, columns = np.nonzero(gone)
    assert 56 <= rows.min() <= rows.max() <= 63
    assert 66 <= columns.min() <= columns.max() <= 73
    assert not render(remove_clutter(placed, 2), digits).any()


@pytest.mark.parametrize("name", PRESETS)
def test_without_its_target_a_scene_has_no_ink_but_all_else(
    name: str, as_array: Callable[[np.ndarray], Any]
) -> None:
    seeds = as_array(SEEDS)
    digits = digits_like(seeds, SPECKLED)
    drawn = draw(PRESETS[name], seeds, digits)
    chosen = SEEDS % 3 == 0
    edited = remove_target(drawn, as_array(chosen))
    assert_same_but_for(edited, drawn, "centre_x_px")

    boxes = np.asarray(ink_boxes(edited, digits))
    assert not np.asarray(render_ink(edited, digits))[chosen].any()
    assert not boxes[chosen, 2:].any()
    assert np.array_equal(boxes[~chosen], np.asarray(ink_boxes(drawn, digits))[~chosen])
    assert (boxes[~chosen, 2:] > (2 if drawn.paper else 5)).all()

    # A canvas of dark pixels instead of the target's, and none of them replaced: what is left, bit for bit.
    dark = digits._replace(
        images=as_array(np.concatenate([SPECKLED.images, np.zeros((1, 28, 28), np.uint8)]))
    )
    emptied = drawn._replace(
        digit_index=drawn.digit_index * 0 + len(SPECKLED.images), digit_noise_share=drawn.noise_sigma * 0
    )
    pictures = np.asarray(render(edited, digits))
    assert np.array_equal(pictures[chosen], np.asarray(render(emptied, dark))[chosen])
    assert np.array_equal(pictures[~chosen], np.asarray(render(drawn, digits))[~chosen])


@pytest.mark.parametrize("name", [*PRESETS, "listed"])
def test_numpy_and_torch_take_the_same_away(name: str) -> None:
    preset = LISTED if name == "listed" else PRESETS[name]
    tensors = digits_like(torch.zeros(0), SPECKLED)
    chosen = SEEDS % 2 == 0
    ours = remove_target(remove_clutter(draw(preset, SEEDS, SPECKLED), 2), chosen)
    theirs = remove_target(
        remove_clutter(draw(preset, torch.from_numpy(SEEDS), tensors), 2), torch.from_numpy(chosen)
    )
    expected, found = as_numpy(ours), as_numpy(theirs)
    assert all(found[field].dtype == expected[field].dtype for field in expected)
    for field in ("label", "clutter_count", *CROPS):
        assert np.array_equal(found[field], expected[field])
    np.testing.assert_allclose(found["centre_x_px"], expected["centre_x_px"], atol=1e-5)
    # The two differ by rounding, in clutter by a canvas pixel beside here and there (`test_render`).
    difference = np.abs(render(theirs, tensors).numpy() - render(ours, SPECKLED))
    assert np.quantile(difference, 0.999) < 1e-5
