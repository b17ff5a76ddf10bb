from __future__ import annotations

import io
import json
import logging
import re
import signal
import threading
from collections.abc import Iterator

import anyio
import httpx2
import pytest
from anyio import to_thread
from fastapi.testclient import TestClient

from service.app import create_app
from service.http.headers import security_headers
from service.http.observe import Observe
from service.inference.engine import engine_in_process
from service.monitoring.logs import configure_logs
from service.monitoring.metrics import Metrics
from service.monitoring.request import RequestInfo, current_request
from service.settings import LogFormat, Settings, load_settings
from tests.service.fakes import BarGenerator, BlobPredictor, fake_digits
from tests.service.outside import make_app
from tests.support.logs import read
from tests.support.processes import TIMEOUT_S, server

MADE = re.compile("[0-9a-f]{16}")

# A server whose readiness check has a defect.
BROKEN = """
import runpy, sys
from service.inference.engine import Engine

def check(self):
    raise ZeroDivisionError("made by a test")

Engine.check = check
sys.argv = ["service", "--port", "0"]
runpy.run_module("service", run_name="__main__")
"""


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


def test_each_request_gets_an_id(client):
    made = {client.get("/healthz").headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20
    assert all(MADE.fullmatch(request_id) for request_id in made)
    assert MADE.fullmatch(client.get("/nowhere").headers["x-request-id"])


@pytest.mark.parametrize("request_id", ["a", "7f3c:1/2", "x" * 64, '"{}"'])
def test_a_clients_own_id_comes_back(client, request_id):
    assert client.get("/healthz", headers={"X-Request-ID": request_id}).headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", [b"", b"x" * 65, b"a b", b"a\tb", b"\xc3\xa9", b"a\x7f"])
def test_an_id_that_no_log_should_hold_is_replaced(client, request_id):
    assert MADE.fullmatch(
        client.get("/healthz", headers={"X-Request-ID": request_id}).headers["x-request-id"]
    )


def test_there_is_no_request_outside_of_one():
    assert current_request() is None


async def observe_one(app, scope_changes, *, access_log=False):
    """Send one request through the layer alone; what it counted."""
    metrics = Metrics()
    scope = {"type": "http", "method": "GET", "path": "/a", "headers": [], **scope_changes}

    async def nothing(*_):
        return {"type": "http.disconnect"}

    layer = Observe(app, metrics, security_headers(shared=False), access_log=access_log)
    try:
        await layer(scope, nothing, nothing)
    finally:
        text, _ = metrics.text("")
        assert b"glimpse_requests_in_flight 0.0" in text
    return text.decode()


async def test_worker_threads_know_their_request():
    seen: list[RequestInfo | None] = []

    async def app(scope, receive, send):
        await to_thread.run_sync(lambda: seen.append(current_request()))
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async with anyio.create_task_group() as group:
        for name in ("one", "two"):
            headers = [(b"x-request-id", name.encode())]
            group.start_soon(observe_one, app, {"path": f"/{name}", "headers": headers})
    assert set(seen) == {RequestInfo("one", "GET", "/one"), RequestInfo("two", "GET", "/two")}


async def test_one_that_nobody_answered_is_counted_as_such():
    async def app(scope, receive, send):
        raise anyio.EndOfStream

    with pytest.raises(anyio.EndOfStream):
        await observe_one(app, {})

    async def silent(scope, receive, send):
        pass

    assert 'method="GET",route="none",status="0"' in await observe_one(silent, {})


def test_a_line_for_each_request_where_it_is_asked_for(lines):
    with TestClient(make_app(access_log=True)) as client:
        client.get("/synthesize?size=9999&secret=1", headers={"X-Request-ID": "mine", "X-API-Key": "hidden"})
        client.get("/nowhere%0a%22quoted")
        client.get("/" + "x" * 5000)
    first, second, third = read(lines)
    about = ["time", "level", "logger", "event", "request_id", "method", "path", "status", "ms", "client"]
    assert list(first) == about
    assert first["client"] == "testclient"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(first["time"]))
    assert (first["level"], first["logger"], first["event"]) == ("info", "service.access", "request")
    assert (first["request_id"], first["method"], first["path"]) == ("mine", "GET", "/synthesize")
    assert first["status"] == 422
    assert 0 < float(str(first["ms"])) < 60_000
    assert "secret" not in lines.getvalue()
    assert "hidden" not in lines.getvalue()
    assert second["path"] == '/nowhere\n"quoted'
    assert len(str(third["path"])) < 300


def test_no_line_by_default(lines):
    with TestClient(make_app()) as client:
        client.get("/healthz")
        client.get("/nowhere")
    assert lines.getvalue() == ""


