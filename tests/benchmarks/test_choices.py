"""The recipe's choices are made by labels alone, by the rule, and on digits that no run learns from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import choices
from benchmarks.budget import recipe, trained
from benchmarks.choices import choose, fresh_markdown, markdown
from benchmarks.choices_settings import OURS, SETTINGS, AsWrittenAmongDigits, CubicallySampled, InHalf
from benchmarks.results import FOLDER
from scenes.digits import Digits, make_digits
from scenes.mnist import Split
from scenes.presets import PRESETS
from tests.trainer.tiny import ALONE, TINY, bar_digits
from trainer.data import TrainingScenes
from trainer.digits import TrainingDigits
from trainer.steps import Trainer

SMALL = dataclasses.replace(TINY, steps=3, ramp=(0, 1), precision="bfloat16")


@pytest.fixture
def few_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bar digits, of which twenty each are kept back, instead of MNIST's."""
    monkeypatch.setattr(choices, "load_digits", bar_digits)
    monkeypatch.setattr(choices, "KEPT", 20)
    choices.digits.cache_clear()
    yield
    choices.digits.cache_clear()


def test_no_digit_is_learnt_from_chosen_by_and_kept_for_the_end_at_once(
    monkeypatch: pytest.MonkeyPatch, few_kept: None
) -> None:
    def numbered(split: Split) -> Digits:
        """Digits whose first pixel is a number of their own."""
        images = np.zeros((60, 28, 28), np.uint8)
        images[:, 0, 0] = np.arange(60) + (100 if split == "validation" else 0)
        return make_digits(images, np.arange(60) % 10)

    monkeypatch.setattr(choices, "load_digits", numbered)
    learnt, fresh = choices.digits()
    numbers = [set(part.images[:, 0, 0].tolist()) for part in (learnt.train, learnt.held_out, fresh)]
    assert numbers == [{*range(20), *range(100, 160)}, set(range(20, 40)), set(range(40, 60))]
    assert learnt.source == "MNIST training digits without 20 to 59 (CC BY-SA 3.0)"


def test_the_lower_sum_of_label_errors_is_chosen_and_a_tie_keeps_the_recipe() -> None:
    errors = {
        OURS: (0.02, 0.01),
        "attention-in-bfloat16": (0.01, 0.0199),
        "varied-everywhere": (0.01, 0.02),
        "former-shares": (0.02, 0.0101),
        "linear-interpolation": (0.01, 0.01),
    }
    figures = {
        name: [{"article": article, "cluttered-100": cluttered}, {"article": 0.5, "cluttered-100": 0.25}]
        for name, (article, cluttered) in errors.items()
    }
    assert list(choose(figures).values()) == ["attention-in-bfloat16", OURS, OURS, "linear-interpolation"]


def test_settings_that_were_measured_before_are_kept_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_now = []
    monkeypatch.setattr(choices, "train_setting", lambda setting, *what: trained_now.append(setting.name))
    monkeypatch.setattr(choices, "chosen_by", lambda model, scenes: {"article": 0.01, "cluttered-100": 0.0})
    monkeypatch.setattr(choices, "made_at", lambda run: "today")
    before = choices.choose_all(tmp_path, 5, 250)
    assert trained_now == [name for name in SETTINGS for _ in choices.SEEDS]
    assert before["kept"] == {"settings": []}
    del before["label_errors"]["former-shares"], before["made_at"]["former-shares"]
    before["made_at"] = dict.fromkeys(before["made_at"], "yesterday")
    trained_now.clear()
    kept = {"commit": "c", "measured": "then", "hardware": "h", "figures": before}
    after = choices.choose_all(tmp_path, 5, 250, kept)
    assert trained_now == ["former-shares"] * 2
    assert after["made_at"] == {**dict.fromkeys(SETTINGS, "yesterday"), "former-shares": "today"}
    assert after["kept"]["settings"] == [name for name in SETTINGS if name != "former-shares"]
    assert after["kept"]["commit"] == "c"
    with pytest.raises(ValueError, match=r"--keep: expected results of .*6.*, got .*5"):
        choices.choose_all(tmp_path, 6, 250, kept)


def test_a_choice_is_given_label_errors_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, few_kept: None
) -> None:
    asked = []

    def label_errors(model: object, held_out: Digits, **options: object) -> dict[str, float]:
        asked.append((model, held_out, options["scenes"]))
        return {"article": 0.25}

    monkeypatch.setattr(choices, "label_errors", label_errors)
    model = torch.nn.Identity()
    assert choices.chosen_by(model, 250) == {"article": 0.25}
    assert asked == [(model, choices.digits()[0].held_out, 250)]


