"""`python -m benchmarks.workers`: how many worker processes, threads and pictures a batch are best here.

Each setting is a service of its own, asked by 64 connections without maps (wrk, on the same cores); all are
asked in turn, three times, and the median counts. Writes `benchmarks/results/workers.json` and the table in
`service/README.md`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.documents import SERVICE_PAGE, fill_in
from benchmarks.results import write_result
from benchmarks.serving.closed_loop import NO_WRK, find_wrk, run_wrk
from benchmarks.serving.pictures import make_requests
from benchmarks.serving.running import SERVICE, running
from benchmarks.serving.wire import write_requests
from service.inference.cores import usable_cores

CONNECTIONS = 64


class Setting(NamedTuple):
    """Worker processes, threads of the model in each, and the largest batch."""

    workers: int
    threads: int
    batch: int

    def environment(self) -> dict[str, str]:
        """The settings of a service, with a queue that holds all connections."""
        return {
            "GLIMPSE_WORKERS": str(self.workers),
            "GLIMPSE_THREADS": str(self.threads),
            "GLIMPSE_MAX_BATCH": str(self.batch),
            "GLIMPSE_MAX_QUEUE": str(CONNECTIONS),
        }


def settings(cores: int) -> list[Setting]:
    """What is tried on so many cores; the first is what the service ships with."""
    tried = [
        Setting(cores, 1, 16),
        Setting(cores, 1, 8),
        Setting(cores, 1, 32),
        Setting(cores, 2, 16),
        Setting(1, cores, 16),
        Setting(2 * cores, 1, 16),
    ]
    return list(dict.fromkeys(tried))


def main() -> None:
    """Measure, print a Markdown table, write the result file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load (4)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if find_wrk() is None:
        raise SystemExit(f"error: {NO_WRK}")
    tried = settings(usable_cores())
    rounds = [{one: rate(one, options.seconds) for one in tried} for _ in range(options.rounds)]
    figures = [
        {**one._asdict(), "per_second": round(median(found[one] for found in rounds), 1)} for one in tried
    ]
    table = markdown_table(figures)
    print(table)
    fill_in("workers", table, SERVICE_PAGE)
    command = f"python -m benchmarks.workers --seconds {options.seconds:g} --rounds {options.rounds}"
    print(f"wrote {write_result('workers', command, figures, threads=os.cpu_count() or 1)}")


def rate(setting: Setting, seconds: float) -> float:
    """Answers a second of a service with that setting."""
    posts = make_requests()
    with (
        running(SERVICE, setting.environment(), posts[:1]) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        write_requests(Path(folder), posts, server.port)
        run_wrk(server.port, Path(folder), connections=8, seconds=1)  # warm
        return run_wrk(server.port, Path(folder), connections=CONNECTIONS, seconds=seconds).per_second


def markdown_table(figures: list[dict[str, Any]]) -> str:
    """The settings as a Markdown table."""
    lines = ["| workers | threads in each | largest batch | answers a second |", "|---|---|---|---|"]
    for found in figures:
        cells = (found["workers"], found["threads"], found["batch"], f"{found['per_second']:,.0f}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
