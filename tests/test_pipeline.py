"""The whole pipeline in one test: train 20 steps, export, serve, and post a scene to the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import onnxruntime
import pytest
import torch

from models.contract import OUTPUTS, load_contract
from scenes.digits import Digits, make_digits
from scenes.draw import draw
from scenes.presets import find_preset
from tests.service.fakes import encode
from tests.support.processes import TIMEOUT_S, server
from trainer.evaluation.evaluate import make_pictures
from trainer.export import export
from trainer.training.loop import train
from trainer.training.presets import PRESETS


@pytest.fixture(autouse=True)
def processor_as_it_was() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)


def some(digits: Digits) -> Digits:
    """The first thousand."""
    return make_digits(np.asarray(digits.images)[:1000], np.asarray(digits.labels)[:1000])


def test_a_model_trained_exported_and_served_says_what_its_file_says(
    tmp_path: Path,
    train_digits: Digits,
    validation_digits: Digits,
    test_digits: Digits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Fewer scenes where their number is no matter here: errors and calibration on held-out digits, torch
    # against onnxruntime.
    monkeypatch.setattr("trainer.training.validation._BATCH", 25)
    monkeypatch.setattr("trainer.training.validation._SCENES", 200)
    monkeypatch.setattr("trainer.training.calibrate._SCENES", 200)
    monkeypatch.setattr("trainer.export.PARITY_SCENES", 128)
    # And fewer digits: every one is varied before it is learned from.
    held = {"train": some(train_digits), "validation": some(validation_digits)}
    monkeypatch.setattr("trainer.data.digits.load_digits", held.__getitem__)
    monkeypatch.setattr("trainer.data.digits.NON_DIGITS", 100)
    monkeypatch.setattr("trainer.data.digits.HELD_OUT_NON_DIGITS", 50)
    recipe = dataclasses.replace(PRESETS["smoke"], steps=20, batch_size=16, checkpoint_every=20, ramp=(5, 15))
    run = train(recipe, tmp_path / "run", device="cpu")
    model = tmp_path / "pipeline.onnx"
    export(run, model, validation_digits)
    assert load_contract(model).provenance.scenes_seen == 20 * 16

    parameters = draw(find_preset("article"), np.array([11]), test_digits, digit=4, noise=0.05, clutter=3)
    picture = make_pictures(parameters, test_digits)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in OUTPUTS]
    expected = {
        name: values[0] for name, values in zip(names, session.run(names, {"scene": picture}), strict=True)
    }

    with server(GLIMPSE_MODEL_PATH=str(model), GLIMPSE_PROVIDER="cpu") as (_, address, provider):
        response = httpx2.post(
            f"{address}/predict",
            files={"image": ("scene.png", encode(picture[0, 0]), "image/png")},
            timeout=TIMEOUT_S,
        )
    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) >= {"label", "confidence", "probabilities", "bbox", "attention", "model", "timing_ms"}
    assert answer["probabilities"] == pytest.approx(expected["probabilities"].tolist(), abs=1e-5)
    assert answer["label"] == int(expected["probabilities"].argmax())
    assert answer["confidence"] == pytest.approx(max(answer["probabilities"]))
    assert answer["inverted"] is False
    box = [answer["bbox"][key] for key in ("x", "y", "width", "height")]
    assert box == pytest.approx(expected["box"].tolist(), abs=0.01)
    attention = [answer["attention"][key] for key in ("x", "y", "sigma_x", "sigma_y")]
    assert attention == pytest.approx(expected["attention"].tolist(), abs=0.01)
    assert np.shape(answer["attention_map"]) == (100, 100)
    np.testing.assert_allclose(answer["attention_map"], expected["attention_map"], atol=5e-3)
    assert np.shape(answer["glimpse"]) == (28, 28)
    np.testing.assert_allclose(answer["glimpse"], expected["glimpse"], atol=5e-3)
    assert (answer["model"]["name"], answer["model"]["provider"]) == ("glimpse", provider)
