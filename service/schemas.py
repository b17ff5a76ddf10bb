"""The answers, every field with its unit; OpenAPI is written from these.

Answers are encoded without these models, because checking 10,000 numbers would cost more than predicting
them; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from models.contract import CLASSES, GLIMPSE_SIDE_PX, SCENE_SIDE_PX
from service.queries import SourceName

Share = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(ge=0)]
DataUri = Annotated[
    str, Field(pattern="^data:image/png;base64,", examples=["data:image/png;base64,iVBORw0K…"])
]
GridRow = Annotated[list[Share], Field(min_length=1, max_length=SCENE_SIDE_PX)]
FrameRow = Annotated[list[Share], Field(min_length=SCENE_SIDE_PX, max_length=SCENE_SIDE_PX)]
GlimpseRow = Annotated[list[Share], Field(min_length=GLIMPSE_SIDE_PX, max_length=GLIMPSE_SIDE_PX)]
Digit = Annotated[int, Field(ge=0, le=len(CLASSES) - 1)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class BoxAnswer(_Answer):
    """A rectangle in px of the image: x to the right, y down, origin at its top-left corner."""

    x: float = Field(ge=0, description="Left edge, px.")
    y: float = Field(ge=0, description="Top edge, px.")
    width: float = Field(ge=0, description="Width, px.")
    height: float = Field(ge=0, description="Height, px.")


class FrameBoxAnswer(_Answer):
    """The part of the posted image that a frame covers, in px; it may reach beyond the image."""

    x: float = Field(description="Left edge, px; may be negative.")
    y: float = Field(description="Top edge, px; may be negative.")
    width: float = Field(gt=0, description="Width, px.")
    height: float = Field(gt=0, description="Height, px.")


class AttentionAnswer(_Answer):
    """The Gaussian attention of the model, in px of the posted image."""

    x: float = Field(description="Centre from the left edge, px; may lie outside the image.")
    y: float = Field(description="Centre from the top edge, px; may lie outside the image.")
    sigma_x: float = Field(gt=0, description="Standard deviation along x, px.")
    sigma_y: float = Field(gt=0, description="Standard deviation along y, px.")


class ModelAnswer(_Answer):
    """The model that answered."""

    name: str = Field(description="Name of the model.", examples=["glimpse"])
    version: str = Field(description="Version of the model.", examples=["1.0.0"])
    provider: str = Field(
        description="onnxruntime's execution provider that ran it.", examples=["CPUExecutionProvider"]
    )


class TimingAnswer(_Answer):
    """How long each stage of the prediction took."""

    queue: Milliseconds = Field(description="Waiting for a free worker, ms.")
    decode: Milliseconds = Field(description="Decoding the image, ms.")
    inference: Milliseconds = Field(
        description="Cutting frames and running the model, for the whole batch, ms."
    )
    encode: Milliseconds = Field(description="Computing and encoding the maps, ms.")


class PredictionWithoutMaps(_Answer):
    """A prediction without maps, as with `maps=none`."""

    label: Digit = Field(description="The digit, the most probable class.")
    confidence: Share = Field(description="Probability of that class.")
    probabilities: list[Share] = Field(
        min_length=len(CLASSES), max_length=len(CLASSES), description="Probability of each digit, 0 to 9."
    )
    digit_present: Share = Field(
        description="Probability that the image shows a digit, if half of all images do."
    )
    bbox: BoxAnswer = Field(description="Box of the digit, in px of the posted image, clipped to it.")
    attention: AttentionAnswer = Field(description="The attention, in px of the posted image.")
    inverted: bool = Field(description="Whether the digit is darker than its background.")
    model: ModelAnswer = Field(description="The model that answered, and where it ran.")
    timing_ms: TimingAnswer = Field(description="Time of each stage, in milliseconds.")


def _optional_beyond(base: type[BaseModel]) -> Callable[[dict[str, Any]], None]:
    """Document the fields that a class adds to `base` as optional.

    An answer's fields depend on the query, but generated clients have one type for it.
    """

    def document(schema: dict[str, Any]) -> None:
        schema["required"] = [name for name in schema["required"] if name in base.model_fields]

    return document


class PredictionAnswer(PredictionWithoutMaps):
    """A prediction. With `maps=none` it has no attention map, glimpse or frame."""

    model_config = ConfigDict(json_schema_extra=_optional_beyond(PredictionWithoutMaps))

    attention_map: Annotated[list[GridRow], Field(min_length=1, max_length=SCENE_SIDE_PX)] | DataUri = Field(
        description="The attention as rows of numbers from 0 to 1, peak 1. The grid spans the posted image "
        f"exactly, with at most {SCENE_SIDE_PX} cells on its longer side. With `maps=png` a grey PNG."
    )
    glimpse: (
        Annotated[list[GlimpseRow], Field(min_length=GLIMPSE_SIDE_PX, max_length=GLIMPSE_SIDE_PX)] | DataUri
    ) = Field(
        description="What the classifier saw: rows of intensities from 0 to 1. With `maps=png` a grey PNG."
    )
    frame: Annotated[list[FrameRow], Field(min_length=SCENE_SIDE_PX, max_length=SCENE_SIDE_PX)] | DataUri = (
        Field(
            description="What the network saw when it made this prediction: rows of intensities from 0 to 1. "
            "Beyond the image it continues the image's edges. With `maps=png` a grey PNG."
        )
    )
    frame_box: FrameBoxAnswer = Field(description="The part of the posted image that the frame covers.")


class ErrorAnswer(_Answer):
    """The error of one picture in a batch."""

    detail: str = Field(description="What was wrong: the name, what was expected and what came.")


class Problem(_Answer):
    """An error (RFC 9457)."""

    type: str = Field(description="Always `about:blank`: the status says what kind of problem it is.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong: the name, what was expected and what came.")


class TruthAnswer(_Answer):
    """The truth of a scene."""

    label: Digit = Field(description="The target digit.")
    bbox: BoxAnswer = Field(
        description="Tight box of the target's noise-free ink that is brighter than 0.25, px."
    )


class ParametersAnswer(_Answer):
    """All parameters of a scene; those that were not given were drawn from the seed."""

    digit: Digit = Field(description="The target digit.")
    x: float = Field(description="Centre of the target's canvas from the left edge, px.")
    y: float = Field(description="Centre of the target's canvas from the top edge, px.")
    size: float = Field(description="Side of the target's canvas, px.")
    clutter: int = Field(description="Number of clutter digits.")
    noise: float = Field(
        description="Standard deviation of the background noise, on intensities from 0 to 1."
    )
    digit_noise: Share = Field(
        description="Share of the target's canvas pixels that were replaced at random."
    )
    paper: bool = Field(description="Whether the scene is shown as a picture of paper.")
    digits: SourceName = Field(description="Source of the digits: `generated` or `mnist`.")
    style: int = Field(description="Number of the target's handwriting.")
    seed: int = Field(description="Seed of all parameters that were not given.")


class SceneAnswer(_Answer):
    """A scene."""

    image: DataUri = Field(description="The scene, 100 x 100 px, grey: a PNG as a data URI.")
    truth: TruthAnswer = Field(description="The truth of the scene.")
    parameters: ParametersAnswer = Field(description="All parameters of the scene.")


class PredictedSceneAnswer(SceneAnswer):
    """A scene; with `predict=true` also the model's prediction for it."""

    model_config = ConfigDict(json_schema_extra=_optional_beyond(SceneAnswer))

    prediction: PredictionAnswer = Field(description="The answer of `/predict` for this scene.")


class AliveAnswer(_Answer):
    """The process answers."""

    status: str = Field(description="Always `alive`.", examples=["alive"])


class ReadyAnswer(_Answer):
    """The model has just answered a test scene."""

    status: str = Field(description="Always `ready`.", examples=["ready"])
    model: ModelAnswer = Field(description="The model that will answer.")
