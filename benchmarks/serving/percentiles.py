"""Percentiles of latencies of which some never came to an end."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank).

    Nothing is interpolated, so that an infinite value, which is that of a request nobody answered, does not
    turn its neighbours into infinity or NaN.

    Args:
        values: in any order, infinity among them where there is no end.
        share: above 0, at most 1.

    Raises:
        ValueError: there is no value, or the share is not in its range.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"percentile: expected values and a share in (0, 1], got {len(values)} and {share}")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def finite_or_none(value: float) -> float | None:
    """None for infinity, which JSON lacks."""
    return value if math.isfinite(value) else None
