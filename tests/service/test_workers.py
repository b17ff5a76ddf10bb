"""Worker processes of a really started service: killed, stopped, hung, and the service told to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.contract import sidecar_path
from service.inference.jobs import WorkerConfig
from service.inference.process import _waited_for_a_core_s
from service.inference.wire import pack
from tests.service.fakes import KIND, PICTURE
from tests.service.proxy import Backend, Proxy, read_message
from tests.support.processes import TIMEOUT_S, server, until


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("this system does not tell a process's children in /proc")
    return [int(child) for child in children.read_text().split()]


@pytest.fixture
def service(model_path) -> Iterator[tuple[subprocess.Popen[str], httpx2.Client]]:
    with (
        server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_WORKERS="2") as (process, address, _),
        httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client,
    ):
        yield process, client


def is_ready(client: httpx2.Client) -> bool:
    return client.get("/readyz").status_code == 200


def test_each_worker_is_a_process_and_ends_with_the_service(service):
    process, client = service
    workers = workers_of(process)
    assert len(workers) == 2
    assert is_ready(client)
    process.kill()
    process.wait(timeout=TIMEOUT_S)
    until(lambda: not any(Path(f"/proc/{worker}/stat").exists() for worker in workers))


@pytest.mark.parametrize("model", ["the real one", "none"])
def test_a_worker_whose_service_has_gone_ends_without_a_word(model, model_path, tmp_path):
    path = model_path if model == "the real one" else tmp_path / "none.onnx"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack(WorkerConfig(path, provider="cpu", threads=1, max_batch=1)))
        worker = subprocess.Popen(
            [sys.executable, "-m", "service.inference.worker", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    said, _ = worker.communicate(timeout=TIMEOUT_S)
    assert (worker.returncode, said) == (0, b"")


def test_a_killed_worker_loses_no_request_and_comes_back(service):
    process, client = service
    before = workers_of(process)
    statuses: Counter[int] = Counter()
    stop = False

    def ask() -> None:
        while not stop:
            statuses[client.post("/predict", content=PICTURE, headers=KIND).status_code] += 1

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        until(lambda: statuses[200] > 20)
        os.kill(before[0], signal.SIGKILL)
        assert until(lambda: not is_ready(client)) < 2
        until(lambda: is_ready(client))
        answered = statuses[200]
        until(lambda: statuses[200] > answered + 20)
        stop = True
        for task in asking:
            task.result(TIMEOUT_S)
    assert set(statuses) == {200}
    now = workers_of(process)
    assert before[1] in now
    assert before[0] not in now
    assert len(now) == 2


@pytest.mark.parametrize("busy", [False, True])
def test_a_worker_that_hangs_is_seen_within_two_seconds_and_replaced(service, busy):
    process, client = service
    hung = workers_of(process)
    for worker in hung:
        os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(client.post, "/predict", content=PICTURE, headers=KIND)] if busy else []
        assert until(lambda: not is_ready(client)) < 2
        until(lambda: is_ready(client))
        assert [task.result(TIMEOUT_S).status_code for task in waiting] == [200] * busy
    assert not set(hung) & set(workers_of(process))


def test_a_stop_of_all_processes_costs_no_worker_and_no_request(service):
    """As `docker pause` and a suspended machine do; the workers are stopped first and go on last."""
    process, client = service
    workers = workers_of(process)
    statuses: Counter[int] = Counter()
    stop = False

    def ask() -> None:
        with httpx2.Client(base_url=client.base_url, timeout=TIMEOUT_S) as own:
            while not stop:
                statuses[own.post("/predict", content=PICTURE, headers=KIND).status_code] += 1

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(8)]
        until(lambda: statuses[200] > 20)
        for pid in (*workers, process.pid):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(6)  # longer than a worker may hang, and than a request may wait
        for pid in (process.pid, *workers):
            os.kill(pid, signal.SIGCONT)
        answered = statuses[200]
        until(lambda: statuses[200] > answered + 20)
        assert is_ready(client)
        stop = True
        for task in asking:
            task.result(TIMEOUT_S)
    assert set(statuses) == {200}
    assert workers_of(process) == workers


def test_a_stall_of_the_service_alone_costs_no_worker_and_no_request(service):
    process, client = service
    workers = workers_of(process)
    with ThreadPoolExecutor(40) as pool:
        asking = [
            pool.submit(httpx2.post, f"{client.base_url}/predict", content=PICTURE, headers=KIND, timeout=60)
            for _ in range(40)
        ]
        for _ in range(2):
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(4)
            os.kill(process.pid, signal.SIGCONT)
        assert {task.result(TIMEOUT_S).status_code for task in asking} == {200}
    assert is_ready(client)
    assert workers_of(process) == workers


STARVE = "while True: pass"


def test_a_worker_that_the_machine_gives_no_time_is_not_blamed():
    """It is ready to run all the while: that is what the system counts, and what it is excused for."""
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this system does not tell how long a process has waited for a core")
    core = str(min(os.sched_getaffinity(0)))
    busy = [subprocess.Popen(["taskset", "-c", core, sys.executable, "-c", STARVE]) for _ in range(3)]
    try:
        before = _waited_for_a_core_s(busy[0].pid)
        until(lambda: _waited_for_a_core_s(busy[0].pid) - before > 0.5)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert _waited_for_a_core_s(busy[0].pid) == 0.0  # it is no more


def test_workers_that_die_again_and_again_do_not_end_the_service(service):
    process, client = service
    for _ in range(6):  # five within a minute would once end it
        before = workers_of(process)
        os.kill(before[0], signal.SIGKILL)
        until(lambda before=before: before[0] not in workers_of(process))  # type: ignore[misc]
        until(lambda: len(workers_of(process)) == 2)
    assert client.post("/predict", content=PICTURE, headers=KIND).status_code == 200
    until(lambda: is_ready(client))
    assert process.poll() is None


# In each worker: what a native decoder does that finds fault with a file, and what Python does.
TALKATIVE = """
import os, sys, warnings

