"""The metrics of weakly supervised localisation. They use true boxes, so no training may import this."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
CALIBRATION_BINS = 15
MAX_BOX_ACC_V2_THRESHOLDS = (0.3, 0.5, 0.7)


class Figures(NamedTuple):
    """Metrics of one draw of scenes, each in [0, 1]."""

    error: float
    mean_iou: float
    corloc: float
    top1_loc: float
    max_box_acc_v2: float


def intersection_over_union(boxes: Floats, truth: Floats) -> Floats:
    """IoU of boxes `[n, 4]` (x, y, width, height) with their true boxes `[n, 4]`: `[n]`."""
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:], axis=1) + np.prod(truth[:, 2:], axis=1)
    # Two boxes without area would divide 0 by 0; their IoU is 0.
    iou: Floats = common / np.maximum(areas - common, np.finfo(areas.dtype).tiny)
    return iou


def localisation_figures(
    predicted: npt.NDArray[np.integer], labels: npt.NDArray[np.integer], boxes: Floats, truth: Floats
) -> Figures:
    """All figures of one draw.

    CorLoc@0.5 is the share of boxes with an IoU of at least ½ (Deselaers et al. 2012); Top-1 Loc asks that
    the label is right as well (Russakovsky et al. 2015); MaxBoxAccV2 (Choe et al. 2020) averages the share
    over the IoU thresholds 0.3, 0.5 and 0.7. Its maximum runs over thresholds on a score map; a method that
    predicts boxes has none.

    Args:
        predicted: classes `[n]`.
        labels: true classes `[n]`.
        boxes: predicted x, y, width, height `[n, 4]`.
        truth: true boxes, likewise.
    """
    iou = intersection_over_union(boxes, truth)
    right = predicted == labels
    return Figures(
        error=float(np.mean(~right)),
        mean_iou=float(np.mean(iou)),
        corloc=float(np.mean(iou >= 0.5)),
        top1_loc=float(np.mean((iou >= 0.5) & right)),
        max_box_acc_v2=float(np.mean([np.mean(iou >= t) for t in MAX_BOX_ACC_V2_THRESHOLDS])),
    )


def expected_calibration_error(confidence: Floats, right: npt.NDArray[np.bool_]) -> float:
    """The difference between confidence and the share of right answers, averaged (Naeini et al. 2015).

    Scenes are put into 15 bins of equal width by their confidence, as Guo et al. 2017 do.

    Args:
        confidence: probability of the predicted class, `[n]`.
        right: whether it was the true class, `[n]`.
    """
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(confidence))


def area_under_roc(positive: Floats, negative: Floats) -> float:
    """The probability that a positive scores higher than a negative; ties count half (Hanley & McNeil 1982).

    Args:
        positive: scores of the positives, `[n]`.
        negative: scores of the negatives, `[m]`.
    """
    ordered = np.sort(negative)
    lower = np.searchsorted(ordered, positive, side="left")
    not_higher = np.searchsorted(ordered, positive, side="right")
    return float((lower + not_higher).mean() / 2 / len(ordered))
