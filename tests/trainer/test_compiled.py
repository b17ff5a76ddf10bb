"""Compiled steps are the eager ones, only faster; where nothing can compile, one sentence says what to do."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

import trainer.__main__ as command
from tests.trainer.tiny import ALONE, TINY, bar_digits
from trainer.__main__ import main
from trainer.errors import CompilerMissingError
from trainer.losses import Losses
from trainer.training.loop import train
from trainer.training.presets import TrainingPreset
from trainer.training.step import InPrecision, Trainer

COMPILED = dataclasses.replace(TINY, compiled=True, ramp=(0, 4), without_digit=0.25)


@pytest.fixture
def compiler() -> Iterator[None]:
    """A C++ compiler, or a skip; in CI its absence would hide a failure."""
    name = os.environ.get("CXX", "g++")
    if shutil.which(name) is None:
        reason = f"compiling steps needs a C++ compiler, and {name} is not there"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason)
        pytest.skip(reason)
    yield
    torch.compiler.reset()


def two_steps(recipe: TrainingPreset) -> tuple[list[Losses], list[torch.Tensor], int]:
    """The losses of two steps, the gradients of the first, and how many programs the second added."""
    torch.compiler.reset()
    counters.clear()
    learner = Trainer(recipe, bar_digits(), seed=0, processes=ALONE)
    first, _ = learner.advance()
    gradients = [p.grad.clone() for p in learner.model.parameters() if p.grad is not None]
    programs = counters["stats"]["unique_graphs"]
    assert bool(programs) == recipe.compiled
    second, _ = learner.advance()
    losses = [Losses(*(value.detach() for value in step)) for step in (first, second)]
    return losses, gradients, counters["stats"]["unique_graphs"] - programs


@pytest.mark.slow
def test_compiled_steps_are_the_eager_ones(compiler: None) -> None:
    expected, eager, _ = two_steps(dataclasses.replace(COMPILED, compiled=False))
    found, compiled, added = two_steps(COMPILED)
    assert added == 0  # the ramp has moved on: a program for each of its values would cost a minute a step
    for one, other in zip(found, expected, strict=True):
        for name, value in one._asdict().items():
            assert value.item() == pytest.approx(getattr(other, name).item(), rel=1e-4, abs=1e-5), name
    # Not to the last digits: where a ReLU's input is nought but for rounding, its gradient is all or nothing.
    # Noise of 1e-5 on the scenes changes the eager gradients as much.
    of_all = torch.cat([gradient.flatten() for gradient in eager])
    difference = torch.cat([gradient.flatten() for gradient in compiled]) - of_all
    assert difference.norm() < 0.02 * of_all.norm()


class KeepsFloat32(nn.Module):
    """What our attention network is under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 8)

    def forward(self, x: torch.Tensor, first: None = None, second: None = None) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            outputs: torch.Tensor = self.layer(x)
        return outputs


def test_the_compiled_backward_pass_keeps_float32_where_the_pass_does() -> None:
    torch.manual_seed(0)
    torch.compiler.reset()
    model, x = KeepsFloat32(), torch.randn(64, 32)
    model(x).square().sum().backward()
    assert model.layer.weight.grad is not None
    expected = model.layer.weight.grad.clone()
    model.zero_grad()
    recipe = dataclasses.replace(TINY, precision="bfloat16")
    compiled = torch.compile(InPrecision(model, recipe, torch.device("cpu")), backend="aot_eager")
    compiled(x).square().sum().backward()
    torch.testing.assert_close(model.layer.weight.grad, expected, rtol=1e-5, atol=1e-4)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")


def test_without_a_compiler_one_sentence_says_so(no_compiler: None) -> None:
    with pytest.raises(CompilerMissingError, match=r"preset smoke .* expected a C\+\+ compiler .* --eager"):
        Trainer(COMPILED, bar_digits(), seed=0, processes=ALONE)
    # What does not compile needs none.
    Trainer(TINY, bar_digits(), seed=0, processes=ALONE).advance()


def test_the_command_says_so_too_and_trains_without_when_told_to(
    no_compiler: None,
    bars: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = dataclasses.replace(COMPILED, steps=1)
    monkeypatch.setattr(command, "find_training_preset", {"smoke": recipe}.__getitem__)
    arguments = ["train", "--preset", "smoke", "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: preset smoke compiles its training steps: expected a C++ compiler")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()

    used: list[Any] = []

    def note(preset: TrainingPreset, *args: Any, **options: Any) -> Path:
        used.append(preset)
        return train(preset, *args, **options)

    monkeypatch.setattr(command, "train", note)
    assert main([*arguments, "--eager"]) == 0
    assert used == [dataclasses.replace(recipe, compiled=False)]
    assert (tmp_path / "run" / "checkpoint.pt").is_file()
