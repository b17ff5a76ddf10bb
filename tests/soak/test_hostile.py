"""Mutated pictures and requests at a running service: nothing is lost, and it stays as large as it is.

For half of the time threads post files of every format whose lengths, counts, offsets and parts were changed;
for the other half others write random bytes and mutated requests to the service's socket. Every file has to
get an answer, a 200, a 413 or a 422, and no request a 500; `/healthz` is answered throughout; no worker is
replaced. The long test runs with `-m soak`: GLIMPSE_SOAK_SECONDS for each half (300), GLIMPSE_SOAK_SEED.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.running import SERVICE, Running, running
from benchmarks.serving.wire import HOST, Posted
from tests.soak.hostile_files import make_seeds, mutated
from tests.soak.watch import SEED, Tally, asking, growth, seconds, watch

THREADS = 6
ANSWER_S = 30.0
_DUE = frozenset((200, 413, 422))
_OCTETS = {"Content-Type": "application/octet-stream"}
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

Ask = Callable[[int, Tally, random.Random], None]
"""Asks a service at a port one thing."""


@pytest.mark.soak
def test_five_minutes_of_each() -> None:
    figures = attack(seconds(300.0), SEED)
    if out := os.environ.get("GLIMPSE_SOAK_OUT"):
        Path(out).write_text(json.dumps(figures), encoding="utf-8")
    check(figures)


def test_two_seconds_of_each() -> None:
    check(attack(2.0, seed=3))


def check(figures: dict[str, Any]) -> None:
    print(json.dumps(figures, indent=2))
    for half in figures.values():
        assert half["wrong"] == []
        assert half["asked"] > 10
        assert half["open_files"]["last"] < half["open_files"]["first"] + 50


def attack(lasts_s: float, seed: int) -> dict[str, Any]:
    """The figures of both halves, each of so many seconds."""
    picture = make_seeds()["PNG"][0]
    with running(SERVICE, {}, [Posted("/predict", _OCTETS, picture)]) as server:
        return {
            "files": _half(server, _files(), lasts_s, seed),
            "requests": _half(server, _requests(picture), lasts_s, seed),
        }


def _half(server: Running, ask: Ask, lasts_s: float, seed: int) -> dict[str, Any]:
    tally = Tally()

    def ask_on(number: int, stop: threading.Event) -> None:
        chance = random.Random(f"{seed}-{number}")
        while not stop.is_set():
            ask(server.port, tally, chance)

    probe = partial(_probe, server.port, tally)
    with asking(*(partial(ask_on, number) for number in range(THREADS)), probe):
        seen = watch(server, lasts_s)
    if len(seen["workers"]) > 1:
        tally.wrong.append(f"workers were replaced: {seen['workers']}")
    if grown := growth(seen["memory_mb"]):
        tally.wrong.append(grown)
    return {
        "seconds": lasts_s,
        "asked": tally.answers.total(),
        "answers": dict(sorted(tally.answers.items())),
        "wrong": tally.wrong[:20],
        "first_memory_mb": seen["memory_mb"][0],
        "last_memory_mb": seen["memory_mb"][-1],
        "most_memory_mb": max(seen["memory_mb"]),
        "open_files": {"first": seen["open_files"][0], "last": seen["open_files"][-1]},
        "slowest_healthz_ms": round(tally.slowest_healthz_s * 1000, 1),
    }


def _probe(port: int, tally: Tally, stop: threading.Event) -> None:
    """Ask ten times a second whether the service is alive, on connections of its own."""
    while not stop.wait(0.1):
        start = time.monotonic()
        try:
            connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_S)
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            tally.note("healthz", "none", repr(error))
            continue
        tally.note("healthz", str(status), "" if status == http.HTTPStatus.OK else "not 200")
        with tally.lock:
            tally.slowest_healthz_s = max(tally.slowest_healthz_s, time.monotonic() - start)


def _files() -> Ask:
    """Posts a mutated file of a format drawn by chance."""
    seeds = make_seeds()
    kinds = sorted(seeds)

    def ask(port: int, tally: Tally, chance: random.Random) -> None:
        kind = chance.choice(kinds)
        data = mutated(chance.choice(seeds[kind]), chance)
        connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_S)
        try:
            connection.request("POST", "/predict?maps=none", data, _OCTETS)
            answer = connection.getresponse()
            body, busy = answer.read(), answer.status == 503 and answer.headers.get("Retry-After")
            right = answer.status in _DUE or busy
            tally.note(kind, str(answer.status), "" if right else f"{body[:200]!r} for {data[:2000].hex()}")
        except (OSError, http.client.HTTPException) as error:
            tally.note(kind, "none", f"{error!r} for {data[:2000].hex()}")
        finally:
            connection.close()

    return ask


def _requests(picture: bytes) -> Ask:
    """Writes random bytes, or a right request with changes, to a connection of its own."""
    right = [
        Posted("/predict?maps=none", _OCTETS, picture),
        Posted(
            "/predict/batch?maps=none", {"Content-Type": "multipart/form-data; boundary=b"}, _form(picture)
        ),
        Posted("/v2/models/glimpse/infer", {"Content-Type": "application/json"}, b'{"inputs": []}'),
    ]

    def ask(port: int, tally: Tally, chance: random.Random) -> None:
        if chance.random() < 0.2:
            name, message = "random bytes", chance.randbytes(chance.choice((1, 20, 500, 70_000)))
        else:
            name, message = "mutated request", _mutated_request(chance.choice(right).to_bytes(port), chance)
        came = _exchange(port, message)
        if came is None:
            tally.note(name, "none", f"not closed within {ANSWER_S:g} s after {message[:500]!r}")
            return
        statuses = [status.decode() for status in _STATUS.findall(came)]
        bad = came and not came.startswith(b"HTTP/1.1 ")
        defect = next((status for status in statuses if status in {"500", "502", "504"}), "")
        wrong = f"{came[:200]!r} after {message[:500]!r}" if bad or defect else ""
        tally.note(name, defect or (statuses[0] if statuses else "closed"), wrong)

    return ask


def _exchange(port: int, message: bytes) -> bytes | None:
    """What a service answers to these bytes and no more; None where it does not close the connection."""
    came = b""
    with socket.create_connection((HOST, port), timeout=ANSWER_S) as connection:
        try:
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has answered early and closed
        try:
            while piece := connection.recv(65_536):
                came += piece
        except TimeoutError:
            return None
        except OSError:
            pass  # a reset: what was sent after an early answer
    return came


def _mutated_request(message: bytes, chance: random.Random) -> bytes:
    head, _, body = message.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines))
        kind = chance.randrange(7)
        if kind == 0:
            lines.insert(at, chance.choice(_ODD_LINES))
        elif kind == 1:
            lines.insert(at, lines[at])
        elif kind == 2:
            del lines[at]
            lines = lines or [b""]
        elif kind == 3:  # other numbers
            number = b"%d" % chance.choice((0, 1, 2**31, 2**63, 10**30, -1, chance.randint(0, 9999)))
            lines[at] = re.sub(rb"\d+", number, lines[at])
        elif kind == 4:
            place = chance.randint(0, len(lines[at]))
            lines[at] = lines[at][:place] + chance.randbytes(3) + lines[at][place:]
        elif kind == 5:
            body = body[: chance.randint(0, len(body))] + chance.randbytes(chance.choice((0, 9)))
        else:
            lines.append(b"Transfer-Encoding: chunked")
            length = chance.choice((b"%x" % len(body), b"0", b"ffffffffffffffff", b"-1", b"1;" + b"a" * 9000))
            body = length + b"\r\n" + body + b"\r\n0\r\n" + chance.choice((b"\r\n", b"A: b\r\n" * 500, b""))
    end = chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))
    return end.join(lines) + end + end + body


_ODD_LINES = (
    b"Expect: 100-continue",
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"Content-Length: 10",
    b"Content-Length: +10",
    b"Transfer-Encoding: chunked, identity",
    b"Content-Encoding: gzip",
    b"Host: a b",
    b" folded",
    b"X: " + b"a" * 70_000,
    b"\0: \0",
    b": nothing",
    b"PRI * HTTP/2.0",
)


def _form(picture: bytes) -> bytes:
    part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n%b\r\n' % picture
    return part * 3 + b"--b--\r\n"
