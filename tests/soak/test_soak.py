"""Ten minutes of mixed load with faults: nothing is lost, and memory stays flat.

Threads ask in turn for predictions of small pictures with and without maps, photographs, batches with broken
files, scenes, tensors (`/v2`) and metrics, and send broken and oversized pictures; one client hangs up in the
middle, again and again. Every 20 s a worker process is killed or stopped. Every answer has to be what is due:
a 200, a 4xx for what is broken, or a 503 with `Retry-After`; no connection may be reset. The long test runs
with `-m soak`: GLIMPSE_SOAK_SECONDS (600), GLIMPSE_SOAK_SEED.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import signal
import socket
import threading
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from benchmarks.serving.pictures import make_pictures
from benchmarks.serving.running import SERVICE, running
from benchmarks.serving.wire import HOST, Posted
from tests.soak.watch import SEED, Tally, asking, growth, seconds, watch, workers_of

THREADS = 12
FAULT_EVERY_S = 20
_PNG = {"Content-Type": "image/png"}


class Kind(NamedTuple):
    """A kind of request: how often among all, what is sent, and which statuses are right."""

    name: str
    weight: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    due: frozenset[int]


@pytest.mark.soak
def test_nothing_is_lost_while_workers_are_killed_and_stopped() -> None:
    lasts_s, chance = seconds(600.0), random.Random(SEED)
    kinds, tally, faults = make_kinds(), Tally(), Counter[str]()
    first = [Posted("/predict", _PNG, kinds[0].body)]
    with running(SERVICE, {"GLIMPSE_PROVIDER": "cpu"}, first) as server:

        def harm(left_s: float) -> None:
            # The last faults are early enough for all to be answered.
            if left_s < FAULT_EVERY_S or (lasts_s - left_s) // FAULT_EVERY_S <= faults.total():
                return
            fault = chance.choice((signal.SIGKILL, signal.SIGSTOP))
            os.kill(chance.choice(workers_of(server)).pid, fault)
            faults[fault.name] += 1

        asks = [
            partial(ask, server.port, kinds, tally, random.Random(SEED + number)) for number in range(THREADS)
        ]
        with asking(*asks, partial(hang_up, server.port, kinds[0].body)):
            seen = watch(server, lasts_s, harm)
    print(json.dumps({"answers": tally.answers, "faults": faults, "memory_mb": max(seen["memory_mb"])}))
    assert tally.wrong == []
    assert growth(seen["memory_mb"]) == ""


def test_every_kind_of_request_gets_what_it_is_due() -> None:
    kinds, tally = make_kinds(), Tally()
    first = [Posted("/predict", kinds[0].headers, kinds[0].body)]
    with running(SERVICE, {"GLIMPSE_PROVIDER": "cpu"}, first) as server:
        for kind in kinds:
            ask(server.port, [kind], tally, random.Random(0), _Once())
    assert tally.wrong == []
    assert len(tally.answers) == len(kinds)


def test_an_answer_that_was_not_due_is_kept() -> None:
    right, broken = (
        Kind(name, 1, "POST", "/predict", {}, b"", frozenset({status}))
        for name, status in (("right", 200), ("broken", 422))
    )
    tally = Tally()
    for kind, status, retry_after in (
        (right, 200, None),
        (right, 503, "1"),
        (broken, 422, None),
        (broken, 503, "1"),
    ):
        note(tally, kind, status, retry_after, b"")
    assert tally.wrong == []
    note(tally, right, 503, None, b"no word when")
    note(tally, right, 500, None, b"")
    note(tally, broken, 200, None, b"")
    assert [text.partition(": b'")[0] for text in tally.wrong] == ["right: 503", "right: 500", "broken: 200"]


class _Once(threading.Event):
    """Not set when it is asked first, and set from then on."""

    def is_set(self) -> bool:
        found = super().is_set()
        self.set()
        return found


def note(tally: Tally, kind: Kind, status: int, retry_after: str | None, body: bytes) -> None:
    """Count an answer, and keep it where it was not due."""
    due = status in kind.due or (status == 503 and retry_after is not None)
    tally.note(kind.name, str(status), "" if due else repr(body[:120]))


def make_kinds() -> list[Kind]:
    """What is asked."""
    pngs = make_pictures()
    photo = _photograph()
    right, broken = frozenset({200}), frozenset({422})
    scene = np.asarray(Image.open(io.BytesIO(pngs[0])).convert("L"))
    values = scene.ravel().tolist()
    scenes = {"name": "scene", "shape": [1, 1, 100, 100], "datatype": "UINT8", "data": values}
    tensor = json.dumps({"inputs": [scenes]}).encode()
    form, files = _form([pngs[1], b"broken", pngs[2], photo])
    return [
        Kind("predict", 30, "POST", "/predict?maps=none", _PNG, pngs[0], right),
        Kind("predict with maps", 10, "POST", "/predict", _PNG, pngs[3], right),
        Kind("maps as PNG", 3, "POST", "/predict?maps=png", _PNG, pngs[4], right),
        Kind("photograph", 2, "POST", "/predict?maps=none", {"Content-Type": "image/jpeg"}, photo, right),
        Kind("batch", 3, "POST", "/predict/batch?maps=none", form, files, right),
        Kind("synthesize", 3, "GET", "/synthesize?format=json&predict=true", {}, b"", right),
        Kind("tensor", 2, "POST", "/v2/models/glimpse/infer", {}, tensor, right),
        Kind("metrics", 1, "GET", "/metrics", {}, b"", right),
        Kind("page", 1, "GET", "/", {}, b"", right),
        Kind("cut off", 3, "POST", "/predict", _PNG, pngs[5][:1000], broken),
        Kind("no picture", 2, "POST", "/predict", _PNG, b"<html>", broken),
        Kind("text", 1, "POST", "/predict", {"Content-Type": "text/plain"}, b"3", frozenset({415})),
        Kind("bomb", 1, "POST", "/predict", _PNG, _bomb(), frozenset({413})),
        Kind("bad parameter", 1, "GET", "/synthesize?size=nan", {}, b"", broken),
    ]


def ask(port: int, kinds: list[Kind], tally: Tally, chance: random.Random, stop: threading.Event) -> None:
    """Ask one thing after another on one connection, until told to stop."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    weights = [kind.weight for kind in kinds]
    while not stop.is_set():
        (kind,) = chance.choices(kinds, weights)
        try:
            connection.request(kind.method, kind.path, kind.body or None, kind.headers)
            answer = connection.getresponse()
            note(tally, kind, answer.status, answer.headers.get("Retry-After"), answer.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            tally.note(kind.name, "none", repr(error))


def hang_up(port: int, picture: bytes, stop: threading.Event) -> None:
    """Again and again, begin a request and go: in its body, or before its answer."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    message = head % len(picture) + picture
    for number in range(10**9):
        if stop.wait(0.1):
            return
        with socket.create_connection((HOST, port)) as connection:
            connection.sendall(message[: len(message) // 2] if number % 2 else message)


def _photograph() -> bytes:
    """A JPEG of 12 megapixels."""
    rows = np.linspace(0, 255, 3000, dtype=np.float32)[:, None]
    noise = np.random.default_rng(0).normal(0, 20, (3000, 4000))
    return _save(Image.fromarray(np.clip(rows + noise, 0, 255).astype(np.uint8)), "JPEG", quality=60)


def _bomb() -> bytes:
    """A small PNG of 100 megapixels."""
    return _save(Image.new("1", (10_000, 10_000)), "PNG")


def _save(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _form(files: list[bytes]) -> tuple[dict[str, str], bytes]:
    """Headers and body of a form with these files in the field `images`."""
    part = b'--soak\r\nContent-Disposition: form-data; name="images"; filename="%d"\r\n\r\n%b\r\n'
    body = b"".join(part % (number, data) for number, data in enumerate(files)) + b"--soak--\r\n"
    return {"Content-Type": "multipart/form-data; boundary=soak"}, body
