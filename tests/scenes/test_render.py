"""Pixels of scenes, worked out by hand or by slow loops, and the same on every library."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
import torch

from scenes.digits import Digits, digits_like
from scenes.draw import SceneParameters, draw
from scenes.presets import PRESETS, Preset
from scenes.render import canvas_weights, place_target, render, render_ink
from tests.scenes.banks import BARE, all_fields, bank, block, each_array, place, speckled_bank

SEEDS = np.arange(200)
SPECKLED = speckled_bank()


def weights(centre: float, size: float, side: int = 100) -> np.ndarray:
    found: np.ndarray = canvas_weights(np.array([centre], np.float32), np.array([size], np.float32), side)[0]
    return found


def overlaps(centre: float, size: float, side: int) -> np.ndarray:
    """What scene pixels take from canvas pixels, by measuring how far two intervals overlap."""
    scale = 28 / size
    half = max(scale, 1) / 2
    shares = np.zeros((side, 28))
    for pixel in range(side):
        u = (pixel + 0.5 - (centre - size / 2)) * scale
        for j in range(28):
            shares[pixel, j] = max(0, min(u + half, j + 1) - max(u - half, j)) / (2 * half)
    return shares


@pytest.mark.parametrize(
    ("centre", "size"), [(40, 28), (33.3, 20), (50.25, 48), (14.9, 13.7), (70, 56), (50, 90)]
)
def test_weights_are_the_overlaps_of_pixels(centre: float, size: float) -> None:
    np.testing.assert_allclose(weights(centre, size), overlaps(centre, size, 100), atol=2e-5)


@pytest.mark.parametrize(("centre", "size"), [(33.3, 20), (50.25, 47.5), (50, 28), (60.1, 56)])
def test_weights_sum_to_one_inside_and_to_nothing_outside(centre: float, size: float) -> None:
    sums = weights(centre, size).sum(axis=1)
    edge = max(0.5, size / 28 / 2) + 0.5  # a scene pixel's half, or half a canvas pixel as seen in the scene
    pixel = np.arange(100) + 0.5
    inside = np.abs(pixel - centre) <= size / 2 - edge
    outside = np.abs(pixel - centre) >= size / 2 + edge
    assert inside.sum() >= size - 6
    np.testing.assert_allclose(sums[inside], 1, atol=1e-5)
    assert not sums[outside].any()


def test_an_unscaled_canvas_on_whole_pixels_is_copied_exactly() -> None:
    found = weights(40, 28)  # from pixel 26 to pixel 53
    expected = np.zeros((100, 28), np.float32)
    expected[26:54] = np.eye(28)
    assert np.array_equal(found, expected)
    scene = render_ink(place(SPECKLED, 4, size=28, x=40, y=63), SPECKLED)[0]
    index = draw(BARE, np.array([0]), SPECKLED, digit=4).digit_index[0]
    assert np.array_equal(scene[49:77, 26:54], SPECKLED.images[index].astype(np.float32) / 255)
    scene[49:77, 26:54] = 0
    assert not scene.any()


def placed(top: int, bottom: int, left: int, right: int, *, size: float, x: float, y: float) -> np.ndarray:
    """The scene of a canvas that is 1 in a rectangle, not alike in rows and columns."""
    canvas = block(top, bottom, left, right).astype(np.float32)[None] / 255
    found: np.ndarray = place_target(place(SPECKLED, 0, size=size, x=x, y=y), canvas)[0]
    return found


def test_a_canvas_goes_where_it_is_told_with_rows_down_and_columns_right() -> None:
    # The canvas's corner is (40 − 14, 70 − 14); its rows 5 to 7 and columns 10 to 19 are bright.
    scene = placed(5, 8, 10, 20, size=28, x=40, y=70)
    expected = np.zeros((100, 100))
    expected[61:64, 36:46] = 1
    assert np.array_equal(scene, expected)


def test_half_a_pixel_to_the_right_is_shared_by_two() -> None:
    scene = placed(5, 8, 10, 20, size=28, x=40.5, y=70)
    expected = np.zeros((100, 100))
    expected[61:64, 36:47] = [0.5, *[1] * 9, 0.5]
    np.testing.assert_allclose(scene, expected, atol=1e-6)


def test_twice_the_size_is_interpolated_linearly() -> None:
    # The corner is (50 − 28, 40 − 28). Around canvas column 10 the centres of scene pixels lie at 9.25, 9.75,
    # 10.25, 10.75: between the canvas's centres 9.5 (dark) and 10.5 (bright) that is 0, ¼, ¾, 1.
    scene = placed(5, 8, 10, 20, size=56, x=50, y=40)
    across = np.zeros(100)
    across[22 + 19 : 22 + 41] = [0.25, 0.75, *[1] * 18, 0.75, 0.25]
    down = np.zeros(100)
    down[12 + 9 : 12 + 17] = [0.25, 0.75, 1, 1, 1, 1, 0.75, 0.25]
    np.testing.assert_allclose(scene, np.outer(down, across), atol=1e-6)


def test_half_the_size_is_the_mean_of_four() -> None:
    # The corner is (30 − 7, 61 − 7): columns 10 to 19 become 5 whole pixels; rows 5 to 7 half of one and one.
    scene = placed(5, 8, 10, 20, size=14, x=30, y=61)
    expected = np.zeros((100, 100))
    expected[56, 28:33], expected[57, 28:33] = 0.5, 1
    np.testing.assert_allclose(scene, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["cluttered-100", "cluttered-60"])
def test_a_cluttered_scene_is_its_digit_and_its_crops_added_and_clipped(name: str) -> None:
    preset = PRESETS[name]
    drawn = draw(preset, SEEDS, SPECKLED)
    scenes = render(drawn, SPECKLED)
    assert scenes.shape == (200, preset.side_px, preset.side_px)
    overflowing = 0
    for i in range(50):
        expected = np.zeros((preset.side_px, preset.side_px))
        left, top = int(drawn.centre_x_px[i] - 14), int(drawn.centre_y_px[i] - 14)
        expected[top : top + 28, left : left + 28] += SPECKLED.images[drawn.digit_index[i]] / 255
        for k in range(preset.crops):
            u, v = drawn.crop_source_x[i, k], drawn.crop_source_y[i, k]
            x, y = drawn.crop_x_px[i, k], drawn.crop_y_px[i, k]
            expected[y : y + 8, x : x + 8] += (
                SPECKLED.images[drawn.crop_index[i, k]][v : v + 8, u : u + 8] / 255
            )
        overflowing += expected.max() > 1
        np.testing.assert_allclose(scenes[i], np.clip(expected, 0, 1), atol=1e-6)
    assert overflowing > 10  # so that clipping was seen


# Clutter: a mark 6 canvas px right of the canvas's middle and 3 above it; the target is dark.
MARK = bank({1: block(9, 13, 18, 22)})


def with_clutter(x: float, y: float, size: float, angle: float) -> np.ndarray:
    """A dark target of class 0 with one clutter digit of class 1."""
    parameters = draw(BARE, np.array([0]), MARK, digit=0, size=30, x=50, y=50, clutter=1)
    parameters = parameters._replace(
        clutter_index=np.array([[1]]),
        clutter_size_px=np.array([[size]], np.float32),
        clutter_centre_x_px=np.array([[x]], np.float32),
        clutter_centre_y_px=np.array([[y]], np.float32),
        clutter_angle_rad=np.array([[angle]], np.float32),
    )
    scene: np.ndarray = render(parameters, MARK)[0]
    return scene


@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, -1), (180, 2), (-90, 1)])
def test_an_unscaled_clutter_digit_is_its_canvas_turned_clockwise(degrees: float, quarters: int) -> None:
    # At scale 1 and on whole pixels nothing falls between: NumPy's own quarter turns are the whole truth.
    # They go against the clock.
    expected = np.zeros((100, 100), np.float32)
    expected[71 - 14 : 71 + 14, 30 - 14 : 30 + 14] = np.rot90(MARK.softened[1], quarters) / np.float32(255)
    assert np.array_equal(with_clutter(30, 71, 28, math.radians(degrees)), expected)


@pytest.mark.parametrize(
    ("degrees", "right", "down"),
    [
        (0, 6, -3),
        (90, 3, 6),  # clockwise as seen: what was to the right is below, what was above is to the right
        (180, -6, 3),
        (-90, -3, -6),
        (45, 9 / math.sqrt(2), 3 / math.sqrt(2)),
    ],
)
@pytest.mark.parametrize(("x", "y", "size"), [(30.0, 71.0, 14.0), (62.3, 20.8, 15.6), (8.0, 92.0, 16.0)])
def test_a_clutter_digit_lies_and_is_turned_as_it_was_drawn(
    degrees: float, right: float, down: float, x: float, y: float, size: float
) -> None:
    scene = with_clutter(x, y, size, math.radians(degrees)).astype(float)
    rows, columns = np.mgrid[0:100, 0:100] + 0.5
    mass = scene.sum()
    scale = size / 28
    # The mark's 4 × 4 canvas px become about 2 × 2 samples, so places are right to a part of a pixel.
    assert mass == pytest.approx(16 * scale**2, rel=0.35)
    assert (scene * columns).sum() / mass == pytest.approx(x + scale * right, abs=0.4)
    assert (scene * rows).sum() / mass == pytest.approx(y + scale * down, abs=0.4)


def test_clutter_digits_are_samples_of_their_softened_canvases() -> None:
    """Scene pixel by scene pixel: turned back, scaled up, looked up; none beyond the count is drawn."""
    dark = bank({})
    digits = SPECKLED._replace(images=np.concatenate([dark.images, SPECKLED.images[10:]]))
    targets = Preset("clutter", "made up", clutter=(0, 4))
    drawn = draw(targets, np.arange(40), digits)
    # The targets are dark: the first digit of each class is.
    drawn = drawn._replace(digit_index=np.zeros(40, np.int64))
    assert set(drawn.clutter_count.tolist()) == {0, 1, 2, 3, 4}
    scenes = render(drawn, digits)
    rows, columns = np.mgrid[0:100, 0:100] + 0.5
    differing = 0
    for i in range(40):
        expected = np.zeros((100, 100))
        for k in range(drawn.clutter_count[i]):
            dx, dy = columns - drawn.clutter_centre_x_px[i, k], rows - drawn.clutter_centre_y_px[i, k]
            turn, scale = drawn.clutter_angle_rad[i, k], drawn.clutter_size_px[i, k] / 28
            u = np.floor(14 + (dx * math.cos(turn) + dy * math.sin(turn)) / scale).astype(int)
            v = np.floor(14 + (dy * math.cos(turn) - dx * math.sin(turn)) / scale).astype(int)
            on_canvas = (u >= 0) & (u < 28) & (v >= 0) & (v < 28)
            expected += np.where(
                on_canvas, digits.softened[drawn.clutter_index[i, k]][v.clip(0, 27), u.clip(0, 27)] / 255, 0
            )
        differing += int((np.abs(scenes[i] - np.clip(expected, 0, 1)) > 1e-5).sum())
    # Of some 10,000 pixels of clutter a few fall on the border of two canvas pixels.
    assert differing <= 20


@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_the_noise_has_the_sigma_that_was_asked_for(sigma: float) -> None:
    digits = bank({})
    scenes = render(draw(BARE, np.arange(30), digits, noise=sigma), digits).astype(float)
    # On the dark, the negative half is clipped away: the mean of the squares is half the variance. Of 5 σ
    # nothing is clipped above. Either half of the rows has numbers of its own.
    for half in (scenes[:, :50], scenes[:, 50:]):
        assert math.sqrt(2 * np.mean(half**2)) == pytest.approx(sigma, rel=0.015)
        assert np.mean(half == 0) == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(scenes[:, :50].ravel(), scenes[:, 50:].ravel())[0, 1]) < 0.015
    assert abs(np.corrcoef(scenes[0].ravel(), scenes[1].ravel())[0, 1]) < 0.05


def test_no_noise_is_none() -> None:
    digits = bank({})
    assert not render(draw(BARE, np.arange(5), digits, noise=0, digit_noise=0), digits).any()


@pytest.mark.parametrize("share", [0.0, 0.03, 0.2, 1.0])
def test_the_share_of_the_canvas_that_was_asked_for_is_replaced(share: float) -> None:
    digits = bank({3: np.full((28, 28), 255, np.uint8)})
    drawn = draw(PRESETS["clean"], np.arange(100), digits, digit=3, x=40, y=61, digit_noise=share)
    scenes = render(drawn, digits)
    canvas = scenes[:, 47:75, 26:54].astype(float)
    replaced = canvas < 1
    n = canvas.size
    # One in 65,536 of the new intensities is 1 as well.
    assert replaced.mean() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / n) + 1e-4)
    if share:
        assert canvas[replaced].mean() == pytest.approx(0.5, abs=5 * math.sqrt(1 / 12 / replaced.sum()))
        assert canvas[replaced].min() < 0.01
    scenes[:, 47:75, 26:54] = 0
    assert not scenes.any()


def test_the_ink_is_free_of_noise_and_clutter() -> None:
    drawn = draw(PRESETS["article"], SEEDS[:20], SPECKLED)
    quiet = drawn._replace(
        noise_sigma=0 * drawn.noise_sigma,
        digit_noise_share=0 * drawn.digit_noise_share,
        clutter_count=0 * drawn.clutter_count,
    )
    np.testing.assert_allclose(render_ink(drawn, SPECKLED), render(quiet, SPECKLED), atol=1e-6)


@pytest.fixture(params=list(PRESETS.values()), ids=list(PRESETS))
def drawn(request: pytest.FixtureRequest) -> SceneParameters:
    return draw(request.param, SEEDS, SPECKLED)


def test_intensities_are_from_0_to_1(drawn: SceneParameters) -> None:
    scenes = render(drawn, SPECKLED)
    assert (scenes.dtype, scenes.shape) == (np.float32, (200, drawn.side_px, drawn.side_px))
    assert scenes.min() == 0
    assert 0.9 < scenes.max() <= 1


def test_a_seed_makes_the_same_pixels_bit_for_bit_in_any_batch(drawn: SceneParameters) -> None:
    scenes = render(drawn, SPECKLED)
    assert np.array_equal(render(drawn, SPECKLED), scenes)
    for chosen in ([17], [150, 3, 17]):
        some = each_array(drawn, itemgetter(chosen))
        assert np.array_equal(render(some, SPECKLED), scenes[chosen])
    assert not np.array_equal(scenes[0], scenes[1])


def to_torch(parameters: SceneParameters) -> SceneParameters:
    return each_array(parameters, torch.from_numpy)


def torch_digits(digits: Digits) -> Digits:
    return digits_like(torch.zeros(0), digits)


@pytest.mark.parametrize("name", PRESETS)
def test_numpy_and_torch_make_the_same_scenes(name: str, test_digits: Digits) -> None:
    # In the last six a sample of clutter falls on the border of two canvas pixels, but for single precision.
    seeds = np.concatenate([np.arange(300), [1428, 2458, 2687, 4220, 4271, 5725]])
    ours = render(draw(PRESETS[name], seeds, test_digits), test_digits)
    on_torch = torch_digits(test_digits)
    theirs = render(draw(PRESETS[name], torch.from_numpy(seeds), on_torch), on_torch)
    assert theirs.dtype == torch.float32
    difference = np.abs(ours - theirs.numpy())
    if name == "paper":  # a cosine at the middle between two steps of a JPEG may be rounded up or down
        assert (difference > 2e-5).mean() <= 1e-3
        assert difference.max() <= 0.05
    else:
        assert difference.max() <= 2e-5


def test_rendering_changes_nothing_of_what_it_is_given(drawn: SceneParameters) -> None:
    before = {name: np.array(value) for name, value in all_fields(drawn).items()}
    images, softened = SPECKLED.images.copy(), SPECKLED.softened.copy()
    render(drawn, SPECKLED)
    render_ink(to_torch(drawn), torch_digits(SPECKLED))
    for name, value in all_fields(drawn).items():
        assert np.array_equal(value, before[name]), name
    assert np.array_equal(SPECKLED.images, images)
    assert np.array_equal(SPECKLED.softened, softened)


@pytest.mark.parametrize("library", [np, torch])
def test_a_gpus_way_of_leaving_no_slot_out_makes_the_same_pixels(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: Any = SEEDS[:40]
    digits = SPECKLED
    if library is torch:
        seeds, digits = torch.from_numpy(seeds), torch_digits(digits)
    parameters = draw(PRESETS["wide"], seeds, digits)
    assert len(set(parameters.clutter_count.tolist())) > 5  # some slots are empty, not the same everywhere
    expected = render(parameters, digits)
    monkeypatch.setattr("scenes.render.is_asynchronous", lambda _array: True)
    assert bool((render(parameters, digits) == expected).all())
