"""What is trained and by which losses: the project's own method, or another under the same conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor, nn

from trainer.losses import LossWeights, compute_losses
from trainer.model import HEADS, ForwardOutput, GlimpseModel

OWN_METHOD = "glimpse"


class ModelOutput(Protocol):
    """What every method's model returns, at the least: a named tuple with these fields."""

    @property
    def logits(self) -> Tensor:
        """Of the classes, `[batch, 10]`."""

    @property
    def presence_logit(self) -> Tensor:
        """That there is a digit, `[batch]`."""


class LossTerms(Protocol):
    """What every method's losses return: a named tuple of scalars."""

    def __iter__(self) -> Iterator[Tensor]: ...

    @property
    def total(self) -> Tensor:
        """What training minimises."""

    def _asdict(self) -> dict[str, Tensor]: ...


Output = TypeVar("Output", bound=ModelOutput)
Output_contra = TypeVar("Output_contra", bound=ModelOutput, contravariant=True)


class LossFunction(Protocol[Output_contra]):
    """The losses of one batch (see `trainer.losses.compute_losses`)."""

    def __call__(
        self,
        output: Output_contra,
        ink: Tensor,
        labels: Tensor,
        weights: LossWeights,
        ramp: Tensor,
        present: Tensor | None,
        /,
    ) -> LossTerms:
        """The terms and their sum.

        Args:
            output: the model's output.
            ink: in [0, 1], `[batch, 1, side, side]`; what is brighter than its mean is the object's.
            labels: classes, int64 `[batch]`; `NO_DIGIT` where there is none.
            weights: the recipe's.
            ramp: 0 to 1, how far the terms that shape the attention are switched on.
            present: the mean number of scenes with a digit in a process's share; None for one process.
        """


@dataclass(frozen=True)
class Method(Generic[Output]):
    """One way to learn from scenes and their labels.

    Args:
        name: what runs and their files call it.
        build: makes the model, a module that takes scenes `[batch, 1, 100, 100]` and, in training, two
            `Windows`, and returns an `Output`. Its `calibration` is a `Calibration`, fitted in the end.
        losses: what training minimises.
        heads: names of the layers whose outputs have a meaning each (see `Optimiser`).
    """

    name: str
    build: Callable[[], nn.Module]
    losses: LossFunction[Output]
    heads: tuple[str, ...]


def own_method() -> Method[ForwardOutput]:
    """The project's own method, which is trained where no other is asked for."""
    return Method(OWN_METHOD, GlimpseModel, compute_losses, HEADS)


def method_of(about: Mapping[str, Any]) -> str:
    """The name of the method that a run is of; the first runs do not name it."""
    name: str = about.get("method", OWN_METHOD)
    return name
