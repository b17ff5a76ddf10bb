"""What training gets of a batch, and of a stream of batches, whatever the pictures are of."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from trainer.model import Windows


class LabelledBatch(NamedTuple):
    """All that training gets of a batch."""

    scenes: Tensor
    """`[batch, channels, side, side]`, intensities in [0, 1]: what the network sees."""
    ink: Tensor
    """`[batch, 1, side, side]`, in [0, 1]; what is brighter than its mean counts as the object's. Of digits
    it is the scene without pasted clutter and not on paper, of other pictures the learnt foreground."""
    labels: Tensor
    """`[batch]`, classes; `NO_DIGIT` where there is none."""


class BatchStream(Protocol):
    """An endless stream of batches. A batch is a pure function of the run's seed and the step."""

    def batch(self, step: int) -> LabelledBatch:
        """The batch of that step, this process's share of it."""

    def windows(self, step: int) -> tuple[Windows, Windows]:
        """Random changes of the two glimpses' windows at that step."""

    def present(self, step: int) -> Tensor | None:
        """The mean number of pictures with an object in a process's share; None for one process."""
