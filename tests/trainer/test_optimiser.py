"""The optimiser: its steps are orthogonal matrices, it has every parameter once, and resumes exactly."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainer.model import HEADS, GlimpseModel
from trainer.training.optimiser import Muon, Optimiser, orthogonalise


def singular_values(matrix: Tensor) -> Tensor:
    values: Tensor = torch.linalg.svdvals(matrix.double())
    return values


@pytest.mark.parametrize(("rows", "columns"), [(12, 60), (60, 12), (40, 40), (128, 1536), (48, 36)])
def test_the_nearest_orthogonal_matrix_is_come_near_to(rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    # Singular values from 1 down to 1/20, whatever the shape.
    left, _ = torch.linalg.qr(torch.randn(rows, min(rows, columns), generator=generator))
    right, _ = torch.linalg.qr(torch.randn(columns, min(rows, columns), generator=generator))
    matrix = (left * torch.linspace(1, 0.05, min(rows, columns))) @ right.T
    (found,) = orthogonalise([matrix])
    assert found.shape == (rows, columns)
    values = singular_values(found)
    assert 0.65 < values.min() <= values.max() < 1.25
    # Its directions are the matrix's own: along them it is diagonal, and nothing is turned round.
    along = left.T @ found @ right
    assert (along - torch.diag(torch.diag(along))).abs().max() < 1e-4
    assert torch.diag(along).min() > 0.65


def test_how_large_the_gradient_is_does_not_matter() -> None:
    matrix = torch.randn(24, 50, generator=torch.Generator().manual_seed(1))
    for scale in (1e-3, 1e3):
        scaled, plain = orthogonalise([scale * matrix]) + orthogonalise([matrix])
        torch.testing.assert_close(scaled, plain, rtol=0, atol=1e-3)
    assert not orthogonalise([torch.zeros(3, 4)])[0].any()  # no gradient, no step


def test_turning_a_matrix_over_turns_its_step_over() -> None:
    matrix = torch.randn(24, 50, generator=torch.Generator().manual_seed(2))
    turned, plain = orthogonalise([matrix.T]) + orthogonalise([matrix])
    assert torch.equal(turned, plain.T)


def test_matrices_of_all_sizes_together_are_as_each_alone() -> None:
    """The same number of rows, of columns, both, neither: none is taken for another."""
    generator = torch.Generator().manual_seed(5)
    sizes = [(24, 50), (8, 24), (24, 24), (50, 24), (24, 50), (24, 90), (1, 3)]
    matrices = [torch.randn(size, generator=generator) for size in sizes]
    for together, matrix in zip(orthogonalise(matrices), matrices, strict=True):
        torch.testing.assert_close(together, orthogonalise([matrix])[0], rtol=0, atol=1e-5)


def test_a_first_step_of_a_kernel_is_worked_out_by_hand() -> None:
    """A kernel `[8, 2, 1, 2]` is a matrix `[8, 4]`: twice as tall as wide, its step is √2 times as long."""
    generator = torch.Generator().manual_seed(3)
    before, gradient = torch.randn(2, 8, 2, 1, 2, generator=generator).unbind()
    kernel = nn.Parameter(before.clone())
    kernel.grad = gradient.clone()
    Muon([kernel], lr=0.1, weight_decay=0.5).step()
    # The momentum is 0.05 of the gradient; Nesterov's looks ahead to (0.05 + 0.95 · 0.05) of it: the scale
    # does not matter, so that the step is the gradient's own nearest orthogonal matrix.
    direction = orthogonalise([gradient.reshape(8, 4)])[0].reshape(8, 2, 1, 2)
    expected = before * (1 - 0.1 * 0.5) - 0.1 * math.sqrt(2) * direction
    torch.testing.assert_close(kernel.detach(), expected, rtol=0, atol=1e-4)


def test_steps_remember_the_gradients_before_them() -> None:
    """After a gradient along one axis, one along another: the step still goes along both."""
    matrix = nn.Parameter(torch.zeros(2, 2))
    muon = Muon([matrix], lr=1.0, weight_decay=0.0)
    places = [matrix.detach().clone()]
    for gradient in ([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]):
        matrix.grad = torch.tensor(gradient)
        muon.step()
        places.append(matrix.detach().clone())
    step = places[1] - places[2]
    assert step.diagonal().min() > 0.65
    assert (step - torch.diag(step.diagonal())).abs().max() < 1e-6


def test_memory_formats_change_nothing() -> None:
    generator = torch.Generator().manual_seed(4)
    values, gradient = torch.randn(2, 16, 4, 3, 3, generator=generator).unbind()
    plain, channels_last = nn.Parameter(values.clone()), nn.Parameter(values.clone())
    channels_last.data = channels_last.data.to(memory_format=torch.channels_last)
    for kernel in (plain, channels_last):
        muon = Muon([kernel], lr=0.1, weight_decay=0.0)
        for _ in range(2):
            kernel.grad = torch.empty_like(kernel).copy_(gradient)
            muon.step()
    torch.testing.assert_close(channels_last.detach(), plain.detach(), rtol=0, atol=1e-6)
    assert channels_last.is_contiguous(memory_format=torch.channels_last)


def make(model: nn.Module, heads: tuple[str, ...] = (), **changes: float) -> Optimiser:
    options = {"learning_rate": 0.01, "muon_learning_rate": 0.1, "weight_decay": 0.1} | changes
    return Optimiser(model, heads=heads, **options)


def names_of(group: dict[str, Any], model: nn.Module) -> list[str]:
    held = {id(parameter): name for name, parameter in model.named_parameters()}
    return [held[id(parameter)] for parameter in group["params"]]


def test_every_parameter_of_the_model_is_trained_once_and_by_the_right_half() -> None:
    model = GlimpseModel()
    parts = make(model, HEADS)._parts
    (hidden,) = (names_of(group, model) for group in parts["muon"].param_groups)
    outputs, others = (names_of(group, model) for group in parts["adamw"].param_groups)
    assert sorted(hidden + outputs + others) == sorted(name for name, _ in model.named_parameters())

    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    assert {shapes[name] for name in others} == {1}
    assert {shapes[name] for name in hidden} == {2, 4}
    # Each head is there, and names one layer: a name that fits none would be trained as hidden in silence.
    assert sorted(outputs) == [
        "attention_network.classes.weight",
        "attention_network.corrections.weight",
        "attention_network.heat.weight",
        "classifier.head.weight",
        "refiner.head.weight",
    ]
    assert len(HEADS) == len(outputs)
    assert all(sum(name.endswith(f"{head}.weight") for name in shapes) == 1 for head in HEADS)


def test_what_has_no_gradient_vanishes_in_matrices_and_stays_in_biases() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimiser = make(model, ("2",))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step(1.0)
    kept = {"0.weight": 1 - 0.1 * 0.1, "2.weight": 1 - 0.01 * 0.1}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), kept.get(name, 1.0) * before[name])


@pytest.mark.parametrize("factor", [1.0, 0.25, 0.0])
def test_the_factor_scales_both_halves_steps(factor: float) -> None:
    def change(factor: float) -> Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
        before = nn.utils.parameters_to_vector(model.parameters()).detach()
        optimiser = make(model, ("1",), weight_decay=0.0)
        model(torch.ones(4, 3)).square().sum().backward()
        optimiser.step(factor)
        return nn.utils.parameters_to_vector(model.parameters()).detach() - before

    whole = change(1.0)
    assert (whole != 0).all()
    torch.testing.assert_close(change(factor), factor * whole, rtol=0, atol=1e-6)


def quadratic(model: nn.Sequential) -> Tensor:
    value: Tensor = (model(torch.eye(3)) - torch.tensor([[2.0, 0], [0, -1], [1, 1]])).square().sum()
    return value


def test_steps_come_down_a_bowl() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimiser = make(model, ("1",), muon_learning_rate=0.02, weight_decay=0.0)
    values = []
    for step in range(200):
        value = quadratic(model)
        values.append(value.item())
        optimiser.zero_grad()
        value.backward()
        optimiser.step(1 - step / 200)
    assert values[1] < values[0]
    assert values[-1] < 0.01 * values[0]


def test_gradients_are_forgotten() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimiser = make(model, ("1",))
    quadratic(model).backward()
    optimiser.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_from_a_saved_state_it_goes_on_as_if_there_had_been_no_stop() -> None:
    def start() -> tuple[nn.Sequential, Optimiser]:
        torch.manual_seed(2)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        return model, make(model, ("1",))

    def advance(model: nn.Sequential, optimiser: Optimiser, steps: int) -> None:
        for step in range(steps):
            optimiser.zero_grad()
            quadratic(model).backward()
            optimiser.step(1 / (1 + step))

    unbroken, optimiser = start()
    advance(unbroken, optimiser, 3)
    stored = io.BytesIO()
    torch.save({"model": unbroken.state_dict(), "optimiser": optimiser.state_dict()}, stored)
    advance(unbroken, optimiser, 3)

    resumed, fresh = start()
    stored.seek(0)
    state = torch.load(stored, weights_only=True)
    resumed.load_state_dict(state["model"])
    fresh.load_state_dict(state["optimiser"])
    advance(resumed, fresh, 3)
    for one, other in zip(resumed.parameters(), unbroken.parameters(), strict=True):
        assert torch.equal(one, other)
    # It is the optimisers' memory that made it so: without it the weights differ.
    forgetful, blank = start()
    forgetful.load_state_dict(state["model"])
    advance(forgetful, blank, 3)
    differ = {
        name
        for name, value in forgetful.state_dict().items()
        if not torch.equal(value, unbroken.state_dict()[name])
    }
    assert differ >= {"0.weight", "1.weight"}
