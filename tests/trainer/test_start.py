"""A run may start from weights that were learnt before: it answers as they do, and learns on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from models.contract import MODEL_PATH, load_contract
from tests.trainer.tiny import ALONE, TINY, bar_digits
from trainer.data.training_scenes import TrainingScenes
from trainer.evaluation.evaluate import load_predict
from trainer.model import GlimpseModel
from trainer.training.loop import train
from trainer.training.start import describe_start, load_start
from trainer.training.step import Trainer


@pytest.fixture
def scenes() -> torch.Tensor:
    stream = TrainingScenes(
        {"article": 0.5, "paper": 0.5}, bar_digits(), batch_size=64, seed=0, device=ALONE.device
    )
    return stream.batch(0).scenes


def test_a_model_that_starts_from_an_exported_file_answers_as_the_file_does(scenes: torch.Tensor) -> None:
    model = GlimpseModel().eval()
    load_start(model, MODEL_PATH, scenes)
    pictures = torch.round(scenes[:20] * 255).to(torch.uint8)
    with torch.inference_mode():
        ours = model.predict(pictures)
    theirs = load_predict(MODEL_PATH)(pictures.numpy())
    torch.testing.assert_close(ours.probabilities, torch.from_numpy(theirs.probabilities), rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.box, torch.from_numpy(theirs.boxes), rtol=0, atol=0.05)
    torch.testing.assert_close(ours.digit_present, torch.from_numpy(theirs.digit_present), rtol=0, atol=1e-4)


def test_its_normalisations_have_the_statistics_of_what_comes_in(scenes: torch.Tensor) -> None:
    model = GlimpseModel().eval()
    load_start(model, MODEL_PATH, scenes)
    with torch.inference_mode():
        kept = model(scenes)
        unshuffle, block = model.attention_network.fine
        convolution, norm, _ = block.children()
        before = convolution(unshuffle(scenes))
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, before.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    # So the same pass in training, by the batch's own statistics, finds the same places.
    trained = model.train()
    with torch.no_grad():
        learning = trained(scenes)
    torch.testing.assert_close(learning.gaussian.centre_x_px, kept.gaussian.centre_x_px, rtol=0, atol=0.2)


def test_a_run_starts_from_another_run(tmp_path: Path, bars: None) -> None:
    recipe = dataclasses.replace(TINY, steps=2)
    first = train(recipe, tmp_path / "first", device="cpu")
    about = json.loads((train(recipe, tmp_path / "next", device="cpu", start=first) / "run.json").read_text())
    assert about["start"]["file"] == "checkpoint.pt"
    assert len(about["start"]["sha256"]) == 64
    with pytest.raises(ValueError, match="holds a run of other start"):
        train(recipe, tmp_path / "next", device="cpu")


def test_the_average_starts_from_the_file_too() -> None:
    learner = Trainer(TINY, bar_digits(), seed=0, processes=ALONE, start=MODEL_PATH)
    for name, value in learner.model.state_dict().items():
        assert torch.equal(learner.averaged.state_dict()[name], value), name


def test_a_start_is_described_by_name_hash_and_commit() -> None:
    contract = load_contract()
    assert describe_start(MODEL_PATH) == {
        "file": "glimpse.onnx",
        "sha256": contract.sha256,
        "model": f"{contract.name} {contract.version}",
        "commit": contract.provenance.commit,
    }


def test_what_is_no_start_is_refused_in_a_sentence(tmp_path: Path, scenes: torch.Tensor) -> None:
    with pytest.raises(FileNotFoundError, match=r"start: expected an \.onnx file or a run's folder, got"):
        describe_start(tmp_path / "nothing.onnx")
    digits = MODEL_PATH.with_name("digits.onnx")
    with pytest.raises(ValueError, match=r"digits\.onnx: expected a model with a bias folded into"):
        load_start(GlimpseModel(), digits, scenes)
