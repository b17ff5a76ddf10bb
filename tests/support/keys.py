"""Requests that carry keys."""

from __future__ import annotations

import numpy as np
from fastapi.testclient import TestClient

from tests.service.fakes import encode

SCENE = encode(np.eye(100, dtype=np.uint8) * 255)


def ask(client: TestClient, **headers: str | bytes) -> int:
    given = {name.replace("_", "-").encode(): _bytes(value) for name, value in headers.items()}
    given[b"Content-Type"] = b"image/png"
    return client.post("/predict?maps=none", content=SCENE, headers=given).status_code


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("ascii")
