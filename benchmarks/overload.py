"""`python -m benchmarks.overload`: five times as many requests as the service can answer, for a minute.

1. The load that it can carry: 64 connections, each of which asks again once it is answered (wrk); and half of
   that rate, evenly spaced.
2. Five times that rate, evenly spaced, whatever became of earlier requests: how long those take that are
   taken, how soon the others are told, whether anything fails; and the memory of all its processes.
3. Two seconds later, the first load again.

The load comes from processes of its own on the same cores. Writes `benchmarks/results/overload.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.documents import SERVICE_PAGE, fill_in
from benchmarks.results import write_result
from benchmarks.serving.accounting import memory_bytes
from benchmarks.serving.closed_loop import NO_WRK, Closed, find_wrk, run_wrk
from benchmarks.serving.pictures import make_requests
from benchmarks.serving.running import ROOT, SERVICE, Running, running
from benchmarks.serving.wire import write_requests

CONNECTIONS = 64
TIMES = 5
RECOVERY_S = 2.0


_COLUMNS = (
    *("load", "asked a second", "answered a second", "p99 of the answered"),
    *("refused", "p99 of the refused", "failed or unanswered", "memory"),
)


def main() -> None:
    """Measure, print a Markdown table, write the result file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the overload (60)")
    options = parser.parse_args()
    if find_wrk() is None:
        raise SystemExit(f"error: {NO_WRK}")
    figures = measure(options.seconds)
    table = markdown_table(figures)
    print(table)
    fill_in("overload", table, SERVICE_PAGE)
    command = f"python -m benchmarks.overload --seconds {options.seconds:g}"
    print(f"wrote {write_result('overload', command, figures, threads=os.cpu_count() or 1)}")


def measure(seconds: float) -> dict[str, Any]:
    """All figures; loads but the overload last a sixth of it."""
    short = max(1.0, seconds / 6)
    posts = make_requests()
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
        "carried": closed_figures(carried),
        "half": half,
        "overload": overload,
        "afterwards": closed_figures(afterwards),
        "memory_before_mb": before / 2**20,
        "memory_after_mb": after / 2**20,
        "times_the_p99_at_64_connections": _ratio(overload["answered_p99_ms"], carried.p99_ms),
        "times_the_p99_at_half_load": _ratio(overload["answered_p99_ms"], half["answered_p99_ms"]),
        "speed_afterwards": afterwards.per_second / carried.per_second,
    }


def closed_figures(found: Closed) -> dict[str, float | None]:
    """What wrk counted, by name."""
    figures: dict[str, float | None] = found._asdict()
    return figures


def open_loop(server: Running, requests: Path, rate: float, seconds: float) -> dict[str, Any]:
    """The summary of a load at a fixed rate, with the largest memory that the server took meanwhile."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.serving.open_loop", str(requests)),
            *("--port", str(server.port), "--rate", str(rate), "--seconds", str(seconds)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    memory = [memory_bytes(server.processes())]
    output = None
    while output is None:
        try:
            # Seldom: to read the memory of processes stops them for milliseconds.
            output, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            memory.append(memory_bytes(server.processes()))
    if process.returncode:
        raise RuntimeError(f"the load ended with {process.returncode}")
    summary: dict[str, Any] = json.loads(output)
    return summary | {
        "answered_per_second": summary["answered_share"] * rate,
        "memory_mb": max(memory) / 2**20,
    }


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base


def markdown_table(figures: dict[str, Any]) -> str:
    """The loads as a Markdown table."""
    lines = [
        _line(*_COLUMNS),
        "|---" * 8 + "|",
    ]
    for name, title in (("carried", "64 connections"), ("afterwards", "64 connections, 2 s after it")):
        found = figures[name]
        row = [title, "as answered", f"{found['per_second']:.0f}", _ms(found["p99_ms"]), "", ""]
        memory = figures["memory_before_mb" if name == "carried" else "memory_after_mb"]
        lines.append(_line(*row, str(found["errors"]), f"{memory:.0f} MB"))
    for name, title in (("half", "half of that rate"), ("overload", "five times that rate")):
        found = figures[name]
        row = [title, f"{found['rate']:.0f}", f"{found['answered_per_second']:.0f}"]
        row += [_ms(found["answered_p99_ms"]), str(found["refused"]), _ms(found["refused_p99_ms"])]
        lost = found["failed"] + found["unanswered"]
        lines.append(_line(*row, str(lost), f"{found['memory_mb']:.0f} MB"))
    lines[3:] = [lines[4], lines[5], lines[3]]
    return "\n".join(lines)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"


if __name__ == "__main__":
    main()
