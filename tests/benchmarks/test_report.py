"""The report of a run holds all it should, in one page that needs nothing else."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from scenes.draw import draw
from scenes.presets import find_preset
from scenes.truth import ink_boxes
from tests.trainer.tiny import TINY, bar_digits
from trainer import __main__ as command
from trainer.data.training_scenes import TrainingScenes
from trainer.evaluation.report_data import (
    Answers,
    ask,
    figures_by,
    read_metrics,
    watched_over_time,
    what_went_wrong,
    worst,
)
from trainer.runtime import provenance
from trainer.training.checkpoint import load_trained_model
from trainer.training.loop import train
from trainer.training.monitor import Monitor
from trainer.training.validation import watched_scenes

PICTURES = {"curves", "looks", "iou", "hard", "confusion", "worst"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.data.digits.load_digits", bar_digits)
        patch.setattr("trainer.training.validation._BATCH", 25)
        patch.setattr("trainer.training.validation._SCENES", 200)
        patch.setattr("trainer.training.calibrate._SCENES", 200)
        return train(TINY, tmp_path_factory.mktemp("runs") / "tiny", device="cpu")


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of one's own."""
    monkeypatch.setattr(command, "load_digits", bar_digits)
    return shutil.copytree(trained, tmp_path / "tiny")


def test_the_page_holds_curves_pictures_figures_and_provenance(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["report", str(run), "--scenes", "60"]) == 0
    page = run / "report" / "report.html"
    assert capsys.readouterr().out == f"wrote {page}\n"
    text = page.read_text(encoding="utf-8")
    for words in ("Learning where to look", "The worst scenes", "Confusion", "Curves", "60 scenes", "smoke"):
        assert words in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)  # nothing is loaded from elsewhere
    embedded = re.findall(r'alt="(\w+)" src="data:image/png;base64,([^"]+)"', text)
    assert {name for name, _ in embedded} == PICTURES
    for name, data in embedded:
        file = run / "report" / f"{name}.png"
        assert file.read_bytes() == base64.b64decode(data)
        assert Image.open(file).size[0] > 300


def test_a_run_that_kept_no_looks_says_so(run: Path) -> None:
    (run / "looks.jsonl").unlink()
    assert command.main(["report", str(run), "--preset", "cluttered-60", "--scenes", "20"]) == 0
    text = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "kept no looks" in text
    assert 'alt="looks"' not in text


def test_what_is_not_a_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["report", str(tmp_path / "nowhere")]) == 1
    assert "expected a checkpoint at" in capsys.readouterr().err


