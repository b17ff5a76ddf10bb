"""The limit: decoding and the model in a loop, with nothing around them.

What no server of this model in Python can exceed on these cores: each core has a session of one thread and
works in batches, without HTTP, without JSON and without waiting for anybody.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from models.contract import MODEL_PATH
from service.inference.predictor import open_session
from service.inference.providers import CPU, Providers

NUMBERS = ("probabilities", "box", "attention", "digit_present")
MAPS = ("attention_map", "glimpse")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
Item = TypeVar("Item")
Scene = npt.NDArray[np.uint8]  # [100, 100]


class Rate(NamedTuple):
    """Pictures per second, and the processor's time for each, which others' work disturbs least."""

    per_second: float
    cpu_ms: float


def rate_of(do: Callable[[], object], pictures: int) -> Rate:
    """The rate of something that handles so many pictures in this process."""
    began, cpu_began = time.perf_counter(), time.process_time()
    do()
    taken, cpu_taken = time.perf_counter() - began, time.process_time() - cpu_began
    return Rate(pictures / taken, cpu_taken / pictures * 1000)


class Limit:
    """Sessions of one thread, one for each of some threads of this process."""

    def __init__(self, threads: int) -> None:
        providers = Providers((CPU,), required=True)
        self._sessions = [open_session(MODEL_PATH, providers, threads=1) for _ in range(threads)]

    def rate(self, items: Sequence[Item], read: Callable[[Item], Scene], batch: int, *, maps: bool) -> Rate:
        """The rate of reading and decoding all items and running the model on batches."""

        def work(number: int) -> None:
            mine = items[number :: len(self._sessions)]
            for start in range(0, len(mine), batch):
                _run(self._sessions[number], [read(item) for item in mine[start : start + batch]], maps)

        def all_of_it() -> None:
            with ThreadPoolExecutor(len(self._sessions)) as pool:
                list(pool.map(work, range(len(self._sessions))))

        return rate_of(all_of_it, len(items))

    def best_batch(self, items: Sequence[Item], read: Callable[[Item], Scene], *, maps: bool) -> int:
        """The batch that takes the least of the processor."""
        return min(BATCHES, key=lambda batch: self.rate(items, read, batch, maps=maps).cpu_ms)


def bare_ms(pngs: Sequence[bytes], *, maps: bool, threads: int) -> float:
    """The median of decoding and predicting one picture after the other, with the better thread count."""
    medians = []
    for count in {1, threads}:
        session = open_session(MODEL_PATH, Providers((CPU,), required=True), threads=count)
        taken = []
        for png in pngs:
            began = time.perf_counter()
            _run(session, [decode(png)], maps)
            taken.append(time.perf_counter() - began)
        medians.append(statistics.median(taken) * 1e3)
    return min(medians)


def decode(png: bytes) -> Scene:
    """A PNG by Pillow alone, without what the service guards against."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return np.asarray(image.convert("L"))


def _run(session: onnxruntime.InferenceSession, scenes: Sequence[Scene], maps: bool) -> None:
    session.run(list(NUMBERS + MAPS if maps else NUMBERS), {"scene": np.stack(scenes)[:, None]})
