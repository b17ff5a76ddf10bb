"""From files to rows: read and decode each, run the model on batches; one row for each file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from service.inference.answer import detect
from service.inference.looks import Look
from service.inference.policy import EXCLUSIVE_PIXELS
from service.inference.predictor import MAX_BATCH, Floats, OnnxPredictor, Predictor
from service.inference.providers import CPU
from service.inference.work import look_at
from service.pictures.decode import ImageError, Picture, decode_picture
from service.settings import ProviderChoice


class Row(NamedTuple):
    """The result for one file; if it could not be read, all but `path` and `error` are None."""

    path: str
    label: int | None = None
    confidence: np.float32 | None = None
    digit_present: np.float32 | None = None
    bbox_x: float | None = None
    bbox_y: float | None = None
    bbox_width: float | None = None
    bbox_height: float | None = None
    attention_x: np.float32 | None = None
    attention_y: np.float32 | None = None
    attention_sigma_x: np.float32 | None = None
    attention_sigma_y: np.float32 | None = None
    inverted: bool | None = None
    probabilities: Floats | None = None
    error: str | None = None

    def to_json(self) -> bytes:
        """The row as a line of JSON; numbers are written as `/predict` writes them."""
        return orjson.dumps(self._asdict(), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


NO_ERROR = b'"error":null}\n'
"""The end of the line of a file that could be read."""


class FileLimits(NamedTuple):
    """How large a file may be; the service has the same limits for posted pictures."""

    max_file_bytes: int
    max_pixels: int


CPU_BATCH = 32
"""The batch at which one core answers most files a second: with smaller ones decoding and the model drive
each other out of its cache more often."""


def load_predictor(model_path: Path, provider: ProviderChoice) -> OnnxPredictor:
    """A predictor for one core, errors as `OnnxPredictor`; the first batch of a run warms it well enough."""
    return OnnxPredictor(model_path, provider, threads=1, batches=(1,))


class RowMaker:
    """Makes rows with one predictor; use it from one thread."""

    def __init__(self, predictor: Predictor, limits: FileLimits, batch: int | None = None) -> None:
        """Take a ready predictor, the limits, and how many pictures go into one call of the model.

        Without a number there are as many as are best where it runs.
        """
        self._predictor = predictor
        self._limits = limits
        self._batch = batch or (CPU_BATCH if predictor.provider == CPU else MAX_BATCH)

    def rows(self, paths: Sequence[str], progress: Callable[[Sequence[Row]], object]) -> list[Row]:
        """A row for each file, in their order.

        Args:
            paths: the files' paths as the system has them.
            progress: called after every batch with its rows; what it raises ends the work.

        Raises:
            PredictorError: the model cannot answer.
        """
        made: list[Row] = []
        for start in range(0, len(paths), self._batch):
            rows = self._rows_of_batch(paths[start : start + self._batch])
            progress(rows)
            made += rows
        return made

    def _rows_of_batch(self, paths: Sequence[str]) -> list[Row]:
        rows: dict[str, Row] = {}
        pictures: dict[str, Picture] = {}
        for path in paths:
            try:
                data = read_file(path, self._limits.max_file_bytes)
                picture = decode_picture(data, self._limits.max_pixels)
            except ImageError as error:
                rows[path] = Row(shown(path), error=str(error))
                continue
            # Several such pictures at a time would fill the memory.
            if picture.grey.size > EXCLUSIVE_PIXELS:
                rows |= self._look_at({path: picture})
            else:
                pictures[path] = picture
        rows |= self._look_at(pictures)
        return [rows[path] for path in paths]

    def _look_at(self, pictures: Mapping[str, Picture]) -> dict[str, Row]:
        looks = look_at(self._predictor, list(pictures.values()), exclusive=True).best
        rows = {}
        for path, look in zip(pictures, looks, strict=True):
            assert look is not None  # exclusive, every picture is searched to the end
            rows[path] = _row(shown(path), look)
        return rows


def read_file(path: str, max_bytes: int) -> bytes:
    """The bytes of a regular file; ImageError with the reason where they cannot be had."""
    try:
        with FileIO(path, opener=_open_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("file: expected a regular file, got a device, pipe or socket")
            if status.st_size > max_bytes:
                raise ImageError(f"file: expected at most {max_bytes} bytes, got {status.st_size}")
            return stream.readall()
    except OSError as error:
        raise ImageError(f"file: cannot be read: {error.strerror or error}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would block forever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def shown(path: str) -> str:
    r"""A path as text that any file can hold: bytes of a name that are not UTF-8 stand as `\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _row(path: str, look: Look) -> Row:
    found = detect(look)
    return Row(
        path=path,
        label=found.label,
        confidence=found.confidence,
        digit_present=found.digit_present,
        bbox_x=found.box.x,
        bbox_y=found.box.y,
        bbox_width=found.box.width,
        bbox_height=found.box.height,
        attention_x=np.float32(found.attention.x),
        attention_y=np.float32(found.attention.y),
        attention_sigma_x=np.float32(found.attention.sigma_x),
        attention_sigma_y=np.float32(found.attention.sigma_y),
        inverted=found.inverted,
        probabilities=found.probabilities,
    )
