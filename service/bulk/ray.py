"""Bulk work on many machines: actors of a Ray cluster make the parts, this process writes them to disk.

The nodes must see the files under the same paths and have this project's dependencies; code and model are
sent to them. If a node dies, another one makes its part again.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset

from models.contract import file_sha256, sidecar_path
from service.bulk.journal import Part
from service.bulk.rows import NO_ERROR, FileLimits, RowMaker, load_predictor
from service.bulk.run import ModelInfo
from service.bulk.runner import Persist, Progress, RunnerError
from service.inference.predictor import OnnxPredictor
from service.settings import ProviderChoice

PARTS_AT_ONCE = 4096
"""Parts that Ray holds at once: a million paths."""
PERSISTED_AT_ONCE = 16
"""Parts that are written to disk at once."""
_CODE = ("models", "scenes", "service")


class _ActorConfig(NamedTuple):
    """What an actor needs on its node."""

    model: bytes
    sidecar: bytes
    provider: ProviderChoice
    limits: FileLimits
    batch: int | None
    folder: str  # what relative paths begin at


class RayNodes:
    """The actors of a cluster, one for each CPU, or for each GPU where it has some and they may be used."""

    provider_note = ""  # the cluster decides where it runs

    def __init__(
        self,
        address: str,
        model_path: Path,
        provider: ProviderChoice,
        limits: FileLimits,
        workers: int | None,
        batch: int | None,
    ) -> None:
        """Join the cluster and load the model on one of its nodes.

        Args:
            address: `host:port` of its head, or `auto` for the one that runs on this machine.
            model_path: the model file; its sidecar lies beside it.
            provider: `auto` is CUDA where the cluster has GPUs, else the CPU, so that all nodes do the same.
            limits: what a file may measure.
            workers: most actors; as many as there are CPUs, or GPUs, by default.
            batch: pictures of one call of the model.

        Raises:
            RunnerError: the cluster cannot be reached, or the model cannot be loaded there.
            OSError: the model file cannot be read.
        """
        content = model_path.read_bytes(), sidecar_path(model_path).read_bytes()
        root = Path(__file__).resolve().parents[2]
        try:
            _reach(address)
            ray.init(
                address,
                runtime_env={"py_modules": [str(root / name) for name in _CODE]},
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise RunnerError(f"no Ray cluster can be joined at {address}: {error}") from error
        have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        on_gpu = provider == "cuda" or (provider == "auto" and have.get("GPU", 0) > 0)
        self._cpus: int | None = None if on_gpu else 1
        self._gpus: int | None = 1 if on_gpu else None
        kind = "GPU" if on_gpu else "CPU"
        if not have.get(kind, 0):
            print(f"The cluster has no {kind} yet: waiting for one.", file=sys.stderr)
        self._workers = workers or max(1, int(have.get(kind, 0)))
        self._config = _ActorConfig(
            *content,
            provider="cuda" if on_gpu else "cpu",
            limits=limits,
            batch=batch,
            folder=str(Path.cwd()),
        )
        try:
            describe = ray.remote(_describe).options(num_cpus=self._cpus, num_gpus=self._gpus)
            self.model: ModelInfo = ray.get(describe.remote(self._config))
        except ray.exceptions.RayError as error:
            raise RunnerError(f"the cluster at {address} cannot run the model: {_cause(error)}") from error

    def run(self, parts: Iterator[Part], persist: Persist, progress: Progress) -> None:
        """Make and persist the rows of all parts, in the order in which they are finished.

        Raises:
            RunnerError: the cluster cannot go on.
            OSError: the rows cannot be written.
        """
        context = DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        keeping: deque[Future[None]] = deque()
        # Many nodes make parts faster than one thread can write them.
        with ThreadPoolExecutor(PERSISTED_AT_ONCE) as pool:
            try:
                for made in self._made(parts):
                    lines = made["lines"].splitlines(keepends=True)
                    keeping.append(pool.submit(persist, made["number"], lines))
                    if len(keeping) > PERSISTED_AT_ONCE:
                        keeping.popleft().result()
                    progress(len(lines), sum(not line.endswith(NO_ERROR) for line in lines))
            except ray.exceptions.RayError as error:
                raise RunnerError(f"the cluster cannot go on: {_cause(error)}") from error
            finally:
                ray.shutdown()
            for kept in keeping:
                kept.result()

    def _made(self, parts: Iterator[Part]) -> Iterator[dict[str, Any]]:
        while window := list(islice(parts, PARTS_AT_ONCE)):
            yield from self._rows_of(window).iter_rows()

    def _rows_of(self, window: list[Part]) -> Dataset:
        items = [
            {"number": part.number, "paths": b"\0".join(map(os.fsencode, part.paths))} for part in window
        ]
        most = min(self._workers, len(window))
        # One block per part: a node's rows arrive here before it begins the next part.
        return ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _Actor,
            fn_constructor_args=(self._config,),
            batch_size=1,
            # All actors start at once, but one is enough to begin.
            compute=ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
            num_cpus=self._cpus,
            num_gpus=self._gpus,
        )


class _Actor:
    """Makes the rows of parts on some node."""

    def __init__(self, config: _ActorConfig) -> None:
        self._folder = config.folder
        self._maker = RowMaker(_load(config)[0], config.limits, config.batch)

    def __call__(self, parts: dict[str, Any]) -> dict[str, Any]:
        """The rows of a batch of parts, as lines of JSON."""
        return {"number": parts["number"], "lines": [self._lines(paths) for paths in parts["paths"]]}

    def _lines(self, paths: bytes) -> bytes:
        names = [os.fsdecode(name) for name in paths.split(b"\0")]
        if not all(map(os.path.isabs, names)):
            os.chdir(self._folder)
        return b"".join(row.to_json() for row in self._maker.rows(names, _ignore))


def _reach(address: str) -> None:
    """OSError if nothing listens there: Ray would retry for long, and then end this process itself."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _load(config: _ActorConfig) -> tuple[OnnxPredictor, str]:
    """The predictor on this node, and its file's hash; the session does not need the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(config.model)
        sidecar_path(path).write_bytes(config.sidecar)
        return load_predictor(path, config.provider), file_sha256(path)


def _describe(config: _ActorConfig) -> ModelInfo:
    predictor, sha256 = _load(config)
    return ModelInfo(
        name=predictor.name, version=predictor.version, sha256=sha256, provider=predictor.provider
    )


def _ignore(_: object) -> None:
    """Progress is reported per part, by the process that writes it."""


def _cause(error: BaseException) -> str:
    """The error on the node, without the stack that Ray writes before it."""
    return str(getattr(error, "cause", None) or error).strip().splitlines()[-1]
