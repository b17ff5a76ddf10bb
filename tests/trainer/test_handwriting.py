"""The digit generator's training: exact sums, losses by hand, a run from digits to a file."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.digits_contract import LATENT_SIZE, load_digits_contract
from scenes.styles import style_latents
from tests.trainer.tiny import bar_digits
from trainer.errors import ParityError
from trainer.handwriting.__main__ import main
from trainer.handwriting.exact import (
    ExactConv2d,
    ExactLinear,
    activate,
    count,
    exact_bias,
    exact_weight,
    weight_steps,
    whole,
)
from trainer.handwriting.export import export
from trainer.handwriting.graph import build_graph
from trainer.handwriting.losses import divergence, reconstruction, velocity_error
from trainer.handwriting.model import FLOW_STEPS, Codes, Flow, Writer, clock
from trainer.handwriting.presets import PRESETS, WriterPreset, find_writer_preset
from trainer.handwriting.train import train

SMOKE = PRESETS["smoke"]


def test_a_layers_sum_is_the_same_in_any_order_and_precision() -> None:
    torch.manual_seed(0)
    layer = ExactLinear(512, 64).requires_grad_(False)
    layer.weight *= 10
    counts = torch.randint(0, 256, (20, 512)).float()
    outputs = layer(counts)
    order = torch.randperm(512)
    weight, bias = exact_weight(layer), exact_bias(layer)
    shuffled = F.linear(counts[:, order], weight[:, order], bias)
    assert torch.equal(outputs, shuffled)
    assert torch.equal(outputs.double(), F.linear(counts.double(), weight.double(), bias.double()))


def test_weights_are_whole_multiples_of_a_power_of_two_and_near_what_was_learned() -> None:
    torch.manual_seed(0)
    layer = ExactConv2d(8, 16).requires_grad_(False)
    steps = weight_steps(layer.weight)
    assert steps.shape == (16, 1, 1, 1)
    assert torch.equal(torch.log2(steps), torch.log2(steps).round())
    counted = exact_weight(layer) / steps
    assert torch.equal(counted, counted.round())
    largest = counted.abs().flatten(1).amax(dim=1)
    assert largest.max() <= 127
    assert largest.min() >= 63  # a smaller power of two would have been too small
    assert ((exact_weight(layer) - layer.weight).abs() <= steps / 2).all()


def test_numbers_between_layers_have_8_bits() -> None:
    x = torch.tensor([-300.0, -0.2, 0.5, 1.5, 7.6, 254.7, 300.0])
    assert activate(x).tolist() == [0, 0, 0, 2, 8, 255, 255]
    assert count(torch.tensor([-9.0, -1.0, 0.02, 9.0])).tolist() == [-128, -32, 1, 127]


def test_gradients_pass_rounding() -> None:
    x = torch.tensor([0.3, 5.7], requires_grad=True)
    (whole(x) * torch.tensor([2.0, 3.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 3]


@pytest.mark.parametrize("make", [lambda: ExactLinear(513, 2), lambda: ExactConv2d(57, 2)])
def test_a_layer_whose_sums_could_be_rounded_is_refused(make) -> None:
    with pytest.raises(ValueError, match="inputs: expected at most"):
        make()


def test_a_graph_whose_sums_could_be_rounded_is_refused() -> None:
    writer = Writer(Flow()).requires_grad_(False)
    build_graph(writer)
    writer.decoder.spread.bias[7] = 1e6
    with pytest.raises(ValueError, match="sums of at most"):
        build_graph(writer)


def test_reconstruction_has_no_error_beyond_black_and_white() -> None:
    pictures = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]).reshape(1, 1, 1, 5)
    ink = torch.tensor([-2.0, 0.5, -0.5, 0.75, 3.0]).reshape(1, 1, 1, 5)
    assert reconstruction(ink, pictures).item() == pytest.approx(0.25 + 1 + 0.0625)


def test_divergence_of_a_gaussian_from_the_standard_one() -> None:
    codes = Codes(torch.tensor([[1.0, 0.0]]), torch.tensor([[math.log(4), 0.0]]))
    assert divergence(codes).item() == pytest.approx(0.5 * (1 + 4 - 1 - math.log(4)))


def test_the_straight_velocity_has_no_error() -> None:
    codes = torch.randn(16, LATENT_SIZE)

    class Straight(Flow):
        def forward(self, positions: Tensor, classes: Tensor, times: Tensor) -> Tensor:
            return (codes - positions) / (1 - times[:, None])

    classes = torch.zeros(16, dtype=torch.int64)
    assert velocity_error(Straight(), codes, classes).item() == pytest.approx(0, abs=1e-4)


def test_the_clock_shares_a_time_between_two_marks() -> None:
    marks = clock(torch.tensor([0.0, 2.25 / FLOW_STEPS, 1.0]))
    assert marks.shape == (3, FLOW_STEPS + 1)
    assert marks[0].nonzero().flatten().tolist() == [0]
    assert marks[1, 2:4].tolist() == [0.75, 0.25]
    assert marks[2, FLOW_STEPS] == 1
    assert marks.sum(dim=1).tolist() == [1, 1, 1]


def test_an_even_velocity_carries_by_itself() -> None:
    way = torch.linspace(-2, 2, LATENT_SIZE).mul(1024).round() / 1024

    class Even(Flow):
        def forward(self, positions: Tensor, classes: Tensor, times: Tensor) -> Tensor:
            return way.expand_as(positions)

    noise = torch.round(torch.randn(3, LATENT_SIZE) * 1024) / 1024
    carried = Even().carry(noise, torch.tensor([1, 2, 3]))
    assert (carried - noise - way).abs().max() <= FLOW_STEPS * 0.5 / 1024


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.handwriting.train.load_digits", bar_digits)


@pytest.mark.usefixtures("bars")
@pytest.mark.parametrize("flow_steps", [SMOKE.flow_steps, 0])
def test_from_digits_to_a_file(tmp_path: Path, flow_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = dataclasses.replace(SMOKE, name="smoke", flow_steps=flow_steps)
    monkeypatch.setitem(PRESETS, "smoke", preset)
    out = tmp_path / "digits.onnx"
    assert main(["train", "--preset", "smoke", "--run", str(tmp_path / "run")]) == 0
    assert main(["export", str(tmp_path / "run"), "--out", str(out)]) == 0
    contract = load_digits_contract(out)
    assert contract.provenance.preset == "smoke"
    assert contract.provenance.digits_seen == preset.code_steps * preset.batch_size
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    for batch in (1, 7):
        latents = style_latents(np.arange(batch), LATENT_SIZE)
        (pictures,) = session.run(None, {"digit": np.arange(batch), "latent": latents})
        assert pictures.shape == (batch, 28, 28)
        assert pictures.dtype == np.uint8


@pytest.mark.usefixtures("bars")
def test_a_file_that_writes_other_digits_than_torch_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(SMOKE, tmp_path / "run", seed=0)
    out = tmp_path / "digits.onnx"
    out.write_bytes(b"the one before")

    def a_shade_brighter(writer: Writer) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda digit, latent: copy.deepcopy(writer).double()(digit, latent) + 1

    monkeypatch.setattr("trainer.handwriting.export._double", a_shade_brighter)
    with pytest.raises(ParityError, match="pixels that differ"):
        export(tmp_path / "run", out)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["digits.onnx"]
    assert out.read_bytes() == b"the one before"


@pytest.mark.usefixtures("bars")
def test_a_run_goes_on_after_its_last_stage_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole_run = train(SMOKE, tmp_path / "whole", seed=3)
    stopped = train(SMOKE, tmp_path / "stopped", seed=3)
    (stopped / "2-prior.pt").unlink()
    train(SMOKE, stopped, seed=3)
    first, second = (
        torch.load(run / "2-prior.pt", weights_only=True)["writer"] for run in (whole_run, stopped)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("bars")
@pytest.mark.parametrize(
    ("preset", "seed"), [(SMOKE, 4), (dataclasses.replace(SMOKE, code_steps=7), 3)], ids=["seed", "recipe"]
)
def test_another_recipe_or_seed_is_refused(tmp_path: Path, preset: WriterPreset, seed: int) -> None:
    train(SMOKE, tmp_path, seed=3)
    with pytest.raises(ValueError, match="another recipe or seed"):
        train(preset, tmp_path, seed=seed)


@pytest.mark.usefixtures("bars")
def test_a_stage_that_could_not_be_saved_is_no_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(state: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("trainer.handwriting.train.torch.save", break_off)
        with pytest.raises(OSError, match="no space left"):
            train(SMOKE, tmp_path, seed=0)
    assert not list(tmp_path.iterdir())
    train(SMOKE, tmp_path, seed=0)


@pytest.mark.usefixtures("bars")
def test_what_is_not_there_or_not_finished_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "digits.onnx"
    train(SMOKE, tmp_path / "run", seed=0)
    (tmp_path / "run" / "2-prior.pt").unlink()
    for run in (tmp_path, tmp_path / "run"):
        assert main(["export", str(run), "--out", str(out)]) == 1
        assert f"expected a finished run, but {run} has no 2-prior.pt" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(ValueError, match="expected one of smoke, "):
        find_writer_preset("large")
