"""The interface of what turns parts into rows: threads of this process, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from service.bulk.journal import Part
from service.bulk.run import ModelInfo

Persist = Callable[[int, Iterable[bytes]], None]
"""Writes the rows of the part of that number to disk, as lines of JSON."""
Progress = Callable[[int, int], None]
"""Reports so many more files, of which so many could not be read."""


class RunnerError(RuntimeError):
    """The runner cannot start or go on; the message says why."""


class Runner(Protocol):
    """Turns parts into rows."""

    @property
    def model(self) -> ModelInfo:
        """The model that makes the rows, and where it runs."""

    @property
    def provider_note(self) -> str:
        """Why it runs on the CPU although a GPU was allowed; else empty."""

    def run(self, parts: Iterator[Part], persist: Persist, progress: Progress) -> None:
        """Make and persist the rows of all parts, in any order; raise an error after all have ended."""
