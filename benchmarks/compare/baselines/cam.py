"""CAM (Zhou et al. 2016) and Grad-CAM (Selvaraju et al. 2017) on a plain convolutional network of stride 4.

For a network that ends in global average pooling and one linear layer both give the same map up to ReLU: the
gradient of a class's logit by a feature is the class's weight, divided by the number of cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.compare.baselines.common import (
    OUTPUTS,
    Baseline,
    Candidates,
    Pass,
    Pictures,
    intensities,
    label_losses,
)
from benchmarks.compare.baselines.components import boxes_above
from models.contract import SCENE_SIDE_PX
from trainer.model import Calibration, Windows
from trainer.training.method import Method

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Shares of a map's range, of which the best is chosen."""


class PlainNetwork(nn.Module):
    """Six convolutions to a 25×25 map of features, their average, a linear layer.

    The last two are dilated, so that a feature sees 58 px around it: as much as a large digit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_convolution(4, 16),  # [16, 50, 50]
            *_convolution(16, 32, stride=2),  # [32, 25, 25]
            *_convolution(32, 40),
            *_convolution(40, 40),
            *_convolution(40, 40, dilation=2),
            *_convolution(40, 40, dilation=2),
        )
        self.classes = nn.Linear(40, OUTPUTS)
        self.calibration = Calibration()

    def forward(self, scenes: Tensor, first: Windows | None = None, second: Windows | None = None) -> Pass:
        """Scenes `[batch, 1, 100, 100]` to logits and features; it looks through no window."""
        del first, second
        features = self.features(scenes)
        with torch.autocast(scenes.device.type, enabled=False):  # as our own heads
            outputs = self.classes(features.float().mean(dim=(2, 3)))
        return Pass(outputs[:, :-1], outputs[:, -1], features=features)


def _convolution(
    before: int, after: int, *, stride: int = 1, dilation: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.ReLU]:
    return (
        nn.Conv2d(before, after, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(after),
        # Not in place: Grad-CAM asks for the gradient of what is here.
        nn.ReLU(),
    )


def class_activation_maps(model: PlainNetwork, seen: Pass, classes: Tensor) -> Tensor:
    """The features, weighted as the linear layer weights them for each scene's class: `[n, 25, 25]`."""
    assert seen.features is not None
    weights = model.classes.weight[classes]  # [n, 40]
    return torch.einsum("nc,nchw->nhw", weights, seen.features)


def gradient_maps(seen: Pass, classes: Tensor) -> Tensor:
    """The last convolution's features, weighted by the mean gradient of each scene's class, then ReLU."""
    assert seen.features is not None
    chosen = seen.logits.gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, seen.features)
    weights = gradient.mean(dim=(2, 3))
    return functional.relu(torch.einsum("nc,nchw->nhw", weights, seen.features))


def _candidates(seen: Pass, maps: Tensor, model: PlainNetwork) -> Candidates:
    """Boxes at every threshold of the maps, enlarged to the scene's size as in the article."""
    large = functional.interpolate(
        maps.detach()[:, None], size=(SCENE_SIDE_PX, SCENE_SIDE_PX), mode="bilinear", align_corners=False
    )[:, 0]
    scores: npt.NDArray[np.float32] = large.numpy()
    probabilities = model.calibration.probabilities(seen.logits.detach())
    return Candidates(probabilities.numpy(), boxes_above(scores, THRESHOLDS))


def answer_by_cam(model: nn.Module, pictures: Pictures) -> Candidates:
    """Boxes from the class activation map of the class that the network names."""
    assert isinstance(model, PlainNetwork)
    with torch.inference_mode():
        seen = model(intensities(pictures))
        return _candidates(seen, class_activation_maps(model, seen, seen.logits.argmax(1)), model)


def answer_by_grad_cam(model: nn.Module, pictures: Pictures) -> Candidates:
    """Boxes from the gradient-weighted map of the class that the network names."""
    assert isinstance(model, PlainNetwork)
    seen = model(intensities(pictures))
    return _candidates(seen, gradient_maps(seen, seen.logits.argmax(1)), model)


METHOD = Method("cam", PlainNetwork, label_losses, heads=("classes",))
CAM = Baseline("CAM", METHOD, THRESHOLDS, "threshold, share of the map's range", answer_by_cam)
GRAD_CAM = Baseline("Grad-CAM", METHOD, THRESHOLDS, "threshold, share of the map's range", answer_by_grad_cam)
