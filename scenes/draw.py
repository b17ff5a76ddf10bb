"""Draw the parameters of a batch of scenes: everything random about them, before a pixel is made."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from scenes.backend import Array, namespace
from scenes.digits import CLASS_COUNT, Digits
from scenes.paper import INK_PER_CANVAS, PaperParameters, draw_paper
from scenes.presets import CANVAS_SIDE, Preset
from scenes.random import Stream, uniform

STROKE_LEVELS = (0.4, 0.82)
"""At the lower level a stroke is about twice as wide as written, at the higher level half as wide."""


class SceneParameters(NamedTuple):
    """A batch of n scenes with up to k clutter digits and c crops each.

    Lengths and places are in scene px, origin at the top-left corner of the image; intensities and shares in
    [0, 1]; angles in radians, clockwise as seen. Indices count the digits of one `Digits`.
    """

    side_px: int
    seed: Array  # int64 [n]
    label: Array  # int64 [n]
    digit_index: Array  # int64 [n]
    size_px: Array  # float32 [n]
    centre_x_px: Array  # float32 [n]
    centre_y_px: Array  # float32 [n]
    noise_sigma: Array  # float32 [n]
    digit_noise_share: Array  # float32 [n]
    clutter_count: Array  # int64 [n]
    clutter_index: Array  # int64 [n, k]
    clutter_size_px: Array  # float32 [n, k]
    clutter_centre_x_px: Array  # float32 [n, k]
    clutter_centre_y_px: Array  # float32 [n, k]
    clutter_angle_rad: Array  # float32 [n, k]
    crop_side_px: int
    crop_index: Array  # int64 [n, c]
    crop_source_x: Array  # int64 [n, c], in canvas px
    crop_source_y: Array  # int64 [n, c]
    crop_x_px: Array  # int64 [n, c], of the top-left corner
    crop_y_px: Array  # int64 [n, c]
    stroke_level: Array | None = None  # float32 [n], how high on a stroke's ridge its edge is; 0: as written
    paper: PaperParameters | None = None  # how scenes look as pictures of paper; as they are without


def draw(
    preset: Preset,
    seeds: Array,
    digits: Digits,
    *,
    digit: int | None = None,
    x: float | None = None,
    y: float | None = None,
    size: float | None = None,
    clutter: int | None = None,
    noise: float | None = None,
    digit_noise: float | None = None,
    paper: bool | None = None,
) -> SceneParameters:
    """Draw scenes of a preset, one for each seed; given values are not drawn.

    Args:
        preset: the distribution.
        seeds: int64 `[n]`, 0 or more; library and device of all that follows.
        digits: the digits to draw from, on the same library and device.
        digit: the target's class.
        x: the canvas's centre, in scene px.
        y: the same downwards.
        size: the side of the target's canvas, in scene px.
        clutter: how many clutter digits.
        noise: sigma of the background noise.
        digit_noise: share of the target's canvas pixels that is replaced.
        paper: whether the scenes are shown as pictures of paper; None is as the preset says.

    Raises:
        ValueError: a given value does not make a scene; the message names it and the allowed range.
    """
    xp = namespace(seeds)
    _check_given(
        preset, digit=digit, x=x, y=y, size=size, clutter=clutter, noise=noise, digit_noise=digit_noise
    )

    def given_or_drawn(given: float | None, stream: Stream, bounds: tuple[float, float]) -> Array:
        if given is not None:
            return full(given)
        return _between(uniform(seeds, stream, 1)[:, 0], *bounds)

    def full(value: float) -> Array:
        return xp.zeros_like(seeds, dtype=xp.float32) + value

    digit_index = _draw_digit(seeds, digits, digit)
    label = xp.take(digits.labels, digit_index, axis=0)
    room = min((2 * min(v, preset.side_px - v) for v in (x, y) if v is not None), default=math.inf)
    size_px = _draw_size(preset, seeds, room) if size is None else full(size)
    place = uniform(seeds, Stream.CENTRE, 2)
    centre_x_px = _draw_centre(preset, place[:, 0], size_px) if x is None else full(x)
    centre_y_px = _draw_centre(preset, place[:, 1], size_px) if y is None else full(y)
    on_paper = preset.on_paper if paper is None else paper
    return SceneParameters(
        side_px=preset.side_px,
        seed=seeds,
        label=label,
        digit_index=digit_index,
        size_px=size_px,
        centre_x_px=centre_x_px,
        centre_y_px=centre_y_px,
        noise_sigma=given_or_drawn(noise, Stream.NOISE_SIGMA, preset.noise_sigma),
        digit_noise_share=given_or_drawn(digit_noise, Stream.DIGIT_NOISE_SHARE, preset.digit_noise),
        **_draw_clutter(preset, seeds, digits, label, size_px, clutter),
        **_draw_crops(preset, seeds, digits),
        stroke_level=_draw_stroke(preset, seeds) if preset.stroke else None,
        paper=draw_paper(seeds, size_px, centre_x_px, centre_y_px, preset.side_px) if on_paper else None,
    )


def _check_given(
    preset: Preset,
    *,
    digit: int | None,
    x: float | None,
    y: float | None,
    size: float | None,
    clutter: int | None,
    noise: float | None,
    digit_noise: float | None,
) -> None:
    if digit is not None and digit not in range(CLASS_COUNT):
        raise ValueError(f"digit: expected a whole number from 0 to {CLASS_COUNT - 1}, got {digit}")
    if clutter is not None and clutter < 0:
        raise ValueError(f"clutter: expected a whole number of 0 or more, got {clutter}")
    for name, share in (("noise", noise), ("digit_noise", digit_noise)):
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"{name}: expected 0 to 1, got {share}")
    smallest = preset.size_px[0] if size is None else size
    lowest, highest = smallest / 2, preset.side_px - smallest / 2
    if not 0 < smallest <= preset.side_px:
        raise ValueError(f"size: expected more than 0 and at most {preset.side_px} px, got {size}")
    for name, value in (("x", x), ("y", y)):
        if value is not None and not lowest <= value <= highest:
            raise ValueError(
                f"{name}: expected {lowest:g} to {highest:g}, where a canvas of {smallest:g} px fits, "
                f"got {value}"
            )


def _between(u: Array, lowest: float, highest: float) -> Array:
    return lowest + u * (highest - lowest)


def _below(u: Array, count: int | Array) -> Array:
    """Whole numbers 0 to count − 1 from uniform ones."""
    xp = namespace(u)
    # The product of a number just below 1 may round up to `count` itself.
    return xp.minimum(xp.astype(u * count, xp.int64), xp.zeros_like(u, dtype=xp.int64) + (count - 1))


def _draw_digit(seeds: Array, digits: Digits, digit: int | None) -> Array:
    """The targets, uniform over all digits: int64 `[n]`.

    If the given class is the one that a seed would have drawn, the digit is the same.
    """
    xp = namespace(seeds)
    rank = _below(uniform(seeds, Stream.DIGIT, 1)[:, 0], digits.labels.shape[0])
    index = xp.take(digits.by_class, rank, axis=0)
    if digit is None:
        return index
    drawn = xp.take(digits.labels, index, axis=0)
    wanted = xp.zeros_like(drawn) + digit
    within = rank - xp.take(digits.class_start, drawn, axis=0)
    within = (
        within * xp.take(digits.class_count, wanted, axis=0) // xp.take(digits.class_count, drawn, axis=0)
    )
    return xp.take(digits.by_class, xp.take(digits.class_start, wanted, axis=0) + within, axis=0)


def _draw_of_class(u: Array, digits: Digits, label: Array) -> Array:
    """A digit of each given class: indices of the shape of `label`, which is flat."""
    xp = namespace(u)
    start = xp.take(digits.class_start, label, axis=0)
    count = xp.take(digits.class_count, label, axis=0)
    return xp.take(digits.by_class, start + _below(u, count), axis=0)


def _draw_other_classes(seeds: Array, digits: Digits, label: Array, count: int) -> Array:
    """Digits of any class but the target's: int64 `[n, count]`."""
    xp = namespace(seeds)
    u = xp.reshape(uniform(seeds, Stream.CLUTTER_DIGIT, 2 * count), (seeds.shape[0], count, 2))
    other = (label[:, None] + 1 + _below(u[:, :, 0], CLASS_COUNT - 1)) % CLASS_COUNT
    index = _draw_of_class(xp.reshape(u[:, :, 1], (-1,)), digits, xp.reshape(other, (-1,)))
    return xp.reshape(index, other.shape)


