"""Ray Serve on a real cluster of two nodes on this machine: the same answers, whatever dies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
import yaml
from fastapi.testclient import TestClient

from benchmarks.serving.running import ROOT, free_ports
from models.contract import MODEL_PATH
from models.digits_contract import DIGITS_PATH
from service.app import create_app
from service.inference.engine import engine_in_process
from service.inference.predictor import OnnxPredictor
from service.ray_serve.proxy import MIDDLEWARE, MIDDLEWARE_VARIABLE
from service.settings import Settings
from service.synthesis.generator import OnnxGenerator
from tests.ray.load import loaded
from tests.ray.nodes import Node
from tests.ray.served import PNG, REPLICA, Answer, Served, StartNodes, processes_titled, serving

pytestmark = pytest.mark.slow  # they start clusters

CONFIG = ROOT / "docker" / "ray" / "serve.yaml"
GPU_CONFIG = ROOT / "docker" / "ray" / "serve-gpu.yaml"
UNREADY_S = 60.0
CLIENTS = 8


@pytest.fixture(scope="module")
def served(start_nodes: StartNodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The committed file on two nodes."""
    nodes = start_nodes(
        *(3, 1),
        env={
            MIDDLEWARE_VARIABLE: MIDDLEWARE,
            # Else the head's proxy would ask the head's replica alone while that has room.
            "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",
            # Nodes of one machine share its ports.
            "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(free_ports(1)[0]),
        },
    )
    with serving(nodes, CONFIG, tmp_path_factory.mktemp("serve")) as served:
        yield served


@pytest.fixture(scope="module")
def bare() -> Iterator[TestClient]:
    """The same app around the same model, without Ray and without a process of its own."""
    predictor = OnnxPredictor(MODEL_PATH, "cpu", threads=1)
    app = create_app(engine_in_process(predictor, workers=1), Settings(), OnnxGenerator(DIGITS_PATH))
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def scenes(bare: TestClient) -> list[bytes]:
    """Pictures, PNG."""
    return [bare.get(f"/synthesize?seed={seed}").content for seed in range(6)]


@pytest.fixture(scope="module")
def expected(bare: TestClient, scenes: list[bytes]) -> list[tuple[bytes, dict[str, Any]]]:
    """Pictures, and what the predictor itself says of them."""
    said = [bare.post("/predict?maps=none", content=png, headers=PNG).json() for png in scenes]
    return [
        (png, {"label": answer["label"], "bbox": pytest.approx(answer["bbox"], abs=0.01)})
        for png, answer in zip(scenes, said, strict=True)
    ]


# --- the committed files ---


