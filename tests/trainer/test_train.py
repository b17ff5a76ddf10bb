"""Runs that are killed and resumed come to the same weights as unbroken ones."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenes.digits import Digits
from tests.trainer.tiny import ALONE, TINY, bar_digits, run_script
from trainer.__main__ import main
from trainer.attention import boxes
from trainer.data.digits import TrainingDigits, name_digits, source_of
from trainer.losses import compute_losses
from trainer.model import GlimpseModel
from trainer.runtime import provenance
from trainer.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, load_trained_model, save_checkpoint
from trainer.training.loop import train
from trainer.training.presets import PRESETS, TrainingPreset, find_training_preset
from trainer.training.step import Trainer
from trainer.training.validation import label_errors


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def without_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: v for name, v in line.items() if name != "scenes_per_second"} for line in lines]


def assert_same(found: Any, expected: Any) -> None:
    """Bitwise equality of nested dictionaries, lists and tensors."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


def test_a_run_writes_what_it_did(tiny_run: Path) -> None:
    state = load_checkpoint(tiny_run)
    assert (state["step"], state["about"]["preset"], state["about"]["seed"]) == (6, "smoke", 0)
    assert json.loads(json.dumps(state["about"])) == json.loads((tiny_run / "run.json").read_text())
    lines = lines_of(tiny_run)
    assert [line["step"] for line in lines if "total" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "validation_error/article" in line] == [3, 6]
    for line in lines:
        assert all(isinstance(value, int | float) for value in line.values())
    assert list((tiny_run / "tensorboard").glob("events.*"))
    assert not list(tiny_run.glob("*.new"))


@pytest.mark.parametrize("scenes", [0, -10, 15])
def test_held_out_scenes_are_whole_batches(bars: None, scenes: int) -> None:
    with pytest.raises(ValueError, match=f"scenes: expected a positive multiple of 10, got {scenes}"):
        label_errors(GlimpseModel().eval(), bar_digits(), device=torch.device("cpu"), scenes=scenes)


