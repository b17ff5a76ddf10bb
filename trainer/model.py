"""The whole model, read from top to bottom: scene → attention → refiner → classifier.

1. The attention network turns the scene into a heat map. The heat map's spatial softmax gives the digit's
   place. Features pooled by the same softmax give the size and a small shift. Together they make a Gaussian.
2. The first glimpse, wider than the Gaussian's box, goes to the refiner, which corrects the Gaussian.
3. The second glimpse, read through the corrected Gaussian, goes to the classifier.

Nothing here knows a box. The gradient of the label's cross entropy reaches the Gaussian's centre through the
glimpses; the Gaussian's sides are fitted to the ink (`trainer.losses`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.contract import GLIMPSE_SIDE_PX
from models.task import DIGITS, HEAT_STRIDE_PX, Task
from trainer.attention import Gaussian, attention_maps, gaussian_of_box, read_glimpse, reported_boxes

FIRST_WINDOW = 1.8
"""Side of the first glimpse in longer sides of the box: wide enough to see that the box is wrong."""
SECOND_WINDOW = 1.4
"""Side of the second glimpse: MNIST's own margin, 28 px of canvas around 20 px of ink."""
FIRST_GLIMPSE_SIDE = 32
NARROWEST_WINDOW_PX = 20.0
"""No glimpse is narrower than a small canvas. It would show nothing more, and a box that had shrunk could not
grow."""
GLIMPSE_GRADIENT = 0.1
"""Share of the glimpses' gradient that reaches the centres of their windows. A shift of one pixel changes a
glimpse a lot. At full strength this noise hides what the refiner could learn from the labels: its loss stays
at chance. No gradient reaches the windows' sides, so that a box shows the digit's size, not what suits the
classifier."""


class EnsembleWeights(NamedTuple):
    """Weights of the other logits, which are added to those of the second glimpse (weight 1)."""

    first_glimpse: float
    pooled: float


TRAINING_ENSEMBLE = EnsembleWeights(first_glimpse=0.3, pooled=0.0)
"""The first glimpse is wider, so it is wrong on other scenes. The classifier learns what the refiner does not
know yet."""
ENSEMBLE = EnsembleWeights(first_glimpse=0.5, pooled=0.1)
"""After training, other weights are best. They were chosen by label errors alone, on scenes of held-out
training digits; `docs/decisions/votes.md` has the errors of other weights."""
NO_DIGIT = -1
"""The label of a scene without a digit."""

HEADS = (
    "attention_network.heat",
    "attention_network.classes",
    "attention_network.corrections",
    "refiner.head",
    "classifier.head",
)
"""Layers whose outputs each have a meaning of their own: Muon must not treat them as one matrix."""

_DIGIT_SIDE_PX = 28.0
"""Where a digit's sizes start: MNIST's own canvas."""
_TYPICAL_SHARE = 0.35
"""Where other sizes start, in sides of the frame: people put what they photograph in the middle, large."""
_SIDE_RANGE = 2.2
"""exp(± 2.2): sides from 3 to 250 px, 9 times shorter or longer than at the start. A soft bound, whose
gradient never vanishes."""
CORRECTIONS_SCALE = 0.1
"""Output scale of the layer that shifts and sizes the first Gaussian; it slows the layer's learning. The
optimiser takes steps of one length, however small the gradient. This layer moves the refiner's window and
learns from what the refiner finds in that window. If it learns too fast, the two drift away together until
the window shows nothing."""


class Prediction(NamedTuple):
    """What the exported graph returns; the fields are its output names (see `models.contract.OUTPUTS`)."""

    probabilities: Tensor
    box: Tensor
    attention: Tensor
    attention_map: Tensor
    glimpse: Tensor
    digit_present: Tensor


class Windows(NamedTuple):
    """Random changes of a window in training, each `[batch]`: shifts in window sides, log of a scale."""

    shift_x: Tensor
    shift_y: Tensor
    log_scale: Tensor


