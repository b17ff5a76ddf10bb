"""A service that is asked for more than it can do: its model waits until the test lets it go on."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2
import numpy as np
import numpy.typing as npt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.http.errors import overload_response
from service.http.server.shedding import LoadShedder
from service.inference.engine import engine_in_process
from service.inference.errors import OverloadedError
from service.inference.policy import Policy
from service.inference.predictor import Prediction
from service.settings import Settings
from service.synthesis.limiter import SynthesisLimiter
from tests.service.fakes import KIND, PICTURE, BarGenerator, BlobPredictor, encode
from tests.service.listening import listening
from tests.support.processes import TIMEOUT_S, until

ORIGIN = "https://digits.example"


class WaitingPredictor(BlobPredictor):
    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def predict(self, scenes: npt.NDArray[np.uint8]) -> Prediction:
        assert self.gate.wait(TIMEOUT_S)
        return super().predict(scenes)


def counted(client: httpx2.Client, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = (sample for family in families for sample in family.samples)
    return sum(
        sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_before_the_app_and_in_it_the_answer_to_overload_is_the_same():
    engine = engine_in_process(WaitingPredictor(), workers=1, policy=Policy(heartbeat_s=600))
    app = create_app(engine, Settings(), BarGenerator())
    shed = LoadShedder({("POST", "/predict"): lambda _: True}, app.state.metrics, shared=False)
    answer = shed(b"POST", b"/predict?maps=none", [(b"x-request-id", b"mine")])
    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    expected = overload_response("/predict", OverloadedError())
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert body == expected.body
    assert {"retry-after: 1", "x-request-id: mine", f"content-length: {len(body)}"} <= set(lines)
    assert {f"{name.decode()}: {value.decode()}" for name, value in expected.raw_headers} <= set(lines)


@pytest.mark.parametrize("origins", [(), (ORIGIN,)])
@pytest.mark.parametrize("early", [False, True])
def test_who_finds_no_room_is_told_so_and_who_was_taken_is_answered(early, origins):
    """Refused in the app, or early, before it (shedding.py)."""
    predictor = WaitingPredictor()
    engine = engine_in_process(
        predictor, workers=1, policy=Policy(max_waiting=3, max_batch=1, heartbeat_s=600)
    )
    app = create_app(engine, Settings(cors_origins=origins), BarGenerator())
    shed = LoadShedder(app.state.gates, app.state.metrics, shared=bool(origins)) if early else None
    with (
        listening(app, timeout_s=TIMEOUT_S, shed=shed) as listener,
        httpx2.Client(base_url=f"http://127.0.0.1:{listener.address[1]}", timeout=TIMEOUT_S) as client,
        httpx2.Client(base_url=f"http://127.0.0.1:{listener.address[1]}", timeout=TIMEOUT_S) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        try:
            taken: list[Future[httpx2.Response]] = []
            for waiting in (0, 1, 2, 3):  # the worker has the first
                taken.append(pool.submit(client.post, "/predict", content=PICTURE, headers=KIND))
                until(lambda: counted(other, "glimpse_requests_in_flight") == 1 + len(taken))
                until(lambda waiting=waiting: counted(other, "glimpse_queue_depth") == waiting)  # type: ignore[misc]
            for _ in range(3):  # on one connection, which a refusal leaves open
                refused = other.post("/predict", content=PICTURE, headers=KIND | {"x-request-id": "mine"})
                assert refused.status_code == 503
                assert "requests wait" in refused.json()["detail"]
                assert refused.headers["retry-after"] == "1"
                assert refused.headers["x-request-id"] == "mine"
                assert refused.headers["x-content-type-options"] == "nosniff"
            from_a_page = other.post("/predict", content=PICTURE, headers=KIND | {"origin": ORIGIN})
            assert (from_a_page.status_code, from_a_page.headers["retry-after"]) == (503, "1")
            allowed = from_a_page.headers.get("access-control-allow-origin")
            assert allowed == (ORIGIN if origins else None)
            assert other.get("/healthz").status_code == 200
            batch = other.post("/predict/batch", files=[("images", PICTURE)])
            assert (batch.status_code, batch.headers["retry-after"]) == (503, "1")
        finally:
            predictor.gate.set()
        assert [task.result(TIMEOUT_S).status_code for task in taken] == [200] * 4
        assert client.post("/predict", content=PICTURE, headers=KIND).status_code == 200
        assert counted(client, "glimpse_rejections_total", reason="queue_full") == 5
        assert counted(client, "glimpse_requests_total", route="/predict", status="503") == 4


def test_who_has_hung_up_is_not_worked_for():
    predictor = WaitingPredictor()
    policy = Policy(max_batch=1, heartbeat_s=600)
    app = create_app(engine_in_process(predictor, workers=1, policy=policy), Settings(), BarGenerator())
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n"
    with (
        listening(app, timeout_s=TIMEOUT_S) as listener,
        httpx2.Client(base_url=f"http://127.0.0.1:{listener.address[1]}", timeout=TIMEOUT_S) as client,
    ):
        try:
            for _ in range(4):
                with socket.create_connection(listener.address) as connection:
                    connection.sendall(head % len(PICTURE) + PICTURE)
                    until(lambda: counted(client, "glimpse_requests_in_flight") > 1)
                until(lambda: counted(client, "glimpse_requests_in_flight") == 1)
            assert counted(client, "glimpse_queue_depth") == 0
        finally:
            predictor.gate.set()
        assert client.post("/predict", content=PICTURE, headers=KIND).status_code == 200
    assert len(predictor.batches) <= 2


def test_in_a_batch_an_overload_is_an_error_of_single_files_and_what_is_done_is_kept():
    predictor = WaitingPredictor()
    policy = Policy(max_batch=2, deadline_s=0.3, heartbeat_s=600)
    app = create_app(engine_in_process(predictor, workers=1, policy=policy), Settings(), BarGenerator())
    with (
        listening(app, timeout_s=TIMEOUT_S) as listener,
        httpx2.Client(base_url=f"http://127.0.0.1:{listener.address[1]}", timeout=TIMEOUT_S) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        photo = encode(np.random.default_rng(0).integers(0, 255, (600, 600), np.uint8))  # over 256 KiB
        try:
            asked = pool.submit(client.post, "/predict/batch", files=[("images", photo)] * 20)
            # The worker has the first and gets no further: all others are given up, none waits in vain.
            with httpx2.Client(base_url=client.base_url, timeout=TIMEOUT_S) as other:
                # One of them waits for 0.3 s, which is too short to be sure to see it wait.
                until(lambda: counted(other, "glimpse_rejections_total", reason="deadline") == 1)
                until(lambda: counted(other, "glimpse_queue_depth") == 0)
        finally:
            predictor.gate.set()
        answer = asked.result(TIMEOUT_S)
        assert answer.status_code == 200
        first, *others = answer.json()
        assert "label" in first
        assert len(others) == 19
        assert all("no worker was free for 0.3 s" in other["detail"] for other in others)
        # Where nothing holds them up, all are answered, though two at a time wait at most.
        whole = client.post("/predict/batch", files=[("images", photo)] * 20)
        assert all("label" in each for each in whole.json())


class WaitingGenerator(BarGenerator):
    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def generate(
        self, classes: npt.NDArray[np.int64], styles: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        assert self.gate.wait(TIMEOUT_S)
        return super().generate(classes, styles)


def test_scenes_have_a_bound_of_their_own_and_other_calls_do_not_wait_for_them():
    generator = WaitingGenerator()
    app = create_app(engine_in_process(BlobPredictor()), Settings(), generator)
    with (
        listening(app, timeout_s=TIMEOUT_S) as listener,
        httpx2.Client(base_url=f"http://127.0.0.1:{listener.address[1]}", timeout=TIMEOUT_S) as other,
        ThreadPoolExecutor(60) as pool,
    ):
        address = f"{other.base_url}/synthesize"
        try:
            asked = [pool.submit(httpx2.get, address, timeout=TIMEOUT_S) for _ in range(60)]
            until(lambda: counted(other, "glimpse_requests_total", route="/synthesize", status="503") == 43)
            refused = httpx2.get(address, timeout=TIMEOUT_S)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "16 requests for scenes wait already" in refused.json()["detail"]
            # There would be no thread left for these.
            assert other.post("/predict", content=PICTURE, headers=KIND).status_code == 200
            scenes = np.zeros((40, 1, 100, 100), np.uint8).tolist()
            tensor = {"name": "scene", "datatype": "UINT8", "shape": [40, 1, 100, 100], "data": scenes}
            assert other.post("/v2/models/blob/infer", json={"inputs": [tensor]}).status_code == 200
            assert counted(other, "glimpse_rejections_total", reason="queue_full") == 44
        finally:
            generator.gate.set()
        statuses = Counter(task.result(TIMEOUT_S).status_code for task in asked)
        assert statuses == {200: 17, 503: 43}
        assert httpx2.get(address, timeout=TIMEOUT_S).status_code == 200


async def test_a_refusal_is_held_back_unless_too_many_are():
    loop = asyncio.get_running_loop()
    gate = threading.Event()
    limiter = SynthesisLimiter(max_waiting=1, refuse_after_s=0.2, max_held=2)
    taken = [asyncio.create_task(limiter.run(lambda: gate.wait(TIMEOUT_S))) for _ in range(2)]
    await asyncio.sleep(0)

    async def refused_after() -> float:
        start = loop.time()
        with pytest.raises(OverloadedError, match="1 requests for scenes wait already"):
            await limiter.run(gate.wait)
        return loop.time() - start

    asked = [asyncio.create_task(refused_after()) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert limiter.is_flooded()
    first, second, third = await asyncio.gather(*asked)
    assert min(first, second) >= 0.19 > third
    assert not limiter.is_flooded()
    assert limiter.is_flooded(admitted=2)
    gate.set()
    assert await asyncio.gather(*taken) == [True, True]
