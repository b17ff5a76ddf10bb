"""The log's lines: JSON for machines, text for people, both with the request they belong to."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from types import TracebackType
from typing import Any, TextIO

from service.monitoring.repeats import CountingHandler, Repeats
from service.monitoring.request import current_request
from service.settings import LogFormat

ACCESS = "service.access"
"""The logger of the line for every request."""

_SAME_LINES = 5
_WINDOW_S = 10.0
"""So many lines that differ only in numbers are written per window; further ones are counted."""

_log = logging.getLogger(__name__)


def configure_logs(choice: LogFormat, stream: TextIO | None = None) -> None:
    """Send every logger of this process, including the server's, to one stream.

    Args:
        choice: `auto` is text where the stream is a terminal, else JSON.
        stream: standard error, unless another one is given.
    """
    handler = CountingHandler(stream or sys.stderr, frozenset({ACCESS}), Repeats(_SAME_LINES, _WINDOW_S))
    terminal = handler.stream.isatty()
    handler.setFormatter(TextLines() if choice == "text" or (choice == "auto" and terminal) else JsonLines())
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, CountingHandler):
            former.close()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("service").setLevel(logging.INFO)
    logging.captureWarnings(True)


def log_uncaught_errors() -> None:
    """Log uncaught errors as lines of the log; Python itself would print plain tracebacks."""

    def log(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        _log.critical("the program has failed", exc_info=(kind, error, traceback))

    def log_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None:
            _log.error("a thread has failed", exc_info=failed.exc_value)

    def log_unraisable(failed: sys.UnraisableHookArgs) -> None:
        _log.error(
            "%s: %r", failed.err_msg or "an error was ignored", failed.object, exc_info=failed.exc_value
        )

    sys.excepthook = log
    threading.excepthook = log_thread
    sys.unraisablehook = log_unraisable


class _Lines(logging.Formatter):
    """A formatter that accepts any content of a record."""

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The fields of a line, in their order, without the traceback."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage().strip(),
        }
        own: dict[str, Any] = getattr(record, "fields", {})
        request = current_request()
        if request and "repeated" not in own:  # a count of lines belongs to no request
            fields |= request._asdict()
        return fields | own

    def traceback(self, record: logging.LogRecord) -> str:
        """The record's traceback, or nothing."""
        return self.formatException(record.exc_info) if record.exc_info else ""


class JsonLines(_Lines):
    """A JSON object in ASCII on each line, so that no line can be broken and no encoding fails."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = self.fields(record)
        if traceback := self.traceback(record):
            fields["traceback"] = traceback
        return json.dumps(fields, default=repr)


class TextLines(_Lines):
    """Time, level and event, then the rest as name=value; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback's."""
        fields = self.fields(record)
        time_of_day = fields.pop("time")[11:-1]
        level, logger, event = fields.pop("level"), fields.pop("logger"), fields.pop("event")
        line = " ".join(
            [
                f"{time_of_day} {level:7} {_plain(logger)}: {_plain(event)}",
                *(f"{name}={_value(value)}" for name, value in fields.items()),
            ]
        )
        traceback = self.traceback(record)
        return f"{line}\n{traceback}" if traceback else line


def _plain(words: str) -> str:
    """Text without anything that would break a line or control a terminal."""
    return words if words.isprintable() else ascii(words)


def _value(value: object) -> str:
    """A value, quoted if it could be mistaken for two values or for a line's end."""
    written = str(value)
    return written if written.isprintable() and not set(written) & set(' "=') else json.dumps(written)
