"""`python -m benchmarks.soak`: ten minutes of mixed load with faults; nothing may be lost, memory stays flat.

Threads ask in turn for predictions of small pictures with and without maps, photographs, batches with broken
files, scenes, tensors (`/v2`) and metrics, and send broken and oversized pictures; one client hangs up in the
middle, again and again. Now and then a worker process is killed or stopped. Every answer has to be what is
due: a 200, a 4xx for what is broken, or a 503 with `Retry-After`; no connection may be reset. Memory of all
processes is noted each second, and its last third compared with its second third.

Writes `benchmarks/results/soak.json`.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import psutil
from PIL import Image

from benchmarks.results import write_result
from benchmarks.serving.accounting import memory_bytes
from benchmarks.serving.pictures import make_pictures
from benchmarks.serving.running import SERVICE, Running, running
from benchmarks.serving.wire import HOST, Posted

THREADS = 12
FAULT_EVERY_S = 20.0
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


@dataclass
class Tally:
    """What has come back so far; guarded by its lock."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: Kind, status: int, retry_after: str | None, body: bytes) -> None:
        """Count an answer, and keep it where it was not due."""
        with self.lock:
            self.answers[f"{kind.name}: {status}"] += 1
            if status not in kind.due and not (status == 503 and retry_after is not None):
                self.wrong.append(f"{kind.name}: {status} {body[:120]!r}")

    def fail(self, kind: Kind, error: Exception) -> None:
        """Keep a request that got no answer."""
        with self.lock:
            self.wrong.append(f"{kind.name}: {error!r}")


def main() -> None:
    """Load, break, watch, write the result file; the exit status is 1 where anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    figures = soak(options.seconds, options.seed)
    print(json.dumps(figures, indent=2))
    command = f"python -m benchmarks.soak --seconds {options.seconds:g} --seed {options.seed}"
    print(f"wrote {write_result('soak', command, figures, threads=os.cpu_count() or 1)}")
    raise SystemExit(1 if figures["wrong"] else 0)


def soak(seconds: float, seed: int) -> dict[str, Any]:
    """The figures of one soak."""
    kinds = make_kinds()
    tally, stop = Tally(), threading.Event()
    with running(SERVICE, {}, [Posted("/predict", _PNG, kinds[0].body)]) as server:
        threads = [
            threading.Thread(target=ask, args=(server.port, kinds, tally, stop, random.Random(seed + number)))
            for number in range(THREADS)
        ]
        threads.append(threading.Thread(target=hang_up, args=(server.port, kinds[0].body, stop)))
        for thread in threads:
            thread.start()
        memory, faults = watch(server, seconds, random.Random(seed))
        stop.set()
        for thread in threads:
            thread.join()
    third = len(memory) // 3
    early, late = median(memory[third : 2 * third]), median(memory[2 * third :])
    return {
        "seconds": seconds,
        "requests": sum(tally.answers.values()),
        "answers": dict(sorted(tally.answers.items())),
        "wrong": tally.wrong[:20],
        "faults": faults,
        "memory_mb": {
            "second_third": round(early / 2**20, 1),
            "last_third": round(late / 2**20, 1),
            "most": round(max(memory) / 2**20, 1),
        },
    }


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


def ask(port: int, kinds: list[Kind], tally: Tally, stop: threading.Event, chance: random.Random) -> None:
    """Ask one thing after another on one connection, until told to stop."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    weights = [kind.weight for kind in kinds]
    while not stop.is_set():
        (kind,) = chance.choices(kinds, weights)
        try:
            connection.request(kind.method, kind.path, kind.body or None, kind.headers)
            answer = connection.getresponse()
            tally.note(kind, answer.status, answer.headers.get("Retry-After"), answer.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            tally.fail(kind, error)


def hang_up(port: int, picture: bytes, stop: threading.Event) -> None:
    """Again and again, begin a request and go: in its body, or before its answer."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    message = head % len(picture) + picture
    for number in range(10**9):
        if stop.wait(0.1):
            return
        with socket.create_connection((HOST, port)) as connection:
            connection.sendall(message[: len(message) // 2] if number % 2 else message)


def watch(server: Running, seconds: float, chance: random.Random) -> tuple[list[int], dict[str, int]]:
    """Note the memory each second; kill or stop a worker now and then. Bytes, and how often each fault."""
    memory: list[int] = []
    faults: Counter[str] = Counter()
    end, next_fault = time.monotonic() + seconds, time.monotonic() + FAULT_EVERY_S
    while time.monotonic() < end:
        time.sleep(1)
        memory.append(memory_bytes(server.processes()))
        # The last faults are early enough for all to be answered.
        if next_fault < time.monotonic() < end - FAULT_EVERY_S:
            next_fault += FAULT_EVERY_S
            workers = [one for one in server.processes() if "service.inference.worker" in _command(one)]
            fault = chance.choice((signal.SIGKILL, signal.SIGSTOP))
            os.kill(chance.choice(workers).pid, fault)
            faults[f"worker {'killed' if fault == signal.SIGKILL else 'stopped'}"] += 1
    return memory, dict(faults)


def _command(process: psutil.Process) -> list[str]:
    try:
        found: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return found


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


if __name__ == "__main__":
    main()
