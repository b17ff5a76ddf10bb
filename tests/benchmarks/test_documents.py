"""The tables in the documents are the measured ones; presets and recipe are what was measured and decided."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.compare import ablations, localisation
from benchmarks.documents import DECISIONS_PAGE, FIGURES_PAGE, ROOT, origins_table, read_out
from benchmarks.rates import gpu, inference_rate
from benchmarks.results import FOLDER
from trainer.data.elastic import INTERPOLATION
from trainer.model import GlimpseModel
from trainer.training.method import own_method
from trainer.training.presets import find_training_preset

DECIDED = ROOT / "docs" / "decisions" / "results"


def load_result(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("localisation", localisation.markdown),
        ("ablations", ablations.markdown),
        ("inference_rate", inference_rate.markdown),
        ("gpu", gpu.markdown),
    ],
)
def test_the_page_shows_what_was_measured(name: str, table: Callable[[dict[str, Any]], str]) -> None:
    result = FOLDER / f"{name}.json"
    measured = table(json.loads(result.read_text(encoding="utf-8"))["figures"]) if result.is_file() else ""
    assert read_out(name) == measured


@pytest.mark.parametrize("page", [FIGURES_PAGE, DECISIONS_PAGE])
def test_the_documents_say_where_each_figure_comes_from(page: Path) -> None:
    assert read_out("origins", page) == origins_table(page), "python -m benchmarks tables writes it"


def test_every_result_can_be_measured_again_by_a_command() -> None:
    commands = {path.name: load_result(path.stem)["command"] for path in FOLDER.glob("*.json")}
    named = {file: re.match(r"python -m benchmarks[ .](\w+)", command) for file, command in commands.items()}
    assert {file for file, found in named.items() if not found or found[1] not in BENCHMARKS} == set()


def test_each_result_of_a_decision_is_named_in_one() -> None:
    pages = " ".join(page.read_text(encoding="utf-8") for page in DECIDED.parent.glob("*.md"))
    pages += (ROOT / "trainer" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in DECIDED.iterdir() if f"results/{path.name}" not in pages] == []


def test_the_recipe_is_the_one_that_was_chosen() -> None:
    assert load_result("choices", DECIDED)["figures"]["chosen"] == {
        "the attention network's convolutions": "ours",  # in float32, as the model's own file has them
        "handwriting where clutter is whole digits": "varied-everywhere",
        "shares of the scenes": "former-shares",
        "sampling of varied handwriting": "linear-interpolation",
    }
    ours, preset = own_method(), find_training_preset("cpu")
    assert ours.build is GlimpseModel
    former = {"article": 0.34, "wide": 0.13, "cluttered-100": 0.38, "cluttered-60": 0.10, "clean": 0.05}
    before_paper = 1 - preset.mixture["paper"]
    for name, share in former.items():
        assert preset.mixture[name] / before_paper == pytest.approx(share, abs=0.0501), name
    # The sampling was asked for once more, of whole runs.
    errors = {
        how: [sum(run["validation_error"].values()) for run in load_result(name, DECIDED)["figures"]["runs"]]
        for how, name in {"bicubic": "seeds-cubic-sampling", "bilinear": "seeds-linear-sampling"}.items()
    }
    assert {len(sums) for sums in errors.values()} == {3}
    assert min(errors, key=lambda how: sum(errors[how])) == INTERPOLATION


_REACHED = {"article": "error on article", "cluttered-100": "on cluttered-100"}


@pytest.mark.parametrize(("name", "kept"), [("tune", "seeds"), ("long", "seeds-without-paper")])
def test_a_preset_says_what_its_seeds_reached(name: str, kept: str) -> None:
    preset = find_training_preset(name)
    folder = FOLDER if kept == "seeds" else DECIDED
    runs = load_result(kept, folder)["figures"]["runs"]
    assert {(run["preset"], run["steps"]) for run in runs} == {(preset.name, preset.steps)}
    assert preset.cost.startswith(f"{shown([run['seconds'] / 60 for run in runs], '.0f')} minutes")
    for scenes, words in _REACHED.items():
        errors = [100 * run["test"]["presets"][scenes]["error"] for run in runs]
        assert f"{shown(errors, '.2f')} % {words}" in preset.reach


def shown(values: list[float], form: str) -> str:
    """The value of one run, or the range of several."""
    low, high = format(min(values), form), format(max(values), form)
    return low if len(values) == 1 else f"{low} to {high}"


def test_the_preset_cpu_says_what_its_timed_run_took_and_reached() -> None:
    preset = find_training_preset("cpu")
    run = load_result("timed_run", DECIDED)["figures"]
    assert (run["preset"], run["steps"]) == (preset.name, preset.steps)
    assert preset.cost.startswith(f"{run['seconds'] / 60:.0f} minutes on two cores")
    for scenes, words in _REACHED.items():
        assert f"{100 * run['test']['presets'][scenes]['error']:.2f} % {words}" in preset.reach


def test_a_picture_lies_beside_what_was_measured() -> None:
    assert (FOLDER / "localisation.png").is_file() == (FOLDER / "localisation.json").is_file()
