"""The writer, from a class and a latent vector to a digit: the whole model, from top to bottom."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.digits_contract import LATENT_SIZE as CODE_SIZE
from scenes.digits import CLASS_COUNT
from trainer.handwriting.exact import COUNTS, ExactConv2d, ExactLinear, activate, count, whole

FLOW_STEPS = 8
FLOW_WIDTH = 384
POSITION_COUNTS = 1024
INK_COUNTS = 2048
# Few binary digits each, so that products with counts are exact as well.
NOISE_SHARE = 61 / 64
"""Factor of the noise before it becomes codes: less variety, but fewer unreadable digits."""
CONTRAST = 13 / 8
"""Factor of the ink about middle grey, since squared error makes strokes softer than MNIST's."""


class Codes(NamedTuple):
    """The distribution of a digit's code: `[n, CODE_SIZE]` each."""

    mean: Tensor
    log_variance: Tensor

    def sample(self) -> Tensor:
        """A code for each digit."""
        return self.mean + torch.exp(0.5 * self.log_variance) * torch.randn_like(self.mean)


class Encoder(nn.Module):
    """From a digit to its code; used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 32, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),  # [n, 32, 14, 14]
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),  # [n, 64, 7, 7]
            nn.Conv2d(64, 64, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),  # [n, 64, 4, 4]
            nn.Flatten(),
        )
        self.hidden = nn.Linear(64 * 16 + CLASS_COUNT, 256)
        self.code = nn.Linear(256, 2 * CODE_SIZE)

    def forward(self, pictures: Tensor, classes: Tensor) -> Codes:
        """Codes of intensities in [0, 1], `[n, 1, 28, 28]`, of known classes `[n]`."""
        seen = torch.cat([self.convolutions(pictures), one_hot(classes)], dim=1)
        mean, log_variance = self.code(F.relu(self.hidden(seen))).chunk(2, dim=1)
        return Codes(mean, log_variance.clamp(-12, 4))


class Decoder(nn.Module):
    """From a class and a code to a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = ExactLinear(CODE_SIZE + CLASS_COUNT, 256)
        self.spread = ExactLinear(256, 32 * 7 * 7)
        self.shape = ExactConv2d(32, 32 * 4)
        self.strokes = ExactConv2d(32, 32)
        self.edges = ExactConv2d(32, 16)
        self.ink = ExactConv2d(4, 1)

    def forward(self, classes: Tensor, codes: Tensor) -> Tensor:
        """Intensities before they are clipped to [0, 1]: `[n, 1, 28, 28]`."""
        given = torch.cat([count(codes), count(one_hot(classes))], dim=1)
        x = activate(self.spread(activate(self.mix(given))))
        x = x.reshape(-1, 32, 7, 7).contiguous(memory_format=torch.channels_last)
        x = F.pixel_shuffle(activate(self.shape(x)), 2)  # [n, 32, 14, 14]
        x = activate(self.strokes(x))
        x = F.pixel_shuffle(activate(self.edges(x)), 2)  # [n, 4, 28, 28]
        ink: Tensor = self.ink(x) / COUNTS
        return ink


class Flow(nn.Module):
    """The velocity that carries Gaussian noise to codes (Liu et al. 2022, "rectified flow")."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ExactLinear(CODE_SIZE + CLASS_COUNT + FLOW_STEPS + 1, FLOW_WIDTH)
        self.second = ExactLinear(FLOW_WIDTH, FLOW_WIDTH)
        self.third = ExactLinear(FLOW_WIDTH, FLOW_WIDTH)
        self.velocity = ExactLinear(FLOW_WIDTH, CODE_SIZE)

    def forward(self, positions: Tensor, classes: Tensor, times: Tensor) -> Tensor:
        """Velocities `[n, CODE_SIZE]` at times `[n]` in [0, 1]."""
        given = torch.cat([count(positions), count(one_hot(classes)), count(clock(times))], dim=1)
        x = activate(self.first(given))
        x = activate(self.second(x))
        x = activate(self.third(x))
        velocities: Tensor = self.velocity(x) / COUNTS
        return velocities

    def carry(self, noise: Tensor, classes: Tensor) -> Tensor:
        """Codes `[n, CODE_SIZE]` by Euler's method."""
        positions = _on_grid(noise)
        for step in range(FLOW_STEPS):
            times = torch.full_like(noise[:, 0], step / FLOW_STEPS)
            positions = _on_grid(positions + self(positions, classes, times) / FLOW_STEPS)
        return positions


class Gaussians(nn.Module):
    """Instead of the flow: one Gaussian per class, fitted to its codes (Ghosh et al. 2020)."""

    mean: Tensor
    root: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CLASS_COUNT, CODE_SIZE))
        self.register_buffer("root", torch.zeros(CLASS_COUNT, CODE_SIZE, CODE_SIZE))

    def fit(self, codes: Tensor, classes: Tensor) -> None:
        """Take mean and covariance of the codes `[m, CODE_SIZE]` of each class."""
        for c in range(CLASS_COUNT):
            of_class = codes[classes == c]
            self.mean[c] = _on_grid(of_class.mean(dim=0))
            covariance = torch.cov(of_class.T) + 1e-4 * torch.eye(CODE_SIZE)  # never quite flat
            # In 1/128, so that sums of products with counts are exact.
            self.root[c] = whole(torch.linalg.cholesky(covariance) * 128) / 128

    def carry(self, noise: Tensor, classes: Tensor) -> Tensor:
        """Codes `[n, CODE_SIZE]`."""
        counts = (self.root[classes] @ count(noise)[:, :, None])[:, :, 0]
        return _on_grid(counts / COUNTS + self.mean[classes])


class Writer(nn.Module):
    """The exported model: from a class and Gaussian noise to a digit."""

    def __init__(self, prior: Flow | Gaussians) -> None:
        super().__init__()
        self.decoder = Decoder()
        self.prior = prior

    def forward(self, digit: Tensor, latent: Tensor) -> Tensor:
        """Digits of classes int64 `[n]` and latent vectors `[n, CODE_SIZE]`: uint8 `[n, 28, 28]`."""
        noise = _on_grid(_on_grid(latent) * NOISE_SHARE)
        ink = whole(self.decoder(digit, self.prior.carry(noise, digit))[:, 0] * INK_COUNTS)
        stretched = ink * CONTRAST + (1 - CONTRAST) / 2 * INK_COUNTS
        return whole(stretched.clamp(0.0, INK_COUNTS) * (255 / INK_COUNTS)).to(torch.uint8)


def _on_grid(positions: Tensor) -> Tensor:
    """Positions in multiples of 1/1024: finer than a layer resolves, coarse enough to be exact."""
    return whole(positions * POSITION_COUNTS) / POSITION_COUNTS


def clock(times: Tensor) -> Tensor:
    """Times as linear weights of the two nearest marks: `[n, FLOW_STEPS + 1]`."""
    marks = torch.arange(FLOW_STEPS + 1, dtype=times.dtype)
    return (1 - (times[:, None] * FLOW_STEPS - marks).abs()).clamp(min=0)


def one_hot(classes: Tensor) -> Tensor:
    """1 at the class, else 0: float32 `[n, 10]`."""
    return (classes[:, None] == torch.arange(CLASS_COUNT)).float()
