"""Each baseline has our size, learns from labels, and makes boxes of what it looked at."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.compare.baselines import cam, draw_regression, spatial_transformer
from benchmarks.compare.baselines.cam import PlainNetwork, class_activation_maps, gradient_maps
from benchmarks.compare.baselines.common import Pass, scaled_boxes
from benchmarks.compare.baselines.draw_regression import DrawRegression
from benchmarks.compare.baselines.spatial_transformer import SpatialTransformer
from benchmarks.compare.budget import cost, recipe, trained
from benchmarks.compare.localisation import BASELINES, METHODS
from benchmarks.compare.measure import draw_scenes
from scenes.presets import find_preset
from tests.support.imports import TRUTH, reachable
from tests.trainer.tiny import ROOT, TINY, bar_digits
from trainer.attention import gaussian_of_box
from trainer.data.digits import TrainingDigits, mnist_digits
from trainer.model import CORRECTIONS_SCALE, NO_DIGIT, Calibration
from trainer.training.checkpoint import load_checkpoint, load_trained_model, save_checkpoint
from trainer.training.method import OWN_METHOD
from trainer.training.step import Trainer

LABELS_ONLY = [cam.METHOD, spatial_transformer.METHOD, draw_regression.METHOD]
RECIPE = dataclasses.replace(TINY, steps=2)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_none_is_larger_than_what_ours_may_be(name: str) -> None:
    found = cost(METHODS[name].build().eval())
    assert found["mflops"] <= cost(METHODS["glimpse"].build().eval())["mflops"]
    assert found["parameters"] <= 1.5e6


@pytest.mark.parametrize("method", LABELS_ONLY, ids=lambda method: method.name)
def test_it_tells_ten_classes_and_whether_there_is_a_digit(method) -> None:
    model = method.build().eval()
    seen = model(torch.rand(3, 1, 100, 100))
    assert isinstance(seen, Pass)
    assert (seen.logits.shape, seen.presence_logit.shape) == ((3, 10), (3,))
    assert isinstance(model.calibration, Calibration)
    modules = dict(model.named_modules())
    assert all(isinstance(modules[head], nn.Linear) for head in method.heads)


@pytest.mark.parametrize("method", LABELS_ONLY, ids=lambda method: method.name)
def test_the_labels_gradient_reaches_every_weight(method) -> None:
    model = method.build()
    # Heads that start at nothing let no gradient through to what is before them at the first step.
    for head in method.heads:
        nn.init.normal_(model.get_submodule(head).weight, std=0.01)
    scenes, labels = torch.rand(8, 1, 100, 100), torch.tensor([0, 1, 2, 3, 4, 5, NO_DIGIT, 7])
    losses = method.losses(model(scenes), scenes, labels, TINY.weights, 1.0)
    losses.label.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("method", LABELS_ONLY, ids=lambda method: method.name)
def test_a_scene_without_a_digit_counts_for_its_presence_alone(method) -> None:
    model = method.build().eval()
    scenes = torch.rand(2, 1, 100, 100)
    with torch.no_grad():
        seen = model(scenes)
        both, first = (
            method.losses(seen, scenes, labels, TINY.weights, 1.0)
            for labels in (torch.tensor([3, NO_DIGIT]), torch.tensor([3, 3]))
        )
    torch.testing.assert_close(both.label, functional.cross_entropy(seen.logits[:1], torch.tensor([3])))
    assert both.presence != first.presence


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(METHODS))
def test_it_trains_resumes_and_is_loaded_as_every_run(name: str, tmp_path: Path, bars: None) -> None:
    method, run = METHODS[name], tmp_path / name
    first = trained(method, RECIPE, run, seed=0, digits=mnist_digits())
    state = load_checkpoint(run)
    assert (state["step"], state["about"]["method"]) == (2, name)
    written = (run / "checkpoint.pt").stat().st_mtime_ns
    again = trained(method, RECIPE, run, seed=0, digits=mnist_digits())
    assert (run / "checkpoint.pt").stat().st_mtime_ns == written  # loaded, not trained
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    with pytest.raises(ValueError, match=f"holds a run of {name}, seed 0"):
        trained(method, RECIPE, run, seed=1, digits=mnist_digits())
    others = TrainingDigits(bar_digits("validation"), bar_digits(), "others")
    with pytest.raises(ValueError, match=r"digits were .*MNIST.*, expected .*others"):
        trained(method, RECIPE, run, seed=0, digits=others)


def test_a_finished_run_of_an_earlier_model_is_loaded(tmp_path: Path, bars: None) -> None:
    method = METHODS[OWN_METHOD]
    expected = trained(method, RECIPE, tmp_path / "run", seed=0, digits=mnist_digits()).state_dict()
    state = load_checkpoint(tmp_path / "run")
    for name in ("weight", "bias"):
        now = state["averaged"].pop(f"attention_network.corrections.{name}")
        state["averaged"][f"attention_network.geometry.2.{name}"] = CORRECTIONS_SCALE * now
    save_checkpoint(state, tmp_path / "run")
    found = trained(method, RECIPE, tmp_path / "run", seed=0, digits=mnist_digits()).state_dict()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values)


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path, bars: None) -> None:
    preset = dataclasses.replace(TINY, steps=4, checkpoint_every=2)
    whole = trained(METHODS["cam"], preset, tmp_path / "a", seed=0, digits=mnist_digits())
    with pytest.MonkeyPatch.context() as patch:
        advance = Trainer.advance
        taken: list[int] = []

        def advance_twice(self: Trainer) -> object:
            if len(taken) == 3:
                raise KeyboardInterrupt
            taken.append(self.step)
            return advance(self)

        patch.setattr(Trainer, "advance", advance_twice)
        with pytest.raises(KeyboardInterrupt):
            trained(METHODS["cam"], preset, tmp_path / "b", seed=0, digits=mnist_digits())
    assert load_checkpoint(tmp_path / "b")["step"] == 2
    resumed = trained(METHODS["cam"], preset, tmp_path / "b", seed=0, digits=mnist_digits())
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_a_run_of_another_method_is_not_taken_for_ours(tmp_path: Path, bars: None) -> None:
    trained(cam.METHOD, RECIPE, tmp_path, seed=0, digits=mnist_digits())
    with pytest.raises(ValueError, match="holds a run of the method cam, expected one of glimpse"):
        load_trained_model(tmp_path)


def test_the_recipe_is_that_of_the_cpu_preset_but_for_its_steps() -> None:
    found, ours = dataclasses.asdict(recipe("compare", 6000)), dataclasses.asdict(recipe("cpu", 18_000))
    assert {key for key in found if found[key] != ours[key]} == {"name", "steps"}


def test_cams_map_is_the_features_weighted_as_the_last_layer_weights_them() -> None:
    model = PlainNetwork().eval()
    seen = model(torch.rand(2, 1, 100, 100))
    maps = class_activation_maps(model, seen, torch.tensor([4, 7]))
    assert maps.shape == (2, 25, 25)
    # Average pooling and the layer can change places: a map's mean and the bias make the logit.
    for i, label in enumerate((4, 7)):
        torch.testing.assert_close(maps[i].mean() + model.classes.bias[label], seen.logits[i, label])


def test_grad_cams_map_is_cams_up_to_relu_for_average_pooling() -> None:
    model = PlainNetwork().eval()
    seen, classes = model(torch.rand(2, 1, 100, 100)), torch.tensor([4, 7])
    expected = functional.relu(class_activation_maps(model, seen, classes)) / 25**2
    torch.testing.assert_close(gradient_maps(seen, classes), expected)


def test_the_transformer_samples_the_window_that_it_tells() -> None:
    model = SpatialTransformer().eval()
    with torch.no_grad():  # half of the scene's side, with its middle at x = 60, y = 30
        model.localiser.head.bias.copy_(torch.tensor([0.5, 0.2, -0.4, 0.0]))
    glimpses: list[torch.Tensor] = []
    model.classifier.register_forward_pre_hook(lambda _module, args: glimpses.append(args[0]))
    columns = torch.arange(100.0).expand(100, 100)
    scenes = torch.stack([columns, columns.T])[:, None]
    seen = model(scenes)
    assert seen.window is not None
    for field, value in zip(seen.window, (60, 30, 50 / 12**0.5, 50 / 12**0.5), strict=True):
        assert field.tolist() == pytest.approx([value, value])
    # Pixel i holds i and has its middle at i + ½; the first and last samples lie half a stride inside.
    stride = 50 / 28
    assert glimpses[0][0, 0, 5, 0].item() == pytest.approx(35 + stride / 2 - 0.5, abs=1e-3)
    assert glimpses[0][0, 0, 5, -1].item() == pytest.approx(85 - stride / 2 - 0.5, abs=1e-3)
    assert glimpses[0][1, 0, 0, 5].item() == pytest.approx(5 + stride / 2 - 0.5, abs=1e-3)


def test_the_regressed_gaussian_starts_in_the_middle_and_reads_most_of_the_scene() -> None:
    seen = DrawRegression().eval()(torch.rand(2, 1, 100, 100))
    assert seen.window is not None
    assert seen.window.centre_x_px.tolist() == pytest.approx([50, 50])
    assert (1.4 * seen.window.width_px).tolist() == pytest.approx([78.4, 78.4])


def test_only_the_penalty_tells_the_regressions_loss_from_the_labels() -> None:
    model = DrawRegression().eval()
    scenes, labels = torch.rand(2, 1, 100, 100), torch.tensor([1, 2])
    seen = model(scenes)
    off, on = (draw_regression.losses(seen, scenes, labels, TINY.weights, ramp) for ramp in (0.0, 1.0))
    assert (on.total - off.total).item() == pytest.approx(
        draw_regression.VARIANCE_WEIGHT * on.variance.item(), rel=1e-4
    )
    assert on.variance.item() == pytest.approx(2 * np.log(56 / 12**0.5), rel=1e-5)


def test_windows_are_scaled_around_their_middle() -> None:
    window = gaussian_of_box(*(torch.tensor([value]) for value in (40.0, 30.0, 20.0, 10.0)))
    assert scaled_boxes(window, (1.0, 2.0))[0].tolist() == [
        pytest.approx([30, 25, 20, 10]),
        pytest.approx([20, 20, 40, 20]),
    ]


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: baseline.title)
def test_an_answer_has_a_box_for_every_setting(baseline) -> None:
    model = baseline.method.build().eval()
    (batch,) = draw_scenes(find_preset("article"), bar_digits(), seed=0, scenes=3)
    said = baseline.answer(model, batch.pictures)
    assert said.boxes.shape == (3, len(baseline.settings), 4)
    assert said.boxes.dtype == np.float32
    np.testing.assert_allclose(said.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_nothing_that_trains_leads_to_the_truth() -> None:
    loaded = reachable("trainer.training.loop", ROOT)
    assert not [name for name in loaded if name.startswith("benchmarks")]
    assert loaded & TRUTH == set()
    baselines = sorted((ROOT / "benchmarks" / "compare" / "baselines").glob("*.py"))
    assert baselines
    for path in baselines:
        assert "scenes.truth" not in path.read_text(encoding="utf-8"), path
