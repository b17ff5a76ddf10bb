"""The exponential moving average of a module's weights while it trains. The average is what is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def average_weight(step: int, decay: float) -> float:
    """The weight of the newest module in the average: 1 − decay, larger in the first steps.

    Args:
        step: how many steps the average has, from 0.
        decay: the share of the average that stays in each step, in the end.
    """
    return 1 - min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def take_into_average(average: nn.Module, module: nn.Module, weight: float | Tensor) -> None:
    """Exponential moving average of weights and normalisation statistics, in place.

    Args:
        average: a copy of the module; becomes the average.
        module: the module after the step.
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
