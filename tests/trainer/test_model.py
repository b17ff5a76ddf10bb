"""The whole model: its tensors are the contract's, and the labels' gradient finds the attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.contract import OUTPUTS
from scenes.draw import draw
from scenes.presets import find_preset
from tests.trainer.tiny import bar_digits
from trainer.attention import read_glimpse
from trainer.evaluation.evaluate import make_pictures
from trainer.export import count_mflops
from trainer.model import (
    ENSEMBLE,
    SECOND_WINDOW,
    TRAINING_ENSEMBLE,
    Calibration,
    GlimpseModel,
    Prediction,
    Windows,
    border_mean,
    read_square,
)


@pytest.fixture
def model() -> GlimpseModel:
    torch.manual_seed(5)
    model = GlimpseModel()
    # What starts at nought is set off it, so that every path carries something.
    for head in (model.attention_network.corrections, model.refiner.head):
        assert isinstance(head, torch.nn.Linear)
        torch.nn.init.normal_(head.weight, std=0.05)
    return model


@pytest.fixture(scope="module")
def scenes() -> Tensor:
    digits = bar_digits()
    return torch.from_numpy(make_pictures(draw(find_preset("article"), np.arange(6), digits), digits))


def test_what_it_predicts_is_what_the_contract_says(model: GlimpseModel, scenes: Tensor) -> None:
    assert Prediction._fields == tuple(tensor.name for tensor in OUTPUTS)
    prediction = model.eval().predict(scenes)
    for tensor, values in zip(OUTPUTS, prediction, strict=True):
        assert tuple(values.shape) == (6, *tensor.shape[1:])
        assert values.dtype == getattr(torch, tensor.dtype)


def test_the_parts_of_a_prediction_fit_each_other(model: GlimpseModel, scenes: Tensor) -> None:
    prediction = model.eval().predict(scenes)
    torch.testing.assert_close(prediction.probabilities.sum(1), torch.ones(6))
    x, y, sigma_x, sigma_y = prediction.attention.unbind(1)
    width, height = sigma_x * math.sqrt(12), sigma_y * math.sqrt(12)
    edge = torch.maximum(width, height) / 80
    expected_box = torch.stack(
        [x - width / 2 - edge, y - height / 2 - edge, width + 2 * edge, height + 2 * edge], 1
    )
    torch.testing.assert_close(prediction.box, expected_box)
    torch.testing.assert_close(prediction.attention_map.amax(dim=(1, 2)), torch.ones(6))
    for found, peak_x, peak_y in zip(prediction.attention_map, x, y, strict=True):
        row, column = divmod(int(found.argmax()), 100)
        assert (column, row) == (int(peak_x), int(peak_y))
    # The glimpse is a square around the Gaussian, 1.4 of its longer side.
    side = SECOND_WINDOW * torch.maximum(width, height)
    ground = border_mean(scenes.float() / 255)[:, :, None]
    expected = ground + read_glimpse(scenes[:, 0].float() / 255 - ground, x, y, side, side, 28)
    torch.testing.assert_close(prediction.glimpse, expected.clamp(0, 1), rtol=0, atol=1e-5)


def test_beyond_a_scene_a_glimpse_goes_on_with_the_mean_of_its_border() -> None:
    scene = torch.zeros(1, 1, 100, 100)
    scene[0, 0, 0, :], scene[0, 0, -1, :], scene[0, 0, :, 0], scene[0, 0, :, -1] = 0.8, 0.8, 0.4, 0.4
    ground = border_mean(scene)
    # By hand: rows of 98 × 0.8 and 2 × 0.4, columns of 100 × 0.4.
    torch.testing.assert_close(ground, torch.tensor([[((98 * 0.8 + 2 * 0.4) / 100 + 0.4) / 2]]))
    beside = read_square(scene, torch.tensor([[-60.0, 30.0, 40.0]]), 28, ground)
    torch.testing.assert_close(beside, ground.expand(1, 1, 28, 28))
    inside = read_square(scene, torch.tensor([[50.0, 50.0, 40.0]]), 28, ground)
    assert inside.abs().max() < 0.02


def test_the_last_of_a_prediction_is_that_there_is_a_digit(model: GlimpseModel, scenes: Tensor) -> None:
    assert Prediction._fields[-1] == "digit_present"
    output = model.eval()(scenes.float() / 255)
    present = model.predict(scenes).digit_present
    assert tuple(present.shape) == (6,)
    torch.testing.assert_close(present, torch.sigmoid(output.presence_logit))
    assert present.unique().numel() == 6
    # Both the glimpse and the features that the heat map gathers have a say in it, neither in the labels.
    for head in (model.classifier.head, model.attention_network.classes):
        with torch.no_grad():
            head.bias[-1] += 1
        raised = model(scenes.float() / 255)
        torch.testing.assert_close(raised.presence_logit, output.presence_logit + 1)
        for name in ("logits", "refiner_logits", "pooled_logits"):
            assert torch.equal(getattr(raised, name), getattr(output, name))
        output = raised


def test_calibration_is_nothing_until_it_is_fitted_and_then_what_it_says() -> None:
    calibration = Calibration()
    logits, presence = torch.tensor([[0.0, math.log(9.0)]]), torch.tensor([math.log(9.0)])
    torch.testing.assert_close(calibration.probabilities(logits), torch.tensor([[0.1, 0.9]]))
    torch.testing.assert_close(calibration.digit_present(presence), torch.tensor([0.9]))
    calibration.label_temperature.fill_(2.0)
    calibration.presence_temperature.fill_(2.0)
    calibration.presence_shift.fill_(math.log(3.0))
    # Half of log 9 is log 3: 1 to 3. With another log 3 on top it is log 9 again.
    torch.testing.assert_close(calibration.probabilities(logits), torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(calibration.digit_present(presence), torch.tensor([0.9]))


def test_calibration_travels_with_the_weights_and_is_not_trained(model: GlimpseModel, scenes: Tensor) -> None:
    assert not any(name.startswith("calibration") for name, _ in model.named_parameters())
    model.eval().calibration.label_temperature.fill_(3.0)
    copy = GlimpseModel().eval()
    copy.load_state_dict(model.state_dict())
    output = copy(scenes.float() / 255)
    torch.testing.assert_close(copy.predict(scenes).probabilities, torch.softmax(output.logits / 3, 1))


def test_scenes_of_a_batch_do_not_know_of_each_other(model: GlimpseModel, scenes: Tensor) -> None:
    model.eval()
    together = model.predict(scenes)
    turned = model.predict(scenes.flip(0))
    for index in range(len(scenes)):
        alone = model.predict(scenes[index : index + 1])
        for one, all_of_them, other_way in zip(alone, together, turned, strict=True):
            torch.testing.assert_close(one[0], all_of_them[index], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(one[0], other_way[5 - index], rtol=1e-4, atol=1e-4)


def test_it_stays_small(model: GlimpseModel) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) <= 1_500_000
    assert 1 < count_mflops(model.eval()) <= 80


def gradients_of_the_labels(model: GlimpseModel, scenes: Tensor, glimpse: str) -> dict[str, float]:
    """Largest gradient in each parameter of the attention network from one glimpse's cross entropy alone."""
    output = model(scenes.float() / 255)
    logits = {"second": output.logits, "first": output.refiner_logits}[glimpse]
    functional.cross_entropy(logits, torch.arange(6)).backward()
    return {
        name: 0.0 if parameter.grad is None else parameter.grad.abs().max().item()
        for name, parameter in model.attention_network.named_parameters()
    }


