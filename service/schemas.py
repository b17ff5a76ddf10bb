"""The answers as they go out, every field with its unit; OpenAPI is written from these.

Answers are encoded without passing through these models, since checking 10,000 numbers would cost more than
predicting them; a test holds the two together.
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
Row = Annotated[list[Share], Field(min_length=1, max_length=SCENE_SIDE_PX)]
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
    """What a frame covers of the posted image, in its px; it may reach beyond the image."""

    x: float = Field(description="Left edge, px; may be negative.")
    y: float = Field(description="Top edge, px; may be negative.")
    width: float = Field(gt=0, description="Width, px.")
    height: float = Field(gt=0, description="Height, px.")


class AttentionAnswer(_Answer):
    """The Gaussian through which the model looked, in px of the posted image."""

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
    """Where the time went."""

    queue: Milliseconds = Field(description="Waiting for a worker that is free, ms.")
    decode: Milliseconds = Field(description="Decoding the image, ms.")
    inference: Milliseconds = Field(
        description="Cutting frames out of the image and the model's calls; in a batch, of all images, ms."
    )
    encode: Milliseconds = Field(description="Computing and encoding the maps, ms.")


class PredictionWithoutMaps(_Answer):
    """What the model says of an image, asked with `maps=none`."""

    label: Digit = Field(description="The digit, the most probable class.")
    confidence: Share = Field(description="Probability of that class.")
    probabilities: list[Share] = Field(
        min_length=len(CLASSES), max_length=len(CLASSES), description="Probability of each digit, 0 to 9."
    )
    digit_present: Share = Field(
        description="Probability that the image shows a digit at all, where half of all images do."
    )
    bbox: BoxAnswer = Field(description="Box of the digit, in px of the posted image, clipped to it.")
    attention: AttentionAnswer = Field(description="The attention, in px of the posted image.")
    inverted: bool = Field(description="Whether the ink at the box is darker than the ground around it.")
    model: ModelAnswer = Field(description="Which model answered, and where it ran.")
    timing_ms: TimingAnswer = Field(description="Where the time went, milliseconds.")


def _optional_beyond(base: type[BaseModel]) -> Callable[[dict[str, Any]], None]:
    """Document the fields that a class has beyond `base` as ones that may be absent.

    What an answer holds depends on its query; generated clients know one type for it.
    """

    def document(schema: dict[str, Any]) -> None:
        schema["required"] = [name for name in schema["required"] if name in base.model_fields]

    return document


class PredictionAnswer(PredictionWithoutMaps):
    """What the model says of an image; with `maps=none` without the attention map and the glimpse."""

    model_config = ConfigDict(json_schema_extra=_optional_beyond(PredictionWithoutMaps))

    attention_map: Annotated[list[Row], Field(min_length=1, max_length=SCENE_SIDE_PX)] | DataUri = Field(
        description="The attention as a grid of rows that spans the posted image exactly, at most "
        f"{SCENE_SIDE_PX} cells on its longer side; 0 to 1, peak 1. With `maps=png` a grey PNG of it."
    )
    glimpse: (
        Annotated[list[GlimpseRow], Field(min_length=GLIMPSE_SIDE_PX, max_length=GLIMPSE_SIDE_PX)] | DataUri
    ) = Field(description="What the classifier saw, rows of intensities 0 to 1. With `maps=png` a grey PNG.")
    frame: Annotated[list[FrameRow], Field(min_length=SCENE_SIDE_PX, max_length=SCENE_SIDE_PX)] | DataUri = (
        Field(
            description="What the network saw in its last look, rows of intensities 0 to 1; beyond the image "
            "it repeats the image's edges. With `maps=png` a grey PNG."
        )
    )
    frame_box: FrameBoxAnswer = Field(description="Where that frame lies in the posted image.")


class ErrorAnswer(_Answer):
    """Why a picture of a batch has no answer."""

    detail: str = Field(description="What was wrong: its name, what was expected and what came.")


class Problem(_Answer):
    """Why a request has no answer, as RFC 9457 writes it."""

    type: str = Field(description="Always `about:blank`: the status says of what kind the problem is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The status.")
    detail: str = Field(description="What was wrong: its name, what was expected and what came.")


class TruthAnswer(_Answer):
    """What the scene shows, known because it was made."""

    label: Digit = Field(description="The target digit.")
    bbox: BoxAnswer = Field(description="Tight box of the target's noise-free ink brighter than 0.25, px.")


class ParametersAnswer(_Answer):
    """All that the scene was made with; what was not asked for was drawn from the seed."""

    digit: Digit = Field(description="The target digit.")
    x: float = Field(description="Centre of the target's canvas from the left edge, px.")
    y: float = Field(description="Centre of the target's canvas from the top edge, px.")
    size: float = Field(description="Side of the target's canvas, px.")
    clutter: int = Field(description="Number of clutter digits.")
    noise: float = Field(description="Standard deviation of the background noise, intensities being 0 to 1.")
    digit_noise: Share = Field(description="Share of the target's canvas pixels that was replaced at random.")
    paper: bool = Field(description="Whether the scene is shown as a picture of paper.")
    digits: SourceName = Field(description="Whose digits: the generator's or MNIST's.")
    style: int = Field(description="The target's handwriting.")
    seed: int = Field(description="Seed of all that was not given.")


class SceneAnswer(_Answer):
    """A scene that was made."""

    image: DataUri = Field(description="The scene, 100 x 100 px, grey, a PNG as a data URI.")
    truth: TruthAnswer = Field(description="What the scene shows.")
    parameters: ParametersAnswer = Field(description="What the scene was made with.")


class PredictedSceneAnswer(SceneAnswer):
    """A scene that was made; with `predict=true` also what the model says of it."""

    model_config = ConfigDict(json_schema_extra=_optional_beyond(SceneAnswer))

    prediction: PredictionAnswer = Field(description="What `/predict` says of this very scene.")


class AliveAnswer(_Answer):
    """The process answers."""

    status: str = Field(description="Always `alive`.", examples=["alive"])


class ReadyAnswer(_Answer):
    """The model has just answered a test scene."""

    status: str = Field(description="Always `ready`.", examples=["ready"])
    model: ModelAnswer = Field(description="The model that will answer.")
