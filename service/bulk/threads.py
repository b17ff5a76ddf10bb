"""Bulk work on one machine: threads that each read, decode and predict parts with a model of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, Lock

from models.contract import file_sha256
from service.bulk.journal import Part
from service.bulk.rows import FileLimits, Row, RowMaker, load_predictor
from service.bulk.run import ModelInfo
from service.bulk.runner import Persist, Progress
from service.inference.providers import CPU
from service.settings import ProviderChoice


class ModelThreads:
    """Threads on this machine. On a CPU each has a session with one thread, a GPU is shared by all."""

    def __init__(
        self, model_path: Path, provider: ProviderChoice, limits: FileLimits, workers: int, batch: int | None
    ) -> None:
        """Begin to load the model; its first use waits for it, and raises what `OnnxPredictor` raises."""
        self._model_path, self._provider, self._limits = model_path, provider, limits
        self._workers, self._batch = workers, batch
        loading = ThreadPoolExecutor(1)
        self._first = loading.submit(load_predictor, model_path, provider)
        loading.shutdown(wait=False)

    @property
    def model(self) -> ModelInfo:
        """The model that makes the rows, and where it runs."""
        first = self._first.result()
        return ModelInfo(
            name=first.name,
            version=first.version,
            sha256=file_sha256(self._model_path),
            provider=first.provider,
        )

    @property
    def provider_note(self) -> str:
        """Why it runs on the CPU although a GPU was allowed; else empty."""
        return self._first.result().provider_note

    def run(self, parts: Iterator[Part], persist: Persist, progress: Progress) -> None:
        """Make and persist the rows of all parts.

        An error in one thread, or an interrupt, ends all threads after their current batch.

        Raises:
            PredictorError: the model cannot answer.
            OSError: the rows cannot be written.
        """
        taking, stop = Lock(), Event()

        def tell(rows: Sequence[Row]) -> None:
            progress(len(rows), sum(row.error is not None for row in rows))
            if stop.is_set():
                raise _Stopped

        def work(number: int) -> None:
            predictor = self._first.result()
            if number and predictor.provider == CPU:
                predictor = load_predictor(self._model_path, self._provider)
            maker = RowMaker(predictor, self._limits, self._batch)
            kept: Future[None] | None = None
            while True:
                with taking:
                    part = next(parts, None)
                lines = [row.to_json() for row in maker.rows(part.paths, tell)] if part else []
                # While a part is written to disk, its thread makes the next one, but no more than that.
                if kept:
                    kept.result()
                if part is None:
                    return
                kept = keeping.submit(persist, part.number, lines)

        with ThreadPoolExecutor(self._workers) as keeping, ThreadPoolExecutor(self._workers) as pool:
            working = [pool.submit(work, number) for number in range(self._workers)]
            try:
                for ended in as_completed(working):
                    ended.result()
            except BaseException:
                stop.set()
                raise


class _Stopped(Exception):  # noqa: N818 - nothing went wrong in the thread that raises it
    """Another thread has failed, or the user has interrupted the run."""