@pytest.mark.parametrize("glimpse", ["first", "second"])
def test_the_labels_gradient_reaches_the_heat_map_through_the_glimpse(
    model: GlimpseModel, scenes: Tensor, glimpse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = gradients_of_the_labels(model, scenes, glimpse)
    assert gradients["heat.weight"] > 1e-5
    assert gradients["fine.1.0.weight"] > 1e-5  # the very first convolution
    assert gradients["classes.weight"] == 0  # it hangs on the scene, not on a glimpse
    # Cut where the window is read, and nothing of it is left: there was no other way.
    model.zero_grad(set_to_none=True)
    monkeypatch.setattr("trainer.model.GLIMPSE_GRADIENT", 0.0)
    assert set(gradients_of_the_labels(model, scenes, glimpse).values()) == {0.0}


def test_windows_change_in_training_as_they_are_told(model: GlimpseModel, scenes: Tensor) -> None:
    model.eval()
    pixels = scenes.float() / 255
    plain = model(pixels)
    change = Windows(torch.full((6,), 0.1), torch.full((6,), -0.2), torch.full((6,), math.log(1.5)))
    x, y, side = model(pixels, change).first_window.unbind(1)
    before_x, before_y, before = plain.first_window.unbind(1)
    torch.testing.assert_close(side, 1.5 * before)
    torch.testing.assert_close(x, before_x + 0.1 * side)
    torch.testing.assert_close(y, before_y - 0.2 * side)
    second = model(pixels, None, change)
    torch.testing.assert_close(second.first_window, plain.first_window)
    assert not torch.equal(second.glimpse, plain.glimpse)


def test_each_glimpse_has_its_vote_and_other_votes_in_training(scenes: Tensor) -> None:
    torch.manual_seed(0)
    model = GlimpseModel()
    pictures = scenes.float() / 255
    guesses: list[Tensor] = []
    model.classifier.register_forward_hook(lambda _, __, found: guesses.append(found[:, :-1]))
    for training, weights in ((False, ENSEMBLE), (True, TRAINING_ENSEMBLE)):
        output = model.train(training)(pictures)
        expected = (
            guesses[-1]
            + weights.first_glimpse * output.refiner_logits
            + weights.pooled * output.pooled_logits
        )
        torch.testing.assert_close(output.logits, expected)
        assert output.refiner_logits.requires_grad
    assert ENSEMBLE != TRAINING_ENSEMBLE


def test_in_bfloat16_what_finds_the_digit_and_what_reads_it_stay_in_float32(
    model: GlimpseModel, scenes: Tensor
) -> None:
    pixels = scenes.float() / 255
    of_convolutions: list[torch.dtype] = []
    for name in ("attention_network.fine.1.0", "refiner.features.1.0", "classifier.features.1.0"):
        convolution = model.get_submodule(name)
        convolution.register_forward_hook(lambda *call: of_convolutions.append(call[-1].dtype))
    expected = model.eval()(pixels)
    of_convolutions.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(pixels)
    assert of_convolutions == [torch.float32, torch.bfloat16, torch.bfloat16]
    assert {values.dtype for values in (found.logits, found.refiner_logits, found.glimpse)} == {torch.float32}
    for name in ("heat", "coarse", "pooled_logits", "first_window"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=0)
