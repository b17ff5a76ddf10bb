"""What other people's clients send: packed bodies, HEAD, a slash too many."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from tests.service.hostile import noise

PNG = noise("PNG")
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}


def form(field: bytes) -> bytes:
    head = b'--B\r\nContent-Disposition: form-data; name="' + field + b'"; filename="a.png"\r\n\r\n'
    return head + PNG + b"\r\n--B--\r\n"


def calls():
    """Path, body and content type of every call that reads a body."""
    multipart = "multipart/form-data; boundary=B"
    scene = {"name": "scene", "datatype": "UINT8", "shape": [1, 1, 100, 100], "data": [7] * 10_000}
    infer = json.dumps({"inputs": [scene]}).encode()
    yield "/predict?maps=none", PNG, "image/png"
    yield "/predict?maps=none", form(b"image"), multipart
    yield "/predict/batch?maps=none", form(b"images"), multipart
    yield "/v2/models/blob/infer", infer, "application/json"
    yield "/v2/repository/index", b'{"ready":true}', "application/json"


CALLS = list(calls())


def untimed(answer):
    """An answer without its times."""
    if isinstance(answer, list):
        return [untimed(each) for each in answer]
    return {name: value for name, value in answer.items() if name != "timing_ms"}


@pytest.mark.parametrize(("path", "body", "kind"), CALLS)
@pytest.mark.parametrize("coding", PACKERS)
def test_a_packed_body_is_answered_as_it_is_without(client, coding, path, body, kind):
    plain = client.post(path, content=body, headers={"Content-Type": kind})
    headers = {"Content-Type": kind, "Content-Encoding": coding}
    packed = client.post(path, content=PACKERS[coding](body), headers=headers)
    assert plain.status_code == packed.status_code == 200, packed.text
    assert untimed(packed.json()) == untimed(plain.json())


@pytest.mark.parametrize(("path", "body", "kind"), CALLS)
def test_another_packing_is_415_and_one_that_is_none_400(client, path, body, kind):
    for coding in ("br", "zstd", "gzip, gzip", "nonsense"):
        refused = client.post(path, content=body, headers={"Content-Type": kind, "Content-Encoding": coding})
        assert refused.status_code == 415
        assert refused.headers["accept-encoding"] == "gzip, deflate"
        assert "gzip, deflate or identity" in refused.text
    for bad in (body, gzip.compress(body)[:-1], gzip.compress(body) + b"x", b""):
        refused = client.post(path, content=bad, headers={"Content-Type": kind, "Content-Encoding": "gzip"})
        assert refused.status_code == 400
        assert "gzip data" in refused.text


@pytest.mark.parametrize(("path", "body", "kind"), CALLS)
def test_a_bomb_is_413(client, path, body, kind):
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 200_000  # the limit
    refused = client.post(path, content=bomb, headers={"Content-Type": kind, "Content-Encoding": "gzip"})
    assert refused.status_code == 413
    assert "200000 bytes once inflated" in refused.text


def test_a_picture_that_is_larger_packed_is_still_bounded(client):
    headers = {"Content-Type": "image/png", "Content-Encoding": "gzip"}
    refused = client.post("/predict", content=gzip.compress(noise("PNG", 600)), headers=headers)
    assert refused.status_code == 413


GETS = (
    "/",
    "/docs",
    "/page/main.js",
    "/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/synthesize?seed=1",
    "/synthesize?seed=1&format=json",
    "/v2",
    "/v2/health/live",
    "/v2/models/blob",
    "/v2/models/blob/config",
    "/synthesize?size=1",
    "/predict",
    "/nowhere",
)


@pytest.mark.parametrize("path", GETS)
def test_head_is_answered_as_get_without_a_body(client, path):
    get, head = client.get(path), client.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    volatile = {"x-request-id", "content-length"}
    assert {name: value for name, value in head.headers.items() if name not in volatile} == {
        name: value for name, value in get.headers.items() if name not in volatile
    }
    if path != "/metrics":
        assert head.headers["content-length"] == get.headers["content-length"]


def test_head_is_answered_for_every_documented_get(client):
    paths = client.get("/openapi.json").json()["paths"]
    asked = [path for path, methods in paths.items() if "get" in methods]
    assert len(asked) > 10
    for path in asked:
        assert client.head(path).status_code == 200, path


def test_head_is_counted_as_head_at_its_route(client):
    client.head("/healthz")
    counted = client.get("/metrics").text
    assert 'glimpse_requests_total{method="HEAD",route="/healthz",status="200"} 1.0' in counted


@pytest.mark.parametrize(
    "path", ["/predict/", "/synthesize/", "/healthz/", "/docs/", "/v2/", "/page/main.js/"]
)
def test_a_slash_too_many_is_no_redirect(client, path):
    for method in ("GET", "POST"):
        answer = client.request(method, path, headers={"Host": "evil.example"}, follow_redirects=False)
        assert answer.status_code == 404
        assert "location" not in answer.headers
        assert "evil.example/predict" not in answer.text


def test_errors_are_problems_whose_detail_is_where_it_was(client):
    for method, path, status, title in (
        ("GET", "/nowhere", 404, "Not Found"),
        ("PUT", "/predict", 405, "Method Not Allowed"),
        ("POST", "/predict", 415, "Unsupported Media Type"),
        ("GET", "/synthesize?size=1", 422, "Unprocessable"),
    ):
        answer = client.request(method, path, headers={"Content-Type": "text/plain"})
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert list(problem) == ["type", "title", "status", "detail"]
        assert (
            (problem["type"], problem["status"])
            == ("about:blank", answer.status_code)
            == ("about:blank", status)
        )
        assert problem["title"].startswith(title)
    own = client.get("/v2/nowhere")
    assert (own.headers["content-type"], list(own.json())) == ("application/json", ["error"])
    files = [("images", ("a.png", PNG)), ("images", ("b.png", b"no picture"))]
    good, bad = client.post("/predict/batch?maps=none", files=files).json()
    assert "label" in good
    assert list(bad) == ["detail"]
