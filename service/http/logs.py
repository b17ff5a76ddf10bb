"""Lines in the log: JSON for machines, text for people, both with the request that they are about."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

from service.http.observe import current_request
from service.settings import LogFormat


def configure_logs(choice: LogFormat, stream: TextIO | None = None) -> None:
    """Send every logger of this process, the server's as well, to one stream.

    Args:
        choice: `auto` is text where the stream is a terminal, else JSON.
        stream: standard error, unless another one is given.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    terminal = handler.stream.isatty()
    handler.setFormatter(TextLines() if choice == "text" or (choice == "auto" and terminal) else JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("service").setLevel(logging.INFO)
    logging.captureWarnings(True)


class _Lines(logging.Formatter):
    """A formatter that never fails on what a record holds."""

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What a line says, in its order; the traceback is left out."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage().strip(),
        }
        if request := current_request():
            fields |= request._asdict()
        return fields | getattr(record, "fields", {})

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
    """Words as they are, but for what would break a line or steer a terminal."""
    return words if words.isprintable() else ascii(words)


def _value(value: object) -> str:
    """A value that cannot be taken for two, nor for the end of the line."""
    written = str(value)
    return written if written.isprintable() and not set(written) & set(' "=') else json.dumps(written)
