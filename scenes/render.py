"""Render drawn scenes: a pure function from parameters and digits to pixels, on any library and device."""

from __future__ import annotations

from scenes.backend import Array, add_at, clip, is_asynchronous, look_up, namespace, span
from scenes.digits import Digits
from scenes.draw import SceneParameters
from scenes.paper_render import on_paper
from scenes.presets import CANVAS_SIDE
from scenes.random import Stream, normal_halves, random_bits

_CLUTTER_WINDOW_PX = 22
"""MNIST's ink stays within 16 canvas px of the centre, the filter adds 1.4: 9.9 px on a canvas of 16 px."""

_FAINTEST_RIDGE = 0.15
"""After smoothing, fainter values are no stroke."""
_RIDGE_SLOPE = 0.3
"""How steeply a ridge falls at its edge, per canvas px."""

_FIXED_BITS = 16
"""Clutter is sampled in fixed-point canvas coordinates, since every device rounds whole numbers alike."""


def render(parameters: SceneParameters, digits: Digits) -> Array:
    """The pictures of drawn scenes.

    Args:
        parameters: n scenes.
        digits: the digits that they were drawn from, on the same library and device.

    Returns:
        Intensities in [0, 1], float32 `[n, side_px, side_px]`.
    """
    xp = namespace(parameters.seed)
    canvas = _canvas(parameters, digits)
    scenes = _redraw(parameters, canvas, place_target(parameters, _canvas_with_noise(parameters, canvas)))
    flat = xp.reshape(scenes, (-1,))  # a view: what is added to it is added to the scenes
    if parameters.clutter_index.shape[1]:
        _add_clutter_digits(flat, parameters, digits)
    if parameters.crop_index.shape[1]:
        _add_crops(flat, parameters, digits)
    _add_noise(flat, parameters)
    scenes = clip(scenes, 0.0, 1.0)
    if parameters.paper is None:
        return scenes
    return on_paper(scenes, parameters.paper, parameters.seed)


def render_ink(parameters: SceneParameters, digits: Digits) -> Array:
    """The target's ink alone, without noise or clutter: float32 `[n, side_px, side_px]`."""
    canvas = _canvas(parameters, digits)
    return _redraw(parameters, canvas, place_target(parameters, canvas))


def place_target(parameters: SceneParameters, canvas: Array) -> Array:
    """Scale canvases and place them into empty scenes.

    With sampling matrices A_y and A_x, each `[side, 28]`, the scene is A_y · canvas · A_xᵀ.
    """
    xp = namespace(canvas)
    side = parameters.side_px
    to_rows = canvas_weights(parameters.centre_y_px, parameters.size_px, side)
    to_columns = canvas_weights(parameters.centre_x_px, parameters.size_px, side)
    return xp.matmul(xp.matmul(to_rows, canvas), xp.matrix_transpose(to_columns))


def _redraw(parameters: SceneParameters, canvas: Array, scenes: Array) -> Array:
    """Targets whose strokes are redrawn, thinner or thicker than written and sharp, where drawn so.

    A canvas, smoothed and divided by the highest value nearby, has ridges of height 1 along its strokes.
    In the scene, ridges above the stroke's level are ink. Edges are about one scene px soft.
    """
    xp = namespace(canvas)
    if parameters.stroke_level is None:
        return scenes
    smooth = _smooth(canvas)
    highest = _highest_nearby(xp.matrix_transpose(_highest_nearby(xp.matrix_transpose(smooth))))
    ridges = place_target(parameters, smooth / xp.maximum(highest, xp.zeros_like(highest) + _FAINTEST_RIDGE))
    level = parameters.stroke_level[:, None, None]
    softness = (_RIDGE_SLOPE * CANVAS_SIDE / parameters.size_px)[:, None, None]
    foot = xp.maximum(level - softness / 2, level * 0.2)
    redrawn = clip((ridges - foot) / softness, 0.0, 1.0)
    return xp.where(level > 0, redrawn, scenes)


def _smooth(canvas: Array) -> Array:
    """Triangle filter (1, 2, 1) / 4 along both axes, dark beyond: the same shape."""
    xp = namespace(canvas)
    for _ in range(2):
        dark = xp.zeros_like(canvas[:, :1])
        above, below = xp.concat([dark, canvas[:, :-1]], axis=1), xp.concat([canvas[:, 1:], dark], axis=1)
        canvas = xp.matrix_transpose((above + 2 * canvas + below) / 4)
    return canvas


