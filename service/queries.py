"""The query parameters: their ranges, stated once for the check, the message and OpenAPI."""

from __future__ import annotations

import re
from collections import Counter
from types import NoneType
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qsl

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from models.contract import SCENE_SIDE_PX

MAX_SEED = 2**31 - 1

Maps = Literal["array", "png", "none"]
SourceName = Literal["generated", "mnist"]

UNDOCUMENTED: dict[str, Any] = {"x-internal": True}
"""Marks a parameter that OpenAPI documents leave out."""

# How numbers are written: pydantic would also read 1_000 and the digits of all scripts.
_WRITTEN: dict[object, re.Pattern[str]] = {
    int: re.compile(r"[+-]?\d{1,40}(?:\.0{1,40})?", re.ASCII),
    float: re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", re.ASCII),
    bool: re.compile("true|false", re.IGNORECASE | re.ASCII),
}


class QueryError(ValueError):
    """The query as a whole is not as expected; the message says why."""


class _Query(BaseModel):
    """Refuses unknown parameters, and says of a bad one its name, what was expected and what came."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name in values:
                if name not in cls.model_fields:
                    known = ", ".join(cls.model_fields)
                    raise ValueError(f"query: expected parameters among {known}, got {shorten(name)}")
        return values

    @field_validator("*", mode="wrap")
    @classmethod
    def _name_what_was_expected(
        cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        name = str(info.field_name)
        field = cls.model_fields[name]
        refusal = ValueError(f"{name}: expected {_expected(field)}, got {shorten(value)}")
        written = _WRITTEN.get(_kinds(field)[0])
        if written is not None and isinstance(value, str) and not written.fullmatch(value):
            raise refusal
        try:
            return check(value)
        except ValidationError as error:
            raise refusal from error


class PredictQuery(_Query):
    """Query of `/predict` and `/predict/batch`."""

    maps: Maps = Field(
        "array",
        examples=["none"],
        description="How the attention map, the glimpse and the frame are written: as rows of numbers, as "
        "PNG data URIs, or not at all.",
    )


class SceneQuery(_Query):
    """What a scene is to show; what is not given is drawn from the seed."""

    digit: int | None = Field(None, ge=0, le=9, description="The target digit.", examples=[3])
    x: float | None = Field(
        None, ge=10, le=90, description="Centre of the target's canvas, px; size/2 to 100 - size/2."
    )
    y: float | None = Field(None, ge=10, le=90, description="The same downwards, px.")
    size: float | None = Field(None, ge=20, le=64, description="Side of the target's canvas, px.")
    clutter: int | None = Field(None, ge=0, le=16, description="Number of clutter digits.")
    noise: float | None = Field(
        None,
        ge=0,
        le=0.4,
        description="Standard deviation of the background noise, intensities being 0 to 1.",
    )
    digit_noise: float | None = Field(
        None, ge=0, le=0.3, description="Share of the target's canvas pixels replaced at random."
    )
    paper: bool = Field(
        False,
        description="Whether the scene is shown as a picture of paper, a board or a sheet on a desk, as one "
        "might photograph it; how it looks is drawn from the seed.",
    )
    digits: SourceName = Field(
        "generated",
        description="Whose digits, the clutter's as well: new ones that the generator writes, or those of "
        "MNIST's test split, where that is at hand.",
    )
    style: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="The target's handwriting, whatever else the scene shows; drawn from the seed if not "
        "given. With `digits=mnist` the digit's number in its class, counted round and round.",
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="Seed; without one each scene is another.", examples=[7]
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.size is not None:
            lowest, highest = self.size / 2, SCENE_SIDE_PX - self.size / 2
            for name, value in (("x", self.x), ("y", self.y)):
                if value is not None and not lowest <= value <= highest:
                    raise ValueError(
                        f"{name}: expected a number from {lowest:g} to {highest:g}, where a canvas of "
                        f"{self.size:g} px fits, got {value:g}"
                    )
        return self


class SceneAnswerQuery(SceneQuery):
    """Query of `/synthesize/json`."""

    predict: bool = Field(False, description="Also tell what `/predict` says of this very scene.")


class SynthesizeQuery(SceneAnswerQuery):
    """Query of `/synthesize`, which answers as `/synthesize/json` does where it is asked for JSON.

    An operation of an OpenAPI document should have one type of answer, so the parameters that change it are
    read, but not documented.
    """

    format: Literal["png", "json"] = Field("png", json_schema_extra=UNDOCUMENTED)
    predict: bool = Field(False, json_schema_extra=UNDOCUMENTED)

    @model_validator(mode="after")
    def _have_room(self) -> Self:
        if self.predict and self.format == "png":
            raise ValueError("predict: expected format=json with it, since a PNG has no room, got format=png")
        return self


def refuse_repeats(query_string: bytes) -> None:
    """Raise QueryError where a parameter is given twice: of `seed=1&seed=2`, either would be a guess."""
    if b"&" not in query_string:
        return
    names = Counter(name for name, _ in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    for name, times in names.most_common(1):
        if times > 1:
            raise QueryError(f"{shorten(name)}: expected it once, got it {times} times")


def shorten(value: object) -> str:
    """A client's value for a message: as Python writes it, so that it always encodes, and not too long."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _kinds(field: FieldInfo) -> list[Any]:
    """The types or, of a Literal, the values that a parameter may have, besides none."""
    return [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]


def _expected(field: FieldInfo) -> str:
    """What a parameter may be, in words, from the same declaration that checks it."""
    kinds = _kinds(field)
    if field.annotation is bool:
        return "true or false"
    if not isinstance(kinds[0], type):  # the choices of a Literal
        return " or ".join(map(str, kinds))
    limits = {type(limit).__name__: limit for limit in field.metadata}
    number = "a whole number" if kinds[0] is int else "a number"
    return f"{number} from {limits['Ge'].ge} to {limits['Le'].le}"
