"""Render scenes as pictures of paper: a pure function from ink and parameters to pixels, on any library."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scenes.backend import Array, clip, like, namespace, span
from scenes.paper import PaperParameters
from scenes.random import Stream, normal_halves, uniform

_TEXTURE_GRIDS = ((4, 1.0), (11, 0.6), (34, 0.3))
"""Points along a side at which slow changes are drawn, linear between them, and their strength."""
_BLOCK = 8
_JPEG_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.float32,
)
"""The standard's example of a table for luminance (ITU-T T.81, annex K.1), in steps of 1/255."""


class _Place(NamedTuple):
    """The pixels' centres: x `[1, 1, side]`, y `[1, side, 1]`, in px from the top-left corner."""

    x: Array
    y: Array
    middle: float

    def along(self, angle_rad: Array, x_px: float | Array, y_px: float | Array) -> Array:
        """How far each pixel lies from (x, y) in a direction: `[n, side, side]`."""
        xp = namespace(angle_rad)
        return (self.x - _field(x_px)) * _field(xp.cos(angle_rad)) + (self.y - _field(y_px)) * _field(
            xp.sin(angle_rad)
        )


def on_paper(ink: Array, paper: PaperParameters, seeds: Array) -> Array:
    """Scenes as pictures.

    Args:
        ink: the scenes, bright ink on a dark ground, float32 `[n, side, side]` in [0, 1].
        paper: how each looks.
        seeds: int64 `[n]`, for grain and texture.

    Returns:
        Intensities in [0, 1] of the same shape.
    """
    xp = namespace(ink)
    side = ink.shape[1]
    place = _Place(span(ink, side)[None, None, :] + 0.5, span(ink, side)[None, :, None] + 0.5, side / 2)
    light = _light(paper, place) * (1 + _field(paper.texture) * _texture(seeds, side))
    ground = clip(_field(paper.ground) * light, 0.02, 1.0) * (1 - _lines(paper, place))
    strength = _field(paper.contrast) * ink
    picture = xp.where(_field(paper.bright_ink), ground + strength * (1 - ground), ground * (1 - strength))
    picture = _on_desk(picture, paper, place)
    picture = _beside_edge(picture, paper, place)
    picture = _blur(picture, paper.blur_sigma_px)
    picture = picture + _field(paper.grain_sigma) * _grain(seeds, side)
    return clip(_compress(clip(picture, 0.0, 1.0), paper.jpeg_step), 0.0, 1.0)


def _field(values: float | Array) -> Array:
    """Numbers `[n]` beside pictures: `[n, 1, 1]`; a single number stays as it is."""
    return values if isinstance(values, float) else values[:, None, None]


def _inside(distance_px: Array) -> Array:
    """1 where a distance is well over 0 and 0 well under; an edge is a pixel soft."""
    return clip(distance_px + 0.5, 0.0, 1.0)


def _light(paper: PaperParameters, place: _Place) -> Array:
    """The light on each pixel: a gradient, the edge of a shadow, darker corners."""
    xp = namespace(paper.gradient)
    middle = place.middle
    slope = place.along(paper.gradient_angle_rad, middle, middle) / middle
    across = place.along(paper.shadow_angle_rad, middle, middle) - _field(paper.shadow_offset_px)
    shadow = 1 / (1 + xp.exp(clip(-across / _field(paper.shadow_softness_px), -30.0, 30.0)))
    from_middle = ((place.x - middle) ** 2 + (place.y - middle) ** 2) / (2 * middle**2)
    return (
        (1 + _field(paper.gradient) * slope)
        * (1 - _field(paper.shadow_depth) * shadow)
        * (1 - _field(paper.vignette) * from_middle)
    )


def _texture(seeds: Array, side: int) -> Array:
    """Slow changes about 0, `[n, side, side]`, in [−1.9, 1.9]."""
    xp = namespace(seeds)
    total = None
    first = 0
    numbers = uniform(seeds, Stream.PAPER_TEXTURE, sum(points**2 for points, _ in _TEXTURE_GRIDS))
    for points, strength in _TEXTURE_GRIDS:
        grid = 2 * numbers[:, first : first + points**2] - 1
        first += points**2
        smooth = like(grid, _interpolation(points, side))
        some = strength * xp.matmul(
            xp.matmul(smooth, xp.reshape(grid, (-1, points, points))), xp.matrix_transpose(smooth)
        )
        total = some if total is None else total + some
    return total


def _interpolation(points: int, side: int) -> np.ndarray:
    """What each pixel takes from each point along an axis: float32 `[side, points]`."""
    at = np.linspace(0, points - 1, side, dtype=np.float32)
    shares: np.ndarray = np.clip(1 - np.abs(at[:, None] - np.arange(points, dtype=np.float32)), 0, 1)
    return shares


