from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.http.keys import OPEN_FOLDERS, OPEN_PATHS, is_open
from service.settings import SettingsError, load_settings
from tests.service.outside import make_app
from tests.support.keys import ask
from tests.support.processes import assert_one_clear_sentence, run_to_its_end

KEYS = ("first-key-0123456789", "second-key-=/+.~!'\"")


@pytest.fixture
def guarded() -> Iterator[TestClient]:
    with TestClient(make_app(api_keys=KEYS)) as client:
        yield client


@pytest.mark.parametrize("key", KEYS)
def test_each_key_opens_in_either_header(guarded, key):
    assert ask(guarded, X_API_Key=key) == 200
    assert ask(guarded, Authorization=f"Bearer {key}") == 200
    assert ask(guarded, Authorization=f"bearer  {key} ") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_API_Key": ""},
        {"X_API_Key": "another-key-0123456789"},
        {"X_API_Key": KEYS[0][:-1]},
        {"X_API_Key": KEYS[0] + "0"},
        {"X_API_Key": KEYS[0].upper()},
        {"X_API_Key": ",".join(KEYS)},
        {"X_API_Key": b"\xff" * 16},
        {"Authorization": KEYS[0]},
        {"Authorization": f"Basic {KEYS[0]}"},
        {"Authorization": "Bearer"},
    ],
)
def test_nothing_else_does(guarded, headers):
    assert ask(guarded, **headers) == 401


def test_a_refusal_says_what_is_asked_for_and_repeats_nothing(guarded):
    response = guarded.get("/synthesize", headers={"X-API-Key": "mistyped-0123456789"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.headers["x-request-id"]
    detail = response.json()["detail"]
    assert "X-API-Key" in detail
    assert "Authorization: Bearer" in detail
    assert detail.endswith("got another one")
    assert "mistyped" not in response.text
    assert guarded.get("/synthesize").json()["detail"].endswith("got none")
    assert 'glimpse_rejections_total{reason="key"} 2.0' in guarded.get("/metrics").text


def test_probes_metrics_and_the_pages_own_files_stay_open(guarded):
    for path in (*OPEN_PATHS, "/page/main.js", "/v2/health/live", "/v2/health/ready"):
        assert guarded.get(path).status_code == 200, path


@pytest.mark.parametrize(
    "path",
    [
        "/predict",
        "/predict/batch",
        "/synthesize",
        "/v2",
        "/v2/models/glimpse",
        "/nowhere",
        "/healthz/",
        "/page",
    ],
)
def test_all_else_is_closed_and_does_not_say_whether_it_exists(guarded, path):
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        assert guarded.request(method, path).status_code == 401


def test_every_call_that_is_new_is_closed(guarded):
    """A call that is added later is closed unless this list says otherwise."""
    paths = guarded.get("/openapi.json").json()["paths"]
    assert {path for path in paths if is_open(path)} == {
        *("/", "/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready")
    } & set(paths)
    assert OPEN_FOLDERS == ("/page/", "/v2/health/")


def test_a_body_is_not_read_before_the_key_is_known(guarded):
    assert (
        guarded.post("/predict", content=bytes(300_000), headers={"Content-Type": "a/b"}).status_code == 401
    )


def test_without_keys_all_is_open():
    with TestClient(make_app()) as client:
        assert ask(client) == 200
        document = client.get("/openapi.json").json()
    assert "securitySchemes" not in document["components"]
    assert all(
        "401" not in call["responses"] for path in document["paths"].values() for call in path.values()
    )


def test_the_interface_tells_which_calls_need_one(guarded):
    document = guarded.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["ApiKey"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert schemes["Bearer"] == {"type": "http", "scheme": "bearer"}
    for path, methods in document["paths"].items():
        for call in methods.values():
            assert (
                ("401" in call["responses"])
                == ("429" in call["responses"])
                == ("security" in call)
                == (not is_open(path))
            )
            if "security" in call:
                assert call["security"] == [{"ApiKey": []}, {"Bearer": []}]
                kind = "application/json" if path.startswith("/v2") else "application/problem+json"
                refusal = call["responses"]["401"]["content"][kind]
                name = refusal["schema"]["$ref"].rpartition("/")[2]
                assert set(document["components"]["schemas"][name]["properties"]) == set(refusal["example"])
    reference = guarded.get("/docs").text
    assert "X-API-Key: …" in reference
    assert "The service needs an API key" in reference


def test_errors_of_the_open_inference_protocol_have_its_form(guarded):
    response = guarded.get("/v2/models/glimpse")
    assert response.status_code == 401
    assert set(response.json()) == {"error"}


def test_keys_come_from_the_environment_and_from_a_file(monkeypatch, tmp_path):
    file = tmp_path / "keys"
    file.write_text("key-of-the-file-1\n\nkey-of-the-file-2,key-of-the-file-3\r\n", encoding="utf-8")
    monkeypatch.setenv("GLIMPSE_API_KEYS", " key-of-the-shell-1, key-of-the-shell-2 ,")
    monkeypatch.setenv("GLIMPSE_API_KEYS_FILE", str(file))
    settings = load_settings()
    assert "key-of" not in repr(settings)
    assert "key-of" not in str(settings.model_dump())
    assert "key-of" not in settings.model_dump_json()
    app = make_app(api_keys=settings.api_keys, api_keys_file=settings.api_keys_file)
    with TestClient(app) as client:
        for name in ("shell-1", "shell-2", "file-1", "file-2", "file-3"):
            assert ask(client, X_API_Key=f"key-of-the-{name}") == 200
        assert ask(client, X_API_Key="key-of-the-file-4") == 401


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ("shorter-than-16", "got 15 characters as key 1"),
        ("a-key-0123456789-good,short", "got 5 characters as key 2"),
        ("a-key-with a blank in it", "got one with other characters as key 1"),
        ("a-key-with-ümlaut-0123", "got one with other characters as key 1"),
        (" , ", "expected at least one, got none"),
    ],
)
def test_bad_keys_are_refused_without_being_told(monkeypatch, tmp_path, value, came):
    monkeypatch.setenv("GLIMPSE_API_KEYS", value)
    with pytest.raises(SettingsError) as failure:
        load_settings()
    assert str(failure.value).startswith("setting GLIMPSE_API_KEYS: expected ")
    assert came in str(failure.value)
    assert value.strip(" ,") == "" or value not in str(failure.value)
    monkeypatch.delenv("GLIMPSE_API_KEYS")
    file = tmp_path / "keys"
    file.write_text(value, encoding="utf-8")
    with pytest.raises(SettingsError) as failure:
        make_app(api_keys_file=file)
    assert str(failure.value).startswith(f"setting GLIMPSE_API_KEYS_FILE: {file}: expected ")
    assert came in str(failure.value)


def test_a_file_that_is_missing_or_no_text_is_said(tmp_path):
    with pytest.raises(SettingsError, match=r"GLIMPSE_API_KEYS_FILE: .*none: No such file"):
        make_app(api_keys_file=tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff" * 20)
    with pytest.raises(SettingsError, match=r"GLIMPSE_API_KEYS_FILE: .*bytes: "):
        make_app(api_keys_file=tmp_path / "bytes")


def test_the_service_does_not_start_with_a_short_key():
    ended = run_to_its_end("--port", "0", GLIMPSE_API_KEYS="short-secret")
    assert_one_clear_sentence(ended, "GLIMPSE_API_KEYS", "16", "12 characters")
    assert "short-secret" not in ended.stderr
