"""Floating-point operations of a model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

WHOLE = "Global"


def count_flops(call: Callable[[], object]) -> dict[str, int]:
    """Floating-point operations of a call, two for each multiply-add: `WHOLE`, and of each module by name.

    Names begin with the class of the module that is called, `GlimpseModel.refiner` for instance.
    """
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        call()
    return {name: sum(of_operators.values()) for name, of_operators in counter.get_flop_counts().items()}