def _lines(paper: PaperParameters, place: _Place) -> Array:
    """How much darker ruled or squared lines are: `[n, side, side]`."""
    xp = namespace(paper.line_depth)

    def ruled(angle_rad: Array) -> Array:
        pitch = _field(paper.line_pitch_px)
        down = place.along(angle_rad, 0.0, 0.0) + _field(paper.line_offset_px)
        from_line = xp.abs(down - pitch * xp.round(down / pitch))
        return clip(_field(paper.line_width_px) / 2 + 0.5 - from_line, 0.0, 1.0)

    rows, columns = ruled(paper.line_angle_rad + np.pi / 2), ruled(paper.line_angle_rad)
    lines = xp.where(_field(paper.squared), xp.maximum(rows, columns), rows)
    return lines * _field(paper.line_depth)


def _on_desk(picture: Array, paper: PaperParameters, place: _Place) -> Array:
    """The picture as a sheet in front of a desk, where `sheet` says so."""
    xp = namespace(picture)
    across = xp.abs(place.along(paper.sheet_angle_rad, paper.sheet_x_px, paper.sheet_y_px))
    down = xp.abs(place.along(paper.sheet_angle_rad + np.pi / 2, paper.sheet_x_px, paper.sheet_y_px))
    sheet = _inside(_field(paper.sheet_half_width_px) - across) * _inside(
        _field(paper.sheet_half_height_px) - down
    )
    desk = _field(paper.desk)
    return xp.where(_field(paper.sheet), desk + sheet * (picture - desk), picture)


def _beside_edge(picture: Array, paper: PaperParameters, place: _Place) -> Array:
    """The picture with something over it that ends at a straight edge, where `edge` says so."""
    xp = namespace(picture)
    along = place.along(paper.edge_angle_rad, paper.edge_x_px, paper.edge_y_px)
    beyond = _inside(along - _field(paper.edge_distance_px))
    return xp.where(_field(paper.edge), picture + beyond * (_field(paper.edge_level) - picture), picture)


def _blur(picture: Array, sigma_px: Array) -> Array:
    """Gaussian blur; edges are repeated. With the matrix B of each scene it is B · picture · Bᵀ."""
    xp = namespace(picture)
    at = span(picture, picture.shape[1])
    distance = (at[:, None] - at[None, :])[None, :, :]
    sigma = xp.maximum(_field(sigma_px), _field(xp.zeros_like(sigma_px)) + 0.05)
    weights = xp.exp(clip(-0.5 * (distance / sigma) ** 2, -60.0, 0.0))
    weights /= xp.sum(weights, axis=2, keepdims=True)
    return xp.matmul(xp.matmul(weights, picture), xp.matrix_transpose(weights))


def _grain(seeds: Array, side: int) -> Array:
    """Standard normal numbers, `[n, side, side]`."""
    xp = namespace(seeds)
    return xp.reshape(
        xp.concat(normal_halves(seeds, Stream.PAPER_GRAIN, side**2 // 2), axis=1), (-1, side, side)
    )


def _compress(picture: Array, step: Array) -> Array:
    """Pictures after JPEG: the cosines of blocks of 8×8 px rounded to multiples of table · step.

    Cosines are of whole numbers, 0 to 255, so that every library rounds them to the same values.
    """
    xp = namespace(picture)
    n, side, _ = picture.shape
    blocks = -(-side // _BLOCK)
    last = xp.repeat(picture[:, -1:, :], blocks * _BLOCK - side, axis=1)
    padded = xp.concat([picture, last], axis=1)
    padded = xp.concat([padded, xp.repeat(padded[:, :, -1:], blocks * _BLOCK - side, axis=2)], axis=2)
    cosines = like(picture, _cosines())
    whole = xp.round(padded * 255) - 128
    cut = xp.permute_dims(xp.reshape(whole, (n, blocks, _BLOCK, blocks, _BLOCK)), (0, 1, 3, 2, 4))
    waves = xp.matmul(xp.matmul(cosines, cut), xp.matrix_transpose(cosines))
    steps = (
        like(picture, _JPEG_LUMA) * xp.maximum(step, xp.zeros_like(step) + 1e-3)[:, None, None, None, None]
    )
    waves = xp.round(waves / steps) * steps
    cut = xp.matmul(xp.matmul(xp.matrix_transpose(cosines), waves), cosines)
    back = xp.reshape(xp.permute_dims(cut, (0, 1, 3, 2, 4)), (n, blocks * _BLOCK, blocks * _BLOCK))
    compressed = (back[:, :side, :side] + 128) / 255
    return xp.where(_field(step > 0), compressed, picture)


def _cosines() -> np.ndarray:
    """The orthonormal discrete cosine transform of 8 samples, float32 `[8, 8]`."""
    at = np.arange(_BLOCK)
    waves: np.ndarray = np.cos(np.pi * at[:, None] * (2 * at[None, :] + 1) / (2 * _BLOCK)) * np.sqrt(
        2 / _BLOCK
    )
    waves[0] /= np.sqrt(2)
    cosines: np.ndarray = waves.astype(np.float32)
    return cosines