def test_metrics_are_read_up_to_the_last_whole_line(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 7, "tot')
    steps, values = read_metrics(run)["total"]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(values).all()


def test_the_watched_scenes_are_found_again_and_every_look_follows_from_its_gaussian(run: Path) -> None:
    looks = watched_over_time(run, bar_digits("validation"))
    assert [step[0].step for step in looks] == [1, 2, 3, 4, 5, 6]
    scenes = watched_scenes(bar_digits("validation"), device=torch.device("cpu"))
    with torch.inference_mode():
        said = load_trained_model(run)(scenes)
    for i, look in enumerate(looks[-1]):
        np.testing.assert_allclose(look.picture / 255, scenes[i, 0], atol=0.51 / 255)
        np.testing.assert_allclose(look.glimpse, said.glimpse[i, 0].clamp(0, 1), atol=0.02)
        centre = look.box[:2] + look.box[2:] / 2
        np.testing.assert_allclose(
            centre, [said.gaussian.centre_x_px[i], said.gaussian.centre_y_px[i]], atol=0.01
        )
        peak = np.unravel_index(look.attention_map.argmax(), (100, 100))
        np.testing.assert_allclose([peak[1] + 0.5, peak[0] + 0.5], centre, atol=1)
        rows, columns = look.true_box[1], look.true_box[0]
        assert 0 <= rows < 100
        assert 0 <= columns < 100


def test_looks_from_after_the_last_checkpoint_before_a_kill_are_dropped(run: Path) -> None:
    with Monitor(run, step=3):
        pass
    kept = (run / "looks.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in kept] == [1, 2, 3]


@pytest.mark.parametrize(
    ("module", "command_line"),
    [
        ("trainer.__main__", "python -m trainer --seed 1"),
        ("benchmarks.localisation", "python -m benchmarks.localisation --seed 1"),
        (None, "python script.py --seed 1"),
    ],
)
def test_a_run_tells_the_command_that_started_it(
    module: str | None, command_line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", module and SimpleNamespace(name=module))
    monkeypatch.setattr(sys, "argv", ["somewhere/script.py", "--seed", "1"])
    assert provenance.command() == command_line


def test_watching_draws_the_scenes_of_its_own_seed() -> None:
    digits = bar_digits("validation")
    scenes = TrainingScenes({"article": 1.0}, digits, batch_size=6, seed=2, device=torch.device("cpu"))
    assert torch.equal(watched_scenes(digits, device=torch.device("cpu")), scenes.batch(0).scenes)


def answers_with(boxes: Sequence[Sequence[float]], predicted: list[int]) -> Answers:
    """Made-up answers on scenes whose true box is 20×20 at (40, 40) and whose label is 1."""
    n = len(boxes)
    parameters = draw(find_preset("article"), np.arange(n), bar_digits())._replace(label=np.ones(n, np.int64))
    truth = np.tile(np.array([40, 40, 20, 20], np.float32), (n, 1))
    found = np.array(boxes, np.float32)
    low, high = np.maximum(found[:, :2], 40), np.minimum(found[:, :2] + found[:, 2:], 60)
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    iou = common / (400 + np.prod(found[:, 2:], axis=1) - common)
    return Answers(
        parameters,
        np.zeros((n, 100, 100), np.uint8),
        truth,
        found,
        iou.astype(np.float32),
        np.eye(10, dtype=np.float32)[predicted],
        np.zeros((n, 28, 28), np.float32),
    )


@pytest.mark.parametrize(
    ("box", "predicted", "words"),
    [
        ([40, 40, 20, 20], 7, "1 named 7"),
        ([0, 0, 20, 20], 1, "1, looked elsewhere"),
        ([30, 30, 40, 40], 1, "1, box too large"),
        ([46, 46, 8, 8], 1, "1, box too small"),
        ([50, 40, 20, 20], 4, "1 named 4, box aside"),
        ([41, 41, 20, 20], 1, "1"),
    ],
)
def test_what_went_wrong_is_told_in_words(box: list[float], predicted: int, words: str) -> None:
    assert what_went_wrong(answers_with([box], [predicted]), 0) == words


def test_the_worst_are_wrong_labels_first_and_then_low_ious() -> None:
    boxes = [[40, 40, 20, 20], [0, 0, 20, 20], [40, 40, 20, 20], [45, 40, 20, 20]]
    assert worst(answers_with(boxes, [7, 1, 1, 1]), 3) == [0, 1, 3]
    assert worst(answers_with(boxes, [1, 1, 1, 1]), 9) == [1, 3, 0, 2]


def test_figures_are_binned_and_every_scene_counts_once() -> None:
    answers = answers_with([[40, 40, 20, 20]] * 3 + [[0, 0, 20, 20]], [1, 1, 7, 1])
    few = figures_by(np.array([0, 0, 3, 3], np.float32), answers)
    assert few == [(0.0, 0.0, 1.0, 2), (3.0, 0.5, 0.5, 2)]
    many = figures_by(np.array([0.0, 0.4, 0.7, 1.0], np.float32), answers, bins=1)
    assert many == [(0.5, 0.25, 0.75, 4)]


def test_answers_are_set_against_the_truth_in_the_models_frame(run: Path) -> None:
    preset = find_preset("cluttered-60")
    answers = ask(load_trained_model(run), preset, bar_digits(), 20)
    inside = ink_boxes(answers.parameters, bar_digits())
    np.testing.assert_array_equal(answers.true_boxes, inside + np.array([20, 20, 0, 0], np.float32))


def test_metrics_under_former_names_are_the_same_curve(tmp_path: Path) -> None:
    lines = ('{"step": 1, "kept_ink": 0.5}', '{"step": 2, "foreground_retention": 0.25}')
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert read_metrics(tmp_path) == {"foreground_retention": ([1, 2], [0.5, 0.25])}
