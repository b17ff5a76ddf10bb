"""Whether others are served while one client asks for much.

1. Single photographs of 12 megapixels, one after the other: alone, and beside a client that posts batches of
   30 of them without a pause.
2. Single scenes, one after the other: beside 8 connections that ask for scenes at `/synthesize`, and beside
   150.

Each time the mark is that the 95th percentile of the latency at most doubles. The load comes from this
process and from wrk, on the same cores as the service.
"""

from __future__ import annotations

import http
import io
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
from PIL import Image

from benchmarks.documents import SERVICE_PAGE, table
from benchmarks.results import parser, publish
from benchmarks.serving.closed_loop import require_wrk
from benchmarks.serving.pictures import make_pictures, make_requests
from benchmarks.serving.running import SERVICE, Running, running
from benchmarks.serving.wire import HOST, Posted, ask

PHOTOGRAPH_PX = (4032, 3024)
IN_A_BATCH = 30
FEW, MANY = 8, 150
_SCENES = "/synthesize?clutter=16&noise=0.4"
_BOUNDARY = "batch"
_ANSWER_S = 120.0


def photograph() -> bytes:
    """A JPEG of 12 megapixels and about half a megabyte: a dark stroke on a page lit unevenly."""
    random = np.random.default_rng(0)
    width, height = PHOTOGRAPH_PX
    light = Image.fromarray(random.uniform(140, 230, (6, 8)).astype(np.float32)).resize(PHOTOGRAPH_PX)
    page = np.asarray(light) + random.normal(0, 2, (height, width))
    page[height // 4 : 3 * height // 4, width // 2 : width // 2 + 160] = 40
    stream = io.BytesIO()
    Image.fromarray(page.clip(0, 255).astype(np.uint8)).convert("RGB").save(stream, "JPEG", quality=70)
    return stream.getvalue()


def batch_of(picture: bytes) -> Posted:
    """The same picture many times, as a form."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
    part = head.encode() + picture + b"\r\n"
    content = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    return Posted("/predict/batch?maps=none", content, part * IN_A_BATCH + f"--{_BOUNDARY}--\r\n".encode())


@contextmanager
def batches(server: Running, post: Posted) -> Iterator[Counter[str]]:
    """Batches posted without a pause; counts what became of their pictures."""
    became: Counter[str] = Counter()
    stop = threading.Event()

    def ask_on() -> None:
        while not stop.is_set():
            reply = ask(server.port, post, _ANSWER_S)
            if reply.status != http.HTTPStatus.OK:
                became[f"refused as a whole: {reply.status}"] += IN_A_BATCH
                continue
            for answer in orjson.loads(reply.body):
                became["answered" if "label" in answer else answer["detail"]] += 1

    client = threading.Thread(target=ask_on)
    client.start()
    try:
        yield became
    finally:
        stop.set()
        client.join()


@contextmanager
def flood(server: Running, connections: int, seconds: float) -> Iterator[None]:
    """So many connections that ask for scenes without a pause, for at most so many seconds."""
    load = ("-t", "1", "-c", str(connections), "-d", f"{-int(-seconds // 1)}s", "--timeout", "10s")
    address = f"http://{HOST}:{server.port}{_SCENES}"
    process = subprocess.Popen([require_wrk(), *load, address], stdout=subprocess.DEVNULL)
    try:
        time.sleep(1.0)  # until all of them are connected
        yield
    finally:
        process.kill()
        process.wait()


def latencies_s(server: Running, posts: Sequence[Posted], count: int) -> list[float]:
    """How long each of `count` posts took, one after the other.

    Raises:
        RuntimeError: one of them was not answered with 200.
    """
    took = []
    for number in range(count):
        start = time.perf_counter()
        reply = ask(server.port, posts[number % len(posts)], _ANSWER_S)
        took.append(time.perf_counter() - start)
        if reply.status != http.HTTPStatus.OK:
            raise RuntimeError(f"a single picture got {reply.status}: {reply.body[:200]!r}")
    return took


def measure(photographs: int, scenes: int) -> dict[str, Any]:
    """All figures, from so many single photographs and scenes in each part."""
    picture = photograph()
    single = [Posted("/predict?maps=none", {"Content-Type": "image/jpeg"}, picture)]
    posts = make_requests(make_pictures())
    with running(SERVICE, {}, posts[:1]) as server:
        latencies_s(server, single, 3)  # warm
        alone = latencies_s(server, single, photographs)
        with batches(server, batch_of(picture)) as became:
            time.sleep(1.0)
            beside = latencies_s(server, single, photographs)
        floods = {}
        for connections in (FEW, MANY):
            with flood(server, connections, seconds=600):
                floods[connections] = latencies_s(server, posts, scenes)
    return {
        "photograph_bytes": len(picture),
        "photographs": _compared(alone, beside),
        "in_batches": dict(became),
        "scenes": _compared(floods[FEW], floods[MANY]),
    }


def _compared(before: Sequence[float], beside: Sequence[float]) -> dict[str, float]:
    p95 = [float(np.percentile(took, 95)) * 1e3 for took in (before, beside)]
    return {
        "count": len(before),
        "p95_before_ms": round(p95[0], 2),
        "p95_beside_ms": round(p95[1], 2),
        "times": round(p95[1] / p95[0], 3),
    }


def markdown_table(figures: dict[str, Any]) -> str:
    """Both comparisons."""
    rows = []
    for what, beside, found in (
        ("a photograph of 12 megapixels", f"batches of {IN_A_BATCH} of them", figures["photographs"]),
        (
            f"a scene, beside {FEW} connections at `/synthesize`",
            f"{MANY} connections there",
            figures["scenes"],
        ),
    ):
        before, then = (f"{found[name]:.0f} ms" for name in ("p95_before_ms", "p95_beside_ms"))
        rows.append((what, before, beside, then, f"{found['times']:.1f}"))
    return table(("single requests, one after the other", "p95", "beside", "p95", "times as long"), rows)


def main(arguments: Sequence[str]) -> None:
    """Measure, print a Markdown table, write the result file."""
    options_of = parser(__name__, __doc__)
    options_of.add_argument("--photographs", type=int, default=40, help="single ones in each part (40)")
    options_of.add_argument("--scenes", type=int, default=400, help="single ones in each part (400)")
    options = options_of.parse_args(arguments)
    require_wrk()
    figures = measure(options.photographs, options.scenes)
    table_ = markdown_table(figures)
    publish("fairness", figures, table_, pages=(SERVICE_PAGE,), threads=os.cpu_count() or 1)
