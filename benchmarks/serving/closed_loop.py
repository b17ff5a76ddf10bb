"""Closed loop: so many connections, each of which posts as soon as it has its answer. By wrk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving.wire import HOST

NO_WRK = (
    "wrk makes the load and is not there: install it (Debian, Ubuntu: apt-get install wrk; "
    "macOS: brew install wrk)"
)
_SCRIPT = Path(__file__).with_name("closed_loop.lua")
_TIMEOUT_S = 10
MOST_REFUSED = 0.005


class Closed(NamedTuple):
    """What wrk counted.

    Errors are answers of status 400 and more, and requests without one. wrk's latencies are of all answers,
    also of quick refusals: where those are more than `MOST_REFUSED` of all, or nothing was answered, there
    are none.
    """

    per_second: float
    p50_ms: float | None
    p99_ms: float | None
    requests: int
    errors: int


def require_wrk() -> str:
    """Where wrk is.

    Raises:
        ValueError: it is not installed.
    """
    if (wrk := shutil.which("wrk")) is None:
        raise ValueError(NO_WRK)
    return wrk


def run_wrk(
    port: int,
    requests: Path,
    *,
    connections: int,
    seconds: float,
    meanwhile: Callable[[], object] | None = None,
) -> Closed:
    """Load the server at `port` with the requests of a folder.

    Args:
        port: where the server listens.
        requests: the folder that `wire.write_requests` has written.
        connections: how many there are at a time.
        seconds: for how long, rounded up to whole seconds, which is all that wrk takes.
        meanwhile: called once each second of the load.

    Raises:
        RuntimeError: wrk fails.
        ValueError: it is not installed.
    """
    count = len(list(requests.glob("*.http")))
    process = subprocess.Popen(
        [
            *(require_wrk(), "-t", "1", "-c", str(connections), "-d", f"{-int(-seconds // 1)}s"),
            *("--timeout", f"{_TIMEOUT_S}s", "-s", str(_SCRIPT), f"http://{HOST}:{port}/"),
            *("--", str(requests), str(count)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = None
    try:
        while output is None:
            try:
                output, _ = process.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                if meanwhile is not None:
                    meanwhile()
    finally:
        process.kill()
    if process.returncode != 0:
        raise RuntimeError(f"wrk ended with {process.returncode}: {output[-300:]}")
    return read_output(output)


def read_output(output: str) -> Closed:
    """What the script's line says.

    `requests` of wrk counts answers of any status; only those below 400 count as answered here.

    Raises:
        ValueError: there is no such line.
    """
    found = re.search(r"^counted (\{.*\})$", output, re.MULTILINE)
    if found is None:
        raise ValueError(f"wrk: expected a line 'counted {{…}}', got {output[-300:]!r}")
    counted = json.loads(found[1])
    answered = counted["requests"] - counted["not_2xx"]
    telling = answered > 0 and counted["not_2xx"] <= MOST_REFUSED * counted["requests"]
    return Closed(
        per_second=answered / (counted["duration_us"] / 1e6),
        p50_ms=counted["p50_us"] / 1e3 if telling else None,
        p99_ms=counted["p99_us"] / 1e3 if telling else None,
        requests=answered,
        errors=counted["not_2xx"] + counted["broken"],
    )
