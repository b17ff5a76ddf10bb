"""Calibration finds the temperature and the shift that made-up logits were given, and changes no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scenes.draw import draw
from scenes.presets import find_preset
from tests.trainer.tiny import ALONE, bar_digits
from trainer.data.training_scenes import TrainingScenes
from trainer.evaluation.evaluate import make_pictures
from trainer.evaluation.metrics import expected_calibration_error
from trainer.model import GlimpseModel
from trainer.training import calibrate as calibrating
from trainer.training.calibrate import calibrate

SCENES = 20_000


@pytest.fixture
def model() -> GlimpseModel:
    torch.manual_seed(6)
    return GlimpseModel().eval()


def honest_labels(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits `[n, 10]` whose softmax is the true chance of each label, and labels drawn by it."""
    logits = 2 * torch.randn(SCENES, 10, generator=generator)
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    return logits, labels


def made_up(monkeypatch: pytest.MonkeyPatch, labelled: tuple[Tensor, Tensor], present: Tensor) -> None:
    """Let `calibrate` see made-up logits: for labels on scenes with a digit, for presence on half without."""
    logits, labels = labelled
    generator = torch.Generator().manual_seed(1)
    is_present = torch.rand(SCENES, generator=generator) < torch.sigmoid(present)

    def look(*args: object, without_digit: float, **options: object) -> tuple[Tensor, Tensor, Tensor]:
        if without_digit == 0:
            return logits, torch.full((SCENES,), torch.nan), labels
        assert without_digit == 0.5
        # Presence must come of scenes with and without a digit, and of its own logits alone.
        return torch.full((SCENES, 10), torch.nan), (present - 1.5) / 0.4, torch.where(is_present, labels, -1)

    monkeypatch.setattr(calibrating, "_look", look)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_logits_that_are_too_large_or_small_are_brought_back(
    model: GlimpseModel, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = honest_labels(generator)
    # Presence: an honest logit l is told as (l − 1.5) / 0.4, which a temperature of 1 / 0.4 and 1.5 undo.
    made_up(monkeypatch, (scale * logits, labels), 2 * torch.randn(SCENES, generator=generator))
    calibrate(model, bar_digits("validation"), device=ALONE.device)
    found = model.calibration
    assert found.label_temperature.item() == pytest.approx(scale, rel=0.03)
    assert found.presence_temperature.item() == pytest.approx(2.5, rel=0.08)
    assert found.presence_shift.item() == pytest.approx(1.5, rel=0.08)

    right = (logits.argmax(1) == labels).numpy()
    before, after = (
        expected_calibration_error(probabilities.amax(1).numpy(), right)
        for probabilities in (torch.softmax(scale * logits, 1), found.probabilities(scale * logits))
    )
    assert after < 0.01
    assert scale == 1 or before > 0.1


def test_answers_stay_and_nothing_but_the_calibration_changes(
    model: GlimpseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = bar_digits()
    pictures = torch.from_numpy(make_pictures(draw(find_preset("article"), np.arange(20), digits), digits))
    with torch.inference_mode():
        before = model.predict(pictures)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    logits, labels = honest_labels(generator)
    made_up(monkeypatch, (0.2 * logits, labels), 2 * torch.randn(SCENES, generator=generator))
    calibrate(model, digits, device=ALONE.device)
    with torch.inference_mode():
        after = model.predict(pictures)

    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, weights[name])}
    assert changed == {
        f"calibration.{name}" for name in ("label_temperature", "presence_temperature", "presence_shift")
    }
    assert torch.equal(after.probabilities.argmax(1), before.probabilities.argmax(1))
    assert (after.probabilities.amax(1) > before.probabilities.amax(1)).all()
    torch.testing.assert_close(after.probabilities.sum(1), torch.ones(20))
    for name in ("box", "attention", "attention_map", "glimpse"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    # More or less sure of a digit, but in the same order.
    assert torch.equal(after.digit_present.argsort(), before.digit_present.argsort())
    assert not torch.equal(after.digit_present, before.digit_present)


def test_a_presence_that_is_never_mistaken_stays_a_number(
    model: GlimpseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing overlaps: no temperature is the best, since every sharper one is better."""

    def look(*args: object, without_digit: float, **options: object) -> tuple[Tensor, Tensor, Tensor]:
        logits, labels = torch.eye(10).repeat(100, 1), torch.arange(1000) % 10
        if without_digit:
            labels = torch.where(labels < 5, labels, -1)
        return logits, torch.where(labels < 0, -4.0, 4.0), labels

    monkeypatch.setattr(calibrating, "_look", look)
    calibrate(model, bar_digits(), device=ALONE.device)
    assert all(value.isfinite() for value in model.calibration.buffers())
    assert model.calibration.presence_temperature > 0
    answers = model.calibration.digit_present(torch.tensor([-4.0, 0.0, 4.0]))
    assert answers.isfinite().all()
    assert answers[0] < 0.01
    assert answers[2] > 0.99


def test_it_looks_at_scenes_and_at_paper_that_nothing_else_sees(
    model: GlimpseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrating, "_SCENES", 200)
    monkeypatch.setattr("trainer.training.validation._BATCH", 25)
    made: list[tuple[Any, dict[str, Any]]] = []
    streams = TrainingScenes

    def keep(*args: Any, **options: Any) -> object:
        made.append((args, options))
        return streams(*args, **options)

    monkeypatch.setattr("trainer.training.validation.TrainingScenes", keep)
    held_out = bar_digits("validation")
    _, _, labels = calibrating._look(model, held_out, without_digit=0.0, device=ALONE.device)
    logits, presence, some = calibrating._look(model, held_out, without_digit=0.5, device=ALONE.device)
    assert (tuple(logits.shape), tuple(presence.shape), tuple(labels.shape)) == ((400, 10), (400,), (400,))
    assert not logits.requires_grad
    assert labels.min() >= 0
    absent = some < 0
    assert 150 < absent.sum() < 250
    assert torch.equal(some[~absent], labels[~absent])
    assert [mixture for (mixture, _), _ in made[:2]] == [{"article": 1.0}, {"paper": 1.0}]
    for (_, digits), options in made:
        assert digits is held_out
        assert options["seed"] == 1  # validation's scenes are of seed 0
        assert "copy_paste" not in options
    expected = streams({"article": 1.0}, held_out, batch_size=25, seed=1, device=ALONE.device).batch(7)
    with torch.no_grad():
        assert torch.equal(
            calibrating._look(model, held_out, without_digit=0.0, device=ALONE.device)[0][175:200],
            model(expected.scenes).logits,
        )


def test_the_minimum_of_a_bowl_is_found() -> None:
    found = calibrating._minimise(lambda x, y: (x - 3) ** 2 + 10 * (y + 1) ** 2 + x * y, 0.0, 0.0)
    # Where 2 (x − 3) + y = 0 and 20 (y + 1) + x = 0: x = 140 / 39, y = −46 / 39.
    assert [value.item() for value in found] == pytest.approx([140 / 39, -46 / 39], abs=1e-4)
    assert not any(value.requires_grad for value in found)