def _highest_nearby(canvas: Array) -> Array:
    """The highest of each pixel and its two neighbours along the columns: the same shape."""
    xp = namespace(canvas)
    above = xp.concat([canvas[:, :1], canvas[:, :-1]], axis=1)
    below = xp.concat([canvas[:, 1:], canvas[:, -1:]], axis=1)
    return xp.maximum(canvas, xp.maximum(above, below))


def canvas_weights(centre_px: Array, size_px: Array, side_px: int) -> Array:
    """What each scene pixel takes from each canvas pixel along one axis: float32 `[n, side_px, 28]`.

    A scene pixel whose centre is at u, in canvas px, averages the canvas over u ± h. Where the canvas is
    shrunk, 2h is the width that a scene pixel covers; where it is enlarged, 2h is 1, which is linear
    interpolation. Canvas pixel j covers [j, j + 1), so its share is clip(h + ½ − |u − j − ½|, 0, 1) / 2h.
    Shares sum to 1 inside the canvas; an unscaled canvas on whole pixels is copied exactly.
    """
    xp = namespace(centre_px)
    canvas_px_per_px = CANVAS_SIDE / size_px
    half = 0.5 * xp.maximum(canvas_px_per_px, xp.ones_like(canvas_px_per_px))
    scene_px = span(centre_px, side_px) + 0.5
    u = (scene_px[None, :] - (centre_px - size_px / 2)[:, None]) * canvas_px_per_px[:, None]
    distance = xp.abs(u[:, :, None] - (span(centre_px, CANVAS_SIDE) + 0.5)[None, None, :])
    weights = clip((half + 0.5)[:, None, None] - distance, 0.0, 1.0)
    weights /= (2 * half)[:, None, None]
    return weights


def _canvas(parameters: SceneParameters, digits: Digits) -> Array:
    xp = namespace(parameters.seed)
    return xp.astype(xp.take(digits.images, parameters.digit_index, axis=0), xp.float32) / 255


def _canvas_with_noise(parameters: SceneParameters, canvas: Array) -> Array:
    """Replace a share of the canvas's pixels by uniform intensities."""
    xp = namespace(canvas)
    bits = random_bits(parameters.seed, Stream.DIGIT_NOISE, CANVAS_SIDE * CANVAS_SIDE)
    bits = xp.reshape(bits, canvas.shape)
    chance = xp.astype((bits >> 16) & 0xFFFF, xp.float32)
    intensity = xp.astype(bits & 0xFFFF, xp.float32) / 0xFFFF
    return xp.where(chance < (parameters.digit_noise_share * 0x10000)[:, None, None], intensity, canvas)


def _add_noise(flat: Array, parameters: SceneParameters) -> None:
    """Add Gaussian noise, the first half of each scene's rows from one block and the second from another."""
    xp = namespace(flat)
    half = parameters.side_px**2 // 2
    scenes = xp.reshape(flat, (parameters.seed.shape[0], 2 * half))
    sigma = parameters.noise_sigma[:, None]
    upper, lower = normal_halves(parameters.seed, Stream.NOISE, half)
    upper *= sigma
    lower *= sigma
    scenes[:, :half] += upper
    scenes[:, half:] += lower


