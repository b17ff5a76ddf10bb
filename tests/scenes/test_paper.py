"""Scenes as pictures of paper: what was drawn can be seen, and the digit's own ink is never covered."""

from __future__ import annotations

import numpy as np
import pytest

from scenes.digits import Digits, with_non_digits
from scenes.draw import SceneParameters, draw
from scenes.edit import replace_by_non_digits
from scenes.paper import PaperParameters
from scenes.paper_render import on_paper
from scenes.presets import PRESETS, Preset
from scenes.render import render, render_ink
from scenes.truth import ink_boxes
from tests.scenes.banks import bank, block, speckled_bank

SEEDS = np.arange(300)
SIDE = 100


def plain(**changes: float | bool) -> PaperParameters:
    """One white page with black ink, lit evenly, but for what is changed."""
    calm = dict.fromkeys(PaperParameters._fields, 0.0) | {
        "contrast": 1.0,
        "ground": 1.0,
        "shadow_softness_px": 1.0,
        "line_pitch_px": 10.0,
        "line_width_px": 1.0,
        "bright_ink": False,
        "squared": False,
        "sheet": False,
        "edge": False,
    }
    return PaperParameters(
        **{
            name: np.array([value], bool if isinstance(value, bool) else np.float32)
            for name, value in (calm | changes).items()
        }
    )


def show(ink: np.ndarray, **changes: float | bool) -> np.ndarray:
    (picture,) = on_paper(ink[None].astype(np.float32), plain(**changes), np.array([5]))
    return np.asarray(picture)


@pytest.fixture(scope="module")
def blot() -> np.ndarray:
    ink = np.zeros((SIDE, SIDE))
    ink[20:40, 60:70] = 1.0
    return ink


def test_ink_is_darker_or_brighter_than_its_ground_by_its_contrast(blot: np.ndarray) -> None:
    dark = show(blot, ground=0.8, contrast=0.25)
    assert dark[30, 65] == pytest.approx(0.8 * 0.75, abs=1e-5)
    assert dark[80, 10] == pytest.approx(0.8, abs=1e-5)
    bright = show(blot, ground=0.2, contrast=0.5, bright_ink=True)
    assert bright[30, 65] == pytest.approx(0.2 + 0.5 * 0.8, abs=1e-5)
    assert bright[80, 10] == pytest.approx(0.2, abs=1e-5)


def test_a_gradient_rises_along_its_angle(blot: np.ndarray) -> None:
    to_the_right = show(0 * blot, ground=0.5, gradient=0.2)
    assert to_the_right[50, 99] == pytest.approx(0.5 * (1 + 0.2 * 0.99), abs=1e-5)
    assert to_the_right[50, 0] == pytest.approx(0.5 * (1 - 0.2 * 0.99), abs=1e-5)
    assert np.ptp(to_the_right[:, 30]) < 1e-5
    down = show(0 * blot, ground=0.5, gradient=0.2, gradient_angle_rad=np.pi / 2)
    assert down[99, 50] > down[0, 50] + 0.15
    assert np.ptp(down[30, :]) < 1e-5


def test_a_shadow_lies_beyond_its_edge(blot: np.ndarray) -> None:
    shaded = show(0 * blot, shadow_depth=0.4, shadow_offset_px=10.0)
    assert shaded[0, 40] == pytest.approx(1.0, abs=1e-3)
    assert shaded[0, 80] == pytest.approx(0.6, abs=1e-3)


def test_lines_are_ruled_at_their_pitch_and_squared_along_both_axes(blot: np.ndarray) -> None:
    ruled = show(0 * blot, line_depth=0.3)
    dark = np.flatnonzero(ruled[:, 50] < 0.9)
    assert set(np.diff(dark).tolist()) <= {1, 9, 10}
    assert len(dark) >= 9
    assert np.ptp(ruled[dark[0], :]) < 1e-5
    squared = show(0 * blot, line_depth=0.3, squared=True)
    assert (squared[50] < 0.9).sum() >= 9


def test_a_sheet_lies_on_a_desk_of_another_level(blot: np.ndarray) -> None:
    sheet = {"sheet": True, "sheet_x_px": 60.0, "sheet_y_px": 30.0, "desk": 0.1}
    picture = show(blot, sheet_half_width_px=20.0, sheet_half_height_px=25.0, **sheet)
    assert picture[10, 60] == 1.0
    assert picture[30, 65] < 1e-5
    assert picture[30, 20] == pytest.approx(0.1, abs=1e-5)
    assert picture[90, 60] == pytest.approx(0.1, abs=1e-5)


def test_what_lies_over_the_picture_ends_at_its_edge(blot: np.ndarray) -> None:
    covered = show(0 * blot, edge=True, edge_x_px=20.0, edge_y_px=50.0, edge_distance_px=30.0, edge_level=0.3)
    assert covered[10, 40] == 1.0
    assert covered[10, 60] == pytest.approx(0.3, abs=1e-5)


