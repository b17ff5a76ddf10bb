"""Styles: a number that stands for one handwriting, and the latent vector that a generator makes it of.

The vector comes from the counter-based generator and its table, so a style is the same on every machine.
"""

from __future__ import annotations

from scenes.backend import Array, namespace
from scenes.random import Stream, normal_halves, random_bits

MAX_STYLE = 2**31 - 1


def draw_styles(seeds: Array, stream: Stream, count: int) -> Array:
    """Styles for scenes, 0 to `MAX_STYLE`: int64 `[n, count]`."""
    xp = namespace(seeds)
    return xp.astype(random_bits(seeds, stream, count) & MAX_STYLE, xp.int64)


def style_latents(styles: Array, size: int) -> Array:
    """Standard normal latent vectors of styles `[n]`: float32 `[n, size]`, for an even size."""
    return namespace(styles).concat(normal_halves(styles, Stream.LATENT, size // 2), axis=1)
