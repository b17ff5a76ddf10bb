"""A server in processes of its own: started, waited for, and ended with all that it started."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.serving import accounting
from benchmarks.serving.wire import HOST, Posted, ask

ROOT = Path(__file__).resolve().parents[2]
SERVICE = (sys.executable, "-m", "service", "--port", "{port}")
"""What starts this service, for `running`."""
START_S = 120.0
STOP_S = 10.0


class ServerError(RuntimeError):
    """A server does not start, or does not answer; the message says what it printed last."""


class Running(NamedTuple):
    """A server that answers."""

    port: int
    mark: str

    def processes(self) -> list[psutil.Process]:
        """All of its processes at this moment."""
        return accounting.marked_processes(self.mark)


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    first: Sequence[Posted | str] = ("/readyz",),
    port: int = 0,
) -> Iterator[Running]:
    """Start a server, wait until it answers each of `first` with 200, and end it at last.

    Args:
        command: what starts it, `{port}` standing for the port, which SERVER_PORT names as well.
        environment: variables beside this process's.
        first: requests that it must answer; a path is a GET.
        port: where it listens, 0 for any free port.

    Raises:
        ServerError: it ends, or does not answer within `START_S`.
    """
    port = port or free_ports(1)[0]
    # Each with the settings that it ships with: whatever this shell has set stays outside.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [part.format(port=port) for part in command],
                cwd=ROOT,
                env={
                    **outside,
                    "PYTHONPATH": str(ROOT),
                    "SERVER_PORT": str(port),
                    "TMPDIR": folder,
                    **environment,
                    accounting.MARK: mark,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            for posted in first:
                _wait_for(process, port, posted, log)
            yield Running(port, mark)
        finally:
            end(process, mark)


@contextmanager
def serving(port: int = 0, **settings: str) -> Iterator[str]:
    """This service on the CPU with the committed model, until it is ready; gives its address.

    Args:
        port: where to listen, 0 for any free port.
        settings: environment variables.

    Raises:
        ServerError: it does not start.
    """
    environment = {"GLIMPSE_PROVIDER": "cpu", "GLIMPSE_DRAIN_S": "0", **settings}
    with running(SERVICE, environment, port=port) as server:
        yield f"http://{HOST}:{server.port}"


def free_ports(count: int) -> list[int]:
    """Ports of this host that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ask it to stop; what is left after `STOP_S`, of all that it ever started, is killed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    deadline = time.monotonic() + 2
    while left := accounting.marked_processes(mark):
        if time.monotonic() > deadline:
            for one in left:
                one.kill()
        time.sleep(0.05)


def _wait_for(process: subprocess.Popen[bytes], port: int, first: Posted | str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    seen = "nothing"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"it ended with {process.returncode}: {_last_words(log)}")
        try:
            status, body = ask(port, first, timeout_s=10)
        except (OSError, http.client.HTTPException) as error:
            seen = repr(error)
        else:
            if status == http.HTTPStatus.OK:
                return
            seen = f"{status} {body[:200]!r}"
        time.sleep(0.1)
    raise ServerError(f"no answer within {START_S:.0f} s, at last {seen}: {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-400:] or "it printed nothing"
