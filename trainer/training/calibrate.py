"""Calibration of the probabilities, fitted on held-out training digits and their labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenes.digits import Digits
from trainer.model import NO_DIGIT, Calibration
from trainer.runtime.torch_workarounds import backward
from trainer.training.validation import held_out_batches

PRESETS = ("article", "paper")
"""Scenes and pictures of paper count the same, so that the model is calibrated on both."""
_SCENES = 2500
_SEED = 1  # not the scenes of `trainer.training.validation`


def calibrate(model: nn.Module, held_out: Digits, *, device: torch.device) -> None:
    """Fit the model's calibration in place, on scenes and on pictures of digits that training never sees.

    One temperature divides the label's logits. It changes the confidence, not the label (Guo et al. 2017,
    "On Calibration of Modern Neural Networks"). Scale and shift of the presence's logit make it a
    probability where half of the scenes have a digit (Platt 1999).
    """
    calibration = model.get_submodule("calibration")
    assert isinstance(calibration, Calibration)
    logits, _, labels = _look(model, held_out, without_digit=0.0, device=device)
    (sharpness,) = _minimise(lambda log: functional.cross_entropy(logits * log.exp(), labels), 0.0)
    calibration.label_temperature.fill_(1.0).div_(sharpness.exp())
    _, presence, labels = _look(model, held_out, without_digit=0.5, device=device)
    present = (labels != NO_DIGIT).float()
    sharpness, shift = _minimise(
        lambda log, shift: functional.binary_cross_entropy_with_logits(presence * log.exp() + shift, present),
        0.0,
        0.0,
    )
    calibration.presence_temperature.fill_(1.0).div_(sharpness.exp())
    calibration.presence_shift.copy_(shift)


@torch.no_grad()
def _look(
    model: nn.Module, held_out: Digits, *, without_digit: float, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits `[n, 10]`, presence logits `[n]` and labels `[n]` of fresh scenes, on the CPU."""
    logits, presence, labels = [], [], []
    for preset in PRESETS:
        for batch in held_out_batches(
            preset, held_out, seed=_SEED, scenes=_SCENES, device=device, without_digit=without_digit
        ):
            output = model(batch.scenes)
            logits.append(output.logits)
            presence.append(output.presence_logit)
            labels.append(batch.labels)
    return torch.cat(logits).cpu(), torch.cat(presence).cpu(), torch.cat(labels).cpu()


def _minimise(loss: Callable[..., Tensor], *start: float) -> list[Tensor]:
    """The arguments of a smooth loss, each a scalar, at its minimum."""
    arguments = [torch.tensor(value, requires_grad=True) for value in start]
    optimiser = torch.optim.LBFGS(arguments, max_iter=100, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        optimiser.zero_grad()
        value = loss(*arguments)
        backward(value)
        return value

    optimiser.step(evaluate)  # type: ignore[no-untyped-call]
    return [argument.detach() for argument in arguments]
