"""The Open Inference Protocol, asked by Triton's own client over a real socket, and by hand where it errs."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import orjson
import pytest
import tritonclient.http as triton
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.contract import OUTPUTS
from service.http.codings import deflate
from service.http.errors import ErrorAnswers, add_error_handlers
from service.http.uploads import BodyLimits
from service.inference.errors import PredictorError
from service.monitoring.metrics import Metrics
from service.v2.infer import Served
from service.v2.routes import add_open_inference
from service.v2.tensors import OUTPUT_NAMES
from tests.support.answers import assert_both_protocols_say_the_same
from tests.support.processes import TIMEOUT_S, server

INFER = "/v2/models/blob/infer"
README = Path(__file__).resolve().parents[2] / "service" / "README.md"


@pytest.fixture(scope="module")
def address(model_path) -> Iterator[str]:
    with server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_PROVIDER="cpu") as (_, address, _provider):
        yield address.removeprefix("http://")


@pytest.fixture(scope="module")
def client_of_triton(address) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address, network_timeout=TIMEOUT_S) as client:
        yield client


def squares(count: int) -> np.ndarray:
    """Scenes of one bright square each, every one at another place."""
    scenes = np.zeros((count, 1, 100, 100), np.uint8)
    for index in range(count):
        scenes[index, 0, 40:60, 10 + index : 30 + index] = 200
    return scenes


def tensor(scenes: np.ndarray, *, binary: bool = True) -> triton.InferInput:
    return triton.InferInput("scene", scenes.shape, "UINT8").set_data_from_numpy(scenes, binary_data=binary)


def test_triton_finds_the_server_and_its_model(client_of_triton):
    client = client_of_triton
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("centroid")
    assert client.is_model_ready("centroid", "0.0.1")
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("centroid", "1")
    metadata = client.get_server_metadata()
    assert (metadata["name"], metadata["extensions"]) == (
        "glimpse",
        ["binary_tensor_data", "model_configuration"],
    )
    model = client.get_model_metadata("centroid", "0.0.1")
    assert model == client.get_model_metadata("centroid")
    assert (model["name"], model["versions"], model["platform"]) == ("centroid", ["0.0.1"], "onnx_onnxv1")
    assert model["inputs"] == [{"name": "scene", "datatype": "UINT8", "shape": [-1, 1, 100, 100]}]
    assert [(each["name"], each["datatype"], each["shape"]) for each in model["outputs"]] == [
        (output.name, "FP32", [-1, *output.shape[1:]]) for output in OUTPUTS
    ]
    config = client.get_model_config("centroid")
    assert config["input"] == [{"name": "scene", "data_type": "TYPE_UINT8", "dims": [1, 100, 100]}]
    assert config["max_batch_size"] == 256
    assert client.get_model_repository_index() == [
        {"name": "centroid", "version": "0.0.1", "state": "READY", "reason": ""}
    ]


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_triton_gets_all_outputs(client_of_triton, count, binary, compression):
    scenes = squares(count)
    answer = client_of_triton.infer(
        "centroid",
        [tensor(scenes, binary=binary)],
        request_id="7",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("7", "centroid", "0.0.1")
    assert [output["name"] for output in response["outputs"]] == list(OUTPUT_NAMES)
    boxes = [[10 + index, 40, 20, 20] for index in range(count)]
    np.testing.assert_allclose(answer.as_numpy("box"), boxes, atol=1e-3)
    np.testing.assert_array_equal(answer.as_numpy("probabilities"), np.eye(10, dtype=np.float32)[[3] * count])
    np.testing.assert_allclose(answer.as_numpy("attention")[:, 2:], 5)
    np.testing.assert_allclose(answer.as_numpy("attention_map"), scenes[:, 0] / 255, atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("glimpse"), scenes[:, 0, :28, :28] / 255, atol=1e-6)
    np.testing.assert_array_equal(answer.as_numpy("digit_present"), np.full(count, 0.5, np.float32))


def test_triton_gets_the_outputs_it_asks_for_in_its_order_each_as_it_wants(client_of_triton):
    wanted = [
        triton.InferRequestedOutput("digit_present", binary_data=False),
        triton.InferRequestedOutput("attention_map", binary_data=True),
        triton.InferRequestedOutput("box", binary_data=False),
    ]
    answer = client_of_triton.infer("centroid", [tensor(squares(2))], model_version="0.0.1", outputs=wanted)
    found = answer.get_response()["outputs"]
    assert [output["name"] for output in found] == ["digit_present", "attention_map", "box"]
    assert ["data" in output for output in found] == [True, False, True]
    assert answer.as_numpy("attention_map").shape == (2, 100, 100)
    np.testing.assert_allclose(answer.as_numpy("box")[1], [11, 40, 20, 20], atol=1e-3)
    assert answer.as_numpy("glimpse") is None


def test_triton_asks_many_times_at_once(client_of_triton, address):
    with triton.InferenceServerClient(address, concurrency=8, network_timeout=TIMEOUT_S) as client:
        asked = [client.async_infer("centroid", [tensor(squares(1 + index % 5))]) for index in range(24)]
        for index, request in enumerate(asked):
            assert request.get_result().as_numpy("box").shape == (1 + index % 5, 4)


@pytest.mark.parametrize(
    ("ask", "status", "words"),
    [
        (lambda client: client.infer("other", [tensor(squares(1))]), "404", "/v2/models/centroid"),
        (lambda client: client.infer("centroid", [tensor(squares(1))], model_version="9"), "404", "0.0.1"),
        (lambda client: client.get_inference_statistics(), "404", "/v2/models/stats"),
        (lambda client: client.load_model("centroid"), "404", "/v2/repository/models/centroid/load"),
        (
            lambda client: client.infer(
                "centroid",
                [tensor(squares(1))],
                outputs=[triton.InferRequestedOutput("probabilities", class_count=3)],
            ),
            "400",
            "classification is not offered",
        ),
        (lambda client: client.infer("centroid", [tensor(squares(257))]), "400", "[257, 1, 100, 100]"),
        (
            lambda client: client.infer(
                "centroid", [triton.InferInput("scene", [1, 1, 100, 100], "UINT8").set_shared_memory("r", 9)]
            ),
            "400",
            "shared memory",
        ),
    ],
)
def test_triton_reads_our_refusals(client_of_triton, ask, status, words):
    with pytest.raises(triton.InferenceServerException) as caught:
        ask(client_of_triton)
    assert caught.value.status() == status
    assert words in caught.value.message()


def test_the_committed_model_gives_what_predict_gives():
    with server() as (_, address, _provider):
        assert_both_protocols_say_the_same(address)


def asked(scenes: np.ndarray, **more: Any) -> bytes:
    entry = {"name": "scene", "shape": scenes.shape, "datatype": "UINT8", "data": scenes.ravel().tolist()}
    return orjson.dumps({"inputs": [entry], **more})


def test_any_content_type_or_none_will_do(client):
    for content_type in (None, "application/json", "application/octet-stream", "text/plain"):
        headers = {"content-type": content_type} if content_type else {}
        response = client.post(INFER, content=asked(squares(1)), headers=headers)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json()["outputs"][1]["data"] == [10, 40, 20, 20]
        assert "id" not in response.json()


def test_scenes_alone_make_a_request(client):
    headers = {"Inference-Header-Content-Length": "0"}
    response = client.post(INFER, content=squares(2).tobytes(), headers=headers)
    assert response.status_code == 200
    result = triton.InferResult.from_response_body(
        response.content, header_length=response.headers["Inference-Header-Content-Length"]
    )
    assert result.as_numpy("box").tolist() == [[10, 40, 20, 20], [11, 40, 20, 20]]


def test_an_answer_is_compressed_only_for_who_names_one_way(client):
    for accepted, used in (("gzip, deflate, br", None), ("gzip", "gzip"), ("deflate", "deflate")):
        response = client.post(INFER, content=asked(squares(1)), headers={"accept-encoding": accepted})
        assert response.headers.get("content-encoding") == used
        assert response.json()["outputs"][1]["data"] == [10, 40, 20, 20]


@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        (b"{}", {}, 400, "inputs: expected one object, the input scene, got 0 inputs"),
        (b"\xff", {}, 400, "body: expected JSON"),
        (b"{}", {"Inference-Header-Content-Length": "3"}, 400, "at most the body's 2 bytes, got 3"),
        (b"{}", {"Inference-Header-Content-Length": "-1"}, 400, "a number of bytes, got '-1'"),
        (b"{}", {"Inference-Header-Content-Length": "\u00b2".encode()}, 400, "a number of bytes"),
        (b"{}", {"Inference-Header-Content-Length": "9" * 5000}, 400, "a number of bytes"),
        (b"{}", {"content-encoding": "br"}, 415, "expected gzip, deflate or identity, got 'br'"),
        (b"{}", {"content-encoding": "gzip"}, 400, "body: expected gzip data"),
        (deflate(bytes(9_000_000), "gzip"), {"content-encoding": "gzip"}, 413, "200000 bytes once inflated"),
        (bytes(200_001), {}, 413, "at most 200000 bytes"),
    ],
)
def test_bad_requests_are_refused_in_the_protocols_form(client, content, headers, status, words):
    for path in (INFER, "/v2/models/blob/versions/0.0.1/infer"):
        response = client.post(path, content=content, headers=headers)
        assert response.status_code == status
        assert set(response.json()) == {"error"}
        assert words in response.json()["error"]


def test_unknown_calls_and_methods_are_refused_in_the_protocols_form(client):
    for method, path, status in (
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/blob/versions/1", 404),
        ("POST", "/v2/models/%ff/infer", 404),
        ("GET", INFER, 405),
        ("POST", "/v2", 405),
    ):
        response = client.request(method, path)
        assert (response.status_code, set(response.json())) == (status, {"error"}), path
    assert set(client.get("/v3").json()) == {"type", "title", "status", "detail"}


def test_a_model_that_cannot_answer_is_503_and_not_ready(client, predictor):
    predictor.failure = "the device is lost"
    response = client.post(INFER, content=asked(squares(1)))
    assert (response.status_code, response.json()) == (503, {"error": "the device is lost"})


def test_ready_is_what_the_check_says():
    troubles = [""]

    def check() -> None:
        if troubles[0]:
            raise PredictorError(troubles[0])

    async def infer(scenes: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
        raise AssertionError("nobody asks")

    app = FastAPI()
    add_error_handlers(app, ErrorAnswers(Metrics()))
    model = Served("m", "1", infer, check)
    add_open_inference(app, model, BodyLimits(1000, 1, 1.0), anyio.CapacityLimiter(1))
    entry = {"name": "m", "version": "1", "state": "READY", "reason": ""}
    with TestClient(app) as client:
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.get("/v2/models/m/ready").json() == {"name": "m", "ready": True}
        assert client.post("/v2/repository/index", content=b'{"ready": true}').json() == [entry]
        troubles[0] = "the device is lost"
        for path in ("/v2/health/ready", "/v2/models/m/ready", "/v2/models/m/versions/1/ready"):
            response = client.get(path)
            assert (response.status_code, response.json()) == (503, {"error": "the device is lost"})
        assert client.get("/v2/health/live").json() == {"live": True}
        lost = {**entry, "state": "UNAVAILABLE", "reason": "the device is lost"}
        assert client.post("/v2/repository/index").json() == [lost]
        assert client.post("/v2/repository/index", content=b'{"ready": true}').json() == []
        response = client.post("/v2/repository/index", content=b"[]")
        assert (response.status_code, set(response.json())) == (400, {"error"})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["id", "inputs", "outputs", "parameters"]),
        st.text(max_size=3) | st.integers() | st.floats() | st.none() | st.lists(st.booleans()),
    ),
    st.none() | st.integers(0, 40),
    st.booleans(),
)
def test_no_request_meets_a_defect(client, header, length, packed):
    content = json.dumps(header).encode()
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    if packed:
        content, headers = gzip.compress(content), {**headers, "Content-Encoding": "gzip"}
    response = client.post(INFER, content=content, headers=headers)
    assert response.status_code == 400
    assert set(response.json()) == {"error"}


def test_the_document_describes_both_forms_of_the_body(client):
    document = client.get("/openapi.json").json()
    for path in ("/v2/models/blob", "/v2/models/blob/versions/0.0.1"):
        call = document["paths"][f"{path}/infer"]["post"]
        assert set(call["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
        assert set(call["responses"]) >= {"200", "400", "408", "413", "415", "503"}
        assert set(call["responses"]["200"]["content"]) == {"application/json", "application/octet-stream"}
        assert [(each["in"], each["name"]) for each in call["parameters"]] == [
            ("header", "Inference-Header-Content-Length")
        ]
    assert {"InferenceRequestBody", "InputTensor", "InferenceAnswer"} <= set(
        document["components"]["schemas"]
    )


def test_the_readmes_example_prints_what_it_says():
    page = README.read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [promised] = re.findall(r"^prints `(.*?)`", page, re.MULTILINE)
    with server(GLIMPSE_PROVIDER="cpu") as (_, address, _provider):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program.replace("localhost:8000", address.removeprefix("http://")), {})
    assert printed.getvalue().strip() == promised
