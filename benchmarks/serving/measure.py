"""One visit to one server: started alone, loaded in every way, its cost counted, ended."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.serving import accounting
from benchmarks.serving.answers import Said, compare
from benchmarks.serving.closed_loop import Closed, run_wrk
from benchmarks.serving.contestants import Contestant, Variant
from benchmarks.serving.limit import BATCHES
from benchmarks.serving.running import ROOT, Running, ServerError, running
from benchmarks.serving.wire import Posted, post, write_requests

MAPS = ("none", "array")
MOST_ERRORS = 0.001
"""A larger share of errors in a trial rules a setting out, if there is one with fewer."""


class Schedule(NamedTuple):
    """What is measured, and for how long."""

    connections: tuple[int, ...] = (1, 8, 64)
    shares_percent: tuple[int, ...] = (25, 50, 75, 90)
    seconds: float = 3.0
    warm_up_seconds: float = 2.0
    open_seconds: float = 2.0
    trial_seconds: float = 2.0
    rounds: int = 3
    most_variants: int | None = None  # settings of a peer that are tried; None for all
    batches: tuple[int, ...] = BATCHES  # of the limit


QUICK = Schedule((1, 64), (50,), 1.0, 1.0, 1.0, 1.0, 1, 1, (8, 32))


class Place(NamedTuple):
    """A contestant with its interpreter and the setting that it runs with."""

    contestant: Contestant
    python: Path
    variant: Variant | None

    def start(self, pngs: Sequence[bytes]) -> AbstractContextManager[Running]:
        """Its server, started and answering with and without maps."""
        first = [self.posts(pngs[:1], maps)[0] for maps in MAPS]
        environment = self.contestant.environment(self.variant, self.python)
        return running([str(self.python), *self.contestant.command], environment, first)

    def posts(self, pngs: Sequence[bytes], maps: str) -> list[Posted]:
        """The requests to it."""
        return [self.contestant.post(png, maps == "array") for png in pngs]


def ask_all(place: Place, pngs: Sequence[bytes], port: int, maps: str) -> list[Said]:
    """What a running server says of every picture.

    Raises:
        ServerError: it does not answer one of them, or with another status than 200.
    """
    found = []
    for posted in place.posts(pngs, maps):
        try:
            reply = post(port, posted, timeout_s=30)
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"it did not answer: {error!r}") from error
        if reply.status != http.HTTPStatus.OK:
            raise ServerError(f"it answered {reply.status}: {reply.body[:200]!r}")
        found.append(place.contestant.read(reply.body))
    return found


def reference(place: Place, pngs: Sequence[bytes]) -> dict[str, list[Said]]:
    """What this service says, to which the others are held."""
    with place.start(pngs) as server:
        return {maps: ask_all(place, pngs, server.port, maps) for maps in MAPS}


def trial(
    place: Place, pngs: Sequence[bytes], expected: dict[str, list[Said]], schedule: Schedule
) -> dict[str, Closed]:
    """Check every answer, then a short load of the most connections, by `maps`.

    Raises:
        ServerError, AnswerError: it does not start, or its answers are not this service's.
    """
    found = {}
    with place.start(pngs) as server:
        for maps in MAPS:
            for said, wanted in zip(ask_all(place, pngs, server.port, maps), expected[maps], strict=True):
                compare(said, wanted, maps=maps == "array")
        for maps in MAPS:
            with tempfile.TemporaryDirectory() as folder:
                write_requests(Path(folder), place.posts(pngs, maps), server.port)
                for seconds in (schedule.warm_up_seconds, schedule.trial_seconds):
                    found[maps] = run_wrk(
                        server.port, Path(folder), connections=schedule.connections[-1], seconds=seconds
                    )
    return found


def best_variant(trials: dict[Variant | None, dict[str, Closed]]) -> Variant | None:
    """The setting with the highest rate without maps, of those with few errors, if there are such."""

    def few_errors(found: dict[str, Closed]) -> bool:
        return all(one.errors <= MOST_ERRORS * one.requests for one in found.values())

    clean = {variant: found for variant, found in trials.items() if few_errors(found)} or trials
    return max(clean, key=lambda variant: clean[variant]["none"].per_second)


def visit(
    place: Place, pngs: Sequence[bytes], rates: dict[str, dict[str, float]], schedule: Schedule
) -> dict[str, Any]:
    """Everything that is measured of one server, by `maps`.

    Args:
        place: the server.
        pngs: what is posted.
        rates: by `maps`, the open loop's rates by their names.
        schedule: how long, and with how many connections.
    """
    found: dict[str, Any] = {}
    with place.start(pngs) as server:
        for maps in MAPS:
            with tempfile.TemporaryDirectory() as folder:
                requests = Path(folder)
                write_requests(requests, place.posts(pngs, maps), server.port)
                run_wrk(
                    server.port,
                    requests,
                    connections=schedule.connections[-1],
                    seconds=schedule.warm_up_seconds,
                )
                closed = {
                    str(connections): _closed(server, requests, connections, schedule.seconds)
                    for connections in schedule.connections
                }
                opened = {
                    name: _open(server.port, requests, rate, schedule.open_seconds)
                    for name, rate in rates[maps].items()
                }
            found[maps] = {"closed": closed, "open": opened}
    return found


def _closed(server: Running, requests: Path, connections: int, seconds: float) -> dict[str, float | None]:
    memory = [0]

    def look() -> None:
        memory.append(accounting.memory_bytes(server.processes()))

    before = accounting.cpu_seconds(server.processes())
    found = run_wrk(server.port, requests, connections=connections, seconds=seconds, meanwhile=look)
    after = accounting.cpu_seconds(server.processes())
    look()
    spent = accounting.cpu_spent(before, after)
    return {
        **found._asdict(),
        "cpu_ms": spent / found.requests * 1e3 if found.requests else None,  # of an answer, refusals included
        "memory_mb": max(memory) / 2**20,
    }


def _open(port: int, requests: Path, rate: float, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.serving.open_loop", str(requests)]
    options = {"--port": port, "--rate": rate, "--seconds": seconds}
    arguments = [str(part) for pair in options.items() for part in pair]
    done = subprocess.run([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
