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
    began = time.perf_counter() + 0.05
    due = [began + number / rate for number in range(max(1, round(rate * seconds)))]
    loop = _OpenLoop(port, requests, due)
    try:
        loop.run(due[-1] + grace_s)
    finally:
        loop.close()
    return Load(loop.outcomes, loop.lateness_s)


class _OpenLoop:
    """Posts each request when it is due, and notes what becomes of it."""

    def __init__(self, port: int, requests: Sequence[bytes], due: Sequence[float]) -> None:
        self._port, self._requests, self._due = port, requests, due
        self.outcomes = [Outcome(0, math.inf)] * len(due)
        self.lateness_s: list[float] = []
        self._waiting: deque[int] = deque()
        self._connections: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._epoll = select.epoll()

    def run(self, deadline: float) -> None:
        """Post and read until every request has come to an end, but not beyond the deadline."""
        count = len(self._due)
        ended = following = 0
        while ended < count and (now := time.perf_counter()) < deadline:
            while following < count and self._due[following] <= now:
                if not self._waiting and self._has_room:
                    self.lateness_s.append(now - self._due[following])
                self._waiting.append(following)
                following += 1
            ended += self._begin_waiting()
            upto = self._due[following] if following < count else deadline
            # epoll itself waits in whole milliseconds, select on it in microseconds.
            select.select([self._epoll.fileno()], [], [], max(0.0, upto - time.perf_counter()))
            for descriptor, event in self._epoll.poll(0):
                ended += self._handle(self._connections[descriptor], event)

    def close(self) -> None:
        """Close all connections."""
        self._epoll.close()
        for connection in self._connections.values():
            connection.socket.close()

    @property
    def _has_room(self) -> bool:
        return bool(self._idle) or len(self._connections) < MOST_CONNECTIONS

    def _begin_waiting(self) -> int:
        """Send waiting requests as far as there are connections; how many have failed at that."""
        failed = 0
        while self._waiting and self._has_room:
            was_idle = bool(self._idle)
            number = self._waiting.popleft()
            try:
                connection = self._idle.pop() if was_idle else self._connect()
            except OSError:  # nobody listens
                failed += 1
                continue
            connection.request = number
            connection.unsent = memoryview(self._requests[number % len(self._requests)])
            try:
                if not connection.send():
                    self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
            except OSError:
                self._drop(connection)
                if was_idle:  # it was closed while nobody used it: the request takes another
                    self._waiting.appendleft(number)
                else:
                    failed += 1
        return failed

    def _handle(self, connection: _Connection, event: int) -> bool:
        """Move one connection on; whether its request has come to an end."""
        try:
            if event & select.EPOLLOUT and connection.send():
                self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)
            status = connection.receive()
        except OSError:
            was_idle = connection in self._idle
            if was_idle:
                self._idle.remove(connection)
            self._drop(connection)
            return not was_idle
        if status is None:
            return False
        latency_s = time.perf_counter() - self._due[connection.request]
        self.outcomes[connection.request] = Outcome(status, latency_s)
        self._idle.append(connection)
        return True

    def _connect(self) -> _Connection:
        connection = _Connection(self._port)
        self._connections[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket.fileno(), select.EPOLLIN)
        return connection

    def _drop(self, connection: _Connection) -> None:
        self._connections.pop(connection.socket.fileno())
        connection.socket.close()  # which takes it out of epoll as well


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