def test_a_run_killed_at_once_and_resumed_ends_with_the_very_same_weights(
    tmp_path: Path, tiny_run: Path, bars: None
) -> None:
    # A kill that nothing can catch, before step 6: the checkpoint is of step 3, the metrics are of step 5.
    killed = run_script(
        """
        advance = loop.Trainer.advance
        def advance_or_die(self):
            if self.step == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            return advance(self)
        loop.Trainer.advance = advance_or_die
        loop.train(preset, folder / "run", device="cpu")
        """,
        tmp_path,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = tmp_path / "run"
    assert load_checkpoint(run)["step"] == 3
    assert [line["step"] for line in lines_of(run) if "total" in line] == [1, 2, 3, 4, 5]
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "tot')  # a line that the kill cut off

    train(TINY, run, device="cpu")
    found, expected = load_checkpoint(run), load_checkpoint(tiny_run)
    for part in ("step", "model", "averaged", "optimiser"):
        assert_same(found[part], expected[part])
    assert (expected["about"]["starts"], found["about"]["starts"]) == (1, 2)
    assert without_times(lines_of(run)) == without_times(lines_of(tiny_run))


def test_the_average_is_not_the_weights_themselves(tiny_run: Path) -> None:
    state = load_checkpoint(tiny_run)
    name = "classifier.head.weight"
    assert not torch.equal(state["model"][name], state["averaged"][name])
    assert torch.equal(load_trained_model(tiny_run).state_dict()[name], state["averaged"][name])


def test_the_average_is_calibrated_at_the_end(tiny_run: Path) -> None:
    state = load_checkpoint(tiny_run)
    for name, unfitted in (("label_temperature", 1), ("presence_temperature", 1), ("presence_shift", 0)):
        assert state["model"][f"calibration.{name}"] == unfitted
        assert state["averaged"][f"calibration.{name}"] != unfitted
        assert state["averaged"][f"calibration.{name}"].isfinite()


def test_a_run_is_not_calibrated_before_its_end(
    tmp_path: Path, bars: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    at: list[int] = []
    learners: list[Trainer] = []
    construct = Trainer.__init__

    def construct_and_keep(self: Trainer, *args: Any, **options: Any) -> None:
        construct(self, *args, **options)
        learners.append(self)

    def note(model: object, held_out: Digits, *, device: torch.device) -> None:
        assert model is learners[0].averaged
        # Digits that training never sees: the bars of the held-out split lie a little further right.
        # What is no digit lies behind them.
        assert np.array_equal(held_out.images[: len(held_out.labels)], bar_digits("validation").images)
        assert len(held_out.images) > len(held_out.labels)
        at.append(learners[0].step)

    monkeypatch.setattr(Trainer, "__init__", construct_and_keep)
    monkeypatch.setattr("trainer.training.loop.calibrate", note)
    train(dataclasses.replace(TINY, steps=2, checkpoint_every=1), tmp_path / "run", device="cpu")
    assert at == [2]


def test_a_finished_run_is_not_trained_further(tmp_path: Path, bars: None) -> None:
    recipe = dataclasses.replace(TINY, steps=1)
    run = train(recipe, tmp_path / "run", device="cpu")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    train(recipe, run, device="cpu")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_names_the_commit_of_every_start(
    tmp_path: Path, bars: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(TINY, steps=3, checkpoint_every=1)
    advance = Trainer.advance

    def start(commit: str, stop_at: int) -> None:
        def advance_or_stop(self: Trainer) -> Any:
            if self.step == stop_at:
                raise InterruptedError
            return advance(self)

        monkeypatch.setattr(Trainer, "advance", advance_or_stop)
        monkeypatch.setattr("trainer.runtime.provenance.commit", lambda: commit)
        train(recipe, tmp_path, device="cpu")

    for commit, stop_at in (("first", 1), ("second", 2)):
        with pytest.raises(InterruptedError):
            start(commit, stop_at)
    start("second", recipe.steps)
    assert load_checkpoint(tmp_path)["about"]["commit"] == "first, second"


@pytest.mark.parametrize("named", ["1234abcd", "", None])
def test_where_there_is_no_git_the_commit_may_be_named(
    named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("GLIMPSE_COMMIT", raising=False)
    if named is not None:
        monkeypatch.setenv("GLIMPSE_COMMIT", named)
    assert provenance.commit() == (named or "unknown: not a git checkout")


@pytest.mark.parametrize(
    ("changes", "seed", "expected"),
    [
        ({}, 1, r"\('smoke', 0\), expected \('smoke', 1\)"),
        ({"name": "cpu"}, 0, r"expected \('cpu', 0\)"),
        ({"steps": 9}, 0, "another recipe: steps was 6, expected 9"),
        ({"mixture": dict(reversed(list(TINY.mixture.items())))}, 0, "another recipe: mixture was"),
    ],
)
def test_another_seed_preset_or_recipe_does_not_go_on_with_a_run(
    tmp_path: Path, tiny_run: Path, bars: None, changes: dict[str, Any], seed: int, expected: str
) -> None:
    (tmp_path / CHECKPOINT_NAME).write_bytes((tiny_run / CHECKPOINT_NAME).read_bytes())
    with pytest.raises(ValueError, match=expected):
        train(dataclasses.replace(TINY, **changes), tmp_path, seed=seed, device="cpu")
    assert_same(load_checkpoint(tmp_path), load_checkpoint(tiny_run))


def test_a_run_does_not_go_on_with_other_digits(tmp_path: Path, tiny_run: Path, bars: None) -> None:
    (tmp_path / CHECKPOINT_NAME).write_bytes((tiny_run / CHECKPOINT_NAME).read_bytes())
    others = TrainingDigits(bar_digits("validation"), bar_digits(), "others")
    with pytest.raises(ValueError, match=r"a run of other digits: .*MNIST.*, expected .*others"):
        train(TINY, tmp_path, device="cpu", digits=others)
    assert_same(load_checkpoint(tmp_path), load_checkpoint(tiny_run))


def test_a_run_names_the_digits_that_it_learns_from(tmp_path: Path, bars: None) -> None:
    digits = TrainingDigits(bar_digits(), bar_digits("validation"), "bars")
    run = train(dataclasses.replace(TINY, steps=1), tmp_path, device="cpu", digits=digits)
    about = load_checkpoint(run)["about"]
    assert source_of(about) == "bars"
    assert about["digits"] == name_digits(digits)
    relabelled = digits.train._replace(labels=digits.train.labels[::-1].copy())
    assert name_digits(digits._replace(train=relabelled))["sha256"] != about["digits"]["sha256"]
    assert source_of({}) == "digits that the run does not name"


def test_a_checkpoint_that_could_not_be_written_leaves_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = {"step": 1, "about": {"recipe": {"steps": 6}}}
    save_checkpoint(former, tmp_path)

    def fail(state: dict[str, Any], path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("trainer.training.checkpoint.torch.save", fail)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint({"step": 2}, tmp_path)
    assert load_checkpoint(tmp_path) == former


def test_a_recipe_of_before_is_read_under_todays_names(tmp_path: Path) -> None:
    before = {"pasted": 0.5, "warped": True, "weights": {"gathered_label": 0.3, "presence": 0.2}}
    save_checkpoint({"step": 1, "about": {"seed": 3, "recipe": before}}, tmp_path)
    now = {"copy_paste": 0.5, "elastic": True, "weights": {"pooled_label": 0.3, "presence": 0.2}}
    assert load_checkpoint(tmp_path) == {"step": 1, "about": {"seed": 3, "recipe": now}}
    names = {field.name for field in dataclasses.fields(TrainingPreset)}
    assert names >= now.keys()


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a checkpoint at .*nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_an_earlier_models_run_is_still_read_and_not_gone_on_with(
    tmp_path: Path, tiny_run: Path, bars: None
) -> None:
    """The layer of the first Gaussian's corrections had another name, and its output was not slowed down."""
    state = load_checkpoint(tiny_run)
    for part in ("model", "averaged"):
        for name in ("weight", "bias"):
            now = state[part].pop(f"attention_network.corrections.{name}")
            state[part][f"attention_network.geometry.2.{name}"] = 0.1 * now
    state["step"] -= 1
    run = tmp_path / "run"
    run.mkdir()
    save_checkpoint(state, run)
    expected, found = (load_trained_model(each).state_dict() for each in (tiny_run, run))
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values)
    with pytest.raises(ValueError, match="holds a run of a model as it was before; choose another --run"):
        train(TINY, run, device="cpu")


def test_the_average_and_the_schedules_are_what_they_say() -> None:
    recipe = dataclasses.replace(TINY, steps=100, warm_up=10, ramp=(20, 40))
    learner = Trainer(recipe, bar_digits(), seed=0, processes=ALONE)
    factors, ramps = {}, {}
    for learner.step in (0, 4, 9, 20, 25, 50, 99, 100):
        factors[learner.step], ramps[learner.step] = learner._learning_rate_factor(), learner._ramp()
    # Warm-up over 10 steps: a tenth, a half, all of it, times half a cosine that is 1 at 0 and ½ at 50.
    assert factors[0] == pytest.approx(0.1)
    assert factors[4] == pytest.approx(0.5, rel=5e-3)
    assert factors[50] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)
    assert max(factors.values()) <= 1
    assert [ramps[step] for step in (0, 20, 25, 50, 100)] == [0, 0, 0.25, 1, 1]

    # Both optimisers go at that factor of their own highest rates.
    learner.step = 4
    learner.advance()
    rates = {
        name: [float(group["lr"]) for group in part.param_groups]
        for name, part in learner._optimiser._parts.items()
    }
    assert rates == {
        "muon": [pytest.approx(recipe.muon_learning_rate * factors[4])],
        "adamw": 2 * [pytest.approx(2e-3 * factors[4])],
    }

    learner = Trainer(recipe, bar_digits(), seed=0, processes=ALONE)
    name = "classifier.head.weight"
    before = learner.averaged.state_dict()[name].clone()
    learner.advance()
    # At first a tenth of the average is kept: (1 + 0) / (10 + 0).
    now = learner.model.state_dict()[name]
    torch.testing.assert_close(learner.averaged.state_dict()[name], 0.1 * before + 0.9 * now)


def test_a_step_lowers_the_loss_of_the_batch_that_it_was_made_on() -> None:
    recipe = dataclasses.replace(TINY, steps=100, batch_size=32, warm_up=1)
    learner = Trainer(recipe, bar_digits(), seed=0, processes=ALONE)
    batch, windows = learner.scenes.batch(0), learner.scenes.windows(0)
    first, _ = learner.advance()
    with torch.no_grad():
        output = learner.model.train()(batch.scenes, *windows)
        again = compute_losses(output, batch.ink, batch.labels, recipe.weights, 0.0)
    assert again.total < first.total
    assert boxes(output.gaussian).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (["train", "--preset", "smok"], ["'smok'", "smoke", "cpu", "cuda"]),
        (["train", "--preset", "smoke", "--device", "gpu"], ["'gpu'", "auto", "cpu", "cuda"]),
        (["evaluate", "model.onnx", "--preset", "artcle"], ["'artcle'", "article", "cluttered-100"]),
        (["evaluate", "model.onnx", "--split", "tst"], ["'tst'", "train", "validation", "test"]),
        (["trian"], ["'trian'", "train", "evaluate", "export"]),
        (["train", "--preset", "smoke", "--sed", "1"], ["--sed"]),
    ],
)
def test_a_typo_names_the_choices(
    arguments: list[str], choices: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(choice in said for choice in choices)


def test_an_unknown_training_preset_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=f"training preset: expected one of {', '.join(PRESETS)}, got 'gpu'"):
        find_training_preset("gpu")


def test_an_unknown_device_is_refused_with_the_choices(tmp_path: Path, bars: None) -> None:
    with pytest.raises(ValueError, match="device: expected auto, cpu or cuda, got 'gpu'"):
        train(TINY, tmp_path, device="gpu")
