"""Losses of the two stages."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.handwriting.model import Codes, Flow


def reconstruction(ink: Tensor, pictures: Tensor) -> Tensor:
    """Squared error of a digit, summed over its pixels and averaged over digits.

    The writer clips the ink, so values beyond black and white are no error.
    """
    ink = torch.where(pictures == 0, ink.clamp(min=0), ink)
    ink = torch.where(pictures == 1, ink.clamp(max=1), ink)
    return ((ink - pictures) ** 2).sum(dim=(1, 2, 3)).mean()


def divergence(codes: Codes) -> Tensor:
    """Kullback-Leibler divergence of the codes from standard normal ones (Kingma & Welling 2014), in nats."""
    variance = codes.log_variance.exp()
    return 0.5 * (codes.mean.square() + variance - 1 - codes.log_variance).sum(dim=1).mean()


def velocity_error(flow: Flow, codes: Tensor, classes: Tensor) -> Tensor:
    """Squared error of the flow's velocity on straight ways from noise to codes (Liu et al. 2022, eq. 1)."""
    n = len(codes)
    noise = torch.randn_like(codes)
    # Times spread evenly over the batch make a less noisy gradient than independent ones.
    times = (torch.arange(n) + torch.rand(1)) / n
    positions = torch.lerp(noise, codes, times[:, None])
    velocities: Tensor = flow(positions, classes, times)
    return ((velocities - (codes - noise)) ** 2).sum(dim=1).mean()
