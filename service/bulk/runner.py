"""What turns the parts of a bulk run into rows: threads of this process, or the nodes of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from service.bulk.journal import Part
from service.bulk.run import ModelInfo

Persist = Callable[[int, Iterable[bytes]], None]
"""Keeps the rows of the part of that number, as lines of JSON."""
Progress = Callable[[int, int], None]
"""Is told of so many more files, so many of which could not be read."""


class RunnerError(RuntimeError):
    """What is to do the work cannot begin or go on; the message says why."""


class Runner(Protocol):
    """What turns parts into rows."""

    @property
    def model(self) -> ModelInfo:
        """The model that makes the rows, and where it runs."""

    @property
    def provider_note(self) -> str:
        """Why it runs on the CPU though another provider was not ruled out; else empty."""

    def run(self, parts: Iterator[Part], persist: Persist, progress: Progress) -> None:
        """Make the rows of all parts and keep them, in any order; an error is raised when all have ended."""
