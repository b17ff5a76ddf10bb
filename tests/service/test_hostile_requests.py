"""Queries, addresses, methods and headers that no honest client sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.schemas import Problem
from tests.service.hostile import noise
from tests.service.listening import asking

NUMBERS = ("x", "y", "size", "noise", "digit_noise")
WHOLE_NUMBERS = ("digit", "clutter", "style", "seed")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with asking() as client:
        yield client


def assert_refused(response, status, *words):
    assert response.status_code == status, response.content[:200]
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert problem.status == status
    detail = problem.detail
    assert len(detail) < 1000
    for word in words:
        assert word in detail


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "Infinity", "1e999", "-1e999", "1e-999x", ""])
@pytest.mark.parametrize("name", NUMBERS + WHOLE_NUMBERS)
def test_numbers_are_finite(client, name, value):
    assert_refused(client.get("/synthesize", params={name: value}), 422, f"{name}: expected ", "got ")


@pytest.mark.parametrize(
    "value", ["5_0", "0x20", "1e400", "٣٠", "３０", "3 0", "30.", "+-3", "None", "[30]", "9" * 5000, "30\x00"]
)
@pytest.mark.parametrize("name", NUMBERS + WHOLE_NUMBERS)
def test_numbers_are_written_as_numbers(client, name, value):
    response = client.get("/synthesize", params={name: value})
    if (name, value) in {("size", "30."), ("x", "30."), ("y", "30.")}:
        assert response.status_code == 200
    else:
        assert_refused(response, 422, f"{name}: expected ")


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/synthesize"])
def test_unknown_parameters_are_named(client, path):
    method = client.get if path == "/synthesize" else client.post
    for name in ("mapz", "MAPS", "__class__", "maps[]", "$where", "\x00", "\ud7ff", "x" * 5000):
        assert_refused(method(path, params={name: "1"}), 422, "query: expected parameters among ", "got '")


def test_a_parameter_is_given_once(client):
    png = noise("PNG")
    for query in (
        "maps=none&maps=png",
        "maps=none&maps=none",
        "maps=none&%6daps=none",
        "maps=png&maps=none&maps=png",
    ):
        response = client.post(f"/predict?{query}", content=png, headers={"content-type": "image/png"})
        assert_refused(response, 422, "'maps': expected it once, got it ")
        assert_refused(client.post(f"/predict/batch?{query}", files={"images": png}), 422, "'maps'")
    assert_refused(
        client.get("/synthesize?seed=1&digit=2&seed=1"), 422, "'seed': expected it once, got it 2 times"
    )
    assert client.get("/synthesize?seed=1&digit=2&").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "seed=%ff%fe",
        "%ff=1",
        "seed=%",
        "seed=%zz",
        "seed=%2",
        "seed=1%00",
        "%00",
        "seed=1;digit=2",
        "=",
        "==",
        "seed",
    ],
)
def test_broken_escapes_and_odd_bytes_are_422(client, query):
    assert_refused(client.get(f"/synthesize?{query}"), 422)


def test_escapes_and_empty_pairs_are_read(client):
    seven = client.get("/synthesize?seed=7").content
    for query in ("%73eed=%37", "&&seed=7&&", "seed=7&"):
        assert client.get(f"/synthesize?{query}").content == seven


def test_very_long_queries_are_refused_shortly(client):
    for query in (
        "seed=" + "1" * 50_000,
        "&".join(["seed=1"] * 9000),
        "&".join(f"a{n}=1" for n in range(6000)),
    ):
        assert_refused(client.get(f"/synthesize?{query}"), 422)


@pytest.mark.parametrize(
    "path",
    [
        "/" + "x" * 60_000,
        "/predict/../../etc/passwd",
        "/page/..%2f..%2fetc%2fpasswd",
        "/page/%00",
        "/%ff%fe",
        "/x//predict",
        "/PREDICT",
        "/predict;x=1",
        "/predict%3fmaps=none",
    ],
)
def test_odd_addresses_are_404_in_json(client, path):
    assert_refused(client.get(path, follow_redirects=False), 404)


PATHS = {
    "/predict": {"POST"},
    "/predict/batch": {"POST"},
    "/synthesize": {"GET", "HEAD"},
    "/healthz": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
    "/": {"GET", "HEAD"},
    "/docs": {"GET", "HEAD"},
    "/page/main.js": {"GET", "HEAD"},
}


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "gett"]
)
@pytest.mark.parametrize("path", PATHS)
def test_other_methods_are_405_and_say_which_are_allowed(client, path, method):
    if method in PATHS[path]:
        return
    response = client.send(client.build_request(method, path))
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == PATHS[path]
    if method != "HEAD":
        assert_refused(response, 405)


def test_a_method_cannot_be_smuggled_in(client):
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert client.get("/predict", headers={header: "POST"}).status_code == 405
    assert client.get("/healthz?_method=DELETE").status_code == 200


def test_odd_headers_change_nothing(client):
    headers = {
        "Accept": "text/html;q=x, */*; q=99",
        "Accept-Encoding": "br;q=1.0, *;q=0",
        "Range": "bytes=0-1,5-4,-99999999999",
        "If-None-Match": "W/" + "x" * 9000,
        "Cookie": "a=b; " * 5000,
        "X-Forwarded-For": "127.0.0.1",
        "Content-Length": "0",
        "Host": "evil.example",
        "Origin": "null",
    }
    response = client.get("/synthesize?seed=7", headers=headers)
    assert response.status_code == 200
    assert response.content == client.get("/synthesize?seed=7").content
    assert "access-control-allow-origin" not in response.headers
    assert "evil" not in str(response.headers)