def test_the_committed_files_are_what_ray_takes() -> None:
    """Ray passes over what it does not know, so what it read is held against what is written."""
    read = (
        "import json, sys, yaml; from ray.serve.schema import ServeDeploySchema as Schema; "
        "read = [Schema.model_validate(written) for written in yaml.safe_load_all(sys.stdin)]; "
        "print(json.dumps([schema.model_dump(exclude_unset=True, mode='json') for schema in read]))"
    )
    written = [path.read_text() for path in (CONFIG, GPU_CONFIG)]
    done = subprocess.run(
        [sys.executable, "-c", read],
        input="\n---\n".join(written),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [yaml.safe_load(text) for text in written]


def test_the_files_differ_in_where_the_model_runs() -> None:
    cpu, gpu = (yaml.safe_load(path.read_text()) for path in (CONFIG, GPU_CONFIG))
    (on_cpu,), (on_gpu,) = cpu["applications"], gpu["applications"]
    assert on_cpu["runtime_env"]["env_vars"] == {"GLIMPSE_PROVIDER": "cpu"}
    assert on_gpu["runtime_env"]["env_vars"] == {"GLIMPSE_PROVIDER": "cuda"}
    assert on_gpu["deployments"][0]["ray_actor_options"] == {"num_cpus": 1, "num_gpus": 0.25}
    on_gpu["runtime_env"] = on_cpu["runtime_env"]
    del on_gpu["deployments"][0]["ray_actor_options"]["num_gpus"]
    assert gpu == cpu


# --- the cluster; the tests go on where the one before has ended ---


def test_no_probe_hears_ok_before_the_service_answers(served: Served) -> None:
    said = Counter(status for probes in served.before[:-1] for status in probes.values())
    # No proxy yet; a proxy without the app; an app without a replica.
    assert said.keys() <= {0, 404, 503, 200}
    assert said[0] > 0
    assert said[503] > 0
    # The two are asked one after the other, so that only the second may hear of a replica in between.
    first = [probes["/readyz"] for probes in served.before[:-1]]
    assert set(first) <= {0, 404, 503}


def test_it_answers_as_the_bare_service(served: Served, bare: TestClient, scenes: list[bytes]) -> None:
    def same(ours: Answer, path: str, content: bytes | None = None) -> Any:
        host = {"Host": f"127.0.0.1:{served.port}"}  # the documentation's examples name it
        sent = host if content is None else {**host, **PNG}
        theirs = bare.request("GET" if content is None else "POST", path, content=content, headers=sent)
        assert ours.status == theirs.status_code, ours.body
        volatile = {"x-request-id", "date", "server", "content-length"}
        headers = {name: value for name, value in ours.headers.items() if name not in volatile}
        assert headers == {name: value for name, value in theirs.headers.items() if name not in volatile}
        if ours.headers["content-type"] != "application/json":
            return ours.body, theirs.content
        return [
            {name: value for name, value in body.items() if name != "timing_ms"}
            for body in (ours.json(), theirs.json())
        ]

    for path in ("/", "/healthz", "/readyz", "/docs", "/synthesize?seed=7", "/v2", "/v2/nothing", "/nothing"):
        ours, theirs = same(served.ask("GET", path), path)
        assert ours == theirs, path
    for png in scenes:
        ours, theirs = same(served.post("/predict", png), "/predict", png)
        assert ours == theirs
    ours, theirs = same(served.post("/predict", b"no picture"), "/predict", b"no picture")
    assert ours == theirs
    assert "glimpse_" in served.ask("GET", "/metrics").body.decode()


def test_a_batch_and_a_tensor_are_answered_as_well(served: Served, bare: TestClient) -> None:
    tensor = {"name": "scene", "datatype": "UINT8", "shape": [2, 1, 100, 100], "data": [9] * 20_000}
    body = json.dumps({"inputs": [tensor]}).encode()
    ours = served.ask("POST", "/v2/models/glimpse/infer", body, **{"Content-Type": "application/json"}).json()
    theirs = bare.post("/v2/models/glimpse/infer", content=body).json()
    assert [output["name"] for output in ours["outputs"]] == [output["name"] for output in theirs["outputs"]]
    for our, their in zip(ours["outputs"], theirs["outputs"], strict=True):
        assert our["data"] == pytest.approx(their["data"], abs=1e-5)

    picture = bare.get("/synthesize?seed=1").content
    part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n'
    form = (
        b"".join(part + b"Content-Type: image/png\r\n\r\n" + picture + b"\r\n" for _ in range(3)) + b"--b--"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answers = served.ask("POST", "/predict/batch?maps=none", form, **kind).json()
    expected = bare.post("/predict?maps=none", content=picture, headers=PNG).json()
    assert [answer["label"] for answer in answers] == [expected["label"]] * 3


def test_a_node_dies_under_load_and_no_request_is_lost(
    served: Served, expected: list[tuple[bytes, dict[str, Any]]]
) -> None:
    served.wait("on both nodes", lambda: len(served.replicas()) == 2)
    dying: Node = served.nodes.all[1]
    (replica,) = processes_titled(dying, REPLICA)
    (worker,) = replica.children()
    with loaded(served.port, expected, CLIENTS) as load:
        load.run(3, served.probes)
        worker.suspend()
        load.run(1)  # what its replica is asked meanwhile it takes, and keeps
        dying.kill()
        load.run(15, served.probes)
    assert load.wrong == []
    assert load.unready == []
    assert load.statuses.keys() <= {200, 503}
    assert load.statuses[200] > CLIENTS
    # It was no luck: some were with the replica that died, and were asked again.
    assert served.nodes.said("a replica died with a request to /predict")
    served.wait("made again on the other node", lambda: len(served.replicas()) == 2)
    assert len(processes_titled(served.nodes.head, REPLICA)) == 2


def test_a_worker_that_dies_is_replaced_within_its_replica(served: Served, scenes: list[bytes]) -> None:
    before = served.replicas()
    for replica in processes_titled(served.nodes.head, REPLICA):
        (worker,) = replica.children()
        worker.kill()
    statuses = {served.post("/predict", png).status for png in scenes}
    assert statuses == {200}
    assert served.replicas() == before


def test_a_replica_whose_worker_keeps_dying_is_replaced(served: Served, scenes: list[bytes]) -> None:
    first, *others = processes_titled(served.nodes.head, REPLICA)

    def is_gone() -> bool:
        with suppress(psutil.NoSuchProcess):
            for worker in first.children():
                worker.kill()
        return first not in processes_titled(served.nodes.head, REPLICA)

    served.wait("replaced", is_gone)
    assert set(others) <= set(processes_titled(served.nodes.head, REPLICA))
    served.wait("whole again", lambda: len(served.replicas()) == 2)
    assert {served.post("/predict", png).status for png in scenes} == {200}


def test_the_probes_hear_no_where_no_replica_is_left(served: Served, scenes: list[bytes]) -> None:
    killed = processes_titled(served.nodes.head, REPLICA)
    (controller,) = processes_titled(served.nodes.head, "ray::ServeController")
    controller.suspend()  # so that none is made again as yet
    try:
        for process in killed:
            process.kill()
        served.wait("unready", lambda: set(served.probes().values()) == {503}, UNREADY_S)
        for refusal in (served.ask("GET", "/readyz"), served.ask("GET", "/-/healthz")):
            assert refusal.status == 503
            assert refusal.headers["retry-after"] == "1"
            assert "no replica" in refusal.json()["detail"]
    finally:
        controller.resume()
    served.wait("ready again", lambda: set(served.probes().values()) == {200})
    assert served.post("/predict", scenes[0]).status == 200
    assert not {p.pid for p in killed} & {p.pid for p in processes_titled(served.nodes.head, REPLICA)}


def test_many_requests_bring_another_replica_and_too_many_are_told_so(
    served: Served, expected: list[tuple[bytes, dict[str, Any]]]
) -> None:
    served.wait("whole", lambda: len(served.replicas()) == 2)
    # 2 replicas take 32 each, and 64 wait in the proxy.
    with loaded(served.port, expected, 160) as load:
        load.run(3)
    assert load.wrong == []
    assert load.statuses.keys() == {200, 503}
    with loaded(served.port, expected, 40) as load:
        served.wait("scaled up", lambda: len(processes_titled(served.nodes.head, REPLICA)) == 3)
    assert load.wrong == []


def test_a_stop_leaves_no_process(served: Served) -> None:
    started = processes_titled(served.nodes.head, REPLICA)
    of_replicas = [*started, *(worker for replica in started for worker in replica.children())]
    stop = "import ray; from ray import serve; ray.init(log_to_driver=False); serve.shutdown()"
    done = subprocess.run([sys.executable, "-c", stop], env=served.nodes.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(served.probes().values()) <= {0, 404, 503}
    psutil.wait_procs(of_replicas, UNREADY_S)
    assert [process for process in of_replicas if process.is_running()] == []
