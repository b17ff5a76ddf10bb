"""The query parameters: their ranges, stated once for validation, error messages and OpenAPI."""

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
"""Marks a parameter that the OpenAPI document leaves out."""

# How numbers may be written: pydantic would also accept 1_000 and the digits of all scripts.
_WRITTEN: dict[object, re.Pattern[str]] = {
    int: re.compile(r"[+-]?\d{1,40}(?:\.0{1,40})?", re.ASCII),
    float: re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", re.ASCII),
    bool: re.compile("true|false", re.IGNORECASE | re.ASCII),
}


class QueryError(ValueError):
    """The query as a whole is not as expected; the message says why."""


class _Query(BaseModel):
    """Refuses unknown parameters; the message for a bad one names it, what was expected and what came."""

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
        description="Format of the attention map, the glimpse and the frame: `array` gives rows of numbers, "
        "`png` data URIs, `none` leaves them out.",
    )


class SceneQuery(_Query):
    """What a scene shows; parameters that are not given are drawn from the seed."""

    digit: int | None = Field(None, ge=0, le=9, description="The target digit.", examples=[3])
    x: float | None = Field(
        None,
        ge=10,
        le=90,
        description="Centre of the target's canvas from the left edge, px; size/2 to 100 - size/2.",
    )
    y: float | None = Field(
        None, ge=10, le=90, description="Centre of the target's canvas from the top edge, px."
    )
    size: float | None = Field(None, ge=20, le=64, description="Side of the target's canvas, px.")
    clutter: int | None = Field(None, ge=0, le=16, description="Number of clutter digits.")
    noise: float | None = Field(
        None,
        ge=0,
        le=0.4,
        description="Standard deviation of the background noise, on intensities from 0 to 1.",
    )
    digit_noise: float | None = Field(
        None, ge=0, le=0.3, description="Share of the target's canvas pixels replaced at random."
    )
    paper: bool = Field(
        False,
        description="Whether the scene is shown as a photographed sheet of paper or board. Its look is drawn "
        "from the seed.",
    )
    digits: SourceName = Field(
        "generated",
        description="Source of all digits: `generated` uses the digit generator, `mnist` uses MNIST's test "
        "split, if the service has it.",
    )
    style: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="Number of the target's handwriting, independent of the rest of the scene. With "
        "`digits=mnist` the index of the digit in its class; it wraps around.",
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="Seed. Without one, every scene is different.", examples=[7]
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

    predict: bool = Field(False, description="Whether to include the answer of `/predict` for this scene.")


class SynthesizeQuery(SceneAnswerQuery):
    """Query of `/synthesize`, which with `format=json` answers as `/synthesize/json`.

    An OpenAPI operation should have one type of answer, so the parameters that change the type are accepted,
    but not documented.
    """

    format: Literal["png", "json"] = Field("png", json_schema_extra=UNDOCUMENTED)
    predict: bool = Field(False, json_schema_extra=UNDOCUMENTED)

    @model_validator(mode="after")
    def _have_room(self) -> Self:
        if self.predict and self.format == "png":
            raise ValueError(
                "predict: expected format=json, since a PNG cannot hold the answer, got format=png"
            )
        return self


def refuse_repeats(query_string: bytes) -> None:
    """Raise QueryError if a parameter is given twice: for `seed=1&seed=2` either choice would be a guess."""
    if b"&" not in query_string:
        return
    names = Counter(name for name, _ in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    for name, times in names.most_common(1):
        if times > 1:
            raise QueryError(f"{shorten(name)}: expected it once, got it {times} times")


def shorten(value: object) -> str:
    """A client's value for a message: in ASCII, so that it always encodes, and not too long."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _kinds(field: FieldInfo) -> list[Any]:
    """The types, or the values of a Literal, that a parameter may have besides None."""
    return [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]


def _expected(field: FieldInfo) -> str:
    """What a parameter may be, in words, from the declaration that also validates it."""
    kinds = _kinds(field)
    if field.annotation is bool:
        return "true or false"
    if not isinstance(kinds[0], type):  # the choices of a Literal
        return " or ".join(map(str, kinds))
    limits = {type(limit).__name__: limit for limit in field.metadata}
    number = "a whole number" if kinds[0] is int else "a number"
    return f"{number} from {limits['Ge'].ge} to {limits['Le'].le}"
