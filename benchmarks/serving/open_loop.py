"""Requests at a fixed rate, whatever became of earlier ones.

A request is due at a time that was set beforehand, and its latency is counted from that time: it includes the
wait for a connection where all are taken. A generator that counts from the moment of sending leaves out the
very requests that a stalled server delays (coordinated omission). One thread and no framework, so that the
load costs little of the cores that the server needs as well. `docs/decisions/load-generators.md` says why no
other tool does this here.
"""

from __future__ import annotations

import argparse
import json
import math
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.serving.running import ROOT
from benchmarks.serving.wire import HOST, whole_answer

MOST_CONNECTIONS = 512
GRACE_S = 1.0
"""How long after the last request's time answers still count."""


class Outcome(NamedTuple):
    """What became of one request: status 0 where no answer came, latency then infinite."""

    status: int
    latency_s: float


class Load(NamedTuple):
    """All outcomes, in the order in which the requests were due, and how late this program itself was."""

    outcomes: list[Outcome]
    lateness_s: list[float]
    """From a request's time to its sending, of those for which a connection was free."""


class _Connection:
    """A kept connection with at most one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = bytearray()
        self.unsent = memoryview(b"")
        self.request = -1  # the number of the request that it waits for

    def send(self) -> bool:
        """Send what is unsent as far as it goes; whether all has gone."""
        while self.unsent:
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
            except BlockingIOError:
                return False
        return True

    def receive(self) -> int | None:
        """Take what has come: the status once the answer is whole, else None.

        Raises:
            ConnectionError: the server has closed the connection, or the answer is not HTTP.
        """
        try:
            came = self.socket.recv(1 << 18)
        except BlockingIOError:
            return None
        if not came:
            raise ConnectionError("closed by the server")
        self.received += came
        status = whole_answer(self.received)
        if status is not None:
            self.received.clear()
        return status


def run_open_loop(
    port: int, requests: Path, rate: float, seconds: float, meanwhile: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """The summary of a load from a process of its own.

    Args:
        port: where the server listens.
        requests: the folder that `wire.write_requests` has written.
        rate: requests a second.
        seconds: for how long.
        meanwhile: called every ten seconds of the load: reading the memory of processes stops them for
            milliseconds.

    Raises:
        RuntimeError: the process fails.
    """
    command = [sys.executable, "-m", "benchmarks.serving.open_loop", str(requests)]
    options = ["--port", str(port), "--rate", str(rate), "--seconds", str(seconds)]
    process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    output = None
    while output is None:
        try:
            output, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            meanwhile()
    if process.returncode:
        raise RuntimeError(f"the load ended with {process.returncode}")
    summary: dict[str, Any] = json.loads(output)
    return summary


def run_load(
    port: int, requests: Sequence[bytes], *, rate: float, seconds: float, grace_s: float = GRACE_S
) -> Load:
    """Post `rate` requests a second for `seconds`, evenly spaced, the given ones in turn."""
    count = max(1, round(rate * seconds))
    outcomes = [Outcome(0, math.inf)] * count
    lateness: list[float] = []
    connections: dict[int, _Connection] = {}
    idle: list[_Connection] = []
    waiting: deque[int] = deque()
    epoll = select.epoll()
    answered = following = 0
    began = time.perf_counter() + 0.05
    due = [began + number / rate for number in range(count)]
    deadline = due[-1] + grace_s

    def drop(connection: _Connection) -> None:
        connections.pop(connection.socket.fileno())
        connection.socket.close()  # which takes it out of epoll as well

    def take_connection() -> _Connection:
        if idle:
            return idle.pop()
        connection = _Connection(port)
        connections[connection.socket.fileno()] = connection
        epoll.register(connection.socket.fileno(), select.EPOLLIN)
        return connection

    def begin_waiting() -> int:
        """Send what waits, as far as there are connections; how many requests have failed at that."""
        failed = 0
        while waiting and (idle or len(connections) < MOST_CONNECTIONS):
            kept = bool(idle)
            number = waiting.popleft()
            try:
                connection = take_connection()
            except OSError:  # nobody listens
                failed += 1
                continue
            connection.request = number
            connection.unsent = memoryview(requests[number % len(requests)])
            try:
                if not connection.send():
                    epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
            except OSError:
                drop(connection)
                if kept:  # it was closed while nobody used it: the request takes another
                    waiting.appendleft(number)
                else:
                    failed += 1
        return failed

    def handle(connection: _Connection, event: int) -> bool:
        """Move one connection on; whether its request has come to an end."""
        try:
            if event & select.EPOLLOUT and connection.send():
                epoll.modify(connection.socket.fileno(), select.EPOLLIN)
            status = connection.receive()
        except OSError:
            was_idle = connection in idle
            if was_idle:
                idle.remove(connection)
            drop(connection)
            return not was_idle
        if status is None:
            return False
        outcomes[connection.request] = Outcome(status, time.perf_counter() - due[connection.request])
        idle.append(connection)
        return True

    try:
        while answered < count and (now := time.perf_counter()) < deadline:
            while following < count and due[following] <= now:
                if not waiting and (idle or len(connections) < MOST_CONNECTIONS):
                    lateness.append(now - due[following])
                waiting.append(following)
                following += 1
            answered += begin_waiting()
            upto = due[following] if following < count else deadline
            # epoll itself waits in whole milliseconds, select on it in microseconds.
            select.select([epoll.fileno()], [], [], max(0.0, upto - time.perf_counter()))
            for descriptor, event in epoll.poll(0):
                answered += handle(connections[descriptor], event)
    finally:
        epoll.close()
        for connection in connections.values():
            connection.socket.close()
    return Load(outcomes, lateness)


def summarise(load: Load, *, rate: float) -> dict[str, float | None]:
    """Counts and percentiles; a percentile that falls on a request without an answer is None.

    Percentiles are over all requests: one that was refused or never answered took for ever.
    """
    outcomes = load.outcomes
    answered = [outcome.status // 100 == 2 for outcome in outcomes]
    refused = [outcome.latency_s for outcome in outcomes if outcome.status in (429, 503)]
    latencies = [
        outcome.latency_s if good else math.inf for outcome, good in zip(outcomes, answered, strict=True)
    ]

    def ms(values: Sequence[float], share: float) -> float | None:
        value = percentile(values, share) if values else math.inf
        return value * 1e3 if math.isfinite(value) else None

    refusals = len(refused)
    failed = sum(outcome.status != 0 and not good for outcome, good in zip(outcomes, answered, strict=True))
    return {
        "rate": rate,
        "requests": len(outcomes),
        "answered_share": sum(answered) / len(outcomes),
        "refused": refusals,
        "failed": failed - refusals,
        "unanswered": sum(outcome.status == 0 for outcome in outcomes),
        "p50_ms": ms(latencies, 0.5),
        "p99_ms": ms(latencies, 0.99),
        "answered_p99_ms": ms([latency for latency in latencies if math.isfinite(latency)], 0.99),
        "refused_p99_ms": ms(refused, 0.99),
        "own_lateness_p99_ms": ms(load.lateness_s, 0.99),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank).

    Nothing is interpolated: the infinite value of a request nobody answered must not spread to others.

    Raises:
        ValueError: there is no value, or the share is not above 0 and at most 1.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"percentile: expected values and a share in (0, 1], got {len(values)} and {share}")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def main() -> None:
    """Make the load and print the summary as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("requests", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    files = sorted(options.requests.glob("*.http"), key=lambda path: int(path.stem))
    requests = [path.read_bytes() for path in files]
    load = run_load(options.port, requests, rate=options.rate, seconds=options.seconds)
    print(json.dumps(summarise(load, rate=options.rate)))


if __name__ == "__main__":
    main()
