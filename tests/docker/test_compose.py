"""`docker-compose up` for real: the service in its container, asked, looked at, stopped, killed."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest

from models.contract import load_contract
from scenes.digits import Digits
from scenes.mnist import FOLDER_VARIABLE
from service.page.files import PAGE_FOLDER
from tests.docker.compose import MNIST_FILE, Project, health, is_ready, run
from tests.service import fuzzing
from tests.service.fakes import encode
from tests.support.answers import assert_both_protocols_say_the_same, assert_generated_scenes_are_read
from tests.support.exposition import samples, value
from tests.support.processes import ROOT, TIMEOUT_S, until
from tests.support.readme import BLOCKS, Copy, as_answer, run_commands

PICTURE = encode(np.full((100, 100), 9, np.uint8))
KIND = {"content-type": "image/png"}
HEALTHY_S = 20


@pytest.fixture(scope="module")
def up(project: Project, address: str) -> Project:
    """The project with its service up and healthy, in the time that is promised."""
    begin = time.monotonic()
    project.compose("up", "--detach", "--no-build", "glimpse")
    until(lambda: health(project) == "healthy")
    took = time.monotonic() - begin
    assert took < HEALTHY_S
    print(f"healthy {took:.1f} s after `up`")
    return project


def test_it_is_ready_with_the_committed_model_and_needs_no_data_set(up, address):
    contract = load_contract(ROOT / "models" / "glimpse.onnx")
    ready = httpx2.get(f"{address}/readyz", timeout=TIMEOUT_S).json()
    assert ready["model"] == {
        "name": contract.name,
        "version": contract.version,
        "provider": "CPUExecutionProvider",
    }
    with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
        made = client.get("/synthesize", params={"format": "json", "seed": 7, "predict": "true"}).json()
        assert made["parameters"]["digits"] == "generated"
        assert set(made["prediction"]) >= {"label", "bbox", "attention_map", "glimpse"}
        none = client.get("/synthesize", params={"digits": "mnist"})
        assert none.status_code == 409
        assert "python -m scenes download" in none.json()["detail"]


def test_the_page_is_the_one_of_this_tree(up, address):
    with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
        assert client.get("/").content == (PAGE_FOLDER / "index.html").read_bytes()
        for path in PAGE_FOLDER.iterdir():
            assert client.get(f"/page/{path.name}").content == path.read_bytes(), path.name
        assert client.get("/docs").status_code == 200


def test_it_answers_as_a_started_server_does(up, address):
    assert_generated_scenes_are_read(address, "CPUExecutionProvider")
    assert_both_protocols_say_the_same(address)


def test_readmes_commands_work_on_the_container(up, address, tmp_path):
    (tmp_path / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    folder = Copy(tmp_path, {"PATH": os.environ["PATH"]})
    blocks = [block for block in BLOCKS if any("localhost:8000" in text for text in block.commands)]
    shown = 0
    for block in blocks:
        commands = [
            text.replace("localhost:8000", address.removeprefix("http://")) for text in block.commands
        ]
        answer = run_commands(commands, folder)
        if (promised := as_answer(block.shown)) is not None:
            given = as_answer(answer)
            assert given is not None
            assert (sorted(given), given["label"]) == (sorted(promised), promised["label"])
            shown += 1
    assert shown >= 1


def test_metrics_tell_of_the_model_and_of_each_worker(up, address):
    with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
        before = samples(client.get("/metrics").text)
        assert client.post("/predict", content=PICTURE, headers=KIND).status_code == 200
        found = samples(client.get("/metrics").text)
    about = httpx2.get(f"{address}/readyz", timeout=TIMEOUT_S).json()["model"]
    assert value(found, "glimpse_model_info", **about) == 1
    assert value(found, "glimpse_batch_size_sum") == value(before, "glimpse_batch_size_sum") + 1
    assert value(found, "glimpse_worker_process_resident_memory_bytes", worker="0") > 10 * 2**20


def test_it_is_nobody_and_may_do_nothing_else(up):
    assert up.inside("glimpse", "id", "-u").strip() == "10001"
    status = dict(
        line.split(":\t", 1)
        for line in up.inside("glimpse", "cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {"0000000000000000"}
    assert status["NoNewPrivs"] == "1"
    for path in ("/app/x", "/opt/venv/x", "/models/x", "/mnist/x", "/x", "/var/tmp/x"):
        said = up.inside("glimpse", "sh", "-c", f"touch {path} 2>&1 || true")
        assert "Read-only file system" in said, path
    up.inside("glimpse", "touch", "/tmp/x")


def test_its_limits_are_the_ones_of_the_file(up):
    about = up.inspect("glimpse")
    host, config = about["HostConfig"], about["Config"]
    assert (host["Memory"], host["PidsLimit"]) == (8 * 2**30, 1024)
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"], host["Privileged"]) == (
        True,
        ["ALL"],
        None,
        False,
    )
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (config["StopSignal"], config["StopTimeout"], config["User"]) == ("SIGTERM", 20, "10001:10001")
    # The kernel has them, in control groups of either version.
    read = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert int(up.inside("glimpse", "sh", "-c", read)) == 8 * 2**30
    read = "cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max"
    assert int(up.inside("glimpse", "sh", "-c", read)) == 1024


def test_no_torch_no_compiler_no_pip(up):
    tools = up.inside(
        "glimpse", "sh", "-c", "for tool in cc gcc g++ ld make curl; do command -v $tool; done; true"
    )
    assert tools == ""
    names = ("torch", "pip", "setuptools", "pytest")
    find = f"from importlib.util import find_spec; print([name for name in {names} if find_spec(name)])"
    assert up.inside("glimpse", "python", "-c", find).strip() == "[]"
    assert up.inside("glimpse", "printenv", "ORT_DISABLE_TELEMETRY").strip() == "1"


def test_a_stop_loses_no_request_and_keeps_within_its_time(up, address):
    """Clients that ask on and on, as long as the service says that it is ready: each gets its answer."""
    statuses: Counter[int] = Counter()
    stopping = threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
            while not stopping.is_set():
                statuses[client.post("/predict", content=PICTURE, headers=KIND).status_code] += 1

    def watch() -> None:
        until(lambda: not is_ready(address))
        stopping.set()

    with ThreadPoolExecutor(9) as pool:
        tasks = [pool.submit(ask) for _ in range(8)]
        until(lambda: statuses[200] > 50)
        before = statuses[200]
        tasks.append(pool.submit(watch))
        begin = time.monotonic()
        up.compose("stop", "glimpse")
        took = time.monotonic() - begin
        for task in tasks:
            task.result(TIMEOUT_S)
    assert set(statuses) == {200}
    assert statuses[200] > before
    state = up.inspect("glimpse")["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False)
    assert took < up.inspect("glimpse")["Config"]["StopTimeout"]
    print(f"stopped in {took:.1f} s, {statuses[200] - before} answers after the order")
    up.compose("start", "glimpse")
    until(lambda: health(up) == "healthy")


def test_what_is_running_when_it_stops_listening_is_answered(up, address):
    """One request that takes longer than the drain: many large pictures."""
    rows = np.arange(4_000_000, dtype=np.uint32).reshape(2000, 2000)
    large = encode((rows * 2654435761 >> 24).astype(np.uint8))
    with ThreadPoolExecutor(1) as pool, httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
        files = [("images", (f"{number}.png", large, "image/png")) for number in range(4)]
        asked = pool.submit(client.post, "/predict/batch?maps=none", files=files * 10)
        until(
            lambda: value(samples(httpx2.get(f"{address}/metrics").text), "glimpse_requests_in_flight") >= 2
        )
        run("docker", "stop", up.identity("glimpse"))
        response = asked.result(TIMEOUT_S)
    assert response.status_code == 200
    assert [("label" in answer) for answer in response.json()] == [True] * 40
    assert up.inspect("glimpse")["State"]["ExitCode"] == 0
    up.compose("start", "glimpse")
    until(lambda: health(up) == "healthy")


def test_it_comes_back_after_a_kill(up, address):
    """Killed from outside, as by a kernel that is short of memory; after `docker kill` it stays down."""
    before = up.inspect("glimpse")
    kill = f"import os; os.kill({before['State']['Pid']}, 9)"
    run(
        *("docker", "run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "python"),
        *(before["Config"]["Image"], "-c", kill),
    )
    until(lambda: up.inspect("glimpse")["RestartCount"] == before["RestartCount"] + 1)
    until(lambda: health(up) == "healthy")
    assert (
        httpx2.post(f"{address}/predict", content=PICTURE, headers=KIND, timeout=TIMEOUT_S).status_code == 200
    )


def test_it_says_where_it_listens_and_nothing_odd(up):
    lines = up.log("glimpse").splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert "Glimpse listens on http://0.0.0.0:8000 with CPUExecutionProvider" in events
    odd = [line for line in lines if "telemetry" in line or "Traceback" in line]
    assert odd == []


@pytest.fixture
def with_mnist(up: Project, test_digits: Digits) -> Project:
    """The same service with MNIST from a folder of this machine, if there is one."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        pytest.skip(
            f"MNIST is not in a folder that {FOLDER_VARIABLE} names, which a container could be given"
        )
    settings = {**up.settings, FOLDER_VARIABLE: os.path.realpath(folder)}
    project = Project(up.name, (*up.files, MNIST_FILE), settings)
    project.compose("up", "--detach", "--no-build", "glimpse")
    until(lambda: health(project) == "healthy")
    return project


def test_every_call_keeps_to_its_document(with_mnist, address, tmp_path):
    """schemathesis asks the container, all checks; more of it is `tests/soak/test_fuzz.py`."""
    made = httpx2.get(f"{address}/synthesize?digits=mnist&format=json", timeout=TIMEOUT_S)
    assert made.json()["parameters"]["digits"] == "mnist"
    ended, counts = fuzzing.run(address, tmp_path, examples=2)
    assert counts.failures == []
    assert ended == 0
    assert counts.cases.total() > 300
