"""The optimiser: Muon for the hidden layers' matrices and kernels, AdamW for everything else."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainer.runtime.torch_workarounds import set_capturable

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
_MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are orthogonal matrices (Jordan et al. 2024, "Muon").

    A kernel `[out, in, height, width]` counts as a matrix `[out, height · width · in]`. `torch.optim.Muon`
    takes matrices only and computes in bfloat16, which not every processor multiplies. A group's "lr" may be
    a scalar tensor.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """One step against the gradients."""
        for group in self.param_groups:
            parameters = group["params"]
            gradients = [parameter.grad for parameter in parameters]
            momenta = [self._momentum_of(parameter) for parameter in parameters]
            torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
            ahead = torch._foreach_lerp(gradients, momenta, _MOMENTUM)  # Nesterov's
            # In the order of channels_last, in which the kernels lie in memory: nothing need be copied.
            moved = [each.movedim(1, -1) for each in ahead]
            directions = orthogonalise([each.flatten(1) for each in moved])
            lengths = [math.sqrt(max(1.0, matrix.shape[0] / matrix.shape[1])) for matrix in directions]
            torch._foreach_mul_(directions, lengths)
            torch._foreach_mul_(directions, group["lr"])
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_sub_(
                parameters,
                [matrix.view_as(like).movedim(-1, 1) for like, matrix in zip(moved, directions, strict=True)],
            )

    def _momentum_of(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        return momentum


def orthogonalise(matrices: Sequence[Tensor]) -> list[Tensor]:
    """About the nearest matrix with orthonormal rows or columns to each, by Newton and Schulz.

    A step turns x into p(x xᵀ) x, and all of these polynomials are of the same small square matrix, x xᵀ. So
    the polynomials are multiplied first, and the wide matrix once, in the end. That takes less than half of
    the time for this model's kernels. Squares of one size are multiplied in one batch.

    Args:
        matrices: each `[rows, columns]`, of any size.
    """
    wide = [matrix.T if _is_tall(matrix) else matrix for matrix in matrices]
    wide = [matrix / (matrix.norm() + 1e-7) for matrix in wide]
    of_size = defaultdict(list)
    for index, matrix in enumerate(wide):
        of_size[matrix.shape[0]].append(index)
    found = list(matrices)
    for indices in of_size.values():
        squares = torch.stack([wide[index] @ wide[index].T for index in indices])
        for index, product in zip(indices, _polynomials(squares), strict=True):
            step = product @ wide[index]
            found[index] = step.T if _is_tall(matrices[index]) else step
    return found


def _polynomials(squares: Tensor) -> Tensor:
    """The product of all steps' polynomials, `[matrices, rows, rows]`, from x xᵀ before the first step."""
    polynomial = product = _polynomial(squares)
    for _ in range(_NEWTON_SCHULZ_STEPS - 1):
        squares = polynomial @ (polynomial @ squares)  # of the x that the step has made
        polynomial = _polynomial(squares)
        product = polynomial @ product
    return product


def _polynomial(squares: Tensor) -> Tensor:
    """One step's polynomial of x xᵀ.

    The coefficients are Jordan's. In five steps they bring singular values to between 0.7 and 1.2, where the
    classical ones would need many steps to reach 1.
    """
    a, b, c = _NEWTON_SCHULZ
    polynomial = torch.baddbmm(squares, squares, squares, beta=b, alpha=c)
    polynomial.diagonal(dim1=1, dim2=2).add_(a)
    return polynomial


def _is_tall(matrix: Tensor) -> bool:
    return matrix.shape[0] > matrix.shape[1]


class Optimiser:
    """Both optimisers as one.

    Muon trains the layers between hidden features. AdamW trains the heads, whose outputs each have a meaning
    of their own, and biases and normalisation scales.

    Args:
        model: what is to be trained.
        heads: names of the layers whose outputs each have a meaning of their own.
        learning_rate: of AdamW, at its highest.
        muon_learning_rate: of Muon, likewise; it goes up and down with the other.
        weight_decay: for matrices and kernels; biases and scales have none.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        heads: Iterable[str],
        learning_rate: float,
        muon_learning_rate: float,
        weight_decay: float,
    ) -> None:
        endings = tuple(f"{head}.weight" for head in heads)
        hidden, outputs, others = [], [], []
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                others.append(parameter)
            elif name.endswith(endings):
                outputs.append(parameter)
            else:
                hidden.append(parameter)
        self._on_gpu = all(parameter.is_cuda for parameter in model.parameters())
        self._highest = {"muon": muon_learning_rate, "adamw": learning_rate}
        self._parts: dict[str, torch.optim.Optimizer] = {}
        if hidden:
            self._parts["muon"] = Muon(hidden, lr=muon_learning_rate, weight_decay=weight_decay)
        self._parts["adamw"] = torch.optim.AdamW(
            [
                {"params": outputs, "weight_decay": weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=learning_rate,
            betas=(0.9, 0.99),
            fused=True,
            capturable=self._on_gpu,
        )

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for part in self._parts.values():
            part.zero_grad()

    def step(self, factor: float | Tensor) -> None:
        """One step at `factor`, 0 to 1, of the highest learning rates; a scalar tensor in a CUDA graph."""
        for name, part in self._parts.items():
            for group in part.param_groups:
                group["lr"] = factor * self._highest[name]
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The state of both."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        set_capturable(self._parts["adamw"], self._on_gpu)
