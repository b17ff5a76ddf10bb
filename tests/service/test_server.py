"""A server process of its own: what a user starts, asked over a real socket."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from models.contract import file_sha256, sidecar_path
from models.digits_contract import DIGITS_PATH
from service import __version__
from service.schemas import PredictionAnswer
from tests.service.fakes import encode
from tests.support.answers import assert_generated_scenes_are_read
from tests.support.processes import (
    ROOT,
    TIMEOUT_S,
    assert_one_clear_sentence,
    environment,
    run_to_its_end,
    server,
)

# What a program does whose every attempt to reach another machine fails, whatever library makes it.
CLOSED_NETWORK = """
import runpy, sys

def closed(event, arguments):
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.gethostbyname"} or (
        event == "socket.getaddrinfo" and arguments[0] != "127.0.0.1"
    ):
        raise OSError(f"the network is closed: {event}")

sys.addaudithook(closed)
sys.argv = ["service", "--port", "0"]
runpy.run_module("service", run_name="__main__")
"""


def test_with_a_log_of_json_every_line_is_json(model_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "--port", "0"],
        cwd=ROOT,
        env=environment(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_LOG_FORMAT="json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(json.loads(line)["event"])
        if lines[-1].startswith("Glimpse listens on http://127.0.0.1:"):
            process.terminate()
    output, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, output) == (0, "")
    assert lines[0].startswith("Glimpse ")
    assert any("listens on" in line for line in lines)


def test_it_starts_answers_and_stops_on_sigterm(model_path):
    with server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_PROVIDER="cpu") as (process, address, provider):
        assert provider == "CPUExecutionProvider"
        with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
            ready = client.get("/readyz")
            assert ready.status_code == 200
            assert ready.json()["model"] == {"name": "centroid", "version": "0.0.1", "provider": provider}
            picture = np.zeros((100, 100), np.uint8)
            picture[40:60, 20:40] = 200
            response = client.post("/predict", files={"image": ("scene.png", encode(picture), "image/png")})
            answer = PredictionAnswer.model_validate(response.json())
            assert answer.label == 3
            assert answer.model.provider == provider
            box = answer.bbox
            assert [box.x, box.y, box.width, box.height] == pytest.approx([20, 40, 20, 20], abs=1e-3)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
        (first,) = [json.loads(line) for line in errors.splitlines()]
        sha256 = file_sha256(model_path)[:8]
        assert first["event"] == (
            f"Glimpse {__version__} starts with the model {model_path}: centroid 0.0.1, SHA-256 {sha256}"
        )


def test_it_says_its_version():
    ended = run_to_its_end("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"Glimpse {__version__}\n", "")


def test_variables_that_nobody_knows_are_named_and_so_is_the_nearest_known_one(model_path, tmp_path):
    missing = str(tmp_path / "none.onnx")
    ended = run_to_its_end(
        GLIMPSE_MAX_PIXEL="9", GLIMPSE_XQZ="", GLIMPSE_MODEL_PATH=missing, GLIMPSE_SERVICE_HOST="10.0.0.1"
    )
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()][:-1] == [
        "GLIMPSE_MAX_PIXEL is no setting and is ignored; the nearest is GLIMPSE_MAX_PIXELS",
        "GLIMPSE_XQZ is no setting and is ignored",
    ]


def test_a_body_over_the_limit_is_answered_while_it_is_being_sent(model_path):
    with server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_MAX_BODY_BYTES="100000") as (
        _,
        address,
        _provider,
    ):

        def chunks() -> Iterator[bytes]:
            for _ in range(100):
                yield b"\x00" * 65536

        with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
            for body in (b"\x00" * 6_553_600, chunks()):
                response = client.post("/predict", content=body, headers={"content-type": "image/png"})
                assert response.status_code == 413
                assert "100000 bytes" in response.json()["detail"]
            assert client.get("/healthz").status_code == 200


def test_a_port_in_use_is_said(model_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_to_its_end("--port", str(port), GLIMPSE_MODEL_PATH=str(model_path))
    assert_one_clear_sentence(ended, f"127.0.0.1 port {port}", "in use")


def test_a_missing_model_is_said(tmp_path):
    ended = run_to_its_end("--port", "0", GLIMPSE_MODEL_PATH=str(tmp_path / "none.onnx"))
    assert_one_clear_sentence(ended, "none.onnx does not exist")


def test_a_bad_setting_is_said():
    assert_one_clear_sentence(run_to_its_end(GLIMPSE_PROVIDER="gpu"), "GLIMPSE_PROVIDER", "'cuda'", "'gpu'")
    assert_one_clear_sentence(run_to_its_end("--port", "70000"), "GLIMPSE_PORT", "65535", "70000")


def test_an_address_of_nobody_is_said(model_path):
    ended = run_to_its_end("--host", "203.0.113.7", "--port", "0", GLIMPSE_MODEL_PATH=str(model_path))
    assert_one_clear_sentence(ended, "cannot listen on 203.0.113.7")


def test_a_generator_that_is_missing_or_another_one_is_said(model_path, tmp_path):
    settings = {"GLIMPSE_MODEL_PATH": str(model_path)}
    ended = run_to_its_end("--port", "0", **settings, GLIMPSE_DIGITS_PATH=str(tmp_path / "none.onnx"))
    assert_one_clear_sentence(ended, "none.onnx does not exist")
    path = tmp_path / "digits.onnx"
    shutil.copy(sidecar_path(DIGITS_PATH), sidecar_path(path))
    path.write_bytes(DIGITS_PATH.read_bytes()[:-1] + b"!")
    ended = run_to_its_end("--port", "0", **settings, GLIMPSE_DIGITS_PATH=str(path))
    assert_one_clear_sentence(ended, str(path), str(sidecar_path(path)), "SHA-256")


def test_on_a_fresh_machine_with_the_network_closed_it_makes_scenes(model_path, tmp_path):
    fresh = {"GLIMPSE_MNIST_DIR": "", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with (
        server(program=("-c", CLOSED_NETWORK), GLIMPSE_MODEL_PATH=str(model_path), **fresh) as (
            _,
            address,
            _,
        ),
        httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client,
    ):
        for seed in range(20):
            response = client.get("/synthesize", params={"format": "json", "seed": seed})
            assert response.status_code == 200
            assert response.json()["parameters"]["digits"] == "generated"
        response = client.get("/synthesize", params={"digits": "mnist"})
        assert response.status_code == 409
        assert "python -m scenes download" in response.json()["detail"]


def test_the_committed_model_reads_scenes_of_generated_digits():
    with server() as (_, address, provider):
        assert_generated_scenes_are_read(address, provider)
