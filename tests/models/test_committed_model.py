"""The model that the repository ships keeps what its sidecar and its card promise, on fresh scenes."""

from __future__ import annotations

import math

import pytest

from models.contract import MODEL_PATH, Contract, load_contract
from scenes.digits import Digits
from scenes.presets import find_preset
from trainer.evaluation.evaluate import Predict, evaluate, load_predict
from trainer.evaluation.metrics import Figures

ARTICLE_SCENES = 2000
CLUTTERED_SCENES = 1000


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(MODEL_PATH)


@pytest.fixture(scope="module")
def predict(contract: Contract) -> Predict:
    return load_predict(MODEL_PATH)


@pytest.fixture(scope="module")
def article(predict: Predict, test_digits: Digits) -> Figures:
    (draw,) = evaluate(predict, find_preset("article"), test_digits, draws=1, scenes=ARTICLE_SCENES)
    return draw.ink


def test_the_file_is_the_one_that_its_sidecar_describes(contract: Contract) -> None:
    assert contract.file == MODEL_PATH.name
    assert contract.parameters <= 1_500_000
    assert contract.mflops_per_scene <= 80


def test_it_reads_and_frames_the_digits_of_article_scenes(article: Figures) -> None:
    assert article.error <= 0.04
    assert article.mean_iou >= 0.70
    assert article.corloc >= 0.93
    assert article.top1_loc <= min(article.corloc, 1 - article.error)


def test_it_reads_deepminds_cluttered_scenes(predict: Predict, test_digits: Digits) -> None:
    (draw,) = evaluate(predict, find_preset("cluttered-100"), test_digits, draws=1, scenes=CLUTTERED_SCENES)
    assert draw.ink.error <= 0.03


@pytest.mark.parametrize("name", Figures._fields)
def test_the_sidecars_figures_are_those_that_it_has(contract: Contract, article: Figures, name: str) -> None:
    claimed = contract.metrics["article"][name]
    found = getattr(article, name)
    # The mean of n numbers in [0, 1] whose mean is m deviates by at most √(m (1 − m) / n); four times that.
    deviation = math.sqrt(claimed * (1 - claimed) / ARTICLE_SCENES)
    assert found == pytest.approx(claimed, abs=4 * deviation + 1 / ARTICLE_SCENES)
