"""The running average of a module's weights while it trains: what is exported in the end."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def take_into_average(average: nn.Module, module: nn.Module, *, step: int, keep: float) -> None:
    """Exponential moving average of weights and normalisation statistics, in place; quick at first.

    Args:
        average: a copy of the module, which becomes the average.
        module: as it is after the step.
        step: how many steps were taken in before, from 0.
        keep: how much of the average stays at each step once it is no longer quick.
    """
    keep = min(keep, (1 + step) / (10 + step))
    current = module.state_dict()
    moving, towards = [], []
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            moving.append(value)
            towards.append(current[name])
        else:
            value.copy_(current[name])
    torch._foreach_lerp_(moving, towards, 1 - keep)
