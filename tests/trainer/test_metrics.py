"""The figures on four boxes whose overlaps can be counted in the head."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.evaluation.metrics import (
    area_under_roc,
    expected_calibration_error,
    intersection_over_union,
    localisation_figures,
)

TRUTH = np.array([10.0, 20.0, 10.0, 4.0])  # area 40, not square


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([10, 20, 10, 4], 1.0),
        ([10, 20, 10, 2], 20 / 40),  # contained: its upper half
        ([8, 18, 14, 8], 40 / 112),  # containing
        ([15, 22, 10, 4], 10 / 70),  # 5 × 2 in common, 40 + 40 − 10 together
        ([20, 20, 10, 4], 0.0),  # touching along an edge
        ([20, 24, 10, 4], 0.0),  # touching at a corner
        ([70, 20, 10, 4], 0.0),  # apart in x
        ([10, 60, 10, 4], 0.0),  # apart in y
        ([20, 10, 4, 10], 0.0),  # the axes exchanged
    ],
)
def test_intersection_over_union(box: list[float], expected: float) -> None:
    found = intersection_over_union(np.array([box], np.float32), TRUTH[None])
    assert found.tolist() == pytest.approx([expected])
    assert intersection_over_union(TRUTH[None], np.array([box], np.float32)).tolist() == pytest.approx(
        [expected]
    )


def test_the_figures_of_four_scenes() -> None:
    truth = np.repeat(TRUTH[None], 4, axis=0)
    boxes = np.array([[10, 20, 10, 4], [10, 20, 10, 2], [8, 18, 14, 8], [70, 20, 10, 4]], np.float64)
    figures = localisation_figures(np.array([1, 2, 3, 9]), np.array([1, 7, 3, 4]), boxes, truth)
    # IoU 1, ½ (reached, not missed), 0.357 and 0; the labels of scenes 1 and 3 are right.
    assert figures.error == 0.5
    assert figures.mean_iou == pytest.approx((1 + 0.5 + 40 / 112) / 4)
    assert figures.corloc == 0.5
    assert figures.top1_loc == 0.25
    # 3 of 4 reach 0.3, 2 reach 0.5, 1 reaches 0.7.
    assert figures.max_box_acc_v2 == pytest.approx((3 + 2 + 1) / 12)


def calibration_error(*scenes: tuple[float, bool]) -> float:
    confidence, right = zip(*scenes, strict=True)
    return expected_calibration_error(np.array(confidence, np.float32), np.array(right))


def test_the_calibration_error_of_two_bins() -> None:
    # Bins are fifteenths. From 9/15 to 10/15: confidences of mean 0.625, half of them right, 0.125 too sure.
    # From 13/15 to 14/15: 0.9 three times, all right, 0.1 too modest. (2 · 0.125 + 3 · 0.1) / 5.
    found = calibration_error((0.61, True), (0.64, False), (0.9, True), (0.9, True), (0.9, True))
    assert found == pytest.approx((2 * 0.125 + 3 * 0.1) / 5, abs=1e-6)


def test_what_is_too_sure_and_too_modest_in_one_bin_evens_out_but_not_in_two() -> None:
    assert calibration_error((0.61, True), (0.65, False)) == pytest.approx(0.63 - 0.5, abs=1e-6)
    # A bin to the right, 0.67 and above: 0.39 and 0.68 by themselves.
    assert calibration_error((0.61, True), (0.68, False)) == pytest.approx((0.39 + 0.68) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [(1.0, True, 0.0), (1.0, False, 1.0), (0.0, False, 0.0), (0.0, True, 1.0), (0.1, True, 0.9)],
)
def test_calibration_at_the_ends(confidence: float, right: bool, expected: float) -> None:
    assert calibration_error(*[(confidence, right)] * 4) == pytest.approx(expected, abs=1e-6)


def test_who_is_right_as_often_as_told_has_no_calibration_error() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.1, 1, 200_000)
    right = random.uniform(0, 1, 200_000) < confidence
    assert expected_calibration_error(confidence, right) < 0.005
    assert expected_calibration_error(confidence**2, right) > 0.1


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ([0.8, 0.9], [0.1, 0.7, 0.2], 1.0),
        ([0.1, 0.2], [0.3, 0.9, 0.8], 0.0),
        # Of 6 pairs 0.5 wins against 0.2 and 0.4, 0.3 against 0.2.
        ([0.5, 0.3], [0.2, 0.4, 0.6], 3 / 6),
        # 0.5 wins once and ties twice; 0.7 wins against all.
        ([0.5, 0.7], [0.5, 0.1, 0.5], (1 + 2 / 2 + 3) / 6),
        ([0.5] * 3, [0.5] * 4, 0.5),
        ([1.0], [0.0], 1.0),
    ],
)
def test_the_area_under_the_roc(positive: list[float], negative: list[float], expected: float) -> None:
    found = area_under_roc(np.array(positive, np.float32), np.array(negative, np.float32))
    assert found == pytest.approx(expected)
    # Whose scores are whose exchanged, it is the rest of 1.
    other = area_under_roc(np.array(negative, np.float32), np.array(positive, np.float32))
    assert other == pytest.approx(1 - expected)
