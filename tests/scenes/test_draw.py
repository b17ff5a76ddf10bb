"""What is drawn: within its ranges, fitting its scene, and the same for a seed whatever stands beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from scenes.digits import Digits, digits_like
from scenes.draw import SceneParameters, draw
from scenes.presets import PRESETS, Preset, find_preset
from tests.scenes.banks import all_fields, speckled_bank

SEEDS = np.arange(2000)
ARTICLE = PRESETS["article"]
GIVEN: dict[str, float] = {
    "digit": 3,
    "x": 41.5,
    "y": 63.25,
    "size": 33.0,
    "clutter": 5,
    "noise": 0.125,
    "digit_noise": 0.0625,
}
CHANGED_BY = {
    # Clutter shows other classes than the target's, so its digits follow the target's.
    "digit": {"label", "digit_index", "clutter_index"},
    "x": {"centre_x_px"},
    "y": {"centre_y_px"},
    "size": {"size_px", "centre_x_px", "centre_y_px"},
    "clutter": {"clutter_count"},
    "noise": {"noise_sigma"},
    "digit_noise": {"digit_noise_share"},
}


@pytest.fixture(scope="module")
def bank() -> Digits:
    return speckled_bank()


@pytest.fixture(params=list(PRESETS.values()), ids=list(PRESETS))
def preset(request: pytest.FixtureRequest) -> Preset:
    preset: Preset = request.param
    return preset


def fields(parameters: SceneParameters) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in all_fields(parameters).items()}


def half_px(preset: Preset, size_px: np.ndarray) -> np.ndarray:
    """Half of what of a canvas has to fit: all of it, or MNIST's ink."""
    return np.minimum(11.5 / 28 * size_px, preset.side_px / 2) if preset.ink_fits else size_px / 2


def assert_spread(values: np.ndarray, lowest: float, highest: float) -> None:
    """Within the range, and over the whole of it: both ends are neared, the mean is the middle."""
    assert values.min() >= lowest
    assert values.max() <= highest
    span = highest - lowest
    assert values.min() <= lowest + 0.01 * span
    assert values.max() >= highest - 0.01 * span
    sd = span / math.sqrt(12)
    assert values.mean() == pytest.approx((lowest + highest) / 2, abs=5 * sd / math.sqrt(values.size) + 1e-6)


def test_every_parameter_is_spread_over_its_range(preset: Preset, bank: Digits) -> None:
    drawn = draw(preset, SEEDS, bank)
    assert drawn.side_px == preset.side_px
    scale = np.log if preset.log_size else np.asarray
    assert_spread(scale(drawn.size_px), *(float(scale(size)) for size in preset.size_px))
    assert_spread(drawn.noise_sigma, *preset.noise_sigma)
    assert_spread(drawn.digit_noise_share, *preset.digit_noise)
    counts = np.bincount(drawn.clutter_count, minlength=preset.clutter[1] + 1)
    kinds = preset.clutter[1] - preset.clutter[0] + 1
    assert len(counts) == preset.clutter[1] + 1
    assert counts[: preset.clutter[0]].sum() == 0
    expected = 2000 / kinds
    assert np.abs(counts[preset.clutter[0] :] - expected).max() <= 5 * math.sqrt(expected)
    if preset.clutter[1]:
        largest = preset.clutter_per_size * drawn.size_px
        free = largest >= preset.clutter_size_px[1]
        assert_spread(drawn.clutter_size_px[free], *preset.clutter_size_px)
        assert (drawn.clutter_size_px <= largest[:, None]).all()
        assert_spread(drawn.clutter_angle_rad, -math.pi, math.pi)
    assert drawn.crop_index.shape == (2000, preset.crops)
    if preset.crops:
        assert set(np.unique(drawn.crop_index)) == set(range(len(bank.labels)))
        for source in (drawn.crop_source_x, drawn.crop_source_y):
            assert set(np.unique(source)) == set(range(28 - 8 + 1))
        for place in (drawn.crop_x_px, drawn.crop_y_px):
            assert set(np.unique(place)) == set(range(preset.side_px - 8 + 1))


def test_canvases_always_fit_and_lie_anywhere_where_they_do(preset: Preset, bank: Digits) -> None:
    drawn = draw(preset, SEEDS, bank)
    half = half_px(preset, drawn.size_px)
    movable = 2 * half < preset.side_px
    for centre in (drawn.centre_x_px, drawn.centre_y_px):
        # Float32 rounds at 100 px to 4e−6.
        assert (centre - half).min() >= -1e-5
        assert (centre + half).max() <= preset.side_px + 1e-5
        room = ((centre - half) / (preset.side_px - 2 * half + 1e-9))[movable]
        assert_spread(room.clip(0, 1), 0, 1)
    for centre in (drawn.clutter_centre_x_px, drawn.clutter_centre_y_px):
        if centre.size:
            assert (centre - drawn.clutter_size_px / 2).min() >= -1e-5
            assert (centre + drawn.clutter_size_px / 2).max() <= preset.side_px + 1e-5
    assert abs(np.corrcoef(drawn.centre_x_px, drawn.centre_y_px)[0, 1]) < 5 / math.sqrt(2000)


