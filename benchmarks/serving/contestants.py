"""Who competes: how each is started, the settings it may have, how it is asked and its answer read."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.serving.answers import Said, read_list, read_object, read_tensors
from benchmarks.serving.wire import Posted

OURS = "glimpse"
_JSON = {"Content-Type": "application/json"}


class Variant(NamedTuple):
    """One setting of a peer: worker processes, threads of one model call, largest batch, longest wait."""

    workers: int
    threads: int
    batch: int
    wait_ms: float

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' * (self.workers != 1)}"
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{workers}, {threads}, batches to {self.batch}, wait {self.wait_ms:g} ms"


class Contestant(NamedTuple):
    """A server; without requirements it runs in the environment that this command runs in."""

    name: str
    title: str
    command: tuple[str, ...]  # after the interpreter
    requirements: tuple[str, ...] | None
    variants: tuple[Variant | None, ...]
    post: Callable[[bytes, bool], Posted]
    read: Callable[[bytes], Said]
    variables: Mapping[str, str] = {}

    def environment(self, variant: Variant | None, python: Path) -> dict[str, str]:
        """Its environment variables."""
        settings = {} if variant is None else variant._asdict()
        found = {f"PEER_{name.upper()}": str(value) for name, value in settings.items()}
        found |= self.variables
        if self.name == "pytriton":  # Triton's core loads libpython, which no environment of pip's holds
            library = python.resolve().parent.parent / "lib"
            found["LD_LIBRARY_PATH"] = f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
        return found


def _raw(png: bytes, maps: bool) -> Posted:
    return Posted(f"/predict?maps={'array' if maps else 'none'}", {"Content-Type": "image/png"}, png)


def _base64_list(png: bytes, maps: bool) -> Posted:
    body = orjson.dumps({"images": [base64.b64encode(png).decode("ascii")]})
    return Posted("/predict_with_maps" if maps else "/predict", _JSON, body)


def _base64_tensor(png: bytes, maps: bool) -> Posted:
    picture = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1, 1],
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(png).decode("ascii")],
    }
    return Posted(_model_path(maps), _JSON, orjson.dumps({"inputs": [picture]}))


def _binary_tensor(png: bytes, maps: bool) -> Posted:
    data = struct.pack("<I", len(png)) + png
    picture = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1, 1],
        "parameters": {"binary_data_size": len(data)},
    }
    header = orjson.dumps({"inputs": [picture]})
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(header)),
    }
    return Posted(_model_path(maps), headers, header + data)


def _model_path(maps: bool) -> str:
    return f"/v2/models/glimpse{'-maps' * maps}/infer"


def _peer(module: str) -> tuple[str, ...]:
    return ("-m", f"benchmarks.serving.peers.{module}")


CONTESTANTS = (
    Contestant(
        OURS,
        "this service",
        ("-m", "service", "--port", "{port}"),
        None,
        (None,),
        _raw,
        read_object,
        {"GLIMPSE_PROVIDER": "cpu"},
    ),
    Contestant("fastapi", "naive FastAPI", _peer("naive_fastapi"), None, (None,), _raw, read_object),
    Contestant(
        "litserve",
        "LitServe 0.2.19",
        _peer("litserve_server"),
        ("litserve==0.2.19",),
        (Variant(2, 1, 32, 2), Variant(2, 1, 16, 0), Variant(1, 2, 32, 2), Variant(1, 1, 32, 5)),
        _raw,
        read_object,
    ),
    Contestant(
        "bentoml",
        "BentoML 1.4.39",
        _peer("bentoml_server"),
        ("bentoml==1.4.39",),
        (Variant(2, 1, 32, 1000), Variant(2, 1, 16, 1000), Variant(1, 2, 32, 1000)),
        _base64_list,
        read_list,
        {"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Contestant(
        "ray",
        "Ray Serve 2.60.0",
        _peer("ray_serve_server"),
        ("ray[serve]==2.60.0",),
        (Variant(2, 1, 32, 5), Variant(2, 1, 32, 0), Variant(1, 2, 32, 5), Variant(1, 1, 32, 5)),
        _raw,
        read_object,
        {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Contestant(
        "mlserver",
        "MLServer 1.7.1",
        _peer("mlserver_server"),
        ("mlserver==1.7.1", "uvloop<0.22"),
        (Variant(0, 1, 32, 2), Variant(0, 2, 32, 2), Variant(1, 1, 32, 2), Variant(2, 1, 32, 5)),
        _base64_tensor,
        read_tensors,
    ),
    Contestant(
        "pytriton",
        "PyTriton 0.7.0",
        _peer("pytriton_server"),
        ("nvidia-pytriton==0.7.0", "numpy<2"),
        (Variant(2, 1, 32, 0), Variant(1, 2, 32, 0), Variant(1, 1, 32, 2), Variant(2, 1, 32, 2)),
        _binary_tensor,
        read_tensors,
    ),
)
