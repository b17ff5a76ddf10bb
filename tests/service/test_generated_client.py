"""A client that a generator has written from the document speaks to the service without being mended."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from service.http.uploads import IMAGE_TYPES
from tests.service.hostile import noise
from tests.service.listening import WAIT_S, listening
from tests.service.outside import make_app

PNG = noise("PNG", 100)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The package that `openapi-python-client` writes."""
    folder = tmp_path_factory.mktemp("generated")
    document = TestClient(make_app()).get("/openapi.json")
    (folder / "openapi.json").write_bytes(document.content)
    # The generator knows no pictures, but files.
    known = {
        "content_type_overrides": dict.fromkeys(IMAGE_TYPES, "application/octet-stream"),
        "post_hooks": [],
    }
    (folder / "config.yml").write_text(yaml.safe_dump(known), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "openapi_python_client",
        "generate",
        "--meta",
        "none",
        "--fail-on-warning",
    ]
    paths = ["--path", "openapi.json", "--config", "config.yml", "--output-path", "glimpse_client"]
    ended = subprocess.run([*command, *paths], cwd=folder, capture_output=True, text=True, timeout=120)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("glimpse_client")


@pytest.fixture(scope="module")
def client(generated: Any) -> Iterator[Any]:
    with listening(make_app(), timeout_s=WAIT_S) as server:
        host, port = server.address
        yield generated.Client(base_url=f"http://{host}:{port}", timeout=WAIT_S)


def operation(tag: str, name: str) -> Any:
    return importlib.import_module(f"glimpse_client.api.{tag}.{name}")


def part(name: str) -> Any:
    return getattr(importlib.import_module("glimpse_client.models"), name)


def a_file(data: bytes) -> Any:
    return importlib.import_module("glimpse_client.types").File(io.BytesIO(data), "scene.png", "image/png")


def test_it_predicts(client: Any) -> None:
    predict = operation("predictions", "predict")
    body = part("PredictFilesBody")(image=a_file(PNG))
    whole = predict.sync(client=client, body=body)
    assert isinstance(whole, part("PredictionAnswer"))
    assert len(whole.attention_map) == 100
    none = part("PredictMaps").NONE
    lean = predict.sync(client=client, body=part("PredictFilesBody")(image=a_file(PNG)), maps=none)
    assert (lean.label, lean.bbox) == (whole.label, whole.bbox)
    assert not lean.attention_map
    raw = predict.sync(client=client, body=a_file(PNG), maps=none)
    assert (raw.label, raw.bbox) == (whole.label, whole.bbox)
    refused = predict.sync(client=client, body=part("PredictFilesBody")(image=a_file(b"no picture")))
    assert isinstance(refused, part("Problem"))
    assert refused.status == 422
    assert "10 bytes" in refused.detail


def test_it_predicts_many(client: Any) -> None:
    batch = operation("predictions", "predict_batch")
    body = part("PredictBatchBody")(images=[a_file(PNG), a_file(b"no picture")])
    good, bad = batch.sync(client=client, body=body)
    assert isinstance(good, part("PredictionAnswer"))
    assert isinstance(bad, part("ErrorAnswer"))


def test_it_makes_scenes(client: Any) -> None:
    picture = operation("scenes", "synthesize").sync(client=client, seed=7)
    assert picture.payload.read().startswith(b"\x89PNG")
    made = operation("scenes", "synthesize_json").sync(client=client, seed=7, digit=3)
    assert (made.truth.label, made.parameters.seed) == (3, 7)
    assert not made.prediction
    asked = operation("scenes", "synthesize_json").sync(client=client, seed=7, predict=True)
    assert 0 <= asked.prediction.confidence <= 1