@pytest.mark.parametrize("size", [12.0, 20.0, 47.5, 60.0])
def test_a_canvas_of_a_given_size_fits_as_well(preset: Preset, bank: Digits, size: float) -> None:
    drawn = draw(preset, SEEDS, bank, size=size)
    assert set(drawn.size_px.tolist()) == {size}
    half = float(half_px(preset, np.array(size)))
    for centre in (drawn.centre_x_px, drawn.centre_y_px):
        assert (centre - half).min() >= -1e-5
        assert (centre + half).max() <= preset.side_px + 1e-5
        if size < preset.side_px:
            # Not in a part of the scene alone: to within 3 px of either edge.
            assert (centre - half).min() <= 3
            assert (centre + half).max() >= preset.side_px - 3


@pytest.mark.parametrize("place", [{"x": 12.0}, {"y": 89.0}, {"x": 80.0, "y": 11.0}])
def test_a_given_place_bounds_the_size(bank: Digits, place: dict[str, Any]) -> None:
    drawn = draw(ARTICLE, SEEDS, bank, **place)
    room = 2 * min(min(value, 100 - value) for value in place.values())
    assert_spread(drawn.size_px, 20, min(48, room))


@pytest.mark.parametrize("name", ["cluttered-100", "cluttered-60", "clean"])
def test_cluttered_presets_place_their_canvas_on_whole_pixels(name: str, bank: Digits) -> None:
    preset = PRESETS[name]
    drawn = draw(preset, SEEDS, bank)
    corners = set((drawn.centre_x_px - 14).tolist()) | set((drawn.centre_y_px - 14).tolist())
    assert corners == set(range(preset.side_px - 28 + 1))


def test_clutter_is_never_of_the_targets_class_and_of_every_other(bank: Digits) -> None:
    drawn = draw(PRESETS["wide"], SEEDS, bank)
    classes = bank.labels[drawn.clutter_index]
    assert classes.shape == (2000, 16)
    assert not (classes == drawn.label[:, None]).any()
    beside = np.bincount((classes - drawn.label[:, None]).ravel() % 10, minlength=10)[1:]
    assert np.abs(beside - 32_000 / 9).max() < 5 * math.sqrt(32_000 / 9)
    assert set(np.unique(drawn.clutter_index)) == set(range(len(bank.labels)))
    assert drawn.clutter_size_px.max() <= drawn.size_px.min()


def test_targets_follow_the_data_set(bank: Digits) -> None:
    drawn = draw(ARTICLE, np.arange(12_000), bank)
    assert np.array_equal(bank.labels[drawn.digit_index], drawn.label)
    each = np.bincount(drawn.digit_index, minlength=60)
    assert np.abs(each - 200).max() < 5 * math.sqrt(200)
    of_class = np.bincount(drawn.label, minlength=10)
    assert np.abs(of_class - 200 * bank.class_count).max() < 5 * math.sqrt(12_000 / 4)


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given_is_used_and_shifts_nothing_else(bank: Digits, name: str) -> None:
    # Small canvases, so that a given centre does not bound the size.
    preset = Preset(
        "small", "made up", size_px=(20, 30), clutter=(0, 8), noise_sigma=(0, 1), digit_noise=(0, 1)
    )
    free = fields(draw(preset, SEEDS, bank))
    given = fields(draw(preset, SEEDS, bank, **{name: GIVEN[name]}))  # type: ignore[arg-type]
    column = {
        "digit": "label",
        "x": "centre_x_px",
        "y": "centre_y_px",
        "size": "size_px",
        "clutter": "clutter_count",
        "noise": "noise_sigma",
        "digit_noise": "digit_noise_share",
    }[name]
    assert set(given[column].tolist()) == {GIVEN[name]}
    for field, values in free.items():
        if field in CHANGED_BY[name]:
            assert not np.array_equal(given[field], values), field
        elif name == "clutter" and field.startswith("clutter_"):
            # Room for 5 instead of 8: the first five are what they were. Places come in pairs.
            assert np.array_equal(given[field], values[:, :5]), field
        else:
            assert np.array_equal(given[field], values), field


