"""Smaller scenes in the model's frame: centred on a dark ground, never enlarged.

The service fills the frame with the median of a picture's outermost pixels, which is dark for these scenes.
"""

from __future__ import annotations

from scenes.backend import Array, namespace, span


def frame_offset_px(side_px: int, frame_side_px: int) -> int:
    """How far right and down a scene's top-left corner lies in the frame.

    Raises:
        ValueError: the scene is larger than the frame.
    """
    if side_px > frame_side_px:
        raise ValueError(f"side_px: expected at most the frame's {frame_side_px}, got {side_px}")
    return (frame_side_px - side_px) // 2


def centre_in_frame(pictures: Array, frame_side_px: int) -> Array:
    """Square pictures `[n, side, side]` centred in `[n, frame_side_px, frame_side_px]`, zeros around them."""
    xp = namespace(pictures)
    side = pictures.shape[1]
    before = frame_offset_px(side, frame_side_px)
    if side == frame_side_px:
        return pictures
    after = frame_side_px - side - before
    for axis in (1, 2):
        dark = xp.zeros_like(pictures)
        # One dark line many times: there may be fewer lines in the picture than around it.
        above = xp.take(dark, 0 * span(pictures, before, "int64"), axis=axis)
        below = xp.take(dark, 0 * span(pictures, after, "int64"), axis=axis)
        pictures = xp.concat([above, pictures, below], axis=axis)
    return pictures
