"""Evaluation of made-up models whose figures are known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenes.draw import draw
from scenes.presets import find_preset
from scenes.render import render
from scenes.truth import ink_boxes
from tests.trainer.tiny import Pictures, bar_digits
from trainer.evaluate import Answer, Predict, evaluate, load_predict, make_pictures, summarise

DIGITS = bar_digits()
SECOND_DRAW = 2**32


def truth_teller(preset: str, scenes: int, draws: int, shift_px: int) -> Predict:
    """A model that knows the scenes of an evaluation by heart, placed `shift_px` right and down."""
    known = {}
    for first in range(0, draws * SECOND_DRAW, SECOND_DRAW):
        parameters = draw(find_preset(preset), first + np.arange(scenes), DIGITS)
        boxes = ink_boxes(parameters, DIGITS) + np.array([shift_px, shift_px, 0, 0])
        for picture, label, box in zip(
            make_pictures(parameters, DIGITS), parameters.label, boxes, strict=True
        ):
            known[picture.tobytes()] = np.eye(10, dtype=np.float32)[label], box.astype(np.float32)

    def predict(pictures: Pictures) -> Answer:
        probabilities, boxes = zip(*(known[picture.tobytes()] for picture in pictures), strict=True)
        return Answer(np.stack(probabilities), np.stack(boxes))

    return predict


def in_the_corner(pictures: Pictures) -> Answer:
    """A model that is sure of no class that there is more than by chance, and boxes a corner pixel."""
    return Answer(
        np.tile(np.eye(10, dtype=np.float32)[0], (len(pictures), 1)),
        np.tile(np.array([0, 0, 1, 1], np.float32), (len(pictures), 1)),
    )


# A scene of 60 px lies (100 − 60) / 2 px from the frame's left and top.
@pytest.mark.parametrize(("preset", "shift_px"), [("article", 0), ("cluttered-100", 0), ("cluttered-60", 20)])
def test_a_model_that_tells_the_truth_has_perfect_figures(preset: str, shift_px: int) -> None:
    (only,) = evaluate(
        truth_teller(preset, 300, 1, shift_px), find_preset(preset), DIGITS, draws=1, scenes=300
    )
    assert only.ink.error == 0
    assert only.ink.mean_iou == pytest.approx(1, abs=1e-6)
    assert (only.ink.corloc, only.ink.top1_loc, only.ink.max_box_acc_v2) == (1, 1, 1)
    # Its box is the ink's, which lies inside of the canvas.
    assert 0.05 < only.canvas_mean_iou < 0.9


def test_a_box_in_the_scenes_own_frame_is_not_right_in_the_models() -> None:
    (only,) = evaluate(
        truth_teller("cluttered-60", 50, 1, 0), find_preset("cluttered-60"), DIGITS, draws=1, scenes=50
    )
    assert only.ink.mean_iou < 0.2


def test_a_model_that_boxes_the_corner_has_none() -> None:
    (only,) = evaluate(in_the_corner, find_preset("article"), DIGITS, draws=1, scenes=100)
    labels = draw(find_preset("article"), np.arange(100), DIGITS).label
    assert only.ink.error == pytest.approx(np.mean(labels != 0))
    assert only.ink.mean_iou < 0.01
    assert (only.ink.corloc, only.ink.top1_loc, only.ink.max_box_acc_v2) == (0, 0, 0)


def test_draws_are_independent_and_summarised_with_their_deviation() -> None:
    truth = truth_teller("clean", 20, 3, 0)
    calls: list[Pictures] = []
    told: list[int] = []

    def wrong_in_the_second_draw(pictures: Pictures) -> Answer:
        calls.append(pictures)
        answer = truth(pictures)
        return Answer(1 - answer.probabilities, answer.boxes) if len(calls) == 2 else answer

    draws = evaluate(
        wrong_in_the_second_draw, find_preset("clean"), DIGITS, draws=3, scenes=20, progress=told.append
    )
    assert told == [20, 20, 20]
    assert len({picture.tobytes() for call in calls for picture in call}) > 55  # bars often lie alike
    summary = summarise(draws)
    # Errors 0, 1, 0: mean ⅓, and √((⅓² + ⅔² + ⅓²) / 2) = √⅓.
    assert summary["error"] == pytest.approx(1 / 3, abs=1e-5)
    assert summary["error_sd"] == pytest.approx(3**-0.5, abs=1e-5)
    assert summary["top1_loc"] == pytest.approx(2 / 3, abs=1e-5)
    assert summary["top1_loc_sd"] == pytest.approx(3**-0.5, abs=1e-5)
    assert (summary["corloc"], summary["corloc_sd"]) == (1, 0)
    assert summarise(draws[:1])["error_sd"] == 0


def test_pictures_are_the_scenes_in_256_steps_small_ones_in_the_middle() -> None:
    parameters = draw(find_preset("cluttered-60"), np.arange(5), DIGITS)
    pictures = make_pictures(parameters, DIGITS)
    assert pictures.shape == (5, 1, 100, 100)
    assert pictures.dtype == np.uint8
    expected = render(parameters, DIGITS)
    assert np.abs(pictures[:, 0, 20:80, 20:80] / 255 - expected).max() <= 0.5 / 255 + 1e-6
    pictures[:, :, 20:80, 20:80] = 0
    assert not pictures.any()


def test_a_runs_folder_and_its_checkpoint_are_the_same_model(tiny_run: Path) -> None:
    pictures = make_pictures(draw(find_preset("article"), np.arange(3), DIGITS), DIGITS)
    folder, file = (load_predict(path)(pictures) for path in (tiny_run, tiny_run / "checkpoint.pt"))
    assert np.array_equal(folder.probabilities, file.probabilities)
    assert np.array_equal(folder.boxes, file.boxes)
    assert folder.boxes.shape == (3, 4)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"model: expected an \.onnx file.*nowhere\.onnx is not there"
    ):
        load_predict(tmp_path / "nowhere.onnx")
    (tmp_path / "model.txt").touch()
    with pytest.raises(ValueError, match=r"model: expected an \.onnx file.*got .*model\.txt"):
        load_predict(tmp_path / "model.txt")
