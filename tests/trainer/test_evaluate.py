"""Evaluation of made-up models whose figures are known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenes.draw import draw
from scenes.edit import remove_target
from scenes.presets import find_preset
from scenes.render import render
from scenes.truth import ink_boxes
from tests.trainer.tiny import Pictures, bar_digits
from trainer.evaluation.evaluate import (
    COLUMNS,
    Answer,
    DrawFigures,
    Predict,
    evaluate,
    load_predict,
    make_pictures,
    summarise,
)
from trainer.evaluation.metrics import Figures

DIGITS = bar_digits()
SECOND_DRAW = 2**32


def truth_teller(preset: str, scenes: int, draws: int, shift_px: int) -> Predict:
    """A model that knows the scenes of an evaluation by heart, placed `shift_px` right and down.

    What it does not know has no digit.
    """
    known = {}
    for first in range(0, draws * SECOND_DRAW, SECOND_DRAW):
        parameters = draw(find_preset(preset), first + np.arange(scenes), DIGITS)
        boxes = ink_boxes(parameters, DIGITS) + np.array([shift_px, shift_px, 0, 0])
        for picture, label, box in zip(
            make_pictures(parameters, DIGITS), parameters.label, boxes, strict=True
        ):
            known[picture.tobytes()] = np.eye(10, dtype=np.float32)[label], box.astype(np.float32), 1.0
    nothing = np.full(10, 0.1, np.float32), np.zeros(4, np.float32), 0.0

    def predict(pictures: Pictures) -> Answer:
        told = [known.get(picture.tobytes(), nothing) for picture in pictures]
        return Answer(*(np.stack(values).astype(np.float32) for values in zip(*told, strict=True)))

    return predict


def in_the_corner(pictures: Pictures) -> Answer:
    """A model that is sure of no class that there is more than by chance, and boxes a corner pixel."""
    return Answer(
        np.tile(np.eye(10, dtype=np.float32)[0], (len(pictures), 1)),
        np.tile(np.array([0, 0, 1, 1], np.float32), (len(pictures), 1)),
        np.full(len(pictures), 0.7, np.float32),
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
    assert (only.calibration_error, only.presence_auroc) == (0, 1)


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
    # It is sure of every answer, and of a digit in every scene alike.
    assert only.calibration_error == pytest.approx(only.ink.error)
    assert only.presence_auroc == 0.5


def test_presence_is_asked_of_the_same_scenes_without_their_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.evaluation.evaluate.BATCH", 20)
    monkeypatch.setattr("trainer.evaluation.evaluate._SCENES_WITHOUT_DIGIT", 30)
    asked: list[Pictures] = []

    def remember(pictures: Pictures) -> Answer:
        asked.append(pictures)
        return in_the_corner(pictures)

    # Bare scenes but for the digit: without it they are dark.
    evaluate(remember, find_preset("clean"), DIGITS, draws=1, scenes=70)
    assert [(len(pictures), bool(pictures.any())) for pictures in asked] == [
        *[(20, True), (20, False), (20, True), (20, False)],  # 30 reached with the second batch
        *[(20, True), (10, True)],
    ]
    asked.clear()
    evaluate(remember, find_preset("cluttered-100"), DIGITS, draws=1, scenes=20)
    parameters = draw(find_preset("cluttered-100"), np.arange(20), DIGITS)
    expected = make_pictures(remove_target(parameters, np.ones(20, np.bool_)), DIGITS)
    assert np.array_equal(asked[0], make_pictures(parameters, DIGITS))
    assert np.array_equal(asked[1], expected)


def test_where_half_of_the_digits_are_missed_presence_is_half_way() -> None:
    truth = truth_teller("clean", 40, 1, 0)

    def short_sighted(pictures: Pictures) -> Answer:
        answer = truth(pictures)
        in_upper_half = answer.boxes[:, 1] < 36  # canvases of 28 px lie from 0 to 72
        return answer._replace(digit_present=answer.digit_present * in_upper_half)

    (only,) = evaluate(short_sighted, find_preset("clean"), DIGITS, draws=1, scenes=40)
    boxes = ink_boxes(draw(find_preset("clean"), np.arange(40), DIGITS), DIGITS)
    seen = np.mean(boxes[:, 1] < 36)
    assert 0.2 < seen < 0.8
    # Those win against every scene without a digit, the others are as low as these.
    assert only.presence_auroc == pytest.approx(seen + (1 - seen) / 2)


def test_draws_are_independent_and_summarised_with_their_deviation() -> None:
    truth = truth_teller("clean", 20, 3, 0)
    calls: list[Pictures] = []
    told: list[int] = []

    def wrong_in_the_second_draw(pictures: Pictures) -> Answer:
        calls.append(pictures)
        answer = truth(pictures)
        # Each draw's scenes, then the same without their digits.
        if len(calls) not in (3, 4):
            return answer
        return Answer(1 - answer.probabilities, answer.boxes, 1 - answer.digit_present)

    draws = evaluate(
        wrong_in_the_second_draw, find_preset("clean"), DIGITS, draws=3, scenes=20, progress=told.append
    )
    assert told == [20, 20, 20]
    assert len({picture.tobytes() for call in calls[::2] for picture in call}) > 55  # bars often lie alike
    summary = summarise(draws)
    # Errors 0, 1, 0: mean ⅓, and √((⅓² + ⅔² + ⅓²) / 2) = √⅓.
    assert summary["error"] == pytest.approx(1 / 3, abs=1e-5)
    assert summary["error_sd"] == pytest.approx(3**-0.5, abs=1e-5)
    assert summary["top1_loc"] == pytest.approx(2 / 3, abs=1e-5)
    assert summary["top1_loc_sd"] == pytest.approx(3**-0.5, abs=1e-5)
    assert (summary["corloc"], summary["corloc_sd"]) == (1, 0)
    # Wrong and sure of it, and of digits where none are: 0, 1, 0 and 1, 0, 1.
    assert summary["calibration_error"] == pytest.approx(1 / 3, abs=1e-5)
    assert summary["presence_auroc"] == pytest.approx(2 / 3, abs=1e-5)
    assert summary["presence_auroc_sd"] == pytest.approx(3**-0.5, abs=1e-5)
    assert "error_sd" not in summarise(draws[:1]), "one draw does not deviate from anything"


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
    assert np.array_equal(folder.digit_present, file.digit_present)
    assert (folder.boxes.shape, folder.digit_present.shape) == ((3, 4), (3,))


def test_every_column_is_measured_and_shown() -> None:
    draws = evaluate(in_the_corner, find_preset("clean"), DIGITS, draws=2, scenes=10)
    summary = summarise(draws)
    assert {column.name for column in COLUMNS} <= set(summary)
    assert set(summary) == {
        name + end for name in (*Figures._fields, *DrawFigures._fields[1:]) for end in ("", "_sd")
    }
    shown = {column.title: column.show(summary) for column in COLUMNS}
    assert shown["AUROC of a digit's presence"].startswith("0.5")
    assert "%" in shown["calibration error"]
    of_one = summarise(draws[:1])
    assert {text.count("±") for text in shown.values()} == {1}
    assert {column.show(of_one).count("±") for column in COLUMNS} == {0}


@pytest.mark.parametrize(("draws", "scenes"), [(0, 10), (1, 0)])
def test_nothing_to_measure_is_refused(draws: int, scenes: int) -> None:
    with pytest.raises(ValueError, match=f"expected at least one of each, got {draws} and {scenes}"):
        evaluate(in_the_corner, find_preset("clean"), DIGITS, draws=draws, scenes=scenes)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"model: expected an \.onnx file.*nowhere\.onnx is not there"
    ):
        load_predict(tmp_path / "nowhere.onnx")
    (tmp_path / "model.txt").touch()
    with pytest.raises(ValueError, match=r"model: expected an \.onnx file.*got .*model\.txt"):
        load_predict(tmp_path / "model.txt")