def test_the_digit_that_a_seed_draws_anyway_is_the_very_same_when_asked_for(bank: Digits) -> None:
    free = draw(ARTICLE, SEEDS, bank)
    for digit in range(10):
        asked = draw(ARTICLE, SEEDS, bank, digit=digit)
        assert set(asked.label.tolist()) == {digit}
        same = free.label == digit
        assert same.sum() > 50
        assert np.array_equal(asked.digit_index[same], free.digit_index[same])
        assert np.array_equal(asked.clutter_index[same], free.clutter_index[same])
        # And all digits of the class are drawn.
        assert set(np.unique(asked.digit_index)) == set(np.flatnonzero(bank.labels == digit))


def test_a_seed_means_the_same_scene_in_any_batch(preset: Preset, bank: Digits) -> None:
    many = fields(draw(preset, np.array([9, 2**40 + 3, 77, 4]), bank))
    few = fields(draw(preset, np.array([77, 2**40 + 3]), bank))
    alone = fields(draw(preset, np.array([77]), bank))
    for name, values in many.items():
        if values.ndim:
            assert np.array_equal(few[name], values[[2, 1]]), name
            assert np.array_equal(alone[name], values[[2]]), name


def test_torch_draws_what_numpy_draws(preset: Preset, bank: Digits) -> None:
    seeds = np.arange(300) + 2**41
    ours = fields(draw(preset, seeds, bank))
    theirs = draw(preset, torch.from_numpy(seeds), digits_like(torch.zeros(0), bank))
    for name, values in fields(theirs).items():
        if np.issubdtype(values.dtype, np.floating):
            assert values.dtype == ours[name].dtype, name
        # Libraries round logarithms and exponentials differently in their last bit.
        assert np.allclose(values, ours[name], rtol=0, atol=2e-5 if preset.on_paper else 0), name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"digit": 10}, "digit: expected a whole number from 0 to 9, got 10"),
        ({"digit": -1}, "digit: expected a whole number from 0 to 9, got -1"),
        ({"clutter": -1}, "clutter: expected a whole number of 0 or more, got -1"),
        ({"size": 0.0}, "size: expected more than 0 and at most 100 px, got 0.0"),
        ({"size": 101.0}, "size: expected more than 0 and at most 100 px, got 101.0"),
        ({"size": float("nan")}, "size: expected more than 0 and at most 100 px, got nan"),
        ({"x": 9.5}, "x: expected 10 to 90, where a canvas of 20 px fits, got 9.5"),
        ({"y": 90.5}, "y: expected 10 to 90, where a canvas of 20 px fits, got 90.5"),
        ({"y": float("nan")}, "y: expected 10 to 90, .*got nan"),
        ({"size": 40.0, "x": 19.0}, "x: expected 20 to 80, where a canvas of 40 px fits, got 19.0"),
    ],
)
def test_what_makes_no_scene_is_refused_with_name_range_and_value(
    bank: Digits, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        draw(ARTICLE, SEEDS[:1], bank, **given)


@pytest.mark.parametrize("value", [-0.25, 1.25, float("nan")])
@pytest.mark.parametrize("name", ["noise", "digit_noise"])
def test_noise_is_from_0_to_1(bank: Digits, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected 0 to 1, got {value}"):
        draw(ARTICLE, SEEDS[:1], bank, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"x": 10.0}, {"y": 90.0}, {"size": 100.0}, {"size": 40.0, "x": 20.0}])
def test_the_ends_of_a_range_are_within_it(bank: Digits, given: dict[str, Any]) -> None:
    drawn = draw(ARTICLE, SEEDS[:50], bank, **given)
    assert (drawn.centre_x_px - drawn.size_px / 2).min() >= -1e-5
    assert (drawn.centre_y_px + drawn.size_px / 2).max() <= 100 + 1e-5


def test_an_unknown_preset_is_refused_with_the_choices() -> None:
    with pytest.raises(
        ValueError, match=r"scene preset: expected one of article, cluttered-100, .* got 'art'"
    ):
        find_preset("art")


def test_presets_are_what_the_contract_says() -> None:
    assert (ARTICLE.side_px, ARTICLE.size_px, ARTICLE.clutter, ARTICLE.clutter_size_px) == (
        100,
        (20, 48),
        (0, 8),
        (10, 16),
    )
    assert (ARTICLE.noise_sigma, ARTICLE.digit_noise, ARTICLE.crops) == ((0, 0.3), (0, 0.2), 0)
    for name, side, crops in (("cluttered-100", 100, 8), ("cluttered-60", 60, 4)):
        preset = PRESETS[name]
        assert (preset.side_px, preset.size_px, preset.crops, preset.crop_side_px) == (
            side,
            (28, 28),
            crops,
            8,
        )
        assert (preset.clutter, preset.noise_sigma, preset.digit_noise) == ((0, 0), (0, 0), (0, 0))
