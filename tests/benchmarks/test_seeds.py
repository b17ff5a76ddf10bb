"""Of several seeds the median is shipped, chosen by label errors on held-out digits alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.model_card import seeds
from benchmarks.model_card.seeds import median_seed
from models.contract import MODEL_PATH, file_sha256, load_contract, write_contract
from scenes.digits import Digits
from tests.trainer.tiny import bar_digits
from trainer.training.checkpoint import save_checkpoint


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


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_level_runs_the_seed_decides_and_not_their_order(order: tuple[int, ...]) -> None:
    runs = [run(0, 0.1, 0.2), run(1, 0.3, 0.0), run(2, 0.2, 0.1)]  # 0.1 + 0.2 is more than 0.3, by a bit
    assert median_seed([runs[i] for i in order]) == 1


def test_figures_on_test_digits_have_no_say() -> None:
    runs = [run(0, 0.02, 0.01), run(1, 0.01, 0.01), run(2, 0.03, 0.01)]
    flattered = [
        run(0, 0.02, 0.01, error=0.9, mean_iou=0.1),
        run(1, 0.01, 0.01, error=0.0, mean_iou=1.0),
        run(2, 0.03, 0.01, error=0.0, mean_iou=1.0),
    ]
    assert median_seed(runs) == median_seed(flattered) == 0


def test_a_run_is_measured_once_and_again_where_the_draws_or_the_file_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_run, measured_with = [MODEL_PATH.read_bytes()], []
    folder = run_of(tmp_path / "run", preset="long")

    def export(run: Path, out: Path, held_out: Digits) -> None:
        out.write_bytes(of_the_run[-1])
        write_contract(load_contract().model_copy(update={"sha256": file_sha256(out)}), out)

    def measure(model: Path, digits: Digits, draws: int, scenes: int, threads: int) -> dict[str, Any]:
        measured_with.append(scenes)
        return {"model_sha256": load_contract(model).sha256, "draws": draws, "scenes_per_draw": scenes}

    monkeypatch.setattr(seeds, "export", export)
    monkeypatch.setattr(seeds, "measure", measure)
    monkeypatch.setattr(seeds, "_validation_errors", lambda *_: {"article": 0.02})

    def found(scenes: int) -> dict[str, Any]:
        return seeds.measure_run(folder, bar_digits("test"), bar_digits("validation"), 1, scenes, 1)

    first = found(100)
    assert (first["seed"], first["validation_error"]) == (load_contract().provenance.seed, {"article": 0.02})
    assert (first["preset"], first["steps"]) == ("long", 100)
    assert found(100) == first
    assert measured_with == [100]
    found(200)
    assert measured_with == [100, 200]
    of_the_run.append(b"what the run is once it has gone on")
    found(200)
    assert measured_with == [100, 200, 200]
    monkeypatch.setattr(seeds, "_VALIDATION_SCENES", 125)
    monkeypatch.setattr(seeds, "_validation_errors", lambda *_: {"article": 0.03})
    again = found(200)
    assert (again["validation_scenes"], again["validation_error"]) == (125, {"article": 0.03})
    assert measured_with == [100, 200, 200], "other held-out scenes are no reason to measure on test digits"


def run_of(folder: Path, **about: Any) -> Path:
    recipe = {"steps": 100, "mixture": {"article": 0.5, "clean": 0.5}, "cost": "an hour"}
    folder.mkdir()
    save_checkpoint({"about": {"seed": 0, "commit": "c", "preset": "p", "recipe": recipe, **about}}, folder)
    return folder


def test_the_median_is_shipped_and_all_seeds_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = load_contract()
    folders = [run_of(tmp_path / f"run{seed}", seed=seed) for seed in (0, 1, 2)]

    def measure_run(folder: Path, *_: Any) -> dict[str, Any]:
        seed = folders.index(folder)
        onnx_path = folder / MODEL_PATH.name
        onnx_path.write_bytes(b"model of seed %d" % seed)
        contract = committed.model_copy(update={"sha256": file_sha256(onnx_path), "metrics": {}})
        write_contract(contract, onnx_path)
        errors = dict.fromkeys(committed.metrics, committed.metrics["article"])
        test = {"draws": 1, "scenes_per_draw": 5, "model_sha256": contract.sha256, "presets": errors}
        return {**run(seed, 0.01 * (3, 1, 2)[seed], 0.0), "test": test, "measured_under": {"commit": "m"}}

    shipped, pages = tmp_path / "models" / MODEL_PATH.name, []
    shipped.parent.mkdir()
    monkeypatch.setattr(seeds, "MODEL_PATH", shipped)
    monkeypatch.setattr(seeds, "measure_run", measure_run)
    monkeypatch.setattr(seeds, "load_digits", bar_digits)
    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path / "results")
    for module in ("benchmarks.model_card.seeds", "benchmarks.results"):
        monkeypatch.setattr(f"{module}.fill_in", lambda name, text, page: pages.append(name))

    def results() -> list[str]:
        return sorted(path.name for path in (tmp_path / "results").glob("*"))

    runs = [str(folder) for folder in folders]
    seeds.main(runs)
    assert "the median is seed 2" in capsys.readouterr().out
    assert (results(), pages, shipped.exists()) == ([], [], False)
    seeds.main([*runs, "--ship"])
    assert results() == ["figures.json", "seeds.json"]
    assert shipped.read_bytes() == b"model of seed 2"
    contract = load_contract(shipped)
    assert (contract.sha256, set(contract.metrics)) == (file_sha256(shipped), set(committed.metrics))
    told = json.loads((tmp_path / "results" / "seeds.json").read_text(encoding="utf-8"))["figures"]
    assert (told["shipped_seed"], [each["seed"] for each in told["runs"]]) == (2, [0, 1, 2])
    assert sorted(pages) == ["figures", "figures", "provenance", "seeds"]


def test_runs_of_one_recipe_and_several_seeds_are_comparable(tmp_path: Path) -> None:
    recipe = {"steps": 100, "mixture": {"article": 0.5, "clean": 0.5}, "cost": "two hours"}
    seeds.check_comparable([run_of(tmp_path / "a"), run_of(tmp_path / "b", seed=1, recipe=recipe)])


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"seed": 0}, "expected runs of different seeds, but .*b has 0 again"),
        ({"seed": 1, "commit": "d"}, "expected runs of one commit; .*a is of c, .*b of d"),
        (
            {"seed": 1, "recipe": {"steps": 90, "mixture": {"article": 0.5, "clean": 0.5}}},
            "steps was 100, expected 90",
        ),
        (
            {"seed": 1, "recipe": {"steps": 100, "mixture": {"clean": 0.5, "article": 0.5}}},
            "mixture was .* expected",
        ),
        (
            {"seed": 1, "recipe": {"steps": 100, "mixture": {"article": 0.5, "clean": 0.5}, "new": 1}},
            "new was not there, expected 1",
        ),
    ],
)
def test_other_runs_are_refused(tmp_path: Path, other: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        seeds.check_comparable([run_of(tmp_path / "a"), run_of(tmp_path / "b", **other)])