def _add_clutter_digits(flat: Array, parameters: SceneParameters, digits: Digits) -> None:
    """Add the rotated clutter digits, each inside a window that is shifted to lie within the scene."""
    xp = namespace(flat)
    side, window = parameters.side_px, _CLUTTER_WINDOW_PX
    scene, slot, occupied = _clutter_slots(parameters)
    # In double precision, so that what is rounded below rounds alike on every library.
    centre_x, centre_y, size, angle = (
        xp.astype(values[scene, slot], xp.float64)
        for values in (
            parameters.clutter_centre_x_px,
            parameters.clutter_centre_y_px,
            parameters.clutter_size_px,
            parameters.clutter_angle_rad,
        )
    )
    left = xp.astype(clip(xp.floor(centre_x) - window // 2, 0, side - window), xp.int64)
    top = xp.astype(clip(xp.floor(centre_y) - window // 2, 0, side - window), xp.int64)

    # A scene pixel at (dx, dy) from the digit's centre shows the canvas pixel that turning back by the
    # angle and scaling up leads to: u = 14 + (dx cos + dy sin) / scale, v = 14 + (dy cos − dx sin) / scale.
    fixed_per_px = 2**_FIXED_BITS * CANVAS_SIDE / size
    cosine = xp.astype(xp.round(xp.cos(angle) * fixed_per_px), xp.int32)
    sine = xp.astype(xp.round(xp.sin(angle) * fixed_per_px), xp.int32)
    x0, y0 = left + 0.5 - centre_x, top + 0.5 - centre_y
    middle = 2**_FIXED_BITS * CANVAS_SIDE // 2
    u0 = middle + xp.astype(x0 * cosine + y0 * sine, xp.int32)
    v0 = middle + xp.astype(y0 * cosine - x0 * sine, xp.int32)
    steps = span(parameters.seed, window, "int32")[None, :]
    u = (u0[:, None] + steps * cosine[:, None])[:, None, :] + (steps * sine[:, None])[:, :, None]
    v = (v0[:, None] - steps * sine[:, None])[:, None, :] + (steps * cosine[:, None])[:, :, None]
    # Beyond the canvas its border, which is dark, goes on.
    u >>= _FIXED_BITS
    v >>= _FIXED_BITS
    source = clip(v, 0, CANVAS_SIDE - 1)
    source *= CANVAS_SIDE
    source += clip(u, 0, CANVAS_SIDE - 1)
    source += xp.astype(parameters.clutter_index[scene, slot] * CANVAS_SIDE**2, xp.int32)[:, None, None]
    values = look_up(xp.reshape(digits.softened, (-1,)), xp.reshape(source, (-1,)))
    target = _window_index(scene, top, left, side, window)
    ink = xp.astype(values, xp.float32) / 255
    if occupied is not None:
        ink *= xp.astype(xp.repeat(occupied, window * window), xp.float32)
    add_at(flat, target, ink)


def _clutter_slots(parameters: SceneParameters) -> tuple[Array, Array, Array | None]:
    """Scene and slot of each clutter digit, int64 `[m]`; on a GPU of every slot, and which are occupied.

    To leave empty slots out, their number must be known: the processor would have to wait for the GPU.
    """
    xp = namespace(parameters.seed)
    scenes, slots = parameters.clutter_index.shape
    occupied = span(parameters.seed, slots, "int64")[None, :] < parameters.clutter_count[:, None]
    if not is_asynchronous(parameters.seed):
        return *xp.nonzero(occupied), None
    every = span(parameters.seed, scenes * slots, "int64")
    return every // slots, every % slots, xp.reshape(occupied, (-1,))


def _add_crops(flat: Array, parameters: SceneParameters, digits: Digits) -> None:
    """Add raw square crops of digits."""
    xp = namespace(flat)
    crop = parameters.crop_side_px
    count = parameters.crop_index.shape[1]
    source = _window_index(
        xp.reshape(parameters.crop_index, (-1,)),
        xp.reshape(parameters.crop_source_y, (-1,)),
        xp.reshape(parameters.crop_source_x, (-1,)),
        CANVAS_SIDE,
        crop,
    )
    scene = span(parameters.seed, parameters.seed.shape[0] * count, "int64") // count
    target = _window_index(
        scene,
        xp.reshape(parameters.crop_y_px, (-1,)),
        xp.reshape(parameters.crop_x_px, (-1,)),
        parameters.side_px,
        crop,
    )
    values = xp.astype(look_up(xp.reshape(digits.images, (-1,)), source), xp.float32) / 255
    add_at(flat, target, values)


def _window_index(picture: Array, top: Array, left: Array, side: int, window: int) -> Array:
    """Flat indices of square windows in a stack of square pictures: int64 `[m · window²]`."""
    xp = namespace(picture)
    steps = span(picture, window, "int64")
    rows = (picture * side + top)[:, None] + steps[None, :]
    index = (rows * side + left[:, None])[:, :, None] + steps[None, None, :]
    return xp.reshape(index, (-1,))