class ForwardOutput(NamedTuple):
    """The output of one forward pass: logits, and the steps from heat map to glimpse."""

    logits: Tensor  # [batch, classes], of the second glimpse, plus the others by `EnsembleWeights`
    refiner_logits: Tensor  # [batch, classes], of the first glimpse
    pooled_logits: Tensor  # [batch, classes], of the features pooled by the heat map
    presence_logit: Tensor  # [batch], that there is a digit
    heat: Tensor  # [batch, cells], of a square of cells of 4 px; sums to 1
    coarse: Gaussian
    gaussian: Gaussian
    first_window: Tensor  # [batch, 3]: centre x, centre y, side in scene px
    glimpse: Tensor  # [batch, channels, 28, 28]


class ConvBlock(nn.Sequential):
    """3×3 convolution, batch normalisation, ReLU."""

    def __init__(self, before: int, after: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """x + ConvBlock(ConvBlock(x)), narrower in between."""

    def __init__(self, width: int, between: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(ConvBlock(width, between), ConvBlock(between, width))

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, width, h, w]` to the same shape."""
        change: Tensor = self.blocks(x)
        return x + change


class Trunk(nn.Module):
    """Features of two scales, merged: a cell for each 4×4 block of pixels."""

    def __init__(self, task: Task, merged: int) -> None:
        super().__init__()
        self._side = task.side_px // HEAT_STRIDE_PX
        fine, coarse, between = 48, 64, 48
        # A 4×4 block of pixels becomes 16 channels: dense convolutions from the start, no large maps.
        self.fine = nn.Sequential(  # [48, 25, 25] for digits
            nn.PixelUnshuffle(HEAT_STRIDE_PX), ConvBlock(HEAT_STRIDE_PX**2 * task.channels, fine)
        )
        self.coarse = nn.Sequential(  # [64, 13, 13] for digits
            ConvBlock(fine, coarse, stride=2), Residual(coarse, between)
        )
        self.lateral = nn.Conv2d(fine, merged, 1)
        self.upward = nn.Conv2d(coarse, merged, 1)

    def merge(self, scenes: Tensor) -> Tensor:
        """Scenes `[batch, channels, side, side]` to features `[batch, merged, side / 4, side / 4]`."""
        fine = self.fine(scenes)
        upward = functional.interpolate(self.upward(self.coarse(fine)), scale_factor=2.0, mode="nearest")
        return functional.relu(self.lateral(fine) + upward[:, :, : self._side, : self._side])


class AttentionNetwork(Trunk):
    """Where the object is and how large: a heat map, a cell for 4×4 pixels, and the features pooled by it."""

    def __init__(self, task: Task) -> None:
        merged = 32
        super().__init__(task, merged)
        self._typical_px = _DIGIT_SIDE_PX if task == DIGITS else _TYPICAL_SHARE * task.side_px
        self.heat = nn.Conv2d(merged, 1, 3, padding=1)
        self.geometry = nn.Sequential(nn.Linear(merged, 64), nn.ReLU(inplace=True))
        self.corrections = nn.Linear(64, 4)
        nn.init.zeros_(self.corrections.weight)
        nn.init.zeros_(self.corrections.bias)
        self.classes = nn.Linear(merged, len(task.classes) + 1)

    def forward(self, scenes: Tensor) -> tuple[Tensor, Gaussian, Tensor]:
        """Scenes `[batch, channels, side, side]` to heat `[batch, cells]`, Gaussian, logits and presence."""
        merged = self.merge(scenes)
        heat = torch.softmax(self.heat(merged).flatten(1), dim=1)  # [batch, cells]
        pooled = (merged.flatten(2) @ heat[:, :, None])[:, :, 0]  # [batch, 32]
        place = heat.view(-1, self._side, self._side)
        cell_px = (torch.arange(self._side, device=heat.device, dtype=heat.dtype) + 0.5) * HEAT_STRIDE_PX
        corrections = torch.tanh(CORRECTIONS_SCALE * self.corrections(self.geometry(pooled)))  # [batch, 4]
        shift_x, shift_y, log_width, log_height = corrections.unbind(1)
        gaussian = gaussian_of_box(
            place.sum(1) @ cell_px + shift_x * HEAT_STRIDE_PX,
            place.sum(2) @ cell_px + shift_y * HEAT_STRIDE_PX,
            self._typical_px * torch.exp(_SIDE_RANGE * log_width),
            self._typical_px * torch.exp(_SIDE_RANGE * log_height),
        )
        return heat, gaussian, self.classes(pooled)


class GlimpseNetwork(nn.Module):
    """A small convolutional network over one glimpse, ending in `outputs` numbers."""

    def __init__(
        self, first: int, second: int, between: int, side: int, outputs: int, *, channels: int = 1
    ) -> None:
        super().__init__()
        left = math.ceil(side / 8)
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),  # [4 · channels, side / 2, side / 2]
            ConvBlock(4 * channels, first),
            ConvBlock(first, first),
            ConvBlock(first, second, stride=2),  # [second, side / 4, side / 4]
            Residual(second, between),
            ConvBlock(second, second, stride=2),
            nn.Flatten(),
            nn.Linear(second * left * left, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(128, outputs)

    def forward(self, glimpses: Tensor) -> Tensor:
        """Glimpses `[batch, channels, side, side]` to `[batch, outputs]`."""
        features = self.features(glimpses)
        with torch.autocast(glimpses.device.type, enabled=False):
            outputs: Tensor = self.head(features.float())
        return outputs


class Calibration(nn.Module):
    """From logits to calibrated probabilities; fitted after training (`training.calibrate`)."""

    label_temperature: Tensor
    presence_temperature: Tensor
    presence_shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("label_temperature", torch.ones(()))
        self.register_buffer("presence_temperature", torch.ones(()))
        self.register_buffer("presence_shift", torch.zeros(()))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities `[batch, classes]` (Guo et al. 2017, temperature scaling)."""
        return torch.softmax(logits / self.label_temperature, dim=1)

    def digit_present(self, logit: Tensor) -> Tensor:
        """The probability that there is a digit, `[batch]` (Platt 1999)."""
        return torch.sigmoid(logit / self.presence_temperature + self.presence_shift)


class GlimpseModel(nn.Module):
    """Attention network, refiner and classifier, coupled by the glimpses."""

    def __init__(self, task: Task = DIGITS) -> None:
        super().__init__()
        self.task = task
        classes, channels = len(task.classes), task.channels
        self.attention_network = AttentionNetwork(task)
        self.refiner = GlimpseNetwork(32, 64, 32, FIRST_GLIMPSE_SIDE, 4 + classes, channels=channels)
        self.classifier = GlimpseNetwork(48, 96, 48, GLIMPSE_SIDE_PX, classes + 1, channels=channels)
        nn.init.zeros_(self.refiner.head.weight[:4])  # no correction at first
        nn.init.zeros_(self.refiner.head.bias[:4])
        self.calibration = Calibration()

    def forward(
        self, scenes: Tensor, first: Windows | None = None, second: Windows | None = None
    ) -> ForwardOutput:
        """Find the digit, look, correct the Gaussian, look again, name the digit.

        Args:
            scenes: intensities in [0, 1], `[batch, channels, side, side]`.
            first: changes of the first glimpse's window; None outside of training.
            second: changes of the second glimpse's window.
        """
        weights = TRAINING_ENSEMBLE if self.training else ENSEMBLE
        with torch.autocast(scenes.device.type, enabled=False):  # in bfloat16 small digits are missed
            heat, coarse, pooled_logits = self.attention_network(scenes)
        ground = border_mean(scenes)
        first_window = square_window(coarse, FIRST_WINDOW, GLIMPSE_GRADIENT, first)
        refined = self.refiner(read_square(scenes, first_window, FIRST_GLIMPSE_SIDE, ground))
        gaussian = _correct(first_window, refined[:, :4])
        second_window = square_window(gaussian, SECOND_WINDOW, GLIMPSE_GRADIENT, second)
        glimpse = read_square(scenes, second_window, GLIMPSE_SIDE_PX, ground)
        glimpse_logits = self.classifier(glimpse)
        return ForwardOutput(
            # The refiner and the attention network learn by their own label losses, hence `detach`.
            logits=glimpse_logits[:, :-1]
            + weights.first_glimpse * refined[:, 4:].detach()
            + weights.pooled * pooled_logits[:, :-1].detach(),
            refiner_logits=refined[:, 4:],
            pooled_logits=pooled_logits[:, :-1],
            # A glimpse shows small clutter as large as a digit; the pooled features know sizes.
            presence_logit=glimpse_logits[:, -1] + pooled_logits[:, -1],
            heat=heat,
            coarse=coarse,
            gaussian=gaussian,
            first_window=first_window,
            glimpse=glimpse,
        )

    def predict(self, scene: Tensor) -> Prediction:
        """The exported graph: uint8 scenes `[batch, channels, side, side]` to a `Prediction`."""
        output = self.forward(scene.float() / 255)
        return Prediction(
            probabilities=self.calibration.probabilities(output.logits),
            box=reported_boxes(output.gaussian, self.task.box_edge_per_side),
            attention=torch.stack(list(output.gaussian), dim=1),
            attention_map=attention_maps(output.gaussian, self.task.side_px),
            glimpse=(output.glimpse[:, 0] if self.task.channels == 1 else output.glimpse).clamp(0.0, 1.0),
            digit_present=self.calibration.digit_present(output.presence_logit),
        )


def square_window(
    gaussian: Gaussian, sides: float, gradient: float = 1.0, change: Windows | None = None
) -> Tensor:
    """A square window around a Gaussian's box, so that glimpses keep the digit's shape.

    Args:
        gaussian: of each scene.
        sides: the window's side in longer sides of the box.
        gradient: how much of the window's gradient reaches the Gaussian's centre; none reaches its sides.
        change: how the window is moved and scaled.

    Returns:
        Centre x, centre y and side in scene px, `[batch, 3]`.
    """
    side = (gaussian.longer_px.detach() * sides).clamp(min=NARROWEST_WINDOW_PX)
    x, y = _damp(gaussian.centre_x_px, gradient), _damp(gaussian.centre_y_px, gradient)
    if change is not None:
        side = side * torch.exp(change.log_scale)
        x, y = x + change.shift_x * side, y + change.shift_y * side
    return torch.stack([x, y, side], dim=1)


def _damp(value: Tensor, share: float) -> Tensor:
    """The same value with a part of its gradient."""
    return share * value + (1 - share) * value.detach()


def border_mean(scenes: Tensor) -> Tensor:
    """The mean of the outermost pixels, `[batch, c]`, of scenes `[batch, c, h, w]`: the level beyond them."""
    rows, columns = scenes[:, :, [0, -1], :], scenes[:, :, :, [0, -1]]
    return (rows.mean(dim=(2, 3)) + columns.mean(dim=(2, 3))) / 2


def read_square(scenes: Tensor, window: Tensor, side: int, beyond: Tensor) -> Tensor:
    """The glimpses `[batch, c, side, side]` of windows `[batch, 3]` of scenes `[batch, c, h, w]`.

    Beyond a scene the intensity is `beyond`, `[batch, c]`, so that paper continues as paper, dark as dark.
    """
    x, y, extent = window.unbind(1)
    level = beyond[:, :, None, None]
    return read_glimpse(scenes - level, x, y, extent, extent, side) + level


def _correct(window: Tensor, corrections: Tensor) -> Gaussian:
    """The refiner's Gaussian, from corrections relative to its window, which is all that the refiner sees."""
    move_x, move_y, log_width, log_height = torch.tanh(corrections).unbind(1)
    x, y, side = window.unbind(1)
    expected_side = side / FIRST_WINDOW
    return gaussian_of_box(
        x + 0.5 * move_x * side,
        y + 0.5 * move_y * side,
        expected_side * torch.exp(_SIDE_RANGE * log_width),
        expected_side * torch.exp(_SIDE_RANGE * log_height),
    )
