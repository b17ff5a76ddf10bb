"""The generator's figures are of the shipped file, the documents show them, and they are good enough."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.documents import MODEL_CARD, read_out
from benchmarks.model_card.figures import generated_table
from benchmarks.model_card.generator import generate_digits, markdown_table
from benchmarks.results import FOLDER
from models.contract import load_contract
from models.digits_contract import DIGITS_PATH, load_digits_contract
from trainer.handwriting.presets import PRESETS


def read(name: str) -> dict[str, Any]:
    result = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    figures: dict[str, Any] = result["figures"]
    return figures


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return read("generator")


@pytest.fixture(scope="module")
def shipped(measured: dict[str, Any]) -> dict[str, Any]:
    name = load_digits_contract().provenance.preset
    assert name in PRESETS
    figures: dict[str, Any] = measured["generators"][name]
    return figures


def test_they_were_measured_on_the_shipped_file_by_a_good_judge(
    measured: dict[str, Any], shipped: dict[str, Any]
) -> None:
    assert shipped["model_sha256"] == load_digits_contract().sha256
    assert shipped["bytes"] == DIGITS_PATH.stat().st_size
    assert measured["digits"] == 10_000
    assert measured["judge_error"] <= 0.006


def test_the_shipped_file_keeps_its_bounds(shipped: dict[str, Any]) -> None:
    assert shipped["bytes"] <= 1_500_000
    assert shipped["one_digit_ms"] <= 1
    assert shipped["fidelity"] >= 0.99
    assert shipped["cas"] >= 0.975
    assert min(shipped["precision"], shipped["recall"]) >= 0.75
    assert shipped["no_copy"] >= 0.99


def test_it_was_compared_with_another_method_and_is_the_better(
    measured: dict[str, Any], shipped: dict[str, Any]
) -> None:
    others = [found for found in measured["generators"].values() if found is not shipped]
    assert others
    assert all(found["cas"] < shipped["cas"] for found in others)


def test_the_model_card_shows_them(measured: dict[str, Any]) -> None:
    assert read_out("generator", MODEL_CARD) == markdown_table(measured["real"], measured["generators"])


def test_scenes_of_generated_digits_were_measured_with_the_shipped_files() -> None:
    found = read("generated_scenes")
    assert found["model_sha256"] == load_contract().sha256
    assert found["generator_sha256"] == load_digits_contract().sha256
    assert (found["draws"], found["scenes_per_draw"]) == (10, 10_000)
    assert read_out("generated_scenes", MODEL_CARD) == generated_table(found["digits"])


def test_a_bank_holds_the_same_digits_however_many_there_are() -> None:
    many, few = generate_digits(DIGITS_PATH, 600), generate_digits(DIGITS_PATH, 20, first_style=580)
    np.testing.assert_array_equal(many.images[580:], few.images)
    np.testing.assert_array_equal(many.labels[:12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])


def test_the_sheet_shows_ten_by_twenty_digits() -> None:
    with Image.open(FOLDER / "digits-sheet.png") as sheet:
        assert sheet.width == 2 * sheet.height
        assert np.asarray(sheet).mean() > 200  # ink on paper
