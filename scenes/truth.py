"""The true boxes of scenes. For evaluation alone: nothing that trains or selects a model imports this."""

from __future__ import annotations

from scenes.backend import Array, namespace, span
from scenes.digits import Digits
from scenes.draw import SceneParameters
from scenes.render import render_ink

INK_THRESHOLD = 0.25


def ink_boxes(parameters: SceneParameters, digits: Digits) -> Array:
    """The tight box of the target's noise-free ink, rendered intensity above ¼.

    Returns:
        x, y of the top-left corner, width, height in scene px: float32 `[n, 4]`; no width where no ink is.
    """
    xp = namespace(parameters.seed)
    ink = render_ink(parameters, digits) > INK_THRESHOLD
    left, right = _extent(xp.any(ink, axis=1))
    top, bottom = _extent(xp.any(ink, axis=2))
    nothing = xp.zeros_like(left)
    width, height = xp.maximum(right - left, nothing), xp.maximum(bottom - top, nothing)
    return xp.stack([left, top, width, height], axis=1)


def canvas_boxes(parameters: SceneParameters) -> Array:
    """The box of the whole pasted canvas: float32 `[n, 4]`, as in `ink_boxes`."""
    xp = namespace(parameters.seed)
    size = parameters.size_px
    return xp.stack(
        [parameters.centre_x_px - size / 2, parameters.centre_y_px - size / 2, size, size], axis=1
    )


def _extent(occupied: Array) -> tuple[Array, Array]:
    """The first edge and the last edge of the occupied pixels along an axis: float32 `[n]` each."""
    xp = namespace(occupied)
    side = occupied.shape[1]
    edges = span(occupied, side)[None, :]
    first = xp.min(xp.where(occupied, edges, xp.zeros_like(edges) + side), axis=1)
    last = xp.max(xp.where(occupied, edges + 1, xp.zeros_like(edges)), axis=1)
    return first, last
