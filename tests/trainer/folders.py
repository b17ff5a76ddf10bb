"""Folders of small pictures for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, width_px: int = 12, height_px: int = 8) -> Image.Image:
    """An RGB picture of noise; another seed gives other contents."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)
    return Image.fromarray(pixels)


def save(path: Path, image: Image.Image | int) -> Path:
    """Write a picture, or the picture of a seed; the folders above are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture(image) if isinstance(image, int) else image).save(path)
    return path


def fill(folder: Path, number: int, first_seed: int) -> None:
    """Write PNGs of as many seeds into a folder."""
    for seed in range(first_seed, first_seed + number):
        save(folder / f"{seed}.png", seed)


def cats_and_dogs(folder: Path, number: int = 30) -> Path:
    """Two classes, so many pictures of each: cats have the seeds from 0 on, dogs those from 1,000 on."""
    fill(folder / "cat", number, 0)
    fill(folder / "dog", number, 1000)
    return folder
