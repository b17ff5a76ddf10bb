"""Layers whose sums are exact, so that every machine writes the same digits, bit for bit.

A float32 sum depends on the order of its terms, which differs between kernels, processors and batch sizes,
unless nothing is rounded. So the numbers between layers are whole numbers of 8 bits, counting 1/32, and
weights are whole numbers of 8 bits times a power of two for each output. A product is a whole number below
2¹⁵ of a unit that all terms of an output share, and a sum of at most 512 of them stays within 2²⁴, up to
where float32 holds every whole number. Rounding and clipping act on single numbers, where IEEE 754 leaves no
choice.

Training goes through the same numbers. Rounding has no slope, so the gradient passes it as if it were not
there (Bengio et al. 2013, "straight-through estimator").
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COUNTS = 32
"""Between layers, 1 is written as 32."""
LARGEST_WEIGHT = 127
_MOST_TERMS = 512
_BIAS_COUNTS = 1024
_FINEST_EXPONENT = -14


def whole(x: Tensor) -> Tensor:
    """Round to whole numbers; the gradient passes unchanged."""
    return x + (torch.round(x) - x).detach()


def activate(counts: Tensor) -> Tensor:
    """ReLU in 8 bits: 0, 1, …, 255."""
    return whole(counts.clamp(0.0, 255.0))


def count(x: Tensor) -> Tensor:
    """Signed numbers from −4 to almost 4 as a layer's inputs: −128, −127, …, 127."""
    return whole((x * COUNTS).clamp(-128.0, 127.0))


def weight_steps(weight: Tensor) -> Tensor:
    """The powers of two that each output's weights are whole multiples of, up to 127: `[outputs, 1, …]`."""
    largest = weight.detach().abs().flatten(1).amax(dim=1)
    exponent = torch.ceil(torch.log2(largest / LARGEST_WEIGHT)).clamp(min=_FINEST_EXPONENT)
    return torch.exp2(exponent).reshape(-1, *[1] * (weight.ndim - 1))


class ExactLinear(nn.Linear):
    """A linear layer from counts to counts that are not yet activated."""

    def __init__(self, inputs: int, outputs: int) -> None:
        if inputs > _MOST_TERMS:
            raise ValueError(f"inputs: expected at most {_MOST_TERMS} for exact sums, got {inputs}")
        super().__init__(inputs, outputs)

    def forward(self, counts: Tensor) -> Tensor:
        """Outputs `[n, outputs]` of `[n, inputs]`."""
        return F.linear(counts, exact_weight(self), exact_bias(self))


class ExactConv2d(nn.Conv2d):
    """A 3×3 convolution from counts to counts that are not yet activated, zeros around the picture."""

    def __init__(self, inputs: int, outputs: int) -> None:
        if inputs * 9 > _MOST_TERMS:
            raise ValueError(f"inputs: expected at most {_MOST_TERMS // 9} for exact sums, got {inputs}")
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, counts: Tensor) -> Tensor:
        """Outputs `[n, outputs, h, w]` of `[n, inputs, h, w]`."""
        return F.conv2d(counts, exact_weight(self), exact_bias(self), padding=1)


def exact_weight(layer: ExactLinear | ExactConv2d) -> Tensor:
    """The weights that are used: whole multiples of `weight_steps`."""
    steps = weight_steps(layer.weight)
    return whole(layer.weight / steps) * steps


def exact_bias(layer: ExactLinear | ExactConv2d) -> Tensor:
    """The biases that are used, as counts: multiples of 1/32 of a count."""
    assert layer.bias is not None
    return whole(layer.bias * _BIAS_COUNTS) * (COUNTS / _BIAS_COUNTS)