if "service.inference.worker" in sys.orig_argv:
    warnings.warn("a warning\\nof two lines")
    print("to stdout", flush=True)
    for number in range(20_000):
        try:
            os.write(2, b"TIFFReadDirectory: Warning, Unknown field with tag %d encountered.\\n" % number)
        except BlockingIOError:
            pass
"""


def test_what_native_code_in_a_worker_prints_is_a_few_lines_of_the_log(model_path, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(TALKATIVE)
    settings: dict[str, Any] = {"GLIMPSE_MODEL_PATH": str(model_path), "GLIMPSE_WORKERS": "1"}
    with server(**settings, GLIMPSE_PROVIDER="cpu", PYTHONPATH=str(tmp_path)) as (process, address, _):
        assert httpx2.get(f"{address}/readyz", timeout=TIMEOUT_S).status_code == 200
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=TIMEOUT_S)
    assert output == ""
    first, *lines = [json.loads(line) for line in errors.splitlines()]
    assert first["event"].startswith("Glimpse ")
    assert {line["logger"] for line in lines} == {"service.worker"}
    printed = [line for line in lines if "Unknown field with tag" in line["event"]]
    assert 1 < len(printed) < 20
    # It did not wait for the log: what came too fast is lost.
    assert 50 < sum(line.get("repeated", 1) for line in printed) < 10_000
    assert any(line["event"] == "to stdout" for line in lines)


def test_a_worker_knows_no_key(model_path):
    settings: dict[str, Any] = {
        "GLIMPSE_MODEL_PATH": str(model_path),
        "GLIMPSE_API_KEYS": "a-key-of-the-service",
    }
    with server(**settings, GLIMPSE_WORKERS="1") as (process, _, _):
        (worker,) = workers_of(process)
        surroundings = Path(f"/proc/{worker}/environ").read_bytes()
    assert b"GLIMPSE_MODEL_PATH" in surroundings
    assert b"a-key-of-the-service" not in surroundings


def test_a_service_whose_workers_cannot_start_again_ends_with_an_error(tmp_path, model_path):
    copy = tmp_path / model_path.name
    for source, target in ((model_path, copy), (sidecar_path(model_path), sidecar_path(copy))):
        target.write_bytes(source.read_bytes())
    with server(GLIMPSE_MODEL_PATH=str(copy), GLIMPSE_WORKERS="1") as (process, _, _):
        copy.write_bytes(b"another file")
        os.kill(workers_of(process)[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 1
        assert "Glimpse has stopped: a worker did not start again" in errors
        assert "SHA-256" in errors


def test_after_sigterm_it_is_not_ready_but_answers_and_ends_with_0(model_path):
    with (
        server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_DRAIN_S="1.5") as (process, address, _),
        httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client,
    ):
        assert is_ready(client)
        process.send_signal(signal.SIGTERM)
        assert until(lambda: not is_ready(client)) < 0.5
        refused = client.get("/readyz")
        assert (refused.status_code, refused.json()["detail"]) == (503, "the service is stopping")
        assert client.post("/predict", content=PICTURE, headers=KIND).status_code == 200
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
        assert "Traceback" not in errors


def test_what_is_running_is_answered_after_a_stop(model_path):
    with server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_WORKERS="1", GLIMPSE_DRAIN_S="0") as (
        process,
        address,
        _,
    ):
        (worker,) = workers_of(process)
        with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client, ThreadPoolExecutor(8) as pool:
            os.kill(worker, signal.SIGSTOP)  # so that requests are running and waiting
            asked = [pool.submit(client.post, "/predict", content=PICTURE, headers=KIND) for _ in range(8)]
            until(lambda: "glimpse_requests_in_flight 9.0" in client.get("/metrics").text)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            os.kill(worker, signal.SIGCONT)
            assert [task.result(TIMEOUT_S).status_code for task in asked] == [200] * 8
        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0


@pytest.mark.slow
async def test_a_rolling_restart_behind_a_proxy_loses_no_request(model_path):
    settings: dict[str, Any] = {"GLIMPSE_MODEL_PATH": str(model_path), "GLIMPSE_WORKERS": "1"}
    message = (
        b"POST /predict?maps=none HTTP/1.1\r\nhost: proxy\r\ncontent-type: image/png\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(PICTURE), PICTURE)
    )
    statuses: Counter[bytes] = Counter()

    async def client(proxy: Proxy, stop: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        while not stop.is_set():
            writer.write(message)
            statuses[(await read_message(reader))[9:12]] += 1
        writer.close()

    async def roll(servers: ExitStack) -> None:
        def start() -> tuple[subprocess.Popen[str], Backend]:
            process, address, _ = servers.enter_context(server(**settings))
            return process, Backend(int(address.rpartition(":")[2]))

        proxy = Proxy()
        running = [await asyncio.to_thread(start) for _ in range(2)]
        proxy.backends = [backend for _, backend in running]
        async with proxy.running(), asyncio.TaskGroup() as clients:
            while not all(backend.ready for backend in proxy.backends):
                await asyncio.sleep(0.02)
            stop = asyncio.Event()
            for _ in range(8):
                clients.create_task(client(proxy, stop))
            for process, backend in running:
                answered = statuses[b"200"]
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, TIMEOUT_S) == 0
                assert statuses[b"200"] > answered + 20
                _, fresh = await asyncio.to_thread(start)
                proxy.backends = [other for other in proxy.backends if other is not backend] + [fresh]
                while not fresh.ready:
                    await asyncio.sleep(0.02)
            stop.set()

    with ExitStack() as servers:
        await roll(servers)
    assert set(statuses) == {b"200"}
