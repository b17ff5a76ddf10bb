from __future__ import annotations

import io
import json
import logging
import sys
import threading
from typing import Any

import pytest

from service.monitoring.logs import JsonLines, log_uncaught_errors
from service.monitoring.repeats import CountingHandler, Repeats
from tests.support.processes import until


def record(event: str, *values: object, name: str = "service.test", **more: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "", 0, event, values, None)
    made.__dict__.update(more)
    return made


def test_of_lines_that_differ_in_numbers_alone_a_few_pass_and_the_others_are_counted():
    repeats = Repeats(most=2, window_s=10)
    passed = [repeats.passes(record("tag %d (%#x) is odd", i, i), now_s=i / 10) for i in range(50)]
    assert passed == [True, True] + [False] * 48
    assert repeats.passes(record("another event"), 5)
    assert repeats.passes(record("tag 1 (0x1) is odd", name="service.other"), 5)
    assert list(repeats.ended(9.9)) == []
    (summary,) = repeats.ended(10)
    assert summary.getMessage() == "tag 49 (0x31) is odd"
    assert summary.fields == {"repeated": 48}  # type: ignore[attr-defined]
    assert not repeats.hold_back
    assert repeats.passes(record("tag 5 (0x5) is odd"), 11)


def test_errors_of_two_kinds_are_not_taken_for_one():
    repeats = Repeats(most=1, window_s=10)
    for kind in (ZeroDivisionError, KeyError):
        try:
            raise kind
        except kind:
            assert repeats.passes(record("a defect", exc_info=sys.exc_info()), 0)


def test_lines_without_end_that_all_differ_neither_fill_the_log_nor_the_memory():
    repeats = Repeats(most=2, window_s=10)
    words = ["".join(chr(97 + (i // 26**k) % 26) for k in range(4)) for i in range(10_000)]
    assert 500 <= sum(repeats.passes(record(word), 0) for word in words) <= 502
    assert len(list(repeats.ended(10))) == 1


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def counting(stream: io.StringIO, window_s: float) -> CountingHandler:
    handler = CountingHandler(stream, frozenset({"access"}), Repeats(1, window_s))
    handler.setFormatter(JsonLines())
    return handler


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_count_is_written_though_nothing_else_is_logged(stream):
    handler = counting(stream, window_s=0.1)
    for _ in range(9):
        handler.handle(record("a fault"))
    until(lambda: len(read(stream)) == 2)
    assert read(stream)[1]["repeated"] == 8
    handler.close()


def test_the_count_is_written_at_the_end(stream):
    handler = counting(stream, window_s=600)
    for _ in range(9):
        handler.handle(record("a fault", fields={"worker": 1}))
    assert len(read(stream)) == 1
    handler.close()
    assert (read(stream)[1]["repeated"], read(stream)[1]["worker"]) == (8, 1)


def test_the_log_of_requests_is_never_held_back(stream):
    handler = counting(stream, window_s=600)
    for _ in range(9):
        handler.handle(record("request", name="access"))
    assert len(read(stream)) == 9
    handler.close()


def test_errors_that_nobody_catches_are_lines_of_the_log(monkeypatch, caplog):
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    log_uncaught_errors()

    def fail() -> None:
        raise ZeroDivisionError("made by a test")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

    class Failing:
        def __del__(self) -> None:
            fail()

    Failing()
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("made by a test"), None)
    assert [line.exc_info[0] for line in caplog.records if line.exc_info] == [ZeroDivisionError] * 3