def test_blur_spreads_ink_and_keeps_its_sum(blot: np.ndarray) -> None:
    sharp, blurred = 1 - show(blot), 1 - show(blot, blur_sigma_px=2.0)
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=1e-4)
    assert blurred[18, 65] > 0.1 > sharp[18, 65]


def test_jpeg_keeps_the_blocks_means_and_loses_what_is_fine(blot: np.ndarray) -> None:
    random = np.random.default_rng(3)
    fine = 0.5 + 0.05 * random.standard_normal((SIDE, SIDE))
    kept = show(fine, ground=1.0, contrast=0.6)
    coarse = show(fine, ground=1.0, contrast=0.6, jpeg_step=2.0)
    assert np.abs(coarse - kept).max() > 0.01
    assert np.std(coarse[:96, :96]) < 0.7 * np.std(kept[:96, :96])
    means = [picture[:96, :96].reshape(12, 8, 12, 8).mean((1, 3)) for picture in (kept, coarse)]
    assert np.abs(means[0] - means[1]).max() <= 16 * 2 / 8 / 255 / 2 + 1e-3


@pytest.fixture(scope="module")
def drawn() -> SceneParameters:
    return draw(PRESETS["paper"], SEEDS, speckled_bank())


def test_neither_a_desk_nor_an_edge_covers_the_digits_own_ink() -> None:
    digits = bank({3: block(6, 22, 9, 19)})
    drawn = draw(PRESETS["paper"], SEEDS, digits, digit=3, clutter=0)
    assert drawn.paper is not None
    covered = drawn.paper._replace(
        sheet=np.ones(len(SEEDS), bool),
        edge=np.ones(len(SEEDS), bool),
        desk=0 * drawn.size_px,
        blur_sigma_px=0 * drawn.size_px,
    )
    still = dict.fromkeys(
        ("gradient", "shadow_depth", "vignette", "texture", "grain_sigma", "line_depth", "jpeg_step"),
        0 * drawn.size_px,
    )
    covered = covered._replace(**still, bright_ink=np.zeros(len(SEEDS), bool), ground=0 * drawn.size_px + 0.5)
    ink = render_ink(drawn, digits)
    picture = on_paper(ink, covered, drawn.seed)
    expected = covered.ground[:, None, None] * (1 - covered.contrast[:, None, None] * ink)
    inside = ink > 0.5
    assert np.abs(picture - expected)[inside].max() < 1e-4


def test_ink_always_fits_and_comes_in_all_sizes(drawn: SceneParameters) -> None:
    digits = bank({label: block(4, 24, 6, 22) for label in range(10)})
    scenes = draw(PRESETS["paper"], np.arange(2000), digits)
    boxes = ink_boxes(scenes, digits)
    longer = boxes[:, 2:].max(1)
    assert longer.min() < 9
    assert longer.max() > 88
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= SIDE).all()


def test_redrawn_strokes_are_sharp_and_as_wide_as_their_level_says() -> None:
    digits = bank({1: block(4, 24, 12, 16)})
    drawn = draw(PRESETS["paper"], np.arange(1), digits, digit=1, x=50, y=50, size=84, clutter=0)
    widths = []
    for level in (0.4, 0.6, 0.8):
        ink = render_ink(drawn._replace(stroke_level=np.array([level], np.float32)), digits)[0]
        widths.append(int((ink[50] > 0.5).sum()))
    assert widths[0] > widths[1] > widths[2] > 3
    as_written = render_ink(drawn._replace(stroke_level=np.array([0.0], np.float32)), digits)[0]
    assert widths[0] > (as_written[50] > 0.5).sum() > widths[2]


def test_the_article_s_scenes_can_be_shown_on_paper_with_the_same_truth() -> None:
    digits = speckled_bank()
    article: Preset = PRESETS["article"]
    scene, paper = (draw(article, SEEDS[:20], digits, paper=shown) for shown in (None, True))
    assert scene.paper is None
    assert paper.paper is not None
    assert np.array_equal(ink_boxes(scene, digits), ink_boxes(paper, digits))
    assert not np.array_equal(render(scene, digits), render(paper, digits))


def test_others_replace_target_and_clutter_where_they_are_chosen() -> None:
    digits: Digits = speckled_bank()
    others = np.full((3, 28, 28), 200, np.uint8)
    more = with_non_digits(digits, others)
    drawn = draw(PRESETS["paper"], SEEDS, more)
    assert (drawn.digit_index < len(digits.labels)).all()
    chosen = SEEDS % 2 == 0
    replaced = replace_by_non_digits(drawn, chosen, more)
    assert (replaced.digit_index[chosen] >= len(digits.labels)).all()
    assert (replaced.clutter_index[chosen] >= len(digits.labels)).all()
    assert set(replaced.digit_index[chosen].tolist()) == {60, 61, 62}
    assert np.array_equal(replaced.digit_index[~chosen], drawn.digit_index[~chosen])
    assert np.array_equal(replaced.clutter_index[~chosen], drawn.clutter_index[~chosen])
