"""Repeated log lines are counted instead of written, so that a frequent fault does not fill the log."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Timer
from time import monotonic
from typing import TextIO

_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")
_MOST_KINDS = 500
"""Most kinds of lines that are told apart at a time; further lines of a logger count as one kind."""

LineKind = tuple[str, int, str]


@dataclass
class _Window:
    """The lines of one kind since the first of them."""

    began_s: float
    passed: int = 0
    held_back: int = 0
    last: logging.LogRecord | None = None


class Repeats:
    """Decides which lines are written: a few of each kind per window; a kind differs only in numbers."""

    def __init__(self, most: int, window_s: float) -> None:
        self._most = most
        self.window_s = window_s
        self._windows: dict[LineKind, _Window] = {}

    def passes(self, record: logging.LogRecord, now_s: float) -> bool:
        """Whether to write the line; else it is counted. Call `ended` before."""
        kind = _kind(record)
        if kind not in self._windows and len(self._windows) >= _MOST_KINDS:
            kind = (record.name, record.levelno, "")
        window = self._windows.setdefault(kind, _Window(now_s))
        if window.passed < self._most:
            window.passed += 1
            return True
        window.held_back += 1
        window.last = record
        return False

    @property
    def hold_back(self) -> bool:
        """Whether there are counts that are not written yet."""
        return any(window.held_back for window in self._windows.values())

    def ended(self, now_s: float) -> Iterator[logging.LogRecord]:
        """For each finished window the last line that was held back, with their count as `repeated`."""
        over = [kind for kind, window in self._windows.items() if now_s - window.began_s >= self.window_s]
        for window in [self._windows.pop(kind) for kind in over]:
            if window.last is not None:
                summary = logging.makeLogRecord(window.last.__dict__)
                summary.fields = getattr(summary, "fields", {}) | {"repeated": window.held_back}
                yield summary


class CountingHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream, and repeated lines as their count; always those of the loggers in `every`."""

    def __init__(self, stream: TextIO, every: frozenset[str], repeats: Repeats) -> None:
        super().__init__(stream)
        self._every = every
        self._repeats = repeats
        self._timer: Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line unless too many like it were just written. The handler's lock is held."""
        if record.name in self._every:
            super().emit(record)
            return
        now_s = monotonic()
        self._write_counts(now_s)
        if self._repeats.passes(record, now_s):
            super().emit(record)
        elif self._timer is None:
            self._set_timer()

    def close(self) -> None:
        """Write the counts that are left."""
        self.acquire()
        try:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._write_counts(math.inf)
        finally:
            self.release()
        super().close()

    def _on_time(self) -> None:
        self.acquire()
        try:
            self._timer = None
            self._write_counts(monotonic())
            if self._repeats.hold_back:
                self._set_timer()
        finally:
            self.release()

    def _set_timer(self) -> None:
        self._timer = Timer(self._repeats.window_s, self._on_time)
        self._timer.daemon = True
        self._timer.start()

    def _write_counts(self, now_s: float) -> None:
        for summary in self._repeats.ended(now_s):
            super().emit(summary)


def _kind(record: logging.LogRecord) -> LineKind:
    failure = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    return record.name, record.levelno, _NUMBERS.sub("#", record.getMessage()) + failure