def test_convolutions_follow_bfloat16_in_training_alone() -> None:
    seen: list[torch.dtype] = []
    convolution = torch.nn.Conv2d(1, 1, 3)
    convolution.register_forward_hook(lambda module, given, made: seen.append(made.dtype))
    part = InHalf(convolution)
    assert part(torch.rand(1, 1, 8, 8)).dtype == torch.float32
    assert part.eval()(torch.rand(1, 1, 8, 8)).dtype == torch.float32
    assert seen == [torch.bfloat16, torch.float32]


def test_handwriting_is_kept_where_clutter_is_whole_digits_and_there_alone() -> None:
    def batch(kind: type[TrainingScenes], preset: str, *, warped: bool) -> list[torch.Tensor]:
        stream = kind(
            {preset: 1.0}, bar_digits(), batch_size=8, seed=0, device=torch.device("cpu"), warped=warped
        )
        return [*stream.batch(0)]

    for preset, kept in {"article": True, "wide": True, "cluttered-100": False, "clean": False}.items():
        plain = batch(CubicallySampled, preset, warped=False)
        varied = batch(CubicallySampled, preset, warped=True)
        found = batch(AsWrittenAmongDigits, preset, warped=True)
        assert not torch.equal(plain[0], varied[0])
        assert all(map(torch.equal, found, plain if kept else varied))


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != OURS])
def test_an_alternative_trains_and_becomes_another_model(name: str) -> None:
    weights = []
    for setting in (SETTINGS[OURS], SETTINGS[name]):
        learner = Trainer(setting.change(SMALL), bar_digits(), seed=0, processes=ALONE, method=setting.method)
        start = [parameter.clone() for parameter in learner.model.parameters()]
        for _ in range(2):
            learner.advance()
        weights.append((start, list(learner.model.parameters())))
    (ours_start, ours), (start, changed) = weights
    assert all(torch.equal(one, other) for one, other in zip(ours_start, start, strict=True))
    assert any(not torch.equal(one, other) for one, other in zip(ours, changed, strict=True))


def test_training_takes_the_digits_that_it_is_given(
    tmp_path: Path, bars: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = TrainingDigits(bar_digits(), bar_digits("validation"), "bars")
    monkeypatch.setattr("trainer.digits.load_digits", lambda split: pytest.fail(f"asked for {split}"))
    seen = []
    monkeypatch.setattr("trainer.train.calibrate", lambda model, held_out, device: seen.append(held_out))
    setting = SETTINGS[OURS]
    trained(setting.method, SMALL, tmp_path / "run", seed=0, digits=given)
    assert seen == [given.held_out]


def test_digits_that_are_kept_for_the_end_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "look_at_fresh", lambda *_: pytest.fail("looked again"))
    with pytest.raises(SystemExit, match=r"error: --whole: the digits .* have been looked at once"):
        choices.main(["--whole"])


def test_a_trial_chooses_measures_and_leaves_the_results_alone(
    tmp_path: Path,
    bars: None,
    few_kept: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(choices, "recipe", lambda *what: dataclasses.replace(recipe(*what), batch_size=8))
    before = {path.name: path.read_bytes() for path in (*FOLDER.glob("choices.*"), choices.PAGE)}
    arguments = ["--steps", "2", "--scenes", "250"]
    choices.main([*arguments, "--only", "former-shares"])
    assert "trained or loaded: former-shares" in capsys.readouterr().out
    runs = tmp_path / "runs" / "choices-2-steps"
    assert {path.name for path in runs.iterdir()} == {"former-shares-seed0", "former-shares-seed1"}

    choices.main(arguments)
    content = json.loads((runs / "choices.json").read_text())
    assert {name: len(of) for name, of in content["label_errors"].items()} == dict.fromkeys(SETTINGS, 2)
    assert content["chosen"] == choose(content["label_errors"])
    assert markdown(content) in capsys.readouterr().out

    monkeypatch.setattr(choices, "DRAWS", 1)
    choices.main([*arguments, "--whole"])
    content = json.loads((runs / "fresh.json").read_text())
    assert set(content["presets"]) == set(PRESETS)
    assert fresh_markdown(content) in capsys.readouterr().out
    after = {path.name: path.read_bytes() for path in (*FOLDER.glob("choices.*"), choices.PAGE)}
    assert after == before
