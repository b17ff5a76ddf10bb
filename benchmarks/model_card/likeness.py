"""How like real digits generated ones are: precision and recall of their features, and distance to copies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

NEIGHBOURS = 3
_CHUNK = 500

Rows = npt.NDArray[np.float32]


class PrecisionRecall(NamedTuple):
    """Shares of generated digits among real ones, and of real ones among generated ones."""

    precision: float
    recall: float


def precision_recall(real: Rows, generated: Rows) -> PrecisionRecall:
    """Precision and recall of features `[n, f]` and `[m, f]` (Kynkäänniemi et al. 2019, eqs. 1 to 3).

    A set's manifold is the union of balls around its members, each reaching to the third nearest other one.
    """
    first, second = torch.from_numpy(real), torch.from_numpy(generated)
    return PrecisionRecall(_share_within(second, first), _share_within(first, second))


def nearest_distances(images: npt.NDArray[np.uint8], known: npt.NDArray[np.uint8]) -> Rows:
    """Euclidean distance of intensities in [0, 1] from each digit `[n, 28, 28]` to the nearest known one."""
    return _nearest(_flat(images), _flat(known), rank=1)


def distances_among(known: npt.NDArray[np.uint8]) -> Rows:
    """The same from each digit to the nearest other one of its own set."""
    flat = _flat(known)
    return _nearest(flat, flat, rank=2)


def _share_within(points: Tensor, centres: Tensor) -> float:
    radii = torch.from_numpy(_nearest(centres, centres, rank=NEIGHBOURS + 1))
    within = [(torch.cdist(chunk, centres) <= radii).any(dim=1) for chunk in torch.split(points, _CHUNK)]
    return float(torch.cat(within).float().mean())


def _nearest(points: Tensor, others: Tensor, *, rank: int) -> Rows:
    """The distance of each point to the one of that rank; a point is its own first neighbour."""
    found = [
        torch.cdist(chunk, others).topk(rank, dim=1, largest=False).values[:, -1]
        for chunk in torch.split(points, _CHUNK)
    ]
    nearest: Rows = torch.cat(found).numpy()
    return nearest


def _flat(images: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images.reshape(len(images), -1)).float() / 255
