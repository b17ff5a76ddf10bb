"""A service in a process of its own: what a user starts, asked over a real socket."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
    mnist = (
        {"GLIMPSE_MNIST_DIR": os.environ["GLIMPSE_MNIST_DIR"]} if "GLIMPSE_MNIST_DIR" in os.environ else {}
    )
    return kept | mnist | changes


@contextmanager
def server(
    *, program: tuple[str, ...] = ("-m", "service", "--port", "0"), **settings: str
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A started server: the process, its address, and the provider that it names."""
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()  # returns at the line or at the process's end
        found = re.fullmatch(r"Glimpse listens on (http://127\.0\.0\.1:\d+) with (\w+)\n", greeting)
        if found is None:
            _, errors = process.communicate(timeout=TIMEOUT_S)
            pytest.fail(f"the server said {greeting!r} and {errors!r}")
        yield process, found[1], found[2]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIMEOUT_S)


def run_to_its_end(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def assert_one_clear_sentence(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ended.returncode == 1
    assert ended.stdout == ""
    *before, last = [json.loads(line) for line in ended.stderr.splitlines()]
    assert last["event"].startswith("Glimpse does not start: ")
    assert "\n" not in last["event"]
    assert [line["level"] for line in before] in ([], ["info"]), (
        ended.stderr
    )  # which model it would have been
    for word in words:
        assert word in last["event"]


def until(condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout_s, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - start


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
