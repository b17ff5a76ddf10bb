"""Places in pictures, and the way into the model's frame."""

from __future__ import annotations

from hypothesis import strategies as st

from models.pictures.letterbox import Box, Placement

shares = st.floats(0, 1)


def frame_box(placement: Placement, box: Box) -> Box:
    """The way there, written independently of the way back that is tested."""
    x_scale, y_scale = 100 / placement.frame.width, 100 / placement.frame.height
    return Box(
        (box.x - placement.frame.x) * x_scale,
        (box.y - placement.frame.y) * y_scale,
        box.width * x_scale,
        box.height * y_scale,
    )
