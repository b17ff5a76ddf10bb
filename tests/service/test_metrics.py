from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.monitoring.metrics import Metrics
from tests.service.fakes import BlobPredictor, encode
from tests.service.outside import make_app
from tests.support.exposition import Samples, samples, value
from tests.support.processes import TIMEOUT_S, server

SCENE = encode(np.eye(100, dtype=np.uint8) * 255)
PNG = {"Content-Type": "image/png"}


def read(client: TestClient) -> Samples:
    return samples(client.get("/metrics").text)


def routes(found: Samples) -> set[str]:
    return {dict(labels)["route"] for name, labels in found if name == "glimpse_requests_total"}


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


def test_requests_are_counted_by_route_method_and_status(client):
    for _ in range(3):
        assert client.post("/predict?maps=none", content=SCENE, headers=PNG).status_code == 200
    client.post("/predict", content=b"no", headers=PNG)
    client.get("/predict")
    client.get("/page/main.js")
    found = read(client)
    name = "glimpse_requests_total"
    assert value(found, name, route="/predict", method="POST", status="200") == 3
    assert value(found, name, route="/predict", method="POST", status="422") == 1
    assert value(found, name, route="/predict", method="GET", status="405") == 1
    assert value(found, name, route="/page/{name}", method="GET", status="200") == 1
    assert value(found, "glimpse_request_duration_seconds_count", route="/predict") == 5
    assert 0 < value(found, "glimpse_request_duration_seconds_sum", route="/predict") < 60
    # The reading itself is under way, and is counted by the next one.
    assert value(found, "glimpse_requests_in_flight") == 1
    assert value(read(client), name, route="/metrics", method="GET", status="200") == 1


def test_what_a_client_invents_is_one_label(client):
    for number in range(50):
        client.get(f"/invented/{number}")
        client.get(f"/page/{number}")
        client.request(f"INVENTED{number}", "/predict")
    found = read(client)
    assert routes(found) == {"none", "/page/{name}", "/predict"}
    assert value(found, "glimpse_requests_total", route="none", method="GET", status="404") == 50
    assert value(found, "glimpse_requests_total", route="/predict", method="other", status="405") == 50


def test_refusals_are_counted_by_their_reason(client):
    wide = encode(np.zeros((1000, 1001), np.uint8))
    for content, kind, reason in (
        (bytes(200_001), "image/png", "body_limit"),
        (wide, "image/png", "pixel_limit"),
        (SCENE, "text/plain", "media_type"),
        (SCENE[:50], "image/png", "image"),
    ):
        before = read(client)
        assert client.post("/predict", content=content, headers={"Content-Type": kind}).status_code >= 400
        after = read(client)
        name = "glimpse_rejections_total"
        assert value(after, name, reason=reason) == value(before, name, reason=reason) + 1, reason
    client.get("/synthesize?size=1000")
    assert value(read(client), "glimpse_rejections_total", reason="request") == 1


def test_the_model_is_named_and_the_process_measured(client):
    found = read(client)
    model = {"name": BlobPredictor.name, "version": BlobPredictor.version, "provider": BlobPredictor.provider}
    assert value(found, "glimpse_model_info", **model) == 1
    assert value(found, "process_resident_memory_bytes") > 10 * 2**20
    assert value(found, "process_open_fds") > 0
    assert value(found, "process_cpu_seconds_total") > 0


def test_a_defect_is_counted_as_500():
    client = TestClient(make_app(broken=True), raise_server_exceptions=False)
    assert client.get("/readyz").status_code == 500
    assert value(read(client), "glimpse_requests_total", route="/readyz", method="GET", status="500") == 1


def test_each_app_counts_for_itself():
    one, other = TestClient(make_app()), TestClient(make_app())
    one.get("/healthz")
    assert "/healthz" in routes(read(one))
    assert "/healthz" not in routes(read(other))


def test_it_can_be_switched_off():
    client = TestClient(make_app(metrics=False))
    assert client.get("/metrics").status_code == 404
    assert "/metrics" not in client.get("/openapi.json").json()["paths"]


def test_both_formats(client):
    plain = client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    openmetrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    for text in (plain.text, openmetrics.text):
        assert "glimpse_model_info" in text
        assert "_created" not in text
    documented = client.get("/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert set(documented) == {"text/plain", "application/openmetrics-text"}


def test_what_the_worker_threads_tell_is_all_counted():
    metrics = Metrics()
    assert "glimpse_queue_depth" not in metrics.text("")[0].decode()
    metrics.watch_queue(lambda: 7)

    def work() -> None:
        for _ in range(1000):
            metrics.batch(8, looks=9)
            metrics.stage("inference", 0.002)
            metrics.rejected("queue_full")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = samples(metrics.text("")[0].decode())
    assert value(found, "glimpse_queue_depth") == 7
    assert value(found, "glimpse_batch_size_count") == 4000
    assert value(found, "glimpse_batch_size_sum") == 32_000
    assert value(found, "glimpse_looks_total") == 36_000
    assert value(found, "glimpse_batch_size_bucket", le="4.0") == 0
    assert value(found, "glimpse_batch_size_bucket", le="8.0") == 4000
    assert value(found, "glimpse_stage_duration_seconds_count", stage="inference") == 4000
    assert value(found, "glimpse_stage_duration_seconds_sum", stage="inference") == pytest.approx(8)
    assert value(found, "glimpse_rejections_total", reason="queue_full") == 4000


def test_each_worker_process_is_measured():
    metrics = Metrics()
    metrics.watch_workers(lambda: [os.getpid(), None, os.getppid()])
    metrics.worker_died()
    found = samples(metrics.text("")[0].decode())
    name = "glimpse_worker_process_resident_memory_bytes"
    memory = {dict(labels)["worker"] for sample, labels in found if sample == name}
    assert memory == {"0", "2"}
    assert value(found, name, worker="0") == pytest.approx(
        value(found, "process_resident_memory_bytes"), rel=0.2
    )
    assert value(found, "glimpse_worker_deaths_total") == 1


def test_a_started_server_tells_all_of_it(model_path):
    with (
        server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_PROVIDER="cpu") as (_, address, provider),
        httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client,
    ):
        for _ in range(3):
            assert client.post("/predict?maps=none", content=SCENE, headers=PNG).status_code == 200
        found = samples(client.get("/metrics").text)
    assert value(found, "glimpse_model_info", name="centroid", version="0.0.1", provider=provider) == 1
    assert value(found, "glimpse_queue_depth") == 0
    assert value(found, "glimpse_batch_size_sum") == 3
    assert value(found, "glimpse_worker_process_resident_memory_bytes", worker="0") > 10 * 2**20
    for stage in ("queue", "decode", "inference", "encode"):
        assert 1 <= value(found, "glimpse_stage_duration_seconds_count", stage=stage) <= 3