def _draw_clutter(
    preset: Preset, seeds: Array, digits: Digits, label: Array, size_px: Array, count: int | None
) -> dict[str, Array]:
    """The clutter digits: the fields of `SceneParameters` whose names begin with `clutter`."""
    xp = namespace(seeds)
    fewest, most = preset.clutter if count is None else (count, count)
    clutter_size_px = xp.minimum(
        _between(uniform(seeds, Stream.CLUTTER_SIZE, most), *preset.clutter_size_px),
        preset.clutter_per_size * size_px[:, None],
    )
    place = xp.reshape(uniform(seeds, Stream.CLUTTER_CENTRE, 2 * most), (seeds.shape[0], most, 2))
    room = preset.side_px - clutter_size_px
    return {
        "clutter_count": fewest + _below(uniform(seeds, Stream.CLUTTER_COUNT, 1)[:, 0], most - fewest + 1),
        "clutter_index": _draw_other_classes(seeds, digits, label, most),
        "clutter_size_px": clutter_size_px,
        "clutter_centre_x_px": clutter_size_px / 2 + place[:, :, 0] * room,
        "clutter_centre_y_px": clutter_size_px / 2 + place[:, :, 1] * room,
        "clutter_angle_rad": _between(uniform(seeds, Stream.CLUTTER_ANGLE, most), -math.pi, math.pi),
    }


