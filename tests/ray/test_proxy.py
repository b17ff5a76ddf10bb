"""The layer around Ray Serve's proxies, around a stand-in for one: no Ray is needed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from benchmarks.serving.running import ROOT
from service.ray_serve import proxy
from service.ray_serve.proxy import AskAgain, middleware

DIES = "dies"
BODY = [b"one ", b"two ", b"three"]
JSON = [(b"content-type", b"application/json"), (b"x-request-id", b"app")]
TEXT = [(b"content-type", b"text/plain; charset=utf-8")]


class Proxy:
    """Does what the script says, a step for each request: dies, or answers with a status and headers."""

    def __init__(self, *script: str | tuple[int, list[tuple[bytes, bytes]]]) -> None:
        self.script = list(script)
        self.asked: list[tuple[str, bytes]] = []
        self.names: list[bytes] = []
        self.timeouts: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = scope["method"] == "POST"
        step = self.script.pop(0)
        self.names += [value for name, value in scope["headers"] if name == b"x-request-id"]
        self.timeouts += [value for name, value in scope["headers"] if name == b"x-request-timeout-seconds"]
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
            if step == DIES and body.startswith(b"one two"):  # with some of the body read
                break
        self.asked.append((scope["path"], body))
        if step == DIES:
            return
        assert isinstance(step, tuple)
        await send({"type": "http.response.start", "status": step[0], "headers": list(step[1])})
        await send({"type": "http.response.body", "body": b"said"})


async def ask(
    inner: Callable[..., Any], method: str = "POST", path: str = "/predict", *, chunks: list[bytes] = BODY
) -> list[Message]:
    """What a client gets."""

    async def body() -> AsyncIterator[Message]:
        for number, chunk in enumerate(chunks, 1):
            yield {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        if not chunks:
            yield {"type": "http.disconnect"}
        await asyncio.Event().wait()

    got: list[Message] = []

    async def send(message: Message) -> None:
        got.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"x-request-id", b"mine")]}
    async with asyncio.timeout(20):
        await AskAgain(inner)(scope, body().__anext__, send)
    return got


def detail(answer: list[Message]) -> str:
    assert answer[0]["status"] == 503
    headers = dict(answer[0]["headers"])
    assert headers[b"retry-after"] == b"1"
    assert headers[b"x-request-id"] == b"mine"
    sentence = json.loads(answer[1]["body"])["detail"]
    return str(sentence)


async def test_a_request_is_asked_again_with_all_of_its_body() -> None:
    inner = Proxy(DIES, DIES, (200, JSON))
    start, body = await ask(inner)
    assert (start["status"], body["body"]) == (200, b"said")
    assert inner.asked == [
        ("/predict", b"one two "),
        ("/predict", b"one two "),
        ("/predict", b"one two three"),
    ]
    assert inner.names == [b"mine"] * 3


async def test_an_answer_that_breaks_off_is_not_passed_on() -> None:
    halves = [True, False]

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        more = halves.pop(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half" if more else b"whole", "more_body": more})

    assert [message.get("body") for message in (await ask(inner, "GET", "/docs"))] == [None, b"whole"]


async def test_it_gives_up_after_four() -> None:
    inner = Proxy(*[DIES] * 5)
    assert "have died" in detail(await ask(inner))
    assert len(inner.asked) == 4
    (sentence,) = json.loads((await ask(Proxy(*[DIES] * 4), path="/v2/models/glimpse/infer"))[1]["body"])
    assert sentence == "error"


async def test_a_client_that_has_gone_is_not_asked_for() -> None:
    inner = Proxy((200, JSON), (200, JSON))
    assert (await ask(inner, chunks=[])) == []
    assert len(inner.script) == 1


async def test_a_body_over_the_limit_passes_but_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_KEPT_BYTES", 5)
    inner = Proxy((200, JSON))
    assert (await ask(inner))[0]["status"] == 200
    assert inner.asked == [("/predict", b"one two three")]
    assert "have died" in detail(await ask(Proxy(DIES, (200, JSON))))


@pytest.mark.parametrize(("method", "path"), [("POST", "/elsewhere"), ("DELETE", "/predict")])
async def test_what_may_not_bear_a_second_time_is_left_alone(method: str, path: str) -> None:
    inner = Proxy(DIES, (200, JSON))
    assert (await ask(inner, method, path)) == []
    assert len(inner.script) == 1


async def test_a_request_has_one_name() -> None:
    twice = [*JSON[:1], (b"x-request-id", b"mine"), (b"x-request-id", b"mine")]
    assert (await ask(Proxy((200, twice))))[0]["headers"] == twice[:2]


async def test_what_the_proxy_says_itself_is_said_as_the_service_does() -> None:
    assert detail(await ask(Proxy((503, TEXT)))) == "said"
    assert "no replica has answered in time" in detail(await ask(Proxy((408, TEXT))))
    start, body = await ask(Proxy((404, TEXT)))
    assert start["status"] == 404
    assert (b"content-type", b"application/problem+json") in start["headers"]
    problem = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "said"}
    assert json.loads(body["body"]) == problem
    assert (b"x-content-type-options", b"nosniff") in start["headers"]
    said = await ask(Proxy((408, JSON)))  # the app's own: the client was slow
    assert (said[0]["status"], said[1]["body"]) == (408, b"said")
    assert (await ask(Proxy((200, TEXT)), "GET", "/metrics"))[1]["body"] == b"said"


async def test_a_replica_that_does_not_speak_is_not_ready() -> None:
    late = (408, TEXT)  # what Ray Serve makes of the header that bounds a request's time
    inner = Proxy(late, late, late)
    assert "no replica has answered in time" in detail(await ask(inner, "GET", "/readyz"))
    assert inner.timeouts == [b"1"] * 3
    assert "no replica has answered in time" in detail(
        await ask(Proxy((200, TEXT), *[late] * 3), "GET", "/-/healthz")
    )
    assert (await ask(Proxy(late, (200, JSON)), "GET", "/readyz"))[0]["status"] == 200


async def test_ready_is_what_a_living_replica_says() -> None:
    assert (await ask(Proxy((200, JSON)), "GET", "/readyz"))[0]["status"] == 200
    assert (await ask(Proxy(DIES, (200, JSON)), "GET", "/readyz"))[0]["status"] == 200


async def test_the_proxy_is_healthy_where_a_replica_is_ready() -> None:
    inner = Proxy((200, TEXT), (200, JSON))
    assert (await ask(inner, "GET", "/-/healthz"))[1]["body"] == b"said"
    assert [path for path, _ in inner.asked] == ["/-/healthz", "/readyz"]
    assert detail(await ask(Proxy((503, TEXT)), "GET", "/-/healthz")) == "said"
    assert (await ask(Proxy((200, TEXT), (404, TEXT)), "GET", "/-/healthz"))[0]["status"] == 404


async def test_websockets_pass_through() -> None:
    seen = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Any:
        raise AssertionError

    await AskAgain(inner)({"type": "websocket"}, nothing, nothing)
    assert seen == ["websocket"]


def test_ray_is_told_of_the_layer() -> None:
    module, name = proxy.MIDDLEWARE.split(":")
    assert (module, name) == (middleware.__module__, middleware.__name__)
    (layer,) = middleware()
    assert isinstance(layer.cls(Proxy(), *layer.args, **layer.kwargs), AskAgain)


def test_without_ray_the_replica_says_what_to_install() -> None:
    program = "import sys; sys.modules['ray'] = None; import service.ray_serve.replica"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "run `pip install '.[ray]'`" in done.stderr
