"""Five times as many requests as the service can answer, for a minute.

1. The load that it can carry: 64 connections, each of which asks again once it is answered (wrk); and half of
   that rate, evenly spaced.
2. Five times that rate, evenly spaced, whatever became of earlier requests: how long those take that are
   taken, how soon the others are told, whether anything fails; and the memory of all its processes.
3. Two seconds later, the first load again.

The load comes from processes of its own on the same cores.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.documents import SERVICE_PAGE, table
from benchmarks.results import parser, publish
from benchmarks.serving.accounting import memory_bytes
from benchmarks.serving.closed_loop import require_wrk, run_wrk
from benchmarks.serving.open_loop import run_open_loop
from benchmarks.serving.pictures import make_pictures, make_requests
from benchmarks.serving.running import SERVICE, Running, running
from benchmarks.serving.wire import write_requests

CONNECTIONS = 64
TIMES = 5
RECOVERY_S = 2.0


_COLUMNS = (
    *("load", "asked a second", "answered a second", "p99 of the answered"),
    *("refused", "p99 of the refused", "failed or unanswered", "memory"),
)


def main(arguments: Sequence[str]) -> None:
    """Measure, print a Markdown table, write the result file."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--seconds", type=float, default=60.0, help="of the overload (60)")
    options = options_of.parse_args(arguments)
    require_wrk()
    figures = measure(options.seconds)
    threads = os.cpu_count() or 1
    publish("overload", figures, markdown_table(figures), pages=(SERVICE_PAGE,), threads=threads)


def measure(seconds: float) -> dict[str, Any]:
    """All figures; loads but the overload last a sixth of it."""
    short = max(1.0, seconds / 6)
    posts = make_requests(make_pictures())
    with running(SERVICE, {}, posts[:1]) as server, tempfile.TemporaryDirectory() as folder:
        requests = Path(folder)
        write_requests(requests, posts, server.port)
        run_wrk(server.port, requests, connections=CONNECTIONS, seconds=short)  # warm
        time.sleep(1)  # until the service has noticed that those clients have gone
        carried = run_wrk(server.port, requests, connections=CONNECTIONS, seconds=short)
        before = memory_bytes(server.processes())
        half = open_loop(server, requests, carried.per_second / 2, short)
        overload = open_loop(server, requests, carried.per_second * TIMES, seconds)
        time.sleep(RECOVERY_S)
        afterwards = run_wrk(server.port, requests, connections=CONNECTIONS, seconds=short)
        after = memory_bytes(server.processes())
    return {
        "carried": carried._asdict(),
        "half": half,
        "overload": overload,
        "afterwards": afterwards._asdict(),
        "memory_before_mb": before / 2**20,
        "memory_after_mb": after / 2**20,
        "times_the_p99_at_64_connections": _ratio(overload["answered_p99_ms"], carried.p99_ms),
        "times_the_p99_at_half_load": _ratio(overload["answered_p99_ms"], half["answered_p99_ms"]),
        "speed_afterwards": afterwards.per_second / carried.per_second,
    }


def open_loop(server: Running, requests: Path, rate: float, seconds: float) -> dict[str, Any]:
    """The summary of a load at a fixed rate, with the largest memory that the server took meanwhile."""
    memory = [memory_bytes(server.processes())]

    def look() -> None:
        memory.append(memory_bytes(server.processes()))

    summary = run_open_loop(server.port, requests, rate, seconds, meanwhile=look)
    return summary | {
        "answered_per_second": summary["answered_share"] * rate,
        "memory_mb": max(memory) / 2**20,
    }


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base


def markdown_table(figures: dict[str, Any]) -> str:
    """The loads as a Markdown table."""
    closed = [
        (title, "as answered", f"{found['per_second']:.0f}", _ms(found["p99_ms"]), "", "", found["errors"],
         f"{figures[memory]:.0f} MB")
        for title, found, memory in (
            ("64 connections", figures["carried"], "memory_before_mb"),
            ("64 connections, 2 s after it", figures["afterwards"], "memory_after_mb"),
        )
    ]  # fmt: skip
    fixed = [
        (title, f"{found['rate']:.0f}", f"{found['answered_per_second']:.0f}", _ms(found["answered_p99_ms"]),
         found["refused"], _ms(found["refused_p99_ms"]), found["failed"] + found["unanswered"],
         f"{found['memory_mb']:.0f} MB")
        for title, found in (
            ("half of that rate", figures["half"]), ("five times that rate", figures["overload"]),
        )
    ]  # fmt: skip
    return table(_COLUMNS, (closed[0], *fixed, closed[1]))


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"
