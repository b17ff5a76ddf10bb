"""What the load generators count: wrk's output, percentiles, and the time from which an answer is late."""

from __future__ import annotations

import math
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.serving.closed_loop import Closed, read_output, run_wrk
from benchmarks.serving.open_loop import Load, Outcome, percentile, run_load, summarise
from benchmarks.serving.running import free_ports
from benchmarks.serving.wire import HOST, Posted, ask, whole_answer, write_requests

POSTED = Posted("/predict?maps=none", {"Content-Type": "image/png"}, b"\x89PNG of some sort")


@contextmanager
def answering(status: Callable[[int], int], wait_s: Callable[[int], float] = lambda _: 0.0) -> Iterator[int]:
    """A server whose n-th answer has that status, after that time; it answers one request after the other."""
    turn, lock = [0], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            assert self.rfile.read(int(self.headers["Content-Length"])) == POSTED.body
            with lock:
                number = turn[0]
                turn[0] += 1
                time.sleep(wait_s(number))
            body = b'{"label": 3}'
            self.send_response(status(number))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_wrk_counts_is_read() -> None:
    output = (
        "Running 1s test @ http://127.0.0.1:1/\n  Non-2xx or 3xx responses: 40\n"
        'counted {"requests": 1004, "duration_us": 2000000, "p50_us": 1500, "p99_us": 20250, "not_2xx": 4,'
        ' "broken": 2}\n'
    )
    assert read_output(output) == Closed(500.0, 1.5, 20.25, 1000, 6)


@pytest.mark.parametrize(("requests", "refused"), [(1040, 40), (0, 0), (40, 40)])
def test_latencies_of_refusals_are_not_those_of_answers(requests: int, refused: int) -> None:
    counts = f'"requests": {requests}, "duration_us": 1000000, "not_2xx": {refused}, "broken": 0'
    found = read_output(f'counted {{{counts}, "p50_us": 100, "p99_us": 200}}\n')
    assert found == Closed(requests - refused, None, None, requests - refused, refused)


def test_an_output_without_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        read_output("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed; the benchmark says so itself")
def test_wrk_posts_and_counts(tmp_path: Path) -> None:
    calls: list[int] = []
    with answering(lambda number: 503 if number % 4 == 3 else 200) as port:
        write_requests(tmp_path, [POSTED, POSTED], port)
        found = run_wrk(port, tmp_path, connections=2, seconds=1.5, meanwhile=lambda: calls.append(1))
    assert found.requests > 10
    assert found.errors == pytest.approx(found.requests / 3, abs=3)
    assert calls


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.99, 5.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0),
        ([float(i) for i in range(1, 101)], 0.99, 99.0),
        ([float(i) for i in range(1, 102)], 0.99, 100.0),
        ([1.0, 2.0, math.inf], 0.5, 2.0),
        ([1.0, math.inf, math.inf], 0.5, math.inf),
    ],
)
def test_percentiles_are_values_that_were_measured(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 50.0)])
def test_a_percentile_of_nothing_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, share)


def test_a_request_that_nobody_answered_took_for_ever() -> None:
    good = [Outcome(200, 0.001 * (i + 1)) for i in range(6)]
    refused = [Outcome(503, 0.002), Outcome(429, 0.004)]
    found = summarise(Load([*good, *refused, Outcome(500, 0.001), Outcome(0, math.inf)], [0.0]), rate=10)
    assert found["answered_share"] == 0.6
    assert (found["refused"], found["failed"], found["unanswered"]) == (2, 1, 1)
    assert found["p50_ms"] == pytest.approx(5.0)
    assert found["p99_ms"] is None
    assert found["answered_p99_ms"] == pytest.approx(6.0)
    assert found["refused_p99_ms"] == pytest.approx(4.0)


def test_the_open_loop_keeps_its_rate_and_hears_every_answer() -> None:
    with answering(lambda number: 503 if number % 4 == 3 else 200) as port:
        load = run_load(port, [POSTED.to_bytes(port)], rate=100, seconds=0.4)
    assert len(load.outcomes) == 40
    assert sorted({outcome.status for outcome in load.outcomes}) == [200, 503]
    assert sum(outcome.status == 503 for outcome in load.outcomes) == 10
    assert all(0 < outcome.latency_s < 1 for outcome in load.outcomes)


def test_a_stall_counts_for_every_request_that_was_due_in_it() -> None:
    """A server that stands still for 0.4 s delays all that were due meanwhile, by what was left of it."""
    stall_s, rate = 0.4, 50
    with answering(lambda _: 200, lambda number: stall_s if number == 10 else 0.0) as port:
        load = run_load(port, [POSTED.to_bytes(port)], rate=rate, seconds=0.8)
    latencies = [outcome.latency_s for outcome in load.outcomes]
    # The 11th waits for all of the stall; each that is due after it for 1/rate less.
    for later in range(int(stall_s * rate) - 2):
        assert latencies[10 + later] >= stall_s - later / rate - 0.01
    assert max(latencies[:10]) < stall_s / 2
    found = summarise(load, rate=rate)
    assert found["p99_ms"] is not None
    assert found["p99_ms"] >= stall_s * 1e3 - 10


def test_answers_after_the_grace_do_not_count() -> None:
    with answering(lambda _: 200, lambda number: 0.5 if number == 2 else 0.0) as port:
        load = run_load(port, [POSTED.to_bytes(port)], rate=50, seconds=0.1, grace_s=0.1)
    assert [outcome.status for outcome in load.outcomes] == [200, 200, 0, 0, 0]
    assert load.outcomes[4].latency_s == math.inf


def test_where_nobody_listens_nothing_is_answered() -> None:
    (port,) = free_ports(1)
    load = run_load(port, [POSTED.to_bytes(port)], rate=50, seconds=0.1, grace_s=0.1)
    assert {outcome.status for outcome in load.outcomes} == {0}


def test_connections_that_the_server_closes_are_made_anew() -> None:
    closed = []

    def serve(listening: socket.socket) -> None:
        for _ in range(6):
            one, _ = listening.accept()
            with one:
                while b"of some sort" not in one.recv(65536):
                    pass
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            closed.append(1)

    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        port = listening.getsockname()[1]
        load = run_load(port, [POSTED.to_bytes(port)], rate=20, seconds=0.3)
        thread.join(5)
    assert [outcome.status for outcome in load.outcomes] == [200] * 6


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{ }", None),
        (b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 4\r\nA: b\r\n\r\n{  }", 200),
        (b"HTTP/1.1 503 Busy\r\nContent-Length:0\r\n\r\n", 503),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200),
    ],
)
def test_an_answer_is_whole_when_all_of_it_is_there(received: bytes, status: int | None) -> None:
    assert whole_answer(bytearray(received)) == status


@pytest.mark.parametrize("received", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"])
def test_what_has_no_end_is_refused(received: bytes) -> None:
    with pytest.raises(ConnectionError):
        whole_answer(bytearray(received))


def test_all_send_the_same_request() -> None:
    with answering(lambda _: 200) as port:
        assert ask(port, POSTED, timeout_s=5) == (200, b'{"label": 3}')
    assert POSTED.to_bytes(81) == (
        b"POST /predict?maps=none HTTP/1.1\r\nHost: 127.0.0.1:81\r\nContent-Length: 17\r\n"
        b"Content-Type: image/png\r\n\r\n\x89PNG of some sort"
    )
