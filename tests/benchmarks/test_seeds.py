"""Of several seeds the median is shipped, chosen by label errors on held-out digits alone."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.seeds import median_seed


def run(seed: int, article: float, cluttered: float, **test: float) -> dict[str, Any]:
    return {
        "seed": seed,
        "validation_error": {"article": article, "cluttered-100": cluttered},
        "test": {"presets": {"article": test}},
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_median_of_the_summed_label_errors_is_chosen(order: tuple[int, ...]) -> None:
    runs = [run(0, 0.020, 0.010), run(1, 0.016, 0.011), run(2, 0.017, 0.012)]  # 0.030, 0.027, 0.029
    assert median_seed([runs[i] for i in order]) == 2


def test_of_two_the_worse_is_chosen() -> None:
    assert median_seed([run(5, 0.02, 0.01), run(6, 0.02, 0.02)]) == 6


def test_figures_on_test_digits_have_no_say() -> None:
    runs = [run(0, 0.02, 0.01), run(1, 0.01, 0.01), run(2, 0.03, 0.01)]
    flattered = [
        run(0, 0.02, 0.01, error=0.9, mean_iou=0.1),
        run(1, 0.01, 0.01, error=0.0, mean_iou=1.0),
        run(2, 0.03, 0.01, error=0.0, mean_iou=1.0),
    ]
    assert median_seed(runs) == median_seed(flattered) == 0
