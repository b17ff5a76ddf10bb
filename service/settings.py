"""The service's settings: environment variables that begin with GLIMPSE_, checked once at start."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.contract import MODEL_PATH
from models.digits_contract import DIGITS_PATH

ProviderChoice = Literal["auto", "cuda", "cpu"]
LogFormat = Literal["auto", "json", "text"]

# What Kubernetes sets in every pod of a namespace that has a Service named glimpse.
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")
_SERVICE_LINK_NAME = re.compile(
    r"GLIMPSE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)?)"
)
_PREFIX = "GLIMPSE_"
# Read by other parts of this project.
_OTHER_VARIABLES = ("GLIMPSE_MNIST_DIR", "GLIMPSE_COMMIT", "GLIMPSE_BROWSER", "GLIMPSE_DOCKER")
_KEY = re.compile(r"[!-+\--~]{16,}")  # visible ASCII without the comma
_NAMED_KEY = re.compile(r"([A-Za-z0-9._-]{1,64}):(.*)")
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.:\[\]_-]+")

_log = logging.getLogger(__name__)


class SettingsError(ValueError):
    """A setting is invalid; the message names it, what was expected and what came."""


class Settings(BaseSettings):
    """The service's settings; the environment variable of `max_pixels` is GLIMPSE_MAX_PIXELS.

    `scenes` reads one more variable, GLIMPSE_MNIST_DIR: the folder with MNIST's four files, from which
    `/synthesize?digits=mnist` takes its digits.
    """

    model_config = SettingsConfigDict(env_prefix="GLIMPSE_", env_ignore_empty=True, frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on. 0.0.0.0 means every IPv4 address.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on. 0 lets the system choose.")
    model_path: Path = Field(
        MODEL_PATH, description="Model file. Its sidecar, the JSON file of the same name, is beside it."
    )
    digits_path: Path = Field(
        DIGITS_PATH, description="Model file of the digit generator. Its sidecar is beside it."
    )
    provider: ProviderChoice = Field(
        "auto",
        description="Where the model runs. `auto` uses a GPU if there is one, else the CPU, and logs the "
        "choice. `cuda` refuses to start without a usable GPU. `cpu` never looks for one.",
    )
    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Number of processes that decode pictures and run the model. 0 means one per core.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU threads of the model in each worker. 0 shares the cores among the workers.",
    )
    max_batch: int = Field(
        16,
        ge=1,
        le=64,
        description="Largest batch: the most pictures in one call of the model. Rounded down to a power of "
        "two.",
    )
    max_wait_ms: float = Field(
        0,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="How long a picture waits for others to share its batch while a worker is free, in "
        "milliseconds.",
    )
    max_queue: int = Field(
        0,
        ge=0,
        le=65_536,
        description="Length of the queue: the most pictures that wait beyond those in full batches. When it "
        "is full, requests get 503 immediately. 0 means 20 per worker.",
    )
    deadline_s: float = Field(
        5,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="How long a picture may wait for a worker, in seconds. After that its request gets 503.",
    )
    drain_s: float = Field(
        1,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="After SIGTERM, how long the service still accepts requests while `/readyz` is 503, in "
        "seconds.",
    )
    grace_s: float = Field(
        8,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="After `GLIMPSE_DRAIN_S`, how long running requests may take to finish, in seconds.",
    )
    max_body_bytes: int = Field(
        16 * 2**20, ge=1, description="Largest request body in bytes; a batch counts as a whole."
    )
    max_pixels: int = Field(
        25_000_000,
        ge=1,
        le=178_956_970,  # Pillow decodes no more
        description="Most pixels of a posted picture, checked before decoding. A JPEG may have twice as "
        "many, as it is decoded at half its size or less where it is large.",
    )
    max_files: int = Field(256, ge=1, le=65_536, description="Most files in one batch request.")
    body_timeout_s: float = Field(
        20,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="How long a request's body may take to arrive, in seconds.",
    )
    head_timeout_s: float = Field(
        10,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="How long a request's head may take to arrive, in seconds. Also how long a client may "
        "read nothing of its answer, or go on sending a refused request.",
    )
    access_log: bool = Field(False, description="Whether to log a line for every request.")
    log_format: LogFormat = Field(
        "auto",
        description="Format of log lines: `json`, `text`, or `auto` (text on a terminal, else JSON).",
    )
    metrics: bool = Field(True, description="Whether to serve `/metrics`, which needs no key.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="API keys of at least 16 characters, separated by commas. If any is set, requests need "
        "one. `name:key` gives a key a name for the access log.",
    )
    api_keys_file: Path | None = Field(None, description="File with more API keys, one per line.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of trusted proxies, separated by commas. Their `X-Forwarded-For` "
        "header names the client.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins whose pages may call this service (CORS), separated by commas. `*` means every "
        "origin.",
    )

    @field_validator("port", mode="before")
    @classmethod
    def _ignore_a_service_link(cls, value: object) -> object:
        if isinstance(value, str) and _SERVICE_LINK.fullmatch(value):
            default: int = cls.model_fields["port"].default
            _log.warning(
                "GLIMPSE_PORT=%s is ignored, and the port is %d: Kubernetes sets it for a Service named "
                "glimpse; enableServiceLinks: false in the pod's spec prevents that",
                value,
                default,
            )
            return default
        return value

    @field_validator("api_keys", "trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return split_words(value) if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        check_keys([key.get_secret_value() for key in keys])
        return keys

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                expected = "addresses or networks such as 10.0.0.1 or 10.0.0.0/8"
                raise ValueError(f"expected {expected}, got {proxy!r}") from None
        return proxies

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"expected * or origins such as https://example.com, got {origin!r}")
        return origins


def split_words(text: str) -> list[str]:
    """The words of a text, separated by commas or line breaks; ValueError if there is none."""
    words = [word for part in re.split(r"[,\r\n]", text) if (word := part.strip())]
    if not words:
        # Without keys, for example, the service would be open although it was meant to be closed.
        raise ValueError("expected at least one, got none")
    return words


def split_key(word: str) -> tuple[str, str]:
    """The name and the key of `name:key`; the name is empty where there is none."""
    named = _NAMED_KEY.fullmatch(word)
    return (named[1], named[2]) if named else ("", word)


def check_keys(keys: list[str]) -> None:
    """Raise ValueError for keys that are too short or fit no header; messages repeat no key."""
    for number, word in enumerate(keys, 1):
        _, key = split_key(word)
        if not _KEY.fullmatch(key):
            came = f"{len(key)} characters" if len(key) < 16 else "one with other characters"
            raise ValueError(
                f"expected keys of at least 16 visible ASCII characters, got {came} as key {number}"
            )


def load_settings(*, host: str | None = None, port: int | None = None) -> Settings:
    """The settings of the environment, overridden by the arguments; unknown variables are logged.

    Raises:
        SettingsError: a value is malformed or out of its range.
    """
    for sentence in name_unknown_variables(os.environ):
        _log.warning("%s", sentence)
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(dict(problem)) for problem in error.errors())) from error


def name_unknown_variables(names: Iterable[str]) -> list[str]:
    """A sentence for each variable that begins with GLIMPSE_ and is not known, with the nearest known name.

    Variables that Kubernetes sets for a Service whose name begins with glimpse are left out.
    """
    known = [*(f"{_PREFIX}{name.upper()}" for name in Settings.model_fields), *_OTHER_VARIABLES]
    sentences = []
    for name in sorted(names):
        variable = name.upper()  # settings are read whatever the case of their letters
        if not variable.startswith(_PREFIX) or variable in known or _SERVICE_LINK_NAME.fullmatch(variable):
            continue
        own = [other.removeprefix(_PREFIX) for other in known]
        nearest = get_close_matches(variable.removeprefix(_PREFIX), own, n=1)
        hint = f"; the nearest is {_PREFIX}{nearest[0]}" if nearest else ""
        sentences.append(f"{name} is no setting and is ignored{hint}")
    return sentences


def find_log_format() -> LogFormat:
    """The log's format from the environment, for lines logged before the settings are checked."""
    said = next((value for name, value in os.environ.items() if name.upper() == "GLIMPSE_LOG_FORMAT"), "")
    return next((choice for choice in get_args(LogFormat) if choice == said), "auto")


def _sentence(problem: dict[str, object]) -> str:
    location, message = problem["loc"], str(problem["msg"])
    name = ".".join(map(str, location)) if isinstance(location, tuple) else str(location)
    # pydantic-settings names either the field or the whole variable.
    field = name.lower().removeprefix("glimpse_")
    if problem["type"] == "value_error":  # one of ours, which says what came, unless it is a secret
        return f"setting GLIMPSE_{field.upper()}: {message.removeprefix('Value error, ')}"
    expected = message.removeprefix("Input should be ")
    return f"setting GLIMPSE_{field.upper()}: expected {expected}, got {problem['input']!r}"
