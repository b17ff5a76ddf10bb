"""The figures on four boxes whose overlaps can be counted in the head."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.metrics import intersection_over_union, localisation_figures

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
