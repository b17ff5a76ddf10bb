from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx2
import pytest
from fastapi.testclient import TestClient

from service.http.headers import API_POLICY, PICTURE_POLICY, security_headers
from service.page.files import PAGE_POLICY
from service.settings import SettingsError, load_settings
from tests.service.outside import make_app
from tests.support.processes import TIMEOUT_S, server

ORIGIN = "https://digits.example"


@pytest.fixture
def plain() -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "status", "policy"),
    [
        ("GET", "/", 200, PAGE_POLICY),
        ("HEAD", "/", 200, PAGE_POLICY),
        ("GET", "/docs", 200, PAGE_POLICY),
        ("GET", "/page/main.js", 200, PAGE_POLICY),
        ("GET", "/page/none.js", 404, API_POLICY),
        ("GET", "/openapi.json", 200, API_POLICY),
        ("GET", "/healthz", 200, API_POLICY),
        ("GET", "/metrics", 200, API_POLICY),
        ("GET", "/synthesize", 200, PICTURE_POLICY),
        ("GET", "/synthesize?format=json", 200, API_POLICY),
        ("GET", "/synthesize?size=9999", 422, API_POLICY),
        ("POST", "/predict", 422, API_POLICY),
        ("DELETE", "/predict", 405, API_POLICY),
        ("GET", "/nowhere", 404, API_POLICY),
    ],
)
def test_every_answer_has_them_once(plain, method, path, status, policy):
    response = plain.request(method, path)
    assert response.status_code == status
    names = [name.lower() for name, _ in response.headers.multi_items()]
    assert len(names) == len(set(names))
    assert response.headers["content-security-policy"] == policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in response.headers


def test_a_defect_has_them_as_well():
    client = TestClient(make_app(broken=True), raise_server_exceptions=False)
    response = client.get("/readyz", headers={"X-Request-ID": "7"})
    assert response.status_code == 500
    assert "defect" in response.json()["detail"]
    assert response.headers["content-security-policy"] == API_POLICY
    assert response.headers["x-request-id"] == "7"


def test_the_server_does_not_say_what_it_is_made_of(model_path):
    with server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_PROVIDER="cpu") as (_, address, _provider):
        response = httpx2.get(f"{address}/healthz", timeout=TIMEOUT_S)
    assert response.status_code == 200
    assert "server" not in response.headers
    assert "uvicorn" not in str(response.headers).lower()


def test_what_is_no_http_is_answered_with_them_as_well(model_path):
    with server(GLIMPSE_MODEL_PATH=str(model_path), GLIMPSE_PROVIDER="cpu") as (_, address, _provider):
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as client:
            client.sendall(b"no HTTP at all\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65_536), b"")).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    for name, content in security_headers(shared=False):
        assert f"{name.decode()}: {content.decode()}\r\n" in answer


def preflight(client: TestClient, origin: str, path: str = "/predict") -> httpx2.Response:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    return client.options(path, headers={"Origin": origin, **asks})


def test_other_origins_are_not_let_in_by_default(plain):
    assert preflight(plain, ORIGIN).status_code == 405
    assert "access-control-allow-origin" not in plain.get("/healthz", headers={"Origin": ORIGIN}).headers


def test_an_origin_that_is_named_is_let_in_and_no_other():
    with TestClient(make_app(cors_origins=(ORIGIN,))) as client:
        allowed = preflight(client, ORIGIN)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        assert allowed.headers["x-content-type-options"] == "nosniff"
        assert preflight(client, "https://other.example").status_code == 400
        response = client.get("/nowhere", headers={"Origin": ORIGIN})
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Request-ID" in response.headers["access-control-expose-headers"]
        assert response.headers["cross-origin-resource-policy"] == "cross-origin"
        other = client.get("/healthz", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


def test_every_origin_may_be_let_in_keys_being_asked_for_all_the_same():
    with TestClient(make_app(cors_origins=("*",), api_keys=("0123456789abcdef",))) as client:
        assert preflight(client, ORIGIN).headers["access-control-allow-origin"] == "*"
        refused = client.post("/predict", headers={"Origin": ORIGIN})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "*"


def test_origins_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("GLIMPSE_CORS_ORIGINS", "https://a.example, http://localhost:3000")
    assert load_settings().cors_origins == ("https://a.example", "http://localhost:3000")


@pytest.mark.parametrize("value", ["a.example", "https://a.example/", "ftp://a.example", "null", ","])
def test_what_is_no_origin_is_refused(monkeypatch, value):
    monkeypatch.setenv("GLIMPSE_CORS_ORIGINS", value)
    with pytest.raises(SettingsError, match=r"^setting GLIMPSE_CORS_ORIGINS: expected .*, got "):
        load_settings()