def _draw_crops(preset: Preset, seeds: Array, digits: Digits) -> dict[str, Any]:
    """The crops: the fields of `SceneParameters` whose names begin with `crop`."""
    count, side = preset.crops, preset.crop_side_px
    source = _below(uniform(seeds, Stream.CROP_SOURCE, 2 * count), CANVAS_SIDE - side + 1)
    place = _below(uniform(seeds, Stream.CROP_PLACE, 2 * count), preset.side_px - side + 1)
    return {
        "crop_side_px": side,
        "crop_index": _below(uniform(seeds, Stream.CROP_DIGIT, count), digits.labels.shape[0]),
        "crop_source_x": source[:, :count],
        "crop_source_y": source[:, count:],
        "crop_x_px": place[:, :count],
        "crop_y_px": place[:, count:],
    }


def _draw_size(preset: Preset, seeds: Array, room: float) -> Array:
    """The sides of the targets' canvases, at most `room`: float32 `[n]`."""
    u = uniform(seeds, Stream.SIZE, 1)[:, 0]
    lowest, highest = preset.size_px[0], min(preset.size_px[1], room)
    if not preset.log_size:
        return _between(u, lowest, highest)
    return lowest * namespace(u).exp(u * math.log(highest / lowest))


def _draw_stroke(preset: Preset, seeds: Array) -> Array:
    """The level on a stroke's ridge at which its edge is redrawn, 0 for unchanged strokes: float32 `[n]`."""
    xp = namespace(seeds)
    u = uniform(seeds, Stream.STROKE, 2)
    return xp.where(u[:, 0] < preset.stroke, _between(u[:, 1], *STROKE_LEVELS), xp.zeros_like(u[:, 0]))


def _draw_centre(preset: Preset, u: Array, size_px: Array) -> Array:
    """A canvas centre along one axis, uniform where the canvas fits."""
    if preset.whole_px:
        xp = namespace(u)
        places = _below(u, xp.astype(preset.side_px - size_px, xp.int64) + 1)
        return size_px / 2 + xp.astype(places, size_px.dtype)
    half = size_px / 2
    if preset.ink_fits:
        half = namespace(u).clip(INK_PER_CANVAS * size_px, 0.0, preset.side_px / 2)
    return half + u * (preset.side_px - 2 * half)
