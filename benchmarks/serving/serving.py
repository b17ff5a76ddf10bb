"""How many pictures a second the service answers, against the limit without a server.

Closed loop (wrk) with 1, 8 and 64 connections, with and without maps; open loop at shares of what was
answered at 64 connections. The load comes from another process on the same cores. Each round starts the
service anew; figures are medians of the rounds. It needs wrk (`apt-get install wrk`). `--quick` is a trial of
a minute, which writes nothing.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.documents import table
from benchmarks.results import parser, publish
from benchmarks.serving import accounting
from benchmarks.serving.closed_loop import require_wrk, run_wrk
from benchmarks.serving.limit import Limit, bare_ms, decode
from benchmarks.serving.open_loop import run_open_loop
from benchmarks.serving.pictures import make_pictures, make_requests
from benchmarks.serving.running import SERVICE, Running, running
from benchmarks.serving.wire import write_requests
from service.inference.cores import usable_cores

MAPS = {"none": "without maps (`maps=none`)", "array": "with maps (`maps=array`)"}
LIMIT_PICTURES = 4_000
_CPU = {"GLIMPSE_PROVIDER": "cpu"}


class Schedule(NamedTuple):
    """What is measured, and for how long."""

    connections: tuple[int, ...] = (1, 8, 64)
    shares_percent: tuple[int, ...] = (25, 50, 75, 90)
    seconds: float = 3.0
    rounds: int = 3


QUICK = Schedule((1, 64), (50,), 1.0, 1)


def main(arguments: Sequence[str]) -> None:
    """Measure, print the tables; after a whole run write the result file and the document's table."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--quick", action="store_true", help="a short trial, which writes no result")
    options_of.add_argument("--rounds", type=int, help="how often the service is started (3)")
    options = options_of.parse_args(arguments)
    require_wrk()
    schedule = QUICK if options.quick else Schedule()
    schedule = schedule._replace(rounds=options.rounds or schedule.rounds)
    load = round(os.getloadavg()[0], 2)
    figures = {**measure(schedule), "load_average_before": load}
    if options.quick:
        print(markdown(figures))
    else:
        publish("serving", figures, markdown(figures), threads=usable_cores())


def measure(schedule: Schedule) -> dict[str, Any]:
    """The result file's content."""
    pngs, limit = make_pictures(), Limit(usable_cores())
    many = [pngs[number % len(pngs)] for number in range(LIMIT_PICTURES)]
    batches = {maps: limit.best_batch(many, decode, maps=maps == "array") for maps in MAPS}
    rates: dict[str, dict[str, float]] = {}
    rounds = []
    for _ in range(schedule.rounds):
        found: dict[str, Any] = {}
        for maps in MAPS:
            with running(SERVICE, _CPU, make_requests(pngs[:1], maps)) as server:
                found[maps] = visit(server, maps, rates, schedule)
            found[maps]["limit"] = limit.rate(many, decode, batches[maps], maps=maps == "array").per_second
            found[maps]["bare_ms"] = bare_ms(many[:500], maps=maps == "array", threads=usable_cores())
        rounds.append(found)
    return {
        "schedule": schedule._asdict(),
        "cores": usable_cores(),
        "limit_batches": batches,
        "rates": rates,
        "maps": medians(rounds),
        "rounds": rounds,
    }


def visit(
    server: Running, maps: str, rates: dict[str, dict[str, float]], schedule: Schedule
) -> dict[str, Any]:
    """What is measured of the service once it is started; the first visit sets the open loop's rates."""
    most = schedule.connections[-1]
    with tempfile.TemporaryDirectory() as name:
        requests = Path(name)
        write_requests(requests, make_requests(make_pictures(), maps), server.port)
        run_wrk(server.port, requests, connections=most, seconds=schedule.seconds)  # warm
        closed = {
            str(connections): closed_loop(server, requests, connections, schedule.seconds)
            for connections in schedule.connections
        }
        answered = closed[str(most)]["per_second"] or 0.0
        for share in schedule.shares_percent:
            rates.setdefault(maps, {}).setdefault(f"{share} %", round(answered * share / 100, 1))
        opened = {
            share: run_open_loop(server.port, requests, rate, schedule.seconds)
            for share, rate in rates[maps].items()
        }
    return {"closed": closed, "open": opened}


def closed_loop(server: Running, requests: Path, connections: int, seconds: float) -> dict[str, float | None]:
    """What wrk counts, with the processor time of each answer and the largest memory."""
    memory = [0]

    def look() -> None:
        memory.append(accounting.memory_bytes(server.processes()))

    before = accounting.cpu_seconds(server.processes())
    found = run_wrk(server.port, requests, connections=connections, seconds=seconds, meanwhile=look)
    spent = accounting.cpu_spent(before, accounting.cpu_seconds(server.processes()))
    look()
    return {
        **found._asdict(),
        "cpu_ms": spent / found.requests * 1e3 if found.requests else None,  # of an answer, refusals included
        "memory_mb": max(memory) / 2**20,
    }


def medians(rounds: Sequence[Any]) -> Any:
    """The same tree as each round's, with the median of the rounds at each leaf.

    None (a percentile without an end) counts as the largest of all. Of an even number of rounds the lower
    median counts, which was really measured.
    """
    first = rounds[0]
    if isinstance(first, dict):
        return {key: medians([one[key] for one in rounds]) for key in first}
    found = statistics.median_low([float("inf") if value is None else float(value) for value in rounds])
    return None if found == float("inf") else round(found, 4)


def markdown(figures: dict[str, Any]) -> str:
    """Closed loop and open loop, with and without maps."""
    parts = []
    for maps, title in MAPS.items():
        found = figures["maps"][maps]
        rows = [
            (connections, f"{load['per_second']:,.0f}", f"{load['per_second'] / found['limit']:.0%}",
             _latencies(load), _shown(load["cpu_ms"], ".2f"), f"{load['memory_mb']:.0f}",
             f"{load['errors']:.0f}")
            for connections, load in found["closed"].items()
        ]  # fmt: skip
        parts.append(
            f"Closed loop, {title}. The limit is {found['limit']:,.0f} pictures/s (batches of "
            f"{figures['limit_batches'][maps]}); bare decoding and predicting of one picture takes "
            f"{found['bare_ms']:.2f} ms."
        )
        columns = ("connections", "answers/s", "of the limit", "p50 / p99 ms", "CPU ms/answer", "memory MB")
        parts.append(table((*columns, "errors"), rows))
        opened = [
            (
                share,
                f"{figures['rates'][maps][share]:,.0f}",
                _latencies(load),
                f"{load['answered_share']:.1%}",
            )
            for share, load in found["open"].items()
        ]
        parts.append(f"Open loop, {title}; latencies count from the time at which a request was due:")
        parts.append(table(("of 64 connections", "requests/s", "p50 / p99 ms", "answered"), opened))
    return "\n\n".join(parts)


def _latencies(load: dict[str, Any]) -> str:
    """– stands where requests were refused, or where a percentile falls on one without an answer."""
    return f"{_shown(load['p50_ms'], '.1f')} / {_shown(load['p99_ms'], '.1f')}"


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