def test_a_model_that_fails_is_logged_once_for_each_worker(lines):
    predictor = BlobPredictor()
    with TestClient(make_app(predictor)) as client:
        picture = client.get("/synthesize").content
        predictor.failure = "made by a test"
        for _ in range(10):
            answer = client.post("/predict", content=picture, headers={"Content-Type": "image/png"})
            assert answer.status_code == 503
            assert client.get("/readyz").status_code == 503
    found = [line for line in read(lines) if line["level"] == "error"]
    assert 1 <= len(found) <= 2
    assert {line["event"] for line in found} == {"the model does not answer: made by a test"}


@pytest.mark.parametrize("choice", ["json", "text"])
def test_whatever_an_event_holds_it_stays_one_line(restored_logs, choice: LogFormat):
    stream = io.StringIO()
    configure_logs(choice, stream)
    log = logging.getLogger("service.test")
    log.info('a "b"\n{"level": "error"}\x1b[31m\ud800', extra={"fields": {"odd": "x y\n", "other": object}})
    thread = threading.Thread(target=log.info, args=("from a thread, %d %s", 7, "ü"))
    thread.start()
    thread.join()
    assert stream.getvalue().count("\n") == 2
    assert "\x1b" not in stream.getvalue()
    assert "\ud800" not in stream.getvalue()
    assert "from a thread, 7" in stream.getvalue()


@pytest.mark.parametrize(("terminal", "is_json"), [(True, False), (False, True)])
def test_people_get_text_and_programs_json(restored_logs, terminal, is_json):
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    configure_logs("auto", stream)
    logging.getLogger("service.test").warning("a word")
    line = stream.getvalue()
    assert line.startswith("{") == is_json
    if not is_json:
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} warning service\.test: a word\n", line)


def ask_and_stop(
    path: str, settings: dict[str, str], program: tuple[str, ...] = ("-m", "service", "--port", "0")
) -> tuple[int, str, str]:
    """Start a server, ask it, stop it; status, stdout behind the greeting, stderr."""
    with server(program=program, GLIMPSE_PROVIDER="cpu", **settings) as (process, address, _):
        status = httpx2.get(
            f"{address}{path}", headers={"X-Request-ID": "mine"}, timeout=TIMEOUT_S
        ).status_code
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
    return status, output, errors


def test_a_started_server_writes_json_lines_to_stderr(model_path):
    settings = {"GLIMPSE_MODEL_PATH": str(model_path), "GLIMPSE_ACCESS_LOG": "true"}
    status, output, errors = ask_and_stop("/healthz?key=hidden", settings)
    assert (status, output) == (200, "")
    _, line = [json.loads(text) for text in errors.splitlines()]  # the first one names the model
    assert (line["event"], line["request_id"], line["path"], line["status"]) == (
        "request",
        "mine",
        "/healthz",
        200,
    )


def test_a_defect_is_logged_once_with_its_request_and_where_it_happened(model_path):
    settings = {"GLIMPSE_MODEL_PATH": str(model_path)}
    status, output, errors = ask_and_stop("/readyz", settings, ("-c", BROKEN))
    assert (status, output) == (500, "")
    _, line = [json.loads(text) for text in errors.splitlines()]
    assert (line["level"], line["request_id"], line["method"], line["path"]) == (
        "error",
        "mine",
        "GET",
        "/readyz",
    )
    assert "ZeroDivisionError: made by a test" in line["traceback"]
    status, _, errors = ask_and_stop("/readyz", settings | {"GLIMPSE_LOG_FORMAT": "text"}, ("-c", BROKEN))
    _, first, *traceback = errors.splitlines()
    assert status == 500
    assert "request_id=mine method=GET path=/readyz" in first
    assert traceback[0] == "Traceback (most recent call last):"


def test_kubernetes_link_to_a_service_named_glimpse_is_no_port(monkeypatch, caplog):
    for link in ("tcp://10.0.0.1:8000", "udp://10.0.0.1:53", "tcp://[fd00::1]:8000"):
        caplog.clear()
        monkeypatch.setenv("GLIMPSE_PORT", link)
        assert load_settings().port == 8000
        assert link in caplog.text
        assert "enableServiceLinks: false" in caplog.text
        assert load_settings(port=9000).port == 9000


def test_not_to_be_ready_while_stopping_is_no_error(lines):
    engine = engine_in_process(BlobPredictor())
    with TestClient(create_app(engine, Settings(), BarGenerator(), fake_digits())) as client:
        engine.prepare_to_stop()
        assert client.get("/readyz").status_code == 503
    assert lines.getvalue() == ""
