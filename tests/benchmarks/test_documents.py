"""The tables in `benchmarks/README.md` are the measured ones; before a measurement there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import ablations, choices, choices_settings, gpu, inference_rate, localisation, timed_run
from benchmarks.documents import read_out
from benchmarks.results import FOLDER, load_result
from trainer.data import TrainingScenes
from trainer.presets import find_training_preset
from trainer.steps import own_method


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("localisation", localisation.markdown),
        ("ablations", ablations.markdown),
        ("inference_rate", inference_rate.markdown),
        ("timed_run", timed_run.markdown),
        ("gpu", gpu.markdown),
    ],
)
def test_the_page_shows_what_was_measured(name: str, table: Callable[[dict[str, Any]], str]) -> None:
    result = FOLDER / f"{name}.json"
    measured = table(json.loads(result.read_text(encoding="utf-8"))["figures"]) if result.is_file() else ""
    assert read_out(name) == measured


@pytest.mark.parametrize(
    ("name", "table"), [("choices", choices.markdown), ("fresh", choices.fresh_markdown)]
)
def test_the_recipes_choices_are_shown_where_the_recipe_is(
    name: str, table: Callable[[dict[str, Any]], str]
) -> None:
    result = FOLDER / f"{name}.json"
    measured = table(json.loads(result.read_text(encoding="utf-8"))["figures"]) if result.is_file() else ""
    assert read_out(name, choices.PAGE) == measured


def test_the_recipe_is_the_one_that_was_chosen() -> None:
    chosen = load_result("choices")["figures"]["chosen"]
    attention, handwriting, shares, _ = (choices_settings.SETTINGS[name] for name in chosen.values())
    ours, preset = own_method(), find_training_preset("cpu")
    assert ours.build is attention.method.build
    assert not issubclass(handwriting.method.scenes, choices_settings.AsWrittenAmongDigits)
    assert ours.scenes is TrainingScenes
    before_paper = 1 - preset.mixture["paper"]
    for name, share in shares.change(preset).mixture.items():
        assert preset.mixture[name] / before_paper == pytest.approx(share, abs=0.0201), name
    # The sampling was asked for once more, of whole runs.
    errors = {
        how: [sum(run["validation_error"].values()) for run in load_result(name)["figures"]["runs"]]
        for how, name in {"bicubic": "seeds-cubic-sampling", "bilinear": "seeds-linear-sampling"}.items()
    }
    assert {len(sums) for sums in errors.values()} == {3}
    assert ours.scenes.interpolation == min(errors, key=lambda how: sum(errors[how]))


_REACHED = {"article": "error on article", "cluttered-100": "on cluttered-100"}


@pytest.mark.parametrize(("name", "kept"), [("tune", "seeds"), ("long", "seeds-without-paper")])
def test_a_preset_says_what_its_seeds_reached(name: str, kept: str) -> None:
    preset = find_training_preset(name)
    runs = load_result(kept)["figures"]["runs"]
    assert {(run["preset"], run["steps"]) for run in runs} == {(preset.name, preset.steps)}
    minutes = sorted(run["seconds"] / 60 for run in runs)
    assert preset.cost.startswith(f"{minutes[0]:.0f} to {minutes[-1]:.0f} minutes")
    for scenes, words in _REACHED.items():
        errors = sorted(100 * run["test"]["presets"][scenes]["error"] for run in runs)
        assert f"{errors[0]:.2f} to {errors[-1]:.2f} % {words}" in preset.reach


def test_the_preset_cpu_says_what_its_timed_run_took_and_reached() -> None:
    preset = find_training_preset("cpu")
    run = load_result("timed_run")["figures"]
    assert (run["preset"], run["steps"]) == (preset.name, preset.steps)
    assert preset.cost.startswith(f"{run['seconds'] / 60:.0f} minutes on two cores")
    for scenes, words in _REACHED.items():
        assert f"{100 * run['test']['presets'][scenes]['error']:.2f} % {words}" in preset.reach


@pytest.mark.parametrize("name", ["localisation", "ablations"])
def test_a_picture_lies_beside_what_was_measured(name: str) -> None:
    assert (FOLDER / f"{name}.png").is_file() == (FOLDER / f"{name}.json").is_file()
