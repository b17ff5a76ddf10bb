"""`python -m benchmarks.serving.limit`: the same decoding and model in a loop, with nothing around them.

What no server of this model in Python can exceed on these cores: each core has a session of one thread and
works on pictures that are in memory already, in batches, without HTTP, without JSON and without waiting for
anybody.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving.peers.onnx_model import OnnxModel
from benchmarks.serving.percentiles import percentile

ROOT = Path(__file__).resolve().parents[2]
BATCHES = (1, 2, 4, 8, 16, 32, 64)
_START_S = 2.0


class Way(NamedTuple):
    """How the cores share the work: threads of one process, or processes of one thread."""

    processes: int
    threads: int
    batch: int

    def __str__(self) -> str:
        workers = f"{self.processes} processes" if self.processes > 1 else f"{self.threads} threads"
        return f"{workers}, batches of {self.batch}"


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def all_ways(cores: int, batches: Sequence[int] = BATCHES) -> list[Way]:
    """Every way that is tried."""
    ways = [Way(1, cores, batch) for batch in batches]
    return ways + ([Way(cores, 1, batch) for batch in batches] if cores > 1 else [])


def pictures_per_second(folder: Path, way: Way, *, maps: bool, seconds: float) -> float:
    """The rate of one way, in processes of their own that begin at one time."""
    # Long enough for onnxruntime and the model to be loaded in each.
    starts_at = time.time() + _START_S
    arguments = [*("--threads", way.threads), *("--batch", way.batch), *("--seconds", seconds)]
    found = _call(folder, [*arguments, "--starts-at", starts_at], maps=maps, times=way.processes)
    return sum(one["per_second"] for one in found)


def bare_ms(folder: Path, *, maps: bool, seconds: float) -> float:
    """The median of decoding and predicting one picture after the other, with the better thread count."""
    return min(
        _call(folder, ["--bare", "--threads", threads, "--seconds", seconds], maps=maps)[0]["p50_ms"]
        for threads in {1, usable_cores()}
    )


def _call(folder: Path, arguments: Sequence[object], *, maps: bool, times: int = 1) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.serving.limit", str(folder), *map(str, arguments)]
    started = [
        subprocess.Popen([*command, *(["--maps"] if maps else [])], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(times)
    ]
    outputs = [process.communicate()[0] for process in started]
    for process in started:
        if process.returncode != 0:
            raise RuntimeError(f"the limit was not measured: its process ended with {process.returncode}")
    return [json.loads(output) for output in outputs]


def _loop(model: OnnxModel, pngs: Sequence[bytes], batch: int, maps: bool, until: float) -> int:
    """How many pictures are done by then, whole batches."""
    done = 0
    while time.time() < until:
        model.arrays([pngs[(done + i) % len(pngs)] for i in range(batch)], maps=maps)
        done += batch
    return done


def _rate(pngs: Sequence[bytes], options: argparse.Namespace) -> float:
    models = [OnnxModel(threads=1) for _ in range(options.threads)]
    for model in models:
        _loop(model, pngs, options.batch, options.maps, time.time())
    late = time.time() - options.starts_at
    if late > 0:
        raise SystemExit(f"loading took {late:.1f} s more than the {_START_S:g} s that it was given")
    counts = [0.0] * len(models)

    def work(index: int) -> None:
        time.sleep(max(0.0, options.starts_at - time.time()))
        began = time.perf_counter()
        done = _loop(models[index], pngs, options.batch, options.maps, options.starts_at + options.seconds)
        counts[index] = done / (time.perf_counter() - began)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _bare_p50_ms(pngs: Sequence[bytes], options: argparse.Namespace) -> float:
    model = OnnxModel(options.threads)
    times: list[float] = []
    until = time.perf_counter() + options.seconds
    while (began := time.perf_counter()) < until:
        model.arrays([pngs[len(times) % len(pngs)]], maps=options.maps)
        times.append(time.perf_counter() - began)
    return percentile(times, 0.5) * 1e3


def main() -> None:
    """Measure one way and print it as JSON; `benchmarks.serving` calls this."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.limit", description=__doc__)
    parser.add_argument("pictures", type=Path, help="a folder of PNGs")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--maps", action="store_true", help="ask the model for the maps as well")
    parser.add_argument("--bare", action="store_true", help="one picture after the other: the median's time")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--starts-at", type=float, default=time.time() + _START_S)
    options = parser.parse_args()
    pngs = [path.read_bytes() for path in sorted(options.pictures.glob("*.png"))]
    if options.bare:
        print(json.dumps({"p50_ms": _bare_p50_ms(pngs, options)}))
    else:
        print(json.dumps({"per_second": _rate(pngs, options)}))


if __name__ == "__main__":
    main()
