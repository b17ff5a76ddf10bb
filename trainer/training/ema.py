"""The running average of a module's weights while it trains: what is exported in the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def average_weight(step: int, decay: float) -> float:
    """The weight of a step's module in the average, 1 − decay; larger at first.

    Args:
        step: how many steps were taken in before, from 0.
        decay: what share of the average stays at each step in the end.
    """
    return 1 - min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def take_into_average(average: nn.Module, module: nn.Module, weight: float | Tensor) -> None:
    """Exponential moving average of weights and normalisation statistics, in place.

    Args:
        average: a copy of the module, which becomes the average.
        module: as it is after the step.
        weight: of the module in the average (`average_weight`).
    """
    current = module.state_dict()
    moving, towards = [], []
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            moving.append(value)
            towards.append(current[name])
        else:
            value.copy_(current[name])
    change = torch._foreach_sub(towards, moving)
    torch._foreach_mul_(change, weight)
    torch._foreach_add_(moving, change)
