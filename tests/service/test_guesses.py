from __future__ import annotations

import json

import httpx2
import pytest
from fastapi.testclient import TestClient

from service.http.guesses import FREE_GUESSES, GUESS_S, Guesses
from service.settings import SettingsError, load_settings
from tests.service.outside import make_app
from tests.support.keys import ask
from tests.support.logs import read
from tests.support.processes import TIMEOUT_S, server

PROGRAM = ("-m", "service", "--port", "0")
KEYS = ("mobile:0123456789abcdef", "a-key-without-a-name")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_an_address_has_some_guesses_and_then_one_for_each_second():
    clock = Clock()
    guesses = Guesses(clock)
    for _ in range(FREE_GUESSES):
        assert guesses.wait_s("10.0.0.1", [b"x"]) == 0
        guesses.wrong("10.0.0.1", 1)
    assert guesses.wait_s("10.0.0.1", [b"x"]) == pytest.approx(GUESS_S)
    assert guesses.wait_s("10.0.0.2", [b"x"]) == 0
    clock.now_s += GUESS_S
    assert guesses.wait_s("10.0.0.1", [b"x"]) == 0
    guesses.wrong("10.0.0.1", 2)
    assert guesses.wait_s("10.0.0.1", [b"x"]) == pytest.approx(2 * GUESS_S)
    clock.now_s += FREE_GUESSES * GUESS_S * 5  # no more are saved up than at the start
    for _ in range(FREE_GUESSES):
        assert guesses.wait_s("10.0.0.1", [b"x"]) == 0
        guesses.wrong("10.0.0.1", 1)
    assert guesses.wait_s("10.0.0.1", [b"x"]) > 0


def test_a_key_that_was_right_from_an_address_stays_so_there():
    guesses = Guesses(Clock())
    guesses.right("10.0.0.1", b"right")
    for client in ("10.0.0.1", "10.0.0.2"):
        guesses.wrong(client, 100)
    assert guesses.wait_s("10.0.0.1", [b"right"]) == 0
    assert guesses.wait_s("10.0.0.1", [b"x"]) > 0
    assert guesses.wait_s("10.0.0.2", [b"right"]) > 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("", "", True),
    ],
)
def test_a_network_of_version_6_is_one_address(one, other, same):
    guesses = Guesses(Clock())
    guesses.wrong(one, 100)
    assert (guesses.wait_s(other, [b"x"]) > 0) == same


def test_many_addresses_fill_no_memory():
    guesses = Guesses(Clock())
    for number in range(30_000):
        guesses.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1)
    assert len(guesses._addresses) <= 10_000


def test_who_guesses_is_told_to_wait_and_others_are_answered():
    app = make_app(api_keys=KEYS)
    with TestClient(app, client=("10.0.0.1", 1)) as guessing:
        other = TestClient(app, client=("10.0.0.2", 1))
        assert ask(guessing, X_API_Key="0123456789abcdef") == 200
        seen = [ask(guessing, X_API_Key=f"a-wrong-key-{number:08}") for number in range(FREE_GUESSES + 10)]
        assert seen[:FREE_GUESSES] == [401] * FREE_GUESSES
        assert seen[-5:] == [429] * 5
        refused = guessing.get("/synthesize", headers={"X-API-Key": "a-key-without-a-name"})
        assert refused.status_code == 429  # one that it has not used before is not even looked at
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert refused.json()["status"] == 429
        assert set(guessing.get("/v2", headers={"X-API-Key": "x"}).json()) == {"error"}
        assert guessing.get("/synthesize").status_code == 401  # no key is no guess
        assert ask(guessing, X_API_Key="0123456789abcdef") == 200
        assert guessing.get("/healthz").status_code == 200
        assert other.get("/synthesize", headers={"X-API-Key": "a-key-without-a-name"}).status_code == 200
        assert 'glimpse_rejections_total{reason="guesses"}' in other.get("/metrics").text


def test_no_request_is_many_guesses():
    with TestClient(make_app(api_keys=KEYS)) as client:
        many = [(b"X-API-Key", b"a-wrong-key-%08d" % number) for number in range(100)]
        many.append((b"X-API-Key", b"0123456789abcdef"))
        assert client.get("/synthesize", headers=many).status_code == 401


def test_a_key_may_have_a_name_that_need_not_be_sent():
    with TestClient(make_app(api_keys=KEYS)) as client:
        for key in ("0123456789abcdef", "mobile:0123456789abcdef", "a-key-without-a-name"):
            assert ask(client, X_API_Key=key) == 200
        for key in ("mobile", "mobile:", "other:0123456789abcdef"):
            assert ask(client, X_API_Key=key) == 401


def test_a_name_is_no_part_of_the_keys_length(monkeypatch):
    monkeypatch.setenv("GLIMPSE_API_KEYS", "a-long-name-for-a:short")
    with pytest.raises(SettingsError, match="got 5 characters as key 1"):
        load_settings()
    monkeypatch.setenv("GLIMPSE_API_KEYS", "odd/name:0123")  # no name, but a key of few characters
    with pytest.raises(SettingsError, match="got 13 characters as key 1"):
        load_settings()


def test_the_access_log_has_the_address_and_the_keys_name(lines):
    with TestClient(make_app(access_log=True, api_keys=KEYS), client=("10.0.0.7", 9)) as client:
        for key in ("0123456789abcdef", "a-key-without-a-name", "a-wrong-key-01234567"):
            client.get("/synthesize", headers={"X-API-Key": key})
        client.get("/healthz")
    written = read(lines)
    assert [line["client"] for line in written] == ["10.0.0.7"] * 4
    assert [line.get("key") for line in written] == ["mobile", "key-2", None, None]
    assert "0123456789abcdef" not in lines.getvalue()


@pytest.mark.parametrize(("proxies", "client"), [("", "127.0.0.1"), ("127.0.0.0/8,::1", "198.51.100.7")])
def test_a_proxy_is_believed_where_it_is_named(model_path, proxies, client):
    settings = {"GLIMPSE_MODEL_PATH": str(model_path), "GLIMPSE_TRUSTED_PROXIES": proxies}
    with server(program=PROGRAM, GLIMPSE_ACCESS_LOG="true", **settings) as (process, address, _):
        forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
        httpx2.get(f"{address}/healthz", headers=forwarded, timeout=TIMEOUT_S)
        process.terminate()
        _, errors = process.communicate(timeout=TIMEOUT_S)
    line = json.loads(errors.splitlines()[-1])  # the first may say that there is no GPU
    assert line["client"] == client


@pytest.mark.parametrize("value", ["*", "proxy.example", "10.0.0.1/8", "10.0.0.1:80"])
def test_what_is_no_address_of_a_proxy_is_refused(monkeypatch, value):
    monkeypatch.setenv("GLIMPSE_TRUSTED_PROXIES", value)
    with pytest.raises(SettingsError, match=r"^setting GLIMPSE_TRUSTED_PROXIES: expected addresses .*, got "):
        load_settings()
