"""The task that a model was trained for: what it names, and the pictures that it looks at."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

HEAT_STRIDE_PX = 4
"""The heat map has a cell for each 4×4 block of the frame's pixels."""


class Task(BaseModel):
    """What a model names and sees. Shapes of its graph's inputs and outputs follow from it.

    `presence_known` says whether pictures without any object were among those of training; if not, the
    model's word on presence means nothing. `localised` is false where the label-only check found that what
    the model takes for the object is none (`trainer.foreground.check`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    side_px: Annotated[int, Field(ge=32, le=512, multiple_of=HEAT_STRIDE_PX)] = 100
    channels: Literal[1, 3] = 1
    box_edge_per_side: Annotated[float, Field(ge=0)] = 0.0
    presence_known: bool = True
    localised: bool = True

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes) or not all(classes):
            raise ValueError(f"classes: expected names that differ, got {', '.join(map(repr, classes))}")
        return classes


INK_FROM = 1 / 4
"""What counts as a digit's ink, in heights of a stroke: the evaluation's definition."""
FAINT_EDGE_PER_SIDE = (1 / 2 - INK_FROM) / 20
"""How far ink reaches beyond the Gaussian's box, in longer sides of the box. In training the box ends about
where the ink's profile has half of its mean inside (`trainer.losses`). Scenes are interpolated linearly
between a canvas's pixels. So beyond a pixel of full ink, a quarter of it is ½ − ¼ canvas px further out than
a half; beyond a fainter pixel it is further. MNIST's digits are 20 canvas px long (LeCun et al. 1998). No box
was used for this number."""

DIGITS = Task(classes=tuple("0123456789"), box_edge_per_side=FAINT_EDGE_PER_SIDE)
"""Handwritten digits, grey."""
