"""The request and the result of a bulk run: the content of its `run.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelInfo(_Strict):
    """Which model makes the rows, and where it runs."""

    name: str
    version: str
    sha256: str
    provider: str


class Asked(_Strict):
    """Everything that the rows depend on."""

    sources: tuple[str, ...]  # absolute; see `absolute`
    model: ModelInfo
    max_file_bytes: int
    max_pixels: int


class Counts(_Strict):
    """The counts of a complete table."""

    files: int
    unreadable: int
    examples: tuple[str, ...]  # "path: reason" of the first that could not be read


class Run(_Strict):
    """The content of `run.json`."""

    form: Literal[1] = 1
    asked: Asked
    files: int
    files_sha256: str
    files_per_part: int
    passed_over: dict[str, int] = {}  # files without a picture's suffix, by suffix
    written: Counts | None = None  # set once the table is complete
