"""The comparison: the best setting, the figures, the table, and that a trial is kept apart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from benchmarks.compare import localisation
from benchmarks.compare.baselines.common import Baseline, Candidates, Pictures
from benchmarks.compare.baselines.ours import OURS
from benchmarks.compare.budget import recipe
from benchmarks.compare.localisation import BASELINES, markdown
from benchmarks.compare.measure import best_setting, draw_scenes, measure_draw
from benchmarks.documents import fill_in, read_out
from benchmarks.results import FOLDER
from scenes.presets import find_preset
from tests.trainer.tiny import bar_digits
from trainer.evaluation.evaluate import evaluate, torch_predict
from trainer.model import GlimpseModel
from trainer.training.method import own_method

DIGITS = bar_digits()


class Nobody(nn.Module):
    """A model that is not asked."""


def knowing(preset: str, seeds: list[int], scales: tuple[float, ...]) -> Baseline:
    """A baseline that knows the true boxes by heart and answers with them, scaled around their middle."""
    known = {}
    for seed in seeds:
        for batch in draw_scenes(find_preset(preset), DIGITS, seed=seed, scenes=40):
            for picture, label, box in zip(batch.pictures, batch.labels, batch.boxes, strict=True):
                known[picture.tobytes()] = label, box

    def answer(model: nn.Module, pictures: Pictures) -> Candidates:
        labels, boxes = zip(*(known[picture.tobytes()] for picture in pictures), strict=True)
        x, y, width, height = np.stack(boxes).T[:, :, None]
        scale = np.array(scales)
        corners = x + width / 2 * (1 - scale), y + height / 2 * (1 - scale)
        scaled = np.stack([*corners, width * scale, height * scale], axis=2)
        return Candidates(np.eye(10, dtype=np.float32)[list(labels)], scaled.astype(np.float32))

    return Baseline("knowing", own_method(), scales, "scale", answer)


@pytest.mark.parametrize("preset", ["article", "cluttered-60"])
def test_the_setting_with_the_highest_mean_iou_is_chosen(preset: str) -> None:
    baseline = knowing(preset, [2**50], (0.4, 0.9, 1.6))
    assert best_setting(baseline, Nobody(), find_preset(preset), DIGITS, scenes=40) == 1


def test_figures_are_of_the_chosen_setting_but_max_box_acc_v2_of_the_best_for_each_threshold() -> None:
    # Scaling a box's sides by s scales its area by s²: IoU 0.25, 0.64 and 1.
    baseline = knowing("article", [0], (0.5, 0.8, 1.0))
    figures = measure_draw(
        baseline, Nobody(), find_preset("article"), DIGITS, draw_number=0, scenes=40, setting=1
    )
    assert figures.mean_iou == pytest.approx(0.64, abs=1e-3)
    assert (figures.error, figures.corloc, figures.top1_loc) == (0, 1, 1)
    assert figures.max_box_acc_v2 == 1  # at 0.7 the last setting is best
    alone = knowing("article", [0], (0.8,))
    figures = measure_draw(
        alone, Nobody(), find_preset("article"), DIGITS, draw_number=0, scenes=40, setting=0
    )
    assert figures.max_box_acc_v2 == pytest.approx(2 / 3)


@pytest.mark.parametrize("preset", ["article", "cluttered-60"])
def test_our_figures_are_those_of_the_evaluation(preset: str) -> None:
    model = GlimpseModel().eval()
    (expected,) = evaluate(torch_predict(model), find_preset(preset), DIGITS, draws=1, scenes=30)
    found = measure_draw(OURS, model, find_preset(preset), DIGITS, draw_number=0, scenes=30, setting=0)
    assert found == pytest.approx(expected.ink)


def test_ours_chooses_nothing() -> None:
    assert len(OURS.settings) == 1
    assert best_setting(OURS, Nobody(), find_preset("article"), DIGITS, scenes=40) == 0
    assert [baseline.title for baseline in BASELINES if len(baseline.settings) == 1] == [OURS.title]


@pytest.mark.slow
def test_a_trial_runs_from_training_to_the_figure_and_leaves_the_results_alone(
    tmp_path: Path, bars: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(localisation, "load_digits", bar_digits)
    monkeypatch.setattr(localisation, "PRESETS", ("article", "cluttered-100"))
    monkeypatch.setattr(
        localisation, "recipe", lambda *what: dataclasses.replace(recipe(*what), batch_size=8)
    )
    before = {path.name: path.read_bytes() for path in FOLDER.glob("localisation.*")}
    arguments = ["--steps", "2", "--scenes", "10", "--draws", "2"]
    localisation.main([*arguments, "--only", "cam", "glimpse"])
    assert "trained or loaded: cam, glimpse" in capsys.readouterr().out
    runs = tmp_path / "runs" / "compare-2-steps"
    assert sorted(path.name for path in runs.iterdir()) == ["cam-seed0", "glimpse-seed0"]

    localisation.main(arguments)
    said = capsys.readouterr().out
    content = json.loads((runs / "localisation.json").read_text())["figures"]
    assert markdown(content) in said
    assert "results and documents stay as they are" in said
    assert {path.name: path.read_bytes() for path in FOLDER.glob("localisation.*")} == before
    assert (runs / "localisation.png").stat().st_size < 400_000
    rows = content["presets"]["article"]
    assert list(rows) == [b.title for b in BASELINES]
    assert all(0 <= row["error"] <= 1 for row in rows.values())
    assert set(content["cost"]) == set(localisation.METHODS)


def test_a_table_goes_between_its_comments_and_is_read_from_there(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n", encoding="utf-8")
    for text in ("| new |\n|---|", "| newer |\n|---|"):
        fill_in("a", text, page)
        assert read_out("a", page) == text
        assert page.read_text() == f"before\n<!-- a: begin -->\n{text}\n<!-- a: end -->\nafter\n"
    with pytest.raises(ValueError, match=r"page.md: expected <!-- b: begin -->"):
        fill_in("b", "text", page)
