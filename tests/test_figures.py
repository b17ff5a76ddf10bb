"""The figures that the documents show are the measured ones, and measured on the model that is shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.documents import FRONT_PAGE, MODEL_CARD, ROOT, read_out
from benchmarks.model_card.figures import presets_table
from benchmarks.model_card.seeds import median_seed, provenance_table, seeds_table
from models.contract import load_contract
from scenes.presets import PRESETS


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    result = json.loads((ROOT / "benchmarks" / "results" / "figures.json").read_text(encoding="utf-8"))
    figures: dict[str, Any] = result["figures"]
    return figures


def test_they_were_measured_on_the_shipped_model(measured: dict[str, Any]) -> None:
    contract = load_contract()
    assert measured["model_sha256"] == contract.sha256
    assert measured["presets"] == contract.metrics
    assert set(measured["presets"]) == set(PRESETS)
    assert (measured["draws"], measured["scenes_per_draw"]) == (3, 10_000)


@pytest.mark.parametrize("page", [FRONT_PAGE, MODEL_CARD])
def test_the_documents_show_them(measured: dict[str, Any], page: Path) -> None:
    assert read_out("figures", page) == presets_table(measured["presets"])


def test_the_card_says_what_made_the_model() -> None:
    assert read_out("provenance", MODEL_CARD) == provenance_table(load_contract())


def test_the_shipped_model_is_the_median_of_the_seeds_that_the_card_shows(measured: dict[str, Any]) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "seeds.json").read_text(encoding="utf-8"))
    seeds = result["figures"]
    assert seeds["shipped_seed"] == median_seed(seeds["runs"]) == load_contract().provenance.seed
    (shipped,) = (run["test"] for run in seeds["runs"] if run["seed"] == seeds["shipped_seed"])
    assert shipped == measured
    assert read_out("seeds", MODEL_CARD) == seeds_table(seeds)
