"""The attention is learned from class labels alone: no true box, place or size can reach training.

Four fences, each of another kind: what the training code imports, what it calls while it runs, what its loss
is given, and what its loss changes with. What the two pictures of a scene tell is held by `test_pasting`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainer.data.training_scenes
import trainer.training.method
from scenes.digits import Digits, with_non_digits
from scenes.draw import SceneParameters
from scenes.draw import draw as draw_scenes
from scenes.edit import remove_clutter, remove_paper, remove_target, replace_by_non_digits
from scenes.render import render as render_scenes
from tests.support.imports import TRUTH, imported_modules, reachable, source_of
from tests.trainer.tiny import ALONE, ROOT, TINY, bar_digits
from trainer.data.batches import LabelledBatch
from trainer.data.training_scenes import TrainingScenes
from trainer.losses import LossWeights, compute_losses
from trainer.model import NO_DIGIT, ForwardOutput
from trainer.training.loop import train
from trainer.training.step import Trainer


def test_no_import_of_the_training_loop_leads_to_the_truth() -> None:
    loaded = reachable("trainer.training.loop", ROOT)
    assert loaded >= {
        "trainer.data.training_scenes",
        "trainer.losses",
        "trainer.model",
        "trainer.training.validation",
        "trainer.training.calibrate",
        "trainer.training.optimiser",
        "scenes.render",
    }
    assert loaded & TRUTH == set()
    assert {name for name in loaded if name.startswith("scenes.")} == {
        f"scenes.{name}"
        for name in (
            "backend",
            "digits",
            "draw",
            "edit",
            "frame",
            "mnist",
            "paper",
            "paper_render",
            "presets",
            "random",
            "render",
        )
    }


@pytest.mark.parametrize("module", ["trainer.attention", "trainer.model", "trainer.losses"])
def test_model_losses_and_the_step_from_sigma_to_box_know_no_scenes(module: str) -> None:
    loaded = reachable(module, ROOT)
    assert {name for name in loaded if "." in name} <= {
        "models.contract",
        "models.task",
        "trainer.attention",
        "trainer.model",
        "trainer.losses",
    }


@pytest.mark.parametrize(
    "line",
    [
        "from scenes.truth import ink_boxes",
        "from scenes import truth",
        "import scenes.truth as anything",
        "def late():\n    import scenes.truth",
        "if False:\n    from ..scenes.truth import ink_boxes",
        "import importlib\nimportlib.import_module('scenes.truth')",
    ],
)
def test_the_walker_finds_an_offence_two_files_away(tmp_path: Path, line: str) -> None:
    for path, text in {
        "trainer/__init__.py": "",
        "trainer/train.py": "from trainer import data\nimport numpy",
        "trainer/data.py": "from trainer.helper import help_out",
        "trainer/helper.py": line + "\ndef help_out(): ...",
        "scenes/__init__.py": "",
        "scenes/truth.py": "def ink_boxes(): ...",
        "scenes/sheet.py": "from scenes.truth import ink_boxes",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text + "\n", encoding="utf-8")
    assert reachable("trainer.train", tmp_path) & TRUTH == {"scenes.truth"}
    (tmp_path / "trainer/helper.py").write_text("def help_out(): ...\n", encoding="utf-8")
    assert reachable("trainer.train", tmp_path) == {
        "trainer",
        "trainer.train",
        "trainer.data",
        "trainer.helper",
    }


def test_only_one_file_of_training_draws_scenes_and_reads_their_label_alone() -> None:
    drawing = {
        name
        for name in reachable("trainer.training.loop", ROOT)
        if name.startswith("trainer.")
        and any(
            imported.startswith(("scenes.draw", "scenes.edit", "scenes.render"))
            for _, imported in imported_modules(source_of(name, ROOT), ROOT)
        )
    }
    assert drawing == {"trainer.data.training_scenes"}
    read = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(trainer.data.training_scenes)))
        if isinstance(node, ast.Attribute) and node.attr in SceneParameters._fields
    }
    assert read == {"label"}


def test_training_and_validation_run_where_the_truth_cannot_be_asked_for(
    tmp_path: Path, bars: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("training asked for the truth")

    for name in ("scenes.truth.ink_boxes", "scenes.truth.canvas_boxes", "scenes.render.render_ink"):
        monkeypatch.setattr(name, refuse)
    run = train(dataclasses.replace(TINY, steps=2), tmp_path / "run", device="cpu")
    assert "validation_error/article" in (run / "metrics.jsonl").read_text()


def test_a_batch_is_two_pictures_of_each_scene_and_its_label() -> None:
    assert LabelledBatch._fields == ("scenes", "ink", "labels")
    batch = TrainingScenes(
        {"article": 1.0}, bar_digits(), batch_size=8, seed=0, device=ALONE.device, copy_paste=0.5
    ).batch(0)
    assert [tuple(values.shape) for values in batch] == [(8, 1, 100, 100), (8, 1, 100, 100), (8,)]
    assert [values.dtype for values in batch] == [torch.float32, torch.float32, torch.int64]


def test_the_loss_is_given_pictures_labels_and_what_the_model_made_of_the_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[object, ...]] = []
    original = compute_losses

    def record(*args: object) -> object:
        seen.append(args)
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.training.method, "compute_losses", record)
    made: list[tuple[object, ...]] = []
    learner = Trainer(TINY, bar_digits(), seed=0, processes=ALONE)
    learner.model.register_forward_pre_hook(lambda _module, args: made.append(args))
    for _ in range(2):
        learner.advance()
    assert len(seen) == len(made) == 2
    for step, ((output, ink, labels, weights, ramp, present), (pixels, *windows)) in enumerate(
        zip(seen, made, strict=True)
    ):
        batch = learner.scenes.batch(step)
        assert isinstance(ink, torch.Tensor)
        assert isinstance(labels, torch.Tensor)
        assert isinstance(pixels, torch.Tensor)
        assert tuple(ink.shape) == (8, 1, 100, 100)
        assert (tuple(labels.shape), labels.dtype) == ((8,), torch.int64)
        assert torch.equal(ink, batch.ink)
        assert torch.equal(labels, batch.labels)
        assert torch.equal(pixels, batch.scenes)
        assert not torch.equal(pixels, ink)  # the recipe does paste
        assert isinstance(output, ForwardOutput)
        assert isinstance(weights, LossWeights)
        assert isinstance(ramp, torch.Tensor)
        assert ramp.shape == ()
        assert present is None
        # The windows are random and know nothing of what lies in the scene.
        other = TrainingScenes(
            {"clean": 1.0}, bar_digits("validation"), batch_size=8, seed=0, device=ALONE.device
        )
        for given, expected in zip(windows, other.windows(step), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(given, expected, strict=True))  # type: ignore[call-overload]


def garble(parameters: SceneParameters) -> SceneParameters:
    """Scenes with the same seeds and labels, whose every place, size and index is nonsense."""

    def nonsense(fields: Any) -> Any:
        return fields._replace(
            **{
                name: torch.full_like(value, -1e9 if value.is_floating_point() else -1)
                for name, value in fields._asdict().items()
                if isinstance(value, torch.Tensor) and name not in ("seed", "label")
            }
        )

    garbled: SceneParameters = nonsense(parameters)
    return garbled if garbled.paper is None else garbled._replace(paper=nonsense(garbled.paper))


class Curtain:
    """Stands in for the scene stage: hands out garbled parameters and keeps the true ones behind them.

    Training may pass on what it is given, to have scenes edited or rendered; whatever else it does with it,
    it does with nonsense.
    """

    def __init__(self) -> None:
        self._held: list[tuple[SceneParameters, SceneParameters]] = []
        self.calls: Counter[str] = Counter()

    def hide(self, parameters: SceneParameters) -> SceneParameters:
        garbled = garble(parameters)
        self._held.append((garbled, parameters))
        return garbled

    def behind(self, garbled: SceneParameters) -> SceneParameters:
        (found,) = [true for shown, true in self._held if shown is garbled]
        return found

    def draw(self, *args: Any) -> SceneParameters:
        self.calls["draw"] += 1
        return self.hide(draw_scenes(*args))

    def remove_target(self, garbled: SceneParameters, chosen: torch.Tensor) -> SceneParameters:
        self.calls["remove_target"] += 1
        return self.hide(remove_target(self.behind(garbled), chosen))

    def remove_clutter(self, garbled: SceneParameters, pieces: int) -> SceneParameters:
        self.calls["remove_clutter"] += 1
        return self.hide(remove_clutter(self.behind(garbled), pieces))

    def replace_by_non_digits(
        self, garbled: SceneParameters, chosen: torch.Tensor, digits: Digits
    ) -> SceneParameters:
        self.calls["replace_by_non_digits"] += 1
        return self.hide(replace_by_non_digits(self.behind(garbled), chosen, digits))

    def remove_paper(self, garbled: SceneParameters) -> SceneParameters:
        self.calls["remove_paper"] += 1
        return self.hide(remove_paper(self.behind(garbled)))

    def render(self, garbled: SceneParameters, digits: Digits) -> object:
        self.calls["render"] += 1
        return render_scenes(self.behind(garbled), digits)


def test_pictures_with_other_parameters_behind_them_train_the_same_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loss and the weights are a function of pictures and labels: parameters change nothing."""
    # So many without a digit that some of the few scenes are.
    recipe = dataclasses.replace(TINY, without_digit=0.25)

    others = np.random.default_rng(5).integers(0, 256, (4, 28, 28), np.uint8)
    digits = with_non_digits(bar_digits(), others)

    def losses_and_weights() -> tuple[list[tuple[torch.Tensor, ...]], dict[str, torch.Tensor]]:
        learner = Trainer(recipe, digits, seed=0, processes=ALONE)
        losses = [tuple(value.detach() for value in learner.advance()[0]) for _ in range(3)]
        assert any((learner.scenes.batch(step).labels == NO_DIGIT).any() for step in range(3))
        return losses, learner.model.state_dict()

    expected = losses_and_weights()
    curtain = Curtain()
    for name in (
        "draw",
        "remove_target",
        "replace_by_non_digits",
        "remove_paper",
        "remove_clutter",
        "render",
    ):
        monkeypatch.setattr(trainer.data.training_scenes, name, getattr(curtain, name))
    losses, weights = losses_and_weights()
    # One block of steps, in seven parts: five are crowded, two are on paper; all but one are rendered twice.
    # In those on paper other things take the place of digits.
    assert curtain.calls == {
        "draw": 7,
        "remove_target": 7,
        "replace_by_non_digits": 2,
        "remove_paper": 2,
        "remove_clutter": 5,
        "render": 13,
    }
    assert losses == expected[0]
    assert all(torch.equal(value, expected[1][name]) for name, value in weights.items())
    assert np.isfinite([float(value) for step in losses for value in step]).all()
