"""What may be set from outside: environment variables that begin with GLIMPSE_, checked once at start."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.contract import MODEL_PATH
from models.digits_contract import DIGITS_PATH

ProviderChoice = Literal["auto", "cuda", "cpu"]


class SettingsError(ValueError):
    """A setting is not usable; the message names it, what was expected and what came."""


class Settings(BaseSettings):
    """The service's settings; the environment variable of `max_pixels` is GLIMPSE_MAX_PIXELS.

    One more variable, GLIMPSE_MNIST_DIR, is read by `scenes`: the folder with MNIST's four files, from which
    `/synthesize` takes its digits where it is asked for `digits=mnist`.
    """

    model_config = SettingsConfigDict(env_prefix="GLIMPSE_", env_ignore_empty=True, frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every IPv4 address.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 lets the system choose.")
    model_path: Path = Field(MODEL_PATH, description="Model file; its sidecar lies beside it.")
    digits_path: Path = Field(
        DIGITS_PATH, description="The generator that writes digits; its sidecar lies beside it."
    )
    provider: ProviderChoice = Field(
        "auto",
        description="Where the model runs: `cuda` refuses to start without a usable GPU, `auto` takes a GPU "
        "where there is one and else the CPU, and says so.",
    )
    threads: int = Field(0, ge=0, le=1024, description="Threads of the model on the CPU; 0 is one per core.")
    max_body_bytes: int = Field(
        16 * 2**20, ge=1, description="Largest request body in bytes, of all files of a batch together."
    )
    max_pixels: int = Field(
        24_000_000, ge=1, description="Most pixels of a posted picture, checked before it is decoded."
    )
    access_log: bool = Field(False, description="Whether to print a line for every request.")


def load_settings(*, host: str | None = None, port: int | None = None) -> Settings:
    """The settings of the environment; what is given here goes before it.

    Raises:
        SettingsError: a value is malformed or out of its range.
    """
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(dict(problem)) for problem in error.errors())) from error


def _sentence(problem: dict[str, object]) -> str:
    location, message = problem["loc"], str(problem["msg"])
    name = ".".join(map(str, location)) if isinstance(location, tuple) else str(location)
    # pydantic-settings names a variable by the field alone or by the whole variable.
    field = name.lower().removeprefix("glimpse_")
    expected = message.removeprefix("Input should be ")
    return f"setting GLIMPSE_{field.upper()}: expected {expected}, got {problem['input']!r}"
