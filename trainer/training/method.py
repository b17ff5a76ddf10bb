"""What is trained and by which losses: the project's own method, or another one under the same conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

OWN_METHOD = "glimpse"


@dataclass(frozen=True)
class Method:
    """One way to learn from scenes and their labels.

    Args:
        name: what runs and their files call it.
        build: makes the model, a module that takes scenes `[batch, 1, 100, 100]` and, in training, two
            `Windows`, and returns a named tuple with at least `logits`, `[batch, 10]`, and `presence_logit`,
            `[batch]`. Its `calibration` is a `Calibration`, which is fitted in the end.
        losses: from what the model returned, the scenes before pasting, the labels, the recipe's weights and
            the ramp to a named tuple of scalars, whose `total` is minimised (see `compute_losses`). Where
            several processes train, it is told as well how many scenes with a digit each has on average.
        heads: names of the layers whose outputs have a meaning each (see `Optimiser`).
    """

    name: str
    build: Callable[[], nn.Module]
    losses: Callable[..., Any]
    heads: tuple[str, ...]


def method_of(about: Mapping[str, Any]) -> str:
    """The name of the method that a run is of; runs from before there were others do not say it."""
    name: str = about.get("method", OWN_METHOD)
    return name
